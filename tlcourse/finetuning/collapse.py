"""Lesson 3: pretraining losses, one of which collapses: all embeddings become the same."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cosine_similarity, cross_entropy

from tlcourse.arguments import check_choice, check_count
from tlcourse.finetuning.losses import distance_loss
from tlcourse.finetuning.tasks import Encoded
from tlcourse.models import Encoder
from tlcourse.training import History, Progress, Stream, choose_device, train

PRETRAINING_LOSSES = ("distance, as written", "distance, target detached", "cross-entropy")
POSITIONS = ("same position", "next word")


def pretrain_encoder(
    texts: Encoded,
    held_out: Encoded,
    loss: str = PRETRAINING_LOSSES[0],
    target: str = "next word",
    trainable: bool = True,
    *,
    words: int = 500,
    width: int = 32,
    length: int = 40,
    steps: int = 400,
    every: int = 20,
    seed: int = 0,
    progress: Progress | None = None,
    device: torch.device | str = "auto",
) -> tuple[Encoder, History]:
    """Pretrain a small encoder by one of three losses, and watch its embedding E.

    Parameters
    ----------
    texts, held_out : Encoded
        Training texts, and those over whose words E is watched.
    loss : str
        One of `PRETRAINING_LOSSES`.
    target : {"same position", "next word"}
        What state i is compared with: word i or word i + 1.
    trainable : bool
        Whether E trains.
    words, width : int
        Rows and columns of E; words of higher numbers count as unknown.
    length : int
        Longer texts lose their end.
    steps, every : int
        Updates, and after how many of them E is watched.

    Returns
    -------
    Encoder
    History
        Its checks hold ``loss``, ``std``, the standard deviation of E over running text,
        ``cosine``, the mean cosine of neighbouring words' embeddings, and ``copy``, that of a
        state with its own word's embedding.
    """
    check_choice("loss", loss, PRETRAINING_LOSSES)
    check_choice("target", target, POSITIONS)
    check_count("every", every)
    device = choose_device(device)
    texts, watched = (
        Encoded(torch.where(ids < words, ids, 1), some.lengths.clamp(max=length)).to(device)
        for some in (texts, held_out.take(range(min(100, len(held_out)))))
        for ids in (some.ids[:, :length],)
    )
    start = np.random.default_rng(seed).normal(size=(words, width)).astype(np.float32)
    start[0] = 0
    with Stream(seed):
        encoder, head = Encoder(start, (2 * width, width)), nn.Linear(width, words)
    encoder.embedding.weight.requires_grad_(trainable)
    both = nn.ModuleList([encoder, head]).to(device)
    optimizer = torch.optim.Adam([p for p in both.parameters() if p.requires_grad], lr=1e-2)
    draw, shift = texts.batches(16, seed), int(target == "next word")
    real = watched.ids > 0
    running = watched.ids[real]  # running text: frequent words count more

    def loss_of(step: int) -> torch.Tensor:
        ids = next(draw).ids
        here = ids[:, shift:] > 0
        states, wanted = encoder(ids)[:, : ids.shape[1] - shift][here], ids[:, shift:][here]
        if loss == "cross-entropy":
            return cross_entropy(head(states), wanted)
        return distance_loss(
            states, encoder.embedding(wanted), detach=loss == "distance, target detached"
        )

    def watch() -> dict[str, float]:
        with torch.no_grad():
            E, states = encoder.embedding(running), encoder(watched.ids)[real]
            near = cosine_similarity(E[:-1], E[1:])[running[:-1] != running[1:]]
            copies = cosine_similarity(states, E, dim=-1)
        return {
            "std": float(E.std(0).mean()),
            "cosine": float(near.mean()),
            "copy": float(copies.mean()),
        }

    history = train(
        loss_of, optimizer, steps=steps + 1, clip=(), progress=progress, device=device,
        check_at=range(0, steps + 1, every), on_check=watch,
    )  # fmt: skip
    for check in history.checks:
        check["loss"] = history.loss[int(check["step"])]
    return encoder, history
