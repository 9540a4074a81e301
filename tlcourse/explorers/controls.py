"""The controls of explorers: labelled, keyboard-operable, over recorded values only."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

_WIDE = widgets.Layout(width="auto", min_width="300px", flex="1 1 320px")


def choice(label: str, options: Any, value: Any, text: Callable[[Any], str] = str) -> Any:
    """A slider over recorded values only, so that no setting in between is invented."""
    return widgets.SelectionSlider(
        options=[(text(option), option) for option in options],
        value=value,
        description=label,
        style={"description_width": "initial"},
        layout=_WIDE,
    )


def menu(label: str, options: Any, value: Any) -> widgets.Dropdown:
    """A drop-down menu."""
    style = {"description_width": "initial"}
    return widgets.Dropdown(
        options=options, value=value, description=label, style=style, layout=_WIDE
    )


def tick(label: str, value: bool) -> widgets.Checkbox:
    """A check box."""
    return widgets.Checkbox(value=value, description=label, indent=False, layout=_WIDE)


def field(label: str, value: str) -> widgets.Text:
    """A text field; what is typed counts when Enter is pressed."""
    return widgets.Text(
        value=value, description=label, continuous_update=False,
        style={"description_width": "initial"}, layout=_WIDE,
    )  # fmt: skip


def html_table(rows: list[list[str]]) -> str:
    """Rows as an HTML table with everything in it escaped; the first row is the head."""
    if not rows:
        return ""
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = "".join(
            f'<{tag} style="text-align:left;padding:0 14px 0 0">{html.escape(cell)}</{tag}>'
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"
