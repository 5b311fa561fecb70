"""The journal: what was meant, sent and answered, in one SQLite file that survives a killed process.

Facts, not queues: a job's columns and calls, each attempt (the intent before the call, the result after it), the tasks,
and what became of rows. What is unfinished is a question to these facts. The token is not among them.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from scmkit.core.arrays import Ints, RowStates
from scmkit.core.contract import TaskState
from scmkit.core.errors import JournalError, MissingJournalError, UnknownJobError, did_you_mean
from scmkit.core.events import Attempted, Ended, Event, Sending, Settled, TaskSeen
from scmkit.core.paths import expanded, like
from scmkit.core.values import Mode, Outcome, RowState, Task, in_doubt
from scmkit.journal import storage
from scmkit.journal.storage import NoLocksError, or_else
from scmkit.wire import turns
from scmkit.wire.turns import FileLock, is_held, state_folder

VARIABLE = "SCMKIT_JOURNAL"
APPLICATION, SCHEMA = 0x53434D4B, 2  # "SCMK", and the version of the tables below
UNFINISHED = (RowState.PENDING, RowState.CANCELLED, RowState.UNKNOWN)  # of a job that is not complete
TABLES = """
create table jobs (id text primary key, created real, service text, state text, error text, rows integer) strict;
create table parts (job text, name text, kind text, data blob, primary key (job, name)) strict;
create table calls (job text, number integer, mode text, parent integer, resent integer, rows blob,
    primary key (job, number)) strict;
create table attempts (id integer primary key, job text, call integer, at real, clock real not null default 0,
    bytes integer, body blob, outcome text, status integer, seconds real, codes integer, task text, final integer,
    message text) strict;
create table tasks (job text, id text, call integer, seen blob, primary key (job, id)) strict;
create table settled (id integer primary key, job text, call integer, rows blob, fates blob, discarded blob,
    message text) strict;
create index attempts_of on attempts (job, call);
create index settled_of on settled (job);
"""


@dataclass(frozen=True, eq=False)
class StoredCall:
    """A call as the journal knows it, its attempts folded into what is known about it.

    Attributes
    ----------
    maybe_applied : bool
        An attempt has no result, or one that leaves open whether the codes changed.
    status : int or None
        With which the service ended the call for good.
    task_id : str or None
        The task that it made.
    body : bytes or None
        The SHA-256 of what was sent last.
    """

    number: int
    mode: Mode
    rows: Ints
    parent: int | None
    resent: bool
    maybe_applied: bool = False
    status: int | None = None
    task_id: str | None = None
    body: bytes | None = None


class Lock(Protocol):
    """That a job runs, for as long as somebody holds this."""

    def acquire(self) -> bool:
        """Take it if it is free."""

    def release(self) -> None:
        """Let it go."""


class Journal:
    """An open journal.

    Parameters
    ----------
    path : path, optional
        Default: ``SCMKIT_JOURNAL``, else a file in the user's folder for application state.

    Raises
    ------
    JournalError
        The file is damaged, not a journal, of a newer scmkit, a link, or somebody else's; it is left as it is.
    NoLocksError
        The file system has no locks.
    """

    lasting = True  # whether a job can be resumed from it

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = place(path)
        self.db = storage.opened(self.path, APPLICATION, SCHEMA, TABLES, _upgrade())
        self._identity = storage.identity(self.path)

    def create(
        self, job: str, service: str, rows: int, parts: Mapping[str, Any], calls: Iterable[tuple[Mode, Ints]]
    ) -> Record:
        """Write down a new job, whole or not at all; its record closes the journal."""
        with or_else(self.close):
            record = self._record(job)
        with or_else(record.close), self.transaction():
            self.db.execute("insert into jobs values (?, ?, ?, 'running', null, ?)", (job, time.time(), service, rows))
            self.db.executemany(
                "insert into parts values (?, ?, ?, ?)", ((job, n, *_packed(v)) for n, v in parts.items())
            )
            self.db.executemany(
                "insert into calls values (?, ?, ?, null, 0, ?)",
                ((job, number, mode.value, _squeezed(at)) for number, (mode, at) in enumerate(calls)),
            )
        return record

    def reopen(self, job: str) -> Record:
        """Take hold of a job that no living process works on; its record closes the journal."""
        with or_else(self.close):
            self._check_known(job)
            return self._record(job)

    def query(self, sql: str, *values: Any) -> list[Any]:
        """Ask the journal."""
        with storage.translated(self.path):
            return self.db.execute(sql, values).fetchall()

    def each(self, sql: str) -> Iterator[Any]:
        """Ask the journal, and read no more of the answer than is taken."""
        with storage.translated(self.path), closing(self.db.execute(sql)) as lines:
            yield from lines

    def parts(self, job: str, name: str = "%") -> dict[str, Any]:
        """Return what was stored with the job: all of it, or one part."""
        lines = self.query("select name, kind, data from parts where job = ? and name like ?", job, name)
        with storage.translated(self.path):
            return {name: _unpacked(kind, data) for name, kind, data in lines}

    def stored_calls(self, job: str) -> list[StoredCall]:
        """Return the job's calls, by number."""
        attempts: dict[int, list[Any]] = {}
        for call, *facts in self.query(
            "select call, outcome, status, final, task, body from attempts where job = ? order by id", job
        ):
            attempts.setdefault(call, []).append(facts)
        lines = self.query("select number, mode, rows, parent, resent from calls where job = ? order by number", job)
        with storage.translated(self.path):
            return [_stored_call(line, attempts.get(line[0], [])) for line in lines]

    def answered(self, job: str, latest: int = -1) -> list[tuple[Any, ...]]:
        """Return the latest attempts that have a result, oldest first; by default all of them.

        Of each: ``mode, rows, call, at, bytes, outcome, status, seconds, codes, task``; rows as an array.
        """
        lines = self.query(
            "select c.mode, c.rows, a.call, a.at, a.bytes, a.outcome, a.status, a.seconds, a.codes, a.task "
            "from attempts a join calls c on c.job = a.job and c.number = a.call "
            "where a.job = ? and a.outcome is not null order by a.id desc limit ?", job, latest,
        )  # fmt: skip
        with storage.translated(self.path):
            return [(Mode(mode), _spread(rows), *facts) for mode, rows, *facts in reversed(lines)]

    def events(self, job: str) -> Iterator[Event]:
        """Tell again what happened so far: all attempts, then the tasks, then what became of rows."""
        calls = {stored.number: stored for stored in self.stored_calls(job)}
        sql = "select call, outcome, status, seconds, bytes, codes, task, final, message from attempts"
        for call, outcome, status, seconds, size, codes, task, final, message in self.query(
            f"{sql} where job = ? order by id", job
        ):
            stored = calls[call]
            yield Attempted(
                call, stored.mode, stored.rows, 0, Outcome(outcome or Outcome.UNKNOWN), status, seconds or 0.0, size,
                codes, task, message or ("" if outcome else "no answer is on record"), bool(final), stored.parent,
            )  # fmt: skip
        for call, seen in self.query("select call, seen from tasks where job = ? order by rowid", job):
            yield TaskSeen(task_in(seen), call)
        yield from self.settled(job)

    def tasks(self, job: str) -> dict[str, Task]:
        """Return the job's tasks by their ids, as the service last described them."""
        return {task: task_in(seen) for task, seen in self.query("select id, seen from tasks where job = ?", job)}

    def see(self, job: str, call: int, task: Task) -> None:
        """Note what the service says about a task."""
        with storage.translated(self.path):
            self.db.execute(
                "insert into tasks values (?, ?, ?, ?) on conflict do update set seen = excluded.seen",
                (job, task.id, call, msgspec.json.encode(asdict(task))),
            )

    def settled(self, job: str) -> Iterator[Settled]:
        """Tell again what became of rows, in the order in which it was learned."""
        for call, rows, row_states, discarded, message in self.query(
            "select call, rows, fates, discarded, message from settled where job = ? order by id", job
        ):
            with storage.translated(self.path):
                lost = {int(row): tuple(names) for row, names in msgspec.json.decode(discarded).items()}
                yield Settled(_spread(rows), _spread(row_states, "|i1"), call, lost, message)

    def row_states(self, job: str) -> RowStates:
        """Return what is known to have become of each row."""
        row_states: RowStates = self.parts(job, "fates")["fates"]
        lines = self.query("select rows, fates from settled where job = ? order by id", job)
        with storage.translated(self.path):
            for rows, became in lines:
                row_states[_spread(rows)] = _spread(became, "|i1")
        return row_states

    def is_running(self, job: str) -> bool:
        """Tell whether a living process works on the job."""
        return is_held(self._lock_path(job))

    def state_now(self, job: str, noted: str) -> str:
        """Return a job's state: one that was noted as running, and that nobody works on, is interrupted."""
        return "interrupted" if noted == "running" and not self.is_running(job) else noted

    def prune(self, before: float) -> int:
        """Forget jobs made and last sent before this time that are complete or cancelled; say how many."""
        sql = (
            "select id from jobs "
            "where max(created, coalesce((select max(at) from attempts where job = jobs.id), 0)) < ? "
            "and state in ('complete', 'cancelled')"
        )
        with self.transaction():
            ended = self.query(sql, before)
            old = [job for (job,) in ended if not self.is_running(job)]
            self.forget(old)
        if old:
            with storage.translated(self.path):
                self.db.execute("vacuum")
        return len(old)

    def forget(self, jobs: Iterable[str]) -> None:
        """Delete all that is known about these jobs, in a transaction of the caller's."""
        for job in jobs:
            self.db.execute("delete from jobs where id = ?", (job,))
            for table in ("parts", "calls", "attempts", "tasks", "settled"):
                self.db.execute(f"delete from {table} where job = ?", (job,))  # noqa: S608 - our own words

    def transaction(self) -> AbstractContextManager[None]:
        """Do all of it, durably, or nothing."""
        return storage.transaction(self.db, self.path)

    def check_in_place(self) -> None:
        """Raise a JournalError if what was written is not where somebody would look for it."""
        with suppress(JournalError):
            if storage.identity(self.path) == self._identity:
                return
        raise JournalError(
            f"the journal {self.path} was removed or replaced during the upload: nothing more is sent, since it could "
            "not be written down, and the upload cannot be resumed. job.rows says what became of the rows"
        )

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_known(self, job: str) -> None:
        known = [name for (name,) in self.query("select id from jobs order by rowid")]
        if job not in known:
            raise UnknownJobError(
                f"{self.path} knows no job {job!r}{did_you_mean(job, known)}; scmkit.jobs() lists them"
            )

    def _lock_path(self, job: str) -> Path:
        name = hashlib.sha256(job.encode()).hexdigest()[:12]
        return self.path.with_name(f"{self.path.name}-job-{name}")

    def _lock_on(self, job: str) -> Lock:
        return FileLock(self._lock_path(job))

    def _record(self, job: str) -> Record:
        lock = self._lock_on(job)
        try:
            free = lock.acquire()
        except OSError as error:
            raise NoLocksError(f"no locks on the file system of {self.path}: {error.strerror}") from None
        if not free:
            raise JournalError(f"job {job} is running in another process or thread: wait for it, or end it first")
        return Record(self, job, lock)


class Record:
    """A job's own page: takes note of its events, from one thread, until it is closed.

    An intent is on disk before its call goes out, a result before anybody hears of it.
    """

    def __init__(self, journal: Journal, job: str, lock: Lock) -> None:
        self.journal, self.job = journal, job
        self._db, self._lock = journal.db, lock
        self._waiting: list[Event] = []
        self._intents: dict[int, int] = {}

    def __call__(self, event: Event) -> None:
        """Take note of an event.

        Raises
        ------
        JournalError
            The disk is full, or the file is locked or gone: nothing more may be sent.
        """
        self._waiting.append(event)
        if _can_wait(event):
            return
        with self.journal.transaction():
            for noted in self._waiting:
                self._write(noted)
        self.journal.check_in_place()
        self._waiting.clear()

    def carry_on(self, service: str) -> None:
        """Note that the job runs again, at what may be another port of its service."""
        with self.journal.transaction():
            self._set_state("running", None)
            self._db.execute("update jobs set service = ? where id = ?", (service, self.job))

    def close(self) -> None:
        """Let the job go, and close the journal."""
        self.journal.close()
        self._lock.release()

    def _write(self, event: Event) -> None:
        match event:
            case Sending():
                self._intend(event)
            case Attempted():
                self._conclude(event)
            case Settled():
                lost = {str(row): names for row, names in event.discarded.items()}
                self._db.execute(
                    "insert into settled (job, call, rows, fates, discarded, message) values (?, ?, ?, ?, ?, ?)",
                    (self.job, event.call, _squeezed(event.rows), _squeezed(event.row_states, "|i1"),
                     msgspec.json.encode(lost), _plain(event.message)),
                )  # fmt: skip
            case TaskSeen():
                self.journal.see(self.job, event.call, event.task)
            case Ended():
                self._set_state(event.state, None if event.error is None else str(event.error))

    def _set_state(self, state: str, error: str | None) -> None:
        self._db.execute(
            "update jobs set state = ?, error = ? where id = ?", (state, error and _plain(error), self.job)
        )

    def _intend(self, event: Sending) -> None:
        self._db.execute(
            "insert or ignore into calls values (?, ?, ?, ?, ?, ?)",
            (self.job, event.call, event.mode.value, event.parent, event.resent, _squeezed(event.rows)),
        )
        intent = self._db.execute(
            "insert into attempts (job, call, at, clock, bytes, body) values (?, ?, ?, ?, ?, ?)",
            (self.job, event.call, time.time(), turns.clock_s(), len(event.body), hashlib.sha256(event.body).digest()),
        )
        self._intents[event.call] = intent.lastrowid or 0

    def _conclude(self, event: Attempted) -> None:
        self._db.execute(
            "update attempts set outcome = ?, status = ?, seconds = ?, codes = ?, task = ?, final = ?, message = ? "
            "where id = ?",
            (event.outcome.value, event.status, event.seconds, event.codes, event.task_id, event.final,
             _plain(event.message), self._intents.pop(event.call)),
        )  # fmt: skip


def place(path: str | os.PathLike[str] | None = None) -> Path:
    """Say where the journal is."""
    chosen = path or os.environ.get(VARIABLE)
    return expanded(chosen).absolute() if chosen else state_folder() / "journal.sqlite3"


@contextmanager
def existing(path: str | os.PathLike[str] | None = None) -> Iterator[Journal | None]:
    """Open a journal to read in it; None where the user has none yet, since a reader makes none.

    Raises
    ------
    MissingJournalError
        There is none where the caller says that it is.
    """
    if path is None and not place().exists():
        yield None
        return
    with Journal(_there(path)) as book:
        yield book


def known(job: str, path: str | os.PathLike[str] | None = None) -> Journal:
    """Open the journal that a job is in; a wrong path or id makes nothing."""
    book = Journal(_there(path))
    with or_else(book.close):
        book._check_known(job)
    return book


def _there(path: str | os.PathLike[str] | None) -> Path:
    found = place(path)
    if not found.exists():
        raise MissingJournalError(f"there is no journal {found}{like(found)}; an upload makes one")
    return found


def _upgrade() -> str:
    """Return how schema 2 is made of 1, which noted wall time only: `clock` is what the others order and wait by."""
    since = f"{turns.clock_s()} - max(0.0, {time.time()} - at)"
    return f"alter table attempts add column clock real not null default 0; update attempts set clock = {since}"  # noqa: S608


def _can_wait(event: Event) -> bool:
    """Tell what need not be on disk at once: nothing is believed because of it, or the next event belongs to it."""
    match event:
        case Attempted(mode=Mode.SYNC, outcome=Outcome.APPLIED):
            return True
        case Settled():
            return bool(np.isin(event.row_states, UNFINISHED).all())
        case Sending() | Attempted() | TaskSeen() | Ended():
            return False
    return True


def _stored_call(line: Sequence[Any], attempts: list[Any]) -> StoredCall:
    number, mode, rows, parent, resent = line
    call = (number, Mode(mode), _spread(rows), parent, bool(resent))
    if not attempts:
        return StoredCall(*call)
    maybe = any(in_doubt(outcome, status) for outcome, status, *_ in attempts)
    _, status, final, task, body = attempts[-1]
    return StoredCall(*call, maybe, status if final else None, task, body)


def task_in(seen: bytes) -> Task:
    """Read a task as the journal notes it."""
    facts = msgspec.json.decode(seen)
    return Task(**facts | {"state": facts["state"] and TaskState(facts["state"])})


def _packed(value: Any) -> tuple[str, bytes]:
    if isinstance(value, np.ndarray):
        return value.dtype.str, _squeezed(value, value.dtype.str)
    return "json", zlib.compress(msgspec.json.encode(value), 1)


def _unpacked(kind: str, data: bytes) -> Any:
    return msgspec.json.decode(zlib.decompress(data)) if kind == "json" else _spread(data, kind)


def _squeezed(array: NDArray[Any], kind: str = "<i8") -> bytes:
    return zlib.compress(np.ascontiguousarray(array, dtype=kind).tobytes(), 1)


def _spread(data: bytes, kind: str = "<i8") -> NDArray[Any]:
    return np.frombuffer(zlib.decompress(data), dtype=kind).copy()


def _plain(text: str) -> str:
    """Half a character that the service sent back has no place in a database."""
    return text.encode("utf-8", "backslashreplace").decode()
