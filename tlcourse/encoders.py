"""Encoders that turn a padded batch of word numbers into class logits."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class LSTMClassifier(nn.Module):
    """Embedding, LSTM, mean over the real positions, linear head.

    The LSTM reads left to right, so padding at the end never reaches a real position.

    Parameters
    ----------
    embedding : numpy.ndarray
        float32, shape (V, d); row 0 belongs to padding.
    hidden : int
        Width of the LSTM.
    classes : int
        Number of classes.
    train_embedding : bool
        Whether the embedding is tuned or stays as given.
    dropout : float
        Applied to the pooled state.
    """

    def __init__(
        self,
        embedding: np.ndarray,
        hidden: int = 64,
        classes: int = 2,
        train_embedding: bool = False,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        weight = torch.as_tensor(embedding, dtype=torch.float32)
        self.embedding = nn.Embedding.from_pretrained(
            weight, freeze=not train_embedding, padding_idx=0
        )
        self.lstm = nn.LSTM(weight.shape[1], hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, classes)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) for ids (batch, length) and lengths (batch,)."""
        ids = ids[:, : int(lengths.max())]
        states, _ = self.lstm(self.embedding(ids))
        pooled = masked_mean(states, lengths)
        return self.head(self.dropout(pooled))


def masked_mean(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Mean over the first ``lengths`` positions, so that padding never counts.

    Parameters
    ----------
    states : torch.Tensor
        Shape (batch, length, width).
    lengths : torch.Tensor
        int64, shape (batch,).

    Returns
    -------
    torch.Tensor
        Shape (batch, width).
    """
    mask = torch.arange(states.shape[1])[None, :] < lengths[:, None]
    return (states * mask[..., None]).sum(1) / lengths.clamp(min=1)[:, None]
