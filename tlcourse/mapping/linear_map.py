"""Lesson 2: a linear map between two embedding spaces, ``E_fine = E_pre @ W + b``.

Rows are words throughout: ``E_pre`` has shape (V, d_pre), ``W`` (d_pre, d_fine) and
``b`` (d_fine,). The source space is the one that is mapped, the target space stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tlcourse.arguments import (
    check_array,
    check_choice,
    check_count,
    check_labels,
    check_number,
    check_share,
)
from tlcourse.mapping.retrieval import NORMALISATIONS as NORMALISATIONS
from tlcourse.mapping.retrieval import candidate_density, cosine_scores, csls, unit_rows
from tlcourse.mapping.retrieval import normalise_space as normalise_space
from tlcourse.training import History, Progress, choose_device, train

MAP_METHODS = ("least squares", "ridge", "Procrustes", "gradient descent")


@dataclass(frozen=True, eq=False)
class LinearMap:
    """An affine map; calling it maps rows.

    Attributes
    ----------
    W : numpy.ndarray
        float32, shape (d_pre, d_fine).
    b : numpy.ndarray
        float32, shape (d_fine,).
    """

    W: np.ndarray
    b: np.ndarray

    def __post_init__(self) -> None:
        W = check_array("W", self.W, ("d_pre", "d_fine"), least=1)
        object.__setattr__(self, "W", W)
        object.__setattr__(self, "b", check_array("b", self.b, (W.shape[1],)))

    def __call__(self, E: np.ndarray) -> np.ndarray:
        """Map E (n, d_pre) to (n, d_fine)."""
        E = np.atleast_1d(check_array("E", E))
        if E.shape[-1] != self.W.shape[0]:
            raise ValueError(
                f"E has {E.shape[-1]} columns, W {self.W.shape} wants {self.W.shape[0]}: "
                "is this the source space?"
            )
        return E @ self.W + self.b


def fit_least_squares(X: np.ndarray, Y: np.ndarray, ridge: float = 0.0) -> LinearMap:
    """Minimise ``‖X W + b − Y‖² + ridge · ‖W‖²`` over W and b.

    Parameters
    ----------
    X, Y : numpy.ndarray
        Paired rows, shapes (n, d_pre) and (n, d_fine).
    ridge : float
        0 for plain least squares (the smallest W of all minimisers if n < d_pre).

    References
    ----------
    Mikolov, Le and Sutskever (2013), "Exploiting similarities among languages for
    machine translation".
    """
    X, Y = _check_pairs(X, Y)
    ridge = check_number("ridge", ridge, low=0)
    mean_x, mean_y = X.mean(axis=0), Y.mean(axis=0)
    A, B = X - mean_x, Y - mean_y  # the best b follows from W: it maps mean to mean
    if ridge:
        W = np.linalg.solve(A.T @ A + ridge * np.eye(A.shape[1], dtype=A.dtype), A.T @ B)
    else:
        W = np.linalg.lstsq(A, B, rcond=None)[0]
    return LinearMap(W.astype(np.float32), (mean_y - mean_x @ W).astype(np.float32))


def fit_procrustes(X: np.ndarray, Y: np.ndarray) -> LinearMap:
    """Orthogonal Procrustes: ``W = U Vᵀ`` from the SVD of ``Xᵀ Y``; b is zero.

    With d_pre = d_fine this is the rotation (or reflection) that brings X closest to Y. With
    d_pre > d_fine, W has orthonormal columns and maximises the sum of the inner products
    ⟨x W, y⟩, which is no longer the same as the smallest squared error.

    Fewer than d independent pairs leave W open in the directions that none of them reaches: any
    rotation there fits them equally well. Of all these W the smallest is taken, which maps such
    directions to zero: ``U_r V_rᵀ`` over the r singular values above rounding (float64).

    References
    ----------
    Schönemann (1966), "A generalized solution of the orthogonal Procrustes problem";
    Xing et al. (2015), "Normalized word embedding and orthogonal transform for bilingual
    word translation".
    """
    X, Y = _check_pairs(X, Y)
    M = X.T.astype(np.float64) @ Y.astype(np.float64)
    U, S, Vt = np.linalg.svd(M, full_matrices=False)
    rounding = max(M.shape) * np.finfo(np.float64).eps * S[0]
    r = int((rounding < S).sum())
    return LinearMap((U[:, :r] @ Vt[:r]).astype(np.float32), np.zeros(Y.shape[1], dtype=np.float32))


def fit_gradient_descent(
    X: np.ndarray,
    Y: np.ndarray,
    steps: int = 300,
    learning_rate: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
    device: str = "auto",
) -> tuple[LinearMap, History]:
    """Fit W and b by Adam on the squared error, as one would train any layer.

    Returns
    -------
    LinearMap
    tlcourse.training.History
        Its loss is the squared distance, summed over columns, mean over pairs.
    """
    X, Y = _check_pairs(X, Y)
    empty = np.zeros((0, X.shape[1]), dtype=np.float32)
    head = np.zeros((Y.shape[1],), dtype=np.float32)
    return fit_transfer(
        X, Y, empty, np.zeros(0, dtype=np.int64), head, 0.0,
        lam=1.0, steps=steps, learning_rate=learning_rate, seed=seed, progress=progress,
        device=device,
    )  # fmt: skip


def fit_transfer(
    X: np.ndarray,
    Y: np.ndarray,
    documents: np.ndarray,
    labels: np.ndarray,
    head: np.ndarray,
    bias: float,
    *,
    lam: float,
    steps: int = 300,
    learning_rate: float = 0.01,
    seed: int = 0,
    progress: Progress | None = None,
    device: str = "auto",
) -> tuple[LinearMap, History]:
    """Minimise ``lam · L_pre + (1 − lam) · L_trans`` over W and b.

    ``L_pre`` is the squared distance over dictionary pairs, ``L_trans`` the logistic loss
    of a fixed classifier on mapped documents of the new language.

    Parameters
    ----------
    X, Y : numpy.ndarray
        Dictionary pairs, shapes (n, d_pre) and (n, d_fine).
    documents : numpy.ndarray
        Averaged source vectors of labelled documents, shape (m, d_pre).
    labels : numpy.ndarray
        0 or 1, shape (m,).
    head : numpy.ndarray
        The classifier's weights, shape (d_fine,); not trained.
    bias : float
        The classifier's bias; not trained.
    lam : float
        λ, 0 … 1: 1 is only the dictionary, 0 only the labels.
    seed : int
        For the W that it starts from.
    device : str
        See `tlcourse.training.choose_device`.

    Returns
    -------
    LinearMap
    tlcourse.training.History
        Its parts are ``"pre"`` and ``"trans"``.
    """
    import torch

    X, Y = _check_pairs(X, Y)
    lam = check_share("lam", lam)
    documents = check_array("documents", documents, ("m", X.shape[1]))
    labels = check_labels("labels", labels, 2, len(documents))
    head, bias = check_array("head", head, (Y.shape[1],)), check_number("bias", bias)
    steps, seed = check_count("steps", steps), check_count("seed", seed, 0)
    learning_rate = check_number("learning_rate", learning_rate, above=0)
    if lam < 1 and len(documents) == 0:
        raise ValueError("with lam < 1 the loss needs labelled documents, got none")
    where = choose_device(device)
    x, y, d, t, h = (
        torch.tensor(array.copy(), dtype=torch.float32, device=where)
        for array in (X, Y, documents, labels, head)
    )
    start = torch.randn(X.shape[1], Y.shape[1], generator=torch.Generator().manual_seed(seed))
    W = (0.01 * start).to(where).requires_grad_()
    b = torch.zeros(Y.shape[1], device=where, requires_grad=True)

    def loss_of(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        loss, parts = torch.zeros((), device=where), {}
        if lam > 0:
            pre = (x @ W + b - y).square().sum(1).mean()
            loss, parts["pre"] = loss + lam * pre, pre.item()
        if lam < 1:
            logits = (d @ W + b) @ h + bias
            trans = torch.nn.functional.binary_cross_entropy_with_logits(logits, t)
            loss, parts["trans"] = loss + (1 - lam) * trans, trans.item()
        return loss, parts

    optimizer = torch.optim.Adam([W, b], lr=learning_rate)
    history = train(loss_of, optimizer, steps=steps, clip=(), progress=progress, device=where)
    return LinearMap(W.detach().cpu().numpy(), b.detach().cpu().numpy()), history


def fit(X: np.ndarray, Y: np.ndarray, method: str, seed: int = 0) -> LinearMap:
    """Fit a map by one of `MAP_METHODS` (ridge with strength 1)."""
    check_choice("method", method, MAP_METHODS)
    check_count("seed", seed, 0)
    if method == "least squares":
        return fit_least_squares(X, Y)
    if method == "ridge":
        return fit_least_squares(X, Y, ridge=1.0)
    if method == "Procrustes":
        return fit_procrustes(X, Y)
    return fit_gradient_descent(X, Y, seed=seed)[0]


def _check_pairs(X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X, Y = _floats("X", X), _floats("Y", Y)
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or not X.size or not Y.size:
        raise ValueError(
            f"X and Y need two dimensions and the same number of rows, at least one; got "
            f"{X.shape} and {Y.shape}"
        )
    return X, Y


def _floats(name: str, value: np.ndarray) -> np.ndarray:
    """What LAPACK takes: float32 and float64 as they come, all else as float64."""
    found = check_array(name, value)
    return found if found.dtype in (np.float32, np.float64) else found.astype(np.float64)


def refine(
    X: np.ndarray, Y: np.ndarray, source: np.ndarray, target: np.ndarray, rounds: int = 3
) -> LinearMap:
    """Procrustes that grows its own dictionary: add pairs that are mutual CSLS neighbours.

    Parameters
    ----------
    X, Y : numpy.ndarray
        The dictionary's pairs, shapes (n, d_pre) and (n, d_fine); kept in every round.
    source, target : numpy.ndarray
        Frequent words of both spaces, among which new pairs are sought.
    rounds : int
        How often pairs are sought and the map is fitted again.

    References
    ----------
    Conneau et al. (2018), section 2.2; Artetxe, Labaka and Agirre (2017), "Learning
    bilingual word embeddings with (almost) no bilingual data".
    """
    found = fit_procrustes(X, Y)
    source = check_array("source", source, ("v", "d_pre"), least=1)
    target = check_array("target", target, ("m", found.W.shape[1]), least=1)
    for _ in range(check_count("rounds", rounds, 0)):
        mapped = found(source)
        scores = csls(cosine_scores(mapped, target), candidate_density(target, mapped))
        forth, back = scores.argmax(axis=1), scores.argmax(axis=0)
        mutual = np.flatnonzero(back[forth] == np.arange(len(source)))
        found = fit_procrustes(
            np.vstack([X, source[mutual]]), np.vstack([Y, target[forth[mutual]]])
        )
    return found


def planted_rotation(
    n: int, d: int, noise: float, seed: int, words: int = 1_000
) -> tuple[np.ndarray, np.ndarray]:
    """Two synthetic spaces, the second a rotation of the first plus noise.

    Returns
    -------
    source, target : numpy.ndarray
        Shape (n + words, d): n training pairs, then words to be found again.
    """
    n, d, words = check_count("n", n), check_count("d", d), check_count("words", words, 0)
    noise = check_number("noise", noise, low=0)
    generator = np.random.default_rng(check_count("seed", seed, 0))
    source = unit_rows(generator.normal(size=(n + words, d)))
    rotation = np.linalg.qr(generator.normal(size=(d, d)))[0]
    disturbed = source @ rotation + noise / np.sqrt(d) * generator.normal(size=source.shape)
    return source, unit_rows(disturbed)
