"""Work off the kernel's own thread, and updates that do not flood the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field

# Jupyter drops messages beyond 1,000 a second; four updates a second and widget are as many as an eye can follow.
SPACING_S = 0.25


@dataclass(frozen=True)
class Waiting:
    """Something to do, when, and in which context: that of who asked for it."""

    work: Callable[[], None]
    due: float
    context: Context = field(default_factory=copy_context)


class Worker:
    """Does one thing after another, on a daemon thread that is there only while there is something to do.

    Parameters
    ----------
    name : str
        Of the thread.
    on_error : callable
        Told of an exception, on the worker's thread and in the context of who asked; what waits is done all the same.

    Attributes
    ----------
    closed : bool
        Whether it takes nothing more.
    """

    def __init__(
        self, name: str, on_error: Callable[[Exception], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._on_error, self._clock = name, on_error, clock
        self._waiting: dict[str, Waiting] = {}
        self._ran: dict[str, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.closed = False

    def do(self, name: str, work: Callable[[], None], after_s: float = 0.0, spacing_s: float = 0.0) -> None:
        """Do something soon. May be called from any thread.

        What waits under the same name is replaced, so the latest is always done; give work that reads the state when
        it runs, and the final state always arrives.

        Parameters
        ----------
        name : str
        work : callable
        after_s : float
            Wait at least so long: for a slider to rest.
        spacing_s : float
            Between two runs of this name: `SPACING_S` for what is sent to the browser.
        """
        with self._changed:
            if self.closed:
                return
            due = max(self._clock() + after_s, self._ran.get(name, float("-inf")) + spacing_s)
            self._waiting[name] = Waiting(work, due)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def idle(self) -> bool:
        """Whether there is nothing to do."""
        with self._changed:
            return self._thread is None

    def close(self) -> None:
        """Forget what waits, and take nothing more."""
        with self._changed:
            self.closed = True
            self._waiting.clear()
            self._changed.notify()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work.context.run(self._carry_out, work.work)

    def _carry_out(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the surface shows it
            self._on_error(error)

    def _next(self) -> Waiting | None:
        """Wait until something is due; None when there is none left, and the thread ends."""
        with self._changed:
            while self._waiting:
                name = min(self._waiting, key=lambda waiting: self._waiting[waiting].due)
                pause = self._waiting[name].due - self._clock()
                if pause <= 0:
                    self._ran[name] = self._clock()
                    return self._waiting.pop(name)
                self._changed.wait(pause)
            self._thread = None
            return None
