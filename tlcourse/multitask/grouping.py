"""Lesson 4: which tasks to train together, and what the recorded runs say of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import combinations, product

import numpy as np

from tlcourse.arguments import check_choice, check_number, check_texts, shown
from tlcourse.recorded import curves, grid, load, select

Group = tuple[str, ...]


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
    first, *rest = _check_names(names)
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
    found = [_score(scores, group, task) for group in division for task in group]
    if not found:
        raise ValueError("division holds no task")
    return float(np.mean(found))


def _check_names(names: Sequence[str]) -> list[str]:
    found = check_texts("names", list(names))
    if len(set(found)) < len(found):
        raise ValueError(f"names must differ, got {shown(found)}")
    return found


def _score(scores: Mapping[Group, Mapping[str, float]], group: Group, task: str) -> float:
    """A task's score in a group, or an error that says which one is missing."""
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores must map groups to tasks' scores, got {shown(scores)}")
    group = tuple(group)
    if group not in scores or task not in scores[group]:
        raise ValueError(
            f"scores hold no score of {task!r} in the group {group!r}; a group is a tuple of names "
            f"in their order, and there are {shown(list(scores))}"
        )
    return check_number(f"the score of {task!r} in {group!r}", scores[group][task])


def best_grouping(
    names: Sequence[str], scores: Mapping[Group, Mapping[str, float]]
) -> tuple[Group, ...]:
    """The way to divide tasks with the highest `grouping_score`; of equals the first partition.

    Each subset of the tasks is divided once, the best way, and larger ones build on it: exact,
    and 3ⁿ/2 steps for n tasks instead of one for each partition (12 tasks have four million).

    Raises
    ------
    ValueError
        If there are more than 13 tasks, or a group has no score.
    """
    named = tuple(_check_names(names))
    if len(named) > 13:
        raise ValueError(
            f"names must be at most 13 tasks, or the search takes minutes: got {len(named)}"
        )

    @cache
    def total(group: Group) -> float:
        return sum(_score(scores, group, task) for task in group)

    @cache
    def best(left: Group) -> tuple[float, tuple[Group, ...]]:
        if not left:
            return 0.0, ()
        found: tuple[float, tuple[Group, ...]] = (-np.inf, ())
        first, *rest = left
        for number in range(2 ** len(rest) - 1, -1, -1):  # as in `partitions`
            group = (first, *(name for place, name in enumerate(rest) if number >> place & 1))
            others = tuple(name for place, name in enumerate(rest) if not number >> place & 1)
            score, division = best(others)
            if total(group) + score > found[0]:
                found = (total(group) + score, (group, *division))
        return found

    return best(named)[1]


def predict_groups(
    names: Sequence[str], scores: Mapping[Group, Mapping[str, float]]
) -> dict[Group, dict[str, float]]:
    """Scores of larger groups, predicted from single tasks and pairs alone.

    A task's score in a group is taken to be the mean of its scores in pairs with the others.

    Reference
    ---------
    Standley et al. (2020), Which tasks should be learned together in multi-task learning?
    """
    names = _check_names(names)
    groups = [group for size in range(1, len(names) + 1) for group in combinations(names, size)]
    found: dict[Group, dict[str, float]] = {}
    for group in groups:
        if len(group) <= 2:
            found[group] = {task: _score(scores, group, task) for task in group}
            continue
        found[group] = {}
        for task in group:
            pairs = [tuple(name for name in group if name in (task, other)) for other in group]
            values = [_score(scores, pair, task) for pair in pairs if len(pair) == 2]
            found[group][task] = float(np.mean(values))
    return found


# What was recorded. A set of tasks is written "movies + news".


@lru_cache(maxsize=8)
def gain_matrix(arm: str, n: int, metric: str = "accuracy") -> np.ndarray:
    """Recorded gains of every target (row) from every helper (column), seed by seed.

    Parameters
    ----------
    arm : {"at once", "in sequence"}
    n : int
        Labelled texts of the target.
    metric : {"accuracy", "stopped"}
        After the last step, or stopped by validation.

    Returns
    -------
    numpy.ndarray
        float64, shape (5, 5, seeds), read-only; NaN on the diagonal. A gain is the difference to
        the target alone with the same seed: the same labelled texts and steps.
    """
    check_choice("metric", metric, ("accuracy", "stopped"))
    names = grid("helper_gains")["target"]
    alone, helped = (
        select("helper_gains", arm=one, n=n).pivot(
            index=["target", "helper"], columns="seed", values=metric
        )
        for one in ("alone", arm)
    )
    own = alone.loc[[(name, "none") for name in names]].to_numpy()
    pairs = helped.reindex(product(names, names)).to_numpy().reshape(len(names), *own.shape)
    gains = pairs - own[:, None]
    gains.flags.writeable = False
    return gains


def group_scores(
    metric: str = "accuracy", seed: int | None = None
) -> dict[Group, dict[str, float]]:
    """Score of each task in each recorded group.

    Parameters
    ----------
    metric : {"accuracy", "validation"}
        On test texts, or on validation texts.
    seed : int, optional
        Of the runs with this seed; left out, the mean over seeds.
    """
    check_choice("metric", metric, ("accuracy", "validation"))
    table = load("task_groups") if seed is None else select("task_groups", seed=seed)
    found = {}
    for tasks, row in table.groupby("tasks", sort=False).mean(numeric_only=True).iterrows():
        names = tuple(str(tasks).split(" + "))
        found[names] = {name: float(row[f"{metric}_{name}"]) for name in names}
    return found


def balance_scores(tasks: str, metric: str = "accuracy") -> dict[str, np.ndarray]:
    """Recorded mean over a set's tasks for each way to balance them, seed by seed.

    Parameters
    ----------
    tasks : str
    metric : {"accuracy", "validation"}
        On test texts, or on validation texts.

    Returns
    -------
    dict
        Equal weights, the two methods, and one task's weight × 4 or ÷ 4; float64, shape (seeds,).
    """
    check_choice("metric", metric, ("accuracy", "validation"))
    table = select("task_balancing", tasks=tasks).sort_values("seed")
    names = tasks.split(" + ")
    mean = table[[f"{metric}_{name}" for name in names]].mean(axis=1)
    ways = ["equal", "uncertainty", "PCGrad"]
    ways += [f"{name} {change}" for name in names for change in ("× 4", "÷ 4")]
    return {way: mean[rows].to_numpy() for way in ways if (rows := table["scheme"] == way).any()}


def task_pairs(tasks: str) -> list[Group]:
    """The pairs of a set's tasks, in the order of `cosine_curves`."""
    return list(combinations(tasks.split(" + "), 2))


def cosine_curves(strings: Iterable[str], tasks: str) -> np.ndarray:
    """Recorded cosines of a set's pairs as an array (runs, points, pairs)."""
    flat = curves(strings)
    return flat.reshape(len(flat), -1, len(task_pairs(tasks)))
