"""Every lesson has all its bones, was executed, and can be read without seeing the pictures."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
BONES = [
    "# Lesson", "You will be able to", "Before you start", "*Time:*", "**The claim.**",
    "**Predict.**", "**What you saw.**", "### Exercise", "<summary>Hint</summary>",
    "<summary>Solution</summary>", "Use it in your own notebook", "## Quiz", "## References",
]  # fmt: skip


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def _markdown(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _text(output) -> str:
    return output.get("text", "") or output.get("data", {}).get("text/plain", "")


def test_bones_in_order(notebook):
    text = _markdown(notebook)
    places = [text.find(bone) for bone in BONES]
    assert -1 not in places, BONES[places.index(-1)]
    assert places[:5] == sorted(places[:5])
    assert places[-3:] == sorted(places[-3:])
    assert text.count("**Predict.**") >= 3
    assert text.count("### Exercise") >= 3
    goals = re.search(r"You will be able to\*\*\n\n(.*?)\n\n", text, re.DOTALL)[1]
    assert 3 <= len(re.findall(r"^\d\.", goals, re.MULTILINE)) <= 5


def test_the_question_stands_before_the_explorer(notebook):
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and "explorers." in cell.source and "Quiz" not in cell.source:
            assert "**Predict.**" in notebook.cells[place - 1].source
            assert "**What you saw.**" in notebook.cells[place + 1].source


def test_executed_in_order_without_errors(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert not [output for output in cell.outputs if output.output_type == "error"]
        assert len(cell.source.splitlines()) <= 18, "does this code belong in the package?"


def test_checked_cells_have_a_text_output(notebook):
    checked = [c for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", [])]
    assert len(checked) >= 8
    for cell in checked:
        assert cell.execution_count
        assert any(_text(output).strip() for output in cell.outputs), cell.source


def test_figures_have_a_description(notebook):
    pictures = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                pictures += 1
                words = output["data"].get("text/plain", "")
                assert len(words) > 40
                assert not words.startswith("<")
    assert pictures >= 3


def test_prose_and_metadata_are_clean(notebook):
    assert "widgets" not in notebook.metadata, "widget state belongs in no commit"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(
                r"<(?!/?(details|summary|div|b|i|sup|sub|br)\b)[a-z]+", cell.source
            )
            assert cell.source.count("$") % 2 == 0


def test_exercise_cells_are_checked_as_unattempted(notebook):
    cells = [c for c in notebook.cells if "exercise" in c.metadata.get("tags", [])]
    assert len(cells) >= 3
    for cell in cells:
        assert "not attempted yet" in _text(cell.outputs[0])


def test_numbers_are_printed_coarsely(notebook):
    """More digits than four are noise: the next CPU prints others."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert not re.search(r"\d\.\d{6,}", _text(output)), cell.source
