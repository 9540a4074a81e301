"""Boxes that leave nothing behind: ipywidgets keeps every widget that was not closed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython

_made: dict[tuple[type, str], tuple[str, weakref.WeakSet[TidyBox]]] = {}


class TidyBox(widgets.VBox):
    """A box that closes all its parts, and itself when its cell is run again."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for part in parts_of(self):
            if getattr(part, "tooltip", "") is None:  # JupyterLab would show "null"
                part.tooltip = ""

    def close(self) -> None:
        """Close this and everything in it, with layouts and styles."""
        for widget in list(parts_of(self)):
            if widget is not self:
                widget.close()
        super().close()

    def replace_earlier(self) -> None:
        """Close what the same cell made of this class when it was run before.

        Without a front end that tells the cell's id nothing is closed.
        """
        run = running_cell()
        if run is None:
            return
        cell, request = run
        before, boxes = _made.get((type(self), cell), ("", weakref.WeakSet()))
        if before != request:
            for box in list(boxes):
                box.close()
            boxes = weakref.WeakSet()
        boxes.add(self)
        _made[type(self), cell] = request, boxes


def parts_of(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """A widget and all widgets that it is made of: children, layouts, styles."""
    yield widget
    for name in widget.keys:
        value = getattr(widget, name, None)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, widgets.Widget):
                yield from parts_of(part)


def running_cell() -> tuple[str, str] | None:
    """The id of the cell that runs now and that of this run, where the front end tells both."""
    kernel = getattr(get_ipython(), "kernel", None)
    try:
        request = kernel.get_parent("shell")  # type: ignore[union-attr]
        return request["metadata"]["cellId"], request["header"]["msg_id"]
    except (AttributeError, KeyError, TypeError):
        return None
