"""Lesson 5's exercises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tlcourse.checks import (
    Mistake,
    NotAttempted,
    as_array,
    exercise,
    expect,
    expect_set,
    two,
    untouched,
)

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification


def _softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


@exercise("bert.masked_attention", "Attention with a mask")
def _attention(answer: Callable) -> None:
    generator = np.random.default_rng(5)
    Q, K = 2 * generator.normal(size=(4, 9)), 2 * generator.normal(size=(5, 9))
    V, mask = generator.normal(size=(5, 3)), np.array([True, True, True, False, False])
    scaled = Q @ K.T / 3.0

    def weights(scale: float = 3.0, hide: float = -np.inf, axis: int = -1) -> np.ndarray:
        return _softmax(np.where(mask, Q @ K.T / scale, hide), axis)

    found = answer(Q.copy(), K.copy(), V.copy(), mask.copy())
    if isinstance(found, (tuple, list)) and len(found) == 2:
        raise Mistake("two things came back; return the output alone.")
    if np.isnan(as_array(found, "the output")).all():
        raise Mistake(
            "everything is NaN. Either the softmax runs over the wrong axis, down the columns, "
            "where a masked key has nothing but −∞ (each row must sum to 1); or −∞ was "
            "multiplied by 0: use np.where."
        )
    powers = np.where(mask, np.exp(scaled), 0)
    mistakes = {
        "the softmax runs over the wrong axis: each row of the weights, one for each query, "
        "must sum to 1.": weights(hide=-1e9, axis=0) @ V,
        "the division by √d_k is missing.": weights(1) @ V,
        "you divided by d_k; the formula divides by its square root.": weights(9) @ V,
        "you multiplied by √d_k; divide by it.": weights(1 / 3) @ V,
        "d_k is the number of columns of Q and K, 9 here, not the number of keys.": (
            weights(5**0.5) @ V
        ),
        "d_k is the number of columns of Q and K, 9 here, not that of V.": weights(3**0.5) @ V,
        "you masked with 0, and exp(0) = 1: padding still gets weight. Put −∞ there before "
        "the softmax.": weights(hide=0.0) @ V,
        "the mask has no effect: set the scores of padding to −∞ before the softmax.": (
            _softmax(scaled) @ V
        ),
        "you masked after the softmax, so the rows no longer sum to 1: mask the scores.": (
            (_softmax(scaled) * mask) @ V
        ),
        "the mask is upside down: True marks the keys that may be read.": (
            _softmax(np.where(mask, -np.inf, scaled)) @ V
        ),
        "these are the weights; multiply them by V.": weights(),
        "the softmax is missing: the scores themselves are no weights.": (
            np.where(mask, scaled, 0) @ V
        ),
        "the weights do not sum to 1: divide each row by its sum.": powers @ V,
        "the softmax runs over the whole matrix: each row, one for each query, must sum to "
        "1.": powers / powers.sum() @ V,
    }
    expect(found, weights() @ V, "the output", mistakes)


@exercise("bert.mask_pieces", "Inputs and labels for MLM")
def _mask_pieces(answer: Callable) -> None:
    ids = np.array([101, 2023, 3185, 2003, 2200, 2204, 102, 0])
    chosen = np.array([False, False, True, False, False, True, False, False])
    for blank in (103, 4):
        masked, right = np.where(chosen, blank, ids), np.where(chosen, ids, -100)
        found = untouched(answer, ids, chosen, blank)
        found = two(found, "two arrays are asked for: return inputs, labels.")
        inputs, labels = as_array(found[0], "inputs"), as_array(found[1], "labels")
        if np.array_equal(inputs, right) and np.array_equal(labels, masked):
            raise Mistake("the two arrays are swapped: return inputs, labels.")
        mistakes = {
            "inputs still shows the pieces to be guessed: put the mask's number there.": ids,
            "inputs has the mask everywhere but at the chosen places.": (
                np.where(chosen, ids, blank)
            ),
            "the mask's number is given as mask_id; another tokenizer has another one.": (
                np.where(chosen, 103, ids)
            ),
        }
        expect(inputs, masked, "the array inputs", mistakes)
        mistakes = {
            "labels stand on unmasked pieces too: there the model only copies what it sees. Put "
            "−100 wherever nothing was masked.": ids,
            "0 is a piece, [PAD]: the model would learn to say it. Put −100, which the loss "
            "leaves out.": np.where(chosen, ids, 0),
            "−1 is no piece and not left out by the loss either; put −100.": (
                np.where(chosen, ids, -1)
            ),
            "−100 stands at the masked places; it belongs everywhere else.": (
                np.where(chosen, -100, ids)
            ),
            "labels were taken after masking, so the model learns to say [MASK]: take them from "
            "ids.": np.where(chosen, blank, -100),
            "labels are the masked inputs; take the true pieces from ids.": masked,
        }
        expect(labels, right, "the array labels", mistakes)


@exercise("bert.freeze_layers", "Freezing k layers")
def _freeze_layers(answer: Callable) -> None:
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

    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        first, again = (model.bert(ids, output_hidden_states=True)[2] for _ in range(2))
    return all(map(torch.equal, first[: k + 1], again[: k + 1]))


def _judge_frozen(stuck: set[str], k: int, names: list[str]) -> None:
    """Compare the frozen parameters' names with the right ones and with typical wrong ones."""

    def within(*prefixes: str) -> set[str]:
        return {name for name in names if name.startswith(prefixes)}

    def layers(first: int, last: int, end: str = ".") -> set[str]:
        return low | within(*(f"bert.encoder.layer.{number}{end}" for number in range(first, last)))

    embeddings, pooler = within("bert.embeddings."), within("bert.pooler.")
    low, classifier = embeddings if k else set(), within("classifier.")
    right = layers(0, k)
    mistakes: dict[str, set[str]] = {
        "nothing is frozen: set requires_grad to False on the parameters.": set(),
        "layer 10 and 11 are frozen too: the name 'layer.1' is a prefix of 'layer.10'. Compare "
        "with 'layer.1.', with the point.": layers(0, k, ""),
        "the embeddings still train: with k > 0 they are frozen too, since they lie below.": (
            right - low
        ),
        "you froze k + 1 layers: the first k have the numbers 0 … k − 1.": layers(0, k + 1),
        "the numbers of layers begin at 0: you left layer 0 out.": layers(1, k + 1),
        "you froze the upper layers; the lowest k are asked for.": set(names) - right,
        "the embeddings are frozen although k is 0.": right | embeddings,
        "the pooler and the classifier are frozen: the head must train.": (
            right | pooler | classifier
        ),
        "the pooler is frozen: it belongs to the head, which must train.": right | pooler,
        "the classifier is frozen: the head must train.": right | classifier,
        "the whole BERT is frozen, whatever k is.": within("bert."),
    }
    odd = sorted(stuck ^ right)
    otherwise = f"with k = {k}, {len(odd)} parameters are wrong, {', '.join(odd[:1])} among them."
    expect_set(stuck, right, mistakes, otherwise)


@exercise("bert.macro_f1", "Macro-F1 from a confusion matrix")
def _macro_f1(answer: Callable) -> None:
    for matrix in (
        np.array([[50.0, 3, 2], [8, 6, 1], [4, 0, 6]]),
        np.array([[80.0, 0, 10], [6, 0, 2], [4, 0, 16]]),
    ):
        hit, predicted, actual = np.diag(matrix), matrix.sum(0), matrix.sum(1)
        each, said = 2 * hit / (predicted + actual), predicted > 0
        precision = (hit / np.maximum(predicted, 1)).mean()
        recall = (hit / actual).mean()
        mistakes: Mapping[str, float | np.ndarray] = {
            "this is the F1 of each class; macro-F1 is their mean.": each,
            "each F1 is half of what it should be: F1 = 2·TP / (predicted + actual).": (
                each.mean() / 2
            ),
            "this is the mean over the classes that were predicted: one that never was counts "
            "too, with an F1 of 0.": each[said].mean() if not said.all() else np.nan,
            "this is the accuracy. On an unbalanced set it is high for a classifier that knows "
            "the large class alone; macro-F1 counts every class once.": hit.sum() / matrix.sum(),
            "you weighted the classes by their size; macro means that each counts once.": (
                np.average(each, weights=actual)
            ),
            "this is the F1 of the mean precision and the mean recall; take the mean of the "
            "classes' F1.": 2 * precision * recall / (precision + recall),
            "this is the mean recall.": recall,
            "this is the mean precision.": precision,
            "this is the F1 of the last class only.": each[-1],
            "this is the F1 of the first class only.": each[0],
            "this is the sum of the classes' F1; divide by their number.": each.sum(),
        }
        found = answer(matrix.copy())
        if np.isnan(as_array(found, "macro-F1")).any():
            raise Mistake(
                "NaN came back for a class that is never predicted: its precision is 0/0. "
                "F1 = 2·TP / (predicted + actual) has no such hole."
            )
        expect(found, each.mean(), "macro-F1", mistakes)
