"""Encoders that turn a padded batch of word numbers into states, and states into logits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

LAYERS = ("embedding", "lower", "upper")
"""The shared layers of an `Encoder`, from the words upwards."""


class Encoder(nn.Module):
    """The shared layers: an embedding and two LSTMs, one on the other, reading left to right.

    Parameters
    ----------
    embedding : numpy.ndarray
        float32, shape (V, d); row 0 belongs to padding.
    hidden : tuple of int
        Widths of the lower and the upper LSTM.
    """

    def __init__(self, embedding: np.ndarray, hidden: tuple[int, int] = (128, 64)) -> None:
        super().__init__()
        weight = torch.as_tensor(embedding, dtype=torch.float32).clone()
        self.embedding = nn.Embedding.from_pretrained(weight, freeze=False, padding_idx=0)
        self.lower = nn.LSTM(weight.shape[1], hidden[0], batch_first=True)
        self.upper = nn.LSTM(hidden[0], hidden[1], batch_first=True)
        for lstm in (self.lower, self.upper):
            width = lstm.hidden_size
            with torch.no_grad():  # forget gates start open: the loss leaves its plateau sooner
                nn.init.ones_(lstm.bias_ih_l0[width : 2 * width])  # type: ignore[index]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """States (batch, length, width) for ids (batch, length)."""
        check_ids(ids, self.embedding)
        below, _ = self.lower(self.embedding(ids))
        states, _ = self.upper(below)
        return states


class SharedModel(nn.Module):
    """Shared layers with a language-model head; subclasses add heads for labelled tasks.

    Attributes
    ----------
    encoder : Encoder
        The shared layers.
    lm_head : torch.nn.Linear
        Source task: logits of the next word, (…, V).
    dropout : torch.nn.Dropout
        Applied to the pooled state.
    """

    def __init__(self, encoder: Encoder, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.lm_head = nn.Linear(encoder.upper.hidden_size, encoder.embedding.num_embeddings)
        self.dropout = nn.Dropout(dropout)

    def features(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """What the heads see: pooled states (batch, width), after dropout."""
        states = self.encoder(ids[:, : int(lengths.max())])
        return self.dropout(masked_mean(states, lengths))


class TransferModel(SharedModel):
    """Shared layers with a task-specific head each for the source and the target task.

    Parameters
    ----------
    encoder : Encoder
    classes : int
        Classes of the target task.
    dropout : float
        Applied to the pooled state.

    Attributes
    ----------
    head : torch.nn.Linear
        Target task: logits of the classes.
    """

    def __init__(self, encoder: Encoder, classes: int = 2, dropout: float = 0.2) -> None:
        super().__init__(encoder, dropout)
        self.head = nn.Linear(encoder.upper.hidden_size, classes)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Class logits (batch, classes) for ids (batch, length) and lengths (batch,)."""
        return self.head(self.features(ids, lengths))


class MultitaskModel(SharedModel):
    """One shared trunk and a head for each of several labelled tasks: hard parameter sharing.

    Parameters
    ----------
    encoder : Encoder
        The trunk.
    classes : mapping of str to int
        Each task's number of classes.
    dropout : float
        Applied to the pooled state.

    Attributes
    ----------
    heads : torch.nn.ModuleDict
        A linear layer for each task.

    Raises
    ------
    ValueError
        For a name that `torch.nn.ModuleDict` cannot hold.

    Reference
    ---------
    Caruana (1997), Multitask learning.
    """

    def __init__(self, encoder: Encoder, classes: Mapping[str, int], dropout: float = 0.2) -> None:
        super().__init__(encoder, dropout)
        self.heads = nn.ModuleDict()
        for task, n in classes.items():
            if "." in task or hasattr(self.heads, task) or not task:
                raise ValueError(f"torch allows no task called {task!r}; give it another name")
            self.heads[task] = nn.Linear(encoder.upper.hidden_size, n)

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor, task: str) -> torch.Tensor:
        """A task's logits (batch, classes) for ids (batch, length) and lengths (batch,)."""
        if task not in self.heads:
            raise ValueError(f"the model has no head for {task!r}; it has {list(self.heads)}")
        return self.heads[task](self.features(ids, lengths))


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
        check_ids(ids, self.embedding)
        ids = ids[:, : int(lengths.max())]
        states, _ = self.lstm(self.embedding(ids))
        pooled = masked_mean(states, lengths)
        return self.head(self.dropout(pooled))


def check_ids(ids: torch.Tensor, embedding: nn.Embedding) -> None:
    """Refuse word numbers that the embedding has no row for."""
    size = embedding.num_embeddings
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= size):
        raise ValueError(
            f"ids must be word numbers 0 … {size - 1}, got {int(ids.min())} … {int(ids.max())}; "
            "encode the texts with the vocabulary that the model was built on"
        )


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

    Raises
    ------
    ValueError
        If a length exceeds the positions there are.
    """
    lengths = _fitting(states, lengths)
    mask = torch.arange(states.shape[1], device=states.device)[None, :] < lengths[:, None]
    return (states * mask[..., None]).sum(1) / lengths.clamp(min=1)[:, None]


def last_state(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The state at each row's last real position; ``states[:, -1]`` would read padding.

    Parameters and the shape returned are those of `masked_mean`.
    """
    lengths = _fitting(states, lengths)
    return states[torch.arange(len(states), device=states.device), lengths.clamp(min=1) - 1]


def _fitting(states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    lengths = torch.as_tensor(lengths, device=states.device)
    if states.ndim != 3 or lengths.shape != states.shape[:1]:
        raise ValueError(
            "states must have shape (batch, length, width) and lengths (batch,); got "
            f"{tuple(states.shape)} and {tuple(lengths.shape)}"
        )
    if len(lengths) and (int(lengths.min()) < 0 or int(lengths.max()) > states.shape[1]):
        raise ValueError(
            f"lengths must lie between 0 and {states.shape[1]}, the positions that states has; "
            f"got {int(lengths.min())} … {int(lengths.max())}"
        )
    return lengths
