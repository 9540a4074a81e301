"""Lesson 4: train several tasks on one trunk, and judge each.

``L_mt = −1/ΣN_t Σ_t Σ_n Σ_c Y log Ŷ``: every example of every task counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn
from torchjd.scalarization import UW

from tlcourse.arguments import check_choice, check_labels
from tlcourse.finetuning.layers import restricted
from tlcourse.finetuning.losses import mixture, next_word_loss
from tlcourse.finetuning.tasks import Encoded
from tlcourse.models import LAYERS, MultitaskModel
from tlcourse.multitask.gradients import project_conflicts, trunk_parameters
from tlcourse.multitask.losses import (
    loss_parts,
    mean_loss,
    relative_weights,
    sampling_probabilities,
)
from tlcourse.scores import scores
from tlcourse.training import (
    Progress,
    Stream,
    batches,
    check_finite,
    check_lambda,
    check_settings,
    check_trains,
    checker,
)

METHODS = ("weights", "uncertainty", "PCGrad")


@dataclass
class MultitaskHistory:
    """What a run of `train_tasks` went through.

    Attributes
    ----------
    loss : list of float
        What was minimised, at each step.
    tasks : dict of str to list of float
        Each task's mean cross-entropy; NaN in a step without a batch of it.
    weights : list of float
        The tasks' weights at the end, divided by their mean.
    checks : list of dict
        What ``on_check`` returned, with its ``step``.
    """

    loss: list[float] = field(default_factory=list)
    tasks: dict[str, list[float]] = field(default_factory=dict)
    weights: list[float] = field(default_factory=list)
    checks: list[dict[str, float]] = field(default_factory=list)


def evaluate_tasks(model: MultitaskModel, texts: Mapping[str, Encoded]) -> dict[str, float]:
    """Accuracy and macro-F1 of each task, as ``accuracy_<task>`` and ``macro_f1_<task>``."""
    model.eval()
    found: dict[str, float] = {}
    for task, split in texts.items():
        labels = _labels(split)
        with torch.no_grad():
            logits = [
                model(part.ids, part.lengths, task)
                for part in (split.take(rows) for rows in torch.arange(len(split)).split(256))
            ]
        judged = scores(labels.numpy(), torch.cat(logits).argmax(1).numpy())
        found |= {f"{metric}_{task}": value for metric, value in judged.items()}
    return found


def train_tasks(
    model: MultitaskModel,
    tasks: Mapping[str, Encoded],
    *,
    steps: int,
    learning_rate: float,
    weights: Mapping[str, float] | None = None,
    temperature: float | None = None,
    method: str = "weights",
    lam: float = 0.0,
    source: Encoded | None = None,
    batch_size: int = 16,
    source_batch_size: int | None = None,
    layers: Sequence[str] = LAYERS[1:],
    seed: int = 0,
    check_at: Sequence[int] = (),
    on_check: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
) -> MultitaskHistory:
    """Train a trunk and its heads by ``λ L_pre + (1 − λ) L_mt``, in place.

    A step takes as many batches as there are tasks and sends them through the trunk at once.

    Parameters
    ----------
    model : MultitaskModel
    tasks : mapping of str to Encoded
        Labelled texts of the tasks to train; heads of others stay as they are.
    steps : int
        Updates.
    learning_rate : float
    weights : mapping of str to float, optional
        w_t, see `tlcourse.multitask.multitask_loss`.
    temperature : float, optional
        Draw each batch's task by
        `tlcourse.multitask.sampling_probabilities`; left out, one batch of each task.
    method : {"weights", "uncertainty", "PCGrad"}
        Fixed weights; weights e^−s learned with the model, at ten times its rate, by
        ``1/K Σ_t (e^{−s_t} L_t + s_t)`` over K tasks; or fixed weights and
        `tlcourse.multitask.project_conflicts` on the trunk.
    lam : float
        λ; above 0 it needs ``source``.
    source : Encoded, optional
        Texts for the language model.
    batch_size, source_batch_size : int
        Texts of one batch of a task, and of the language model.
    layers : sequence of str
        Shared layers that train; the embedding is left as given, so that it stays one space
        for both languages. What was frozen before stays frozen, and after the run all is frozen
        or not as before it.
    seed : int
        For the tasks drawn, the order of the examples, and dropout.
    check_at, on_check, progress
        As in `tlcourse.finetuning.tune`.

    Returns
    -------
    MultitaskHistory

    Raises
    ------
    ValueError
        For settings outside their range, missing texts, labels that a head does not know, a
        model that is frozen as a whole, or a loss that is no number.

    Reference
    ---------
    Kendall, Gal and Cipolla (2018), Multi-task learning using uncertainty to weigh losses.
    """
    check_lambda(lam)
    check_settings(
        learning_rate, steps=steps, batch_size=batch_size, source_batch_size=source_batch_size
    )
    check_choice("method", method, METHODS)
    if not tasks or any(texts.labels is None or len(texts) == 0 for texts in tasks.values()):
        raise ValueError(f"each task needs labelled texts, at least one task; got {list(tasks)}")
    if lam > 0 and (source is None or len(source) == 0):
        raise ValueError("λ > 0 needs source texts")
    if unknown := [task for task in tasks if task not in model.heads]:
        raise ValueError(f"the model has no head for {unknown}; it has {list(model.heads)}")
    for task, labelled in tasks.items():
        head = cast(nn.Linear, model.heads[task])
        check_labels(f"labels of {task!r}", labelled.labels, head.out_features)
    if method == "uncertainty" and (temperature is not None or weights is not None):
        raise ValueError(
            "uncertainty weighting finds the weights and needs a batch of each task: leave "
            "weights and temperature out"
        )
    share = relative_weights(tasks, weights)
    probabilities = None
    if temperature is not None:
        sizes = {task: len(texts) for task, texts in tasks.items()}
        probabilities = torch.tensor(list(sampling_probabilities(sizes, temperature).values()))
    uncertainty = UW(len(tasks))
    groups: list[dict[str, Any]] = [{"params": [*model.parameters()]}]
    # Adam moves a parameter by its rate a step: at the model's rate the few hundred steps of a
    # fine-tuning would leave the log-variances near where they begin.
    groups.append({"params": [*uncertainty.parameters()], "lr": 10 * learning_rate})
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0, fused=True)
    draws = Stream(seed)  # dropout, and PCGrad's orders
    # One order for each task, and the same for every weight, temperature and λ.
    orders = {name: torch.Generator().manual_seed(seed) for name in (*tasks, "source", "task")}
    draw = {task: batches(len(texts), batch_size, orders[task]) for task, texts in tasks.items()}
    size = source_batch_size or batch_size
    draw_pre = batches(len(source), size, orders["source"]) if source is not None else iter(())
    history = MultitaskHistory(tasks={task: [] for task in tasks})

    check = checker(history.checks, check_at, on_check)
    with restricted(model, layers):
        if method == "PCGrad" and not trunk_parameters(model):
            raise ValueError(
                "PCGrad needs shared layers that train; layers is empty, or they are frozen"
            )
        check(0)
        for step in range(steps):
            model.train()
            names = list(tasks)
            if probabilities is not None:
                drawn = torch.multinomial(probabilities, len(tasks), True, generator=orders["task"])
                names = [names[number] for number in drawn.tolist()]
            texts = _batch(tasks, [(name, next(draw[name])) for name in names])
            # PCGrad asks for each task's gradient: from its own pass that is several times cheaper.
            with draws:
                logits = _logits(model, texts, together=method != "PCGrad")
            labels = {task: _labels(part) for task, part in texts.items()}
            means = {task: mean_loss(logits[task], labels[task]) for task in logits}
            parts = loss_parts(means, labels, share)
            loss = torch.stack(list(parts.values())).sum()
            check_trains(loss)
            if method == "uncertainty":
                # × 2 / tasks: with s = 0 this is L_mt, so that λ means the same.
                loss = uncertainty(torch.stack(list(means.values()))) * 2 / len(means)
            if lam > 0:
                assert source is not None
                plain = source.take(next(draw_pre))
                pre = next_word_loss(model, plain.ids, plain.lengths)
                parts = {task: (1 - lam) * part for task, part in parts.items()}
                parts["source"] = lam * pre
                loss = mixture(pre, loss, lam)
            check_finite(loss.item(), step)
            optimizer.zero_grad()
            loss.backward(retain_graph=method == "PCGrad")
            if method == "PCGrad":
                with draws:
                    project_conflicts(parts, trunk_parameters(model))
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            history.loss.append(loss.item())
            for task in tasks:
                history.tasks[task].append(means[task].item() if task in means else math.nan)
            check(step + 1)
            if progress is not None:
                progress((step + 1) / steps)
    history.weights = list(share.values())
    if method == "uncertainty":
        learned = (-uncertainty.log_var.detach()).exp()
        history.weights = (learned / learned.mean()).tolist()
    return history


def _batch(
    tasks: Mapping[str, Encoded], drawn: Iterable[tuple[str, torch.Tensor]]
) -> dict[str, Encoded]:
    """The drawn rows of each task."""
    rows: dict[str, list[torch.Tensor]] = {}
    for task, chosen in drawn:
        rows.setdefault(task, []).append(chosen)
    return {task: tasks[task].take(torch.cat(chosen)) for task, chosen in rows.items()}


def _logits(
    model: MultitaskModel, texts: Mapping[str, Encoded], together: bool
) -> dict[str, torch.Tensor]:
    """Each task's logits, after one pass of all texts through the trunk or one of each task's."""
    if not together:
        return {task: model(part.ids, part.lengths, task) for task, part in texts.items()}
    features = model.features(
        torch.cat([part.ids for part in texts.values()]),
        torch.cat([part.lengths for part in texts.values()]),
    ).split([len(part) for part in texts.values()])
    return {task: model.heads[task](part) for task, part in zip(texts, features, strict=True)}


def _labels(texts: Encoded) -> torch.Tensor:
    if texts.labels is None or len(texts) == 0:
        raise ValueError(f"labelled texts are needed, at least one; got {len(texts)}")
    return texts.labels
