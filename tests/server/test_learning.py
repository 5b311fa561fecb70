"""Learning from use: earlier calls teach the next plan, and calls of an upload those still to come."""

import time
from typing import Any

import pandas as pd
import pytest

import scmkit
from scmkit.engine.call_size import CallSize
from scmkit.uploading.plans import ENOUGH


def inventory_of(lots: int, codes: int) -> pd.DataFrame:
    """A service with so many lots of so many codes."""
    rows = lots * codes
    return pd.DataFrame(
        {"extended_id": [f"Code-{i:06d}" for i in range(rows)], "lot_number": [f"{i % lots:06d}" for i in range(rows)]}
    ).assign(origin=None)


def lots_table(lots: int, **values: object) -> pd.DataFrame:
    return pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(lots)], "origin": [f"o{i}" for i in range(lots)]})


def test_a_plan_learns_from_the_calls_that_were_made() -> None:
    """After enough calls the plan fits them by itself, says so, and knows the codes of lots that it has seen."""
    inventory, df = inventory_of(ENOUGH + 5, 30), lots_table(ENOUGH + 5)
    slow = scmkit.ServiceTime.fixed(base_s=1.0, per_code_s=0.1, per_item_s=0.0, noise=0.1)
    with scmkit.Sandbox(codes=inventory, speed=20, service_time=slow) as sandbox:
        scmkit.use(sandbox.client())
        first = df.scm.plan(key="lot_number")
        assert first.service_time.source == "documented"
        assert first.calls["mode"].unique().tolist() == ["async"]
        assert df.scm.upload(key="lot_number", mode="sync", batch=1, inventory=inventory, progress=False).ok
        learnt = df.scm.plan(key="lot_number")
    assert learnt.service_time.source.startswith("fitted to")
    assert "fitted to" in learnt.summary()
    assert learnt.service_time.quantile(0.5, 300) > 2 * first.service_time.quantile(0.5, 300)
    assert learnt.estimate.frame["source"].unique().tolist() == ["history"]
    assert learnt.estimate.frame["codes"].tolist() == [30] * len(df)
    assert scmkit.history()["codes"].tolist() == [30.0] * len(df)


def test_calls_shrink_when_the_service_is_slower_than_planned() -> None:
    """The first calls tell that the service is slow: the waiting ones are halved before they run into the gateway."""
    inventory, df = inventory_of(120, 200), lots_table(120)
    slow = scmkit.ServiceTime.fixed(base_s=0.5, per_code_s=0.014, per_item_s=0.0, noise=0.05)
    optimist = scmkit.ServiceTime.documented()
    with scmkit.Sandbox(codes=inventory, speed=100, service_time=slow) as sandbox:
        # The service is thought to work on one task at a time, so that few lots become tasks.
        assumed = scmkit.Assumptions(parallel_tasks=1)
        options = {"service_time": optimist, "workers": 1, "assumptions": assumed}
        plan = df.scm.plan(key="lot_number", inventory=inventory, **options)
        job = plan.upload(client=sandbox.client(), progress=False)
        assert job.ok, job.summary()
        assert len(sandbox.requests().query("status == 504")) <= 2
    assert len(job.calls) > len(plan)


def test_asked_for_batches_stay_as_they_are() -> None:
    """Whoever asks for sync calls of a size gets them."""
    inventory, df = inventory_of(10, 10), lots_table(10)
    slow = scmkit.ServiceTime.fixed(base_s=20.0, per_code_s=0.1, per_item_s=0.0, noise=0.05)
    with scmkit.Sandbox(codes=inventory, speed=200, service_time=slow) as sandbox:
        job = df.scm.upload(
            sandbox.client(), key="lot_number", mode="sync", batch=2, inventory=inventory, progress=False
        )
    assert job.ok
    assert job.calls["rows"].tolist() == [2] * 5


class Sluggish(scmkit.Client):
    """A client on a machine that has much else to do."""

    def upload_sync(self, *args: Any, **options: Any) -> scmkit.core.values.SyncAnswer:
        time.sleep(0.5)
        return super().upload_sync(*args, **options)


def test_a_busy_machine_is_not_taken_for_a_slow_service() -> None:
    """However fast the sandbox's clock runs, our own half second counts as half a second: no call is halved (F63)."""
    inventory = inventory_of(1, 12_000)
    df = inventory[["extended_id"]].assign(origin="o")
    df["origin"] += df["extended_id"]
    steady = scmkit.ServiceTime.fixed(noise=0.0)
    with scmkit.Sandbox(codes=inventory, speed=120, service_time=steady) as sandbox:
        client = Sluggish(sandbox.url, sandbox.token, limits=sandbox.client().limits)
        plan = df.scm.plan(inventory=inventory)
        job = plan.upload(client=client, progress=False)
    assert job.ok
    assert len(job.calls) == len(plan)
    expected = 0.32 + 0.0035 * job.calls["items"]
    assert (job.calls["seconds"] - expected).between(0.5, 10.0).all()


def test_a_job_says_that_calls_were_halved(
    table: pd.DataFrame, client: scmkit.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever planned one call and sees four is told why."""
    monkeypatch.setattr(CallSize, "should_halve", lambda self, rows: len(rows) > 15)
    job = table.scm.upload(client, progress=False)
    assert len(job.calls) == 4
    assert "4 calls, 0 tasks (1 planned, 3 halved: calls took longer than planned)" in job.summary()


def test_a_timeout_of_a_fast_sandbox_took_its_gateway_s_time() -> None:
    """A 504 counts as the sixty seconds after which the gateway cut the call."""
    inventory = inventory_of(1, 10)
    slow = scmkit.ServiceTime.fixed(base_s=100.0, noise=0.0)
    with scmkit.Sandbox(codes=inventory, speed=500, service_time=slow) as sandbox, sandbox.client() as client:
        job = lots_table(1).scm.upload(client, key="lot_number", mode="sync", inventory=inventory, progress=False)
        cut = job.calls.query("timed_out")
        assert len(cut) == 1
        assert cut["seconds"].between(60.0, 65.0).all()
