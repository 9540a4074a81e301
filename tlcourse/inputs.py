"""Texts as padded rows of pieces, as encoders of transformers read them: check, choose, sort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tlcourse.arguments import check_array, check_labels, check_rows, shown

Inputs = Mapping[str, torch.Tensor]
"""``attention_mask`` (n, length), 0 at padding, with ``input_ids`` or ``inputs_embeds``."""


def take(inputs: Inputs, rows: Any) -> dict[str, torch.Tensor]:
    """The chosen rows (numbers, or a boolean mask), cut to the longest among them."""
    rows = torch.from_numpy(check_rows("rows", rows, len(inputs["attention_mask"])))
    if not len(rows):
        raise ValueError("rows chooses no row; choose at least one")
    longest = int(inputs["attention_mask"][rows].sum(1).max())
    return {name: values[rows, :longest] for name, values in inputs.items()}


def by_length(inputs: Inputs, batch_size: int) -> tuple[torch.Tensor, ...]:
    """Row numbers in batches of like length, so that little padding is computed."""
    return inputs["attention_mask"].sum(1).argsort(stable=True).split(batch_size)


def check_inputs(model: nn.Module, inputs: Inputs) -> None:
    """Refuse inputs that this model cannot read, or would read as something else.

    Raises
    ------
    ValueError
        Naming what is missing, of another shape, not in the vocabulary, or too long.
    """
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs must be a mapping, as encode gives it; got {shown(inputs)}")
    mask = inputs.get("attention_mask")
    given = [name for name in ("input_ids", "inputs_embeds") if name in inputs]
    if mask is None or len(given) != 1:
        raise ValueError(
            "inputs must hold attention_mask, and input_ids (from encode) or inputs_embeds (from "
            f"frozen_states); got {list(inputs)}"
        )
    values = inputs[given[0]]
    if mask.ndim != 2 or values.shape[:2] != mask.shape or not len(mask):
        raise ValueError(
            f"{given[0]} and attention_mask need the same shape (n, length), n at least 1; got "
            f"{tuple(values.shape)} and {tuple(mask.shape)}"
        )
    tables: Any = next((part for part in model.modules() if hasattr(part, "word_embeddings")), None)
    if given == ["inputs_embeds"]:
        if tables is not None:
            raise ValueError(
                "inputs_embeds from frozen_states go into upper_part(model, layers), not into the "
                "whole model, which would run the lowest layers twice"
            )
        check_array("inputs_embeds", values)
    elif tables is not None:
        words, places = tables.word_embeddings.num_embeddings, places_of(tables)
        if int(values.min()) < 0 or int(values.max()) >= words:
            raise ValueError(
                f"input_ids must be piece numbers 0 … {words - 1}, got {int(values.min())} … "
                f"{int(values.max())}; encode the texts with the tokenizer of the model's "
                "checkpoint"
            )
        if values.shape[1] > places:
            raise ValueError(
                f"the model reads {places} pieces at most, got {values.shape[1]}; encode the texts "
                f"with max_length={places}"
            )


def places_of(embeddings: Any) -> int:
    """How many pieces of a text an encoder's embeddings have places for."""
    table = embeddings.position_embeddings
    # RoBERTa counts its places behind that of padding.
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def check_targets(model: nn.Module, labels: Any, mask: torch.Tensor) -> torch.Tensor:
    """Labels as int64, one a row, or one a piece with −100 where there is none."""
    found = torch.as_tensor(labels if torch.is_tensor(labels) else check_array("labels", labels))
    if not len(found) or len(found) != len(mask):
        raise ValueError(
            "inputs and labels need the same number of rows, at least one; got "
            f"{len(mask)} and {len(found)}"
        )
    if found.ndim > 1 and found.shape != mask.shape:
        raise ValueError(
            f"labels must have shape ({len(mask)},) or {tuple(mask.shape)}, got "
            f"{tuple(found.shape)}"
        )
    classes = getattr(getattr(model, "config", None), "num_labels", None)
    check_labels("labels", found[found != -100] if found.ndim > 1 else found, classes)
    return found.long()
