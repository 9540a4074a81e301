"""Lesson 5: fine-tune an encoder with a head."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import DataCollatorForLanguageModeling, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from tlcourse.arguments import check_number, check_share
from tlcourse.finetuning.layers import (
    body_of,
    layers_of,
    parameter_groups,
    restricted,
    unfrozen_layers,
    weights_of,
)
from tlcourse.finetuning.layers import l2_sp as squared_distance
from tlcourse.finetuning.losses import mixture
from tlcourse.inputs import Inputs, check_inputs, check_targets, take
from tlcourse.training import (
    History,
    Progress,
    batches,
    check_settings,
    choose_device,
    linear_schedule,
    train,
)
from tlcourse.training import predict as predict


class MaskedSource(nn.Module):
    """L_pre beside a task of one's own: unlabelled texts, masked anew in each batch.

    Parameters
    ----------
    model : torch.nn.Module
        An encoder with any head; its body is shared.
    head : transformers.PreTrainedModel
        ``AutoModelForMaskedLM`` of the same checkpoint; it gives up its own body. Its decoder is
        tied to the shared word embeddings, so freezing them freezes it.
    tokenizer : transformers.PreTrainedTokenizerBase
    inputs : mapping
        The texts, as `encode` gives them.
    """

    def __init__(
        self,
        model: nn.Module,
        head: PreTrainedModel,
        tokenizer: Tokenizer,
        inputs: Inputs,
    ) -> None:
        super().__init__()
        if tokenizer.mask_token is None:
            raise ValueError("tokenizer has no mask token: its checkpoint was not pretrained so")
        check_inputs(model, inputs)
        setattr(head, head.base_model_prefix, body_of(model))
        head.tie_weights()
        self.head, self.inputs = head, inputs
        self._mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
        self._special = torch.tensor(tokenizer.all_special_ids)

    def __len__(self) -> int:
        return len(self.inputs["attention_mask"])

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """MLM loss of these rows, in nats; it draws from torch's global generator."""
        batch = take(self.inputs, rows)
        kept = torch.isin(batch["input_ids"], self._special)
        batch["input_ids"], labels = self._mask.torch_mask_tokens(batch["input_ids"], kept)
        moved = {name: values.to(self.head.device) for name, values in batch.items()}
        logits = self.head(**moved).logits
        chosen = labels != -100
        loss = cross_entropy(logits[chosen], labels[chosen].to(logits.device), reduction="sum")
        return loss / max(int(chosen.sum()), 1)  # 0 where nothing was chosen


def fine_tune(
    model: nn.Module,
    inputs: Inputs,
    labels: Any,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int = 16,
    warmup: float = 0.1,
    weight_decay: float | None = None,
    gradual: bool = False,
    factor: float = 1.0,
    l2_sp: float = 0.0,
    source: MaskedSource | None = None,
    lam: float = 0.0,
    seed: int = 0,
    device: str | torch.device = "auto",
    check_at: Collection[int] = (),
    on_check: Callable[[], dict[str, float]] | None = None,
    progress: Progress | None = None,
) -> History:
    """Train whatever is trainable in an encoder with a head, in place, as BERT's authors did.

    ``λ L_pre + (1 − λ) L_fine + α · L2-SP`` by AdamW; the rate rises in a line and falls in a
    line to 0; gradients are clipped at norm 1; biases and norms have no weight decay. Embeddings
    and layers that are frozen as a whole run as they do at prediction, without dropout.

    Parameters
    ----------
    model : torch.nn.Module
        A model of transformers with a head, or the `upper_part` of one.
    inputs : mapping
        As `encode` or `frozen_states` gives them.
    labels : torch.Tensor, numpy.ndarray or list
        Class numbers, shape (n,), or (n, length) with −100 where no label is for a token
        classifier.
    steps : int
        Batches; the texts are gone through in a new order each time they are used up.
    learning_rate : float
        The highest, of the head; see ``factor``.
    batch_size : int
    warmup : float
        The share of the steps in which the rate rises, 0 … 1.
    weight_decay : float, optional
        0.01, or 0 beside L2-SP, which it would fight.
    gradual : bool
        Unfreeze the layers that train one after the other from the top, see `unfrozen_layers`.
    factor : float
        Each layer's rate is the next one's ÷ factor, see `parameter_groups`.
    l2_sp : float
        α: how strongly the encoder is pulled towards where it started.
    source : MaskedSource, optional
        Unlabelled texts for L_pre; needed unless λ = 0.
    lam : float
        λ: 1 is pretraining, 0 fine-tuning.
    seed : int
        For the order of the texts and for dropout.
    device : str or torch.device
        Where the model is moved and stays, see `tlcourse.training.choose_device`.
    check_at, on_check
        Steps after which ``on_check`` is called; 0 is before the first.
    progress : callable, optional
        See `tlcourse.training.Progress`.

    Returns
    -------
    History
        With a source its parts are ``pre`` and ``fine``.

    Raises
    ------
    ValueError
        If inputs, labels and model do not fit each other, nothing trains, a setting is outside
        its range, or the loss is no number.

    References
    ----------
    Devlin et al. (2019), BERT, appendix A.3; Howard and Ruder (2018); Li et al. (2018).
    """
    layers = layers_of(model)
    check_settings(learning_rate, steps=steps, batch_size=batch_size)
    check_share("warmup", warmup)
    check_number("l2_sp", l2_sp, low=0)
    if check_share("lam", lam) and source is None:
        raise ValueError(f"lam = {lam:g} needs source: unlabelled texts for L_pre")
    decay = (0.0 if l2_sp else 0.01) if weight_decay is None else weight_decay
    check_inputs(model, inputs)
    targets = check_targets(model, labels, inputs["attention_mask"])
    place = choose_device(device)
    groups = parameter_groups(model.to(place), learning_rate, factor, decay)
    if source is not None and lam:
        own = {id(value) for value in model.parameters()}
        head = [value for value in source.to(place).parameters() if id(value) not in own]
        groups.append({"params": head, "lr": learning_rate, "weight_decay": decay})
    optimizer = torch.optim.AdamW(groups, weight_decay=decay, fused=True)
    start = weights_of(body_of(model)) if l2_sp else {}
    names = tuple(
        name
        for name, layer in layers.items()
        if any(value.requires_grad for value in layer.parameters())
    )
    # One order each, so that the labelled batches are the same for every λ.
    orders = [torch.Generator().manual_seed(seed) for _ in range(2)]
    draw = batches(len(targets), batch_size, orders[0])
    draw_source = batches(len(source) if source is not None else 1, batch_size, orders[1])

    def loss_of(step: int) -> tuple[torch.Tensor, Mapping[str, float]]:
        if choose is not None:
            choose(unfrozen_layers(step, steps, names))
        _training_mode(model)
        parts: dict[str, torch.Tensor] = {}
        if lam < 1:
            rows = next(draw)
            batch = take(inputs, rows)
            wanted = targets[rows]
            if wanted.ndim > 1:
                wanted = wanted[:, : batch["attention_mask"].shape[1]]
            moved = {name: values.to(place) for name, values in batch.items()}
            parts["fine"] = model(**moved, labels=wanted.to(place)).loss
        if source is not None and lam:
            parts["pre"] = source(next(draw_source))
        both = len(parts) == 2
        loss = mixture(parts["pre"], parts["fine"], lam) if both else next(iter(parts.values()))
        if start:
            loss = loss + l2_sp * squared_distance(body_of(model), start)
        return loss, {name: part.item() for name, part in parts.items()} if lam else {}

    with restricted(model, names) if gradual else nullcontext() as choose:
        return train(
            loss_of, optimizer, steps=steps, seed=seed, device=place,
            rate=linear_schedule(steps, round(warmup * steps)),
            check_at=check_at, on_check=on_check, progress=progress,
        )  # fmt: skip


def _training_mode(model: nn.Module) -> None:
    """Training mode for all but the embeddings and the layers that are frozen as a whole."""
    model.train()
    for layer in layers_of(model).values():
        if not any(parameter.requires_grad for parameter in layer.parameters()):
            layer.eval()
