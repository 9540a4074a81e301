"""``make bench``: print what the budgets speak of. Nothing here asserts a time."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent.parent


def _row(what: str, value: str, budget: str = "") -> None:
    print(f"{what:58} {value:>14}   {budget}", flush=True)


def import_time() -> None:
    command = [sys.executable, "-c", "import time; t = time.perf_counter(); import tlcourse; print(time.perf_counter() - t)"]  # fmt: skip
    times = [
        float(subprocess.run(command, capture_output=True, text=True).stdout) for _ in range(5)
    ]
    _row("import tlcourse", f"{statistics.median(times) * 1000:.0f} ms", "budget 200 ms")


def redraws() -> None:
    """First visits of every setting of every slider and menu, in the kernel."""
    from tests.everything import explorers

    everything = []
    for name in vars(explorers):
        explorer = getattr(explorers, name)()
        times = []
        for setting, control in explorer.controls.items():
            start_value = control.value
            for _, value in getattr(control, "options", ()) and _pairs(control.options):
                start = time.perf_counter()
                explorer.set(**{setting: value})
                times.append(time.perf_counter() - start)
            explorer.set(**{setting: start_value})
        everything += times
        _row(f"redraw {name}, median of {len(times)} settings", f"{statistics.median(times) * 1000:.0f} ms", "budget 50 ms")  # fmt: skip
    _row("redraw, median over all explorers", f"{statistics.median(everything) * 1000:.0f} ms", "budget 50 ms")  # fmt: skip


def _pairs(options):
    return [item if isinstance(item, tuple) else (item, item) for item in options]


def maps() -> None:
    """Map fit + CSLS for 5,000 pairs × 20,000 candidates."""
    import numpy as np

    from tlcourse.mapping.linear_map import fit_least_squares, fit_procrustes
    from tlcourse.mapping.retrieval import candidate_density, cosine_scores, csls, top_candidates

    generator = np.random.default_rng(0)
    X, Y = (generator.normal(size=(5_000, d)).astype(np.float32) for d in (100, 50))
    candidates = generator.normal(size=(20_000, 50)).astype(np.float32)
    for fit in (fit_least_squares, fit_procrustes):
        start = time.perf_counter()
        fit(X, Y)
        _row(f"{fit.__name__}, 5,000 pairs", f"{(time.perf_counter() - start) * 1000:.0f} ms")
    mapped = fit_procrustes(X, Y)(X)
    start = time.perf_counter()
    density = candidate_density(candidates, mapped[:3_000])
    top_candidates(csls(cosine_scores(mapped, candidates), density), 10)
    _row("CSLS of 5,000 words × 20,000 candidates", f"{time.perf_counter() - start:.1f} s")


def live_runs() -> None:
    from tests.everything import explorers

    for name, settings in (
        ("WordVectorKnobs", {"tokens": 300_000, "window": 10, "vector_size": 100, "epochs": 10}),
        ("NeighbourhoodMap", {"word": "film"}),
        ("FewShotTransfer", {"n": 1000}),
        ("PairsAndMethod", {"pairs": 3500, "method": "gradient descent"}),
        ("PlantedRotation", {}),
        ("TranslateWord", {}),
        ("ZeroLabelTransfer", {"model": "LSTM", "n": 5000}),
        ("MapLambda", {"task_labels": 1000}),
        ("MixtureLambda", {"lam": 0.5, "n": 1000}),
        ("FrozenLayers", {"labels": 1000, "schedule": "L2-SP, α = 0.1"}),
        ("CollapsingLoss", {"loss": "cross-entropy"}),
        ("TaskWeights", {"tasks": "chinese + movies + plots", "lam": 0.5}),
        ("GradientConflict", {"pcgrad": True}),
        ("WhoHelpsWhom", {"comparison": "in sequence, 50 labels"}),
        ("FreezeDial", {"frozen": 4, "labels": 200}),
        ("FreezeDial", {"frozen": 6, "labels": 800}),
        ("PretrainingCurve", {}),
    ):
        explorer = getattr(explorers, name)(**settings)
        start = time.perf_counter()
        explorer.train_live().join()
        _row(f"live run {name}, its dearest settings", f"{time.perf_counter() - start:.1f} s", "budget 15 s (Word2Vec 30 s)")  # fmt: skip


def frozen_layers() -> None:
    """The same epochs three ways: cached activations, each step in full, the library's Trainer."""
    import tempfile

    import torch
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from experiments.bert import MAX_LENGTH, reviews
    from tlcourse import bert
    from tlcourse.bert import layers

    torch.set_num_threads(1)
    n, epochs, batch_size = 128, 4, 16
    train = reviews().subset("train").sample(n, 0)
    inputs = bert.encode(bert.load_tokenizer("minilm"), train.texts, MAX_LENGTH)
    labels = torch.from_numpy(train.labels)
    rows = [
        {**{name: values[row] for name, values in inputs.items()}, "labels": labels[row]}
        for row in range(len(labels))
    ]

    def fresh(k):
        model = bert.load_model(bert.BertMeanClassifier, "minilm", num_labels=2)
        layers.freeze(model, k)
        return model

    def tuned(k, cached):
        model = fresh(k)
        start = time.perf_counter()
        part, states = layers.above(model, inputs, cached)
        bert.fine_tune(
            part, states, labels, steps=epochs * n // batch_size, learning_rate=3e-4,
            batch_size=batch_size,
        )  # fmt: skip
        return time.perf_counter() - start

    def trainer(k):
        with tempfile.TemporaryDirectory() as folder:
            options = TrainingArguments(
                folder, num_train_epochs=epochs, per_device_train_batch_size=batch_size, learning_rate=3e-4,
                use_cpu=True, report_to=[], save_strategy="no", logging_strategy="no",
                disable_tqdm=True, warmup_steps=3, weight_decay=0.01,
            )  # fmt: skip
            work = Trainer(fresh(k), options, train_dataset=rows)
            work.remove_callback(PrinterCallback)
            start = time.perf_counter()
            work.train()
            return time.perf_counter() - start

    what = f"{n} texts, {epochs} epochs"
    for k in (0, 4, 6):
        _row(f"MiniLM, k = {k}: {what}, cached", f"{tuned(k, k):.1f} s")
        _row(f"MiniLM, k = {k}: the same, uncached", f"{tuned(k, 0):.1f} s")
        _row(f"MiniLM, k = {k}: the same by Trainer", f"{trainer(k):.1f} s")


def lessons() -> None:
    import nbformat
    from nbclient import NotebookClient

    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        # Not ru_maxrss: a kernel inherits that from the process that started it.
        probe = "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) / 1e6)"
        notebook.cells.append(nbformat.v4.new_code_cell(probe))
        start = time.perf_counter()
        NotebookClient(notebook, timeout=300).execute()
        _row(f"{path.stem}: run all, one thread", f"{time.perf_counter() - start:.0f} s", "budget 90 s")  # fmt: skip
        memory = float(notebook.cells[-1].outputs[0].text)
        _row(
            f"{path.stem}: kernel peak memory",
            f"{memory:.2f} GB",
            "budget 1.0 GB (lesson 5: 1.6 GB)",
        )


def browser() -> None:
    """Key press to changed picture, in headless Chromium."""
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-s", "-k", "key_press", str(ROOT / "tests" / "browser")],
        env={**os.environ, "TLCOURSE_BENCH": "1"}, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    import_time()
    redraws()
    maps()
    live_runs()
    frozen_layers()
    lessons()
    browser()
    _row("peak memory of this process", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")  # fmt: skip
