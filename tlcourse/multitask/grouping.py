"""Lesson 4: what a task gains from others, how surely, and which tasks to train together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations

import numpy as np

from tlcourse.arguments import check_kind, check_number, check_texts, shown

Group = tuple[str, ...]


def partitions(names: Sequence[str]) -> Iterator[tuple[Group, ...]]:
    """Every way to divide tasks into groups, each in the order of the names.

    Examples
    --------
    >>> list(partitions(["a", "b"]))
    [(('a', 'b'),), (('a',), ('b',))]
    """
    if not check_texts("names", names, least=0):
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
    check_kind("division", division, (list, tuple), "groups, each a tuple of names")
    found = [
        _score(scores, tuple(group), task)
        for group in division
        for task in check_texts("each group of division", group)
    ]
    if not found:
        raise ValueError(f"division must hold at least one task, got {shown(division)}")
    return float(np.mean(found))


def _check_names(names: Sequence[str]) -> list[str]:
    found = check_texts("names", names)
    if len(set(found)) < len(found):
        raise ValueError(f"names must differ, got {shown(found)}")
    return found


def _score(scores: Mapping[Group, Mapping[str, float]], group: Group, task: str) -> float:
    """A task's score in a group, or an error that says which one is missing."""
    if not isinstance(scores, Mapping):
        raise TypeError(f"scores must map groups to tasks' scores, got {shown(scores)}")
    if group not in scores or task not in check_kind("each of scores", scores[group], Mapping):
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
