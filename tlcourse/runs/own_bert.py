"""Lesson 5's sweeps on the own Chinese BERT: labels, entities, domains, its first steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForPreTraining, BertForTokenClassification, BertTokenizer

from tlcourse import bert, entities, partial_tuning
from tlcourse.bert import BertMeanClassifier
from tlcourse.datasets import TextDataset, load_zh_reviews
from tlcourse.domains import DOMAINS, domain_rows
from tlcourse.masking import (
    Documents,
    collate_pairs,
    draw_pairs,
    encode_documents,
    load_documents,
    piece_frequencies,
)
from tlcourse.pretraining import pretrain, pretraining_scores
from tlcourse.runs.bert import judged_scores, steps_for
from tlcourse.runs.bert_models import DROPOUT, NAME
from tlcourse.runs.engine import Sweep
from tlcourse.training import Progress

STARTS = ("own BERT", "scratch")
LAYERS = 4
LABELS = (50, 200, 800)
LINES = (100, 400)
RATES = (1e-3, 3e-3)
MAX_LENGTH = 64
JUDGED = {"validation": 300, "test": 1000}


@lru_cache(maxsize=1)
def _reviews() -> TextDataset:
    return load_zh_reviews()


@lru_cache(maxsize=1)
def tokenizer() -> BertTokenizer:
    """The own BERT's."""
    return bert.load_tokenizer(NAME)


def _encode(texts: TextDataset) -> dict[str, torch.Tensor]:
    return bert.encode(tokenizer(), texts.texts, MAX_LENGTH)


@lru_cache(maxsize=8)
def _judged(split: str, domain: str = "") -> tuple[dict[str, torch.Tensor], np.ndarray]:
    part = _reviews().subset(split)
    part = part.take(domain_rows(part, domain)) if domain else part.sample(JUDGED[split], 0)
    return _encode(part), part.labels


def tune_zh(
    labels: int,
    start: str,
    frozen: int,
    learning_rate: float,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Fine-tune the own BERT, or its shape from scratch, on a draw of Chinese reviews."""
    train = _reviews().subset("train").sample(labels, seed)
    model = _tuned(train, start, frozen, learning_rate, seed, progress)
    found: dict[str, float] = {}
    for split in JUDGED:
        inputs, wanted = _judged(split)
        found |= judged_scores(split, wanted, bert.predict(model, inputs))
    return found


def _tuned(
    train: TextDataset,
    start: str,
    frozen: int,
    learning_rate: float,
    seed: int,
    progress: Progress | None = None,
) -> BertMeanClassifier:
    if start not in STARTS:
        raise ValueError(f"start must be one of {STARTS}, got {start!r}")
    model = bert.load_model(
        BertMeanClassifier, NAME, scratch=start == "scratch", seed=seed, num_labels=2, **DROPOUT
    )
    partial_tuning.freeze(model, frozen)
    bert.fine_tune(
        *partial_tuning.above(model, _encode(train), frozen), torch.from_numpy(train.labels),
        steps=steps_for(len(train)), learning_rate=learning_rate, seed=seed,
        progress=progress,
    )  # fmt: skip
    return model


def across_domains(source: str, seed: int, labels: int = 200) -> dict[str, float]:
    """Tune the own BERT on reviews of one domain; accuracy on the test reviews of each."""
    part = _reviews().subset("train")
    train = part.take(domain_rows(part, source)).sample(labels, seed)
    model = _tuned(train, "own BERT", 0, RATES[0], seed)
    found = {}
    for target in DOMAINS:
        inputs, wanted = _judged("test", target)
        found[target] = float((bert.predict(model, inputs).argmax(1) == wanted).mean())
    return found


@lru_cache(maxsize=2)
def _lines(split: str) -> list[entities.TaggedText]:
    return entities.load_entities(split)


def tag_entities(
    lines: int,
    start: str,
    frozen: int,
    learning_rate: float,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Tune a token classifier on tagged lines of news; entity F1 on others."""
    rows = np.random.default_rng(seed).permutation(len(_lines("train")))[:lines]
    train = [_lines("train")[row] for row in rows]
    inputs, tags = entities.encode_tags(tokenizer(), train, MAX_LENGTH)
    model = bert.load_model(
        BertForTokenClassification, NAME, scratch=start == "scratch", seed=seed,
        num_labels=len(entities.TAGS), **DROPOUT,
    )  # fmt: skip
    partial_tuning.freeze(model, frozen)
    bert.fine_tune(
        *partial_tuning.above(model, inputs, frozen), tags,
        steps=2 * steps_for(lines), learning_rate=learning_rate, seed=seed, progress=progress,
    )  # fmt: skip
    found: dict[str, float] = {}
    for split, n in (("validation", 200), ("test", 500)):
        judged = _lines(split)
        some = [judged[row] for row in np.random.default_rng(0).permutation(len(judged))[:n]]
        scores = entities.entity_scores(model, *entities.encode_tags(tokenizer(), some, MAX_LENGTH))
        prefix = "" if split == "test" else f"{split}_"
        found |= {prefix + name: value for name, value in scores.items()}
    return found


BIASES = ("zeros", "frequencies")
FIRST_RATES = (3e-4, 1e-3, 3e-3)
TINY: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
TINY_STEPS = 200
TINY_CHECKS = range(0, TINY_STEPS + 1, 20)


@lru_cache(maxsize=2)
def _documents(split: str) -> Documents:
    return encode_documents(load_documents(split), tokenizer())


@lru_cache(maxsize=1)
def _masked() -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    pairs = draw_pairs(_documents("validation"), 128, 48, np.random.default_rng(0))
    return [collate_pairs(pairs, tokenizer())]


def first_steps(
    bias: str, learning_rate: float, seed: int, progress: Progress | None = None
) -> dict[str, Any]:
    """The first steps of pretraining a very small BERT: its losses on validation texts."""
    if bias not in BIASES:
        raise ValueError(f"bias must be one of {BIASES}, got {bias!r}")
    torch.manual_seed(seed)
    size = len(tokenizer())
    model = BertForPreTraining(BertConfig(vocab_size=size, **TINY))
    model.set_attn_implementation("eager")
    if bias == "frequencies":
        with torch.no_grad():
            shares = piece_frequencies(_documents("train"), size)
            model.cls.predictions.bias.copy_(shares.log())
    history = pretrain(
        model, _documents("train"), tokenizer(), stages=[(TINY_STEPS, 8, 48)],
        learning_rate=learning_rate, warmup=20, seed=seed, check_at=TINY_CHECKS,
        on_check=lambda step: pretraining_scores(model, _masked()), progress=progress,
    )  # fmt: skip
    last = history.checks[-1]
    return {
        "mlm": last["mlm"],
        "nsp_accuracy": last["nsp_accuracy"],
        "curve": " ".join(f"{check['mlm']:.3f}" for check in history.checks),
    }


def _makes_sense(row: Mapping[str, Any]) -> bool:
    """Scratch leaves nothing to freeze, and only a head alone bears the higher rate."""
    return row["start"] == "own BERT" if row["frozen"] else row["learning_rate"] == RATES[0]


HOW = {"start": STARTS, "frozen": (0, LAYERS), "learning_rate": RATES}
SWEEPS = (
    Sweep(
        "own_bert_labels",
        "The own BERT tuned on Chinese reviews, and its shape from scratch",
        tune_zh,
        {**HOW, "labels": LABELS},
        keep=_makes_sense,
    ),
    Sweep(
        "named_entities",
        "Persons, places and organisations in Chinese news, on the own BERT and from scratch",
        tag_entities,
        {**HOW, "lines": LINES},
        keep=_makes_sense,
    ),
    Sweep(
        "bert_across_domains",
        "The own BERT tuned on Chinese reviews of one domain, tested on each",
        across_domains,
        {"source": DOMAINS},
    ),
    Sweep(
        "first_steps",
        "The first 200 steps of pretraining a very small BERT",
        first_steps,
        {"bias": BIASES, "learning_rate": FIRST_RATES},
    ),
)
