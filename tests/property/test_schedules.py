"""The real engine on a virtual clock, with faults drawn by Hypothesis: whatever happens, no row is lost or lied about.

`Service` is a transport and the service behind it. It holds what was set, and when, so that each claim of the engine is
compared with what really happened. A call can take effect at once, late, or never, whatever its sender is told.
"""

import heapq
import itertools
import json
import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scmkit
from scmkit import errors
from scmkit.contract import GATEWAY_TIMEOUT_S, Assumptions, TaskState
from scmkit.engine import Engine, Poll, Post, Reply
from scmkit.events import Attempted, Ended, Event, Settled
from scmkit.models import AsyncAnswer, Fate, Mode, SyncAnswer, Task
from scmkit.pacing import Claim, Claims
from scmkit.planning import Plan

FIELDS = ("wine_name", "vintage_year")
# What becomes of an attempt: how long until the reply, whether and when the call takes effect, and what is told.
FAULTS = {
    "answered": None,
    "reset, applied": (0.0, errors.AnswerLostError("reset")),
    "reset, applied late": (50.0, errors.AnswerLostError("reset")),
    "reset, not applied": (None, errors.AnswerLostError("reset")),
    "refused": (None, errors.NotSentError("refused")),
    "gateway": (None, errors.GatewayTimeoutError(504)),
    "gateway, applied": (0.0, errors.GatewayTimeoutError(504)),
    "unavailable": (None, errors.UnavailableError(503)),
    "broken, applied": (0.0, errors.UnavailableError(500)),
    "throttled": (None, errors.ThrottledError(429)),
    "bad request": (None, errors.BadRequestError(400)),
    "too large": (None, errors.TooLargeError(413)),
    "expired": (None, errors.AuthenticationError(401)),
}
TASKS = ("complete", "complete", "failed", "failed half-way", "pending", "never found", "slow")
RARELY = ("expired",)


class Service:
    """A transport on a clock of its own, and the codes behind it."""

    def __init__(self, codes: set[str], draw: random.Random, faults: list[str], calm_after: int) -> None:
        self.codes, self.draw, self.faults, self.calm_after = codes, draw, faults, calm_after
        self.clock = 1000.0
        self.sent: list[float] = []
        self.told: list[tuple[set[str], str]] = []  # the keys of each attempt, and what became of it
        self.writes: list[tuple[float, str, dict[str, str]]] = []
        self.tasks: dict[str, tuple[str, float, int]] = {}
        self._replies: list[tuple[float, int, Reply]] = []
        self._numbers = itertools.count()
        self.at: list[tuple[float, object]] = []  # what somebody does at a moment

    def now(self) -> float:
        return self.clock

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass

    def start(self, work: Post | Poll) -> None:
        answer, error, seconds = self._post(work) if isinstance(work, Post) else self._poll(work)
        reply = Reply(work, None if error else answer, error, seconds)
        heapq.heappush(self._replies, (self.clock + seconds, next(self._numbers), reply))

    def wait(self, seconds: float | None) -> Reply | None:
        until = float("inf") if seconds is None else self.clock + seconds
        until = max(self.clock, min([until, *(moment for moment, _ in self.at)]))
        if self._replies and self._replies[0][0] <= until:
            moment, _, reply = heapq.heappop(self._replies)
            self.clock = max(self.clock, moment)
            return reply
        assert until < float("inf"), "the engine waits for a reply that never comes"
        self.clock = until
        due, self.at = [a for m, a in self.at if m <= until], [(m, a) for m, a in self.at if m > until]
        for action in due:
            action()
        return None

    def held(self, until: float = float("inf")) -> dict[str, dict[str, str]]:
        """Say what the codes hold once everything up to a moment has taken effect."""
        held: dict[str, dict[str, str]] = {}
        for _, code, values in sorted((w for w in self.writes if w[0] <= until), key=lambda w: w[0]):
            held.setdefault(code, {}).update(values)
        return held

    def _post(self, work: Post) -> tuple[object, Exception | None, float]:
        self.sent.append(self.clock)
        body, seconds = json.loads(work.body), self.draw.choice([0.01, 0.2, 3.0, 40.0])
        items = {i.pop("extended_id"): i for i in body["items"]} if "items" in body else _by_key(body)
        name = self.draw.choice(self.faults) if len(self.sent) <= self.calm_after else "answered"
        self.told.append((set(items), name))
        delay, error = FAULTS[name] or (0.0, None)
        if work.call.mode is Mode.ASYNC:
            return (*self._accept(items, delay, error), seconds)
        if delay is not None:
            self._write(items, self.clock + seconds + delay)
        found = {key: tuple(values) for key, values in items.items() if key in self.codes}
        return SyncAnswer(len(found), len(found), found), error, seconds

    def _accept(self, items: dict[str, dict[str, str]], delay: float | None, error: Exception | None) -> tuple:
        name = f"task-{len(self.tasks)}"
        calm = len(self.sent) > self.calm_after
        kind, codes = ("complete" if calm else self.draw.choice(TASKS)), sorted(items.keys() & self.codes)
        ends = self.clock + (300.0 if kind == "slow" else 5.0) + (delay or 0.0)
        done = {"failed": 0, "pending": 0, "failed half-way": len(codes) // 2}.get(kind, len(codes))
        if delay is not None:
            self.tasks[name] = (kind, ends, len(codes))
            self._write({key: items[key] for key in codes[:done]}, ends)
        return AsyncAnswer(name), error

    def _poll(self, work: Poll) -> tuple[object, Exception | None, float]:
        kind, ends, codes = self.tasks[work.watch.task_id]
        if kind == "never found":
            return None, errors.NotFoundError(404), 0.1
        if self.draw.random() < 0.1:
            return None, errors.AnswerLostError("reset"), 0.1
        word = "pending" if kind == "pending" or self.clock < ends else kind.split(" ")[0].replace("slow", "complete")
        state = TaskState.read(word)
        return Task(work.watch.task_id, state, word, codes if state is TaskState.COMPLETE else None), None, 0.1

    def _write(self, items: dict[str, dict[str, str]], when: float) -> None:
        self.writes += [(when, key, values) for key, values in items.items() if key in self.codes]


def _by_key(body: dict) -> dict[str, dict[str, str]]:
    keys = body["constraints"]["extended_id"]
    return dict.fromkeys(keys if isinstance(keys, list) else [keys], body["scm_data"])


@st.composite
def schedules(draw: st.DrawFn) -> dict:
    """A table, and everything that will go wrong with it."""
    rows = draw(st.integers(1, 40))
    faults = draw(st.lists(st.sampled_from([f for f in FAULTS if f not in RARELY]), min_size=1, max_size=6))
    return {
        "rows": rows,
        "alike": draw(st.booleans()),
        "absent": draw(st.sets(st.integers(0, rows - 1), max_size=3)),
        "mode": draw(st.sampled_from(["sync", "async", "auto"])),
        "workers": draw(st.integers(1, 8)),
        "most_bytes": draw(st.sampled_from([300, 1000, 1_000_000])),
        "faults": ["answered", *faults, *draw(st.sampled_from([(), (), (), RARELY]))],
        "calm_after": draw(st.sampled_from([0, 5, 30, 10_000])),
        "cancel_after": draw(st.sampled_from([None, None, None, 0.0, 0.3, 5.0, 100.0])),
        "seed": draw(st.integers(0, 2**16)),
    }


def make_plan(case: dict, year: int) -> tuple[Plan, set[str]]:
    rows = range(case["rows"])
    df = pd.DataFrame(
        {
            "extended_id": [f"Code_{i:05d}-" for i in rows],
            "wine_name": ["same" if case["alike"] else f"wine {i}" for i in rows],
            "vintage_year": [str(year)] * len(rows),
        }
    )
    assumptions = Assumptions(max_body_bytes=case["most_bytes"])
    made = scmkit.plan(df, mode=case["mode"], workers=case["workers"], assumptions=assumptions)
    return made, {key for i, key in enumerate(df["extended_id"]) if i not in case["absent"]}


def play(case: dict) -> tuple[Plan, Service, list[Event], Engine]:
    """Run one schedule to its end."""
    plan, codes = make_plan(case, 1990)
    chance = random.Random(case["seed"])
    service = Service(codes, chance, case["faults"], case["calm_after"])
    engine = Engine(plan, service, scmkit.Limits(), random=chance.random)
    if case["cancel_after"] is not None:
        service.at.append((service.clock + case["cancel_after"], engine.cancel))
    return plan, service, list(engine.run()), engine


def check(plan: Plan, service: Service, events: list[Event]) -> None:
    """Compare what the events claim with what the service did."""
    ends = Counter(row for e in events if isinstance(e, Settled) for row in e.rows.tolist())
    assert ends == Counter(plan.order.tolist()), "each row has exactly one end"
    assert isinstance(events[-1], Ended)
    assert sum(isinstance(e, Attempted) for e in events) <= len(service.sent)
    held = service.held()
    for settled in (e for e in events if isinstance(e, Settled)):
        for row, fate in zip(settled.rows.tolist(), settled.fates.tolist(), strict=True):
            _check_claim(plan, service, held, row, Fate(fate))
    times = np.array(service.sent)
    assert all(np.searchsorted(times, times + 1.0, side="left") - np.arange(len(times)) <= 10)


def _check_claim(plan: Plan, service: Service, held: dict, row: int, fate: Fate) -> None:
    key = plan.keys[0].take(np.array([row]))[0]
    values = {f.name: f.take(np.array([row]))[0] for f in plan.fields}
    told = {name for keys, name in service.told if key in keys}
    if fate is Fate.APPLIED:
        assert held[key] == values
    elif fate is Fate.UNMATCHED:
        assert key not in service.codes
    elif fate is Fate.CANCELLED:
        assert key not in held
        assert told <= {"refused", "throttled", "expired", "bad request", "too large"}
    elif fate is Fate.REJECTED:
        assert told & {"bad request", "too large"} or any(
            kind.startswith("failed") for kind, *_ in service.tasks.values()
        )
    else:
        assert fate in (Fate.UNKNOWN, Fate.UNVERIFIED)
        assert told


quick = settings(max_examples=300, deadline=None, derandomize=True, database=None)
thorough = settings(quick, max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(schedules())
def test_no_schedule_loses_a_row_or_lies_about_one(case: dict) -> None:
    """Every row has exactly one end, which is what the service did; no second has more than ten updates."""
    check(*play(case)[:3])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@thorough
@given(schedules())
def test_ten_thousand_schedules(case: dict) -> None:
    """The same, for longer."""
    check(*play(case)[:3])


@settings(quick, max_examples=100)
@given(schedules())
def test_no_older_value_over_a_newer_one(case: dict) -> None:
    """A job that waits for an earlier one over the same codes has the last word, whatever was lost on the way."""
    plan, service, _, engine = play(case | {"mode": "sync"})
    claims, older, newer = Claims(), _claim(plan), _claim(plan)
    claims.enter(older)
    claims.enter(newer)
    claims.leave(older, engine.late_until)
    if any(watch for _, _, watch in engine._polls) or engine._polling:
        return  # a task that was left behind: its end is not known, and the job says so
    if any(kind == "slow" for kind, *_ in service.tasks.values()):
        return  # the answer that named it may have been lost: a task that nobody knows of can end at any time
    service.calm_after, begun = 0, service.clock
    later, _ = make_plan(case | {"mode": "sync"}, 2010)
    second = list(
        Engine(
            later, service, scmkit.Limits(), held_until=lambda now: claims.held_until(newer, now), random=lambda: 0.5
        ).run()
    )
    assert isinstance(second[-1], Ended)
    assert service.clock - begun <= 2 * GATEWAY_TIMEOUT_S + case["rows"] * 41
    assert all(values["vintage_year"] == "2010" for values in service.held().values())


def _claim(plan: Plan) -> Claim:
    return Claim({"extended_id": frozenset(plan.keys[0].texts)}, frozenset(FIELDS))


def test_an_outage_suspends_the_job() -> None:
    """When the job's repeats are used up it stops, after probing one call at a time, and most rows were never sent."""
    case = {"rows": 400, "alike": False, "absent": set(), "mode": "sync", "workers": 8, "most_bytes": 300}
    plan, service, events, _ = play(
        case | {"faults": ["unavailable"], "calm_after": 10**6, "cancel_after": None, "seed": 1}
    )
    check(plan, service, events)
    assert events[-1].state == "suspended"
    assert isinstance(events[-1].error, errors.UnavailableError)
    assert len(service.sent) < 150
    assert np.diff(service.sent)[-10:].min() >= 15.0


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
