"""Bilingual dictionaries: words with their gold translations, split by source word."""

from __future__ import annotations

import gzip
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from tlcourse.arguments import check_choice, check_text
from tlcourse.data.datasets import SPLITS, split_of
from tlcourse.data.sources import fetch
from tlcourse.data.text import normalise


@dataclass(frozen=True)
class Dictionary:
    """A bilingual dictionary: each source word with all its gold translations, read-only."""

    translations: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        # Callers share one: a change must not reach the next.
        object.__setattr__(self, "translations", MappingProxyType(dict(self.translations)))

    def __reduce__(self) -> tuple[Any, ...]:  # a read-only mapping cannot be copied or sent
        return Dictionary, (dict(self.translations),)

    def __len__(self) -> int:
        return len(self.translations)

    def subset(self, split: str) -> Dictionary:
        """The source words of one split."""
        check_choice("split", split, SPLITS)
        kept = {word: gold for word, gold in self.translations.items() if split_of(word) == split}
        return Dictionary(kept)

    def restrict(self, source_words: Container[str], target_words: Container[str]) -> Dictionary:
        """Keep words that two vocabularies (anything with ``in``) know."""
        kept = {}
        for word, gold in self.translations.items():
            if word in source_words:
                known = tuple(item for item in gold if item in target_words)
                if known:
                    kept[word] = known
        return Dictionary(kept)


_ENTRY = re.compile(r"(\S+) (\S+) \[[^\]]*\] /(.*)/$")
_NO_TRANSLATION = re.compile(r"variant of|^see |^CL:|surname|abbr\.|used in|\[")
_LEADING = re.compile(r"^(?:to be|to|a|an|the) ")


@lru_cache(maxsize=1)
def load_dictionary() -> Dictionary:
    """CC-CEDICT, cleaned: simplified Chinese words with one-word English translations.

    Remarks in brackets and a leading "to", "a", "the" are cut off; cross-references,
    surnames, classifiers and translations of several words are dropped.
    """
    with gzip.open(fetch("cedict") / "cedict.txt.gz", "rt", encoding="utf8") as stream:
        lines = stream.read().splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        entry = _ENTRY.match(line.strip())
        if line.startswith("#") or not entry:
            continue
        for gloss in entry[3].split("/"):
            if _NO_TRANSLATION.search(gloss):
                continue
            for part in re.split(r"[;,]", re.sub(r"\([^)]*\)", "", gloss).lower()):
                word = _LEADING.sub("", part.strip())
                if re.fullmatch(r"[a-z-]+", word):
                    found.setdefault(normalise(entry[2]), []).append(word)
    return Dictionary({word: tuple(dict.fromkeys(gold)) for word, gold in found.items()})


@lru_cache(maxsize=1)
def _first_translations() -> dict[str, str]:
    return {word: gold[0] for word, gold in load_dictionary().translations.items()}


def gloss(word: str) -> str:
    """The first English translation of a Chinese word; empty if there is none.

    Examples
    --------
    >>> gloss("电影")
    'movie'
    """
    return _first_translations().get(check_text("word", word), "")
