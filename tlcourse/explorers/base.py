"""The explorer: one experiment with its controls, picture, caption, live run and code.

A lesson's explorer declares its controls and a few small methods; this class has all
the behaviour. It shows recorded runs at once, trains the same thing live in a worker
thread, gives itself as code, and leaves a picture and a sentence in a saved notebook.
"""

from __future__ import annotations

import base64
import html
import threading
from collections.abc import Hashable, Mapping
from typing import Any

import ipywidgets as widgets
import traitlets
from matplotlib.figure import Figure

from tlcourse import figures
from tlcourse.explorers.controls import html_table
from tlcourse.explorers.stage import Stage
from tlcourse.sources import SourceError
from tlcourse.training import Cancelled, Progress

Result = dict[str, Any]

_EXPECTED = (KeyError, ValueError, SourceError)


def error_text(fault: BaseException) -> str:
    """What an error says, without the quotes that `KeyError` puts around it."""
    return str(fault.args[0]) if isinstance(fault, KeyError) and fault.args else str(fault)


class Picture(widgets.Image):
    """An image whose tooltip is its accessible name.

    ipywidgets 8.1 shows no image that has a tooltip but no ``description`` (its issue 3860):
    here it has one, empty.
    """

    description = traitlets.Unicode("").tag(sync=True)


class Explorer(widgets.VBox):
    """Base class of all explorers.

    A subclass sets ``name`` (unique, it labels the buttons) and ``size`` (inches) and
    implements `compute`, `draw`, `describe` and `code`, and `frame` for what stays in the
    picture; with `train` it can run live, with `table` it shows rows under the picture.

    Parameters
    ----------
    controls : mapping of str to widget
        The settings, by the names that `compute` takes.
    **settings
        Values to start from, checked like `set`.
    """

    name = ""
    size = (7.5, 3.4)

    def __init__(self, controls: Mapping[str, Any], **settings: Any) -> None:
        self.controls = dict(controls)
        self._stage = Stage(*self.size)
        self._live: tuple[Result, Result] | None = None
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._quiet = False
        self.summary = ""
        self._picture = Picture(format="png", layout={"max_width": "100%"})
        self._picture.layout.width = f"{int(self.size[0] * 100)}px"
        self._caption = widgets.HTML()
        self._rows = widgets.HTML()
        self._status = widgets.HTML()
        self._bar = widgets.FloatProgress(max=1.0, layout={"width": "160px"})
        self._bar.layout.visibility = "hidden"
        button = {"width": "auto"}
        self._start = widgets.Button(description=f"Train it live: {self.name}", layout=button)
        self._cancel = widgets.Button(description=f"Cancel: {self.name}", layout=button)
        self._cancel.disabled = True
        self._show = widgets.ToggleButton(
            value=False, description=f"Copy as code: {self.name}", layout=button
        )
        self._code = widgets.Textarea(rows=10, layout={"width": "98%", "display": "none"})
        self._start.on_click(lambda _: self.train_live())
        self._cancel.on_click(lambda _: self.cancel())
        self._show.observe(self._toggle_code, "value")
        for control in self.controls.values():
            control.observe(self._moved, "value")
        wrap = {"flex_flow": "row wrap", "grid_gap": "4px 12px"}
        box = widgets.Box(list(self.controls.values()), layout=wrap)
        live = [self._start, self._cancel] if self.can_train else []
        actions = widgets.Box([*live, self._show, self._bar, self._status], layout=wrap)
        parts = [box, self._picture, self._caption, self._rows, actions, self._code]
        super().__init__(parts, layout={"max_width": "900px"})
        self.set(**settings)

    # What a lesson's explorer implements.

    def compute(self, *args: Any, **settings: Any) -> Result:
        """The result at some settings, from recorded runs or at once; pure."""
        raise NotImplementedError

    def frame_key(self, result: Result) -> Hashable:
        """What the frame depends on: it is drawn again when this changes."""
        return None

    def frame(self, figure: Figure, result: Result) -> None:
        """Draw what stays while sliders move: axes with limits, ticks, titles; pure."""

    def draw(self, figure: Figure, result: Result, live: Result | None) -> None:
        """Draw a result on the frame's axes or on new ones, a live run's over it; pure."""
        raise NotImplementedError

    def describe(self, result: Result, live: Result | None) -> str:
        """The result in a sentence or two with rounded numbers; pure."""
        raise NotImplementedError

    def code(self, *args: Any, **settings: Any) -> str:
        """A snippet that gets the same result with the package's public helpers; pure."""
        raise NotImplementedError

    def train(self, progress: Progress, *args: Any, **settings: Any) -> Result:
        """Run the experiment at some settings; called in a worker thread."""
        raise NotImplementedError

    def table(self, result: Result, live: Result | None) -> list[list[str]]:
        """Rows to show under the picture, the first one as their head; none by default."""
        return []

    @property
    def can_train(self) -> bool:
        """Whether there is anything to train live."""
        return type(self).train is not Explorer.train

    # What a learner and a test use.

    @property
    def settings(self) -> Result:
        """The controls' values."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **settings: Any) -> Explorer:
        """Move controls as a hand would; one redraw.

        Raises
        ------
        KeyError
            If there is no such control.
        ValueError
            If a control does not have that value.
        """
        self._quiet = True
        try:
            for name, value in settings.items():
                if name not in self.controls:
                    known = ", ".join(self.controls)
                    raise KeyError(f"no control {name!r}; there are: {known}")
                try:
                    self.controls[name].value = value
                except Exception as fault:
                    options = getattr(self.controls[name], "options", None)
                    values = [o[1] if isinstance(o, tuple) else o for o in options or ()]
                    hint = f"; it takes {values}" if values else ""
                    raise ValueError(f"{name} cannot be {value!r}{hint}") from fault
        finally:
            self._quiet = False
        self._redraw()
        return self

    def train_live(self) -> Explorer:
        """Start a live run at the current settings, unless one is under way."""
        if self._thread is not None and self._thread.is_alive():
            return self
        self._stop = threading.Event()
        self._fault = None
        self._start.disabled, self._cancel.disabled = True, False
        self._bar.value, self._bar.layout.visibility = 0.0, "visible"
        self._say("training …")
        self._thread = threading.Thread(
            target=self._work, args=(self.settings, self._stop), daemon=True
        )
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the live run to stop."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> Explorer:
        """Wait for the live run, and raise what went wrong in it."""
        if self._thread is not None:
            self._thread.join(timeout)
        if self._fault is not None:
            raise self._fault
        return self

    @property
    def png(self) -> bytes:
        """The picture shown now."""
        return bytes(self._picture.value)

    @property
    def result(self) -> Result:
        """The result shown now."""
        return self.compute(**self.settings)

    @property
    def live_result(self) -> Result | None:
        """The live run's result, if it was made at the settings shown now."""
        if self._live is not None and self._live[0] == self.settings:
            return self._live[1]
        return None

    # The machinery.

    def _work(self, settings: Result, stop: threading.Event) -> None:
        shown = [0.0]

        def progress(share: float) -> None:
            if stop.is_set():
                raise Cancelled
            if share - shown[0] >= 0.02:  # a message to the browser each 2 % is enough
                shown[0] = self._bar.value = share

        try:
            progress(0.0)
            self._live = (settings, self.train(progress, **settings))
            here = settings == self.settings
            self._say("done" if here else "done, for the settings it was started with")
        except Cancelled:
            self._say("cancelled")
        except Exception as fault:
            self._fault = fault
            self._say(f"it failed: {error_text(fault)}")
        finally:
            self._bar.layout.visibility = "hidden"
            self._start.disabled, self._cancel.disabled = False, True
        self._redraw()

    def _say(self, text: str) -> None:
        self._status.value = f'<span role="status">{html.escape(text)}</span>'

    def _moved(self, change: Any) -> None:
        if not self._quiet:
            self._redraw()

    def _toggle_code(self, change: Any) -> None:
        self._code.layout.display = "" if self._show.value else "none"
        self._write_code()

    def _write_code(self) -> None:
        if self._show.value:
            self._code.value = self.code(**self.settings)
            self._code.rows = self._code.value.count("\n") + 2

    def _redraw(self) -> None:
        with figures.LOCK:
            try:
                result, live = self.result, self.live_result
            except _EXPECTED as fault:  # a word that no space knows, say: tell, keep the picture
                self.summary = error_text(fault)
                self._caption.value = (
                    f'<p role="alert" style="color:#a40000">{html.escape(self.summary)}</p>'
                )
                self._rows.value = ""
                return
            picture = self._stage.show(
                self.frame_key(result),
                lambda figure: self.frame(figure, result),
                lambda figure: self.draw(figure, result, live),
            )
            self.summary = self.describe(result, live)
            # The picture's title is its accessible name; the caption says the same to all.
            self._picture.tooltip = self.summary
            self._picture.value = picture
            self._caption.value = f"<p>{html.escape(self.summary)}</p>"
            self._rows.value = html_table(self.table(result, live))
            self._write_code()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = self.summary
        if self.png:
            data["image/png"] = base64.b64encode(self.png).decode()
        return data
