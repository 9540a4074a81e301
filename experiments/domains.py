"""Lesson 3's sweeps across domains: who transfers to whom, weighting, and where it hurts."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from experiments.finetuning import ARMS
from tlcourse.arguments import check_choice
from tlcourse.data.datasets import TextDataset
from tlcourse.embeddings.vectors import document_averages, load_vectors
from tlcourse.finetuning.domains import DOMAINS, domain_rows, instance_weights
from tlcourse.finetuning.start import build_model
from tlcourse.finetuning.tasks import Encoded, Task, load_task
from tlcourse.finetuning.tuning import evaluate, source_loss, tune
from tlcourse.models import TransferModel

POOLS = ("target only", "source only", "plain pooling", "weighted pooling")
TARGETS = ("sentiment", "domain", "shuffled labels", "word order")


@lru_cache(maxsize=16)
def reviews(domain: str, split: str) -> TextDataset:
    """The reviews of a domain in a split."""
    part = load_task().dataset.subset(split)
    return part.take(domain_rows(part, domain))


def _tuned(task: Task, labelled: Encoded, seed: int) -> TransferModel:
    model = build_model(task, seed=seed)
    tune(model, labelled, steps=200, learning_rate=3e-3, seed=seed, device="cpu")
    return model


def across_domains(source: str, seed: int) -> dict[str, float]:
    """Fine-tune on 500 reviews of one domain; accuracy on the test reviews of each."""
    task = load_task()
    model = _tuned(task, task.encode(reviews(source, "train").sample(500, seed)), seed)
    judged = {target: task.encode(reviews(target, "test")) for target in DOMAINS}
    return {target: evaluate(model, texts)["accuracy"] for target, texts in judged.items()}


def pooling(target: str, method: str, seed: int, n: int = 50) -> dict[str, float]:
    """N labels of one domain with 500 of each of the others, pooled in one of `POOLS`' ways."""
    check_choice("method", method, POOLS)
    task = load_task()
    own = reviews(target, "train").sample(n, seed)
    others = [reviews(name, "train").sample(500, seed) for name in DOMAINS if name != target]
    parts = [own] if method != "source only" else []
    parts += others if method != "target only" else []
    labelled = _joined([task.encode(part) for part in parts])
    if method == "weighted pooling":
        vectors = load_vectors("zh")
        source = document_averages([tokens for part in others for tokens in part.tokens], vectors)
        every = reviews(target, "train").tokens  # their labels are not used
        some = np.random.default_rng(seed).permutation(len(every))[:1000]
        unlabelled = document_averages([every[row] for row in some], vectors)
        weights = np.concatenate([np.ones(n), instance_weights(source, unlabelled)])
        labelled = replace(labelled, weights=torch.as_tensor(weights, dtype=torch.float32))
    model = _tuned(task, labelled, seed)
    return {"accuracy": evaluate(model, task.encode(reviews(target, "test")))["accuracy"]}


def _joined(parts: list[Encoded]) -> Encoded:
    labels = [part.labels for part in parts if part.labels is not None]
    return Encoded(
        torch.cat([part.ids for part in parts]),
        torch.cat([part.lengths for part in parts]),
        torch.cat(labels),
    )


def relabelled(task: Task, target: str, split: str, seed: int) -> Encoded:
    """The reviews of a split under another question, one of `TARGETS`.

    Domain: hotel or computer. Shuffled labels: in the train split the sentiment of another review;
    the others keep their own. Word order: whether the words stand as written or were shuffled.
    """
    if target == "domain":
        both = [task.encode(reviews(name, split)) for name in ("hotel", "computer")]
        domains = np.repeat([0, 1], list(map(len, both)))
        return replace(_joined(both), labels=torch.as_tensor(domains))
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


def targets(target: str, arm: str, seed: int) -> dict[str, float]:
    """One of `TARGETS` learned from 200 labels with one of lesson 3's arms, at equal steps."""
    check_choice("target", target, TARGETS)
    task, options = load_task(), dict(ARMS[arm])
    model = build_model(task, "random", bool(options.pop("pretrained", True)), seed)
    train = relabelled(task, target, "train", seed)
    rows = np.random.default_rng(seed).permutation(len(train))[:200]
    tune(
        model, train.take(rows), steps=150, learning_rate=3e-3, seed=seed,
        source=task.splits["train"], source_batch_size=8, device="cpu", **options,
    )  # fmt: skip
    return {
        "accuracy": evaluate(model, relabelled(task, target, "test", seed))["accuracy"],
        "pre": source_loss(model, task.splits["validation"], 200),
    }
