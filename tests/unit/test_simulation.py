"""The simulation agrees with closed forms where they exist."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scmkit
from scmkit.contract import UPDATES_PER_SECOND
from scmkit.errors import PlanError


def lots(codes: list[int], **options: object) -> scmkit.Plan:
    """Plan a sync call for each lot."""
    df = pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(len(codes))], "wine_name": range(len(codes))})
    inventory = pd.DataFrame({"lot_number": np.repeat(df["lot_number"].to_numpy(), codes)})
    return scmkit.plan(df, "lot_number", inventory=inventory, **options)


def test_one_call_is_as_risky_as_its_model_says() -> None:
    """A single sync call of a huge lot: resends and makespan follow from the lognormal distribution."""
    model = scmkit.ServiceTime.fixed(base_s=0, per_code_s=0.003, per_item_s=0, noise=0.3)
    plan = lots([18_000], mode="sync", service_time=model)
    risk = scmkit.simulate(plan, trials=20_000, seed=3)
    p = stats.lognorm.sf(60, s=0.3, scale=54)
    assert risk.calls["timeout_risk"].tolist() == pytest.approx([p])
    assert risk.expected_resends == pytest.approx(p, abs=4 * np.sqrt(p / 20_000))
    assert risk.wasted_s == pytest.approx(60 * risk.expected_resends)
    assert risk.makespan[0.25] == pytest.approx(stats.lognorm.ppf(0.25, s=0.3, scale=54), rel=0.02)


def test_independent_calls_end_with_the_slowest() -> None:
    """With a worker for each call and no noise, the makespan is the pace plus the longest call."""
    model = scmkit.ServiceTime.fixed(base_s=0, per_code_s=0.01, per_item_s=0, noise=0)
    plan = lots([1_000, 900, 800], service_time=model, workers=3, assumptions=scmkit.Assumptions(max_body_bytes=1))
    risk = scmkit.simulate(plan, trials=5, seed=0)
    starts = np.arange(3) / UPDATES_PER_SECOND
    assert risk.makespan[0.5] == pytest.approx((starts + [10, 9, 8]).max())
    assert risk.expected_resends == 0


def test_the_pace_bounds_many_small_calls() -> None:
    """100 calls need at least 10 seconds, whatever the workers."""
    model = scmkit.ServiceTime.fixed(base_s=0.01, per_code_s=0, per_item_s=0, noise=0)
    plan = lots([1] * 100, service_time=model, workers=50, assumptions=scmkit.Assumptions(max_body_bytes=1))
    assert scmkit.simulate(plan, trials=3, seed=0).makespan[0.5] == pytest.approx(99 / UPDATES_PER_SECOND + 0.01)


def test_the_same_seed_gives_the_same_risk() -> None:
    """A simulation can be repeated, and unknown counts widen it."""
    plan = lots([5, 24_000, 300])
    first, again = (scmkit.simulate(plan, trials=500, seed=7) for _ in range(2))
    pd.testing.assert_frame_equal(first.calls, again.calls)
    assert np.array_equal(first.makespans, again.makespans)
    df = pd.DataFrame({"lot_number": ["a"], "wine_name": ["x"]})
    guess = scmkit.simulate(scmkit.plan(df, "lot_number", mode="sync", default=(100, 60_000)), trials=2_000, seed=1)
    assert 0.05 < guess.calls["timeout_risk"].iloc[0] < 0.95


def test_it_shows_itself_and_refuses_nonsense() -> None:
    """Text, HTML and picture; an empty plan or no trials are errors."""
    risk = scmkit.simulate(lots([5, 24_000]), trials=200, seed=1)
    assert "200 trials" in repr(risk)
    assert "<table" in risk._repr_html_()
    assert risk.plot().get_xlabel().startswith("seconds")
    with pytest.raises(PlanError, match="trials"):
        scmkit.simulate(lots([5]), trials=0)
    nothing = pd.DataFrame({"lot_number": ["a"], "wine_name": pd.Series([None], dtype=object)})
    with pytest.raises(PlanError, match="no calls"):
        scmkit.simulate(scmkit.plan(nothing, "lot_number"))
