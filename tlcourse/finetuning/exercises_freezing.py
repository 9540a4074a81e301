"""Lesson 5's exercise on freezing layers by the names of their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tlcourse.checks import Mistake, NotAttempted

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification


def judge_freezing(answer: Callable) -> None:
    """Judge a function that freezes a BERT's lowest k layers, with their dropout off."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=7, hidden_size=16, num_hidden_layers=12, num_attention_heads=1,
        intermediate_size=16, max_position_embeddings=4, hidden_dropout_prob=0.5,
    )  # fmt: skip
    for k in (2, 0, 12):
        torch.manual_seed(0)
        model = BertForSequenceClassification(config).train()
        before = {name: value.clone() for name, value in model.named_parameters()}
        found = answer(model, k)
        if isinstance(found, torch.nn.Module) and found is not model:
            raise Mistake("you return another model; change the one that is given, in place.")
        if any(not torch.equal(value, before[name]) for name, value in model.named_parameters()):
            raise Mistake("you changed the weights themselves; set requires_grad to False.")
        stuck = {name for name, value in model.named_parameters() if not value.requires_grad}
        if found is ... and k and not stuck:
            raise NotAttempted
        if k and not stuck and any("requires_grad" in vars(part) for part in model.modules()):
            raise Mistake(
                "module.requires_grad = False only writes a new attribute on the module: call "
                "module.requires_grad_(False), or set it on each parameter."
            )
        _judge_frozen(stuck, k, list(before))
        if k and not _repeats(model, k):
            raise Mistake(
                "the right parameters are frozen, but the frozen layers are left in training "
                "mode, so their dropout still runs: call eval() on these modules."
            )
        upper = [*model.bert.encoder.layer[k:], model.dropout]
        if any(not part.training for module in upper for part in module.modules()):
            raise Mistake(
                "dropout is off in parts that still train: call eval() on the frozen modules only."
            )


def _repeats(model: BertForSequenceClassification, k: int) -> bool:
    """Whether the frozen layers give the same states each time."""
    import torch

    with torch.no_grad():
        states = [
            model.bert(torch.tensor([[1, 2, 3, 4]]), output_hidden_states=True).hidden_states
            for _ in range(2)
        ]
    return all(
        torch.equal(a, b) for a, b in zip(states[0][: k + 1], states[1][: k + 1], strict=True)
    )


def _judge_frozen(stuck: set[str], k: int, names: list[str]) -> None:
    """Compare the frozen parameters' names with the right ones and with typical wrong ones."""

    def within(*prefixes: str) -> set[str]:
        return {name for name in names if name.startswith(prefixes)}

    layer = "bert.encoder.layer."
    low = within("bert.embeddings.") if k else set()
    right = low | within(*(f"{layer}{number}." for number in range(k)))
    if stuck == right:
        return
    loose = low | within(*(f"{layer}{number}" for number in range(k)))
    mistakes = {
        "nothing is frozen: set requires_grad to False on the parameters.": set(),
        "layer 10 and 11 are frozen too: the name 'layer.1' is a prefix of 'layer.10'. Compare "
        "with 'layer.1.', with the point.": loose,
        "the embeddings still train: with k > 0 they are frozen too, since they lie below.": right
        - low,
        "you froze k + 1 layers: the first k have the numbers 0 … k − 1.": low
        | within(*(f"{layer}{number}." for number in range(k + 1))),
        "the numbers of layers begin at 0: you left layer 0 out.": low
        | within(*(f"{layer}{number}." for number in range(1, k + 1))),
        "you froze the upper layers; the lowest k are asked for.": set(names) - right,
        "the embeddings are frozen although k is 0.": right | within("bert.embeddings."),
        "the pooler and the classifier are frozen: the head must train.": right
        | within("bert.pooler.", "classifier."),
        "the pooler is frozen: it belongs to the head, which must train.": right
        | within("bert.pooler."),
        "the classifier is frozen: the head must train.": right | within("classifier."),
        "the whole BERT is frozen, whatever k is.": within("bert."),
    }
    for explanation, wrong in mistakes.items():
        if stuck == wrong:
            raise Mistake(explanation)
    odd = sorted(stuck ^ right)
    raise Mistake(f"with k = {k}, {len(odd)} parameters are wrong, {odd[0]} among them.")
