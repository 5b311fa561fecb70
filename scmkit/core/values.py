"""Frozen values that travel between the rooms of the house."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from scmkit.core.contract import TaskState


class Mode(StrEnum):
    """How a call is made."""

    SYNC = "sync"
    ASYNC = "async"


class RowState(IntEnum):
    """What became of a row. A row ends in exactly one; ``PENDING`` is not an end."""

    PENDING = 0
    APPLIED = 1
    DISCARDED = 2
    UNMATCHED = 3
    UNVERIFIED = 4
    REJECTED = 5
    SUPERSEDED = 6
    CANCELLED = 7
    UNKNOWN = 8

    @property
    def word(self) -> str:
        """The word in ``job.rows``."""
        return self.name.lower()


class Outcome(StrEnum):
    """What one attempt did to the codes, as far as the evidence goes."""

    NOT_SENT = "not sent"
    NOT_APPLIED = "not applied"
    APPLIED = "applied"
    UNKNOWN = "unknown"


def timed_out(mode: Mode, status: int | None) -> bool:
    """Whether the gateway cut a sync call, which was then too large to be sent again as it was."""
    return mode is Mode.SYNC and status == 504


def items_in(mode: Mode, rows: int) -> int:
    """Return how many items the body of a call over so many rows holds: an async one has one for all of them."""
    return rows if mode is Mode.SYNC else 1


def in_doubt(outcome: Outcome | str | None, status: int | None) -> bool:
    """Whether an attempt may have taken effect, or still may: no answer tells, or a 504, which a proxy gives, too."""
    return outcome in (None, Outcome.UNKNOWN) or status == 504


@dataclass(frozen=True)
class SyncAnswer:
    """The answer to a sync call.

    Attributes
    ----------
    codes_affected : int
        Codes that the call changed.
    items : dict of str to tuple of str
        For each key value that matched a code, the names of the fields that were stored.
    changes : object
        Undocumented; carried, not used.
    server_s : float or None
        Seconds of the service's clock that it took; only a sandbox says so.
    """

    total_updates: int
    codes_affected: int
    items: dict[str, tuple[str, ...]]
    changes: object = None
    server_s: float | None = None


@dataclass(frozen=True)
class AsyncAnswer:
    """The answer to an async call: the task that will do the work."""

    task_id: str


@dataclass(frozen=True)
class Task:
    """An asynchronous task as the service describes it.

    Attributes
    ----------
    state : TaskState or None
        None for a word that we do not know: shown, and treated as not finished.
    word : str
        The state as the service spells it.
    codes_affected : int or None
        Codes that the task changed, once it says so.
    """

    id: str
    state: TaskState | None
    word: str
    codes_affected: int | None = None
    reference: str | None = None
    created_by: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the task will not change any more."""
        return self.state is not None and self.state.finished

    @property
    def state_word(self) -> str:
        """The state in our word for it, or, if we know none, as the service spells it."""
        return self.word if self.state is None else self.state.value


@dataclass(frozen=True)
class Product:
    """A product, as the service lists it; a number of codes is None where it does not say."""

    sku: str
    name: str
    campaign: str
    campaign_name: str
    codes: int | None = None
    active: int | None = None
    blacklisted: int | None = None


@dataclass(frozen=True)
class Products:
    """All products that a token can see."""

    listed: tuple[Product, ...]


def state_words(state: str, rows: int, applied: int, not_applied: int) -> str:
    """Say how a job stands: its state, and how many rows are applied unless all are, or merged into one that is."""
    return state if state == "running" or not not_applied else f"{state}, {applied:,} of {rows:,} applied"


class RowCounts(dict[str, int]):
    """How many rows are in each state."""
