"""Lesson 5's sweeps on the own Chinese BERT: labels, entities, domains, its first steps."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers import BertForTokenClassification

from experiments.bert_models import DROPOUT, NAME, SHAPE, VECTORS, new_model
from experiments.recipes import RECIPES
from experiments.shared import curve, judged, on_split, points, split_from, steps_for, tuned
from tlcourse import bert
from tlcourse.bert import entities
from tlcourse.bert.masking import Documents, encode_documents, load_documents, masked_batches
from tlcourse.bert.models import BertMeanClassifier
from tlcourse.bert.pretraining import pretrain, pretraining_scores
from tlcourse.data.datasets import TextDataset, load_zh_reviews
from tlcourse.finetuning.domains import DOMAINS, domain_rows
from tlcourse.inputs import Inputs

MAX_LENGTH = 64
RATE = 1e-3


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    return bert.load_tokenizer(NAME)


def _encoded(texts: TextDataset) -> Inputs:
    return bert.encode(_tokenizer(), texts.texts, MAX_LENGTH)


@lru_cache(maxsize=8)
def _judged(split: str, n: int, domain: str = "") -> tuple[Inputs, np.ndarray]:
    part = split_from(load_zh_reviews, split)
    part = part.take(domain_rows(part, domain)) if domain else part.sample(n, 0)
    return _encoded(part), part.labels


def _started(kind: type[bert.Model], start: str, classes: int, seed: int) -> bert.Model:
    """The own BERT with a head, or its shape from scratch or from the vectors it began with."""
    scratch = start != "own BERT"
    model = bert.load_model(kind, NAME, scratch=scratch, seed=seed, num_labels=classes, **DROPOUT)
    if start == "character vectors":
        table: Any = model.get_input_embeddings()
        table.load_state_dict({"weight": _character_vectors()})
    return model


@lru_cache(maxsize=1)
def _character_vectors() -> torch.Tensor:
    """What the own BERT's embedding was before its pretraining: Word2Vec of the characters."""
    documents = encode_documents(load_documents("train"), _tokenizer())
    model = new_model(SHAPE, documents, _tokenizer(), VECTORS)
    return model.bert.embeddings.word_embeddings.weight.detach()


def tune_zh(
    labels: int, start: str, frozen: int, learning_rate: float, seed: int, times: int = 1
) -> dict[str, float]:
    """Fine-tune the own BERT, or its shape from a poorer start, on a draw of Chinese reviews.

    ``times`` multiplies the steps.
    """
    train = split_from(load_zh_reviews, "train").sample(labels, seed)
    model = _started(BertMeanClassifier, start, 2, seed)
    steps = times * steps_for(labels)
    tuned(model, _encoded(train), train.labels, frozen, learning_rate, seed, steps)
    found: dict[str, float] = {}
    for split, n in (("validation", 300), ("test", 1000)):
        inputs, wanted = _judged(split, n)
        found |= judged(split, wanted, bert.predict(model, inputs))
    return found


def across_domains(source: str, seed: int) -> dict[str, float]:
    """Tune the own BERT on 200 reviews of one domain; accuracy on the test reviews of each.

    With macro-F1 beside it, since a domain's two classes are not equally frequent.
    """
    part = split_from(load_zh_reviews, "train")
    train = part.take(domain_rows(part, source)).sample(200, seed)
    model = _started(BertMeanClassifier, "own BERT", 2, seed)
    tuned(model, _encoded(train), train.labels, 0, RATE, seed)
    found: dict[str, float] = {}
    for target in DOMAINS:
        inputs, wanted = _judged("test", 0, target)
        scores = judged("test", wanted, bert.predict(model, inputs))
        found |= {target: scores["accuracy"], f"{target}_macro_f1": scores["macro_f1"]}
    return found


@lru_cache(maxsize=3)
def _lines(split: str) -> list[entities.TaggedText]:
    return entities.load_entities(split)


def _drawn(split: str, n: int, seed: int) -> tuple[Inputs, torch.Tensor]:
    rows = np.random.default_rng(seed).permutation(len(_lines(split)))[:n]
    return entities.encode_tags(_tokenizer(), [_lines(split)[row] for row in rows], MAX_LENGTH)


def tag_entities(
    lines: int, start: str, frozen: int, learning_rate: float, seed: int
) -> dict[str, float]:
    """Tune a token classifier on tagged lines of news; entity F1 on others.

    All lines are cut after 62 characters; entities behind that are not counted.
    """
    model = _started(BertForTokenClassification, start, len(entities.TAGS), seed)
    tuned(model, *_drawn("train", lines, seed), frozen, learning_rate, seed, 2 * steps_for(lines))
    found: dict[str, float] = {}
    for split, n in (("validation", 200), ("test", 500)):
        found |= on_split(split, entities.entity_scores(model, *_drawn(split, n, 0)))
    return found


@lru_cache(maxsize=2)
def _documents(split: str) -> Documents:
    """A quarter of the documents: more than 200 steps read, and soon tokenised."""
    return encode_documents(load_documents(split)[::4], _tokenizer())


@lru_cache(maxsize=1)
def _masked() -> list[dict[str, torch.Tensor]]:
    return masked_batches(_documents("validation"), _tokenizer(), 128, 48, 128)


def first_steps(bias: str, learning_rate: float, seed: int, steps: int = 200) -> dict[str, Any]:
    """The first steps of pretraining a very small BERT: its losses on validation texts.

    The curve has the MLM loss at the start and after each tenth of the steps.
    """
    shape = {**SHAPE, **RECIPES["first_steps"]}
    model = new_model(shape, _documents("train"), _tokenizer(), seed=seed)
    if bias == "zeros":
        torch.nn.init.zeros_(model.cls.predictions.bias)
    history = pretrain(
        model, _documents("train"), _tokenizer(), stages=[(steps, 8, 48)],
        learning_rate=learning_rate, warmup=20, seed=seed, check_at=points(10, steps),
        on_check=lambda step: pretraining_scores(model, _masked()), device="cpu",
    )  # fmt: skip
    last, checks = history.checks[-1], (check["mlm"] for check in history.checks)
    return {"mlm": last["mlm"], "nsp_accuracy": last["nsp_accuracy"], "curve": curve(checks, ".3f")}
