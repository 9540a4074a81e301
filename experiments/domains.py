"""Lesson 3's sweeps across domains: who transfers to whom, weighting, and where it hurts."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from experiments.engine import Sweep
from experiments.finetuning import ARMS
from tlcourse.data.datasets import TextDataset
from tlcourse.embeddings.vectors import document_averages, load_vectors
from tlcourse.finetuning.domains import DOMAINS, domain_rows, instance_weights
from tlcourse.finetuning.start import build_model
from tlcourse.finetuning.tasks import Encoded, Task, load_task
from tlcourse.finetuning.tuning import evaluate, source_loss, tune

POOLS = ("target only", "source only", "plain pooling", "weighted pooling")
TARGETS = ("sentiment", "domain", "shuffled labels", "word order")


@lru_cache(maxsize=16)
def _reviews(domain: str, split: str) -> TextDataset:
    part = load_task().dataset.subset(split)
    return part.take(domain_rows(part, domain))


def across_domains(source: str, seed: int, n: int = 500) -> dict[str, float]:
    """Fine-tune on n reviews of one domain; accuracy on the test reviews of each."""
    task = load_task()
    model = build_model(task, seed=seed)
    labelled = task.encode(_reviews(source, "train").sample(n, seed))
    tune(model, labelled, steps=200, learning_rate=3e-3, seed=seed, device="cpu")
    return {
        target: evaluate(model, task.encode(_reviews(target, "test")))["accuracy"]
        for target in DOMAINS
    }


def pooling(target: str, method: str, seed: int, n: int = 50) -> dict[str, float]:
    """N labels of one domain with 500 of each of the others, pooled in one of `POOLS`' ways."""
    task = load_task()
    if method not in POOLS:
        raise ValueError(f"method must be one of {POOLS}, got {method!r}")
    own = _reviews(target, "train").sample(n, seed)
    others = [_reviews(name, "train").sample(500, seed) for name in DOMAINS if name != target]
    parts = [own] if method != "source only" else []
    if method != "target only":
        parts += others
    labelled = _joined([task.encode(part) for part in parts])
    if method == "weighted pooling":
        vectors = load_vectors("zh")
        source = document_averages([tokens for part in others for tokens in part.tokens], vectors)
        every = _reviews(target, "train").tokens  # their labels are not used
        some = np.random.default_rng(seed).permutation(len(every))[:1000]
        unlabelled = document_averages([every[row] for row in some], vectors)
        weights = np.concatenate([np.ones(n), instance_weights(source, unlabelled)])
        labelled = replace(labelled, weights=torch.as_tensor(weights, dtype=torch.float32))
    model = build_model(task, seed=seed)
    tune(model, labelled, steps=200, learning_rate=3e-3, seed=seed, device="cpu")
    return {"accuracy": evaluate(model, task.encode(_reviews(target, "test")))["accuracy"]}


def _joined(parts: list[Encoded]) -> Encoded:
    labels = [part.labels for part in parts if part.labels is not None]
    return Encoded(
        torch.cat([part.ids for part in parts]),
        torch.cat([part.lengths for part in parts]),
        torch.cat(labels),
    )


def relabelled(task: Task, target: str, split: str, seed: int) -> Encoded:
    """The reviews of a split under another question.

    Parameters
    ----------
    target : {"sentiment", "domain", "shuffled labels", "word order"}
        Domain: hotel or computer. Shuffled labels: in the train split the sentiment of
        another review; the others keep their own. Word order: whether the words stand as
        written or were shuffled.
    """
    if target == "domain":
        hotel, computer = (_reviews(name, split) for name in ("hotel", "computer"))
        both = _joined([task.encode(hotel), task.encode(computer)])
        domains = np.repeat([0, 1], [len(hotel), len(computer)])
        return replace(both, labels=torch.as_tensor(domains))
    texts, generator = task.splits[split], np.random.default_rng(seed)
    assert texts.labels is not None
    if target == "shuffled labels" and split == "train":
        return replace(texts, labels=texts.labels[generator.permutation(len(texts))])
    if target == "word order":
        ids, labels = texts.ids.clone(), torch.as_tensor(generator.integers(0, 2, len(texts)))
        for row in torch.nonzero(labels)[:, 0].tolist():
            length = int(texts.lengths[row])
            ids[row, :length] = ids[row, torch.as_tensor(generator.permutation(length))]
        return replace(texts, ids=ids, labels=labels)
    return texts


def targets(
    target: str, arm: str, seed: int, n: int = 200, split: str = "test"
) -> dict[str, float]:
    """One of `TARGETS` learned from n labels with one of lesson 3's arms, at equal steps."""
    if target not in TARGETS:
        raise ValueError(f"target must be one of {TARGETS}, got {target!r}")
    task, options = load_task(), dict(ARMS[arm])
    model = build_model(task, "random", bool(options.pop("pretrained", True)), seed)
    train = relabelled(task, target, "train", seed)
    rows = np.random.default_rng(seed).permutation(len(train))[:n]
    tune(
        model, train.take(rows), steps=150, learning_rate=3e-3, seed=seed,
        source=task.splits["train"], source_batch_size=8, device="cpu",
        **options,
    )  # fmt: skip
    judged = relabelled(task, target, split, seed)
    return {
        "accuracy": evaluate(model, judged)["accuracy"],
        "pre": source_loss(model, task.splits["validation"], 200),
    }


SWEEPS = (
    Sweep(
        "across_domains",
        "Chinese reviews: fine-tuned on one domain, tested on each",
        across_domains,
        {"source": DOMAINS},
    ),
    Sweep(
        "domain_pooling",
        "Chinese reviews: 50 labels of a domain with 1,000 of the others, pooled or weighted",
        pooling,
        {"target": DOMAINS, "method": POOLS},
    ),
    Sweep(
        "transfer_targets",
        "One pretrained encoder, several target tasks: where transfer helps and where it hurts",
        targets,
        {"target": TARGETS, "arm": tuple(ARMS)},
    ),
)
