"""Lesson 4: soft sharing: each task its own trunk, and a penalty that ties them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tlcourse.arguments import check_count, check_number
from tlcourse.finetuning.layers import set_trainable
from tlcourse.finetuning.tasks import Encoded
from tlcourse.models import LAYERS, MultitaskModel
from tlcourse.training import Progress, Stream, batches, check_finite


def trunk_distance(a: MultitaskModel, b: MultitaskModel) -> torch.Tensor:
    """R(w): squared distance between the weights of two trunks, over what trains."""
    pairs = zip(a.encoder.parameters(), b.encoder.parameters(), strict=True)
    parts = [(one - two).square().sum() for one, two in pairs if one.requires_grad]
    return torch.stack(parts).sum()


def train_tied(
    models: Mapping[str, MultitaskModel],
    tasks: Mapping[str, Encoded],
    *,
    strength: float,
    steps: int,
    learning_rate: float,
    batch_size: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[float]:
    """Train two tasks on a trunk each by ``(L_a + L_b)/2 + strength · ‖θ_a − θ_b‖²``, in place.

    Parameters
    ----------
    models : mapping of str to MultitaskModel
        Two tasks' own models; the embedding is not trained.
    tasks : mapping of str to Encoded
        The same tasks' labelled texts.
    strength : float
        At least 0. 0 is two separate models; the larger, the nearer to one trunk.
    steps, batch_size : int
        At least 1.
    learning_rate : float
        Above 0.

    Returns
    -------
    list of float
        ‖θ_a − θ_b‖² after each step.

    Reference
    ---------
    Duong, Cohn, Bird and Cook (2015), Low resource dependency parsing.
    """
    if len(models) != 2 or set(models) != set(tasks):
        raise ValueError(f"two tasks with a model each, got {list(models)} and {list(tasks)}")
    if any(texts.labels is None or len(texts) == 0 for texts in tasks.values()):
        raise ValueError("both tasks need labelled texts")
    strength = check_number("strength", strength, low=0)
    learning_rate = check_number("learning_rate", learning_rate, above=0)
    steps, batch_size = check_count("steps", steps), check_count("batch_size", batch_size)
    for model in models.values():
        set_trainable(model, LAYERS[1:])
    trained = [parameter for model in models.values() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0, fused=True)
    draws = Stream(seed)
    draw = {
        task: batches(len(texts), batch_size, torch.Generator().manual_seed(seed))
        for task, texts in tasks.items()
    }
    distances = []
    for step in range(steps):
        losses = []
        for task, model in models.items():
            model.train()
            batch = tasks[task].take(next(draw[task]))
            assert batch.labels is not None
            with draws:
                logits = model(batch.ids, batch.lengths, task)
            losses.append(cross_entropy(logits, batch.labels))
        loss = torch.stack(losses).mean()
        if strength:
            loss = loss + strength * trunk_distance(*models.values())
        check_finite(loss.item(), step)
        optimizer.zero_grad()
        loss.backward()
        for model in models.values():  # each by itself: without a penalty they are strangers
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            distances.append(trunk_distance(*models.values()).item())
        if progress is not None:
            progress((step + 1) / steps)
    return distances
