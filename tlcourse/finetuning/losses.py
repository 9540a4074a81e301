"""Lesson 3: the losses of the source and of the target task, and their mixture."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from tlcourse.arguments import check_choice, check_kind, check_kinds, check_share
from tlcourse.finetuning.tasks import Encoded, labels_of
from tlcourse.models import SharedModel, TransferModel


def distance_loss(
    states: torch.Tensor, embeddings: torch.Tensor, detach: bool = False
) -> torch.Tensor:
    """The article's L_pre: mean squared distance of contextual states F to embeddings E.

    Parameters
    ----------
    states, embeddings : torch.Tensor
        F and E, the same shape (N, d).
    detach : bool
        Take E as a constant target, so that the loss cannot be lowered by shrinking it.

    Returns
    -------
    torch.Tensor
        ``mean_i ‖F_i − E_i‖²``, a scalar.
    """
    check_kinds(states=(states, torch.Tensor), embeddings=(embeddings, torch.Tensor))
    check_choice("detach", detach, (True, False))
    if states.shape != embeddings.shape:
        raise ValueError(
            f"states (F) and embeddings (E) need the same shape, got {tuple(states.shape)} and "
            f"{tuple(embeddings.shape)}; the upper layer must be as wide as the embedding"
        )
    target = embeddings.detach() if detach else embeddings
    return (states - target).square().sum(-1).mean()


def next_word_loss(model: SharedModel, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """L_pre as a language model: mean cross-entropy of each next word, in nats.

    Parameters
    ----------
    ids : torch.Tensor
        int64, shape (batch, length); padding is 0 and never a target.
    lengths : torch.Tensor
        int64, shape (batch,).
    """
    check_kind("model", model, SharedModel)
    Encoded(ids, lengths)  # which fit each other
    ids = ids[:, : max(int(lengths.max()), 2)]
    states, target = model.encoder(ids[:, :-1]), ids[:, 1:]
    real = target != 0
    return cross_entropy(model.lm_head(states[real]), target[real])


def class_loss(model: TransferModel, batch: Encoded) -> torch.Tensor:
    """L_fine: mean cross-entropy of the classes, each example times its weight if it has one.

    Weights should have mean 1 over all examples. They are not divided by the batch's own sum:
    a batch of unimportant examples should count little.
    """
    check_kind("model", model, TransferModel)
    labels = labels_of("batch", batch)
    each = cross_entropy(model(*batch.inputs), labels, reduction="none")
    return each.mean() if batch.weights is None else (each * batch.weights).mean()


def mixture(pre: torch.Tensor, fine: torch.Tensor, lam: float) -> torch.Tensor:
    """``λ L_pre + (1 − λ) L_fine``.

    Examples
    --------
    >>> float(mixture(torch.tensor(5.0), torch.tensor(1.0), 0.25))
    2.0
    """
    check_share("lam", lam)
    kinds = (torch.Tensor, float, int)
    check_kinds(pre=(pre, kinds), fine=(fine, kinds))
    return lam * pre + (1 - lam) * fine
