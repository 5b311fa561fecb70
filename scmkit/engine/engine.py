"""The engine: decides everything about an upload, and does nothing itself.

A generator of events over a transport that makes the exchanges: what to send next, what an answer means for each row,
when to wait, split, follow a task or stop. It knows no thread and no clock but the transport's, so that a test can play
any schedule of faults.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from scmkit.core import contract
from scmkit.core.arrays import Bools, Ints
from scmkit.core.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    NotSentError,
    PermissionDeniedError,
    RedirectError,
    ServiceError,
    UnsettledError,
)
from scmkit.core.events import Attempted, Ended, Event, Halved, Paused, PollFailed, Sending, Settled, TaskSeen
from scmkit.core.values import AsyncAnswer, Mode, Outcome, RowState, SyncAnswer, Task, in_doubt, timed_out
from scmkit.engine import evidence, tasks
from scmkit.engine import policy as policies
from scmkit.engine.call_size import CallSize
from scmkit.engine.evidence import FieldFacts, Verdict
from scmkit.engine.policy import NextStep
from scmkit.planning.plan import Plan
from scmkit.wire.limits import Limits
from scmkit.wire.pacing import Budget, Pace, probe_pause_s

GRACE_S = 5.0  # for calls under way when a job is cancelled
FAILURES_BEFORE_PROBE = 5  # in a row; then one call at a time until the service answers again
POLLS_AT_ONCE = 2
LOOKS = 3  # at the codes of rows, for what they show about fields; a row without codes shows little
# Of our clock: a service that has never answered is rather misspelt, or out of reach, than away for a moment.
UNREACHED_S = 10.0
LOOK_AGAIN_S = 0.5  # while an earlier job is in the way
# No question about any task will get another answer than these.
NO_USE_ASKING = (AuthenticationError, PermissionDeniedError, RedirectError, ConfigurationError)


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
    last_status: int | None = None  # with which the service ended it for good, in an earlier session


@dataclass(frozen=True, eq=False)
class EndedTask:
    """A task that has ended, and how many codes it changed for the rows of its call."""

    call: Call
    codes: int | None


@dataclass(frozen=True, eq=False)
class WorkLeft:
    """Where a job begins: with the calls of its plan, or with what an earlier session left.

    Parameters
    ----------
    calls : sequence of Call
        To be made.
    next_number : int
        For the next call that is not among them.
    tasks : dict of str to Call
        To be followed.
    ended_tasks : sequence of EndedTask
        Tasks that have ended, and of which too little is known to say what they did.
    facts : FieldFacts
        What answers said about fields.
    """

    calls: Sequence[Call]
    next_number: int
    tasks: Mapping[str, Call] = field(default_factory=dict)
    ended_tasks: Sequence[EndedTask] = ()
    facts: FieldFacts = evidence.NOTHING

    @classmethod
    def of(cls, plan: Plan) -> WorkLeft:
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

    followed: tasks.FollowedTask


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
        """Return the seconds of a clock that never goes back."""

    def start(self, work: Post | Poll) -> None:
        """Begin an exchange; its reply comes out of `wait`."""

    def wait(self, seconds: float | None) -> Reply | None:
        """Wait for the next reply, None when the time is up or somebody called `wake`."""

    def wake(self) -> None:
        """End a `wait` early, from any thread."""

    def close(self) -> None:
        """Let the workers go."""


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
        Asks the service for what it shows about fields at the codes of a row, given whether a call changed them.
    look : callable
        Asks the service what the codes of rows hold now: for each row how many were updated lately, whether all of
        these hold what was sent, and what is known about fields; None when it cannot say.
    held_until : callable
        Gives the moment from which no earlier job can put an older value over ours.
    random : callable
        Gives numbers between 0 and 1, for jitter.
    left : WorkLeft, optional
        By default all of the plan.
    """

    def __init__(
        self,
        plan: Plan,
        transport: Transport,
        limits: Limits,
        fields_of: Callable[[int, bool], FieldFacts] = lambda row, changed: evidence.NOTHING,
        look: Callable[[Ints], tuple[Ints, Bools, FieldFacts] | None] = lambda rows: None,
        held_until: Callable[[float], float] = lambda now: now,
        random: Callable[[], float] = random.random,
        left: WorkLeft | None = None,
    ) -> None:
        left = left or WorkLeft.of(plan)
        self.plan, self.transport, self.limits = plan, transport, limits
        self._fields_of, self._look, self._held_until, self._random = fields_of, look, held_until, random
        self._pace = Pace(limits.updates_per_second)
        self._poll_pace = Pace(contract.OTHER_CALLS_PER_MINUTE / 60 * limits.speed)
        self._numbers = itertools.count(left.next_number)
        self._sequence = itertools.count()
        self._ready: list[tuple[float, int, Call]] = []
        self._polls: list[tuple[float, int, tasks.FollowedTask]] = []
        self._calls: dict[int, Call] = {}
        self._posting: set[Call] = set()
        self._polling: dict[int, tasks.FollowedTask] = {}
        self._failures = 0
        self._budget = Budget()
        self._unreached_since: float | None = None  # the first attempt, until anything comes back
        self._reached = False
        self._slowed_at = float("-inf")
        self._size = CallSize(plan)
        self._ceiling = float("inf")  # bytes: a 413 was answered to a body of this size
        self._error: Exception | None = None
        self._given_up: Exception | None = None  # about some of the calls; the others go on
        self._stop_at: float | None = None
        self._cancel_by = float("inf")
        self._failed_polls = tasks.FailedPolls()  # about all tasks
        self._ended_tasks = list(left.ended_tasks)
        self._facts, self._asked = left.facts, False
        for call in left.calls:
            self._take_up(call)
        self._probing = plan.probes and any(call.number == 0 for _, _, call in self._ready)
        for task_id, call in left.tasks.items():
            self._calls[call.number] = call
            self._follow(tasks.FollowedTask.begin(task_id, call.number, transport.now(), limits.speed))

    def cancel(self, grace_s: float = GRACE_S) -> None:
        """Send nothing more; calls under way have this long to end. May be called from any thread."""
        self._cancel_by = min(self._cancel_by, self.transport.now() + grace_s)
        self.transport.wake()

    def past_grace(self) -> bool:
        """Whether the job was cancelled, and what was under way has had its time."""
        return self.transport.now() >= self._cancel_by

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
                self._note_contact(reply)
                yield from self._on_post(reply) if isinstance(reply.work, Post) else self._on_poll(reply)
        yield from self.leftovers()
        yield from self._look_again()
        if self._stop_at is None:
            self._error = self._given_up
        yield Ended(self._state(), self._error)

    # Feeding

    def _wait_for_earlier(self) -> Iterator[Event]:
        said = False
        while not self._over() and (until := self._held_until(self.transport.now())) > self.transport.now():
            if not said:
                yield Paused(0.0, "an earlier job may still change the same codes: waiting until it cannot")
            said = True
            self.transport.wait(min(until - self.transport.now(), LOOK_AGAIN_S))

    def _enqueue(self, call: Call, due: float) -> None:
        self._calls[call.number] = call
        heapq.heappush(self._ready, (due, next(self._sequence), call))

    def _take_up(self, call: Call) -> None:
        """Begin with a call, or with what has to take its place because the service had too much of it."""
        match policies.on_resuming(call.mode, len(call.rows), call.last_status):
            case NextStep.SPLIT:
                self._split(call, 0.0)
            case NextStep.GO_ASYNC:
                self._enqueue(self._child(call, Mode.ASYNC, call.rows, resent=call.resent), 0.0)
            case _:
                self._enqueue(call, 0.0)

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
        most = 1 if self._probing or self._failures >= FAILURES_BEFORE_PROBE else self.plan.workers
        return bool(self._ready) and self._stop_at is None and len(self._posting) < most

    def _may_poll(self) -> bool:
        return bool(self._polls) and self._stop_at is None and len(self._polling) < POLLS_AT_ONCE

    def _send_ready(self) -> Iterator[Event]:
        while self._room():
            now = self.transport.now()
            if max(self._ready[0][0], self._pace.ready_at) > now:
                return
            call = self._ready[0][2]
            body = self.plan.body(call.mode, call.rows)
            too_large = len(body) >= self._ceiling and len(call.rows) > 1
            slow = not too_large and call.mode is Mode.SYNC and self._size.should_halve(call.rows)
            if slow:
                self._size.note_halved()
                yield Halved(call.number)
            if too_large or slow:
                heapq.heappop(self._ready)
                self._split(call, now)
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
        while self._may_poll():
            now = self.transport.now()
            if max(self._polls[0][0], self._poll_pace.ready_at) > now:
                return
            followed = heapq.heappop(self._polls)[2]
            self._polling[followed.call] = followed
            self._poll_pace.take(now)
            self.transport.start(Poll(followed))

    def _idle_s(self) -> float | None:
        """Seconds until there is something to do without a reply; None when only a reply can bring it."""
        times = []
        if self._room():
            times.append(max(self._ready[0][0], self._pace.ready_at))
        if self._may_poll():
            times.append(max(self._polls[0][0], self._poll_pace.ready_at))
        if self._stop_at is not None:
            times.append(self._stop_at)
        return max(0.0, min(times) - self.transport.now()) if times else None

    # Answers to calls

    def _note_contact(self, reply: Reply) -> None:
        self._reached = self._reached or not isinstance(reply.error, NotSentError)
        if self._unreached_since is None:
            self._unreached_since = self.transport.now() - reply.seconds

    def _out_of_reach(self, error: Exception | None, again_at: float) -> NotSentError | None:
        """Say that the service cannot be reached, where nothing ever came back and trying again would take too long."""
        assert self._unreached_since is not None  # noqa: S101 - something was tried
        if self._reached or again_at - self._unreached_since <= UNREACHED_S:
            return None
        return NotSentError(f"{error}. Nothing was sent: check the address and the network, then resume the job")

    def _on_post(self, reply: Reply) -> Iterator[Event]:
        assert isinstance(reply.work, Post)  # noqa: S101 - the caller has looked
        call, answer = reply.work.call, reply.answer
        if call not in self._posting:
            return
        self._posting.discard(call)
        self._probing = False
        if reply.error is not None:
            yield from self._on_failure(call, reply)
            return
        self._failures = 0
        self._budget.earn()
        self._pace.recover()
        if isinstance(answer, AsyncAnswer):
            yield self._attempted(call, reply, Outcome.APPLIED, 200, task_id=answer.task_id)
            self._follow(tasks.FollowedTask.begin(answer.task_id, call.number, self.transport.now(), self.limits.speed))
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
        if decision.do is NextStep.RETRY and not throttled and not self._budget.spend():
            decision = replace(decision, do=NextStep.STOP)
        infrastructure = decision.outcome in (Outcome.NOT_SENT, Outcome.UNKNOWN)
        self._failures = self._failures + 1 if infrastructure else 0
        status = error.status if isinstance(error, ServiceError) else None
        call.maybe_applied = call.maybe_applied or in_doubt(decision.outcome, status)
        yield self._attempted(call, reply, decision.outcome, status, final=decision.do is not NextStep.RETRY)
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
        again_at = max(now + decision.wait_s, self._pace.ready_at) if decision.do is NextStep.RETRY else float("inf")
        if (unreached := self._out_of_reach(error, again_at)) is not None:
            decision, error = replace(decision, do=NextStep.STOP), unreached
        yield from self._carry_out(decision, call, error, now)

    def _carry_out(self, decision: policies.Decision, call: Call, error: Exception, now: float) -> Iterator[Event]:
        match decision.do:
            case NextStep.RETRY:
                self._enqueue(call, now + decision.wait_s)
            case NextStep.SPLIT:
                self._split(call, now)
            case NextStep.GO_ASYNC:
                self._enqueue(self._child(call, Mode.ASYNC, call.rows), now)
            case NextStep.REJECT:
                yield from self._reject(call, decision.named, str(error))
            case NextStep.GIVE_UP if decision.outcome is Outcome.NOT_SENT:
                yield from self._stop(call, error)
            case NextStep.GIVE_UP:
                self._given_up = self._given_up or error
                row_state = evidence.of_no_answer(maybe_applied=call.maybe_applied)
                yield Settled.alike(call.rows, row_state, call.number, f"given up: {error}")
            case NextStep.STOP:
                yield from self._stop(call, error)

    def _split(self, call: Call, due: float) -> None:
        for half in np.array_split(call.rows, 2):
            self._enqueue(self._child(call, call.mode, half, resent=call.resent), due)

    def _reject(self, call: Call, named: Sequence[int], why: str) -> Iterator[Event]:
        at_fault = call.rows[list(named)] if named else call.rows
        why += "; an earlier attempt may have been applied" if call.maybe_applied else ""
        yield Settled.alike(at_fault, RowState.REJECTED, call.number, why)
        rest = np.delete(call.rows, list(named)) if named else call.rows[:0]
        if len(rest):
            self._enqueue(self._child(call, call.mode, rest, resent=call.resent), self.transport.now())

    def _stop(self, call: Call, error: Exception) -> Iterator[Event]:
        """Stop feeding; calls under way may still end well. What was not sent stays unsent."""
        self.halt(error)
        yield self._unsent(call, str(error))

    def _read_items(self, call: Call, answer: SyncAnswer) -> Settled:
        """Read each row's row_state from the fields that the answer lists for its key."""
        keys = self.plan.keys[0].take(call.rows).tolist()
        listed = [answer.items.get(key) for key in keys]
        sent = self.plan.sent(call.rows)
        verdict = evidence.of_answer(
            listed, sent, moved=self._may_have_moved(call),
            missing_is_discarded=self.plan.assumptions.missing_field_is_discarded,
            whole=answer.items.keys() <= set(keys) and bool(answer.items or not answer.codes_affected),
        )  # fmt: skip
        self._facts |= evidence.of_stored(verdict.row_states, sent, verdict.lost)
        return self._settled(call.rows, verdict, call.number)

    def _settled(self, rows: Ints, verdict: Verdict, call: int | None) -> Settled:
        lost = {int(rows[i]): names for i, names in verdict.lost.items()}
        return Settled(rows, verdict.row_states, call, lost, verdict.why)

    def _may_have_moved(self, call: Call) -> bool:
        """Whether an earlier attempt may have taken codes to another campaign, where this key does not find them."""
        return call.maybe_applied and self.plan.moves_codes

    # Tasks

    def _follow(self, followed: tasks.FollowedTask) -> None:
        heapq.heappush(self._polls, (followed.due, next(self._sequence), followed))

    def _on_poll(self, reply: Reply) -> Iterator[Event]:
        assert isinstance(reply.work, Poll)  # noqa: S101 - the caller has looked
        followed, now, speed = reply.work.followed, self.transport.now(), self.limits.speed
        self._polling.pop(followed.call, None)
        if isinstance(reply.error, NO_USE_ASKING):
            self._follow(followed)
            self.halt(reply.error)
            yield Paused(0.0, str(reply.error))
            return
        task = reply.answer if isinstance(reply.answer, Task) else None
        before, wait_s = followed, getattr(reply.error, "retry_after_s", None) or 0.0
        followed = before.asked(now, task, speed, wait_s, reply.error)
        if (unreached := self._out_of_reach(reply.error, max(followed.due, self._poll_pace.ready_at))) is not None:
            self.halt(unreached)
        if task is not None and (before.last != task or before.failed.why):
            yield TaskSeen(task, followed.call)
        elif followed.failed.why != before.failed.why:
            yield PollFailed(followed.task_id, followed.call, followed.failed.why)
        self._failed_polls = self._failed_polls.after(now, reply.error)
        if (why := self._failed_polls.too_long(now, speed)) is not None:  # more tasks could not be followed, either
            self.halt(UnsettledError(f"tasks were accepted, and {why}"))
        if task is not None and task.finished:
            yield from self._on_task_end(self._calls[followed.call], task)
        elif (why := followed.lost(now, speed)) is not None:
            self._given_up = self._given_up or UnsettledError(why)
            yield Settled.alike(self._calls[followed.call].rows, RowState.UNKNOWN, followed.call, why)
        else:
            if reply.error is not None and not isinstance(reply.error, NotFoundError):
                self._poll_pace.pause(now, 1.0 / speed)
            self._follow(followed)

    def _on_task_end(self, call: Call, task: Task) -> Iterator[Event]:
        if task.state is contract.TaskState.COMPLETE:
            yield self._read_count(call, task)
            return
        call.maybe_applied = True
        match policies.on_failed_task(len(call.rows), resent=call.resent):
            case NextStep.SPLIT:
                self._split(call, self.transport.now())
            case NextStep.RETRY:
                self._enqueue(self._child(call, Mode.ASYNC, call.rows, resent=True), self.transport.now())
            case _:
                why = policies.failed_alone(task.id, unique=self.plan.unique_key)
                yield Settled.alike(call.rows, RowState.REJECTED, call.number, why)

    def _read_count(self, call: Call, task: Task) -> Settled:
        """Read the rows' row_states from the only thing that a task says: how many codes it changed."""
        ended = EndedTask(call, task.codes_affected)
        by_count = self._by_count(ended)
        applied = call.rows[by_count.row_states == RowState.APPLIED]
        if len(applied) and not self._asked:  # one task is enough to know the fields, and rows need not wait for it
            self._ask_for_fields(applied, changed=True, looks=1)
            self._asked = True
        verdict = self._by_fields(call.rows, by_count)
        if (verdict.row_states == RowState.UNVERIFIED).any():
            self._ended_tasks.append(ended)
        return self._settled(call.rows, verdict, call.number)

    def _by_count(self, ended: EndedTask) -> Verdict:
        return evidence.of_count(
            ended.codes, len(ended.call.rows), unique=self.plan.unique_key, moved=self._may_have_moved(ended.call)
        )

    def _by_fields(self, rows: Ints, by_count: Verdict) -> Verdict:
        verdict = evidence.of_fields(by_count.row_states, self.plan.sent(rows), self._facts)
        return replace(verdict, why=by_count.why or verdict.why)

    def _ask_for_fields(self, rows: Ints, *, changed: bool, looks: int) -> None:
        """Look at the codes of a few rows, until all is known about their fields, or the job is to end."""
        sent = self.plan.sent(rows)
        for _ in range(looks):
            known = self._facts | evidence.SPECIAL
            open_ = [has for name, has in sent.items() if name not in known.seen | known.missed and has.any()]
            if not open_ or self._stop_at is not None:
                return
            at = int(np.argmax(np.sum(open_, axis=0)))
            self._facts |= self._fields_of(int(rows[at]), changed)
            for has in sent.values():
                has[at] = False

    def _look_again(self) -> Iterator[Event]:
        """Settle at the end what the counts of tasks left open, with what is known by then."""
        by_codes = self._by_codes([c for c in self._ended_tasks if c.codes and len(c.call.rows) > 1])
        verdicts = [(c, by_codes.get(c.call.number) or self._by_count(c)) for c in self._ended_tasks]
        for row_state in (RowState.APPLIED, RowState.UNMATCHED):
            rows = np.concatenate(
                [self.plan.order[:0], *(c.call.rows[by.row_states == row_state] for c, by in verdicts)]
            )
            if len(rows):
                self._ask_for_fields(rows, changed=row_state is RowState.APPLIED, looks=LOOKS)
        for ended, by_count in verdicts:
            verdict = self._by_fields(ended.call.rows, by_count)
            if (verdict.row_states != RowState.UNVERIFIED).any():
                yield self._settled(ended.call.rows, verdict, ended.call.number)

    def _by_codes(self, shared: Sequence[EndedTask]) -> dict[int, Verdict]:
        """Tell the keys of tasks apart by looking at the codes: where there is an inventory, most of them have some."""
        if not shared or not self.plan.exact or self._stop_at is not None:
            return {}
        rows = np.unique(np.concatenate([ended.call.rows for ended in shared]))
        seen = self._look(rows)
        if seen is None:
            return {}
        codes, equal, facts = seen
        self._facts |= facts
        at = {ended.call.number: np.searchsorted(rows, ended.call.rows) for ended in shared}
        return {
            c.call.number: evidence.of_codes_seen(c.codes or 0, codes[at[c.call.number]], equal[at[c.call.number]])
            for c in shared
        }

    # The end

    def leftovers(self) -> Iterator[Event]:
        """Say of everything that has no end yet what the evidence is."""
        for call in self._posting:
            yield Settled.alike(
                call.rows, RowState.UNKNOWN, call.number, "sent, and the job ended before the answer came"
            )
        for _, _, call in self._ready:
            yield self._unsent(call, "")
        for followed in [*self._polling.values(), *(followed for _, _, followed in self._polls)]:
            word = followed.failed.why or (followed.last.word if followed.last else "not asked yet")
            message = f"task {followed.task_id} was accepted ({word}); the job ended before it did"
            yield Settled.alike(self._calls[followed.call].rows, RowState.UNKNOWN, followed.call, message)

    def _unsent(self, call: Call, why: str) -> Settled:
        maybe = call.maybe_applied
        otherwise = "an earlier attempt may have been applied" if maybe else "the job ended before this was sent"
        number = call.number if maybe or call.attempts or call.throttled else None
        return Settled.alike(call.rows, evidence.of_no_answer(maybe_applied=maybe), number, why or otherwise)

    def _state(self) -> str:
        if self._error is not None:
            return "suspended"
        return "cancelled" if self._stop_at is not None else "complete"

    def _attempted(
        self, call: Call, reply: Reply, outcome: Outcome, status: int | None, *, final: bool = True,
        codes: int | None = None, task_id: str | None = None,
    ) -> Attempted:  # fmt: skip
        assert isinstance(reply.work, Post)  # noqa: S101 - the caller has looked
        seconds = _service_s(reply, self.limits.speed)
        message = "" if reply.error is None else str(reply.error)
        if codes is not None or timed_out(call.mode, status):
            self._size.learn(call.rows, codes, seconds, timed_out(call.mode, status))
        return Attempted(
            call.number, call.mode, call.rows, call.attempts + call.throttled, outcome, status, seconds,
            len(reply.work.body), codes, task_id, message, final, call.parent,
        )  # fmt: skip


def _service_s(reply: Reply, speed: float) -> float:
    """Say how long an exchange took on the service's clock; our own delays count once, however fast that clock runs."""
    told_s = getattr(reply.answer or reply.error, "server_s", None)
    if told_s is None or speed == 1:
        return reply.seconds * speed
    return float(told_s + max(0.0, reply.seconds - told_s / speed))
