"""Lesson 3: which layers train, how fast, and how far from where they started.

Freezing, gradual unfreezing, discriminative rates, the slanted triangular schedule, R(w).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from tlcourse.arguments import check_count, check_number, check_share
from tlcourse.encoders import LAYERS, SharedModel, TransferModel


def set_trainable(model: SharedModel, layers: Sequence[str]) -> None:
    """Let only these shared layers train; the heads are left as they are.

    A frozen layer's gradient becomes None, not zero: momentum and weight decay would move
    a parameter whose gradient is zero, but an optimizer skips one that has none.

    Parameters
    ----------
    layers : sequence of str
        Of `tlcourse.encoders.LAYERS`.
    """
    if isinstance(layers, str):
        raise TypeError(f"layers must be a sequence of names, got {layers!r}; write ({layers!r},)")
    for layer in layers:
        if layer not in LAYERS:
            raise ValueError(f"no shared layer {layer!r}; there are {LAYERS}")
    for layer in LAYERS:
        for parameter in getattr(model.encoder, layer).parameters():
            parameter.requires_grad_(layer in layers)
            if layer not in layers:
                parameter.grad = None


@contextlib.contextmanager
def restricted(
    model: SharedModel, layers: Sequence[str]
) -> Iterator[Callable[[Sequence[str]], None]]:
    """Within the block only these shared layers train; what was frozen before stays frozen.

    Behind the block everything trains or not as before it.

    Yields
    ------
    callable
        Chooses other layers within the block, as `set_trainable` does.
    """
    before = [(parameter, parameter.requires_grad) for parameter in model.encoder.parameters()]

    def choose(layers: Sequence[str]) -> None:
        set_trainable(model, layers)
        for parameter, trained in before:
            if not trained:
                parameter.requires_grad_(False)
                parameter.grad = None

    try:
        choose(layers)
        yield choose
    finally:
        for parameter, trained in before:
            parameter.requires_grad_(trained)


def count_parameters(model: TransferModel) -> dict[str, tuple[int, bool]]:
    """Each layer's number of parameters, and whether it trains; from the words upwards."""
    modules = {layer: getattr(model.encoder, layer) for layer in LAYERS} | {"head": model.head}
    return {
        name: (
            sum(parameter.numel() for parameter in module.parameters()),
            all(parameter.requires_grad for parameter in module.parameters()),
        )
        for name, module in modules.items()
    }


def unfrozen_layers(step: int, steps: int, layers: Sequence[str] = LAYERS) -> tuple[str, ...]:
    """Gradual unfreezing: the layers that train at a step, the topmost first.

    The steps fall into equal stretches: in the first only the head trains, then one more
    layer from the top in each; behind the last step all train.

    Raises
    ------
    ValueError
        If step is below 0 or steps below 1.

    Reference
    ---------
    Howard and Ruder (2018), Universal language model fine-tuning for text classification.

    Examples
    --------
    >>> [unfrozen_layers(step, 4) for step in range(4)]
    [(), ('upper',), ('lower', 'upper'), ('embedding', 'lower', 'upper')]
    """
    check_count("step", step, 0)
    check_count("steps", steps)
    stretch = min(step * (len(layers) + 1) // steps, len(layers))
    return tuple(layers[len(layers) - stretch :])


def parameter_groups(
    model: TransferModel, learning_rate: float, factor: float = 2.6
) -> list[dict[str, object]]:
    """Optimizer groups with discriminative rates: each layer's is the next one's ÷ factor.

    Parameters
    ----------
    learning_rate : float
        Of the heads; the upper LSTM has this ÷ factor, the embedding this ÷ factor³.
    factor : float
        1 gives all layers the same rate.

    Raises
    ------
    ValueError
        If a rate or the factor is 0 or less.

    Reference
    ---------
    Howard and Ruder (2018); 2.6 is theirs.
    """
    check_number("learning_rate", learning_rate, above=0)
    check_number("factor", factor, above=0)
    heads = [*model.head.parameters(), *model.lm_head.parameters()]
    groups: list[dict[str, object]] = [{"params": heads, "lr": learning_rate}]
    for depth, layer in enumerate(reversed(LAYERS), start=1):
        parameters = list(getattr(model.encoder, layer).parameters())
        groups.append({"params": parameters, "lr": learning_rate / factor**depth})
    return groups


def slanted_triangular(step: int, steps: int, cut: float = 0.1, ratio: float = 32) -> float:
    """Factor of the learning rate: up in the first tenth, then slowly down to 1/ratio.

    Raises
    ------
    ValueError
        If the step is outside 0 … steps, cut outside 0 … 1, or ratio below 1.

    Reference
    ---------
    Howard and Ruder (2018).

    Examples
    --------
    >>> [round(slanted_triangular(step, 100), 2) for step in (0, 10, 55, 100)]
    [0.03, 1.0, 0.52, 0.03]
    """
    check_count("steps", steps)
    check_count("step", step, 0, steps)
    check_share("cut", cut)
    check_number("ratio", ratio, low=1)
    peak = max(steps * cut, 1)
    share = step / peak if step < peak else 1 - (step - peak) / max(steps - peak, 1)
    return (1 + share * (ratio - 1)) / ratio


def weight_penalty(
    model: SharedModel, towards: Mapping[str, torch.Tensor] | None = None
) -> torch.Tensor:
    """R(w): squared distance of the shared layers' weights from zero or from given ones.

    Parameters
    ----------
    towards : mapping of str to torch.Tensor, optional
        The pretrained weights, by the names that ``model.encoder.named_parameters()`` has:
        L2-SP. Left out: distance from zero, weight decay. The head has no pretrained
        weights and is not penalised.

    Reference
    ---------
    Li, Grandvalet and Davoine (2018), Explicit inductive bias for transfer learning.
    """
    parts = [
        (parameter if towards is None else parameter - towards[name]).square().sum()
        for name, parameter in model.encoder.named_parameters()
        if parameter.requires_grad
    ]
    return torch.stack(parts).sum() if parts else torch.zeros(())
