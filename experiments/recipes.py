"""The vectors and models that the course ships; ``tlcourse vectors`` and ``pretrain`` make them.

How each is made is declared in ``recipes.toml``.
"""

from __future__ import annotations

import math
import time
import tomllib
from pathlib import Path
from typing import Any

from experiments.engine import describe
from tlcourse.data.corpora import load_corpus
from tlcourse.embeddings.vectors import save_vectors
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.finetuning.start import build_model, checkpoint_path, save_checkpoint
from tlcourse.finetuning.tasks import TASKS, load_task
from tlcourse.finetuning.tuning import source_loss, tune
from tlcourse.paths import data_dir
from tlcourse.training import Progress

RECIPES: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("recipes.toml").read_text(encoding="utf8")
)
VECTORS, LANGUAGE_MODEL = RECIPES["vectors"], RECIPES["language_models"]
MODELS = {checkpoint_path(task, init).stem: (task, init) for task in TASKS for init in TASKS[task]}


def make_vectors(name: str, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Train vectors by their recipe; write them with a ``.json`` that says how."""
    if name not in VECTORS:
        raise KeyError(f"no recipe {name!r}; there are: {', '.join(VECTORS)}")
    options, start = dict(VECTORS[name]), time.perf_counter()
    documents = load_corpus(options.pop("corpus"))
    vectors = train_word2vec(documents, **options, progress=progress)
    path = (folder or data_dir() / "vectors") / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_vectors(path, vectors)
    about = {
        "command": f"tlcourse vectors {name}",
        "recipe": VECTORS[name],
        "tokens": sum(map(len, documents)),
        "words": len(vectors),
        "seconds": round(time.perf_counter() - start, 1),
    }
    describe(path.with_suffix(".json"), about)
    return path


def names() -> list[str]:
    """All models that can be pretrained again."""
    return [*MODELS, "bert-zh"]


def make_model(name: str, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Pretrain a language model on a task's train texts, without labels, or the own BERT.

    Writes the weights, and a ``.json`` with the recipe and the loss on validation texts.
    """
    if name == "bert-zh":
        from experiments import bert_models

        return bert_models.make(folder, progress)
    if name not in MODELS:
        raise KeyError(f"no model {name!r}; there are: {', '.join(names())}")
    task, init = load_task(MODELS[name][0]), MODELS[name][1]
    options, source = dict(LANGUAGE_MODEL), task.splits["train"]
    steps = round(options.pop("epochs") * math.ceil(len(source) / options["batch_size"]))
    model, start = build_model(task, init, pretrained=False), time.perf_counter()
    history = tune(
        model, None, steps=steps, lam=1.0, source=source, progress=progress,
        check_at=[*range(0, steps, max(steps // 20, 1)), steps],
        on_check=lambda: {"loss": round(source_loss(model, task.splits["validation"]), 4)},
        device="cpu", **options,
    )  # fmt: skip
    path = save_checkpoint(model, task, init, folder)
    about = {
        "command": f"tlcourse pretrain {name}",
        "recipe": LANGUAGE_MODEL,
        "texts": len(source),
        "words": int((source.lengths - 1).sum()),
        "steps": steps,
        "validation_loss": history.checks,
        "seconds": round(time.perf_counter() - start, 1),
    }
    describe(path.with_suffix(".json"), about)
    return path
