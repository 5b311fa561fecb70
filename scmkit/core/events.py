"""What happens during an upload, as frozen facts: one stream, read by the ledger and by whoever subscribes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import numpy as np

from scmkit.core.arrays import Ints, RowStates
from scmkit.core.values import Mode, Outcome, RowState, Task, items_in, timed_out


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

    @property
    def items(self) -> int:
        """How many items the body held."""
        return items_in(self.mode, len(self.rows))

    @property
    def timed_out(self) -> bool:
        """Whether the gateway cut it."""
        return timed_out(self.mode, self.status)


@dataclass(frozen=True, eq=False)
class Settled:
    """Rows have reached a state; ``discarded`` names, for each row, the fields that the service did not store."""

    rows: Ints
    row_states: RowStates
    call: int | None = None
    discarded: dict[int, tuple[str, ...]] = field(default_factory=dict)
    message: str = ""

    @classmethod
    def alike(cls, rows: Ints, row_state: RowState, call: int | None = None, message: str = "") -> Settled:
        """All rows share one state."""
        return cls(rows, np.full(len(rows), row_state, dtype=np.int8), call, {}, message)


@dataclass(frozen=True)
class TaskSeen:
    """The service said something about a task."""

    task: Task
    call: int


@dataclass(frozen=True)
class PollFailed:
    """The service was asked for a task, and gave no answer that says how it goes."""

    task_id: str
    call: int
    message: str


@dataclass(frozen=True)
class Halved:
    """A call that waits goes out in halves, since those before it took longer than planned."""

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


Event = Sending | Attempted | Settled | TaskSeen | PollFailed | Halved | Paused | Ended


class Waiting:
    """Hears what happens, and says for what everything waits at the moment, or which task cannot be followed."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, today: Callable[[], datetime] = datetime.now
    ) -> None:
        self._clock, self._today = clock, today
        self._paused = Paused(0.0, "")
        self._until = float("-inf")
        self._failing: dict[int | None, tuple[datetime, PollFailed]] = {}  # by call, with the time of the first failure

    def __call__(self, event: Event) -> None:
        """Take note of an event. A pause ends with the next call; one without a length with anything that happens."""
        if isinstance(event, Paused):
            self._paused, self._until = event, self._clock() + (event.seconds or float("inf"))
        elif isinstance(event, Sending | Ended) or not self._paused.seconds:
            self._until = float("-inf")
        match event:
            case PollFailed():
                since = self._failing[event.call][0] if event.call in self._failing else self._today()
                self._failing[event.call] = since, event
            case TaskSeen() | Settled():
                self._failing.pop(event.call, None)
            case Ended():
                self._failing.clear()

    @property
    def words(self) -> str:
        """What the pause says, else which task cannot be followed, and since when; empty where all is well."""
        if self._clock() < self._until:
            return self._paused.message
        failing = list(self._failing.values())
        if not failing:
            return ""
        since, first = min(failing, key=lambda each: each[0])
        others = f" and {len(failing) - 1:,} more" if len(failing) > 1 else ""
        return f"no word about task {first.task_id}{others} since {since:%H:%M:%S}: {first.message}"


class Listener(Protocol):
    """Whoever wants to know; called from the job's own thread, so it must be quick and must not print."""

    def __call__(self, event: Event, /) -> None:
        """Take note of an event."""
