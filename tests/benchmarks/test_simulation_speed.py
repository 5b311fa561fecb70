"""The simulation against the same queue in SimPy, in one run: `pytest -m benchmark tests/benchmarks -s`."""

import time

import numpy as np
import pandas as pd
import pytest
from simpy_queue import simpy_makespans

import scmkit


@pytest.mark.benchmark
def test_a_thousand_calls_and_trials_against_simpy() -> None:
    """1,000 calls in 1,000 trials: the ratio is printed, and the two agree."""
    rng = np.random.default_rng(0)
    codes = rng.integers(100, 9_000, 1_000)
    df = pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(1_000)], "wine_name": range(1_000)})
    inventory = pd.DataFrame({"lot_number": np.repeat(df["lot_number"].to_numpy(), codes)})
    service = scmkit.ServiceTime.fixed()
    plan = scmkit.plan(df, "lot_number", mode="sync", batch=1, inventory=inventory, service_time=service)
    assert len(plan.calls) == 1_000
    begun = time.perf_counter()
    ours = scmkit.simulate(plan, trials=1_000, seed=1).makespans
    middle = time.perf_counter()
    theirs = simpy_makespans(plan, codes, 20, seed=1)
    simpy_s = (time.perf_counter() - middle) * 1_000 / 20
    ratio = simpy_s / (middle - begun)
    print(f"\nsimulate: {middle - begun:.2f} s; SimPy, from 20 trials: {simpy_s:.0f} s; ratio {ratio:.0f}")
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02)
