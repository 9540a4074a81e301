"""``make bench``: print what the budgets speak of. Nothing here asserts a time.

``python -m tests.benchmarks retrieval redraws`` prints some parts.
"""

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


WORDS = {
    "NeighbourhoodMap": {"word": ("film", "river", "monday", "seven")},
    "TranslateWord": {"chinese": ("医院", "书", "老师", "火车")},
    "AttentionViewer": {"text": ("A fine film.", "The rooms were small, and the staff was rude.")},
    "FillMask": {"text": ("酒店的房间很_净。", "我_欢这本书。")},
}
"""What is typed where there is no list to choose from."""


def redraws() -> None:
    """First visits of every setting of every slider, menu and box, in the kernel."""
    from tests.everything import explorers

    everything = []
    for name in vars(explorers):
        start = time.perf_counter()
        explorer = getattr(explorers, name)()
        opened = time.perf_counter() - start
        times = []
        for setting, control in explorer.controls.items():
            start_value = control.value
            for value in WORDS.get(name, {}).get(setting, _values(control)):
                start = time.perf_counter()
                explorer.set(**{setting: value})
                times.append(time.perf_counter() - start)
            explorer.set(**{setting: start_value})
        everything += times
        told = f"{_ms(statistics.median(times))}, worst {_ms(max(times))}, opened in {_ms(opened)}"
        _row(f"redraw {name}, median of {len(times)} settings", told)
    _row("redraw, median over all explorers", _ms(statistics.median(everything)), "budget 15 ms")
    _row("redraw, worst of all, first visits", _ms(max(everything)), "budget 100 ms")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _values(control):
    options = getattr(control, "options", (True, False) if isinstance(control.value, bool) else ())
    return [item[1] if isinstance(item, tuple) else item for item in options]


def retrieval() -> None:
    """Nearest neighbours and CSLS beside MUSE's way of computing them, in turns, one thread."""
    import numpy as np
    import torch

    from tlcourse.mapping.retrieval import candidate_density, nearest_candidates, precision_at_k

    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    shapes = {"queries": 953, "candidates": 20_000, "background": 20_000}
    E = {name: generator.normal(size=(n, 50)).astype(np.float32) for name, n in shapes.items()}
    gold = [{row} for row in range(len(E["queries"]))]
    E["candidates"][: len(gold)] += 0.9 * E["queries"]  # so that P@k has something to find
    E = {name: rows / np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in E.items()}
    queries, candidates, background = (torch.from_numpy(rows) for rows in E.values())

    def mean_of_nearest(among, rows, k=10):
        """As get_nn_avg_dist of MUSE's src/utils.py does it on a CPU."""
        among = among.T.contiguous()
        found = [part.mm(among).topk(k, 1, True)[0].mean(1) for part in rows.split(1024)]
        return torch.cat(found)

    def muse(csls):
        """As get_word_translation_accuracy of MUSE's evaluation does it."""
        scores = queries.mm(candidates.T)
        if csls:
            scores.mul_(2)
            scores.sub_(mean_of_nearest(candidates, queries)[:, None])
            scores.sub_(mean_of_nearest(background, candidates)[None, :])
        return scores.topk(10, 1, True)[1].numpy()

    def ours(csls):
        density = candidate_density(E["candidates"], E["background"]) if csls else None
        return nearest_candidates(E["queries"], E["candidates"], 10, density)

    for name, csls, rounds in (("nearest neighbours", False, 15), ("CSLS", True, 6)):
        times: dict = {muse: [], ours: []}
        for _ in range(rounds):
            for way, found in times.items():
                start = time.process_time()  # whatever else the machine does
                way(csls)
                found.append(time.process_time() - start)
        best = {way: min(found) for way, found in times.items()}
        p = [precision_at_k(way(csls), gold, (1, 10)) for way in (muse, ours)]
        ratio = f"{best[muse] / best[ours]:.2f} times as fast, wanted 1.5"
        _row(f"{name}, MUSE's way", _ms(best[muse]), f"P@1 {p[0][1]:.4f}, P@10 {p[0][10]:.4f}")
        _row(f"{name}, retrieval.py", _ms(best[ours]), f"P@1 {p[1][1]:.4f}, P@10 {p[1][10]:.4f}; {ratio}")  # fmt: skip


def maps() -> None:
    """Fits on 5,000 pairs."""
    import numpy as np

    from tlcourse.mapping.linear_map import fit_least_squares, fit_procrustes

    generator = np.random.default_rng(0)
    X, Y = (generator.normal(size=(5_000, d)).astype(np.float32) for d in (100, 50))
    for fit in (fit_least_squares, fit_procrustes):
        start = time.perf_counter()
        fit(X, Y)
        _row(f"{fit.__name__}, 5,000 pairs", _ms(time.perf_counter() - start))


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
    """The same epochs three ways: cached activations, each step in full, the library's Trainer.

    The arithmetic's limit: a frozen layer costs 1 a pass, a trained one 3; cached, a frozen one
    costs 1 once.
    """
    import tempfile

    import torch
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from tlcourse import bert
    from tlcourse.bert.layers import above
    from tlcourse.data.datasets import load_movie_reviews
    from tlcourse.finetuning.layers import freeze

    torch.set_num_threads(1)
    n, batch_size, depth = 64, 16, 6
    train = load_movie_reviews().subset("train").sample(n, 0)
    inputs = bert.encode(bert.load_tokenizer("minilm"), train.texts, 32)
    labels = torch.from_numpy(train.labels)
    rows = [
        {**{name: values[row] for name, values in inputs.items()}, "labels": labels[row]}
        for row in range(len(labels))
    ]

    def fresh(k):
        model = bert.load_model(bert.BertMeanClassifier, "minilm", num_labels=2)
        freeze(model, k)
        return model

    def tuned(k, epochs, cached):
        model = fresh(k)
        start = time.perf_counter()
        part, states = above(model, inputs, k if cached else 0)
        bert.fine_tune(
            part, states, labels, steps=epochs * n // batch_size, learning_rate=3e-4,
            batch_size=batch_size,
        )  # fmt: skip
        return time.perf_counter() - start

    def trainer(k, epochs):
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

    trainer(depth, 1)  # the first call imports and compiles
    for epochs in (4, 20):
        for k in (0, 4, depth):
            cached, plain, theirs = (
                tuned(k, epochs, True),
                tuned(k, epochs, False),
                trainer(k, epochs),
            )
            full = epochs * (k + 3 * (depth - k))
            limit = full / (k + epochs * 3 * (depth - k))
            told = f"{theirs / cached:.2f} times as fast as Trainer; by the arithmetic {limit:.2f}"
            _row(f"MiniLM, {n} texts, {epochs} epochs, k = {k}: cached", f"{cached:.1f} s", told)
            _row("  the same, uncached", f"{plain:.1f} s")
            _row("  the same by Trainer", f"{theirs:.1f} s")


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


PARTS = (import_time, redraws, retrieval, maps, live_runs, frozen_layers, lessons, browser)

if __name__ == "__main__":
    chosen = sys.argv[1:] or [part.__name__ for part in PARTS]
    for part in PARTS:
        if part.__name__ in chosen:
            part()
    _row("peak memory of this process", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")  # fmt: skip
