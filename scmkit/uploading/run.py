"""A job at work: the thread in which the engine decides, and all that becomes known."""

from __future__ import annotations

import atexit
import shlex
import sys
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from scmkit.core.display import plural
from scmkit.core.errors import UnsettledError
from scmkit.core.events import Settled, Waiting
from scmkit.core.values import RowState, Task
from scmkit.engine.engine import POLLS_AT_ONCE, Engine, WorkLeft
from scmkit.journal.journal import UNFINISHED, Journal, Record, place
from scmkit.journal.storage import or_else
from scmkit.planning.plan import Plan
from scmkit.uploading.conflicts import EarlierJobs, claim_of
from scmkit.uploading.ledger import Ledger
from scmkit.uploading.lookup import CodeLookup
from scmkit.uploading.progress import Forecast, Progress
from scmkit.uploading.recorder import Recorder
from scmkit.uploading.threads import Threads, asked_until
from scmkit.uploading.verification import Verification
from scmkit.wire.client import Client

LAST_GRACE_S = 0.5  # for calls under way when the interpreter ends
LOOK_S = 0.01  # between two looks whether a job has ended


class Run(threading.Thread):
    """A job from its start, or from where it is resumed, to its end.

    Parameters
    ----------
    ledger : Ledger
        Of the job's plan; of a job that goes on, with what is known already.
    client : Client
    record : Record
        Where the job's events are noted.
    left : WorkLeft, optional
        What is left to do; by default all of the plan.
    started_at : datetime, optional
        When the job began, if that was earlier.
    verify : bool
        Whether to read the codes back at the end.
    anyway : bool
        Whether to send although an earlier job may still change the same.

    Attributes
    ----------
    failure : BaseException or None
        What broke the job off, if anything did: a listener, or a mistake of ours.
    ended : Event
    ended_at : datetime or None
    """

    def __init__(
        self, ledger: Ledger, client: Client, record: Record, left: WorkLeft | None = None, *,
        started_at: datetime | None = None, verify: bool = False, anyway: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(name=f"scmkit-{record.job}", daemon=True)
        self.job_id, self.plan, self.client, self.ledger = record.job, ledger.plan, client, ledger
        self.started_at = started_at or datetime.now(UTC)
        self.failure: BaseException | None = None
        self.ended_at: datetime | None = None
        self.ended = threading.Event()
        self.waiting = Waiting()
        self.transport = Threads(client, self.plan.workers + POLLS_AT_ONCE)
        self.recorder = Recorder(record, client.base_url, client.turns.wait, lambda error: self.engine.halt(error))
        self.recorder.listeners += [ledger, self.waiting]
        lookup = CodeLookup(self.plan, client, self.started_at, self.recorder.later_changes, self._over)
        self.verification = Verification(ledger, lookup, self.recorder)
        self.engine = Engine(
            self.plan, self.transport, client.limits, lookup.fields_of, lookup.look, self._held_until, left=left
        )
        self._record, self._verify = record, verify
        self._earlier_jobs = (
            None if anyway else earlier_jobs(record.journal, self.plan, client, self.job_id, self._over)
        )
        self._forecast, self._began = Forecast(self.plan, ledger.open_rows(), client.limits.speed), time.monotonic()

    def begin(self, before: Collection[str] = ()) -> None:
        """Take a place among the client's jobs, before those that were made later, and start."""
        self.client.order.enter(self.job_id, self._record.journal.path, before)
        with or_else(self._record.close):
            try:
                self.start()
            except BaseException:  # Ctrl-C, or there is no thread to be had
                self.engine.cancel(0.0)
                raise

    def run(self) -> None:
        """Carry the job to its end."""
        try:
            for event in self.engine.run():
                self.recorder(event)
            if self._verify and self.ledger.state != "cancelled":
                self.verification.verify_or_say_why()
        except BaseException as failure:  # noqa: BLE001 - shown by result(), in the caller's thread
            self.failure = failure
            if self.ledger.state == "running":
                self._break_off(failure)
        finally:
            self.ended_at = datetime.now(UTC)
            self.transport.close()
            try:
                self.recorder.close()
            finally:
                self.ended.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end. Not with `Event.wait`: Ctrl-C may strike inside it, and leave its lock locked for ever."""
        until = time.monotonic() + (float("inf") if seconds is None else seconds)
        while self.is_alive() and not self.ended.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))
        return self.ended.is_set()

    def progress(self, *, predict: bool = True) -> Progress:
        """Say how far the job is."""
        left_s = None
        if predict and not self.ended.is_set():
            left_s = self._forecast.left_s(self.ledger.open_rows(), time.monotonic() - self._began)
        return Progress.of(self.job_id, self.ledger, self.waiting.words, left_s)

    def _break_off(self, failure: BaseException) -> None:
        """A listener failed, or the engine did: no row stays without an end."""
        for event in self.engine.leftovers():
            self.ledger(event)
        pending = self.ledger.positions(RowState.PENDING)
        self.ledger(Settled.alike(pending, RowState.UNKNOWN, message=f"the job broke off: {failure}"))
        self.ledger.state = "suspended"

    def _over(self) -> bool:
        """Whether this job may not wait for an answer any more; whoever asks later, in a thread of his own, may."""
        return threading.current_thread() is self and self.engine.past_grace()

    def _held_until(self, now: float) -> float:
        if self._earlier_jobs is None:
            return now
        try:
            return now + self._earlier_jobs.held_s()
        except (UnsettledError, OSError) as error:
            self.engine.halt(error)
            return now


def earlier_jobs(
    book: Journal, plan: Plan, client: Client, job: str | None = None, over: Callable[[], bool] = lambda: False
) -> EarlierJobs:
    """Return what earlier jobs forbid a plan; nothing is asked of the service any more when it is over."""

    def task(task_id: str) -> Task:
        return asked_until(over, lambda _: client.task(task_id))  # type: ignore[no-any-return]

    return EarlierJobs(book, claim_of(plan), client.base_url, client.limits.speed, task, job, client.order)


def runs() -> list[Run]:
    """List the jobs that run in this process, whatever their client and their journal."""
    return [thread for thread in threading.enumerate() if isinstance(thread, Run)]


@atexit.register
def _say_what_is_left() -> None:
    """Stop the uploads that end with the interpreter, as their threads do, and say how each is carried on."""
    left, until = runs(), time.monotonic() + 2 * LAST_GRACE_S
    for run in left:
        run.engine.cancel(LAST_GRACE_S)
    for run in left:
        run.wait(max(0.0, until - time.monotonic()))
        if sys.stderr is not None and (words := _how_to_go_on(run)):
            sys.stderr.write(f"scmkit: {words}\n")


def _how_to_go_on(run: Run) -> str:
    """Say in a line how much of an upload that Python ends is left, and what carries it on; empty if nothing is."""
    rows = len(run.ledger.positions(*UNFINISHED))
    if not rows:
        return ""
    now, path = run.progress(predict=False), run.recorder.path
    said = (
        f"Python ended before upload {now.id} did: {max(now.planned - now.made, 0):,} of {plural(now.planned, 'call')} "
        f"were not made, {plural(rows, 'row')} left. "
    )
    if path is None:
        return said + "Nothing was written down (journal=False): upload the table again, with wait=True"
    elsewhere = path != place()
    journal, option = f", journal={str(path)!r}", f" --journal {shlex.quote(str(path))}"
    return (
        f"{said}Resume it with scmkit.resume({now.id!r}{journal * elsewhere}), or in a shell with "
        f"scmkit resume {now.id}{option * elsewhere}"
    )
