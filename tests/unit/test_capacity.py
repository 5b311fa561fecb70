"""Capacity planning: curves that agree with the model they come from."""

import numpy as np
import pandas as pd
import pytest

import scmkit
from scmkit import ServiceTime, capacity
from scmkit.contract import UPDATES_PER_SECOND
from scmkit.errors import PlanError

MODEL = ServiceTime.fixed(base_s=0.5, per_code_s=0.003, per_item_s=0.001, noise=0.3)


def test_the_largest_batch_is_within_the_risk() -> None:
    """One row more would exceed it, and the curve is the model's own risk."""
    curve = capacity.risk_by_batch(100, MODEL, batches=range(1, 300))
    assert curve.frame["timeout_risk"].to_numpy() == pytest.approx(
        MODEL.timeout_risk(100 * np.arange(1, 300), range(1, 300))
    )
    best = int(curve.best)
    assert MODEL.timeout_risk(100 * best, best) <= 0.01 < MODEL.timeout_risk(100 * (best + 1), best + 1)
    assert capacity.largest_batch(100, 0.01, MODEL) == best
    assert capacity.largest_batch(50_000, 0.01, MODEL) == 0


def test_uneven_fan_outs_are_riskier_than_even_ones() -> None:
    """An estimate brings the spread of its key values with it."""
    lots = np.array([f"{i:06d}" for i in range(200)])
    codes = np.append(np.full(190, 10), np.full(10, 1_810))
    known = scmkit.estimate(
        pd.DataFrame({"lot_number": lots}), "lot_number", pd.DataFrame({"lot_number": np.repeat(lots, codes)})
    )
    assert capacity.largest_batch(known, 0.01, MODEL) < capacity.largest_batch(100, 0.01, MODEL)


def test_the_shortest_makespan_lies_between_the_extremes() -> None:
    """Single rows are bound by the pace, one huge call by the gateway."""
    curve = capacity.makespan_by_batch(2_000, 20, MODEL, workers=10)
    seconds = curve.frame.set_index("rows")["seconds"]
    assert seconds[1] == pytest.approx(2_000 / (0.95 * UPDATES_PER_SECOND), rel=0.05)
    assert 1 < curve.best < 2_000
    assert seconds[curve.best] < min(seconds[1], seconds[2_000])
    assert curve.frame["resends"].iloc[-1] > 1


def test_codes_a_day_follow_from_risk_and_workers() -> None:
    """More risk or more workers update more codes; without noise the figure is arithmetic."""
    exact = ServiceTime.fixed(base_s=0, per_code_s=0.01, per_item_s=0, noise=0)
    assert capacity.codes_per_day(0.01, exact, workers=3) == pytest.approx(3 * 86_400 / 0.01, rel=1e-3)
    assert capacity.codes_per_day(0.05) >= capacity.codes_per_day(0.01) > capacity.codes_per_day(0.001) > 1_000_000
    assert capacity.codes_per_day(workers=16) > capacity.codes_per_day(workers=8)


def test_growth_of_the_codes_shows_when_to_plan_again() -> None:
    """Twice the codes per key value at the same plan is riskier, and the curve crosses the limit."""
    lots = np.array([f"{i:06d}" for i in range(50)])
    df = pd.DataFrame({"lot_number": lots, "wine_name": range(50)})
    plan = scmkit.plan(df, "lot_number", inventory=pd.DataFrame({"lot_number": np.repeat(lots, 1_500)}), workers=2)
    curve = capacity.growth(plan)
    risks = curve.frame["timeout_risk"].to_numpy()
    assert risks[0] <= plan.risk < risks[-1]
    assert np.all(np.diff(risks) > 0)


@pytest.mark.parametrize("make", [
    lambda: capacity.risk_by_batch(100), lambda: capacity.makespan_by_batch(500, 20, MODEL, trials=50),
])  # fmt: skip
def test_curves_show_themselves(make: object) -> None:
    """Text, HTML and a picture with units on both axes."""
    curve = make()
    ax = curve.plot()
    assert "(number)" in ax.get_xlabel()
    assert ax.get_ylabel()
    assert "best" in repr(curve)
    assert "<table" in curve._repr_html_()


def test_nonsense_is_an_error() -> None:
    """Codes per key value are above 0."""
    for codes in (0, -1, float("nan")):
        with pytest.raises(PlanError, match="above 0"):
            capacity.risk_by_batch(codes)
