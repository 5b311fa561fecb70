"""The fold of an upload's events into frames: what became of every row, call and task."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core.arrays import Bools, Ints, RowStates
from scmkit.core.errors import JournalError
from scmkit.core.events import Attempted, Ended, Event, Halved, Sending, Settled, TaskSeen
from scmkit.core.texts import our_name, ours
from scmkit.core.values import Outcome, RowState, Task
from scmkit.journal.journal import Journal
from scmkit.journal.stored_plans import stored_plan
from scmkit.planning.plan import Plan

CALL_COLUMNS = {
    "mode": "object", "rows": "int64", "items": "int64", "codes": "Int64", "attempts": "int64", "outcome": "object",
    "status": "Int64", "seconds": "float64", "timed_out": "bool", "bytes": "int64", "task_id": "object",
    "parent": "Int64", "message": "object",
}  # fmt: skip
TASK_COLUMNS = [
    "call", "state", "codes_affected", "created_at", "started_at", "completed_at", "created_by", "reference",
]  # fmt: skip


UNDER_WAY = "no answer yet"  # the message of a call


@dataclass
class Ledger:
    """What is known so far; written by the job's thread, read by anybody.

    Parameters
    ----------
    plan : Plan
        Whose rows are told about.
    """

    plan: Plan
    state: str = "running"
    error: Exception | None = None
    halved: int = 0  # calls that went out as two, since those before them took longer than planned
    _row_states: RowStates = field(init=False)
    _calls_of_rows: Ints = field(init=False)
    _discarded: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _messages: dict[int, str] = field(default_factory=dict)
    _calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    _tasks: dict[str, tuple[Task, int]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self._row_states = self.plan.row_states.copy()
        self._calls_of_rows = np.full(len(self._row_states), -1, dtype=np.int64)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        with self._lock:
            match event:
                case Sending():
                    self._note_sending(event)
                case Attempted():
                    self._note_attempt(event)
                case Settled():
                    self._settle(event)
                case TaskSeen():
                    self._tasks[event.task.id] = (event.task, event.call)
                case Halved():
                    self.halved += 1
                case Ended():
                    self.state, self.error = event.state, event.error

    def counts(self) -> dict[str, int]:
        """Count the rows in each state, ``pending`` included, without making a frame."""
        counts = np.bincount(self._row_states, minlength=len(RowState))
        return {row_state.word: int(counts[row_state]) for row_state in RowState if counts[row_state]}

    def open_rows(self) -> Bools:
        """Mark the rows about which the service has said nothing yet."""
        return np.isin(self._row_states, (RowState.PENDING, RowState.CANCELLED))

    @property
    def whole(self) -> bool:
        """Whether every row is applied with all its fields, or merged into one that is."""
        return not self._discarded and bool(np.isin(self._row_states, (RowState.APPLIED, RowState.SUPERSEDED)).all())

    def tally(self) -> dict[str, int]:
        """Count the calls made, those with an answer, the tasks made, and those that have ended, without a frame."""
        with self._lock:
            return {
                "made": len(self._calls),
                "answered": sum(call["status"] is not pd.NA for call in self._calls.values()),
                "tasks": sum(call["task_id"] is not None for call in self._calls.values()),
                "tasks_ended": sum(task.finished for task, _ in self._tasks.values()),
            }

    def positions(self, *row_states: RowState) -> Ints:
        """Return the positions of the rows in these states."""
        return np.flatnonzero(np.isin(self._row_states, row_states))

    def states_of(self, rows: Ints) -> RowStates:
        """Return the states of the rows at some positions."""
        return self._row_states[rows]

    def rows(self) -> pd.DataFrame:
        """A line per row of the table, in its order and under its labels."""
        positions = np.arange(len(self._row_states))
        with self._lock:
            calls = self._calls_of_rows
            facts = {
                "state": [RowState(f).word for f in self._row_states],
                "call": pd.array(np.where(calls < 0, pd.NA, calls.astype(object)), dtype="Int64"),
                "task_id": [self._calls[c]["task_id"] if c in self._calls else None for c in calls],
                "discarded_fields": [self._discarded.get(r, ()) for r in positions.tolist()],
                "message": [self._messages.get(r) or self._default_message(r) for r in positions.tolist()],
            }
        keys = {k.name: k.take(positions) for k in self.plan.keys}
        columns = {our_name("row", keys): positions} | keys | {our_name(name, keys): facts[name] for name in facts}
        return pd.DataFrame(columns, index=self.plan.index)

    def calls(self) -> pd.DataFrame:
        """A line per call made; ``codes``, ``items``, ``seconds``, ``timed_out`` are ready for `ServiceTime.fit`."""
        with self._lock:
            lines = pd.DataFrame.from_dict(self._calls, orient="index", columns=list(CALL_COLUMNS))
        return lines.astype(CALL_COLUMNS).rename_axis("call").sort_index()

    def tasks(self) -> pd.DataFrame:
        """A line per task, as the service last described it."""
        with self._lock:
            lines = {
                task.id: {**asdict(task), "call": call, "state": task.state_word} for task, call in self._tasks.values()
            }
        frame = pd.DataFrame.from_dict(lines, orient="index", columns=TASK_COLUMNS)
        return frame.astype({"call": "int64", "codes_affected": "Int64"}).rename_axis("task_id")

    def _note_sending(self, event: Sending) -> None:
        """A call that is under way has no known outcome."""
        under_way = Attempted(event.call, event.mode, event.rows, 0, Outcome.UNKNOWN, None, 0.0, len(event.body))
        attempts = self._calls.get(event.call, {"attempts": 0})["attempts"]
        self._note_attempt(replace(under_way, parent=event.parent, message=UNDER_WAY))
        self._calls[event.call]["attempts"] = attempts

    def _note_attempt(self, event: Attempted) -> None:
        before = self._calls.get(event.call, {"attempts": 0})
        self._calls[event.call] = {
            "mode": event.mode.value,
            "rows": len(event.rows),
            "items": event.items,
            "codes": self._codes_of(event),
            "attempts": before["attempts"] + (event.outcome is not Outcome.NOT_SENT or event.status is not None),
            "outcome": "accepted" if event.task_id is not None else event.outcome.value,
            "status": pd.NA if event.status is None else event.status,
            "seconds": event.seconds,
            "timed_out": event.timed_out,
            "bytes": event.bytes,
            "task_id": event.task_id,
            "parent": pd.NA if event.parent is None else event.parent,
            "message": event.message,
        }
        self._calls_of_rows[event.rows] = event.call

    def _codes_of(self, event: Attempted) -> Any:
        """Say how many codes a call changed, or, if the gateway cut it, would have changed by the estimate."""
        if event.timed_out and event.codes is None:
            return int(self.plan.expected_codes(event.rows))
        return pd.NA if event.codes is None else event.codes

    def _settle(self, event: Settled) -> None:
        self._row_states[event.rows] = event.row_states
        if event.call is not None:
            self._calls_of_rows[event.rows] = event.call
        for row in event.rows.tolist():
            self._discarded.pop(row, None)
            self._messages.pop(row, None)
        self._discarded.update({r: names for r, names in event.discarded.items() if names})
        if event.message:
            self._messages.update(dict.fromkeys(event.rows.tolist(), event.message))

    def _default_message(self, row: int) -> str:
        row_state = RowState(self._row_states[row])
        if row_state is RowState.REJECTED and self._calls_of_rows[row] < 0:
            return self.plan.why_not_sent(row)
        if row_state is RowState.APPLIED and row in self._discarded:
            return f"the campaign does not define {', '.join(self._discarded[row])}"
        return _MESSAGES.get(row_state, "")


def stored_ledger(book: Journal, job: str) -> Ledger:
    """Return all that a journal knows about a job: its plan, rows, calls and tasks."""
    ((state, error),) = book.query("select state, error from jobs where id = ?", job)
    ledger = Ledger(stored_plan(book, job))
    for event in book.events(job):
        ledger(event)
    ledger.state, ledger.error = state, JournalError(error) if error else None
    return ledger


def not_wholly_applied(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of ``job.rows`` that somebody should look at."""
    lost = ours(rows, "discarded_fields").str.len() > 0
    return rows[~ours(rows, "state").isin(["applied", "superseded"]) | lost]


_MESSAGES = {
    RowState.DISCARDED: "the campaign defines none of the row's fields",
    RowState.UNMATCHED: "no code carries this key",
    RowState.UNVERIFIED: "the answer does not say whether this was stored",
    RowState.SUPERSEDED: "another row of the same key is sent for it",
}
