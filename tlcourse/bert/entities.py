"""Lesson 5: named entities in the tagged Chinese news, one label a character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase as Tokenizer

from tlcourse.arguments import check_choice, check_count
from tlcourse.data.datasets import SPLITS, split_of
from tlcourse.data.sources import fetch
from tlcourse.data.text import normalise
from tlcourse.inputs import Inputs, by_length, take
from tlcourse.training import device_of

ENTITY_KINDS = {"nr": "PER", "ns": "LOC", "nt": "ORG"}
TAGS = ("O", *(f"{place}-{kind}" for kind in ENTITY_KINDS.values() for place in "BI"))


@dataclass(frozen=True)
class TaggedText:
    """A line of text with a tag for each character.

    Attributes
    ----------
    characters : tuple of str
    tags : tuple of str
        Of `TAGS`: B begins an entity, I continues it, O is outside.
    """

    characters: tuple[str, ...]
    tags: tuple[str, ...]


def load_entities(split: str) -> list[TaggedText]:
    """Lines of the Chinese news that name a person, a place or an organisation.

    The corpus tags words: a word tagged nr, ns or nt is an entity here. Surname and given name
    are two words there, so a person's word right after another one continues it.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        By the line's text, as for pretraining: test lines were never read there.
    """
    check_choice("split", split, SPLITS)
    found = []
    for line in (fetch("zh_text") / "news_tagged.txt").read_text(encoding="utf8").splitlines():
        words = [item.rpartition("/") for item in line.split()]
        text = tag_words([(normalise(word), tag) for word, _, tag in words])
        if split_of("".join(text.characters)) == split and any(tag != "O" for tag in text.tags):
            found.append(text)
    return found


def tag_words(words: Sequence[tuple[str, str]]) -> TaggedText:
    """Turn words with parts of speech into characters with entity tags.

    Examples
    --------
    >>> tag_words([("江", "nr"), ("泽民", "nr"), ("在", "p"), ("北京", "ns")]).tags
    ('B-PER', 'I-PER', 'I-PER', 'O', 'B-LOC', 'I-LOC')
    """
    characters: list[str] = []
    tags: list[str] = []
    before = ""
    for word, tag in words:
        kind = ENTITY_KINDS.get(tag)
        for place, character in enumerate(word):
            first = place == 0 and not (tag == before == "nr")
            characters.append(character)
            tags.append(f"{'B' if first else 'I'}-{kind}" if kind else "O")
        before = tag
    return TaggedText(tuple(characters), tuple(tags))


def encode_tags(
    tokenizer: Tokenizer, texts: Sequence[TaggedText], max_length: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Piece numbers and tag numbers, piece for character.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    texts : sequence of TaggedText
        One or more.
    max_length : int
        At least 3: ``[CLS]``, ``[SEP]`` and a character; longer texts lose their end.

    Returns
    -------
    inputs : dict
        ``input_ids`` and ``attention_mask``, int64, shape (n, length).
    labels : torch.Tensor
        int64, shape (n, length): −100 at ``[CLS]``, ``[SEP]`` and padding.
    """
    room = check_count("max_length", max_length, 3) - 2
    if isinstance(texts, TaggedText) or not all(isinstance(text, TaggedText) for text in texts):
        raise TypeError("texts must be a list of TaggedText, as load_entities gives it")
    if not len(texts):
        raise ValueError("texts needs at least 1 text, got 0")
    vocabulary, unknown = tokenizer.get_vocab(), tokenizer.unk_token_id
    rows, labels = [], []
    for text in texts:
        pieces = [vocabulary.get(item, unknown) for item in text.characters[:room]]
        rows.append([tokenizer.cls_token_id, *pieces, tokenizer.sep_token_id])
        labels.append([-100, *(TAGS.index(tag) for tag in text.tags[:room]), -100])
    inputs = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    wanted = pad_sequence([torch.tensor(row) for row in labels], True, -100)
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}, wanted


def entity_scores(model: nn.Module, inputs: Inputs, labels: torch.Tensor) -> dict[str, float]:
    """F1 over whole entities, and the accuracy of single tags, which flatters.

    An entity counts as found if its kind and both its ends are right.

    Returns
    -------
    dict
        ``entity_f1`` (micro-averaged) and ``tag_accuracy``, 0 … 1.
    """
    from seqeval.metrics import accuracy_score, f1_score

    model.eval()
    found: list[list[str]] = []
    wanted: list[list[str]] = []
    with torch.no_grad():
        for rows in by_length(inputs, 64):
            batch = take(inputs, rows)
            moved = {name: values.to(device_of(model)) for name, values in batch.items()}
            best = model(**moved).logits.argmax(-1).cpu().numpy()
            right = labels[rows, : best.shape[1]].numpy()
            for guess, truth in zip(best, right, strict=True):
                judged = np.flatnonzero(truth != -100)
                found.append([TAGS[tag] for tag in guess[judged]])
                wanted.append([TAGS[tag] for tag in truth[judged]])
    return {
        "entity_f1": float(f1_score(wanted, found, zero_division=0)),
        "tag_accuracy": float(accuracy_score(wanted, found)),
    }
