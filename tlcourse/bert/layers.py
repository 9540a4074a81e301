"""Lesson 5: which parts of a BERT train: freezing, few parameters, frozen layers that run once."""

from __future__ import annotations

import copy
import warnings
from typing import Any, cast

import torch
from torch import nn
from transformers import BertModel, BertPreTrainedModel

from tlcourse.arguments import check_choice, check_count
from tlcourse.bert.checkpoints import check_inputs
from tlcourse.bert.models import Inputs, by_length, take
from tlcourse.training import Stream

METHODS = ("full", "LoRA", "BitFit", "last layer", "head")


def freeze(model: BertPreTrainedModel, layers: int) -> None:
    """Freeze the lowest layers, and the embeddings with them; all else trains.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        With its BERT under ``.bert``.
    layers : int
        0 freezes nothing; all layers leave the pooler and the classifier.

    Raises
    ------
    ValueError
        If the model has fewer layers.
    """
    _check_layers(model, layers)
    body = _body(model)
    lower = [body.embeddings, *body.encoder.layer[:layers]] if layers else []
    model.requires_grad_(True)
    for module in lower:
        module.requires_grad_(False)


def choose_method(model: BertPreTrainedModel, method: str, frozen: int = 0) -> nn.Module:
    """Decide which parameters train.

    Parameters
    ----------
    model : transformers.BertForSequenceClassification
    method : {"full", "LoRA", "BitFit", "last layer", "head"}
        All layers above ``frozen``; low-rank changes of the query and value matrices;
        all bias terms; one layer; none. Pooler and classifier train with each.
    frozen : int
        For ``"full"``: see `freeze`.

    Returns
    -------
    torch.nn.Module
        The model itself, or peft's around it for LoRA.

    References
    ----------
    Hu et al. (2022), LoRA; Ben Zaken et al. (2022), BitFit.
    """
    depth = model.config.num_hidden_layers
    check_choice("method", method, METHODS)
    if method != "full" and frozen:
        raise ValueError(f"frozen layers go with the method 'full', got {frozen} with {method!r}")
    freeze(model, {"last layer": depth - 1, "head": depth}.get(method, frozen))
    if method == "BitFit":
        for name, parameter in _body(model).named_parameters():
            parameter.requires_grad_(name.endswith("bias") or name.startswith("pooler"))
    if method == "LoRA":
        from peft import LoraConfig, get_peft_model

        matrices, heads = ["query", "value"], ["pooler", "classifier"]
        draws = getattr(model, "draws", None) or Stream(0)
        with draws, warnings.catch_warnings():  # of what peft calls in transformers
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(
                model,
                LoraConfig(r=8, lora_alpha=16, target_modules=matrices, modules_to_save=heads),
            )
    return model


def trainable_share(model: nn.Module) -> float:
    """The share of a model's parameters that train, 0 … 1."""
    sizes = [(item.numel(), item.requires_grad) for item in model.parameters()]
    return sum(size for size, trained in sizes if trained) / sum(size for size, _ in sizes)


def frozen_states(
    model: BertPreTrainedModel, inputs: Inputs, layers: int, batch_size: int = 64
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
        and ``attention_mask``.

    Raises
    ------
    ValueError
        If the model has fewer layers.
    """
    _check_layers(model, layers)
    check_inputs(model, inputs)
    model.eval()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    states = torch.zeros(*ids.shape, model.config.hidden_size)
    lower = _part(model, 0, layers)
    with torch.no_grad():
        for rows in by_length(inputs, batch_size):
            found = lower(**take(inputs, rows)).last_hidden_state
            states[rows, : found.shape[1]] = found
    return {"inputs_embeds": states, "attention_mask": mask}


def upper_part(model: BertPreTrainedModel, layers: int) -> Any:
    """The layers above the lowest ones, with the head: a model that reads `frozen_states`.

    It shares its weights with ``model``, so training it trains ``model``.
    """
    _check_layers(model, layers)
    with torch.device("meta"):  # a frame without weights of its own
        upper: Any = type(model)(model.config)
    upper.bert = _part(model, layers, model.config.num_hidden_layers)
    upper.bert.embeddings = _PassOn()
    for name, module in model.named_children():
        if name != "bert":
            setattr(upper, name, module)
    return upper


def above(
    model: BertPreTrainedModel, inputs: Inputs, layers: int
) -> tuple[BertPreTrainedModel, Inputs]:
    """What has to be trained and what it reads once the lowest layers have run.

    With 0 layers these are the model and the inputs themselves, else `upper_part` and
    `frozen_states`.
    """
    if not layers:
        return model, inputs
    return upper_part(model, layers), frozen_states(model, inputs, layers)


def _check_layers(model: BertPreTrainedModel, layers: int) -> None:
    check_count("layers", layers, 0, model.config.num_hidden_layers)


def _body(model: BertPreTrainedModel) -> BertModel:
    return cast(BertModel, model.bert)


def _part(model: BertPreTrainedModel, first: int, last: int) -> Any:
    """A BertModel of some of the layers, which it shares."""
    config = copy.copy(model.config)
    config.num_hidden_layers = last - first
    whole = _body(model)
    with torch.device("meta"):
        part = BertModel(config, add_pooling_layer=False)
    part.embeddings, part.pooler = whole.embeddings, whole.pooler
    part.encoder.layer = nn.ModuleList(whole.encoder.layer[first:last])
    part.train(whole.training)
    return part


class _PassOn(nn.Module):
    """In the place of the embeddings: hands on states that were computed before."""

    def forward(self, inputs_embeds: torch.Tensor, **_: Any) -> torch.Tensor:
        return inputs_embeds
