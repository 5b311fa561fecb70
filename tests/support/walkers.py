"""Processes that pass one turnstile on a simulated clock; for the tests of the pace that processes share."""

import os
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scmkit.wire import turns

AWAKE, GONE = -1.0, float("inf")


class SimulatedClock:
    """One clock for several processes: it stands still while any of them is awake, and then goes on to the next due.

    A process that dies while it is awake stops the clock until somebody says that it is `gone`.
    """

    def __init__(self, context: Any, processes: int, start: float = 0.0) -> None:
        self._now = context.RawValue("d", start)
        self._due = context.RawArray("d", [AWAKE] * processes)
        self._bells = [context.Semaphore(0) for _ in range(processes)]
        self._lock = context.Lock()

    def now(self) -> float:
        return self._now.value

    def sleep(self, who: int, seconds: float) -> None:
        """Let a process sleep."""
        self._set(who, self._now.value + seconds)
        self._bells[who].acquire()

    def gone(self, who: int) -> None:
        """Wait for this process no more."""
        self._set(who, GONE)

    def _set(self, who: int, due: float) -> None:
        with self._lock:
            self._due[who] = due
            due_at = list(self._due)
            if AWAKE in due_at or min(due_at) == GONE:
                return
            self._now.value = now = min(due_at)
            for other, at in enumerate(due_at):
                if at == now:
                    self._due[other] = AWAKE
                    self._bells[other].release()


@dataclass(frozen=True)
class Walk:
    """What a process does: so many passages, and what disturbs it.

    Parameters
    ----------
    passages : int
    interval_s : float
        Between two calls.
    late_s : float
        How much later than asked for it wakes up, on average (exponentially distributed).
    idle_share, idle_s : float
        How often it does something else after a call, and for how long at most.
    transit_s : float
        How long a call is on its way at most.
    dies_at : int, optional
        The passage at which it is killed while it holds the lock.
    """

    passages: int
    interval_s: float
    late_s: float = 0.0
    idle_share: float = 0.0
    idle_s: float = 0.0
    transit_s: float = 0.0
    dies_at: int | None = None


def walk(clock: SimulatedClock, who: int, turnstile: Path, times: Path, plan: Walk, seed: int) -> None:
    """Pass the turnstile, and write down when each call arrived at the service; ``times`` is a file of doubles."""
    luck = random.Random(seed)
    arrived = np.memmap(times, dtype=np.float64, mode="r+", shape=(plan.passages,))
    passed = 0

    def now() -> float:
        if passed == plan.dies_at and sys._getframe(1).f_code is turns.Turnstile._try.__code__:  # it holds the lock
            os.kill(os.getpid(), signal.SIGKILL)
        return clock.now()

    def sleep(seconds: float) -> None:
        clock.sleep(who, seconds + (luck.expovariate(1 / plan.late_s) if plan.late_s else 0.0))

    gate = turns.Turnstile(turnstile, plan.interval_s, now, sleep)
    for passed in range(plan.passages):
        gate.wait()
        arrived[passed] = clock.now() + luck.random() * plan.transit_s
        if luck.random() < plan.idle_share:
            clock.sleep(who, luck.random() * plan.idle_s)
    clock.gone(who)
