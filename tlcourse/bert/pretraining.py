"""Lesson 5: pretrain a BERT by masked characters and sentence pairs, with a state to resume."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import BertForPreTraining
from transformers import PreTrainedTokenizerBase as Tokenizer

from tlcourse.arguments import check_count, check_number
from tlcourse.bert.masking import Documents, collate_pairs, draw_pairs
from tlcourse.training import History, Progress, Stream, check_settings, choose_device, train

if TYPE_CHECKING:
    from accelerate import Accelerator


def pretraining_losses(
    model: BertForPreTraining, batch: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """MLM and NSP loss; their sum is what ``model(**batch).loss`` gives.

    A task without an example in the batch has loss 0.
    """
    mlm, nsp = (
        cross_entropy(logits.float(), labels) if len(labels) else 0 * logits.sum()
        for logits, labels in _judged(model, batch)
    )
    return mlm, nsp


def _judged(
    model: BertForPreTraining, batch: dict[str, torch.Tensor]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Logits and labels of the masked places, then of the pairs that have a sentence B.

    The decoder sees the masked places only, about a seventh of all: the same loss for less work.
    """
    states = model.bert(
        batch["input_ids"],
        attention_mask=batch["attention_mask"],
        token_type_ids=batch["token_type_ids"],
    )
    chosen, pairs = batch["labels"] != -100, batch["next_sentence_label"] != -100
    yield model.cls.predictions(states.last_hidden_state[chosen]), batch["labels"][chosen]
    yield (
        model.cls.seq_relationship(states.pooler_output[pairs]),
        batch["next_sentence_label"][pairs],
    )


class PretrainingLosses(torch.nn.Module):
    """A model whose forward pass gives `pretraining_losses`, as data-parallel training needs."""

    def __init__(self, model: BertForPreTraining) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """MLM and NSP loss of a batch."""
        return pretraining_losses(self.model, batch)


def pretrain(
    model: BertForPreTraining,
    documents: Documents,
    tokenizer: Tokenizer,
    *,
    stages: Sequence[tuple[int, int, int]],
    learning_rate: float,
    warmup: int,
    weight_decay: float = 0.01,
    seed: int = 0,
    state: Path | str | None = None,
    keep_every: int = 250,
    device: str | torch.device = "auto",
    check_at: Collection[int] = (),
    on_check: Callable[[int], dict[str, float]] | None = None,
    progress: Progress | None = None,
    accelerator: Accelerator | None = None,
) -> History:
    """Train on masked characters and sentence pairs with AdamW.

    The learning rate rises over ``warmup`` steps and then falls in a line to 0. What a step
    draws depends on the seed, the step and the process alone, so a run that goes on from a
    ``state`` file sees what it would have seen.

    Parameters
    ----------
    model : transformers.BertForPreTraining
    documents : Documents
    tokenizer : transformers.PreTrainedTokenizerBase
    stages : sequence of (int, int, int)
        Steps, examples a step (in each process) and pieces an example, one stage after another;
        BERT itself took short examples first.
    learning_rate : float
        The highest.
    warmup : int
        Steps.
    state : path, optional
        A file to keep the state in, and to go on from if it is there.
    keep_every : int
        Steps between two writings of that file.
    device : str or torch.device
        Where the model is moved and stays, see `tlcourse.training.choose_device`.
    check_at, on_check
        Steps after which ``on_check`` is called with the step; 0 is before the first.
    progress : callable, optional
        See `tlcourse.training.Progress`.
    accelerator : accelerate.Accelerator, optional
        For several processes or another precision; it chooses the device.

    Returns
    -------
    History
        Its parts are ``mlm`` and ``nsp``.

    Raises
    ------
    ValueError
        If a setting is outside its range, the state holds more steps than the stages have, the
        model is frozen, or the loss is no number.

    Reference
    ---------
    Devlin et al. (2019), BERT: pre-training of deep bidirectional transformers.
    """
    check_stages(stages)
    check_settings(learning_rate, keep_every=keep_every)
    check_count("warmup", warmup, 0)
    check_number("weight_decay", weight_decay, low=0)
    state = None if state is None else Path(state)
    steps = sum(stage[0] for stage in stages)
    sizes = [stage[1:] for stage in stages for _ in range(stage[0])]
    place = choose_device(device) if accelerator is None else accelerator.device
    cast(torch.nn.Module, model).to(place)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=weight_decay
    )
    history = History()
    first = load_state(state, model, optimizer, history) if state and state.is_file() else 0
    if first > steps:
        raise ValueError(
            f"{state} holds {first} steps and the stages have {steps}: nothing would be trained; "
            "give more stages, or another file for state"
        )
    losses: torch.nn.Module = PretrainingLosses(model)
    rank, leader, backward = 0, True, None
    if accelerator is not None:
        losses, optimizer = accelerator.prepare(losses, optimizer)
        rank, leader = accelerator.process_index, accelerator.is_main_process
        backward = accelerator.backward
        begun = accelerator.gather(torch.tensor([first], device=place))
        if len(begun.unique()) > 1:
            raise ValueError(
                f"the processes begin at the steps {begun.tolist()}: they do not see the same "
                f"state file; put {state} into a folder that all of them share"
            )

    def loss_of(step: int) -> tuple[torch.Tensor, Mapping[str, float]]:
        batch_size, max_length = sizes[step]
        draw = np.random.default_rng([seed, rank, step])
        pairs = draw_pairs(documents, batch_size, max_length, draw)
        model.train()
        with Stream(1_000_003 * seed + 1_009 * step + rank, place):
            drawn = collate_pairs(pairs, tokenizer)
            mlm, nsp = losses({name: part.to(place) for name, part in drawn.items()})
        return mlm + nsp, {"mlm": mlm.item(), "nsp": nsp.item()}

    def keep(step: int) -> None:
        if state and leader and step % keep_every == 0:
            save_state(state, model, optimizer, history)

    return train(
        loss_of, optimizer, steps=steps, first=first, history=history, device=place,
        rate=lambda step: min((step + 1) / max(warmup, 1), (steps - step) / max(steps - warmup, 1)),
        clip=[[*model.parameters()]], backward=backward, after_step=keep, check_at=check_at,
        on_check=None if on_check is None else lambda: on_check(len(history.loss)),
        progress=progress,
    )  # fmt: skip


def check_stages(stages: Sequence[tuple[int, int, int]]) -> None:
    """Refuse stages that are no triples of whole numbers from 1 on."""
    if not len(stages) or any(len(stage) != 3 for stage in stages):
        raise ValueError(f"stages must be triples (steps, examples, pieces), got {stages!r}")
    for stage in stages:
        for name, value in zip(("steps", "examples", "pieces"), stage, strict=True):
            check_count(f"{name} of the stage {tuple(stage)}", value)


def save_state(
    path: Path,
    model: BertForPreTraining,
    optimizer: torch.optim.Optimizer,
    history: History,
) -> None:
    """Write a running pretraining's weights, moments and history, whole or not at all."""
    from safetensors.torch import save_file

    tensors = {}
    for name, parameter in model.named_parameters():
        moments = optimizer.state[parameter]
        tensors[f"weight {name}"] = parameter.detach()
        tensors[f"mean {name}"] = moments["exp_avg"]
        tensors[f"square {name}"] = moments["exp_avg_sq"]
    unfinished = path.with_suffix(".tmp")
    save_file(tensors, unfinished, {"history": json.dumps(asdict(history))})
    os.replace(unfinished, path)


def load_state(
    path: Path,
    model: BertForPreTraining,
    optimizer: torch.optim.Optimizer,
    history: History,
) -> int:
    """Go on from what `save_state` wrote; returns the steps done."""
    from safetensors import safe_open

    with safe_open(path, "pt") as stored:
        vars(history).update(json.loads(stored.metadata()["history"]))
        steps = len(history.loss)
        for name, parameter in model.named_parameters():
            with torch.no_grad():
                parameter.copy_(stored.get_tensor(f"weight {name}"))
            optimizer.state[parameter] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": stored.get_tensor(f"mean {name}").to(parameter.device),
                "exp_avg_sq": stored.get_tensor(f"square {name}").to(parameter.device),
            }
    return steps


def pretraining_scores(
    model: BertForPreTraining, batches: Sequence[dict[str, torch.Tensor]]
) -> dict[str, float]:
    """Mean MLM and NSP loss over some batches and the share of right characters and pairs.

    Returns
    -------
    dict
        ``mlm`` and ``nsp`` in nats; ``mlm_accuracy`` and ``nsp_accuracy``, 0 … 1.
    """
    model.eval()
    sums, counts = np.zeros((2, 2)), np.zeros(2)
    with torch.no_grad():
        for given in batches:
            batch = {name: part.to(model.device) for name, part in given.items()}
            for task, (logits, labels) in enumerate(_judged(model, batch)):
                sums[0, task] += cross_entropy(logits, labels, reduction="sum").item()
                sums[1, task] += (logits.argmax(-1) == labels).sum().item()
                counts[task] += len(labels)
    with np.errstate(invalid="ignore"):  # NaN for a task without an example
        (mlm, nsp), (right, ordered) = sums / counts
    return {
        "mlm": round(float(mlm), 4),
        "nsp": round(float(nsp), 4),
        "mlm_accuracy": round(float(right), 4),
        "nsp_accuracy": round(float(ordered), 4),
    }
