"""Lesson 4: train several tasks on one trunk, and judge each.

``L_mt = −1/ΣN_t Σ_t Σ_n Σ_c Y log Ŷ``: every example of every task counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn
from torchjd.scalarization import UW

from tlcourse.arguments import (
    check_choice,
    check_labels,
    check_share,
)
from tlcourse.finetuning.layers import layers_of, lowest_layers, restricted
from tlcourse.finetuning.losses import mixture, next_word_loss
from tlcourse.finetuning.tasks import Encoded, check_encoded, labels_of
from tlcourse.models import MultitaskModel
from tlcourse.multitask.gradients import check_tasks, project_conflicts, trunk_parameters
from tlcourse.multitask.losses import (
    loss_parts,
    mean_loss,
    relative_weights,
    sampling_probabilities,
)
from tlcourse.scores import scores
from tlcourse.training import (
    History,
    Progress,
    batches,
    check_settings,
    check_trains,
    choose_device,
    predict,
    train,
)

BALANCING = ("weights", "uncertainty", "PCGrad")


def evaluate_tasks(model: MultitaskModel, texts: Mapping[str, Encoded]) -> dict[str, float]:
    """Accuracy and macro-F1 of each task, as ``accuracy_<task>`` and ``macro_f1_<task>``."""
    check_tasks(model, "texts", texts)
    found: dict[str, float] = {}
    for task, split in texts.items():
        labels = labels_of(f"texts[{task!r}]", split).cpu().numpy()
        judged = scores(labels, predict(model, split.inputs, task=task).argmax(1))
        found |= {f"{metric}_{task}": value for metric, value in judged.items()}
    return found


def train_tasks(
    model: MultitaskModel,
    tasks: Mapping[str, Encoded],
    *,
    steps: int = 200,
    learning_rate: float = 3e-3,
    weights: Mapping[str, float] | None = None,
    temperature: float | None = None,
    method: str = "weights",
    lam: float = 0.0,
    source: Encoded | None = None,
    batch_size: int = 16,
    source_batch_size: int | None = None,
    frozen: int | Sequence[str] = ("embedding",),
    seed: int = 0,
    check_at: Collection[int] = (),
    on_check: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
    device: torch.device | str = "auto",
) -> History:
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
        Draw each batch's task by `tlcourse.multitask.sampling_probabilities`; left out, one
        batch of each task.
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
    frozen : int or sequence of str
        Shared layers that do not train, as in `tlcourse.finetuning.tune`; the embedding is left
        as given, so that it stays one space for both languages.
    seed : int
        For the tasks drawn, the order of the examples, and dropout.
    check_at, on_check, progress, device
        As in `tlcourse.finetuning.tune`.

    Returns
    -------
    History
        Its parts are each task's mean cross-entropy, NaN in a step without a batch of it, and
        ``"pre"``; its ``weights`` are the tasks' at the end.

    Raises
    ------
    ValueError
        For settings outside their range, missing texts, labels that a head does not know, a
        model that is frozen as a whole, or a loss that is no number.

    Reference
    ---------
    Kendall, Gal and Cipolla (2018), Multi-task learning using uncertainty to weigh losses.
    """
    check_share("lam", lam)
    check_settings(
        learning_rate,
        steps=steps,
        batch_size=batch_size,
        source_batch_size=source_batch_size,
        seed=seed,
    )
    check_tasks(model, "tasks", tasks)
    check_choice("method", method, BALANCING)
    if "pre" in tasks:
        raise ValueError("no task may be called 'pre', which is the language model's name")
    if lam > 0 and source is None:
        raise ValueError("λ > 0 needs source texts, got source None")
    if source is not None:
        check_encoded("source", source)
    for task, labelled in tasks.items():
        head = cast(nn.Linear, model.heads[task])
        labels = labels_of(f"tasks[{task!r}]", labelled)
        check_labels(f"labels of {task!r}", labels, head.out_features)
    if method == "uncertainty" and (temperature is not None or weights is not None):
        raise ValueError(
            "uncertainty weighting finds the weights and needs a batch of each task: leave "
            "weights and temperature out"
        )
    share = relative_weights(tasks, weights)
    names, probabilities = list(tasks), None
    if temperature is not None:
        sizes = {task: len(texts) for task, texts in tasks.items()}
        probabilities = torch.tensor(list(sampling_probabilities(sizes, temperature).values()))
    kept = lowest_layers(model, frozen)
    trained = [name for name in layers_of(model) if name not in kept]
    device = choose_device(device)
    model.to(device)
    tasks = {task: texts.to(device) for task, texts in tasks.items()}
    uncertainty = UW(len(tasks)).to(device)
    groups: list[dict[str, Any]] = [{"params": [*model.parameters()]}]
    # Adam moves a parameter by its rate a step: at the model's rate the few hundred steps of a
    # fine-tuning would leave the log-variances near where they begin.
    groups.append({"params": [*uncertainty.parameters()], "lr": 10 * learning_rate})
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0, fused=True)
    # One order for each task, and the same for every weight, temperature and λ.
    orders = {name: torch.Generator().manual_seed(seed) for name in tasks}
    draw = {task: batches(len(texts), batch_size, orders[task]) for task, texts in tasks.items()}
    draw_task = torch.Generator().manual_seed(seed)
    size = source_batch_size or batch_size
    draw_pre = iter(()) if source is None else source.to(device).batches(size, seed)
    parts: dict[str, torch.Tensor] = {}  # of the step's loss; PCGrad asks for each one's gradient

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        nonlocal parts
        model.train()
        drawn = names
        if probabilities is not None:
            chosen = torch.multinomial(probabilities, len(tasks), True, generator=draw_task)
            drawn = [names[number] for number in chosen.tolist()]
        texts = _batch(tasks, [(name, next(draw[name])) for name in drawn])
        # From a pass of its own a task's gradient is several times cheaper.
        logits = _logits(model, texts, together=method != "PCGrad")
        labels = {task: labels_of(task, part) for task, part in texts.items()}
        means = {task: mean_loss(logits[task], labels[task]) for task in logits}
        parts = loss_parts(means, labels, share)
        loss = torch.stack(list(parts.values())).sum()
        check_trains(loss)
        if method == "uncertainty":
            # × 2 / tasks: with s = 0 this is L_mt, so that λ means the same.
            loss = uncertainty(torch.stack(list(means.values()))) * 2 / len(means)
        if lam > 0:
            pre = means["pre"] = next_word_loss(model, *next(draw_pre).inputs)
            parts = {task: (1 - lam) * part for task, part in parts.items()} | {"pre": lam * pre}
            loss = mixture(pre, loss, lam)
        return loss, {name: part.item() for name, part in means.items()}

    def surgery(loss: torch.Tensor) -> None:
        loss.backward(retain_graph=True)
        project_conflicts(parts, trunk_parameters(model))

    with restricted(model, trained):
        if method == "PCGrad" and not trunk_parameters(model):
            raise ValueError("PCGrad needs shared layers that train, and all of them are frozen")
        history = train(
            loss_of,
            optimizer,
            steps=steps,
            seed=seed,
            clip=[model.parameters()],
            backward=surgery if method == "PCGrad" else None,
            check_at=check_at,
            on_check=on_check,
            progress=progress,
            history=History(parts={task: [] for task in tasks}),
            device=device,
        )
    history.weights = share
    if method == "uncertainty":
        learned = (-uncertainty.log_var.detach()).exp()
        history.weights = dict(zip(tasks, (learned / learned.mean()).tolist(), strict=True))
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
