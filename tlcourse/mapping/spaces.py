"""Lesson 2's two spaces, Chinese and English, with the dictionary between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from gensim.models.keyedvectors import KeyedVectors

from tlcourse.arguments import check_choice, check_count, shown
from tlcourse.data.dictionary import Dictionary, load_dictionary
from tlcourse.embeddings.vectors import load_glove, load_vectors, make_vectors, require_word
from tlcourse.mapping.linear_map import LinearMap
from tlcourse.mapping.retrieval import (
    NORMALISATIONS,
    candidate_density,
    cosine_scores,
    csls,
    hubness,
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


@lru_cache(maxsize=4)
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
    check_choice("normalisation", normalisation, NORMALISATIONS)  # before half a minute's loading
    return between(load_vectors("zh"), normalisation, min_count)


def between(
    chinese: KeyedVectors, normalisation: str = "unit+centre", min_count: int = 20
) -> Bilingual:
    """The same as `load_bilingual`, for Chinese vectors of your own (with counts)."""
    check_choice("normalisation", normalisation, NORMALISATIONS)
    check_count("min_count", min_count, 0)
    english = load_glove()
    words = chinese.index_to_key
    frequent = {word for word in words if chinese.get_vecattr(word, "count") >= min_count}
    dictionary = load_dictionary().restrict(frequent, set(english.index_to_key[:CANDIDATES]))
    if not len(dictionary):
        raise ValueError(
            f"no dictionary word is among the {len(words):,} Chinese words and occurs {min_count} "
            "times: lower min_count, or take vectors of more words"
        )
    return Bilingual(
        make_vectors(words, normalise_space(chinese.vectors, normalisation)),
        make_vectors(english.index_to_key, normalise_space(english.vectors, normalisation)),
        dictionary,
        len(load_dictionary()),
    )


def translation_scores(
    spaces: Bilingual, linear_map: LinearMap, rows: np.ndarray, use_csls: bool
) -> np.ndarray:
    """Cosine or CSLS of some Chinese words with all candidates: shape (n, 20000)."""
    _check_bridge(spaces, linear_map)
    found = cosine_scores(linear_map(spaces.source.vectors[rows]), spaces.candidates)
    if use_csls:
        found = csls(found, _density(spaces, linear_map))
    return found


def _check_bridge(spaces: Bilingual, linear_map: LinearMap) -> None:
    if not isinstance(spaces, Bilingual):
        raise TypeError(
            f"spaces must be a Bilingual, as `load_bilingual` gives it; got {shown(spaces)}"
        )
    if not isinstance(linear_map, LinearMap):
        raise TypeError(
            "linear_map must be a LinearMap, as `tlcourse.mapping.fit` gives it (the whole map, "
            f"not its W); got {shown(linear_map)}"
        )


@lru_cache(maxsize=8)
def _density(spaces: Bilingual, linear_map: LinearMap) -> np.ndarray:
    """Crowding of each candidate under a map; half a second, so kept for the next word."""
    return candidate_density(spaces.candidates, linear_map(spaces.background))


def evaluate_map(
    spaces: Bilingual, linear_map: LinearMap, split: str = "test", use_csls: bool = True
) -> dict[str, float]:
    """Precision and hubness of a map on the dictionary words of a split.

    Returns
    -------
    dict
        ``p1``, ``p5``, ``p10`` (0 … 1), ``skewness`` of how often candidates are among
        somebody's ten nearest, and ``hub``, the share of words that have the largest hub.
    """
    _check_bridge(spaces, linear_map)
    rows, gold = spaces.queries(split)
    if not len(rows):
        raise ValueError(f"the dictionary has no word in the split {split!r}")
    ranked = top_candidates(translation_scores(spaces, linear_map, rows, use_csls), 10)
    precision = precision_at_k(ranked, gold)
    hubs = hubness(ranked, len(spaces.candidates))
    return {
        **{f"p{k}": value for k, value in precision.items()},
        "skewness": hubs["skewness"],
        "hub": hubs["largest"],
    }


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
    if not isinstance(word, str):
        raise TypeError(f"word must be a text, got {shown(word)}")
    check_count("k", k)
    require_word(spaces.source, word)
    rows = np.array([spaces.source.key_to_index[word]])
    found = translation_scores(spaces, linear_map, rows, use_csls)
    best = top_candidates(found, k)[0]
    return [(spaces.target.index_to_key[row], float(found[0, row])) for row in best]


def map_vectors(spaces: Bilingual, linear_map: LinearMap) -> KeyedVectors:
    """The Chinese vectors carried into the English space, under their Chinese words."""
    _check_bridge(spaces, linear_map)
    return make_vectors(spaces.source.index_to_key, linear_map(spaces.source.vectors))
