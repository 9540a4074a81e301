"""Lesson 3: reviews split by domain, and source examples weighted by how near they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tlcourse.arguments import check_array, check_choice, check_number, check_texts, shown
from tlcourse.data.datasets import TextDataset

DOMAIN_WORDS = {
    "hotel": "酒店 宾馆 房间 入住 前台 早餐 服务员 携程 客房 大堂 标间 旅馆",
    "book": "书 本书 这本 作者 读 小说 故事 出版 阅读 看完 书中 读者 内容 文字 章",
    "computer": "电脑 笔记本 屏幕 键盘 硬盘 内存 系统 散热 显卡 驱动 机器 本本 电池 xp vista cpu "
    "预装 鼠标 摄像头 配置 dell hp",
}
"""Words that tell what a Chinese review is about."""

DOMAINS = tuple(DOMAIN_WORDS)
_WORDS = {name: frozenset(words.split()) for name, words in DOMAIN_WORDS.items()}


def domain_of(tokens: Sequence[str]) -> str | None:
    """The domain with the most of its words in a review; None without any, or on a tie.

    Examples
    --------
    >>> domain_of(["酒店", "的", "早餐", "不错"]), domain_of(["不错"])
    ('hotel', None)
    """
    check_texts("tokens", tokens, least=0)
    counts = {name: sum(token in words for token in tokens) for name, words in _WORDS.items()}
    most = max(counts.values())
    found = [name for name, count in counts.items() if count == most]
    return found[0] if most and len(found) == 1 else None


def domain_rows(dataset: TextDataset, domain: str) -> np.ndarray:
    """Row numbers of a domain's reviews."""
    check_choice("domain", domain, DOMAINS)
    if not isinstance(dataset, TextDataset):
        raise TypeError(f"dataset must be a TextDataset, got {shown(dataset)}")
    rows = [row for row, tokens in enumerate(dataset.tokens) if domain_of(tokens) == domain]
    return np.array(rows, dtype=np.int64)


def instance_weights(source: np.ndarray, target: np.ndarray, C: float = 0.01) -> np.ndarray:
    """How much each source example should count for the target: a domain classifier's odds.

    The classifier tells unlabelled target from source examples; its odds p(target | x) /
    p(source | x) are proportional to the density ratio p_target(x) / p_source(x). They are
    scaled to mean 1.

    Parameters
    ----------
    source, target : numpy.ndarray
        Features, shapes (n_source, d) and (n_target, d); no labels.
    C : float
        scikit-learn's inverse strength of the penalty; small keeps the odds from extremes.

    Returns
    -------
    numpy.ndarray
        Shape (n_source,), positive, with mean 1.

    Reference
    ---------
    Bickel, Brückner and Scheffer (2009), Discriminative learning under covariate shift.
    """
    source, target = check_array("source", source), check_array("target", target)
    if source.ndim != 2 or target.ndim != 2 or source.shape[1:] != target.shape[1:]:
        raise ValueError(
            f"source and target need shapes (n, d) with the same d, got {source.shape} and "
            f"{target.shape}"
        )
    if not len(source) or not len(target):
        raise ValueError(
            f"source and target need at least one row each, got {len(source)} and {len(target)}"
        )
    C = check_number("C", C, above=0)
    scaler = StandardScaler().fit(np.vstack([source, target]))
    X = scaler.transform(np.vstack([source, target]))
    y = np.repeat([0, 1], [len(source), len(target)])
    classifier = LogisticRegression(C=C, max_iter=2000).fit(X, y)
    odds = np.exp(classifier.decision_function(X[: len(source)]))
    return odds / odds.mean()
