"""Turn text into tokens and tokens into padded rows of word numbers."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from tlcourse.arguments import (
    check_choice,
    check_count,
    check_documents,
    check_text,
    check_texts,
    shown,
)

LANGUAGES = ("en", "zh")
PAD, UNKNOWN = "<pad>", "<unk>"

# GloVe's own tokens: "don't" is "do" + "n't", "it's" is "it" + "'s".
_ENGLISH = re.compile(r"\w+(?=n't\b)|n't\b|'\w+|\w+|[^\w\s]")


def normalise(text: str) -> str:
    """Unicode NFKC and lower case: full-width ``Ａ１`` becomes ``a1``.

    Examples
    --------
    >>> normalise("ＮＬＰ　Is　fun")
    'nlp is fun'
    """
    return unicodedata.normalize("NFKC", check_text("text", text)).lower()


@cache
def _jieba_cutter():  # type: ignore[no-untyped-def]
    import jieba

    jieba.setLogLevel(logging.ERROR)
    return jieba.lcut


def tokenise(text: str, language: str) -> list[str]:
    """Split a text into lower-case tokens.

    Parameters
    ----------
    text : str
        Any text.
    language : {"en", "zh"}
        English is split by GloVe's rules, Chinese into words by jieba.

    Returns
    -------
    list of str
        Tokens without white space.

    Examples
    --------
    >>> tokenise("It's good, don't miss it!", "en")
    ['it', "'s", 'good', ',', 'do', "n't", 'miss', 'it', '!']
    """
    if language == "en":
        return _ENGLISH.findall(normalise(text))
    check_choice("language", language, LANGUAGES)
    return [token for token in _jieba_cutter()(normalise(text)) if not token.isspace()]


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers; number 0 is padding, number 1 any unknown word."""

    words: tuple[str, ...]
    index: dict[str, int] = field(repr=False)

    @classmethod
    def build(
        cls, documents: Iterable[Sequence[str]], min_count: int = 1, max_words: int | None = None
    ) -> Vocabulary:
        """Number the words of tokenised documents, the most frequent first.

        Parameters
        ----------
        documents : iterable of token lists
        min_count : int
            Rarer words count as unknown.
        max_words : int, optional
            Keep at most so many words, beside padding and the unknown word.

        Raises
        ------
        TypeError
            If a document is a text and not a list of words.
        ValueError
            If a count is below 1.

        Examples
        --------
        >>> vocabulary = Vocabulary.build([["a", "film"], ["a", "book"]])
        >>> vocabulary.words
        ('<pad>', '<unk>', 'a', 'book', 'film')
        """
        documents = check_documents("documents", documents)
        check_count("min_count", min_count)
        if max_words is not None:
            check_count("max_words", max_words)
        counts = Counter(token for document in documents for token in document)
        kept = [word for word, count in counts.items() if count >= min_count]
        kept.sort(key=lambda word: (-counts[word], word))
        words = (PAD, UNKNOWN, *kept[:max_words])
        return cls(words, {word: number for number, word in enumerate(words)})

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Numbers of some tokens; an unknown token gets 1."""
        if isinstance(tokens, (str, bytes)):
            raise TypeError(
                f"tokens must be a list of words, got one text: {shown(tokens)}; split it first: "
                'tlcourse.data.tokenise(text, "en")'
            )
        return [self.index.get(token, 1) for token in check_texts("tokens", tokens, least=0)]

    def encode_batch(
        self, documents: Sequence[Sequence[str]], max_length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode documents into one padded array.

        Parameters
        ----------
        documents : sequence of token lists
        max_length : int
            Longer documents lose their end.

        Returns
        -------
        ids : numpy.ndarray
            int64, shape (n, max_length); 0 where a document has ended.
        lengths : numpy.ndarray
            int64, shape (n,); at least 1, an empty document counts as one unknown word.
        """
        check_count("max_length", max_length)
        documents = check_documents("documents", documents)
        ids = np.zeros((len(documents), max_length), dtype=np.int64)
        lengths = np.ones(len(documents), dtype=np.int64)
        for row, tokens in enumerate(documents):
            encoded = [self.index.get(token, 1) for token in tokens[:max_length]] or [1]
            ids[row, : len(encoded)] = encoded
            lengths[row] = len(encoded)
        return ids, lengths
