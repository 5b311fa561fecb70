"""The real engine on a virtual clock, with faults drawn by Hypothesis: no row is ever lost or lied about."""

import random
from collections import Counter
from functools import cache
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from fake_service import FAULTS, FIELDS, LEAST_PAUSE_S, RARELY, Service
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scmkit
from scmkit.core import errors
from scmkit.core.contract import GATEWAY_TIMEOUT_S, Assumptions
from scmkit.core.events import Attempted, Ended, Event, Settled
from scmkit.core.values import Mode, RowState, Task
from scmkit.engine import engine as engines
from scmkit.engine.engine import Call, Engine, Poll, Post, Reply, WorkLeft
from scmkit.engine.evidence import FieldFacts
from scmkit.engine.policy import ATTEMPTS
from scmkit.engine.tasks import LATE_S, FollowedTask
from scmkit.journal.journal import Journal
from scmkit.journal.memory import MemoryJournal
from scmkit.journal.stored_plans import begin
from scmkit.planning.plan import Plan
from scmkit.uploading.conflicts import TRAVEL_S, EarlierJobs, claim_of
from scmkit.wire import turns

URL = "https://api.example.com"


@st.composite
def schedules(draw: st.DrawFn) -> dict:
    """A table, and everything that will go wrong with it."""
    rows = draw(st.sampled_from([1, 2, 3, 5, 9, 17, 28, 40]))
    faults = draw(st.lists(st.sampled_from([f for f in FAULTS if f not in RARELY]), min_size=1, max_size=6))
    return {
        "rows": rows,
        "alike": draw(st.booleans()),
        "absent": draw(st.sets(st.integers(0, rows - 1), max_size=3)),
        "mode": draw(st.sampled_from(["sync", "async", "auto"])),
        "workers": draw(st.sampled_from([1, 2, 3, 8])),
        "most_bytes": draw(st.sampled_from([300, 1000, 1_000_000])),
        "faults": ["answered", *faults, *draw(st.sampled_from([(), (), (), RARELY]))],
        "task_limit": draw(st.sampled_from([10**6, 10**6, 1, 4])),
        "calm_after": draw(st.sampled_from([0, 5, 30, 10_000])),
        "cancel_after": draw(st.sampled_from([None, None, None, 0.0, 0.3, 5.0, 100.0])),
        "seed": draw(st.integers(0, 2**16)),
    }


def make_plan(case: dict, year: int) -> tuple[Plan, set[str]]:
    plan = _plan(*(case[name] for name in ("rows", "alike", "mode", "workers", "most_bytes")), year)
    return plan, {f"Code_{i:05d}-" for i in range(case["rows"]) if i not in case["absent"]}


@cache
def _plan(rows: int, alike: bool, mode: str, workers: int, most_bytes: int, year: int) -> Plan:
    """Plan once for all schedules of a table: what goes wrong with it is not the plan's concern."""
    df = pd.DataFrame(
        {
            "extended_id": [f"Code_{i:05d}-" for i in range(rows)],
            "wine_name": ["same" if alike else f"wine {i}" for i in range(rows)],
            "vintage_year": [str(year)] * rows,
        }
    )
    service = scmkit.ServiceTime.documented()
    assumptions = Assumptions(max_body_bytes=most_bytes)
    return scmkit.plan(df, mode=mode, workers=workers, service_time=service, assumptions=assumptions)


def play(case: dict, book: Journal | None = None) -> tuple[Plan, Service, list[Event]]:
    """Run one schedule to its end, and write it down if there is a journal."""
    plan, codes = make_plan(case, 1990)
    chance = random.Random(case["seed"])
    service = Service(codes, chance, case["faults"], case["calm_after"])
    service.task_limit = case.get("task_limit", service.task_limit)
    facts = FieldFacts(frozenset(FIELDS))
    engine = Engine(plan, service, scmkit.Limits(), lambda row, changed: facts, random=chance.random)
    if case["cancel_after"] is not None:
        service.at.append((service.clock + case["cancel_after"], engine.cancel))
    record = begin("older", plan, URL, book, lambda _: None) if book else None
    events = []
    with mock.patch.object(turns, "clock_s", service.now):
        for event in engine.run():
            events.append(event)
            if record:
                record(event)
    if record:
        record.close()
    return plan, service, events


def check(plan: Plan, service: Service, events: list[Event]) -> None:
    """Compare what the events claim with what the service did."""
    ends = Counter(
        row
        for e in events
        if isinstance(e, Settled)
        for row, row_state in zip(e.rows.tolist(), e.row_states.tolist(), strict=True)
        if row_state != RowState.UNVERIFIED or e is _last(events, row)  # what is not proven yet may be at the end
    )
    assert ends == Counter(plan.order.tolist()), "each row has exactly one end"
    assert isinstance(events[-1], Ended)
    assert sum(isinstance(e, Attempted) for e in events) <= len(service.sent)
    held = service.held()
    for settled in (e for e in events if isinstance(e, Settled)):
        for row, row_state in zip(settled.rows.tolist(), settled.row_states.tolist(), strict=True):
            _check_claim(plan, service, held, row, RowState(row_state))
    times = np.array(service.sent)
    assert all(np.searchsorted(times, times + 1.0, side="left") - np.arange(len(times)) <= 10)
    for told in service.throttled_at:
        assert not any(told < sent < told + LEAST_PAUSE_S for sent in service.sent), "sent during a pause"


def _last(events: list[Event], row: int) -> Settled:
    return next(e for e in reversed(events) if isinstance(e, Settled) and row in e.rows)


def _check_claim(plan: Plan, service: Service, held: dict, row: int, row_state: RowState) -> None:
    key = plan.keys[0].take(np.array([row]))[0]
    values = {f.name: f.take(np.array([row]))[0] for f in plan.fields}
    told = {name for keys, name in service.told if key in keys}
    if row_state is RowState.APPLIED:
        assert held.get(key) == values
    elif row_state is RowState.UNMATCHED:
        assert key not in service.codes
    elif row_state is RowState.CANCELLED:
        assert key not in held
        assert told <= {"refused", "throttled", "expired", "bad request", "too large"}
    elif row_state is RowState.REJECTED:
        assert told & {"bad request", "too large"} or any(
            kind.startswith("failed") for kind, *_ in service.tasks.values()
        )
    else:
        assert row_state in (RowState.UNKNOWN, RowState.UNVERIFIED)
        assert told


quick = settings(max_examples=300, deadline=None, derandomize=True, database=None)
thorough = settings(quick, max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(schedules())
def test_no_schedule_loses_a_row_or_lies_about_one(case: dict) -> None:
    """Every row has exactly one end, which is what the service did; no second has more than ten updates."""
    check(*play(case))


@pytest.mark.parametrize("task_limit", [1, 3, 40])
def test_tasks_that_are_too_large_end_well(task_limit: int) -> None:
    """With nothing but a limit in the way all is applied, in no more tasks than halving takes (F61)."""
    case = {
        "rows": 40, "alike": True, "absent": set(), "mode": "async", "workers": 8, "most_bytes": 10**6,
        "calm_after": 0, "cancel_after": None, "faults": ["answered"], "seed": 1, "task_limit": task_limit,
    }  # fmt: skip
    plan, service, events = play(case)
    check(plan, service, events)
    assert events[-1].state == "complete"
    assert len(service.held()) == 40
    assert not any((e.row_states == RowState.REJECTED).any() for e in events if isinstance(e, Settled))
    assert len(service.sent) <= 4 * 40 / task_limit + 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@thorough
@given(schedules())
def test_ten_thousand_schedules(case: dict) -> None:
    """The same, for longer."""
    check(*play(case))


@settings(quick, max_examples=100)
@given(schedules())
def test_no_older_value_over_a_newer_one(case: dict) -> None:
    """A job that waits for an earlier one over the same codes has the last word, whatever was lost on the way."""
    check_last_word(case)


def check_last_word(case: dict) -> None:
    """Play a job over the codes of another that has just ended."""
    book = MemoryJournal()
    _, service, _ = play(case, book)
    service.calm_after, begun = 0, service.clock
    later, _ = make_plan(case | {"mode": "sync"}, 2010)
    fence = EarlierJobs(book, claim_of(later), URL, 1.0, lambda task: ask(service, task))

    def held_until(now: float) -> float:
        if now > begun + LATE_S[Mode.ASYNC]:  # by then, every task has come to an end
            service.tasks = {name: task for name, task in service.tasks.items() if task[0] != "pending"}
        try:
            return now + fence.held_s()
        except errors.UnsettledError:  # somebody is told so, and tries again later
            return now + 60.0

    longer = mock.patch.object(engines, "LOOK_AGAIN_S", 10.0)  # fewer steps
    with longer, mock.patch.object(turns, "clock_s", service.now):
        second = list(Engine(later, service, scmkit.Limits(), held_until=held_until, random=lambda: 0.5).run())
    assert isinstance(second[-1], Ended)
    assert service.clock - begun <= LATE_S[Mode.ASYNC] + TRAVEL_S + 120.0 + GATEWAY_TIMEOUT_S + case["rows"] * 41
    assert all(values["vintage_year"] == "2010" for values in service.held().values())


def ask(service: Service, task: str) -> Task:
    """Ask for a task, as a client does."""
    if task not in service.tasks:
        raise errors.NotFoundError(404)
    reply = service.answer(Poll(FollowedTask.begin(task, 0, service.clock)))
    if reply.error is not None:
        raise reply.error
    return reply.answer


def test_an_outage_suspends_the_job() -> None:
    """When the job's repeats are used up it stops, after probing one call at a time, and most rows were never sent."""
    case = {"rows": 400, "alike": False, "absent": set(), "mode": "sync", "workers": 8, "most_bytes": 300}
    plan, service, events = play(
        case | {"faults": ["unavailable"], "calm_after": 10**6, "cancel_after": None, "seed": 1}
    )
    check(plan, service, events)
    assert events[-1].state == "suspended"
    assert isinstance(events[-1].error, errors.UnavailableError)
    assert len(service.sent) < 150
    assert np.diff(service.sent)[-10:].min() >= 15.0


def test_a_storm_of_429_uses_up_no_attempt() -> None:
    """A call that is throttled more often than a call may fail is applied in the end."""
    case = {"rows": 9, "alike": False, "absent": set(), "mode": "sync", "workers": 1, "most_bytes": 1_000_000}
    plan, service, events = play(
        case | {"faults": ["throttled"], "calm_after": ATTEMPTS + 4, "cancel_after": None, "seed": 1}
    )
    check(plan, service, events)
    assert events[-1].state == "complete"
    assert len(service.sent) == ATTEMPTS + 5


def test_clocks_that_jump_change_no_pace() -> None:
    """A machine that slept for an hour does not make up for it."""
    case = {"rows": 300, "alike": False, "absent": set(), "mode": "sync", "workers": 8, "most_bytes": 300}
    plan, codes = make_plan(case, 1990)
    service = Service(codes, random.Random(1), ["answered"], 0)

    def sleep() -> None:
        service.clock += 3600.0

    service.at = [(1002.0, sleep), (4610.0, sleep)]
    events = list(Engine(plan, service, scmkit.Limits(), random=lambda: 0.5).run())
    check(plan, service, events)
    assert service.clock > 1000.0 + 7200.0


class Down(Service):
    """A service that cannot be reached, between two moments of the job."""

    def __init__(self, seconds: float, since: float, until: float, codes: set[str]) -> None:
        super().__init__(codes, random.Random(1), ["answered"], 0)
        self.seconds, self.since, self.until = seconds, self.clock + since, self.clock + until

    def answer(self, work: Post | Poll) -> Reply:
        if not self.since <= self.clock < self.until:
            return super().answer(work)
        self.sent.append(self.clock)
        return Reply(work, None, errors.NotSentError("cannot reach the service: Connection refused"), self.seconds)


def upload_to(service: Down, plan: Plan, *, left: WorkLeft | None = None) -> list[Event]:
    return list(Engine(plan, service, scmkit.Limits(), random=random.Random(1).random, left=left).run())


SMALL_CALLS = {"rows": 40, "alike": False, "absent": set(), "mode": "sync", "most_bytes": 300}


@pytest.mark.parametrize("seconds", [0.001, 5.0])
@pytest.mark.parametrize("workers", [1, 8])
def test_a_service_that_was_never_reached_ends_the_job_soon(seconds: float, workers: int) -> None:
    """Refused or silent from the start on: one sentence within 15 s, and nothing counts as sent (F59)."""
    plan, codes = make_plan(SMALL_CALLS | {"workers": workers}, 1990)
    service = Down(seconds, 0.0, float("inf"), codes)
    *events, end = upload_to(service, plan)
    assert service.clock - 1000.0 <= 15.0
    assert isinstance(end, Ended)
    assert (end.state, type(end.error)) == ("suspended", errors.NotSentError)
    assert str(end.error) == (
        "cannot reach the service: Connection refused. Nothing was sent: check the address and the network, then "
        "resume the job"
    )
    assert {row_state for e in events if isinstance(e, Settled) for row_state in e.row_states} == {RowState.CANCELLED}


def test_tasks_of_a_service_that_was_never_reached() -> None:
    """A resume that only asks for tasks ends as soon, and the tasks can still be followed later (F59)."""
    plan, codes = make_plan(SMALL_CALLS | {"workers": 1, "mode": "async"}, 1990)
    service = Down(0.001, 0.0, float("inf"), codes)
    *events, end = upload_to(service, plan, left=WorkLeft([], 1, {"task-0": Call(0, Mode.ASYNC, plan.order)}))
    assert service.clock - 1000.0 <= 15.0
    assert isinstance(end, Ended)
    assert isinstance(end.error, errors.NotSentError)
    assert {row_state for e in events if isinstance(e, Settled) for row_state in e.row_states} == {RowState.UNKNOWN}


def test_a_service_that_has_answered_is_waited_for() -> None:
    """A minute without it, after the first answer, costs nothing but the minute."""
    plan, codes = make_plan(SMALL_CALLS | {"workers": 2}, 1990)
    service = Down(0.001, 0.5, 60.0, codes)
    *_, end = upload_to(service, plan)
    assert isinstance(end, Ended)
    assert end.state == "complete"
    assert service.clock > 1060.0
