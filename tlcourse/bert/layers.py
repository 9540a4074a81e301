"""Lesson 5: which parts of an encoder train: few parameters, frozen layers that run once."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from tlcourse.arguments import check_choice, check_count
from tlcourse.bert.models import draws_of
from tlcourse.finetuning.layers import body_of, freeze, layers_of
from tlcourse.inputs import Inputs, by_length, check_inputs, take

TUNING_METHODS = ("full", "LoRA", "BitFit", "last layer", "head")
_LORA = ("query", "value", "q_lin", "v_lin")


def choose_method(
    model: PreTrainedModel, method: str, frozen: int | Sequence[str] = 0
) -> nn.Module:
    """Decide which parameters train; what is frozen already stays so.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        An encoder with a head, see `tlcourse.finetuning.layers.layers_of`.
    method : {"full", "LoRA", "BitFit", "last layer", "head"}
        All layers above ``frozen``; low-rank changes of the query and value matrices;
        all bias terms; one layer; none. Pooler and head train with each.
    frozen : int or sequence of str
        For ``"full"``: see `tlcourse.finetuning.layers.freeze`.

    Returns
    -------
    torch.nn.Module
        The model itself, or peft's around it for LoRA.

    References
    ----------
    Hu et al. (2022), LoRA; Ben Zaken et al. (2022), BitFit.
    """
    check_choice("method", method, TUNING_METHODS)
    if method != "full" and frozen:
        raise ValueError(f"frozen layers go with the method 'full', got {frozen} with {method!r}")
    layers, body = layers_of(model), body_of(model)
    depth = len(layers) - 1
    freeze(model, {"last layer": depth - 1, "head": depth}.get(method, frozen))
    if method == "BitFit":
        for name, parameter in body.named_parameters():
            if not name.startswith("pooler") and not name.endswith("bias"):
                parameter.requires_grad_(False)
    return _with_lora(model) if method == "LoRA" else model


def _with_lora(model: PreTrainedModel) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    body = body_of(model)
    names = {part: name for name, part in model.named_modules() if any(_trained(part))}
    layers = {part for layer in layers_of(model).values() for part in layer.modules()}
    matrices = [name for part, name in names.items() if part in layers and name.endswith(_LORA)]
    above = [
        getattr(body, "pooler", None),
        *(part for part in model.children() if part is not body),
    ]
    heads = [names[part] for part in above if part in names]
    with draws_of(model), warnings.catch_warnings():  # of what peft calls in transformers
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(
            model, LoraConfig(r=8, lora_alpha=16, target_modules=matrices, modules_to_save=heads)
        )


def trainable_share(model: nn.Module) -> float:
    """The share of a model's parameters that train, 0 … 1."""
    sizes = [(item.numel(), item.requires_grad) for item in model.parameters()]
    return sum(size for size, trained in sizes if trained) / sum(size for size, _ in sizes)


def frozen_depth(model: nn.Module) -> int:
    """How many of the lowest layers are frozen, the embeddings with them."""
    trains = [any(_trained(layer)) for layer in layers_of(model).values()]
    return max([*trains, True].index(True) - 1, 0)


def _trained(module: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in module.parameters()]


def frozen_states(
    model: PreTrainedModel, inputs: Inputs, layers: int, batch_size: int = 64
) -> dict[str, torch.Tensor]:
    """Run the embeddings and the lowest layers once, with dropout off.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    inputs : mapping
        As `encode` gives them.
    layers : int
        How many.

    Returns
    -------
    dict
        ``inputs_embeds``, float32, shape (n, length, width): what the next layer would read;
        and ``attention_mask``. Both lie on the CPU.

    Raises
    ------
    ValueError
        If the model has fewer layers.
    """
    _check_layers(model, layers)
    check_inputs(model, inputs)
    model.eval()
    mask = inputs["attention_mask"]
    states = torch.zeros(*mask.shape, model.config.hidden_size)
    lower = _part(body_of(model), slice(layers))
    with torch.no_grad():
        for rows in by_length(inputs, batch_size):
            batch = {name: part.to(model.device) for name, part in take(inputs, rows).items()}
            found = lower(**batch).last_hidden_state
            states[rows, : found.shape[1]] = found.cpu()
    return {"inputs_embeds": states, "attention_mask": mask}


def upper_part(model: PreTrainedModel, layers: int) -> Any:
    """The layers above the lowest ones, with the head: a model that reads `frozen_states`.

    It shares its weights with ``model``, so training it trains ``model``.
    """
    _check_layers(model, layers)
    whole = body_of(model)
    upper = _part(whole, slice(layers, None), pooler=True)
    upper.embeddings = _PassOn()
    if hasattr(upper, "embeddings_project"):
        upper.embeddings_project = nn.Identity()
    return _twin(model, **{model.base_model_prefix: upper})


def above(model: PreTrainedModel, inputs: Inputs, layers: int) -> tuple[PreTrainedModel, Inputs]:
    """What has to be trained and what it reads once the lowest layers have run.

    With 0 layers these are the model and the inputs themselves, else `upper_part` and
    `frozen_states`.
    """
    if not layers:
        return model, inputs
    return upper_part(model, layers), frozen_states(model, inputs, layers)


def _check_layers(model: PreTrainedModel, layers: int) -> None:
    check_count("layers", layers, 0, len(layers_of(model)) - 1)


def _twin(module: nn.Module, **parts: nn.Module | None) -> Any:
    """The same module, weights and all, with some of its parts replaced in the twin alone."""
    twin = copy.copy(module)
    twin._modules = {**module._modules, **parts}
    return twin


def _part(body: nn.Module, rows: slice, pooler: bool = False) -> Any:
    """An encoder's body with some of its layers, which it shares."""
    name = "encoder" if hasattr(body, "encoder") else "transformer"
    stack = getattr(body, name)
    parts = {name: _twin(stack, layer=nn.ModuleList(stack.layer[rows]))}
    if "pooler" in body._modules and not pooler:
        parts["pooler"] = None
    return _twin(body, **parts)


class _PassOn(nn.Module):
    """In the place of the embeddings: hands on states that were computed before."""

    def forward(self, *given: Any, inputs_embeds: torch.Tensor | None = None, **_: Any) -> Any:
        return given[1] if inputs_embeds is None else inputs_embeds
