"""Lesson 3: which layers train, how fast, and how far from where they started.

Written once for the course's LSTM models and for the encoders of transformers that share BERT's
plan: bert, roberta, xlm-roberta, electra, distilbert, with any head on top.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from tlcourse.arguments import check_choice, check_count, check_kinds, check_number, check_texts

_STACKS = ("encoder.layer", "transformer.layer")
_FAMILIES = "bert, roberta, xlm-roberta, electra, distilbert"


def layers_of(model: nn.Module) -> dict[str, nn.ModuleList]:
    """A model's shared layers by name, from the words upwards; heads are no shared layers.

    Parameters
    ----------
    model : torch.nn.Module
        A model of `tlcourse.models` (``embedding``, ``lower``, ``upper``), or of transformers
        (``embeddings``, ``layer 1``, ``layer 2`` …), with LoRA around it or not.

    Returns
    -------
    dict of str to torch.nn.ModuleList

    Raises
    ------
    TypeError
        If the model has neither plan.

    Examples
    --------
    >>> import numpy as np
    >>> from tlcourse.models import Encoder, TransferModel
    >>> list(layers_of(TransferModel(Encoder(np.zeros((9, 4))))))
    ['embedding', 'lower', 'upper']
    """
    from tlcourse.models import LAYERS, SharedModel

    if isinstance(model, SharedModel):
        return {name: nn.ModuleList([getattr(model.encoder, name)]) for name in LAYERS}
    body = body_of(model)
    stack = next(found for path in _STACKS if (found := _attribute(body, path)) is not None)
    lowest = [getattr(body, name, None) for name in ("embeddings", "embeddings_project")]
    found = {"embeddings": nn.ModuleList([part for part in lowest if part is not None])}
    return found | {f"layer {n}": nn.ModuleList([part]) for n, part in enumerate(stack, start=1)}


def body_of(model: nn.Module) -> Any:
    """The encoder below the head of a model of transformers."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    body = getattr(whole, "base_model", whole)
    if not hasattr(body, "embeddings") or all(_attribute(body, path) is None for path in _STACKS):
        raise TypeError(
            f"model must be one of tlcourse.models or an encoder of transformers ({_FAMILIES}), "
            f"got {type(model).__name__}"
        )
    return body


def _attribute(module: nn.Module, path: str) -> Any:
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def lowest_layers(model: nn.Module, frozen: int | Sequence[str]) -> tuple[str, ...]:
    """Names of layers: those given, or the lowest so many with the embedding below them.

    Examples
    --------
    >>> import numpy as np
    >>> from tlcourse.models import Encoder, TransferModel
    >>> model = TransferModel(Encoder(np.zeros((9, 4))))
    >>> lowest_layers(model, 0), lowest_layers(model, 1), lowest_layers(model, ("upper",))
    ((), ('embedding', 'lower'), ('upper',))
    """
    names = tuple(layers_of(model))
    if isinstance(frozen, str):
        raise TypeError(f"frozen must be a number or a sequence of names; write ({frozen!r},)")
    if not isinstance(frozen, Sequence):
        k = check_count("frozen", frozen, 0, len(names) - 1)
        return names[: k + 1] if k else ()
    for name in frozen:
        check_choice("each of frozen", name, names)
    return tuple(frozen)


def freeze(model: nn.Module, frozen: int | Sequence[str]) -> None:
    """Freeze layers; what is frozen already stays so.

    A frozen layer's gradient becomes None, not zero: momentum and weight decay would move
    a parameter whose gradient is zero, but an optimizer skips one that has none.

    Parameters
    ----------
    model : torch.nn.Module
        See `layers_of`.
    frozen : int or sequence of str
        How many of the lowest layers, the embedding with them; or their names.
    """
    layers = layers_of(model)
    for name in lowest_layers(model, frozen):
        for parameter in layers[name].parameters():
            _switch(parameter, False)


def _switch(parameter: nn.Parameter, trains: bool) -> None:
    parameter.requires_grad_(trains)
    if not trains:
        parameter.grad = None


@contextlib.contextmanager
def restricted(
    model: nn.Module, trained: Sequence[str]
) -> Iterator[Callable[[Sequence[str]], None]]:
    """Within the block only these shared layers train; what was frozen before stays frozen.

    Behind the block everything trains or not as before it.

    Yields
    ------
    callable
        Chooses other layers within the block.
    """
    layers = layers_of(model)
    before = [
        (name, parameter, parameter.requires_grad)
        for name, layer in layers.items()
        for parameter in layer.parameters()
    ]

    def choose(trained: Sequence[str]) -> None:
        chosen = lowest_layers(model, tuple(trained))
        for name, parameter, trains in before:
            _switch(parameter, trains and name in chosen)

    try:
        choose(trained)
        yield choose
    finally:
        for _, parameter, trains in before:
            parameter.requires_grad_(trains)


def count_parameters(model: nn.Module) -> dict[str, tuple[int, bool]]:
    """Each layer's number of parameters, and whether it trains; from the words upwards.

    What belongs to no shared layer is counted as ``head``, but for a language model's decoder.
    """
    layers = layers_of(model)
    shared = {id(parameter) for layer in layers.values() for parameter in layer.parameters()}
    head = [
        parameter
        for name, parameter in model.named_parameters()
        if id(parameter) not in shared and not name.startswith("lm_head")
    ]
    groups = {name: list(layer.parameters()) for name, layer in layers.items()} | {"head": head}
    return {
        name: (sum(p.numel() for p in group), all(p.requires_grad for p in group))
        for name, group in groups.items()
    }


def unfrozen_layers(step: int, steps: int, layers: Sequence[str]) -> tuple[str, ...]:
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
    >>> [unfrozen_layers(step, 3, ("lower", "upper")) for step in range(3)]
    [(), ('upper',), ('lower', 'upper')]
    """
    check_count("step", step, 0)
    check_count("steps", steps)
    layers = check_texts("layers", layers, least=0)
    stretch = min(step * (len(layers) + 1) // steps, len(layers))
    return tuple(layers[len(layers) - stretch :])


def parameter_groups(
    model: nn.Module, learning_rate: float, factor: float = 2.6, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Optimizer groups with discriminative rates: each layer's is the next one's ÷ factor.

    Parameters
    ----------
    model : torch.nn.Module
        See `layers_of`. Frozen parameters are in the groups too: they may be unfrozen later.
    learning_rate : float
        Of the heads; the topmost layer has this ÷ factor, the one below this ÷ factor² …
    factor : float
        1 gives all layers the same rate.
    weight_decay : float
        Of all but biases and norms.

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
    check_number("weight_decay", weight_decay, low=0)
    rates = {
        id(parameter): learning_rate / factor**depth
        for depth, layer in enumerate(reversed(layers_of(model).values()), start=1)
        for parameter in layer.parameters()
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        plain = name.endswith("bias") or "norm" in name.lower()
        key = rates.get(id(parameter), learning_rate), 0.0 if plain else weight_decay
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": group, "lr": rate, "weight_decay": decay}
        for (rate, decay), group in groups.items()
    ]


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of a module's weights by name: the start for `l2_sp`."""
    check_kinds(module=(module, nn.Module))
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def l2_sp(module: nn.Module, start: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """L2-SP: squared distance of a module's weights from where they started.

    Parameters
    ----------
    module : torch.nn.Module
        Any; only what trains counts.
    start : mapping of str to torch.Tensor
        As `weights_of` gives them. A weight without a start, such as a new head's, is left out.

    Returns
    -------
    torch.Tensor
        A scalar; multiply it by α and add it to the loss.

    Raises
    ------
    ValueError
        If no weight has a start: other names, or another module.

    Reference
    ---------
    Li, Grandvalet and Davoine (2018), Explicit inductive bias for transfer learning.
    """
    check_kinds(module=(module, nn.Module), start=(start, Mapping))
    weights = dict(module.named_parameters())
    if not weights.keys() & start.keys():
        raise ValueError(
            f"start must have the names of the module's weights, such as {list(weights)[:3]}; "
            f"it has {list(start)[:3]}"
        )
    return _sum(
        [
            (weight - start[name].to(weight.device)).square().sum()
            for name, weight in weights.items()
            if weight.requires_grad and name in start
        ]
    )


def squared_norm(module: nn.Module) -> torch.Tensor:
    """R(w) = ‖w‖², weight decay: squared distance from zero of what trains in a module."""
    check_kinds(module=(module, nn.Module))
    return _sum([weight.square().sum() for weight in module.parameters() if weight.requires_grad])


def _sum(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(parts).sum() if parts else torch.zeros(())
