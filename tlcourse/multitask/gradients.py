"""Lesson 4: gradients of several tasks on one trunk, where they conflict, and PCGrad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchjd.aggregation import PCGrad

from tlcourse.arguments import check_array, check_choice, check_kind, check_kinds
from tlcourse.finetuning.tasks import Encoded, labels_of
from tlcourse.models import MultitaskModel
from tlcourse.training import device_of


def trunk_parameters(model: MultitaskModel) -> list[torch.Tensor]:
    """The shared parameters that train."""
    check_kind("model", model, MultitaskModel)
    return [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]


def task_gradients(
    parts: Mapping[str, torch.Tensor], parameters: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Each task's gradient on shared parameters, as one row: shape (tasks, parameters).

    Parameters
    ----------
    parts : mapping of str to torch.Tensor
        The tasks' losses, scalars of one graph; the graph is kept.
    parameters : sequence of torch.Tensor
    """
    check_kinds(parts=(parts, Mapping), parameters=(parameters, (list, tuple)))
    for name, given in (("parts", parts.values()), ("parameters", parameters)):
        for item in given:
            check_kind(f"each of {name}", item, torch.Tensor)
    if not parts or not parameters:
        raise ValueError(
            "parts needs at least one loss, and parameters one that trains; got "
            f"{len(parts)} and {len(parameters)}"
        )
    rows = []
    for part in parts.values():
        found = torch.autograd.grad(part, parameters, retain_graph=True)
        rows.append(torch.cat([gradient.flatten() for gradient in found]))
    return torch.stack(rows)


def gradient_cosines(gradients: torch.Tensor) -> torch.Tensor:
    """Cosines between the rows of `task_gradients`; below 0 the tasks conflict.

    Parameters
    ----------
    gradients : torch.Tensor
        Shape (tasks, parameters), no row zero.

    Returns
    -------
    torch.Tensor
        Shape (tasks, tasks).
    """
    found = check_array("gradients", gradients, ("tasks", "parameters"))
    if not found.any(axis=1).all():
        raise ValueError(
            f"row {int((~found.any(axis=1)).argmax())} of gradients is zero and has no direction: "
            "does this task's loss depend on the parameters?"
        )
    gradients = torch.as_tensor(gradients)
    if not gradients.is_floating_point():
        gradients = gradients.double()
    unit = nn.functional.normalize(gradients, dim=1)
    return unit @ unit.T


def check_tasks(model: MultitaskModel, name: str, tasks: Mapping[str, Encoded]) -> None:
    """Labelled texts of tasks that the model has a head for, at least one."""
    check_kinds(model=(model, MultitaskModel), **{name: (tasks, Mapping)})
    if not tasks:
        raise ValueError(f"{name} must hold at least one task, got {{}}")
    for task, texts in tasks.items():
        check_choice(f"each of {name}", task, tuple(model.heads))
        labels_of(f"{name}[{task!r}]", texts)


def probe_gradients(model: MultitaskModel, probe: Mapping[str, Encoded]) -> torch.Tensor:
    """`task_gradients` on given texts, dropout off; the parameters are left as they were."""
    check_tasks(model, "probe", probe)
    model.eval()
    losses = {}
    for name, texts in probe.items():
        texts = texts.to(device_of(model))
        losses[name] = cross_entropy(model(*texts.inputs, name), labels_of(name, texts))
    return task_gradients(losses, trunk_parameters(model))


def project_conflicts(
    parts: Mapping[str, torch.Tensor], parameters: Sequence[torch.Tensor]
) -> None:
    """PCGrad: write the sum of the tasks' gradients, freed from conflicts, into ``.grad``.

    A task's gradient g with g·h < 0 loses its component along the other task's h, one other
    after the other in random order; then all are added. Without a conflict this is the
    gradient of the sum of the parts.

    Reference
    ---------
    Yu et al. (2020), Gradient surgery for multi-task learning.
    """
    combined = PCGrad()(task_gradients(parts, parameters))
    pieces = combined.split([parameter.numel() for parameter in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        parameter.grad = piece.view_as(parameter).clone()
