"""How the course's own models were pretrained; ``tlcourse pretrain NAME`` does it again."""

from __future__ import annotations

import json
import math
import platform
import time
from pathlib import Path
from typing import Any

from experiments import bert_models
from experiments.engine import versions, write
from tlcourse.finetuning.start import build_model, checkpoint_path, save_checkpoint
from tlcourse.finetuning.tasks import TASKS, load_task
from tlcourse.finetuning.tuning import source_loss, tune
from tlcourse.training import Progress

RECIPE: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "rate": "slanted triangular",
    "seed": 0,
}
MODELS = {checkpoint_path(task, init).stem: (task, init) for task in TASKS for init in TASKS[task]}


def names() -> list[str]:
    """All models that can be pretrained again."""
    return [*MODELS, bert_models.NAME]


def make(name: str, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Pretrain a language model on a task's train texts, without labels, or the own BERT.

    Writes the weights, and a ``.json`` with the recipe and the loss on validation texts.

    Raises
    ------
    KeyError
        If there is no such model.
    """
    if name == bert_models.NAME:
        return bert_models.make(folder, progress)
    if name not in MODELS:
        raise KeyError(f"no model {name!r}; there are: {', '.join(names())}")
    task_name, init = MODELS[name]
    task = load_task(task_name)
    options = dict(RECIPE)
    source = task.splits["train"]
    steps = round(options.pop("epochs") * math.ceil(len(source) / options["batch_size"]))
    model = build_model(task, init, pretrained=False)
    start = time.perf_counter()
    history = tune(
        model, None, steps=steps, lam=1.0, source=source, progress=progress,
        check_at=[*range(0, steps, max(steps // 20, 1)), steps],
        on_check=lambda: {"loss": round(source_loss(model, task.splits["validation"]), 4)},
        device="cpu", **options,
    )  # fmt: skip
    path = save_checkpoint(model, task, init, folder)
    about = {
        "command": f"tlcourse pretrain {name}",
        "recipe": RECIPE,
        "texts": len(source),
        "words": int((source.lengths - 1).sum()),
        "steps": steps,
        "validation_loss": history.checks,
        "seconds": round(time.perf_counter() - start, 1),
        "python": platform.python_version(),
        "versions": versions(),
    }
    write(path.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
    return path
