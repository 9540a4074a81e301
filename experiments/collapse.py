"""Lesson 3's sweep of pretraining losses: the article's, which collapses, and two repairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from experiments.engine import Sweep
from tlcourse.finetuning.losses import distance_loss
from tlcourse.finetuning.tasks import Encoded, load_task
from tlcourse.models import Encoder
from tlcourse.training import Progress, Stream, train

POSITIONS = ("same position", "next word")
LOSSES = ("distance, as written", "distance, target detached", "cross-entropy")
WIDTH, WORDS, LENGTH, STEPS, EVERY = 32, 500, 40, 400, 20


def pretraining_losses(
    target: str,
    trainable: bool,
    loss: str,
    seed: int,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> dict[str, float | str]:
    """Pretrain a small encoder by one of three losses, and watch its embedding.

    Parameters
    ----------
    target : {"same position", "next word"}
        What state i is compared with: word i or word i + 1.
    trainable : bool
        Whether the embedding E trains.
    loss : str
        One of `LOSSES`.

    Returns
    -------
    dict
        Curves over the steps, as numbers in a string: ``curve_std``, the standard deviation
        of E over running text; ``curve_loss``; ``curve_cosine``, the mean cosine of
        neighbouring words' embeddings. At the end ``copy``, the mean cosine of a state with its own
        word's embedding.
    """
    for given, known in ((target, POSITIONS), (loss, LOSSES)):
        if given not in known:
            raise ValueError(f"got {given!r}, expected one of {known}")
    task = load_task()
    texts, held_out = (_small(task.splits[split]) for split in ("train", "validation"))
    start = np.random.default_rng(seed).normal(size=(WORDS, WIDTH))
    start[0] = 0
    with Stream(seed):
        encoder, head = Encoder(start.astype(np.float32), (64, WIDTH)), nn.Linear(WIDTH, WORDS)
    encoder.embedding.weight.requires_grad_(trainable)
    trained = [p for p in [*encoder.parameters(), *head.parameters()] if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    draw = texts.batches(16, seed)
    words = held_out.ids[:100][held_out.ids[:100] > 0]  # running text: frequent words count more
    shift = int(target == "next word")
    curves: dict[str, list[float]] = {"std": [], "loss": [], "cosine": []}

    def loss_of(step: int) -> torch.Tensor:
        ids = next(draw).ids
        states, length = encoder(ids), ids.shape[1]
        real = ids[:, shift:] > 0
        found, wanted = states[:, : length - shift][real], ids[:, shift:][real]
        if loss == "cross-entropy":
            value = cross_entropy(head(found), wanted)
        else:
            value = distance_loss(found, encoder.embedding(wanted), detach=loss != LOSSES[0])
        if step % EVERY == 0:
            with torch.no_grad():
                E = encoder.embedding(words)
                pairs = cosine_similarity(E[:-1], E[1:])[words[:-1] != words[1:]]
            curves["std"].append(float(E.std(0).mean()))
            curves["loss"].append(value.item())
            curves["cosine"].append(float(pairs.mean()))
        return value

    train(loss_of, optimizer, steps=steps + 1, clip=(), progress=progress)
    with torch.no_grad():
        states, E = encoder(held_out.ids[:100]), encoder.embedding(held_out.ids[:100])
        copy = cosine_similarity(states, E, dim=-1)[held_out.ids[:100] > 0].mean()
    told = {
        f"curve_{name}": " ".join(f"{number:.4g}" for number in curve)
        for name, curve in curves.items()
    }
    return {**told, "copy": float(copy)}


def _small(texts: Encoded) -> Encoded:
    """Their first words, and only the most frequent ones; the rest count as unknown."""
    ids = texts.ids[:, :LENGTH]
    return replace(
        texts, ids=torch.where(ids < WORDS, ids, 1), lengths=texts.lengths.clamp(max=LENGTH)
    )


SWEEPS = (
    Sweep(
        "pretraining_losses",
        "Pretraining losses: target position, trainable embedding and loss against collapse",
        pretraining_losses,
        {"target": POSITIONS, "trainable": (True, False), "loss": LOSSES},
    ),
)
