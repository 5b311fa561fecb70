"""What happens during an upload, as frozen facts: one stream, read by the ledger and by whoever subscribes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scmkit.models import Fate, Mode, Outcome, Task

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sending:
    """A call is about to go out, and does when everybody who was told has taken note."""

    call: int
    mode: Mode
    rows: Ints
    body: bytes = field(repr=False)
    parent: int | None = None
    resent: bool = False


@dataclass(frozen=True, eq=False)
class Attempted:
    """A call was made once; ``status`` is the HTTP status, None when there was no answer."""

    call: int
    mode: Mode
    rows: Ints
    attempt: int
    outcome: Outcome
    status: int | None
    seconds: float
    bytes: int
    codes: int | None = None
    task_id: str | None = None
    message: str = ""
    final: bool = True
    parent: int | None = None


@dataclass(frozen=True, eq=False)
class Settled:
    """Rows have reached a state; ``discarded`` names, for each row, the fields that the service did not store."""

    rows: Ints
    fates: NDArray[np.int8]
    call: int | None = None
    discarded: dict[int, tuple[str, ...]] = field(default_factory=dict)
    message: str = ""

    @classmethod
    def alike(cls, rows: Ints, fate: Fate, call: int | None = None, message: str = "") -> Settled:
        """All rows share one state."""
        return cls(rows, np.full(len(rows), fate, dtype=np.int8), call, {}, message)


@dataclass(frozen=True)
class TaskSeen:
    """The service said something about a task."""

    task: Task
    call: int


@dataclass(frozen=True)
class Paused:
    """Everything waits, for all calls of this job."""

    seconds: float
    message: str


@dataclass(frozen=True)
class Ended:
    """Nothing more will happen; ``error`` is what stopped the job early."""

    state: str
    error: Exception | None = None


Event = Sending | Attempted | Settled | TaskSeen | Paused | Ended


class Waiting:
    """Hears what happens, and says for what everything waits at the moment, if for anything."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paused = Paused(0.0, "")
        self._until = float("-inf")

    def __call__(self, event: Event) -> None:
        """Take note of an event. A pause ends with the next call; one without a length with anything that happens."""
        if isinstance(event, Paused):
            self._paused, self._until = event, self._clock() + (event.seconds or float("inf"))
        elif isinstance(event, Sending | Ended) or not self._paused.seconds:
            self._until = float("-inf")

    @property
    def words(self) -> str:
        """What the pause says; empty where nothing waits."""
        return self._paused.message if self._clock() < self._until else ""


class Listener(Protocol):
    """Whoever wants to know; called from the job's own thread, so it must be quick and must not print."""

    def __call__(self, event: Event, /) -> None:
        """Take note of an event."""
