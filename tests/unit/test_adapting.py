"""When waiting calls are halved: where it helps, and never for long."""

from collections import deque
from collections.abc import Callable

import numpy as np
import pandas as pd

import scmkit
from scmkit.core.contract import SAFE_CODES, Assumptions
from scmkit.engine.call_size import MOST_TIMES, CallSize
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import Plan

LOTS, CODES = 400, 200
TIMEOUT_S = 60.0


def lots_plan(mode: str = "auto") -> Plan:
    """Lots of 200 codes, in sync calls of some thousand codes: tasks begin late here, so that none is worth it."""
    lots = [f"{i:06d}" for i in range(LOTS)]
    inventory = pd.DataFrame({"lot_number": np.repeat(lots, CODES)})
    df = pd.DataFrame({"lot_number": lots, "origin": [f"o{i}" for i in range(LOTS)]})
    late, time = Assumptions(task_overhead_s=600.0), ServiceTime.documented()
    return scmkit.plan(df, "lot_number", mode, inventory=inventory, service_time=time, assumptions=late)


def calls_made(made: Plan, seconds_of: Callable[[float], float]) -> tuple[list[int], int]:
    """Make all calls one after the other, halved as the size says and by the gateway: their codes, and the timeouts."""
    size, queue, codes, cut = CallSize(made), deque(made.rows_of(i) for i in range(len(made))), [], 0
    noise = np.random.default_rng(1)
    while queue:
        rows = queue.popleft()
        if size.should_halve(rows):
            size.note_halved()
            queue.extendleft(np.array_split(rows, 2))
            continue
        codes.append(len(rows) * CODES)
        seconds = seconds_of(codes[-1]) * float(np.exp(noise.normal(0, 0.2)))
        size.learn(rows, codes[-1], min(seconds, TIMEOUT_S), seconds > TIMEOUT_S)
        if seconds > TIMEOUT_S and len(rows) > 1:
            cut += 1
            queue.extend(np.array_split(rows, 2))
    return codes, cut


def test_calls_that_are_slow_whatever_their_size_stay_whole() -> None:
    """A slow network makes no call shorter by making more of them (F63)."""
    made = lots_plan()
    assert (made.calls["mode"] == "sync").all()
    codes, cut = calls_made(made, lambda codes: 40.0)
    assert len(codes) <= 2 * len(made) + 2 * cut


def test_halving_stops_at_a_multiple_of_the_plan() -> None:
    """Whatever the model makes of it, at most so many times the planned calls go out, but for those the gateway cut."""
    made = lots_plan()
    codes, cut = calls_made(made, lambda codes: 45.0)
    assert len(codes) <= MOST_TIMES * len(made) + 2 * cut
    size = CallSize(made)
    for _ in range((MOST_TIMES - 1) * len(made)):
        size.note_halved()
    size.learn(made.rows_of(0), 10 * SAFE_CODES, TIMEOUT_S, True)
    assert not size.should_halve(made.rows_of(1))


def test_calls_whose_codes_are_slow_are_halved_in_time() -> None:
    """Where the codes take the time, a few calls teach the right size, and hardly any runs into the gateway."""
    made = lots_plan()
    codes, cut = calls_made(made, lambda codes: 0.5 + 0.016 * codes)
    assert cut <= 3
    assert len(codes) > len(made)
    assert np.median(codes) >= SAFE_CODES


def test_the_documented_safe_size_is_not_halved_before_a_call_of_it_timed_out() -> None:
    """Below 1,000 codes a call is safe, says the service, until it shows otherwise."""
    made = lots_plan()
    rows = made.rows_of(0)[: SAFE_CODES // CODES]
    size = CallSize(made)
    for few in (1, 2, 3) * 3:
        size.learn(rows[:few], few * CODES, 0.06 * few * CODES, False)
        size.learn(rows[:few], few * CODES, 0.07 * few * CODES, False)
    assert not size.should_halve(rows)
    size.learn(rows, len(rows) * CODES, TIMEOUT_S, True)
    assert size.should_halve(rows)


def test_asked_for_sizes_are_kept() -> None:
    """Whoever asks for sync calls gets them as planned."""
    made = lots_plan("sync")
    size = CallSize(made)
    size.learn(made.rows_of(0), 10 * SAFE_CODES, TIMEOUT_S, True)
    assert not size.should_halve(made.rows_of(0))
