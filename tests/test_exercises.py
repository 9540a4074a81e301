"""Checks know right answers (the lessons' own solutions) and name typical mistakes."""

from __future__ import annotations

import builtins
import copy
import re
import sys
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from tlcourse import checks

LESSONS = {
    "embeddings": "01_embeddings",
    "mapping": "02_linear_embedding_transfer",
    "finetuning": "03_pretrain_and_finetune",
    "multitask": "04_multitask_learning",
    "bert": "05_bert_finetuning",
}
NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def _solutions(lesson: str) -> dict[str, str]:
    """Function name → code, out of every <details> with a solution."""
    notebook = nbformat.read(NOTEBOOKS / f"{LESSONS[lesson]}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = re.findall(r"<summary>Solution</summary>\s*```python\n(.*?)```", text, re.DOTALL)
    return {re.search(r"def (\w+)", code)[1]: code for code in found}


@pytest.mark.parametrize("name", checks.names())
def test_the_lessons_solution_is_right(name):
    lesson, _, exercise = name.partition(".")
    space = {"np": np, "torch": torch}
    exec(_solutions(lesson)[exercise], space)
    feedback = checks.check(name, space[exercise])
    assert feedback.passed is True, feedback
    assert repr(feedback).startswith("✓")


@pytest.mark.parametrize("name", checks.names())
def test_stub_is_not_attempted(name):
    for stub in (..., lambda *arguments: ...):
        assert checks.check(name, stub).passed is None


def _unit(E):
    return E / np.linalg.norm(E, axis=1, keepdims=True)


def _half(E, row, k):
    return np.argsort(-(_unit(E) @ _unit(E)[row]))


def _centred(X, Y):
    return np.linalg.lstsq(X - X.mean(0), Y - Y.mean(0), rcond=None)[0]


def _matrix(words, vectors, d, unknown=None):
    E = np.array([vectors.get(w, np.zeros(d) if unknown is None else unknown) for w in words])
    E[0] = 0
    return E


def _rank(a, b, gold, k):
    order = np.argsort(-(_unit(a) @ _unit(b).T), axis=1)[:, :k]
    return [len(set(row.tolist()) & g) for row, g in zip(order, gold, strict=True)]


def _freeze(asks=False, clear=False, body=True, head=False):
    def answer(model, optimizer):
        for part, chosen in ((model.body, body), (model.head, head)):
            for parameter in part.parameters() if chosen else ():
                parameter.requires_grad_(asks)
                if clear:
                    parameter.grad = None

    return answer


def _rates(rate, layers=("head", "upper", "lower", "embedding")):
    def answer(model, lr, factor):
        return [
            {"params": list(getattr(model, name).parameters()), "lr": rate(lr, factor, k)}
            for k, name in enumerate(layers)
        ]

    return answer


def _pull(model, start, names="body", towards=1.0, power=2):
    pairs = [(n, v) for n, v in model.named_parameters() if n.startswith(names)]
    return sum(((v - towards * start[n]) ** power).sum() for n, v in pairs)


def _each(probabilities, labels):
    return [-np.log(p[np.arange(len(p)), labels[t]]) for t, p in probabilities.items()]


def _shares(n, power):
    return n**power / (n**power).sum()


def _lost(gain):
    """Pairs with a negative gain, by some rule for (runs alone, runs helped)."""
    return lambda alone, helped: {pair for pair in helped if gain(alone, helped, pair) < 0}


def _softmax(scores, axis=-1):
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _attend(Q, K, V, mask, scale=3.0, axis=-1, hide=-np.inf):
    return _softmax(np.where(mask, Q @ K.T / scale, hide), axis) @ V


def _frozen(choose, quiet=lambda k: range(k), embeddings=True, off=True):
    """Freeze the parameters whose name and k please; eval() for layers and embeddings."""

    def answer(model, k):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not choose(name, k))
        if k and off:
            model.bert.embeddings.eval()
            for number in quiet(k):
                model.bert.encoder.layer[number].eval()

    return answer


def _low(name, k):
    layers = tuple(f"bert.encoder.layer.{number}." for number in range(k))
    return k > 0 and name.startswith(("bert.embeddings.", *layers))


def _f1s(M):
    return 2 * np.diag(M) / (M.sum(0) + M.sum(1))


WRONG = {
    "bert.masked_attention": {
        "wrong axis": lambda Q, K, V, m: _attend(Q, K, V, m, axis=0, hide=-1e9),
        "down the columns": lambda Q, K, V, m: _softmax(np.where(m, Q @ K.T / 3, -np.inf), 0) @ V,
        "use np.where": lambda Q, K, V, m: _softmax(Q @ K.T / 3 + (1 - m) * -np.inf) @ V,
        "not that of V": lambda Q, K, V, m: _attend(Q, K, V, m, np.sqrt(V.shape[1])),
        "√d_k is missing": lambda Q, K, V, m: _attend(Q, K, V, m, 1),
        "divided by d_k": lambda Q, K, V, m: _attend(Q, K, V, m, 9),
        "not the number of keys": lambda Q, K, V, m: _attend(Q, K, V, m, np.sqrt(len(K))),
        "multiplied by √d_k": lambda Q, K, V, m: _attend(Q, K, V, m, 1 / 3),
        "masked with 0": lambda Q, K, V, m: _attend(Q, K, V, m, hide=0.0),
        "mask has no effect": lambda Q, K, V, m: _attend(Q, K, V, True),
        "masked after the softmax": lambda Q, K, V, m: (_softmax(Q @ K.T / 3) * m) @ V,
        "upside down": lambda Q, K, V, m: _attend(Q, K, V, ~m),
        "output alone": lambda Q, K, V, m: (Q, K),
        "softmax is missing": lambda Q, K, V, m: np.where(m, Q @ K.T / 3, 0) @ V,
        "do not sum to 1": lambda Q, K, V, m: np.where(m, np.exp(Q @ K.T / 3), 0) @ V,
        "over the whole matrix": lambda Q, K, V, m: (lambda p: p / p.sum() @ V)(np.where(m, np.exp(Q @ K.T / 3), 0)),
        "these are the weights": lambda Q, K, V, m: _softmax(np.where(m, Q @ K.T / 3, -np.inf)),
    },
    "bert.mask_pieces": {
        "on unmasked pieces too": lambda i, c, m: (np.where(c, m, i), i),
        "0 is a piece": lambda i, c, m: (np.where(c, m, i), np.where(c, i, 0)),
        "belongs everywhere else": lambda i, c, m: (np.where(c, m, i), np.where(c, -100, i)),
        "taken after masking": lambda i, c, m: (np.where(c, m, i), np.where(c, m, -100)),
        "labels are the masked inputs": lambda i, c, m: (np.where(c, m, i),) * 2,
        "still shows the pieces": lambda i, c, m: (i, np.where(c, i, -100)),
        "everywhere but at": lambda i, c, m: (np.where(c, i, m), np.where(c, i, -100)),
        "swapped": lambda i, c, m: (np.where(c, i, -100), np.where(c, m, i)),
        "two arrays": lambda i, c, m: np.where(c, i, -100),
        "copy them first": lambda i, c, m: (np.putmask(i, c, m), i),
        "given as mask_id": lambda i, c, m: (np.where(c, 103, i), np.where(c, i, -100)),
        "put −100": lambda i, c, m: (np.where(c, m, i), np.where(c, i, -1)),
    },
    "bert.freeze_layers": {
        "nothing is frozen": _frozen(lambda name, k: False),
        "prefix of 'layer.10'": _frozen(lambda n, k: k > 0 and n.startswith(("bert.embeddings.", *(f"bert.encoder.layer.{i}" for i in range(k))))),
        "embeddings still train": _frozen(lambda n, k: _low(n, k) and "embeddings" not in n),
        "k + 1 layers": _frozen(lambda n, k: _low(n, k + 1)),
        "left layer 0 out": _frozen(lambda n, k: _low(n, k + 1) and "layer.0." not in n),
        "froze the upper layers": _frozen(lambda n, k: not _low(n, k)),
        "although k is 0": _frozen(lambda n, k: _low(n, k) or "embeddings" in n),
        "the head must train": _frozen(lambda n, k: _low(n, k) or n.startswith(("classifier", "bert.pooler"))),
        "pooler is frozen": _frozen(lambda n, k: _low(n, k) or n.startswith("bert.pooler")),
        "classifier is frozen": _frozen(lambda n, k: _low(n, k) or n.startswith("classifier")),
        "only writes a new attribute": lambda model, k: [setattr(layer, "requires_grad", False) for layer in model.bert.encoder.layer[:k]],
        "whole BERT is frozen": _frozen(lambda n, k: n.startswith("bert.")),
        "left in training mode": _frozen(_low, off=False),
        "parts that still train": lambda model, k: (_frozen(_low)(model, k), model.eval()),
        "in place": lambda model, k: copy.deepcopy(model),
        "on the frozen modules only": lambda model, k: (_frozen(_low)(model, k), [m.eval() for m in model.modules() if isinstance(m, torch.nn.Dropout)]),
        "changed the weights": lambda model, k: [p.data.zero_() for p in model.parameters()],
        "parameters are wrong": _frozen(lambda n, k: _low(n, k) and "bias" not in n),
    },
    "bert.macro_f1": {
        "F1 of each class": _f1s,
        "half of what": lambda M: _f1s(M).mean() / 2,
        "this is the accuracy": lambda M: np.trace(M) / M.sum(),
        "by their size": lambda M: np.average(_f1s(M), weights=M.sum(1)),
        "mean recall": lambda M: (np.diag(M) / M.sum(1)).mean(),
        "mean precision": lambda M: (np.diag(M) / M.sum(0)).mean(),
        "last class": lambda M: _f1s(M)[-1],
        "first class": lambda M: _f1s(M)[0],
        "divide by their number": lambda M: _f1s(M).sum(),
        "that were predicted": lambda M: np.mean([f for f, said in zip(_f1s(M), M.sum(0), strict=True) if said]),
        "0/0": lambda M: (lambda p, r: (2 * p * r / (p + r)).mean())(np.diag(M) / M.sum(0), np.diag(M) / M.sum(1)),
        "mean precision and the mean recall": lambda M: (lambda p, r: 2 * p * r / (p + r))((np.diag(M) / M.sum(0)).mean(), (np.diag(M) / M.sum(1)).mean()),
    },
    "multitask.mixed_loss": {
        "averaged the tasks' means": lambda p, y: np.mean([e.mean() for e in _each(p, y)]),
        "the sum of the tasks' means": lambda p, y: sum(e.mean() for e in _each(p, y)),
        "ΣN_t is missing": lambda p, y: sum(e.sum() for e in _each(p, y)),
        "minus sign": lambda p, y: -np.concatenate(_each(p, y)).mean(),
        "by the number of tasks": lambda p, y: sum(e.sum() for e in _each(p, y)) / len(p),
        "one for each task": lambda p, y: [e.mean() for e in _each(p, y)],
        "over the classes": lambda p, y: sum(e.sum() for e in _each(p, y)) / sum(x.size for x in p.values()),
        "natural logarithm": lambda p, y: np.concatenate(_each(p, y)).mean() / np.log(2),
        "true class": lambda p, y: np.concatenate([-np.log(x.max(1)) for x in p.values()]).mean(),
    },
    "multitask.temperature": {
        "do not sum to 1": lambda n, T: n ** (1 / T),
        "upside down": lambda n, T: _shares(n, T),
        "softmax of the sizes": lambda n, T: np.exp((n - n.max()) / T) / np.exp((n - n.max()) / T).sum(),
        "no effect": lambda n, T: n / n.sum(),
        "Python reads": lambda n, T: n**1 / T,
        "a power of the sum": lambda n, T: n ** (1 / T) / n.sum() ** (1 / T),
        "whatever τ is": lambda n, T: np.full(3, 1 / 3),
    },
    "multitask.even_weights": {
        "size twice": lambda n: n / n.sum(),
        "with equal weights": np.ones_like,
        "root of the size": lambda n: n**-0.5,
        "one minus the share": lambda n: 1 - n / n.sum(),
        "three positive weights": lambda n: 1 / n.sum(),
    },
    "multitask.project": {
        "although the cosine is positive": lambda g, h: g - g @ h / (h @ h) * h,
        "unchanged although one pair conflicts": lambda g, h: g,
        "not where they conflict": lambda g, h: g - max(g @ h, 0) / (h @ h) * h,
        "not by its length": lambda g, h: g - min(g @ h, 0) / np.linalg.norm(h) * h,
        "not of g": lambda g, h: g - min(g @ h, 0) / (g @ g) * h,
        "should be taken away": lambda g, h: min(g @ h, 0) / (h @ h) * h,
        "where the two conflict you return": lambda g, h: g @ h / (h @ h) * h if g @ h < 0 else g,
        "belongs to the cosine": lambda g, h: g - min(g @ h, 0) / np.linalg.norm(g) / np.linalg.norm(h) * h,
        "subtract it": lambda g, h: g + min(g @ h, 0) / (h @ h) * h,
        "along g": lambda g, h: g - min(g @ h, 0) / (g @ g) * g,
        "changed the arrays": lambda g, h: np.subtract(g, min(g @ h, 0) / (h @ h) * h, out=g),
    },
    "multitask.harmed": {
        "unequal steps": _lost(lambda a, h, p: np.mean(h[p][200]) - np.mean(a[p[0]][400])),
        "average over the checks": _lost(lambda a, h, p: np.mean(h[p][200]) - np.mean(list(a[p[0]].values()))),
        "swapped": lambda a, h: {(y, x) for x, y in _lost(lambda a, h, p: np.mean(h[p][200]) - np.mean(a[p[0]][200]))(a, h)},
        "pairs that gain": _lost(lambda a, h, p: np.mean(a[p[0]][200]) - np.mean(h[p][200])),
        "the helper alone": _lost(lambda a, h, p: np.mean(h[p][200]) - np.mean(a[p[1]][200])),
        "the first seed only": _lost(lambda a, h, p: h[p][200][0] - a[p[0]][200][0]),
        "the best seeds": _lost(lambda a, h, p: max(h[p][200]) - max(a[p[0]][200])),
        "all pairs": lambda a, h: set(h),
        "expected 2 pairs": lambda a, h: set(),
        "pairs is asked for": lambda a, h: 3,
        "got {'b'}": lambda a, h: {"b"},
    },
    "finetuning.mixture": {
        "wrong side": lambda pre, fine, lam: (1 - lam) * pre + lam * fine,
        "missing its weight 1": lambda pre, fine, lam: lam * pre + fine,
        "missing its weight λ": lambda pre, fine, lam: pre + (1 - lam) * fine,
        "one of the two losses": lambda pre, fine, lam: lam * pre.detach() + (1 - lam) * fine,
        "leave out item": lambda pre, fine, lam: lam * pre.item() + (1 - lam) * fine.item(),
    },
    "finetuning.last_state": {
        "that is padding": lambda s, n: s[:, -1],
        "the first state": lambda s, n: s[:, 0],
        "off by one": lambda s, n: s[torch.arange(4), n],
        "not the last state": lambda s, n: torch.stack([s[i, :m].mean(0) for i, m in enumerate(n)]),
        "has shape": lambda s, n: s[:, n - 1],
    },
    "finetuning.freeze": {
        "no more: the old gradients still lie in": _freeze(),
        "head does not train": _freeze(clear=True, head=True),
        "now the head does not": lambda model, optimizer: [p.requires_grad_(False) for p in model.parameters()] and _freeze(clear=True)(model, optimizer),
        "ask for gradients as before": _freeze(asks=True, clear=True),
        "part of the body": lambda model, optimizer: model.body.bias.requires_grad_(False),
        "still trains": lambda model, optimizer: None,
        "raised AttributeError": lambda model, optimizer: model.encoder,
    },
    "finetuning.parameter_groups": {
        "upside down": _rates(lambda lr, f, k: lr / f ** (3 - k)),
        "lower layers need smaller": _rates(lambda lr, f, k: lr * f**k),
        "the head too was divided": _rates(lambda lr, f, k: lr / f ** (k + 1)),
        "not by factor * depth": _rates(lambda lr, f, k: lr / max(f * k, 1)),
        "same rate; divide again": _rates(lambda lr, f, k: lr / f if k else lr),
        "all rates are the same": _rates(lambda lr, f, k: lr),
        "no \"lr\" of its own": lambda model, lr, f: [{"params": model.parameters()}],
        "use the argument": _rates(lambda lr, f, k: lr / 2.6**k),
        "in no group": _rates(lambda lr, f, k: lr / f**k, ("head", "upper", "lower")),
        "wants a list of": lambda model, lr, f: {"lr": lr},
    },
    "finetuning.l2_sp": {
        "pull the new head": lambda m, start, a: a * _pull(m, start, ""),
        "this is weight decay: it pulls": lambda m, start, a: a * _pull(m, start, towards=0.0),
        "weight decay on body and head": lambda m, start, a: a * _pull(m, start, "", 0.0),
        "strength α is missing": lambda m, start, a: _pull(m, start),
        "the squared length": lambda m, start, a: a * _pull(m, start) ** 0.5,
        "α / 2": lambda m, start, a: a / 2 * _pull(m, start),
        "absolute values": lambda m, start, a: a * sum((v - start[n]).abs().sum() for n, v in m.body.named_parameters("body")),
        "root for each tensor": lambda m, start, a: a * sum((v - start[n]).norm() for n, v in m.body.named_parameters("body")),
        "no gradient flows": lambda m, start, a: a * _pull(m, start).detach(),
        "has shape": lambda m, start, a: [],
    },
    "embeddings.cosine_neighbours": {
        "left the word itself in": lambda E, r, k: _half(E, r, k)[:k],
        "dot products": lambda E, r, k: [i for i in np.argsort(-(E @ E[r])) if i != r][:k],
        "upside down": lambda E, r, k: _half(E, r, k)[::-1][:k],
        "Euclidean": lambda E, r, k: np.argsort(np.linalg.norm(E - E[r], axis=1))[1 : k + 1],
        "has shape": lambda E, r, k: _half(E, r, k)[1:],
        "raised TypeError": lambda E: None,
        "is None": lambda E, r, k: None,
        "should be an array": lambda E, r, k: "near",
    },
    "embeddings.embedding_matrix": {
        "got zeros": _matrix,
        "transposed": lambda w, v, d: _matrix(w, v, d, np.mean([v[x] for x in w if x in v], 0)).T,
        "mean of all vectors": lambda w, v, d: _matrix(w, v, d, np.mean(list(v.values()), 0)),
        "padding row is not zero": lambda w, v, d: np.array([v.get(x, np.mean([v[y] for y in w if y in v], 0)) for x in w]),
        "order of the words": lambda w, v, d: np.array([v[x] for x in v if x in w]),
    },
    "embeddings.masked_average": {
        "padding still counts": lambda s, n: s.mean(axis=1),
        "divided by the padded length": lambda s, n: np.array([r[:m].sum(0) / s.shape[1] for r, m in zip(s, n, strict=True)]),
        "this is the sum": lambda s, n: np.array([r[:m].sum(0) for r, m in zip(s, n, strict=True)]),
        "over the documents": lambda s, n: s.mean(axis=0),
        "last position": lambda s, n: s[:, -1],
        "length 0": lambda s, n: np.array([r[:m].sum(0) / np.float64(m) for r, m in zip(s, n, strict=True)]),
    },
    "mapping.least_squares": {
        "transposed": lambda X, Y: (_centred(X, Y).T, Y.mean(0)),
        "other direction": lambda X, Y: (_centred(Y, X), X.mean(0)),
        "without b": lambda X, Y: (np.linalg.lstsq(X, Y, rcond=None)[0], np.zeros(3)),
        "b is zero": lambda X, Y: (_centred(X, Y), np.zeros(3)),
        "b is mean(Y)": lambda X, Y: (_centred(X, Y), Y.mean(0)),
        "return two things": _centred,
    },
    "mapping.procrustes": {
        "transposed": lambda X, Y: (lambda u, s, v: (u @ v).T)(*np.linalg.svd(X.T @ Y)),
        "kept the singular values": lambda X, Y: X.T @ Y,
        "this is least squares": lambda X, Y: np.linalg.lstsq(X, Y, rcond=None)[0],
        "not V": lambda X, Y: (lambda u, s, v: u @ v.T)(*np.linalg.svd(X.T @ Y)),
    },
    "mapping.precision_at_k": {
        "against themselves": lambda m, c, g, k: np.mean([x > 0 for x in _rank(m, m, g, k)]),
        "counted every gold answer": lambda m, c, g, k: np.mean(_rank(m, c, g, k)),
        "divided the hits by k": lambda m, c, g, k: np.mean(_rank(m, c, g, k)) / k,
        "one gold answer only": lambda m, c, g, k: np.mean(
            [x > 0 for x in _rank(m, c, [{i} for i in range(len(g))], k)]
        ),
        "upside down": lambda m, c, g, k: np.mean([x > 0 for x in _rank(-m, c, g, k)]),
        "that is P@1": lambda m, c, g, k: np.mean([x > 0 for x in _rank(m, c, g, 1)]),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "words"), [(n, w) for n, wrong in WRONG.items() for w in wrong])
def test_the_mistake_is_named(name, words):
    with np.errstate(all="ignore"):
        feedback = checks.check(name, WRONG[name][words])
    assert feedback.passed is False
    assert words in feedback.text


def test_other_right_answers():
    def take_out(model, optimizer):
        kept = list(model.head.parameters())
        optimizer.param_groups[0]["params"] = kept

    def with_the_stub_left_in(model, optimizer):
        _freeze(clear=True)(model, optimizer)
        return ...

    def other_order(model, lr, factor):
        names = ("embedding", "lower", "upper", "head")
        return [
            {"params": getattr(model, name).parameters(), "lr": lr * factor ** (k - 3)}
            for k, name in enumerate(names)
        ]

    def with_modules(model, k):
        for module in [model.bert.embeddings, *model.bert.encoder.layer[:k]] if k else []:
            module.eval().requires_grad_(False)
        return ...

    def with_torch(Q, K, V, mask):
        Q, K, V, mask = map(torch.from_numpy, (Q, K, V, mask))
        return torch.nn.functional.scaled_dot_product_attention(Q, K, V, mask.expand(4, 5))

    def without_dropout(model, k):
        _frozen(_low, off=False)(model, k)
        for module in [model.bert.embeddings, *model.bert.encoder.layer[:k]] if k else []:
            for part in module.modules():
                part.p = 0.0
                part.dropout_prob = 0.0
        for layer in model.bert.encoder.layer[:k]:
            layer.attention.self.dropout.p = 0.0

    for name, answer in (
        ("bert.freeze_layers", with_modules),
        ("bert.freeze_layers", without_dropout),
        ("bert.mask_pieces", lambda i, c, m: [np.where(c, m, i), np.where(c, i, -100)]),
        ("bert.masked_attention", with_torch),
        ("bert.macro_f1", lambda M: torch.tensor(_f1s(M).mean())),
        ("finetuning.freeze", take_out),
        ("finetuning.freeze", with_the_stub_left_in),
        ("finetuning.parameter_groups", other_order),
        ("finetuning.l2_sp", lambda m, start, a: torch.zeros(1) + a * _pull(m, start)),
        ("multitask.mixed_loss", lambda p, y: np.array([np.concatenate(_each(p, y)).mean()])),
        ("multitask.temperature", lambda n, T: torch.softmax(torch.tensor(n).log() / T, 0)),
        ("multitask.even_weights", lambda n: torch.tensor(n.sum() / n, requires_grad=True)),
        ("multitask.project", lambda g, h: g if g @ h >= 0 else g - g @ h / (h @ h) * h),
        (
            "multitask.harmed",
            lambda a, h: [
                list(p)
                for p in sorted(
                    _lost(lambda a, h, p: np.mean(h[p][200]) - np.mean(a[p[0]][200]))(a, h)
                )
            ],
        ),
    ):
        assert checks.check(name, answer).passed is True, checks.check(name, answer)


def test_every_exercise_has_wrong_answers_tried():
    assert set(WRONG) == set(checks.names())
    assert all(len(wrong) >= 3 for wrong in WRONG.values())


def test_unknown_exercises_and_feedback_html():
    with pytest.raises(KeyError, match="no exercise"):
        checks.check("embeddings.nothing", ...)
    with pytest.raises(KeyError, match="no lesson"):
        checks.check("nothing.nothing", ...)

    def evil(*arguments):
        raise RuntimeError("<script>alert(1)</script>")

    feedback = checks.check("mapping.procrustes", evil)
    assert "<script>" not in feedback._repr_html_()
    assert "&lt;script&gt;" in feedback._repr_html_()


@pytest.mark.parametrize("name", checks.names())
def test_an_answer_of_another_kind_gets_clear_feedback(name):
    for wrong in (
        None,
        "text",
        "0.5",
        b"x",
        3,
        float("nan"),
        float("inf"),
        1j,
        object(),
        len,
        [[1], [1, 2]],
        {"a": 1},
        (None, None),
        ("a", "b"),
        (1, 2, 3),
        np.zeros((2, 7, 2)),
        np.full((4, 3), np.nan),
        np.array(["a"]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        [torch.ones(2, requires_grad=True)] * 2,
        torch.ones(3, requires_grad=True),
    ):
        with np.errstate(all="ignore"):
            feedback = checks.check(name, lambda *arguments, wrong=wrong: wrong)
        assert feedback.passed is False, feedback
        assert "your code raised" not in feedback.text, "the check stumbles, not the answer"
        assert "cannot be read" not in feedback.text
    for called in (None, 3, "x", np.zeros(3)):
        feedback = checks.check(name, called)
        assert feedback.passed is False
        assert "the function itself is asked for" in feedback.text


def test_a_number_as_text_is_no_number():
    feedback = checks.check("finetuning.mixture", lambda pre, fine, lam: str(float(fine)))
    assert "should be an array of numbers, but is '0.69" in feedback.text


def test_an_answer_cannot_leave_the_check():
    def leaves(*arguments):
        raise SystemExit(3)

    class Odd(BaseException):
        pass

    def odd(*arguments):
        raise Odd("neither")

    def asks(*arguments):
        while True:
            try:
                return float(input("a number: "))
            except Exception:
                print("once more")

    before = builtins.input
    for answer, words in (
        (leaves, "your code calls exit()"),
        (lambda *arguments: quit(), "your code calls exit()"),
        (odd, "your code raised Odd: neither."),
        (asks, "your code waits for input()"),
        (lambda *arguments: leaves, "should be an array of numbers"),
    ):
        feedback = checks.check("embeddings.masked_average", answer)
        assert feedback.passed is False
        assert words in feedback.text
        assert builtins.input is before


def test_a_learner_can_still_interrupt():
    def interrupted(*arguments):
        raise KeyboardInterrupt

    before = builtins.input, sys.stdout
    with pytest.raises(KeyboardInterrupt):
        checks.check("embeddings.masked_average", interrupted)
    assert (builtins.input, sys.stdout) == before


def test_what_cannot_be_read_is_not_the_answers_fault():
    class Evil:
        def __array__(self, *arguments, **settings):
            raise OSError("no array")

    feedback = checks.check("embeddings.masked_average", lambda *arguments: Evil())
    assert feedback.passed is False
    assert "what your code returns cannot be read (OSError: no array)" in feedback.text


def test_an_answer_that_prints(capsys):
    def prints(states, lengths):
        print("mean:", states.mean())

    feedback = checks.check("embeddings.masked_average", prints)
    assert "is None; does your function end with return? You print the result" in feedback.text
    assert capsys.readouterr().out.startswith("mean: ")

    def chatty(states, lengths):
        for number in range(10_000):
            print("step", number)
        return states.mean(axis=1)

    feedback = checks.check("embeddings.masked_average", chatty)
    assert "padding still counts" in feedback.text
    said = capsys.readouterr().out
    assert len(said) < 2_100
    assert "is left out" in said


QUIZZES = Path(__file__).resolve().parent.parent / "data" / "quizzes"


def _quiz_faults(quiz: dict) -> list[str]:
    """What is wrong with a quiz file."""
    found = [f"unknown key {key}" for key in quiz.keys() - {"questions"}]
    asked = [question.get("text") for question in quiz.get("questions", [])]
    found += ["no question"] * (not asked) + ["asked twice"] * (len(set(asked)) < len(asked))
    for question in quiz.get("questions", []):
        options = question.get("options", [])
        found += [f"unknown key {key}" for key in question.keys() - {"text", "options"}]
        found += [f"{len(options)} options"] * (len(options) < 3)
        rights = [option.get("right") for option in options]
        found += [f"{rights.count(True)} right"] * (rights.count(True) != 1)
        found += ["right is true or left out"] * any(right not in (True, None) for right in rights)
        for key in ("text", "why"):
            texts = [option.get(key, "") for option in options]
            found += [f"an option twice: {key}"] * (len(set(texts)) < len(texts))
            found += [f"no {key}"] * any(len(text.strip()) < 3 for text in texts)
        for option in options:
            found += [f"unknown key {key}" for key in option.keys() - {"text", "why", "right"}]
        found += ["no question mark or stop"] * (question.get("text", "")[-1:] not in set("?."))
    return found


def test_quizzes_are_whole():
    assert {path.stem for path in QUIZZES.iterdir()} == set(LESSONS)
    for lesson in LESSONS:
        quiz = tomllib.loads((QUIZZES / f"{lesson}.toml").read_text(encoding="utf8"))
        assert _quiz_faults(quiz) == []
        for read, question in zip(checks.questions(lesson), quiz["questions"], strict=True):
            assert read.text == question["text"]
            assert question["options"][read.right]["right"] is True
            wanted = [(option["text"], option["why"]) for option in question["options"]]
            assert list(read.options) == wanted


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda q: q["options"].pop(), "2 options"),
        (lambda q: q["options"][0].update(right=True), "2 right"),
        (lambda q: [option.pop("right", 0) for option in q["options"]], "0 right"),
        (lambda q: q["options"][0].update(right=False), "right is true or left out"),
        (lambda q: q["options"][2].update(why=" "), "no why"),
        (lambda q: q["options"][2].update(q["options"][0]), "an option twice: text"),
        (lambda q: q["options"][2].update(wy="Right."), "unknown key wy"),
        (lambda q: q.update(text=""), "no question mark or stop"),
    ],
)
def test_a_fault_in_a_quiz_is_found(change, fault):
    quiz = tomllib.loads((QUIZZES / "multitask.toml").read_text(encoding="utf8"))
    change(quiz["questions"][1])
    assert fault in _quiz_faults(quiz)


def test_no_quiz_of_an_unknown_lesson():
    with pytest.raises(KeyError, match="no lesson 'nothing'; there are: embeddings"):
        checks.questions("nothing")
