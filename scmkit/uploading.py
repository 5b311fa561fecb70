"""Plan + client -> outcomes: the only room that knows both the table and the wire.

One thread of the job's own decides everything (`Engine`); worker threads make the exchanges and decide nothing. The
engine is a generator of events; `UploadJob` folds them into frames.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import os
import queue
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scmkit import contract, display, planning, tracking
from scmkit import policy as policies
from scmkit.adapting import CallSize
from scmkit.adapting import plan as make_plan
from scmkit.client import Client, Limits, current_service, default_client
from scmkit.display import plural
from scmkit.errors import (
    AuthenticationError,
    JournalError,
    NotFoundError,
    PermissionDeniedError,
    PlanError,
    ScmkitError,
    ServiceError,
)
from scmkit.events import Attempted, Ended, Event, Listener, Paused, Sending, Settled, TaskSeen
from scmkit.journal import Journal, Record
from scmkit.ledger import Ledger, not_wholly_applied
from scmkit.models import AsyncAnswer, Fate, Mode, Outcome, SyncAnswer, Task
from scmkit.pacing import Budget, Claim, Pace, probe_pause_s
from scmkit.planning import Plan
from scmkit.policy import Do
from scmkit.readback import compare
from scmkit.records import begin
from scmkit.tables import read_table
from scmkit.texts import Ints

GRACE_S = 5.0  # for calls under way when a job is cancelled
FAILURES_BEFORE_PROBE = 5  # in a row; then one call at a time until the service answers again
POLLS_AT_ONCE = 2
LOOK_AGAIN_S = 0.2  # while an earlier job is in the way


@dataclass(eq=False)
class Call:
    """A call on its way to an end; only the engine touches it."""

    number: int
    mode: Mode
    rows: Ints
    parent: int | None = None
    attempts: int = 0
    throttled: int = 0
    began: float | None = None
    maybe_applied: bool = False
    resent: bool = False


@dataclass(frozen=True, eq=False)
class Start:
    """Where a job begins: with the calls of its plan, or with what an earlier session left.

    Parameters
    ----------
    calls : sequence of Call
        To be made.
    next_number : int
        For the next call that is not among them.
    tasks : dict of str to Call
        To be followed.
    by_task : sequence of (rows, fates)
        What ended tasks said.
    stored, dropped : frozenset of str
        Fields of which an answer said that they were stored, or that they were not.
    """

    calls: Sequence[Call]
    next_number: int
    tasks: Mapping[str, Call] = field(default_factory=dict)
    by_task: Sequence[tuple[Ints, NDArray[np.int8]]] = ()
    stored: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()

    @classmethod
    def of(cls, plan: Plan) -> Start:
        """Begin at the beginning."""
        modes = [Mode.ASYNC if is_async else Mode.SYNC for is_async in plan.is_async]
        return cls([Call(number, mode, plan.rows_of(number)) for number, mode in enumerate(modes)], len(plan))


@dataclass(frozen=True, eq=False)
class Post:
    """Work for a worker: send this body."""

    call: Call
    body: bytes


@dataclass(frozen=True)
class Poll:
    """Work for a worker: ask for this task."""

    watch: tracking.Watch


@dataclass(frozen=True, eq=False)
class Reply:
    """What came of a piece of work: an answer, or the error that the client raised."""

    work: Post | Poll
    answer: SyncAnswer | AsyncAnswer | Task | None
    error: Exception | None
    seconds: float


class Transport(Protocol):
    """Makes exchanges side by side, and knows the time."""

    def now(self) -> float:
        """Give the seconds of a clock that never goes back."""

    def start(self, work: Post | Poll) -> None:
        """Begin an exchange; its reply comes out of `wait`."""

    def wait(self, seconds: float | None) -> Reply | None:
        """Wait for the next reply, None when the time is up or somebody called `wake`."""

    def wake(self) -> None:
        """End a `wait` early, from any thread."""

    def close(self) -> None:
        """Let the workers go."""


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
        """Give the monotonic time."""
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
        return client.upload_sync(work.body)
    return client.upload_async(work.body)


class Engine:
    """Carries a plan to its end: sends, retries, splits, follows tasks, and says what happened.

    Parameters
    ----------
    plan : Plan
    transport : Transport
        Makes the exchanges.
    limits : Limits
        The pace, and the speed of the service's clock.
    fields_of : callable
        Asks the service which fields the campaign of a row defines; None when it cannot say.
    held_until : callable
        Gives the moment from which no earlier job can put an older value over ours.
    random : callable
        Gives numbers between 0 and 1, for jitter.
    start : Start, optional
        What is left to do; by default all of the plan.
    """

    def __init__(
        self,
        plan: Plan,
        transport: Transport,
        limits: Limits,
        fields_of: Callable[[int], frozenset[str] | None] = lambda row: None,
        held_until: Callable[[float], float] = lambda now: now,
        random: Callable[[], float] = random.random,
        start: Start | None = None,
    ) -> None:
        start = start or Start.of(plan)
        self.plan, self.transport, self.limits = plan, transport, limits
        self._fields_of, self._held_until, self._random = fields_of, held_until, random
        self._pace = Pace(limits.updates_per_second)
        self._poll_pace = Pace(contract.OTHER_CALLS_PER_MINUTE / 60 * limits.speed)
        self._numbers = itertools.count(start.next_number)
        self._sequence = itertools.count()
        self._ready: list[tuple[float, int, Call]] = []
        self._polls: list[tuple[float, int, tracking.Watch]] = []
        self._calls: dict[int, Call] = {}
        self._posting: set[Call] = set()
        self._polling: dict[int, tracking.Watch] = {}
        self._failures = 0
        self._budget = Budget()
        self._slowed_at = float("-inf")
        self._size = CallSize(plan)
        self._ceiling = float("inf")  # bytes: a 413 was answered to a body of this size
        self._error: Exception | None = None
        self._stop_at: float | None = None
        self._cancel_by = float("inf")
        self.late_until = 0.0  # until then, a lost call may still take effect
        self._by_task = list(start.by_task)
        self._stored, self._dropped = set(start.stored), set(start.dropped)
        for call in start.calls:
            self._enqueue(call, 0.0)
        for task_id, call in start.tasks.items():
            self._calls[call.number] = call
            self._watch(tracking.Watch.begin(task_id, call.number, transport.now(), limits.speed))

    def cancel(self, grace_s: float = GRACE_S) -> None:
        """Send nothing more; calls under way have this long to end. May be called from any thread."""
        self._cancel_by = min(self._cancel_by, self.transport.now() + grace_s)
        self.transport.wake()

    def halt(self, error: Exception) -> None:
        """Send nothing more because of an error; calls under way may still end. Called from the job's own thread."""
        self._error = self._error or error
        if self._stop_at is None:
            self._stop_at = self.transport.now() + self.limits.deadline_s
        self.transport.wake()

    def run(self) -> Iterator[Event]:
        """Do the work; each event is a fact that will not change."""
        yield from self._wait_for_earlier()
        while not self._over():
            yield from self._send_ready()
            self._poll_due()
            reply = self.transport.wait(self._idle_s())
            if reply is not None:
                yield from self._on_post(reply) if isinstance(reply.work, Post) else self._on_poll(reply)
        yield from self.leftovers()
        yield from self._field_evidence()
        yield Ended(self._state(), self._error)

    # Feeding

    def _wait_for_earlier(self) -> Iterator[Event]:
        told = False
        while not self._over() and (until := self._held_until(self.transport.now())) > self.transport.now():
            if not told:
                yield Paused(0.0, "an earlier job may still change the same codes: waiting until it cannot")
            told = True
            self.transport.wait(min(until - self.transport.now(), LOOK_AGAIN_S))

    def _enqueue(self, call: Call, due: float) -> None:
        self._calls[call.number] = call
        heapq.heappush(self._ready, (due, next(self._sequence), call))

    def _child(self, parent: Call, mode: Mode, rows: Ints, **facts: Any) -> Call:
        maybe = parent.maybe_applied
        return Call(next(self._numbers), mode, rows, parent.number, maybe_applied=maybe, **facts)

    def _over(self) -> bool:
        if self._cancel_by < float("inf"):
            self._stop_at = self._cancel_by if self._stop_at is None else min(self._stop_at, self._cancel_by)
        if self._stop_at is not None:
            return not self._posting or self.transport.now() >= self._stop_at
        return not (self._ready or self._posting or self._polls or self._polling)

    def _room(self) -> bool:
        most = 1 if self._failures >= FAILURES_BEFORE_PROBE else self.plan.workers
        return bool(self._ready) and self._stop_at is None and len(self._posting) < most

    def _send_ready(self) -> Iterator[Event]:
        while self._room():
            now = self.transport.now()
            if max(self._ready[0][0], self._pace.ready_at) > now:
                return
            call = self._ready[0][2]
            body = self.plan.body(call.mode, call.rows)
            too_large = len(body) >= self._ceiling and len(call.rows) > 1
            if too_large or (call.mode is Mode.SYNC and self._size.too_risky(call.rows)):
                heapq.heappop(self._ready)
                self._split(call)
                continue
            yield Sending(call.number, call.mode, call.rows, body, call.parent, call.resent)
            if self._stop_at is not None:  # the intent could not be written down
                return
            heapq.heappop(self._ready)
            now = self.transport.now()
            call.began = now if call.began is None else call.began
            self._posting.add(call)
            self._pace.take(now)
            self.transport.start(Post(call, body))

    def _poll_due(self) -> None:
        while self._polls and self._stop_at is None and len(self._polling) < POLLS_AT_ONCE:
            now = self.transport.now()
            if max(self._polls[0][0], self._poll_pace.ready_at) > now:
                return
            watch = heapq.heappop(self._polls)[2]
            self._polling[watch.call] = watch
            self._poll_pace.take(now)
            self.transport.start(Poll(watch))

    def _idle_s(self) -> float | None:
        """Seconds until there is something to do without a reply; None when only a reply can bring it."""
        times = []
        if self._room():
            times.append(max(self._ready[0][0], self._pace.ready_at))
        if self._polls and self._stop_at is None and len(self._polling) < POLLS_AT_ONCE:
            times.append(max(self._polls[0][0], self._poll_pace.ready_at))
        if self._stop_at is not None:
            times.append(self._stop_at)
        return max(0.0, min(times) - self.transport.now()) if times else None

    # Answers to calls

    def _on_post(self, reply: Reply) -> Iterator[Event]:
        assert isinstance(reply.work, Post)  # noqa: S101 - told apart by the caller
        call, answer = reply.work.call, reply.answer
        if call not in self._posting:
            return
        self._posting.discard(call)
        if reply.error is not None:
            yield from self._on_failure(call, reply)
            return
        self._failures = 0
        self._budget.earn()
        self._pace.recover()
        if isinstance(answer, AsyncAnswer):
            yield self._attempted(call, reply, Outcome.APPLIED, 200, task_id=answer.task_id)
            self._watch(tracking.Watch.begin(answer.task_id, call.number, self.transport.now(), self.limits.speed))
        elif isinstance(answer, SyncAnswer):
            yield self._attempted(call, reply, Outcome.APPLIED, 200, codes=answer.codes_affected)
            yield self._read_items(call, answer)

    def _on_failure(self, call: Call, reply: Reply) -> Iterator[Event]:
        error, now = reply.error, self.transport.now()
        assert error is not None and call.began is not None  # noqa: S101, PT018 - it was sent and it failed
        throttled = isinstance(error, ServiceError) and error.status == 429
        call.throttled += throttled
        call.attempts += not throttled
        attempt = policies.Attempt(
            call.mode, len(call.rows), call.attempts, call.throttled, (now - call.began) * self.limits.speed
        )
        decision = policies.decide(error, attempt, self._random, self.limits.speed)
        if decision.do is Do.RETRY and not throttled and not self._budget.spend():
            decision = replace(decision, do=Do.STOP)
        infrastructure = decision.outcome in (Outcome.NOT_SENT, Outcome.UNKNOWN)
        self._failures = self._failures + 1 if infrastructure else 0
        timed_out = isinstance(error, ServiceError) and error.status == 504
        if decision.outcome is Outcome.UNKNOWN or timed_out:
            call.maybe_applied, self.late_until = True, self._too_late()
        status = error.status if isinstance(error, ServiceError) else None
        yield self._attempted(call, reply, decision.outcome, status, final=decision.do is not Do.RETRY)
        if decision.everybody:
            self._pace.pause(now, decision.wait_s)
            if now - reply.seconds >= self._slowed_at:  # else it was sent before the pause: the same storm
                self._pace.slow_down()
                self._slowed_at = now
                yield Paused(decision.wait_s, str(error))
        if self._failures >= FAILURES_BEFORE_PROBE:
            pause = probe_pause_s(self._failures - FAILURES_BEFORE_PROBE, self._random, self.limits.speed)
            self._pace.pause(now, pause)
            yield Paused(pause, f"{self._failures} failures in a row, one call will probe: {error}")
        if status == 413:
            self._ceiling = min(self._ceiling, len(reply.work.body))  # type: ignore[union-attr]
        yield from self._carry_out(decision, call, error, now)

    def _carry_out(self, decision: policies.Decision, call: Call, error: Exception, now: float) -> Iterator[Event]:
        match decision.do:
            case Do.RETRY:
                self._enqueue(call, now + decision.wait_s)
            case Do.SPLIT:
                self._split(call)
            case Do.GO_ASYNC:
                self._enqueue(self._child(call, Mode.ASYNC, call.rows), now)
            case Do.REJECT:
                yield from self._reject(call, decision.named, str(error))
            case Do.GIVE_UP if decision.outcome is Outcome.NOT_SENT:
                yield from self._stop(call, error)
            case Do.GIVE_UP:
                fate = Fate.UNKNOWN if call.maybe_applied else Fate.CANCELLED
                yield Settled.alike(call.rows, fate, call.number, f"given up: {error}")
            case Do.STOP:
                yield from self._stop(call, error)

    def _split(self, call: Call) -> None:
        for half in np.array_split(call.rows, 2):
            self._enqueue(self._child(call, call.mode, half, resent=call.resent), self.transport.now())

    def _reject(self, call: Call, named: Sequence[int], why: str) -> Iterator[Event]:
        at_fault = call.rows[list(named)] if named else call.rows
        why += "; an earlier attempt may have been applied" if call.maybe_applied else ""
        yield Settled.alike(at_fault, Fate.REJECTED, call.number, why)
        rest = np.delete(call.rows, list(named)) if named else call.rows[:0]
        if len(rest):
            self._enqueue(self._child(call, call.mode, rest, resent=call.resent), self.transport.now())

    def _stop(self, call: Call, error: Exception) -> Iterator[Event]:
        """Stop feeding; calls under way may still end well. What was not sent stays unsent."""
        self.halt(error)
        yield self._unsent(call, str(error))

    def _read_items(self, call: Call, answer: SyncAnswer) -> Settled:
        """Read each row's fate from the fields that the answer lists for its key."""
        keys = self.plan.keys[0].take(call.rows)
        sent = {f.name: ~f.missing[call.rows] for f in self.plan.fields}
        fates = np.full(len(call.rows), Fate.APPLIED, dtype=np.int8)
        discarded: dict[int, tuple[str, ...]] = {}
        for i, (row, key) in enumerate(zip(call.rows.tolist(), keys, strict=True)):
            stored = answer.items.get(key)
            if stored is None:
                fates[i] = Fate.UNKNOWN if self._may_have_moved(call) else Fate.UNMATCHED
                continue
            asked = [name for name, present in sent.items() if present[i]]
            lost = tuple(name for name in asked if name not in stored)
            self._stored.update(stored)
            if lost and self.plan.assumptions.missing_field_is_discarded:
                self._dropped.update(lost)
                discarded[row] = lost
                fates[i] = Fate.DISCARDED if len(lost) == len(asked) else Fate.APPLIED
        return Settled(call.rows, fates, call.number, discarded)

    def _may_have_moved(self, call: Call) -> bool:
        """Whether an earlier attempt may have taken codes to another campaign, where this key does not find them."""
        return call.maybe_applied and not self.plan.unique_key and any(f.name == "product" for f in self.plan.fields)

    # Tasks

    def _watch(self, watch: tracking.Watch) -> None:
        heapq.heappush(self._polls, (watch.due, next(self._sequence), watch))

    def _on_poll(self, reply: Reply) -> Iterator[Event]:
        assert isinstance(reply.work, Poll)  # noqa: S101 - told apart by the caller
        watch, now, speed = reply.work.watch, self.transport.now(), self.limits.speed
        self._polling.pop(watch.call, None)
        if isinstance(reply.error, AuthenticationError | PermissionDeniedError):
            self._watch(watch)
            self.halt(reply.error)
            yield Paused(0.0, str(reply.error))
            return
        task = reply.answer if isinstance(reply.answer, Task) else None
        missing = isinstance(reply.error, NotFoundError)
        watch = watch.asked(now, task, speed, getattr(reply.error, "retry_after_s", None) or 0.0, missing=missing)
        if task is not None and (reply.work.watch.last != task):
            yield TaskSeen(task, watch.call)
        if task is not None and task.finished:
            yield from self._on_task_end(self._calls[watch.call], task)
        elif (why := watch.lost(now, speed)) is not None:
            yield Settled.alike(self._calls[watch.call].rows, Fate.UNKNOWN, watch.call, why)
        else:
            if reply.error is not None and not missing:
                self._poll_pace.pause(now, 1.0 / speed)
            self._watch(watch)

    def _on_task_end(self, call: Call, task: Task) -> Iterator[Event]:
        if task.state is contract.TaskState.COMPLETE:
            yield self._read_count(call, task)
        elif call.resent:
            yield Settled.alike(call.rows, Fate.REJECTED, call.number, f"task {task.id} failed, and so did its repeat")
        else:
            call.maybe_applied = True
            self._enqueue(self._child(call, Mode.ASYNC, call.rows, resent=True), self.transport.now())

    def _read_count(self, call: Call, task: Task) -> Settled:
        """Read the rows' fates from the only thing that a task says: how many codes it changed."""
        expected = self.plan.row_codes["codes"].to_numpy()[call.rows]
        codes, keys = task.codes_affected, len(call.rows)
        if codes is None:
            why = "the task does not say how many codes it changed"
            return Settled.alike(call.rows, Fate.UNVERIFIED, call.number, why)
        if codes == 0 and self._may_have_moved(call):
            why = "the task changed no code, but an attempt before it may have"
            return Settled.alike(call.rows, Fate.UNVERIFIED, call.number, why)
        if codes == 0:
            fates = np.full(keys, Fate.UNMATCHED, dtype=np.int8)
        elif keys == 1 or (self.plan.unique_key and codes == keys):
            fates = np.full(keys, Fate.APPLIED, dtype=np.int8)
        elif self.plan.exact and codes == expected.sum():
            fates = np.where(expected > 0, Fate.APPLIED, Fate.UNMATCHED).astype(np.int8)
        else:
            why = f"the task changed {codes:,} codes for {keys:,} keys and does not say which"
            return Settled.alike(call.rows, Fate.UNVERIFIED, call.number, why)
        self._by_task.append((call.rows, fates))
        return Settled(call.rows, fates, call.number)

    def _field_evidence(self) -> Iterator[Event]:
        """A task does not say which fields it stored: take it from what else is known about the campaign."""
        if not self._by_task:
            return
        rows, fates = (np.concatenate(arrays) for arrays in zip(*self._by_task, strict=True))
        names = {f.name for f in self.plan.fields}
        defined = self.plan.defined_fields
        if defined is None and self._stop_at is None and names - self._stored - self._dropped:
            defined = self._fields_of(int(rows[np.argmin(self.plan.row_codes["codes"].to_numpy()[rows])]))
        if defined is None:
            lost = self._dropped - self._stored
        else:
            lost = names - defined - set(contract.SPECIAL_FIELDS) - self._stored
        if lost:
            yield self._without(rows, fates, lost)

    def _without(self, rows: Ints, fates: NDArray[np.int8], lost: set[str]) -> Settled:
        """Take back what tasks cannot have stored. A task that changed no code may just have had no field to store."""
        sent = {f.name: ~f.missing[rows] for f in self.plan.fields}
        kept = np.any([np.zeros(len(rows), bool)] + [sent[name] for name in sent if name not in lost], axis=0)
        touched = np.any([present for name, present in sent.items() if name in lost], axis=0)
        told = touched & ((fates == Fate.APPLIED) | ~kept)
        discarded = {
            int(rows[i]): tuple(name for name in sent if name in lost and sent[name][i]) for i in np.flatnonzero(told)
        }
        after = np.where(kept, Fate.APPLIED, Fate.DISCARDED).astype(np.int8)
        return Settled(rows[told], after[told], None, discarded)

    # The end

    def leftovers(self) -> Iterator[Event]:
        """Say of everything that has no end yet what the evidence is."""
        if self._posting:
            self.late_until = self._too_late()
        for call in self._posting:
            yield Settled.alike(call.rows, Fate.UNKNOWN, call.number, "sent, and the job ended before the answer came")
        for _, _, call in self._ready:
            yield self._unsent(call, "")
        for watch in [*self._polling.values(), *(watch for _, _, watch in self._polls)]:
            word = watch.last.word if watch.last else "not asked yet"
            message = f"task {watch.task_id} was accepted ({word}); the job ended before it did"
            yield Settled.alike(self._calls[watch.call].rows, Fate.UNKNOWN, watch.call, message)

    def _unsent(self, call: Call, why: str) -> Settled:
        if call.maybe_applied:
            return Settled.alike(
                call.rows, Fate.UNKNOWN, call.number, why or "an earlier attempt may have been applied"
            )
        number = call.number if call.attempts or call.throttled else None
        return Settled.alike(call.rows, Fate.CANCELLED, number, why or "the job ended before this was sent")

    def _state(self) -> str:
        if self._error is not None:
            return "suspended"
        return "cancelled" if self._stop_at is not None else "complete"

    def _too_late(self) -> float:
        """Give the moment from which a call that was lost until now can no longer take effect."""
        return self.transport.now() + contract.GATEWAY_TIMEOUT_S / self.limits.speed

    def _attempted(
        self, call: Call, reply: Reply, outcome: Outcome, status: int | None, *, final: bool = True,
        codes: int | None = None, task_id: str | None = None,
    ) -> Attempted:  # fmt: skip
        assert isinstance(reply.work, Post)  # noqa: S101 - told apart by the caller
        seconds = reply.seconds * self.limits.speed  # of the service's clock
        message = "" if reply.error is None else str(reply.error)
        if call.mode is Mode.SYNC and (codes is not None or status == 504):
            self._size.learn(call.rows, codes, seconds, status == 504)
        return Attempted(
            call.number, call.mode, call.rows, call.attempts + call.throttled, outcome, status, seconds,
            len(reply.work.body), codes, task_id, message, final, call.parent,
        )  # fmt: skip


class UploadJob:
    """An upload, under way or ended. Made by `upload`.

    Attributes
    ----------
    id : str
    plan : Plan
    """

    def __init__(
        self, plan: Plan, client: Client, verify: bool = False, record: Record | None = None, start: Start | None = None
    ) -> None:
        self.id = _new_id() if record is None else record.job
        self.plan = plan
        self.started_at = datetime.now(UTC)
        self._record = record
        self._journal = None if record is None else record.journal.path
        per_second = client.limits.updates_per_second
        self._turns = None if record is None else record.journal.turnstile(client.base_url, per_second)
        self._client, self._verify_at_end = client, verify
        self._ledger = Ledger(plan)
        self._listeners: list[Listener] = [self._ledger]
        self._differences: pd.DataFrame | None = None
        self._unproven: Exception | None = None
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._transport = Threads(client, plan.workers + POLLS_AT_ONCE)
        self._claim = Claim(
            {k.name: frozenset(k.take(plan.order)) for k in plan.keys}, frozenset(f.name for f in plan.fields)
        )
        self._engine = Engine(plan, self._transport, client.limits, self._defined_fields, self._held_until, start=start)
        self._thread = threading.Thread(target=self._run, name=f"scmkit-{self.id}", daemon=True)

    @property
    def state(self) -> str:
        """``running``, ``complete``, ``cancelled`` or ``suspended`` (stopped by an error, see ``error``)."""
        return self._ledger.state

    @property
    def error(self) -> Exception | None:
        """What stopped the job early, if anything did."""
        return self._ledger.error

    @property
    def ok(self) -> bool:
        """Whether the job is complete and every row was applied with all its fields."""
        different = self._differences is not None and len(self._differences) > 0
        proven = not different and self._unproven is None
        return self.done() and self.state == "complete" and self._ledger.whole and proven

    @property
    def rows(self) -> pd.DataFrame:
        """A line per row of the table, under its label: what became of it.

        Columns: ``row`` (position), the key, ``state``, ``call``, ``task_id``, ``discarded_fields`` (a tuple of
        names), ``message``. While the job runs, a row may be ``pending``.
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

    def counts(self) -> dict[str, int]:
        """Count the rows in each state."""
        return self._ledger.counts()

    def done(self) -> bool:
        """Whether the job has ended."""
        return self._ended.is_set()

    def result(self, timeout: float | None = None) -> UploadJob:
        """Wait for the end and give the job itself.

        Raises
        ------
        TimeoutError
            The job is still running after ``timeout`` seconds; it goes on.
        ScmkitError
            The job was stopped before anything was applied: a wrong token, an unreachable server.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"the upload is still running after {timeout:g} s: {self.summary()}")
        if self._failure is not None:
            raise self._failure
        if self.error is not None and not self._ledger.positions(Fate.APPLIED, Fate.UNVERIFIED, Fate.UNKNOWN).size:
            raise self.error
        return self

    def cancel(self, grace_s: float = GRACE_S) -> None:
        """Send nothing more; calls under way get ``grace_s`` seconds. Rows never sent end as ``cancelled``."""
        self._engine.cancel(grace_s)

    def verify(self, **filters: Any) -> pd.DataFrame:
        """Read the codes back and compare them, field by field, with what was sent.

        Without filters it settles rows that were ``unverified`` or ``unknown`` where all codes now hold what was sent
        (``applied``), and rows whose key no code carries (``unmatched``).

        Parameters
        ----------
        **filters
            For `Client.download_codes`, such as ``campaign``; by default the codes updated since the job began.

        Returns
        -------
        DataFrame
            A line per difference: ``row``, ``extended_id``, ``field``, ``sent``, ``found``; empty when all is well.
        """
        if not self.done() and threading.current_thread() is not self._thread:
            raise PlanError(f"the upload is still running: {self.summary()}; call result() first")
        open_rows = self._ledger.positions(Fate.UNVERIFIED, Fate.UNKNOWN)
        rows = self._ledger.positions(Fate.APPLIED, Fate.UNVERIFIED, Fate.UNKNOWN)
        # Codes that were not updated lately tell about open rows, and about keys that are absent: then look at all.
        found = self._compare(rows, filters or ({} if len(open_rows) else self._since_start()))
        if not filters and not len(open_rows) and len(found.absent):
            found = self._compare(rows, {})
        if not filters:  # a filter of the caller's may hide codes that a row selects
            with self._written_down():
                equal = np.intersect1d(open_rows, found.equal)
                self._hear(Settled.alike(equal, Fate.APPLIED, message="read back"))
                self._hear(Settled.alike(found.absent, Fate.UNMATCHED, message="read back: no such code"))
        self._differences, self._unproven = found.differences, None
        return found.differences

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a self-contained HTML report: summary, calls, tasks, and the rows that were not applied."""
        from pathlib import Path

        Path(path).write_text(display.page(f"Upload {self.id}", self._html(most=500)), encoding="utf-8")

    def subscribe(self, listener: Listener) -> None:
        """Tell somebody about every event from now on; see `scmkit.events`."""
        self._listeners.append(listener)

    def summary(self) -> str:
        """Say in a line how far it is, and what became of the rows."""
        counts = ", ".join(f"{n:,} {word}" for word, n in self.counts().items())
        calls = self.calls
        tasks = int(calls["task_id"].notna().sum())
        error = f"; stopped by: {self.error}" if self.error else ""
        error += f"; not read back: {self._unproven}" if self._unproven else ""
        made = f"{plural(len(calls), 'call')}, {plural(tasks, 'task')}"
        return f"{self.state}: {counts or 'no rows'}; {made}{error}"

    def __repr__(self) -> str:
        return f"<UploadJob {self.id} {self.summary()}>"

    def _repr_html_(self) -> str:
        return self._html(most=10)

    def _html(self, most: int) -> str:
        bad = not_wholly_applied(self.rows)
        parts = [display.table(self.calls, max_rows=most, caption="calls")]
        if len(bad):
            parts.insert(0, display.table(bad, max_rows=most, caption="rows that were not wholly applied"))
        if self._differences is not None and len(self._differences):
            parts.append(display.table(self._differences, max_rows=most, caption="differences found by the read-back"))
        facts = {"result": self.summary(), "ok": self.ok}
        if self._differences is not None:
            facts["read back"] = plural(len(self._differences), "difference")
        return display.card(f"Upload {self.id}", facts, *parts)

    def _start(self) -> UploadJob:
        self._client.claims.enter(self._claim)
        self._thread.start()
        return self

    def _verify_or_say_why(self) -> None:
        """A read-back that fails takes nothing back from what was uploaded; the summary says why it is not proven."""
        try:
            self.verify()
        except (ScmkitError, OSError) as error:
            self._unproven = error

    def _run(self) -> None:
        try:
            for event in self._engine.run():
                self._hear(event)
            if self._verify_at_end and self.state == "complete":
                self._verify_or_say_why()
        except BaseException as failure:  # noqa: BLE001 - shown by result(), in the caller's thread
            self._failure = failure
            if self._ledger.state == "running":
                self._break_off(failure)
        finally:
            self._client.claims.leave(self._claim, self._engine.late_until)
            self._transport.close()
            self._close_record()
            self._ended.set()

    def _hear(self, event: Event) -> None:
        """Write an event down, then tell everybody."""
        try:
            if self._record is not None:
                self._record(event)
                if isinstance(event, Sending) and self._turns is not None:
                    self._turns.wait()
        except OSError as error:  # a disk that is full, a journal that is locked
            self._close_record()
            self._engine.halt(error)
        for listener in self._listeners:
            listener(event)

    def _close_record(self) -> None:
        record, self._record = self._record, None
        if record is not None:
            record.close()

    @contextmanager
    def _written_down(self) -> Iterator[None]:
        """Open the journal again for what is learnt after the end."""
        if self.done() and self._journal is not None:
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
        pending = self._ledger.positions(Fate.PENDING)
        self._ledger(Settled.alike(pending, Fate.UNKNOWN, message=f"the job broke off: {failure}"))
        self._ledger.state = "suspended"

    def _held_until(self, now: float) -> float:
        return self._client.claims.held_until(self._claim, now)

    def _compare(self, rows: Ints, filters: dict[str, Any]) -> Any:
        path = self._client.download_codes(**filters)
        try:
            return compare(self.plan, rows, path)
        finally:
            path.unlink()

    def _since_start(self) -> dict[str, str]:
        # Whole days, a day more at both ends: how the service reads times, and what its clock says, is not documented.
        day = timedelta(days=1)
        return {"updated_at": f"{self.started_at - day:%Y-%m-%d},{datetime.now(UTC) + day:%Y-%m-%d}"}

    def _defined_fields(self, row: int) -> frozenset[str] | None:
        """Read the fields of a campaign from the header of a download of one row's codes."""
        at = np.array([row])
        names = {k.name: k.take(at)[0] for k in self.plan.keys}
        plain = ("extended_id", "serial_number")
        filters = {name if name in plain else f"scm_{name}": value for name, value in names.items()}
        try:
            path = self._client.download_codes(**filters)
        except ScmkitError:
            return None
        try:
            return frozenset(str(c) for c in read_table(path).columns)
        except ScmkitError:
            return None
        finally:
            path.unlink()


@functools.wraps(planning.plan)
def plan(df: pd.DataFrame, *args: Any, **options: Any) -> Plan:
    """Plan, with what earlier calls to the present service taught; its documentation is that of `planning.plan`."""
    return make_plan(df, *args, service=current_service(), **options)


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
        gives back the job as it is. With False, the work goes on in the background.
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
    AuthenticationError, PermissionDeniedError, NotSentError, ConfigurationError
        When the job was stopped before anything was applied.
    """
    if not (client is None or isinstance(client, Client)):
        raise PlanError(f"client is a Client, not a {type(client).__name__} (did you mean key={client!r}?)")
    if isinstance(df, Plan):
        asked = {"key": key not in (contract.DEFAULT_KEY, *df.key, list(df.key)), "mode": mode not in ("auto", df.mode)}
        if wrong := sorted({*options, *(name for name, differs in asked.items() if differs)}):
            raise PlanError(f"{', '.join(wrong)}: no option here, since this plan is made already")
        made = df
    else:
        client = client or default_client()
        options.setdefault("assumptions", client.assumptions)
        made = make_plan(df, key, mode, errors=errors, service=client.base_url, journal=journal, **options)
    client = client or default_client()
    record = None
    if journal is not False:
        record = begin(_new_id(), made, client.base_url, None if journal is True else journal)
    job = UploadJob(made, client, verify, record)._start()
    return _wait(job, progress) if wait else job


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _wait(job: UploadJob, progress: bool) -> UploadJob:
    try:
        _watch_progress(job, progress)
        return job.result()
    except KeyboardInterrupt:
        job.cancel()
        try:
            job._ended.wait(GRACE_S + 1)
        except KeyboardInterrupt:
            job.cancel(grace_s=0.0)
            job._ended.wait(1.0)
            raise
        return job


def _watch_progress(job: UploadJob, show: bool) -> None:
    from tqdm.auto import tqdm

    total = len(job.plan.index)
    with tqdm(total=total, unit="row", desc="upload", disable=not show, mininterval=0.25) as bar:
        while not job._ended.wait(0.1):
            bar.n = job._ledger.told
            bar.refresh() if show and bar.n == 0 else bar.update(0)
        bar.n = job._ledger.told
        bar.set_postfix_str(", ".join(f"{n:,} {word}" for word, n in job.counts().items()), refresh=True)
