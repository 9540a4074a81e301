"""Lesson 5: what a BERT is pretrained on: characters, sentence pairs, masked characters."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from transformers import BertTokenizer, DataCollatorForLanguageModeling
from transformers import PreTrainedTokenizerBase as Tokenizer

from tlcourse.arguments import check_choice, check_count, check_texts
from tlcourse.data.corpora import load_zh_news
from tlcourse.data.datasets import SPLITS, load_zh_reviews, split_of
from tlcourse.data.text import normalise
from tlcourse.training import Stream

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CLAUSE = re.compile(r"[^。！？!?；;，,、：:\s]+[。！？!?；;，,、：:\s]*")


def load_documents(split: str) -> list[str]:
    """Chinese reviews and newspaper lines of one split, as running text.

    Parameters
    ----------
    split : {"train", "validation", "test"}
    """
    check_choice("split", split, SPLITS)
    reviews = load_zh_reviews().subset(split).texts
    news = ("".join(words) for words in load_zh_news())
    return [*reviews, *(text for text in news if split_of(text) == split)]


def build_tokenizer(texts: Iterable[str], min_count: int = 5) -> BertTokenizer:
    """A BERT tokenizer whose pieces are single characters.

    Latin letters and digits within a word are continued pieces (``##a``), as in WordPiece.

    Parameters
    ----------
    texts : iterable of str
    min_count : int
        Rarer characters become ``[UNK]``.

    Reference
    ---------
    Wu et al. (2016), Google's neural machine translation system (WordPiece).
    """
    texts = check_texts("texts", texts)
    check_count("min_count", min_count)
    counts = Counter(character for text in texts for character in normalise(text))
    characters = [
        character
        for character, count in counts.most_common()
        if count >= min_count and not character.isspace()
    ]
    inner = [f"##{character}" for character in characters if character.isascii()]
    words = [*SPECIAL, *characters, *(piece for piece in inner if piece[2:].isalnum())]
    return BertTokenizer(vocab={word: row for row, word in enumerate(words)})


@dataclass(frozen=True)
class Documents:
    """Tokenised documents and the places where a clause begins.

    Attributes
    ----------
    ids : list of numpy.ndarray
        int64; a document's pieces, without special tokens.
    starts : list of numpy.ndarray
        int64; for each document the positions where a clause begins, 0 among them.
    """

    ids: list[np.ndarray]
    starts: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def shares(self) -> np.ndarray:
        """Each document's share of all pieces, float64: how likely `draw_pairs` takes it."""
        sizes = np.array([len(item) for item in self.ids], dtype=float)
        return sizes / sizes.sum()


def encode_documents(texts: Sequence[str], tokenizer: Tokenizer) -> Documents:
    """Cut texts into clauses at their punctuation, and clauses into pieces.

    Raises
    ------
    ValueError
        If no text has two pieces or more.
    """
    texts = check_texts("texts", texts)
    documents = [_CLAUSE.findall(normalise(text)) or ["。"] for text in texts]
    # Whole texts, since clause by clause takes twice as long.
    whole = ["".join(clauses) for clauses in documents]
    found = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
    ids, starts = [], []
    for clauses, pieces, places in zip(
        documents, found["input_ids"], found["offset_mapping"], strict=True
    ):
        if len(pieces) > 1:
            begins = np.cumsum([0, *(len(clause) for clause in clauses[:-1])])
            first = np.searchsorted([begin for begin, _ in places], begins)
            ids.append(np.array(pieces, dtype=np.int64))
            starts.append(first[first < len(pieces)])  # a clause may have no piece
    if not ids:
        raise ValueError(f"none of the {len(texts)} texts has two characters or more")
    return Documents(ids, starts)


def draw_pairs(
    documents: Documents, n: int, max_length: int, generator: np.random.Generator
) -> list[dict[str, Any]]:
    """Draw examples for masked language modelling and next-sentence prediction.

    A document is drawn with a probability proportional to its length, then a window of it
    that begins at a clause, then a clause within the window where sentence B begins. In half
    of the examples B is replaced by clauses of another document.

    Parameters
    ----------
    documents : Documents
    n : int
        Examples.
    max_length : int
        Pieces at most, the three special ones included.
    generator : numpy.random.Generator

    Returns
    -------
    list of dict
        ``a`` and ``b``, lists of piece numbers, and ``next_sentence_label``: 0 if B follows A,
        1 if it is from elsewhere (BERT's own order), −100 if the window has one clause only
        and so no B.

    Raises
    ------
    ValueError
        If max_length leaves no room for two pieces.

    Reference
    ---------
    Devlin et al. (2019), BERT, appendix A.
    """
    check_count("n", n)
    room = max_length - 3
    if room < 2:
        raise ValueError(
            "max_length must be 5 or more, for three special pieces and two others; "
            f"got {max_length}"
        )
    rows = generator.choice(len(documents), size=2 * n, p=documents.shares)
    pairs = []
    for row, other in zip(rows[:n], rows[n:], strict=True):
        ids, starts = documents.ids[row], documents.starts[row]
        begin = int(generator.choice(starts[starts <= max(len(ids) - room, 0)]))
        window = ids[begin : begin + room]
        inside = starts[(starts > begin) & (starts < begin + len(window))] - begin
        if not len(inside):
            pairs.append({"a": window, "b": window[:0], "next_sentence_label": -100})
            continue
        cut = int(generator.choice(inside))
        a, b = window[:cut], window[cut:]
        label = int(generator.random() < 0.5 and other != row)
        if label:
            begin = int(generator.choice(documents.starts[other]))
            b = documents.ids[other][begin : begin + room - cut]
        pairs.append({"a": a, "b": b, "next_sentence_label": label})
    return pairs


def collate_pairs(pairs: Sequence[dict[str, Any]], tokenizer: Tokenizer) -> dict[str, Any]:
    """Put ``[CLS] A [SEP] B [SEP]`` together, pad, and mask 15 % of the pieces.

    Of the chosen pieces the library's collator makes 80 % ``[MASK]``, 10 % another piece and
    leaves 10 % as they are; ``labels`` is −100 everywhere else. It draws from torch's global
    generator.
    """
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    examples = []
    for pair in pairs:
        first = [cls, *pair["a"], sep]
        second = [*pair["b"], sep] if len(pair["b"]) else []
        ids = [*first, *second]
        examples.append(
            {
                "input_ids": ids,
                "token_type_ids": [0] * len(first) + [1] * len(second),
                "special_tokens_mask": [int(piece in {cls, sep}) for piece in ids],
            }
        )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    batch = dict(collator(examples))
    labels = [pair["next_sentence_label"] for pair in pairs]
    return {**batch, "next_sentence_label": torch.tensor(labels)}


def masked_batches(
    documents: Documents,
    tokenizer: Tokenizer,
    n: int,
    max_length: int,
    batch_size: int = 64,
) -> list[dict[str, Any]]:
    """The same masked sentence pairs each time, to judge a model on; see `draw_pairs`."""
    check_count("batch_size", batch_size)
    pairs = draw_pairs(documents, n, max_length, np.random.default_rng(0))
    with Stream(0):
        return [
            collate_pairs(pairs[row : row + batch_size], tokenizer)
            for row in range(0, n, batch_size)
        ]


def unigram_loss(
    documents: Documents, batches: Sequence[dict[str, torch.Tensor]], size: int
) -> float:
    """The MLM loss of always guessing by frequency: what a model knows that reads no context.

    Parameters
    ----------
    documents : Documents
        Whose frequencies are taken.
    batches : sequence of dict
        Whose masked pieces are guessed.
    size : int
        Of the vocabulary.

    Returns
    -------
    float
        In nats.
    """
    frequencies = piece_frequencies(documents, size)
    labels = torch.cat([batch["labels"][batch["labels"] != -100] for batch in batches])
    return float(-frequencies.log()[labels].mean())


def piece_frequencies(documents: Documents, size: int) -> torch.Tensor:
    """The share of each piece in the documents, shape (size,), with 0.5 added to each count."""
    counts = torch.bincount(torch.from_numpy(np.concatenate(documents.ids)), minlength=size) + 0.5
    return counts / counts.sum()
