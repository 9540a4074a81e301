"""Lesson 5: attention in a few lines, and a real layer's attention computed with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tlcourse.arguments import shown

if TYPE_CHECKING:
    from transformers.models.bert.modeling_bert import BertLayer


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention, softmax(QKᵀ/√d_k) V.

    Parameters
    ----------
    query : torch.Tensor
        Q, shape (…, m, d_k): a row for each place that asks.
    key : torch.Tensor
        K, shape (…, n, d_k): a row for each place that is asked.
    value : torch.Tensor
        V, shape (…, n, d_v).
    mask : torch.Tensor, optional
        bool, shape (…, m, n) or what broadcasts to it: False where nothing may be read,
        such as padding.
    scale : float, optional
        What QKᵀ is multiplied by; 1/√d_k if left out.

    Returns
    -------
    output : torch.Tensor
        Shape (…, m, d_v).
    weights : torch.Tensor
        Shape (…, m, n); each row sums to 1 and is 0 where the mask is False.

    Raises
    ------
    ValueError
        If the shapes do not fit, or a row may read nothing at all.
    TypeError
        If something is no tensor, or the mask is neither bool nor all 0 and 1.

    Reference
    ---------
    Vaswani et al. (2017), Attention is all you need.
    """
    for name, item in (("query", query), ("key", key), ("value", value)):
        if not isinstance(item, torch.Tensor) or item.ndim < 2:
            raise TypeError(f"{name} must be a tensor of two axes or more, got {shown(item)}")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            "query and key need the same last axis, key and value the same last but one; got "
            f"{tuple(query.shape)}, {tuple(key.shape)}, {tuple(value.shape)}"
        )
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query @ key.mT * scale
    if mask is not None:
        mask = _as_bool(mask)
        if not mask.any(-1).all():
            raise ValueError("the mask leaves a row nothing to read; its weights would be 0/0")
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1)
    return weights @ value, weights


def _as_bool(mask: torch.Tensor) -> torch.Tensor:
    if not isinstance(mask, torch.Tensor) or mask.ndim == 0 or mask.is_floating_point():
        raise TypeError(
            "mask must be a bool tensor that broadcasts to (…, m, n), False where nothing may be "
            f"read; got {shown(mask)}" + (f" of {mask.dtype}" if torch.is_tensor(mask) else "")
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise TypeError(f"mask must be bool, or 0 and 1; got {shown(mask.unique().tolist())}")
    return mask.bool()


def layer_attention(
    layer: BertLayer, states: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A BERT layer's multi-head attention, from its own matrices and `attention`.

    Parameters
    ----------
    layer : transformers.models.bert.modeling_bert.BertLayer
    states : torch.Tensor
        float32, shape (batch, length, width): what the layer reads.
    mask : torch.Tensor
        int64 or bool, shape (batch, length); 0 at padding.

    Returns
    -------
    output : torch.Tensor
        Shape (batch, length, width): the heads side by side, before the output matrix.
    weights : torch.Tensor
        Shape (batch, heads, length, length).
    """
    own = layer.attention.self
    heads = own.num_attention_heads

    def split(values: torch.Tensor) -> torch.Tensor:  # (batch, heads, length, d_k)
        return values.unflatten(-1, (heads, -1)).transpose(1, 2)

    query, key, value = (split(matrix(states)) for matrix in (own.query, own.key, own.value))
    output, weights = attention(query, key, value, mask.bool()[:, None, None, :])
    return output.transpose(1, 2).flatten(2), weights
