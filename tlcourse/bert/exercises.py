"""Lesson 5's exercises and quiz."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tlcourse.checks import Exercise, Mistake, NotAttempted, Question, as_array, expect
from tlcourse.finetuning.exercises_freezing import judge_freezing


def _softmax(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _attention(answer: Callable) -> None:
    generator = np.random.default_rng(5)
    Q, K = 2 * generator.normal(size=(4, 9)), 2 * generator.normal(size=(5, 9))
    V, mask = generator.normal(size=(5, 3)), np.array([True, True, True, False, False])
    scores, scaled = Q @ K.T, Q @ K.T / 3.0
    hidden = np.where(mask, scaled, -np.inf)
    weights = _softmax(hidden)
    late = _softmax(scaled) * mask
    found = answer(Q.copy(), K.copy(), V.copy(), mask.copy())
    if isinstance(found, (tuple, list)) and len(found) == 2:
        raise Mistake("two things came back; return the output alone.")
    powers = np.where(mask, np.exp(scaled), 0)
    if np.isnan(as_array(found, "the output")).all():
        raise Mistake(
            "everything is NaN. Either the softmax runs over the wrong axis, down the columns, "
            "where a masked key has nothing but −∞ (each row must sum to 1); or −∞ was "
            "multiplied by 0: use np.where."
        )
    expect(
        found,
        weights @ V,
        "the output",
        {
            "the softmax runs over the wrong axis: each row of the weights, one for each query, "
            "must sum to 1.": _softmax(np.where(mask, scaled, -1e9), 0) @ V,
            "the division by √d_k is missing.": _softmax(np.where(mask, scores, -np.inf)) @ V,
            "you divided by d_k; the formula divides by its square root.": _softmax(
                np.where(mask, scores / 9, -np.inf)
            )
            @ V,
            "you multiplied by √d_k; divide by it.": _softmax(np.where(mask, scores * 3, -np.inf))
            @ V,
            "d_k is the number of columns of Q and K, 9 here, not the number of keys.": _softmax(
                np.where(mask, scores / np.sqrt(5), -np.inf)
            )
            @ V,
            "d_k is the number of columns of Q and K, 9 here, not that of V.": _softmax(
                np.where(mask, scores / np.sqrt(3), -np.inf)
            )
            @ V,
            "you masked with 0, and exp(0) = 1: padding still gets weight. Put −∞ there before "
            "the softmax.": _softmax(np.where(mask, scaled, 0.0)) @ V,
            "the mask has no effect: set the scores of padding to −∞ before the softmax.": _softmax(
                scaled
            )
            @ V,
            "you masked after the softmax, so the rows no longer sum to 1: mask the scores.": late
            @ V,
            "the mask is upside down: True marks the keys that may be read.": _softmax(
                np.where(mask, -np.inf, scaled)
            )
            @ V,
            "these are the weights; multiply them by V.": weights,
            "the softmax is missing: the scores themselves are no weights.": np.where(
                mask, scaled, 0
            )
            @ V,
            "the weights do not sum to 1: divide each row by its sum.": powers @ V,
            "the softmax runs over the whole matrix: each row, one for each query, must sum to "
            "1.": powers / powers.sum() @ V,
        },
    )


def _mask_pieces(answer: Callable) -> None:
    chosen = np.array([False, False, True, False, False, True, False, False])
    for blank in (103, 4):
        _judge_masked(answer, np.array([101, 2023, 3185, 2003, 2200, 2204, 102, 0]), chosen, blank)


def _judge_masked(answer: Callable, ids: np.ndarray, chosen: np.ndarray, blank: int) -> None:
    kept_ids, kept_chosen = ids.copy(), chosen.copy()
    found = answer(kept_ids, kept_chosen, blank)
    if found is ... or (isinstance(found, (tuple, list)) and any(part is ... for part in found)):
        raise NotAttempted
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Mistake("two arrays are asked for: return inputs, labels.")
    if not np.array_equal(kept_ids, ids) or not np.array_equal(kept_chosen, chosen):
        raise Mistake("you changed the array that was given; copy it first.")
    inputs, labels = as_array(found[0], "inputs"), as_array(found[1], "labels")
    masked, right = np.where(chosen, blank, ids), np.where(chosen, ids, -100)
    if np.array_equal(inputs, right) and np.array_equal(labels, masked):
        raise Mistake("the two arrays are swapped: return inputs, labels.")
    expect(
        inputs,
        masked,
        "the array inputs",
        {
            "inputs still shows the pieces to be guessed: put the mask's number there.": ids,
            "inputs has the mask everywhere but at the chosen places.": np.where(
                chosen, ids, blank
            ),
            "the mask's number is given as mask_id; another tokenizer has another one.": np.where(
                chosen, 103, ids
            ),
        },
    )
    expect(
        labels,
        right,
        "the array labels",
        {
            "labels stand on unmasked pieces too: there the model only copies what it sees. Put "
            "−100 wherever nothing was masked.": ids,
            "0 is a piece, [PAD]: the model would learn to say it. Put −100, which the loss "
            "leaves out.": np.where(chosen, ids, 0),
            "−1 is no piece and not left out by the loss either; put −100.": np.where(
                chosen, ids, -1
            ),
            "−100 stands at the masked places; it belongs everywhere else.": np.where(
                chosen, -100, ids
            ),
            "labels were taken after masking, so the model learns to say [MASK]: take them from "
            "ids.": np.where(chosen, blank, -100),
            "labels are the masked inputs; take the true pieces from ids.": masked,
        },
    )


def _f1(true_positive: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> np.ndarray:
    return np.divide(2 * true_positive, predicted + actual, where=predicted + actual > 0,
                     out=np.zeros(len(actual)))  # fmt: skip


def _macro_f1(answer: Callable) -> None:
    for matrix in (
        np.array([[50.0, 3, 2], [8, 6, 1], [4, 0, 6]]),
        np.array([[80.0, 0, 10], [6, 0, 2], [4, 0, 16]]),
    ):
        hit, predicted, actual = np.diag(matrix), matrix.sum(0), matrix.sum(1)
        each = _f1(hit, predicted, actual)
        precision = np.divide(hit, predicted, where=predicted > 0, out=np.zeros(len(hit)))
        recall = hit / actual
        p, r = precision.mean(), recall.mean()
        said = predicted > 0
        wrong: Mapping[str, float | np.ndarray] = {
            "this is the F1 of each class; macro-F1 is their mean.": each,
            "each F1 is half of what it should be: F1 = 2·TP / (predicted + actual).": (
                each.mean() / 2
            ),
            "this is the mean over the classes that were predicted: one that never was counts "
            "too, with an F1 of 0.": each[said].mean() if not said.all() else np.nan,
            "this is the accuracy. On an unbalanced set it is high for a classifier that knows "
            "the large class alone; macro-F1 counts every class once.": hit.sum() / matrix.sum(),
            "you weighted the classes by their size; macro means that each counts once.": (
                each * actual
            ).sum()
            / actual.sum(),
            "this is the F1 of the mean precision and the mean recall; take the mean of the "
            "classes' F1.": 2 * p * r / (p + r),
            "this is the mean recall.": r,
            "this is the mean precision.": p,
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
        expect(found, each.mean(), "macro-F1", wrong)


EXERCISES = {
    "masked_attention": Exercise("Attention with a mask", _attention),
    "mask_pieces": Exercise("Inputs and labels for MLM", _mask_pieces),
    "freeze_layers": Exercise("Freezing k layers", judge_freezing),
    "macro_f1": Exercise("Macro-F1 from a confusion matrix", _macro_f1),
}

QUESTIONS = (
    Question(
        "A BERT's MLM loss has stood at the unigram entropy for a hundred steps. What has it "
        "learned?",
        (
            (
                "Nothing: the loss does not move",
                "It has learned something: a model that guesses evenly has loss ln V, which is "
                "higher.",
            ),
            (
                "How frequent each character is, and not yet what stands around a blank",
                "Right. That is the loss of guessing by frequency, without reading.",
            ),
            (
                "Grammar, but no meaning",
                "Grammar would need the context, and whoever uses context beats the frequencies.",
            ),
        ),
        1,
    ),
    Question(
        "You train on four sentences, evaluate on the same four, and read accuracy 1.0. What do "
        "you know about the model?",
        (
            ("It understands sentiment", "It may have memorised four sentences."),
            (
                "That training ran: it can fit four sentences",
                "Right. A judgement needs texts that were not trained on.",
            ),
            (
                "It overfits, so a smaller model is better",
                "Fitting four sentences does not show that either: nothing else was measured.",
            ),
        ),
        1,
    ),
    Question(
        "The lowest four of six layers are frozen. Why may their outputs be computed once and "
        "kept?",
        (
            (
                "They change so little that it does not matter",
                "They do not change at all: that is why it is exact.",
            ),
            (
                "Their weights never change, and without dropout the same text gives the same "
                "states",
                "Right. With dropout left on in them, each pass would give other states.",
            ),
            (
                "Only because the head reads the mean",
                "It works with any head.",
            ),
        ),
        1,
    ),
)
