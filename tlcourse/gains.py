"""Lesson 4: what a task gains from others, how surely, and which tasks to train together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Group = tuple[str, ...]


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean.

    Parameters
    ----------
    values : sequence of float
        One for each seed, at least two; for a gain, differences of runs with the same seed.
    level : float
        How often such an interval holds the true mean.

    Examples
    --------
    >>> low, high = interval([1.0, 2.0, 3.0])
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=float)
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
        Share of false ones allowed among those that are called clear.

    Returns
    -------
    numpy.ndarray
        Bool, shape (…).

    Reference
    ---------
    Benjamini and Hochberg (1995), Controlling the false discovery rate.
    """
    from scipy.stats import false_discovery_control, ttest_1samp

    judged = np.isfinite(gains).all(axis=-1)
    found = np.zeros(judged.shape, dtype=bool)
    p = ttest_1samp(gains[judged], 0.0, axis=-1).pvalue
    found[judged] = false_discovery_control(p) <= rate
    return found


def partitions(names: Sequence[str]) -> Iterator[tuple[Group, ...]]:
    """Every way to divide tasks into groups, each in the order of the names.

    Examples
    --------
    >>> list(partitions(["a", "b"]))
    [(('a', 'b'),), (('a',), ('b',))]
    """
    if not names:
        yield ()
        return
    first, *rest = names
    for number in range(2 ** len(rest) - 1, -1, -1):
        together = [name for place, name in enumerate(rest) if number >> place & 1]
        others = [name for name in rest if name not in together]
        for division in partitions(others):
            yield ((first, *together), *division)


def grouping_score(division: Sequence[Group], scores: Mapping[Group, Mapping[str, float]]) -> float:
    """Mean over tasks of each one's score in its own group.

    Parameters
    ----------
    division : sequence of tuple of str
        One of `partitions`.
    scores : mapping of group to mapping of task to float
        What was measured, or predicted by `predict_groups`, for each group.
    """
    found = [scores[group][task] for group in division for task in group]
    return float(np.mean(found))


def best_grouping(
    names: Sequence[str], scores: Mapping[Group, Mapping[str, float]]
) -> tuple[Group, ...]:
    """The way to divide tasks with the highest `grouping_score`."""
    return max(partitions(names), key=lambda division: grouping_score(division, scores))


def predict_groups(
    names: Sequence[str], scores: Mapping[Group, Mapping[str, float]]
) -> dict[Group, dict[str, float]]:
    """Scores of larger groups, predicted from single tasks and pairs alone.

    A task's score in a group is taken to be the mean of its scores in pairs with the others.

    Reference
    ---------
    Standley et al. (2020), Which tasks should be learned together in multi-task learning?
    """
    groups = {group for division in partitions(names) for group in division}
    found: dict[Group, dict[str, float]] = {}
    for group in groups:
        if len(group) <= 2:
            found[group] = dict(scores[group])
            continue
        found[group] = {}
        for task in group:
            pairs = [tuple(name for name in group if name in (task, other)) for other in group]
            values = [scores[pair][task] for pair in pairs if len(pair) == 2]
            found[group][task] = float(np.mean(values))
    return found
