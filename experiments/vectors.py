"""How the vectors that the course ships were made; ``tlcourse vectors NAME`` makes them again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from experiments.engine import describe
from tlcourse.data.corpora import load_corpus
from tlcourse.embeddings.vectors import save_vectors
from tlcourse.embeddings.word2vec import train_word2vec
from tlcourse.paths import data_dir
from tlcourse.training import Progress

# Subwords for Chinese: two thirds of its words occur fewer than 20 times, but their characters
# are frequent. Chosen by P@10 on the dictionary's validation words.
_BOTH: dict[str, Any] = {"vector_size": 100, "epochs": 15, "sample": 1e-4, "seed": 0}
RECIPES: dict[str, dict[str, Any]] = {
    "en": {"corpus": "english", **_BOTH},
    "zh": {"corpus": "chinese", **_BOTH, "subwords": 2},
}


def make(name: str, folder: Path | None = None, progress: Progress | None = None) -> Path:
    """Train vectors by their recipe; write them with a ``.json`` that says how.

    Raises
    ------
    KeyError
        If there is no such recipe.
    """
    if name not in RECIPES:
        raise KeyError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}")
    options = dict(RECIPES[name])
    documents = load_corpus(options.pop("corpus"))
    start = time.perf_counter()
    vectors = train_word2vec(documents, **options, progress=progress)
    path = (folder or data_dir() / "vectors") / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_vectors(path, vectors)
    about = {
        "command": f"tlcourse vectors {name}",
        "recipe": RECIPES[name],
        "tokens": sum(map(len, documents)),
        "words": len(vectors),
        "seconds": round(time.perf_counter() - start, 1),
    }
    describe(path.with_suffix(".json"), about)
    return path
