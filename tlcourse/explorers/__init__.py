"""Explorers: the widgets of the lessons, a thin shell over `runs` and `figures`."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from tlcourse.explorers.base import Explorer

_HOMES = {
    "WordVectorKnobs": "embeddings",
    "NeighbourhoodMap": "neighbourhood",
    "FewShotTransfer": "embeddings",
    "PairsAndMethod": "mapping",
    "PlantedRotation": "mapping",
    "TranslateWord": "translation",
    "ZeroLabelTransfer": "crosslingual",
    "MapLambda": "crosslingual",
    "MixtureLambda": "finetuning",
    "FrozenLayers": "finetuning",
    "CollapsingLoss": "collapse",
    "TaskWeights": "multitask",
    "GradientConflict": "conflict",
    "WhoHelpsWhom": "gains",
    "FreezeDial": "bert",
    "AttentionViewer": "inspection",
    "FillMask": "inspection",
    "PretrainingCurve": "pretraining",
    "Quiz": "quiz",
}

__all__ = ["Explorer", *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"tlcourse.explorers.{_HOMES[name]}"), name)
    if importlib.util.find_spec(f"{__name__}.{name}"):  # a module, loaded when it is first used
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
