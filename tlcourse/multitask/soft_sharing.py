"""Lesson 4: soft sharing: each task its own trunk, and a penalty that ties them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import torch
from torch.nn.functional import cross_entropy

from tlcourse.arguments import check_kind, check_kinds, check_number
from tlcourse.finetuning.layers import l2_sp, restricted
from tlcourse.finetuning.tasks import Encoded, labels_of
from tlcourse.models import LAYERS, MultitaskModel
from tlcourse.multitask.gradients import check_tasks
from tlcourse.training import History, Progress, check_settings, choose_device, train


def trunk_distance(a: MultitaskModel, b: MultitaskModel) -> torch.Tensor:
    """R(w): squared distance between the weights of two trunks, over what trains."""
    check_kinds(a=(a, MultitaskModel), b=(b, MultitaskModel))
    return l2_sp(a.encoder, dict(b.encoder.named_parameters()))


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
    device: torch.device | str = "auto",
) -> History:
    """Train two tasks on a trunk each by ``(L_a + L_b)/2 + strength · ‖θ_a − θ_b‖²``, in place.

    Parameters
    ----------
    models : mapping of str to MultitaskModel
        Two tasks' own models; the embedding is not trained, nor what was frozen before.
    tasks : mapping of str to Encoded
        The same tasks' labelled texts.
    strength : float
        At least 0. 0 is two separate models; the larger, the nearer to one trunk.
    steps, batch_size : int
        At least 1.
    learning_rate : float
        Above 0.

    seed, progress, device
        As in `tlcourse.finetuning.tune`.

    Returns
    -------
    History
        Its checks have ``distance``, ‖θ_a − θ_b‖² after each step.

    Reference
    ---------
    Duong, Cohn, Bird and Cook (2015), Low resource dependency parsing.
    """
    check_kinds(models=(models, Mapping), tasks=(tasks, Mapping))
    if len(models) != 2 or set(models) != set(tasks):
        raise ValueError(
            "models and tasks must be of two tasks, with a model each; got "
            f"{list(models)} and {list(tasks)}"
        )
    for task, model in models.items():
        check_kind("each of models", model, MultitaskModel)
        check_tasks(model, "tasks", {task: tasks[task]})
    check_number("strength", strength, low=0)
    check_settings(learning_rate, steps=steps, batch_size=batch_size, seed=seed)
    device = choose_device(device)
    one, other = (model.to(device) for model in models.values())
    trained = [parameter for model in (one, other) for parameter in model.parameters()]
    draw = {task: tasks[task].to(device).batches(batch_size, seed) for task in models}

    def loss_of(step: int) -> torch.Tensor:
        losses = []
        for task, model in models.items():
            model.train()
            batch = next(draw[task])
            losses.append(cross_entropy(model(*batch.inputs, task), labels_of(task, batch)))
        loss = torch.stack(losses).mean()
        return loss + strength * trunk_distance(one, other) if strength else loss

    with ExitStack() as stack:
        for model in (one, other):
            stack.enter_context(restricted(model, LAYERS[1:]))
        return train(
            loss_of,
            torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0, fused=True),
            steps=steps,
            seed=seed,
            clip=[one.parameters(), other.parameters()],  # without a penalty they are strangers
            check_at=range(1, steps + 1),
            on_check=lambda: {"distance": trunk_distance(one, other).item()},
            progress=progress,
            device=device,
        )
