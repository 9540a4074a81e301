"""Live runs in a worker thread: one at a time, and the one asked for last counts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tlcourse.training import Cancelled, Progress

Job = Callable[[Progress], None]


class LiveRun:
    """A worker for jobs that report their progress and can be cancelled there.

    Parameters
    ----------
    on_progress : callable
        Takes the share done, each 2 % at most.
    on_end : callable
        Takes what was raised, or None; called under `guard` for the latest job only.
    """

    def __init__(
        self, on_progress: Progress, on_end: Callable[[BaseException | None], None]
    ) -> None:
        self.fault: BaseException | None = None
        self.thread: threading.Thread | None = None
        self.running = False
        self.guard = threading.RLock()
        self._on_progress, self._on_end = on_progress, on_end
        self._stop = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether the job was cancelled and has not stopped yet."""
        return self.running and self._stop.is_set()

    def start(self, job: Job) -> bool:
        """Start a job; if one is being cancelled, as soon as that has stopped.

        Returns
        -------
        bool
            False if one is under way and not cancelled: nothing is started then.
        """
        with self.guard:
            if self.running and not self.stopping:
                return False
            stop = threading.Event()
            thread = threading.Thread(target=self._work, args=(job, stop, self.thread), daemon=True)
            thread.start()
            self.thread, self._stop, self.fault, self.running = thread, stop, None, True
        return True

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the latest job, and raise what went wrong in it."""
        if self.thread is not None:
            self.thread.join(timeout)
        if self.fault is not None:
            raise self.fault

    def _work(self, job: Job, stop: threading.Event, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
        shown = 0.0

        def progress(share: float) -> None:
            nonlocal shown
            if stop.is_set():
                raise Cancelled
            if share - shown >= 0.02:  # a message to the browser each 2 % is enough
                shown = share
                self._on_progress(share)

        fault: BaseException | None = None
        try:
            progress(0.0)
            job(progress)
        except BaseException as raised:  # nobody else would hear of it in this thread
            fault = raised
        with self.guard:
            if self._stop is stop:  # no later job waits for this one
                self.running = False
                self.fault = None if isinstance(fault, Cancelled) else fault
                self._on_end(fault)
