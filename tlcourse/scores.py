"""Judge models: accuracy and macro-F1, intervals, and what is clear when many are looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tlcourse.arguments import check_array, check_labels, check_number, check_share, shown


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean.

    Parameters
    ----------
    values : sequence of float
        One for each seed, at least two; for a gain, differences of runs with the same seed.
    level : float
        How often such an interval holds the true mean; between 0 and 1, 0.95 for 95 %.

    Examples
    --------
    >>> low, high = interval([1.0, 2.0, 3.0])
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    from scipy.stats import t

    values = check_array("values", values).astype(float)
    if check_share("level", level) in (0, 1):
        raise ValueError(f"level must lie between 0 and 1 (0.95 for 95 %), got {shown(level)}")
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval needs at least two values, got shape {values.shape}")
    half = t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)


def is_clear(values: Sequence[float] | np.ndarray) -> bool:
    """Whether the 95 % interval of the mean leaves out zero.

    Examples
    --------
    >>> is_clear([0.01, 0.02, 0.03]), is_clear([0.02, 0.03, 0.03])
    (False, True)
    """
    low, high = interval(values)
    return low > 0 or high < 0


def clear_after_correction(gains: np.ndarray, rate: float = 0.05) -> np.ndarray:
    """Which of many mean gains differ from zero when that many are looked at together.

    Parameters
    ----------
    gains : numpy.ndarray
        Shape (…, seeds); NaN where there is no gain to judge.
    rate : float
        Share of false ones allowed among those that are called clear, 0 … 1.

    Returns
    -------
    numpy.ndarray
        Bool, shape (…).

    Reference
    ---------
    Benjamini and Hochberg (1995), Controlling the false discovery rate.
    """
    from scipy.stats import false_discovery_control, ttest_1samp

    rate = check_share("rate", rate)
    missing = np.isnan(check_array("gains", gains, finite=False))
    gains = check_array("gains", np.where(missing, 0.0, gains))
    if not gains.ndim or gains.shape[-1] < 2:
        raise ValueError(f"gains needs shape (…, seeds) with at least two seeds, got {gains.shape}")
    judged = ~missing.any(axis=-1)
    found = np.zeros(judged.shape, dtype=bool)
    if judged.any():
        # Gains that are 0 with every seed have no t, and differ from zero in nothing: p = 1.
        some = gains[judged]
        p = np.ones(len(some))
        moved = some.any(axis=-1)
        p[moved] = ttest_1samp(some[moved], 0.0, axis=-1).pvalue
        found[judged] = false_discovery_control(p) <= rate
    return found


def scores(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy and macro-averaged F1 of predicted classes, each 0 … 1.

    Examples
    --------
    >>> scores(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    {'accuracy': 0.75, 'macro_f1': 0.42857142857142855}
    """
    from sklearn.metrics import accuracy_score, f1_score

    labels = check_labels("labels", labels)
    predicted = check_labels("predicted", predicted, n=len(labels))
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, average="macro", zero_division=0.0)),
    }


def binary_scores(
    labels: np.ndarray, positive: np.ndarray, threshold: float = 0.5
) -> dict[str, float]:
    """Accuracy and macro-F1 at a threshold, and AUC, of scores for the positive class.

    Parameters
    ----------
    labels : numpy.ndarray
        0 or 1, shape (n,); both must occur, or there is no AUC.
    positive : numpy.ndarray
        Scores, shape (n,); higher for class 1.
    threshold : float
        Scores above it count as class 1.
    """
    from sklearn.metrics import roc_auc_score

    positive = check_array("positive", positive, ("n",))
    labels = check_labels("labels", labels, 2, len(positive))
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"labels must hold both classes, 0 and 1; got {shown(labels)} of one class"
        )
    check_number("threshold", threshold)
    auc = float(roc_auc_score(labels, positive))
    return {**scores(labels, (positive > threshold).astype(int)), "auc": auc}
