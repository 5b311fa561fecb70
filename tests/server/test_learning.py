"""Learning from use: earlier calls teach the next plan, and calls of an upload those still to come."""

import pandas as pd

import scmkit
from scmkit.adapting import ENOUGH


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
        plan = df.scm.plan(key="lot_number", inventory=inventory, service_time=optimist, workers=1)
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
