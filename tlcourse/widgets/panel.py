"""What an explorer is made of on the screen, and how its parts speak together."""

from __future__ import annotations

import base64
import html
from typing import Any

import ipywidgets as widgets

from tlcourse.notices import message_html
from tlcourse.widgets.controls import Picture, button, copy_button
from tlcourse.widgets.tidying import TidyBox


class Panel(TidyBox):
    """Controls, picture, caption, rows, buttons, state of the live run, code.

    Parameters
    ----------
    name : str
        It labels the buttons.
    controls : list of widget
    width : int
        Of the picture, in pixels.
    can_train : bool
        Whether there are buttons for a live run.
    """

    def __init__(self, name: str, controls: list[Any], width: int, can_train: bool) -> None:
        self.summary = ""
        self._stale = False
        self._said = self._advice = ""
        self._picture = Picture(
            format="png", layout={"width": f"{width}px", "max_width": "100%", "margin": "0"}
        )
        self._caption, self._rows, self._status = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._bar = widgets.FloatProgress(
            max=1.0, layout={"width": "160px", "visibility": "hidden"}
        )
        self._start = button(
            f"Train it live: {name}", "Run the experiment here and now, at these settings"
        )
        self._cancel = button(f"Cancel: {name}", "Stop the live run")
        self._show = widgets.ToggleButton(
            value=False, description=f"Copy as code: {name}",
            layout={"display": "none"},
        )  # fmt: skip
        self._show.add_class("tl-show-code")
        self._show.observe(self._toggle_code, "value")
        self._code = widgets.Textarea(rows=10, layout={"width": "98%", "display": "none"})
        self._code.add_class("tl-code")
        wrap = {"flex_flow": "row wrap", "grid_gap": "4px 12px", "max_width": "100%"}
        copy = copy_button(self._show.description)
        actions = widgets.Box([self._start, self._cancel, copy, self._show], layout=wrap)
        # A row of its own, as high before a live run as during it: nothing below moves.
        told = widgets.Box([self._bar, self._status], layout={**wrap, "min_height": "36px"})
        parts = [widgets.Box(controls, layout=wrap), self._picture, self._caption, self._rows]
        parts += [actions, told, self._code]
        if not can_train:
            for part in (self._start, self._cancel, told):
                part.layout.display = "none"
        super().__init__(parts, layout={"max_width": "900px"})
        self.add_class("tl-explorer")

    @property
    def png(self) -> bytes:
        """The picture shown now."""
        return bytes(self._picture.value)

    def _tell(self, picture: bytes, summary: str, rows: str, code: str) -> None:
        """Show a result."""
        self.summary, self._stale = summary, False
        self._picture.show(picture, summary)
        self._caption.value = f"<p>{html.escape(summary)}</p>"
        self._rows.value = rows
        self._write_code(code)

    def _refuse(self, text: str) -> None:
        """Say why there is no result here; the last picture stays, veiled."""
        if not self._stale:
            self._picture.veil(f"Not of this setting, but of the one before: {self.summary}")
        self.summary, self._stale = text, True
        self._caption.value = message_html(text, "alert", role="alert")
        self._rows.value = ""
        self._write_code(f"# {' '.join(text.split())}\n")

    def _say(self, text: str) -> None:
        """Say how the live run stands, and why none is offered here."""
        self._said = text
        told = " · ".join(part for part in (text, self._advice) if part)
        self._status.value = f'<span role="status">{html.escape(told)}</span>'

    def _offer(self, busy: bool) -> None:
        """Offer what can be done now: a live run, or to cancel the one that is under way."""
        self._start.disabled = busy or bool(self._advice)
        self._cancel.disabled = not busy

    def _toggle_code(self, change: Any) -> None:
        self._code.layout.display = "" if self._show.value else "none"

    def _write_code(self, code: str) -> None:
        self._code.value = code
        self._code.rows = code.count("\n") + 2

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = self.summary
        if self.png and not self._stale:
            data["image/png"] = base64.b64encode(self.png).decode()
        return data
