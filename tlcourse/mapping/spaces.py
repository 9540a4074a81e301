"""Lesson 2's two spaces, Chinese and English, with the dictionary between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.arguments import (
    check_array,
    check_choice,
    check_count,
    check_counts,
    check_kind,
    check_texts,
    shown,
)
from tlcourse.data.dictionary import Dictionary, load_dictionary
from tlcourse.embeddings.vectors import load_glove, load_vectors, make_vectors, require_word
from tlcourse.mapping.linear_map import LinearMap
from tlcourse.mapping.retrieval import (
    NORMALISATIONS,
    candidate_density,
    cosine_scores,
    csls,
    hubness,
    nearest_candidates,
    normalise_space,
    precision_at_k,
    top_candidates,
)

CANDIDATES = 20_000
BACKGROUND = 3_000


@dataclass(frozen=True, eq=False)
class Bilingual:
    """Two normalised spaces and the dictionary words that both know.

    Attributes
    ----------
    source : gensim.models.keyedvectors.KeyedVectors
        Chinese, E_pre: the space that is mapped.
    target : gensim.models.keyedvectors.KeyedVectors
        English, E_fine: the space that stays.
    dictionary : tlcourse.data.Dictionary
        Source words with a vector made of enough occurrences, translations among the
        candidates.
    listed : int
        Words of the whole dictionary: what coverage is measured against.
    """

    source: KeyedVectors
    target: KeyedVectors
    dictionary: Dictionary
    listed: int

    @property
    def candidates(self) -> np.ndarray:
        """The English words a translation is sought among: float32, shape (20000, d)."""
        return self.target.vectors[:CANDIDATES]

    @property
    def background(self) -> np.ndarray:
        """The most frequent Chinese words, by which CSLS finds hubs: shape (3000, d)."""
        return self.source.vectors[:BACKGROUND]

    def queries(self, split: str) -> tuple[np.ndarray, list[set[int]]]:
        """Source rows (n,) of a split's words, and for each the rows of its translations."""
        words = self.dictionary.subset(split).translations
        rows = np.array([self.source.key_to_index[word] for word in words], dtype=np.int64)
        gold = [{self.target.key_to_index[item] for item in items} for items in words.values()]
        return rows, gold

    def pairs(self, n: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Training pairs (X, Y): n words of the train split, each with its first translation.

        Raises
        ------
        ValueError
            If n is below 1 or above the number of training words.
        """
        words = list(self.dictionary.subset("train").translations.items())
        n = len(words) if n is None else check_count("n", n, 1, len(words))
        chosen = np.random.default_rng(check_count("seed", seed, 0)).permutation(len(words))[:n]
        left = [self.source.key_to_index[words[row][0]] for row in chosen]
        right = [self.target.key_to_index[words[row][1][0]] for row in chosen]
        return self.source.vectors[left], self.target.vectors[right]


def load_bilingual(normalisation: str = "unit+centre", min_count: int = 20) -> Bilingual:
    """Our Chinese vectors, GloVe, and CC-CEDICT between them.

    Parameters
    ----------
    normalisation : {"none", "unit", "unit+centre"}
        See `tlcourse.mapping.normalise_space`.
    min_count : int
        Dictionary words must occur this often in our Chinese corpus: a vector made of
        five occurrences is mostly noise. Lower it to see; coverage says what it costs.
    """
    check_choice("normalisation", normalisation, NORMALISATIONS)
    return _shipped(normalisation, check_count("min_count", min_count, 0))


@lru_cache(maxsize=4)
def _shipped(normalisation: str, min_count: int) -> Bilingual:
    return between(load_vectors("zh"), normalisation, min_count)


def between(
    chinese: KeyedVectors, normalisation: str = "unit+centre", min_count: int = 20
) -> Bilingual:
    """The same as `load_bilingual`, for Chinese vectors of your own (with counts)."""
    check_choice("normalisation", normalisation, NORMALISATIONS)
    check_count("min_count", min_count, 0)
    check_kind("chinese", chinese, KeyedVectors, "KeyedVectors")
    english = load_glove()
    words = chinese.index_to_key
    frequent = {word for word in words if chinese.get_vecattr(word, "count") >= min_count}
    dictionary = load_dictionary().restrict(frequent, set(english.index_to_key[:CANDIDATES]))
    if not len(dictionary):
        raise ValueError(
            f"no dictionary word is among the {len(words):,} words of chinese and occurs "
            f"{min_count} times: min_count must be lower, or the vectors of more words"
        )
    return Bilingual(
        make_vectors(words, normalise_space(chinese.vectors, normalisation)),
        make_vectors(english.index_to_key, normalise_space(english.vectors, normalisation)),
        dictionary,
        len(load_dictionary()),
    )


def _check_bridge(spaces: Bilingual, linear_map: LinearMap) -> None:
    check_kind("spaces", spaces, Bilingual, "a Bilingual, as `load_bilingual` gives it")
    wanted = "a LinearMap, as `tlcourse.mapping.fit` gives it (the whole map, not its W)"
    check_kind("linear_map", linear_map, LinearMap, wanted)


@lru_cache(maxsize=8)
def _density(spaces: Bilingual, linear_map: LinearMap) -> np.ndarray:
    """Crowding of each candidate under a map: kept for the next word."""
    return candidate_density(spaces.candidates, linear_map(spaces.background))


def evaluate(
    W: LinearMap | np.ndarray,
    source: KeyedVectors,
    target: KeyedVectors,
    dictionary: Mapping[str, str | Collection[str]],
    csls: bool = True,
    *,
    ks: Sequence[int] = (1, 5, 10),
    candidates: int = CANDIDATES,
    background: int = BACKGROUND,
) -> dict[str, float]:
    """Precision and hubness of a map between any two spaces, on any dictionary.

    Parameters
    ----------
    W : LinearMap or numpy.ndarray
        The map, or its matrix (d_pre, d_fine), as fitted between these two spaces.
    source, target : gensim.models.keyedvectors.KeyedVectors
        The space that is mapped, and the one that stays; frequent words first.
    dictionary : mapping of str to str or collection of str
        The right answers, target words, of each source word; none of these should have been
        among the pairs that the map was fitted to.
    csls : bool
        Rank by CSLS, or else by cosine.
    ks : sequence of int
        For P@k.
    candidates : int
        Answers are sought among this many target words.
    background : int
        CSLS finds hubs by this many source words.

    Returns
    -------
    dict
        ``p1``, ``p5``, ``p10`` (0 … 1), ``skewness`` of how often candidates are among
        somebody's nearest, ``hub``, the share of words that have the largest hub, and
        ``coverage``, the share of the dictionary's words that could be asked: in the source
        space, with an answer among the candidates.

    Raises
    ------
    ValueError
        If no word can be asked.

    Examples
    --------
    >>> de = make_vectors(["hund", "katze"], [[0.0, 1.0], [1.0, 0.0]])
    >>> en = make_vectors(["cat", "dog"], [[0.0, 1.0], [1.0, 0.0]])
    >>> gold = {"hund": "cat", "katze": ["cat", "tomcat"], "maus": "mouse"}
    >>> evaluate(np.eye(2), de, en, gold, ks=[1])["p1"]
    0.5
    """
    for name, space in (("source", source), ("target", target)):
        check_kind(name, space, KeyedVectors, "KeyedVectors")
    check_choice("csls", csls, (True, False))
    candidates, background = (
        check_count("candidates", candidates),
        check_count("background", background),
    )
    ks = check_counts("ks", ks)
    shape = (source.vector_size, target.vector_size)
    matrix = check_array("W", W.W if isinstance(W, LinearMap) else W, shape)
    bridge = W if isinstance(W, LinearMap) else LinearMap(matrix, np.zeros(shape[1], np.float32))
    answers = _answers(dictionary)
    rows, gold = [], []
    for word, items in answers.items():
        found = {target.key_to_index.get(item, candidates) for item in items}
        if word in source and (known := {row for row in found if row < candidates}):
            rows.append(source.key_to_index[word])
            gold.append(known)
    if not rows:
        raise ValueError(
            "dictionary must have a word that the source space has, with an answer among the "
            f"candidates; got {len(answers)} words: {shown(dict(dictionary))}"
        )
    among = target.vectors[:candidates]
    density = candidate_density(among, bridge(source.vectors[:background])) if csls else None
    ranked = nearest_candidates(bridge(source.vectors[rows]), among, max(ks), density)
    hubs = hubness(ranked, len(among))
    return {
        **{f"p{k}": value for k, value in precision_at_k(ranked, gold, ks).items()},
        "skewness": hubs["skewness"],
        "hub": hubs["largest"],
        "coverage": len(rows) / len(answers),
    }


def _answers(dictionary: Mapping[str, str | Collection[str]]) -> dict[str, list[str]]:
    wanted = 'a mapping of each word to its answers, as {"Hund": ["dog"]}'
    check_kind("dictionary", dictionary, Mapping, wanted)
    check_texts("the words of dictionary", dictionary)
    return {
        word: [items] if isinstance(items, str) else check_texts(f"dictionary[{word!r}]", items)
        for word, items in dictionary.items()
    }


def evaluate_map(
    spaces: Bilingual, linear_map: LinearMap, split: str = "test", use_csls: bool = True
) -> dict[str, float]:
    """`evaluate` on the dictionary words of a split, all of which can be asked."""
    _check_bridge(spaces, linear_map)
    check_choice("use_csls", use_csls, (True, False))
    words = spaces.dictionary.subset(split).translations
    if not words:
        raise ValueError(f"the dictionary has no word in the split {split!r}")
    found = evaluate(linear_map, spaces.source, spaces.target, words, use_csls)
    del found["coverage"]
    return found


def translate(
    spaces: Bilingual, linear_map: LinearMap, word: str, k: int = 5, use_csls: bool = True
) -> list[tuple[str, float]]:
    """English neighbours of a Chinese word, with their scores; the best first.

    Raises
    ------
    KeyError
        If the word has no vector; the message names near matches.
    """
    _check_bridge(spaces, linear_map)
    check_count("k", k)
    check_choice("use_csls", use_csls, (True, False))
    require_word(spaces.source, word)
    mapped = linear_map(spaces.source.vectors[[spaces.source.key_to_index[word]]])
    found = cosine_scores(mapped, spaces.candidates)
    if use_csls:
        found = csls(found, _density(spaces, linear_map))
    best = top_candidates(found, k)[0]
    return [(spaces.target.index_to_key[row], float(found[0, row])) for row in best]


def map_vectors(spaces: Bilingual, linear_map: LinearMap) -> KeyedVectors:
    """The Chinese vectors carried into the English space, under their Chinese words."""
    _check_bridge(spaces, linear_map)
    return make_vectors(spaces.source.index_to_key, linear_map(spaces.source.vectors))
