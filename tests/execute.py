"""Run every lesson and write its outputs back: ``make notebooks``.

nbval compares a fresh run with these outputs, so look at the difference before committing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if len(sys.argv) > 1 and not any(name in path.name for name in sys.argv[1:]):
            continue
        notebook = nbformat.read(path, as_version=4)
        # Widget state would be stored a second time beside the PNG; the picture is enough.
        NotebookClient(
            notebook, timeout=300, kernel_name="python3", store_widget_state=False
        ).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        notebook.metadata.pop("widgets", None)
        notebook.metadata["kernelspec"] = {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        }
        notebook.metadata["language_info"] = {"name": "python"}
        unfinished = path.with_suffix(".tmp")
        nbformat.write(notebook, unfinished)
        os.replace(unfinished, path)
        print(path.name, "executed")


if __name__ == "__main__":
    main()
