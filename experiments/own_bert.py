"""Lesson 5's sweeps on the own Chinese BERT: labels, entities, domains, its first steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from transformers import BertForTokenClassification, PreTrainedTokenizerBase

from experiments.bert import judged_scores, steps_for
from experiments.bert_models import DROPOUT, NAME, SHAPE, VECTORS, new_model
from experiments.engine import Sweep
from tlcourse import bert
from tlcourse.bert import entities, layers
from tlcourse.bert.masking import Documents, encode_documents, load_documents, masked_batches
from tlcourse.bert.models import BertMeanClassifier
from tlcourse.bert.pretraining import pretrain, pretraining_scores
from tlcourse.data.datasets import TextDataset, load_zh_reviews
from tlcourse.finetuning.domains import DOMAINS, domain_rows
from tlcourse.inputs import Inputs
from tlcourse.scores import scores
from tlcourse.training import Progress

STARTS = ("own BERT", "scratch")
VECTORS_ONLY = "character vectors"
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
def tokenizer() -> PreTrainedTokenizerBase:
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
    times: int = 1,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Fine-tune the own BERT, or its shape from a poorer start, on a draw of Chinese reviews.

    ``times`` multiplies the steps.
    """
    train = _reviews().subset("train").sample(labels, seed)
    model = _tuned(
        BertMeanClassifier, _encode(train), torch.from_numpy(train.labels), 2, start, frozen,
        learning_rate, times * steps_for(labels), seed, progress,
    )  # fmt: skip
    found: dict[str, float] = {}
    for split in JUDGED:
        inputs, wanted = _judged(split)
        found |= judged_scores(split, wanted, bert.predict(model, inputs))
    return found


def _tuned(
    kind: type[bert.Model],
    inputs: Inputs,
    labels: torch.Tensor,
    classes: int,
    start: str,
    frozen: int,
    learning_rate: float,
    steps: int,
    seed: int,
    progress: Progress | None = None,
) -> bert.Model:
    """The own BERT with a head, or its shape from a poorer start, tuned."""
    if start not in (*STARTS, VECTORS_ONLY):
        raise ValueError(f"start must be one of {(*STARTS, VECTORS_ONLY)}, got {start!r}")
    model = bert.load_model(
        kind, NAME, scratch=start != STARTS[0], seed=seed, num_labels=classes, **DROPOUT
    )
    if start == VECTORS_ONLY:
        table: Any = model.get_input_embeddings()
        table.load_state_dict({"weight": _character_vectors()})
    layers.freeze(model, frozen)
    bert.fine_tune(
        *layers.above(model, inputs, frozen), labels,
        steps=steps, learning_rate=learning_rate, seed=seed, device="cpu", progress=progress,
    )  # fmt: skip
    return model


@lru_cache(maxsize=1)
def _character_vectors() -> torch.Tensor:
    """What the own BERT's embedding was before its pretraining: Word2Vec of the characters."""
    documents = encode_documents(load_documents("train"), tokenizer())
    model = new_model(SHAPE, documents, tokenizer(), VECTORS)
    return model.bert.embeddings.word_embeddings.weight.detach()


def across_domains(source: str, seed: int, labels: int = 200) -> dict[str, float]:
    """Tune the own BERT on reviews of one domain; accuracy on the test reviews of each.

    With macro-F1 beside it, since a domain's two classes are not equally frequent.
    """
    part = _reviews().subset("train")
    train = part.take(domain_rows(part, source)).sample(labels, seed)
    model = _tuned(
        BertMeanClassifier, _encode(train), torch.from_numpy(train.labels), 2, STARTS[0], 0,
        RATES[0], steps_for(labels), seed,
    )  # fmt: skip
    found: dict[str, float] = {}
    for target in DOMAINS:
        inputs, wanted = _judged("test", target)
        judged = scores(wanted, bert.predict(model, inputs).argmax(1))
        found |= {target: judged["accuracy"], f"{target}_macro_f1": judged["macro_f1"]}
    return found


@lru_cache(maxsize=3)
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
    """Tune a token classifier on tagged lines of news; entity F1 on others.

    All lines are cut after 62 characters; entities behind that are not counted.
    """
    rows = np.random.default_rng(seed).permutation(len(_lines("train")))[:lines]
    train = [_lines("train")[row] for row in rows]
    inputs, tags = entities.encode_tags(tokenizer(), train, MAX_LENGTH)
    model = _tuned(
        BertForTokenClassification, inputs, tags, len(entities.TAGS), start, frozen,
        learning_rate, 2 * steps_for(lines), seed, progress,
    )  # fmt: skip
    found: dict[str, float] = {}
    for split, n in (("validation", 200), ("test", 500)):
        judged = _lines(split)
        some = [judged[row] for row in np.random.default_rng(0).permutation(len(judged))[:n]]
        right = entities.entity_scores(model, *entities.encode_tags(tokenizer(), some, MAX_LENGTH))
        prefix = "" if split == "test" else f"{split}_"
        found |= {prefix + name: value for name, value in right.items()}
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
    """A quarter of the documents: more than 200 steps read, and soon tokenised."""
    return encode_documents(load_documents(split)[::4], tokenizer())


@lru_cache(maxsize=1)
def _masked() -> list[dict[str, torch.Tensor]]:
    return masked_batches(_documents("validation"), tokenizer(), 128, 48, 128)


def first_steps(
    bias: str,
    learning_rate: float,
    seed: int,
    steps: int = TINY_STEPS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The first steps of pretraining a very small BERT: its losses on validation texts.

    The curve has the MLM loss at the start and after each tenth of the steps.
    """
    if bias not in BIASES:
        raise ValueError(f"bias must be one of {BIASES}, got {bias!r}")
    model = new_model(TINY, _documents("train"), tokenizer(), seed=seed)
    if bias == "zeros":
        torch.nn.init.zeros_(model.cls.predictions.bias)
    tenths = range(0, steps + 1, steps // 10)
    history = pretrain(
        model, _documents("train"), tokenizer(), stages=[(steps, 8, 48)],
        learning_rate=learning_rate, warmup=20, seed=seed, device="cpu", check_at=tenths,
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
        "poorer_starts",
        "The own BERT's shape on Chinese reviews: from scratch with four times the steps, and "
        "with Word2Vec's character vectors alone",
        tune_zh,
        {
            "start": (*STARTS[1:], VECTORS_ONLY),
            "times": (1, 4),
            "frozen": (0,),
            "learning_rate": RATES[:1],
            "labels": LABELS,
        },
        keep=lambda row: (row["start"] == VECTORS_ONLY) == (row["times"] == 1),
    ),
    Sweep(
        "named_entities",
        "Persons, places and organisations in Chinese news, on the own BERT and from scratch",
        tag_entities,
        {**HOW, "lines": LINES},
        keep=_makes_sense,
    ),
    Sweep(
        "entities_from_vectors",
        "Persons, places and organisations, with Word2Vec's character vectors alone",
        tag_entities,
        {
            "start": (VECTORS_ONLY,),
            "frozen": (0,),
            "learning_rate": RATES[:1],
            "lines": LINES,
        },
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
    Sweep(
        "begins_to_read",
        "The first 1,000 steps of pretraining a very small BERT",
        first_steps,
        {"bias": BIASES, "learning_rate": FIRST_RATES[1:2], "steps": (1000,)},
    ),
)
