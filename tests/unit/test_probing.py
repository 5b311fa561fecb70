"""Where no call is known: a small one goes out first, and the others are made as large as it allows."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from own_clock import OwnClock

import scmkit
from scmkit.core.errors import GatewayTimeoutError
from scmkit.core.events import Sending
from scmkit.core.values import AsyncAnswer, Mode, SyncAnswer, Task, TaskState
from scmkit.engine.engine import Engine, Poll, Post, Reply
from scmkit.wire.limits import Limits

TRUTH = scmkit.ServiceTime.documented()
MIDDLE = {name: float(np.median(getattr(TRUTH, name))) for name in ("base_s", "per_code_s", "per_item_s")}


class Slow(OwnClock):
    """A service on a clock of its own: a call takes what a law says, and the gateway cuts it after a minute."""

    def __init__(self, codes: dict[str, int], seconds: Callable[[float, int], float]) -> None:
        super().__init__()
        self.codes, self.seconds = codes, seconds
        self.sync: list[tuple[float, float, bool]] = []  # when, codes, cut

    def answer(self, work: Post | Poll) -> Reply:
        answer, error, took = self._answer(work)
        return Reply(work, answer, error, took)

    def _answer(self, work: Post | Poll) -> tuple[object, Exception | None, float]:
        if not isinstance(work, Post):
            return Task(work.followed.task_id, TaskState.COMPLETE, "complete", 1), None, 0.1
        if work.call.mode is Mode.ASYNC:
            return AsyncAnswer(f"task-{next(self._numbers)}"), None, 0.1
        items = {item["lot_number"]: item for item in json.loads(work.body)["items"]}
        codes = sum(self.codes[lot] for lot in items)
        took = self.seconds(codes, len(items))
        self.sync.append((self.clock, codes, took > 60))
        if took > 60:
            return None, GatewayTimeoutError(504), 60.0
        return SyncAnswer(codes, codes, dict.fromkeys(items, ("wine_name",))), None, took


def made(seed: int, times: float, noise: float = 0.25, lots: int = 600) -> tuple[scmkit.Plan, Slow]:
    """Carry out a plan that rests on the documentation, by a service that is so many times slower."""
    rng = np.random.default_rng(seed)
    codes = np.maximum(1, np.exp(rng.normal(5.5, 1.0, lots))).astype(int)
    df = pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(lots)], "wine_name": range(lots)})
    inventory = pd.DataFrame({"lot_number": np.repeat(df["lot_number"], codes)})
    plan = scmkit.plan(df, "lot_number", inventory=inventory, service_time=TRUTH)

    def seconds(held: float, items: int) -> float:
        middle = MIDDLE["base_s"] + MIDDLE["per_code_s"] * held + MIDDLE["per_item_s"] * items
        return float(times * middle * np.exp(noise * rng.standard_normal()))

    service = Slow(dict(zip(df["lot_number"], codes.tolist(), strict=True)), seconds)
    sent = [event for event in Engine(plan, service, Limits()).run() if isinstance(event, Sending)]
    assert {row for event in sent for row in event.rows.tolist()} == set(range(lots))
    return plan, service


def test_a_plan_that_rests_on_the_documentation_sends_a_small_call_first() -> None:
    """It is in the plan, says why, and nothing else goes out before it was answered."""
    plan, service = made(1, times=1.0)
    assert plan.calls["why"].iloc[0].startswith("a small call goes out first, alone")
    assert plan.calls["codes_high"].iloc[0] <= 1_000
    first, second = service.sync[:2]
    assert second[0] >= first[0] + MIDDLE["base_s"]
    assert plan.schedule.probes  # so that a simulation waits for it, too


def test_nothing_is_probed_where_it_is_not_needed() -> None:
    """Not below the documented safe size, not with calls known, and not in a mode that was asked for."""
    df = pd.DataFrame({"lot_number": [f"{i:03d}" for i in range(40)], "wine_name": range(40)})
    small, large = (pd.DataFrame({"lot_number": np.repeat(df["lot_number"], codes)}) for codes in (10, 900))
    known = scmkit.ServiceTime.fixed()
    assert scmkit.plan(df, "lot_number", inventory=large, service_time=TRUTH).probes
    assert not scmkit.plan(df, "lot_number", inventory=small, service_time=TRUTH).probes
    assert not scmkit.plan(df, "lot_number", inventory=large, service_time=known).probes
    assert not scmkit.plan(df, "lot_number", "sync", inventory=large, service_time=TRUTH).probes


@pytest.mark.parametrize("times", [0.2, 1.0, 2.0, 5.0])
def test_few_calls_time_out_whatever_the_service_is_like(times: float) -> None:
    """From five times as fast to five times as slow as documented, at most 3 % of the sync calls are cut."""
    cut = [[was for _, _, was in made(seed, times)[1].sync] for seed in range(3)]
    shares = [np.mean(each) for each in cut]
    print(f"\n{times} times: {np.mean(shares):.2%} of {np.mean([len(each) for each in cut]):.0f} calls cut")
    assert np.mean(shares) <= 0.03
