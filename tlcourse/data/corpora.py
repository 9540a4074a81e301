"""Running text without labels, for training word vectors. Test splits are never in it."""

from __future__ import annotations

import bz2
import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from tlcourse.arguments import check_choice, check_count
from tlcourse.data.datasets import (
    _movie_rows,
    load_movie_reviews,
    load_news_topics,
    load_speeches,
    load_zh_reviews,
    split_of,
)
from tlcourse.data.derived import Tokens, cached_tokens
from tlcourse.data.sources import content_digest, fetch
from tlcourse.data.text import normalise, tokenise

CORPORA = ("english", "chinese")


def load_corpus(name: str, tokens: int | None = None) -> Tokens:
    """Tokenised documents, in one fixed random order.

    ``"english"`` has movie reviews and plots, news, speeches and the Wikipedia sample that
    gensim ships; ``"chinese"`` newspaper sentences of 1998 and reviews. Of labelled sets
    only the train split is taken, so vectors never see a text they are tested on.

    Parameters
    ----------
    name : {"english", "chinese"}
    tokens : int, optional
        Take this many tokens, cutting the last document; all if left out.

    Raises
    ------
    ValueError
        If the corpus is smaller than asked for.
    """
    check_choice("name", name, CORPORA)
    if tokens is not None:
        check_count("tokens", tokens)
    return _loaded(name, tokens)


@lru_cache(maxsize=4)
def _loaded(name: str, tokens: int | None) -> Tokens:
    if name == "english":
        wikipedia = hashlib.sha256(_wikipedia_dump().read_bytes()).hexdigest()
        digest = _short(content_digest("en_text"), content_digest("en_news"), wikipedia)
        documents = cached_tokens("corpus-english", digest, _english)
    else:
        digest = _short(content_digest("zh_text"))
        documents = cached_tokens("corpus-chinese", digest, _chinese)
    return documents if tokens is None else _first(documents, tokens)


def _short(*digests: str) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]


def _first(documents: Sequence[tuple[str, ...]], tokens: int) -> Tokens:
    sizes = np.cumsum([len(document) for document in documents])
    if tokens < 1 or tokens > sizes[-1]:
        raise ValueError(f"tokens must lie between 1 and {sizes[-1]:,}, got {tokens}")
    last = int(np.searchsorted(sizes, tokens))
    return (*documents[:last], documents[last][: tokens - int(sizes[last]) + len(documents[last])])


def _english() -> Tokens:
    labelled = [load_movie_reviews(), load_speeches(), load_news_topics()]
    documents = [tokens for dataset in labelled for tokens in dataset.subset("train").tokens]
    documents += [tuple(tokenise(text, "en")) for text in [*load_plots(), *_wikipedia()]]
    return _shuffled(documents)


def _chinese() -> Tokens:
    news = [tuple(sentence) for sentence in load_zh_news()]
    return _shuffled([*news, *load_zh_reviews().subset("train").tokens])


def _wikipedia() -> Iterator[str]:
    """Plain text of the pages in gensim's shortened dump."""
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    with bz2.open(_wikipedia_dump()) as stream:
        for title, source, _ in extract_pages(stream, filter_namespaces=("0",)):
            if source and not source.lower().startswith("#redirect"):
                yield f"{title} {filter_wiki(source)}"


def _wikipedia_dump() -> Path:
    from gensim.test.utils import datapath

    name = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
    return Path(datapath(name))


def _shuffled(documents: Sequence[tuple[str, ...]]) -> Tokens:
    order = np.random.default_rng(0).permutation(len(documents))
    return tuple(documents[number] for number in order)


def load_zh_news() -> list[list[str]]:
    """Sentences of Chinese newspaper text (1998), segmented into words by its editors."""
    lines = (fetch("zh_text") / "news_tagged.txt").read_text(encoding="utf8").splitlines()
    # "迈向/v  充满/v": a word, a slash, a part of speech.
    sentences = ([normalise(item.rpartition("/")[0]) for item in line.split()] for line in lines)
    return [sentence for sentence in sentences if sentence]


def load_plots() -> list[str]:
    """Plot summaries of movies that are not in the test split."""
    rows = [row for row in _movie_rows() if row["category"] == "plot"]
    return [row["text"] for row in rows if split_of(row["movie_name"]) != "test"]
