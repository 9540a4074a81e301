"""A figure that draws its frame once and after that only the data: fast enough for a slider.

Ticks, titles and labels take most of matplotlib's time and seldom change. They are drawn
when they do, kept as pixels, and the data are drawn over a copy.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tlcourse.widgets import figures

Draw = Callable[[Figure], None]


class Stage:
    """Persistent figures of a size in inches, one for each of the frames shown last."""

    kept = 8

    def __init__(self, width: float, height: float) -> None:
        self._size = width, height
        self._frames: dict[Hashable, tuple[Figure, Any]] = {}

    def show(self, key: Hashable, frame: Draw, data: Draw) -> bytes:
        """Draw the data over the frame.

        Parameters
        ----------
        key : hashable
            What the frame depends on; it is drawn again when this changes.
        frame : callable
            Makes axes with ticks, titles, legends and fixed limits on the empty figure.
        data : callable
            Adds artists to these axes, or axes of its own.

        Returns
        -------
        bytes
            A PNG file.
        """
        with figures.LOCK:
            frames = self._frames  # `clear` may put another one there meanwhile
            if key not in frames:
                frames[key] = self._framed(frame)
            figure, background = frames[key] = frames.pop(key)  # now the latest
            while len(frames) > self.kept:
                del frames[next(iter(frames))]
            canvas = figure.canvas
            framed = {axes: set(axes.get_children()) for axes in figure.axes}
            try:
                data(figure)
                canvas.restore_region(background)  # type: ignore[attr-defined]
                for axes in figure.axes:
                    if axes not in framed:
                        figure.draw_artist(axes)
                        continue
                    added = [item for item in axes.get_children() if item not in framed[axes]]
                    for item in sorted(added, key=lambda item: item.get_zorder()):
                        axes.draw_artist(item)
                pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[attr-defined]
            finally:
                for axes in list(figure.axes):
                    if axes not in framed:
                        axes.remove()
                        continue
                    for item in axes.get_children():
                        if item not in framed[axes]:
                            item.remove()
            stream = io.BytesIO()
            pixels.save(stream, format="png", compress_level=1)
            return stream.getvalue()

    def clear(self) -> None:
        """Let go of all frames; takes no lock, since the garbage collector may call it."""
        self._frames = {}

    def _framed(self, frame: Draw) -> tuple[Figure, Any]:
        """A figure with its frame, and the frame's pixels."""
        figure = figures.new_figure(*self._size)
        frame(figure)
        for axes in figure.axes:
            axes.autoscale(False)
        figure.canvas.draw()
        return figure, figure.canvas.copy_from_bbox(figure.bbox)  # type: ignore[attr-defined]
