"""Lesson 3's exercises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tlcourse.checks import Mistake, NotAttempted, exercise, expect


@exercise("finetuning.mixture", "The mixture loss")
def _mixture(answer: Callable) -> None:
    pre, fine = torch.tensor(5.0), torch.tensor(0.7)
    for lam in (0.25, 0.0, 1.0):
        mistakes = {
            "(1 − λ) is on the wrong side: λ weighs L_pre, 1 − λ weighs L_fine.": (
                (1 - lam) * 5.0 + lam * 0.7
            ),
            "L_fine is missing its weight 1 − λ.": lam * 5.0 + 0.7,
            "L_pre is missing its weight λ.": 5.0 + (1 - lam) * 0.7,
        }
        right = lam * 5.0 + (1 - lam) * 0.7
        expect(answer(pre, fine, lam), right, f"L at λ = {lam}", mistakes)
    pre, fine = (torch.tensor(value, requires_grad=True) for value in (2.0, 6.0))
    mixed = answer(pre, fine, 0.25)
    if not isinstance(mixed, torch.Tensor) or not mixed.requires_grad:
        raise Mistake("the value is right, but no gradient flows through it: leave out item().")
    mixed.backward()
    if pre.grad is None or fine.grad is None:
        raise Mistake("the value is right, but one of the two losses gets no gradient.")


@exercise("finetuning.last_state", "The last real state")
def _last_state(answer: Callable) -> None:
    states = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(1))
    lengths, rows = torch.tensor([2, 6, 1, 4]), torch.arange(4)
    means = [states[row, :length].mean(0) for row, length in enumerate(lengths.tolist())]
    mistakes = {
        "you read states[:, -1]: for every text shorter than the longest that is padding.": (
            states[:, -1]
        ),
        "you read the first state of each text, not the last.": states[:, 0],
        "this is the mean over the real positions, not the last state.": torch.stack(means),
        "off by one: a text of length n has its last state at position n − 1.": (
            states[rows, lengths.clamp(max=5)]
        ),
    }
    try:
        found = answer(states, lengths)
    except IndexError as fault:
        raise Mistake(
            "an index is out of range; off by one? A text of length n ends at position n − 1."
        ) from fault
    expect(found, states[rows, lengths - 1], "the last states", mistakes)


class _Small(nn.Module):
    """A body and a head with batches to train on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.body(x)))


def _three_steps(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        loss = model(torch.ones(5, 3)).square().mean()
        # As in old code that keeps the gradient buffers: zero is not the same as none.
        optimizer.zero_grad(set_to_none=False)
        if loss.requires_grad:
            loss.backward()
        optimizer.step()


@exercise("finetuning.freeze", "Freezing that holds")
def _freeze(answer: Callable) -> None:
    model = _Small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    _three_steps(model, optimizer)  # momentum has been gathered, gradients lie in their buffers
    given = answer(model, optimizer)
    body = [parameter.detach().clone() for parameter in model.body.parameters()]
    asks = [parameter.requires_grad for parameter in model.body.parameters()]
    _three_steps(model, optimizer)
    moved = not all(map(torch.equal, body, model.body.parameters()))
    if given is ... and moved and all(asks):
        raise NotAttempted
    if model.head.weight.grad is None or not model.head.weight.grad.any():
        raise Mistake("now the head does not train either: freeze model.body only.")
    if moved and not any(asks):
        raise Mistake(
            "the body still moved. You set requires_grad after the optimizer was built, and no "
            "more: the old gradients still lie in .grad, get zeroed but not removed, and "
            "momentum and weight decay move a parameter whose gradient is zero. Set .grad to "
            "None as well, or take the body out of the optimizer."
        )
    if moved and all(asks):
        raise Mistake("the body still trains: its parameters ask for gradients as before.")
    if moved:
        raise Mistake("part of the body still moved; weights and biases must both be frozen.")


class _Stack(nn.Module):
    """The four layers of the lesson's model, tiny."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lower = nn.Embedding(3, 2), nn.Linear(2, 2)
        self.upper, self.head = nn.Linear(2, 2), nn.Linear(2, 2)


@exercise("finetuning.parameter_groups", "Discriminative learning rates")
def _groups(answer: Callable) -> None:
    model = _Stack()
    given = answer(model, 1.0, 3.0)
    if given is ...:
        raise NotAttempted
    try:
        groups = torch.optim.SGD(given, lr=100.0).param_groups
    except Exception as fault:
        raise Mistake(
            f"torch.optim.SGD does not take what you returned ({fault}); it wants a list of "
            '{"params": …, "lr": …}.'
        ) from fault
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    found = []
    for layer in (model.head, model.upper, model.lower, model.embedding):
        values = {rates.get(id(parameter)) for parameter in layer.parameters()}
        if None in values:
            raise Mistake(
                "a parameter is in no group, so it would never train; an LSTM has weights and "
                "biases, and the embedding is a layer too."
            )
        if len(values) > 1:
            raise Mistake("the parameters of one layer have different rates.")
        found.append(values.pop())
    if 100.0 in found:
        raise Mistake('a group has no "lr" of its own, so it gets the optimizer\'s.')
    depth = np.arange(4)
    mistakes = {
        "the order is upside down: the head needs the highest rate.": 3.0 ** (depth - 3),
        "you multiplied by the factor: lower layers need smaller rates.": 3.0**depth,
        "the head too was divided: it keeps the full rate, division begins below it.": (
            3.0 ** -(depth + 1.0)
        ),
        "divide again at every layer, by factor ** depth, not by factor * depth.": (
            1 / np.maximum(3.0 * depth, 1)
        ),
        "all layers below the head have the same rate; divide again at every layer.": (
            3.0 ** -np.minimum(depth, 1)
        ),
        "all rates are the same; divide by the factor at every layer.": np.ones(4),
        "use the argument `factor`, not 2.6.": 2.6**-depth,
    }
    expect(found, 3.0**-depth, "the rates, from the head down,", mistakes)


@exercise("finetuning.l2_sp", "L2-SP")
def _l2_sp(answer: Callable) -> None:
    model = _Small()
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters(), start=1):
            parameter.add_(0.1 * number)
    found = answer(model, start, 0.5)
    if isinstance(found, torch.Tensor) and found.numel() == 1:
        found = found.reshape(())
    now = {name: value.detach() for name, value in model.named_parameters()}
    gaps = [now[name] - start[name] for name in now]
    body = gaps[:2]

    def total(parts: list[torch.Tensor], of: Callable = torch.Tensor.square) -> float:
        return sum(float(of(part).sum()) for part in parts)

    mistakes = {
        "you pull the new head towards the pretrained weights too; it has none worth "
        "keeping. Penalise model.body only.": 0.5 * total(gaps),
        "this is weight decay: it pulls towards zero. L2-SP pulls towards start[name].": (
            0.5 * total(list(now.values())[:2])
        ),
        "this is weight decay on body and head: subtract start[name], and leave the head out.": 0.5
        * total(list(now.values())),
        "the strength α is missing.": total(body),
        "you took the root: R is the squared length.": 0.5 * total(body) ** 0.5,
        "you took a root for each tensor: R is the sum of all squares.": (
            0.5 * total(body, torch.Tensor.norm)
        ),
        "these are absolute values; R has squares.": 0.5 * total(body, torch.Tensor.abs),
        "you have α / 2, as the paper writes it; here it is α.": 0.25 * total(body),
        "take the sum of the squares, not their mean.": (
            0.5 * sum(float(gap.square().mean()) for gap in body)
        ),
    }
    expect(found, 0.5 * total(body), "the penalty", mistakes)
    if not getattr(found, "requires_grad", False):
        raise Mistake("the value is right, but no gradient flows: do not detach the weights.")
