"""Plan + client -> outcomes: the only room that knows both the table and the wire.

One thread of the job's own runs the engine, which decides; worker threads make the exchanges and decide nothing. The
engine is a generator of events; `UploadJob` folds them into frames.
"""

from __future__ import annotations

import atexit
import os
import queue
import secrets
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core import contract, display, results
from scmkit.core.arguments import FROM_ZERO, JOURNAL
from scmkit.core.arrays import Bools, Ints
from scmkit.core.display import plural
from scmkit.core.errors import JournalError, PlanError, UnsettledError
from scmkit.core.events import Event, Listener, Sending, Settled, Waiting
from scmkit.core.lines import numbered
from scmkit.core.paths import check_destination, replacing
from scmkit.core.values import AsyncAnswer, Mode, RowState, SyncAnswer, Task
from scmkit.engine import evidence
from scmkit.engine.engine import GRACE_S, POLLS_AT_ONCE, Engine, Poll, Post, Reply, Start
from scmkit.engine.evidence import Change, FieldFacts
from scmkit.journal.journal import UNFINISHED, Journal, Record, place
from scmkit.journal.memory import in_memory
from scmkit.journal.stored import begin, begin_in_file
from scmkit.planning.plan import Plan
from scmkit.tables.arguments import TABLE_OR_PLAN, public
from scmkit.uploading import plans
from scmkit.uploading.earlier_jobs import EarlierJobs, changes_since, claim_of
from scmkit.uploading.ledger import Ledger, not_wholly_applied
from scmkit.uploading.progress import Lines, can_move
from scmkit.uploading.read_back import ReadBack, codes_of_row, compare
from scmkit.wire.client import Client, chosen_client, default_client

LAST_GRACE_S = 0.5  # for calls under way when the interpreter ends
LOOK_S = 0.01  # between two looks whether a job has ended
LOOK_AT_FIELDS_S = 60.0  # for the service to make a document about one row's codes


class Threads:
    """The real transport: daemon threads around one client, so that they never hold up the end of a kernel."""

    def __init__(self, client: Client, workers: int) -> None:
        self._client = client
        self._work: queue.SimpleQueue[Post | Poll | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        self._workers = [
            threading.Thread(target=self._run, name=f"scmkit-worker-{i}", daemon=True) for i in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def now(self) -> float:
        """Return the monotonic time."""
        return time.monotonic()

    def start(self, work: Post | Poll) -> None:
        """Hand work to the next free worker."""
        self._work.put(work)

    def wait(self, seconds: float | None) -> Reply | None:
        """Wait for a reply."""
        try:
            return self._replies.get(timeout=seconds)
        except queue.Empty:
            return None

    def wake(self) -> None:
        """End a wait."""
        self._replies.put(None)

    def close(self) -> None:
        """Tell the workers to end when they are free."""
        for _ in self._workers:
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            begun = time.monotonic()
            answer, error = None, None
            try:
                answer = _exchange(self._client, work)
            except Exception as caught:  # noqa: BLE001 - whatever it is, the engine decides
                error = caught
            self._replies.put(Reply(work, answer, error, time.monotonic() - begun))


def _exchange(client: Client, work: Post | Poll) -> SyncAnswer | AsyncAnswer | Task:
    if isinstance(work, Poll):
        return client.task(work.watch.task_id)
    if work.call.mode is Mode.SYNC:
        return client.upload_sync(work.body, in_turn=True)
    return client.upload_async(work.body, in_turn=True)


class JobThread(threading.Thread):
    """The thread of a job, which knows whose it is: who asks Python for all threads finds all jobs that run."""

    def __init__(self, job: UploadJob) -> None:
        super().__init__(target=job._run, name=f"scmkit-{job.id}", daemon=True)
        self.job = job


def running_jobs() -> list[UploadJob]:
    """List the jobs that run in this process, whatever their client and their journal."""
    return [thread.job for thread in threading.enumerate() if isinstance(thread, JobThread)]


@atexit.register
def _say_what_is_left() -> None:
    """Stop the uploads that end with the interpreter, as their threads do, and say how each is carried on."""
    jobs, until = running_jobs(), time.monotonic() + 2 * LAST_GRACE_S
    for job in jobs:
        job.cancel(LAST_GRACE_S)
    for job in jobs:
        job._ends_within(max(0.0, until - time.monotonic()))
        if sys.stderr is not None and (words := job._how_to_go_on()):
            sys.stderr.write(f"scmkit: {words}\n")


class UploadJob:
    """An upload, under way or ended. Made by `upload`.

    Attributes
    ----------
    id : str
    plan : Plan
    """

    def __init__(
        self, plan: Plan, client: Client, verify: bool = False, record: Record | None = None,
        start: Start | None = None, *, anyway: bool = False,
    ) -> None:  # fmt: skip
        self.id = _new_id() if record is None else record.job
        self.plan = plan
        self.started_at = datetime.now(UTC)
        self._record = record
        self._journal = record.journal.path if record is not None and record.journal.lasting else None
        self._client, self._verify_at_end = client, verify
        self._ledger = Ledger(plan)
        self._waiting = Waiting()
        self._listeners: list[Listener] = [self._ledger, self._waiting]
        self._differences: pd.DataFrame | None = None
        self._unproven = ""
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._transport = Threads(client, plan.workers + POLLS_AT_ONCE)
        self._earlier_jobs = None if record is None or anyway else _earlier_jobs(record.journal, plan, client, self.id)
        self._engine = Engine(
            plan, self._transport, client.limits, self._fields_of, self._look, self._held_until, start=start
        )
        self._thread = JobThread(self)

    @property
    def state(self) -> str:
        """``running``, ``complete``, ``cancelled`` or ``suspended`` (stopped by an error, see ``error``)."""
        return self._ledger.state

    @property
    def error(self) -> Exception | None:
        """What stopped the job early, if anything did."""
        return self._ledger.error

    @property
    def speed(self) -> float:
        """How much faster the service's clock runs than this one: 1, except in a sandbox."""
        return self._client.limits.speed

    @property
    def waiting(self) -> str:
        """What everything waits for at the moment, such as the end of a pause that the service asked for; or empty."""
        return self._waiting.words

    @property
    def ok(self) -> bool:
        """Whether the job is complete and every row was applied with all its fields."""
        different = self._differences is not None and len(self._differences) > 0
        proven = not different and not self._unproven
        return self.done() and self.state == "complete" and self._ledger.whole and proven

    @property
    def rows(self) -> pd.DataFrame:
        """A line per row of the table, under its label: what became of it.

        Columns: ``row`` (position), the key, ``state``, ``call``, ``task_id``, ``discarded_fields`` (a tuple of
        names), ``message``; a key that is called so keeps its name, and ours has ``scmkit_`` before it. While the job
        runs, a row may be ``pending``.
        """
        return self._ledger.rows()

    @property
    def calls(self) -> pd.DataFrame:
        """A line per call made, with ``codes``, ``items``, ``seconds`` and ``timed_out`` for `ServiceTime.fit`."""
        return self._ledger.calls()

    @property
    def tasks(self) -> pd.DataFrame:
        """A line per asynchronous task, as the service last described it."""
        return self._ledger.tasks()

    @property
    def differences(self) -> pd.DataFrame | None:
        """What the last read-back found, a line per code and field; None when there was none."""
        return self._differences

    @property
    def unproven(self) -> str:
        """Why the last read-back did not prove all that it was to prove; empty where it did, or there was none."""
        return self._unproven

    def counts(self) -> dict[str, int]:
        """Count the rows in each state."""
        return self._ledger.counts()

    def done(self) -> bool:
        """Whether the job has ended."""
        return self._ended.is_set()

    @public(timeout=FROM_ZERO.optional(), depths=False)
    def result(self, timeout: float | None = None) -> UploadJob:
        """Wait for the end and give the job itself.

        Raises
        ------
        TimeoutError
            The job is still running after ``timeout`` seconds; it goes on.
        ScmkitError
            The job was stopped before anything was applied: a wrong token, an unreachable server.
        """
        if not self._ends_within(timeout):
            if not self._thread.is_alive():
                raise PlanError(
                    f"upload {self.id} runs in the process that this one was forked from: wait for it there"
                )
            raise TimeoutError(f"the upload is still running after {timeout:g} s: {self.summary()}")
        if self._failure is not None:
            raise self._failure
        if (
            self.error is not None
            and not self._ledger.positions(RowState.APPLIED, RowState.UNVERIFIED, RowState.UNKNOWN).size
        ):
            raise self.error
        return self

    def _ends_within(self, seconds: float | None) -> bool:
        """Wait for the end. Not with `Event.wait`: Ctrl-C may strike inside it, and leave its lock locked for ever."""
        until = time.monotonic() + (float("inf") if seconds is None else seconds)
        while self._thread.is_alive() and not self._ended.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
        return self._ended.is_set()

    @public(grace_s=FROM_ZERO, depths=False)
    def cancel(self, grace_s: float = GRACE_S) -> None:
        """Send nothing more; calls under way get ``grace_s`` seconds. Rows never sent end as ``cancelled``."""
        self._engine.cancel(grace_s)

    def verify(self, **filters: Any) -> pd.DataFrame:
        """Read the codes back and compare them, field by field, with what was sent.

        Without filters it settles rows that were ``unverified`` or ``unknown``: where all codes now hold what was sent
        (``applied``), where the campaign has none of their fields (``discarded``), and where no code has an
        ``extended_id`` or ``serial_number`` (``unmatched``). No code with another key proves nothing, since codes may
        have been moved; nor does what a later job of the same journal may have changed. Nothing that was told before
        is taken back; what could not be compared, `summary` says, and then the job is not `ok`.

        Parameters
        ----------
        **filters
            For `Client.download_codes`, such as ``campaign``; by default the codes updated since the job began.

        Returns
        -------
        DataFrame
            A line per difference: ``row``, ``extended_id``, ``field``, ``sent``, ``found``.
        """
        if not self.done() and threading.current_thread() is not self._thread:
            raise PlanError(f"the upload is still running: {self.summary()}; call result() first")
        open_rows = self._ledger.positions(RowState.UNVERIFIED, RowState.UNKNOWN)
        rows = self._ledger.positions(RowState.APPLIED, RowState.UNVERIFIED, RowState.UNKNOWN)
        # Codes that were not updated lately tell about open rows, and about keys that are absent: then look at all.
        found = self._compare(rows, filters or ({} if len(open_rows) else self._since_start()))
        if not filters and not len(open_rows) and (len(found.absent) or found.why_not):
            found = self._compare(rows, {})
        if not filters:  # a filter of the caller's may hide codes that a row selects
            self._settle_by(found)
        self._differences = None if found.why_not else found.differences
        self._unproven = found.why_not if filters else self._why_unproven(found)
        return found.differences

    def _settle_by(self, found: ReadBack) -> None:
        before = self._ledger.states_of(found.rows)
        lasting = all(name in self.plan.assumptions.unique_keys for name in self.plan.key)
        after = evidence.of_read_back(before, found.codes, found.equal, found.discarded, lasting=lasting)
        sent = {f.name: ~f.missing[found.rows] for f in self.plan.fields}
        verdict = evidence.of_fields(after.row_states, sent, found.facts)
        with self._written_down():
            for row_state, why in evidence.READ_BACK.items():
                at = np.flatnonzero((after.row_states == row_state) & (before != row_state))
                lost = {int(found.rows[i]): verdict.lost[i] for i in at.tolist() if i in verdict.lost}
                self._hear(Settled(found.rows[at], after.row_states[at], None, lost, why))

    def _why_unproven(self, found: ReadBack) -> str:
        """Say what a read-back could not prove about rows that are said to be applied."""
        applied = self._ledger.states_of(found.absent) == RowState.APPLIED
        gone = f"no code carries the key of {plural(int(applied.sum()), 'applied row')} now" if applied.any() else ""
        return (found.why_not or gone) if len(found.rows) else ""

    def _later_changes(self) -> list[Change]:
        """Ask the journal what other jobs may have changed since this one began to send; nobody else knows."""
        if self._record is not None:
            return changes_since(self._record.journal, self.id, self._client.base_url)
        if self._journal is not None and self._journal.exists():
            with suppress(JournalError), Journal(self._journal) as book:
                return changes_since(book, self.id, self._client.base_url)
        return []

    @public(depths=False)
    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a self-contained HTML report: summary, calls, tasks, and the rows that were not applied.

        Raises
        ------
        DestinationError
            No file can be written there.
        """
        page = display.page(f"Upload {self.id}", self._html(most=500))
        with replacing(check_destination(path)) as beside:
            beside.write_text(page, encoding="utf-8")

    def subscribe(self, listener: Listener) -> None:
        """Tell somebody about every event from now on; see `scmkit.core.events`."""
        self._listeners.append(listener)

    def summary(self) -> str:
        """Say in a line how far it is, and what became of the rows."""
        counts = ", ".join(f"{n:,} {word}" for word, n in self.counts().items())
        calls = self.calls
        tasks = int(calls["task_id"].notna().sum())
        error = f"; stopped by: {self.error}" if self.error else ""
        error += f"; not read back: {self._unproven}" if self._unproven else ""
        made = f"{plural(len(calls), 'call')}, {plural(tasks, 'task')}"
        halved = self._ledger.halved
        made += f" ({len(self.plan):,} planned, {halved:,} halved: calls took longer than planned)" if halved else ""
        return f"{self._ledger.words}: {counts or 'no rows'}; {made}{error}"

    def _how_to_go_on(self) -> str:
        """Say in a line how much of an upload that Python ends is left, and what carries it on; empty if nothing is."""
        rows = len(self._ledger.positions(*UNFINISHED))
        if not rows:
            return ""
        made, planned = self._ledger.tally()[0], len(self.plan)
        said = (
            f"Python ended before upload {self.id} did: {max(planned - made, 0):,} of {plural(planned, 'call')} "
            f"were not made, {plural(rows, 'row')} left. "
        )
        if self._journal is None:
            return said + "Nothing was written down (journal=False): upload the table again, with wait=True"
        elsewhere = self._journal != place()
        journal, option = f", journal={str(self._journal)!r}", f" --journal {shlex.quote(str(self._journal))}"
        return (
            f"{said}Resume it with scmkit.resume({self.id!r}{journal * elsewhere}), or in a shell with "
            f"scmkit resume {self.id}{option * elsewhere}"
        )

    def __repr__(self) -> str:
        return f"<UploadJob {self.id} {self.summary()}>"

    def _repr_html_(self) -> str:
        return self._html(most=10)

    def _ipython_display_(self) -> None:
        results.show(self)

    def _html(self, most: int) -> str:
        bad = not_wholly_applied(self.rows)
        parts = [display.table(self.calls, max_rows=most, caption="calls")]
        if len(bad):
            shown = numbered(bad, self.plan.index)
            parts.insert(0, display.table(shown, max_rows=most, caption="rows that were not wholly applied"))
        if self._differences is not None and len(self._differences):
            shown = numbered(self._differences, self.plan.index)
            parts.append(display.table(shown, max_rows=most, caption="differences found by the read-back"))
        facts = {"result": self.summary(), "ok": self.ok}
        if self._differences is not None:
            facts["read back"] = plural(len(self._differences), "difference")
        return display.card(f"Upload {self.id}", facts, *parts)

    def _start(self, before: Collection[str] = ()) -> UploadJob:
        if self._record is not None:
            self._client.order.enter(self.id, self._record.journal.path, before)
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C, or there is no thread to be had
            self.cancel(grace_s=0.0)
            raise
        return self

    def _verify_or_say_why(self) -> None:
        """A read-back that fails takes nothing back from what was uploaded; the summary says why it is not proven."""
        try:
            self.verify()
        except Exception as error:  # noqa: BLE001 - whatever it is, such as a download without a column
            self._unproven = str(error)

    def _run(self) -> None:
        try:
            for event in self._engine.run():
                self._hear(event)
            if self._verify_at_end and self.state != "cancelled":
                self._verify_or_say_why()
        except BaseException as failure:  # noqa: BLE001 - shown by result(), in the caller's thread
            self._failure = failure
            if self._ledger.state == "running":
                self._break_off(failure)
        finally:
            self._transport.close()
            try:
                self._close_record()
            finally:
                self._ended.set()

    def _hear(self, event: Event) -> None:
        """Write an event down, then tell everybody."""
        try:
            if self._record is not None:
                self._record(event)
            if isinstance(event, Sending):
                self._client.turns.wait()
        except OSError as error:  # a disk that is full, a journal that is locked
            self._close_record()
            self._engine.halt(error)
            if isinstance(event, Sending):  # which will not happen then
                return
        for listener in self._listeners:
            listener(event)

    def _close_record(self) -> None:
        record, self._record, self._earlier_jobs = self._record, None, None
        if record is not None:
            record.close()

    @contextmanager
    def _written_down(self) -> Iterator[None]:
        """Open the journal again for what is learnt after the end."""
        if self.done() and self._journal is not None and self._journal.exists():
            with suppress(JournalError):  # what was read back counts, whether it can be noted or not
                self._record = Journal(self._journal).reopen(self.id)
        try:
            yield
        finally:
            if self.done():
                self._close_record()

    def _break_off(self, failure: BaseException) -> None:
        """A listener failed, or the engine did: no row stays without an end."""
        for event in self._engine.leftovers():
            self._ledger(event)
        pending = self._ledger.positions(RowState.PENDING)
        self._ledger(Settled.alike(pending, RowState.UNKNOWN, message=f"the job broke off: {failure}"))
        self._ledger.state = "suspended"

    def _held_until(self, now: float) -> float:
        if self._earlier_jobs is None:
            return now
        try:
            return now + self._earlier_jobs.held_s()
        except (UnsettledError, OSError) as error:
            self._engine.halt(error)
            return now

    def _compare(self, rows: Ints, filters: dict[str, Any]) -> ReadBack:
        path = self._client.download_codes(**filters)
        try:
            return compare(self.plan, rows, path, self._later_changes())  # as of now
        finally:
            path.unlink()

    def _since_start(self) -> dict[str, str]:
        # Whole days, a day more at both ends: how the service reads times, and what its clock says, is not documented.
        day = timedelta(days=1)
        return {"updated_at": f"{self.started_at - day:%Y-%m-%d},{datetime.now(UTC) + day:%Y-%m-%d}"}

    def _fields_of(self, row: int, changed: bool) -> FieldFacts:
        """Read from the header of a download of one row's codes which fields their campaign has."""
        names = {k.name: k.take(np.array([row]))[0] for k in self.plan.keys}
        filters = {contract.DOWNLOAD_FILTERS.get(name, f"scm_{name}"): value for name, value in names.items()}
        try:
            path = self._client.download_codes(wait_s=LOOK_AT_FIELDS_S, **filters)
            try:
                header, codes = codes_of_row(self.plan, row, path)
            finally:
                path.unlink()
        except Exception:  # noqa: BLE001 - whatever it is: no evidence is no reason to break a job off
            return evidence.NOTHING
        asked = [f.name for f in self.plan.fields if not f.missing[row]]
        return evidence.of_header(header, codes, [f.name for f in self.plan.fields], asked, changed=changed)

    def _look(self, rows: Ints) -> tuple[Ints, Bools, FieldFacts] | None:
        """Look at the codes that were updated since the job began."""
        try:
            found = self._compare(rows, self._since_start())
        except Exception:  # noqa: BLE001 - as above
            return None
        return None if found.why_not else (found.codes, found.equal | found.discarded, found.facts)


@results.upload.register(Plan)
@public(depths=False, options_of=plans.plan, df=TABLE_OR_PLAN, journal=JOURNAL)
def upload(
    df: pd.DataFrame | Plan,
    client: Client | None = None,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    mode: str = "auto",
    wait: bool = True,
    verify: bool = False,
    errors: str = "raise",
    progress: bool = True,
    journal: str | os.PathLike[str] | bool | None = None,
    anyway: bool = False,
    **options: Any,
) -> UploadJob:
    """Bring a table's values onto the codes, and say for every row what became of it.

    Parameters
    ----------
    df : DataFrame or Plan
        The table, or what `plan` made of it.
    client : Client, optional
        Default: the one given to `use`, else one made from the environment.
    key, mode : see `plan`
    wait : bool, default True
        Wait for the end, with a progress bar. Ctrl-C then stops feeding, gives calls under way five seconds, and
        gives back the job as it is. With False, the work goes on in the background, for as long as Python runs: a
        script that ends before says what is left, and how to resume it.
    verify : bool, default False
        At the end, download the codes and compare; see `UploadJob.verify`.
    errors : {"raise", "reject"}
        Whether invalid rows forbid the upload (before anything is sent), or end as ``rejected`` while the others
        are sent. What happens after the first call never raises: it is in ``job.rows``.
    progress : bool, default True
        Show a progress bar while waiting.
    journal : path or False, optional
        Where everything is written down before it happens, so that `resume` can carry on whatever becomes of this
        process; False for nowhere. Default: ``SCMKIT_JOURNAL``, else the user's own file.
    anyway : bool, default False
        Send now, although an earlier job may still change the same fields of the same codes. Otherwise this job waits
        for one that is running, and for lost calls of one that is not; tasks that nobody follows forbid it.
    **options
        Of `plan`: ``inventory``, ``estimate``, ``service_time``, ``risk``, ``fields``, ``on_conflict``, ``workers``.

    Returns
    -------
    UploadJob

    Raises
    ------
    ValidationError, MissingColumnError, PlanError
        Before anything is sent.
    JournalError
        The journal cannot be used; nothing was sent.
    UnsettledError
        An earlier job has tasks under way over the same codes, and nobody follows them; nothing was sent.
    AuthenticationError, PermissionDeniedError, NotSentError, ConfigurationError
        When the job was stopped before anything was applied.
    """
    if isinstance(df, Plan):
        asked = {"key": key not in (contract.DEFAULT_KEY, *df.key, list(df.key)), "mode": mode not in ("auto", df.mode)}
        if wrong := sorted({*options, *(name for name, differs in asked.items() if differs)}):
            raise PlanError(f"{', '.join(wrong)}: no option here, since this plan is made already")
        made = df
    else:
        known = client or chosen_client()
        if known is not None:
            options.setdefault("assumptions", known.assumptions)
            options.setdefault("service", known.base_url)
        made = plans.plan(df, key, mode, errors=errors, journal=journal, **options)
    client = client or default_client()  # after the table was looked at: it may ask for a token
    with client.order.in_turn:
        record = _begun(made, client, journal, anyway)
        with let_go_on_error(record):
            job = UploadJob(made, client, verify, record, anyway=anyway)._start()
    return wait_for(job, progress) if wait else job


def _begun(plan: Plan, client: Client, journal: str | os.PathLike[str] | bool | None, anyway: bool) -> Record:
    def check(book: Journal) -> None:
        if not anyway:
            _earlier_jobs(book, plan, client).held_s()

    record = None
    if journal is not False:
        record = begin_in_file(_new_id(), plan, client.base_url, None if journal is True else journal, check)
    return record or begin(_new_id(), plan, client.base_url, in_memory(client.order), check)


@contextmanager
def let_go_on_error(record: Record) -> Iterator[None]:
    """Ctrl-C before the job runs must not leave it locked for as long as this process lives."""
    try:
        yield
    except BaseException:
        record.close()
        raise


def _earlier_jobs(book: Journal, plan: Plan, client: Client, job: str | None = None) -> EarlierJobs:
    return EarlierJobs(book, claim_of(plan), client.base_url, client.limits.speed, client.task, job, client.order)


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def wait_for(job: UploadJob, progress: bool) -> UploadJob:
    """Wait for the end of a job, as `upload` does: Ctrl-C stops feeding, and a second one is a KeyboardInterrupt."""
    with _hearing_ctrl_c(job) as presses:
        _watch_progress(job, progress, presses)
    if len(presses) > 1:
        raise KeyboardInterrupt
    return job if presses else job.result()


@contextmanager
def _hearing_ctrl_c(job: UploadJob) -> Iterator[list[float]]:
    """Let Ctrl-C be a request; gives the times until which each of them lets us wait.

    As an exception it may strike anywhere, also between two statements of what is to be done about it.
    """
    presses: list[float] = []

    def pressed(*_: object) -> None:
        grace_s = 0.0 if presses else GRACE_S
        presses.append(time.monotonic() + grace_s + 1.0)
        job.cancel(grace_s)

    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(before):  # another thread never sees it; or somebody ignores it
        yield presses
        return
    signal.signal(signal.SIGINT, pressed)
    try:
        yield presses
    finally:
        signal.signal(signal.SIGINT, before)


def _watch_progress(job: UploadJob, show: bool, presses: Sequence[float]) -> None:
    follow = _move_a_bar if show and can_move() else _write_lines
    follow(job, show, lambda: job._ends_within(0.1) or bool(presses and time.monotonic() > presses[-1]))


def _write_lines(job: UploadJob, show: bool, ended: Callable[[], bool]) -> None:
    lines = Lines(job, _to_stderr if show else lambda _: None)
    while not ended():
        lines.look()
    lines.say()


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _move_a_bar(job: UploadJob, show: bool, ended: Callable[[], bool]) -> None:
    from tqdm.auto import tqdm

    total, waiting = len(job.plan.index), ""
    with tqdm(total=total, unit="row", desc="upload", mininterval=0.25) as bar:
        while not ended():
            bar.n = job._ledger.told
            bar.refresh() if bar.n == 0 else bar.update(0)
            if waiting != (waiting := job.waiting):
                bar.set_postfix_str(f"waiting: {waiting}" if waiting else "")
        bar.n = total - job._ledger.not_applied  # at the end, a full bar says that all is well
        bar.set_postfix_str(", ".join(f"{n:,} {word}" for word, n in job.counts().items()), refresh=True)
