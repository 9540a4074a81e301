"""The explorer: one experiment with its controls, picture, caption, live run and code.

A lesson's explorer declares its controls and a few small methods; this class has all
the behaviour. It shows recorded runs at once, trains the same thing live in a worker
thread, gives itself as code, and leaves a picture and a sentence in a saved notebook.
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from tlcourse.data.sources import SourceError
from tlcourse.training import Cancelled, Progress
from tlcourse.widgets import figures
from tlcourse.widgets.controls import html_table, put
from tlcourse.widgets.live import LiveRun
from tlcourse.widgets.panel import Panel
from tlcourse.widgets.snippets import snippet
from tlcourse.widgets.stage import Stage

Result = dict[str, Any]

_EXPECTED = (KeyError, ValueError, SourceError)


def error_text(fault: BaseException) -> str:
    """What an error says, without the quotes that `KeyError` puts around it."""
    return str(fault.args[0]) if isinstance(fault, KeyError) and fault.args else str(fault)


class TooLong(ValueError):
    """A live run that is not started, since it would take too long; the text is the advice."""


class Explorer(Panel):
    """Base class of all explorers.

    A subclass sets ``name`` (unique, it labels the buttons) and ``size`` (inches) and
    implements `compute`, `draw` and `describe`, and `frame` for what stays in the picture. Its
    code is a file of ``data/snippets``. With `train` it can run live, with `table` it shows rows
    under the picture, with `too_long` it says which live runs are not offered.

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
        self._run = LiveRun(self._progressed, self._ended)
        self._quiet = self._closed = False
        for control in self.controls.values():
            control.observe(self._moved, "value")
        width = int(self.size[0] * 100)
        super().__init__(self.name, list(self.controls.values()), width, self.can_train)
        self._start.on_click(lambda _: self.train_live())
        self._cancel.on_click(lambda _: self.cancel())
        try:
            self.set(**settings)
        except BaseException:
            self.close()
            raise
        self.replace_earlier()

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
        """A snippet that gets the same result with public helpers: that of the class; pure."""
        return snippet(type(self).__name__, **settings)

    def train(self, progress: Progress, *args: Any, **settings: Any) -> Result:
        """Run the experiment at some settings; called in a worker thread."""
        raise NotImplementedError

    def too_long(self, *args: Any, **settings: Any) -> str:
        """Why a live run at some settings is not offered, and what to do; "" if it is; pure."""
        return ""

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
        """Move controls as a hand would; one redraw. If one cannot be moved, none is.

        Raises
        ------
        KeyError
            If there is no such control.
        ValueError
            If a control does not have that value.
        """
        for name in settings:
            if name not in self.controls:
                raise KeyError(f"no control {name!r}; there are: {', '.join(self.controls)}")
        with figures.LOCK:
            before = self.settings
            try:
                with self.hushed():
                    # In the controls' order: what a later one takes may depend on an earlier one.
                    for name in self.controls:
                        if name in settings:
                            put(name, self.controls[name], settings[name])
                self._show_now()
            except Exception:
                with self.hushed():
                    for name, value in before.items():
                        self.controls[name].value = value
                raise
        return self

    def relimit(self, name: str, values: Any, value: Any) -> None:
        """Let a choice take other values, with their texts, and give it one; no redraw."""
        control = self.controls[name]
        with self.hushed(), control.hold_sync():
            control.options = [(str(option), option) for option in values]
            control.value = value

    def train_live(self) -> Explorer:
        """Start a live run at the current settings, unless one is under way.

        If one is being cancelled, it starts as soon as that has stopped.
        """
        if self._closed:
            raise RuntimeError(f"this explorer of {self.name} is closed; make a new one")
        with self._run.guard:
            waits, settings = self._run.stopping, self.settings
            if self._run.start(lambda progress: self._train(progress, settings)):
                self._bar.value, self._bar.layout.visibility = 0.0, "visible"
                self._say("waiting for the cancelled run to stop …" if waits else "training …")
                self._mind_buttons()
        return self

    def cancel(self) -> None:
        """Ask the live run to stop."""
        with self._run.guard:
            if self._run.running:
                self._run.cancel()
                self._say("cancelling …")
                self._mind_buttons()

    def join(self, timeout: float | None = None) -> Explorer:
        """Wait for the live run, and raise what went wrong in it."""
        self._run.join(timeout)
        return self

    def close(self) -> None:
        """Stop the live run, and let go of the frames and of all parts."""
        if hasattr(self, "_run"):
            self._closed = True
            self._run.cancel()
            self._stage.clear()
        super().close()

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

    def _train(self, progress: Progress, settings: Result) -> None:
        """A live run; in a worker thread."""
        advice = self.too_long(**settings)
        if advice:
            raise TooLong(advice)
        self._say("training …")
        found = self.train(progress, **settings)
        if self._closed:
            return
        self._live = settings, found
        try:
            self._show_now()
        except Exception:
            self._live = None  # or every later move would fail as well
            with contextlib.suppress(Exception):
                self._show_now()
            raise

    def _progressed(self, share: float) -> None:
        self._bar.value = share

    def _ended(self, fault: BaseException | None) -> None:
        if self._closed:
            return
        if isinstance(fault, TooLong):
            said = "" if str(fault) == self._advice else str(fault)
        elif isinstance(fault, Cancelled):
            said = "cancelled"
        elif fault is not None:
            said = f"it failed: {error_text(fault)}"
        else:
            here = self._live is not None and self._live[0] == self.settings
            said = "done" if here else "done, for the settings it was started with"
        self._bar.layout.visibility = "hidden"
        self._say(said)
        self._mind_buttons()

    def _mind_buttons(self) -> None:
        with self._run.guard:
            self._offer(self._run.running and not self._run.stopping)

    def _advise(self, settings: Result) -> None:
        """Say beforehand why no live run is offered."""
        self._advice = self.too_long(**settings)
        self._say(self._said)
        self._mind_buttons()

    @contextlib.contextmanager
    def hushed(self) -> Iterator[None]:
        """Moved controls cause no redraw meanwhile."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _moved(self, change: Any) -> None:
        if not self._quiet:
            self._redraw()

    def _redraw(self) -> None:
        """Show the settings; what goes wrong is told as well as raised."""
        try:
            self._show_now()
        except Exception as fault:
            self._refuse(f"it failed: {error_text(fault)}")
            raise

    def _show_now(self) -> None:
        """Show the result at the settings: all of it, or the message that there is none."""
        with figures.LOCK:
            settings = self.settings
            try:
                result, live = self.compute(**settings), self.live_result
            except _EXPECTED as fault:  # a word that no space knows, say
                self._refuse(error_text(fault))
            else:
                picture = self._stage.show(
                    self.frame_key(result),
                    lambda figure: self.frame(figure, result),
                    lambda figure: self.draw(figure, result, live),
                )
                summary, rows = self.describe(result, live), self.table(result, live)
                self._tell(picture, summary, html_table(rows), self.code(**settings))
            self._advise(settings)
