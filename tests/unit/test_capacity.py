"""Capacity planning: curves that agree with the model they come from."""

import re

import numpy as np
import pandas as pd
import pytest

import scmkit
from scmkit import ServiceTime, capacity
from scmkit.core.contract import UPDATES_PER_SECOND
from scmkit.core.errors import PlanError
from scmkit.estimation.estimate import Estimate
from scmkit.simulation.deadlines import seconds_until
from scmkit.simulation.learning import sample_for
from tests.support.pictures import CURVES, MODEL


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


@pytest.mark.parametrize("codes", [3, 150, 777, 50_000])
def test_a_curve_of_its_own_sizes_has_the_largest_batch_among_them(codes: int) -> None:
    """The picture and the function name the same number of key values."""
    assert (capacity.risk_by_batch(codes, MODEL).best or 0) == capacity.largest_batch(codes, 0.01, MODEL)


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
    plan = lots_plan(workers=2)
    curve = capacity.growth(plan)
    risks = curve.frame["timeout_risk"].to_numpy()
    assert risks[0] <= plan.risk < risks[-1]
    assert np.all(np.diff(risks) > 0)


@pytest.mark.parametrize("make", [*CURVES.values(), lambda: capacity.breaks_on(lots_plan(workers=2), 0.05)])
def test_curves_show_themselves(make: object) -> None:
    """Text, HTML and a picture with units on both axes."""
    curve = make()
    ax = curve.plot()
    assert re.search(r"\(number\)|\(share", ax.get_xlabel())
    assert ax.get_ylabel()
    assert f"{curve.mark} at" in repr(curve)
    assert curve.answer in repr(curve)
    assert "<table" in curve._repr_html_()


def test_nonsense_is_an_error() -> None:
    """Codes per key value are above 0."""
    for codes in (0, -1, float("nan")):
        with pytest.raises(PlanError, match="above 0"):
            capacity.risk_by_batch(codes)


def test_codes_a_day_saturate() -> None:
    """Codes per key count, and a thousand workers do no more than a hundred."""
    assert capacity.codes_per_day(1) < capacity.codes_per_day(100) <= capacity.codes_per_day()
    assert capacity.codes_per_day(10**6) == 0
    hundred, thousand = (capacity.codes_per_day(100, workers=n) for n in (100, 1_000))
    assert thousand == hundred < 3 * capacity.codes_per_day(100, workers=8)
    quick = ServiceTime.fixed(base_s=0.01, per_code_s=0.5, per_item_s=0, noise=0)
    assert capacity.codes_per_day(100, 0.01, quick, slowdown=0) == int(8 * 86_400 * 100 / 50.01)
    paced = ServiceTime.fixed(base_s=0.1, per_code_s=0, per_item_s=0, noise=0)
    assert capacity.codes_per_day(1, 0.01, paced, item_bytes=1_999_900) == int(86_400 * 9.5)


EVEN = ServiceTime.fixed(base_s=10, per_code_s=0, per_item_s=0, noise=0)


def test_a_deadline_is_met_when_arithmetic_says_so() -> None:
    """20 calls of 10 s on 2 workers take 100 s: in time or not, by workers and batch; 18:00 may be tomorrow's."""
    chances = capacity.on_time(20, 101, 1, workers=[1, 2, 4], batches=[1, 2], service_time=EVEN, trials=5).frame
    found = {(w, r): p for w, r, p in chances[["workers", "rows", "on_time"]].itertuples(index=False)}
    assert found == {(1, 1): 0, (2, 1): 1, (4, 1): 1, (1, 2): 1, (2, 2): 1, (4, 2): 1}
    curve = capacity.on_time(20, 101, 1, workers=[1, 2, 4], batches=[1], service_time=EVEN, trials=5)
    assert curve.best == 2
    assert curve.answer.startswith("With 2 workers and 1 key value a call, all is done within 2 min")
    six = pd.Timestamp("2026-11-24 17:59")
    assert seconds_until("18:00", six) == 60
    assert seconds_until("18:00", pd.Timestamp("2026-11-24 18:00", tz="Europe/Zurich")) == 86_400
    assert seconds_until(pd.Timestamp("2026-11-24 17:00", tz="UTC"), six.tz_localize("Europe/Zurich")) == 60
    with pytest.raises(PlanError, match="the deadline 2026-11-24 17:00 has passed: it is 2026-11-24 17:59"):
        seconds_until("2026-11-24 17:00", six)
    with pytest.raises(PlanError, match="'six' is no time: write it as '18:00'"):
        capacity.on_time(20, "six", 1)


def lots_plan(codes: int = 1_500, **options: object) -> scmkit.Plan:
    lots = np.array([f"{i:06d}" for i in range(50)])
    df = pd.DataFrame({"lot_number": lots, "wine_name": range(50)})
    return scmkit.plan(df, "lot_number", inventory=pd.DataFrame({"lot_number": np.repeat(lots, codes)}), **options)


def test_a_plan_meets_a_deadline_as_often_as_its_simulation() -> None:
    """With its own calls and workers the probability is the share of simulated uploads that end by then."""
    plan = lots_plan(workers=2)
    ends = plan.simulate(trials=1_000, seed=3).makespans
    deadline = float(np.median(ends))
    chances = capacity.on_time(plan, deadline, workers=2, trials=1_000).frame
    assert chances["on_time"].iloc[0] == pytest.approx(0.5, abs=0.05)


def test_what_fits_in_a_window_is_done_in_it() -> None:
    """Ten minutes of 8 workers hold 60 rounds of 10 s; and what is said to fit is done in time as often as said."""
    curve = capacity.fits_in(605, 1, batch=1, service_time=EVEN, trials=5)
    assert curve.best == pytest.approx(8 * 60, abs=8)
    likely = capacity.fits_in(600, 100, service_time=MODEL, trials=200)
    rows = int(likely.best)
    again = capacity.on_time(rows, 600, 100, workers=8, service_time=MODEL, trials=400, seed=9).frame
    assert again["on_time"].iloc[0] == pytest.approx(0.95, abs=0.06)
    assert f"{rows:,} key values (about {100 * rows:,} codes) are done within 10 min" in likely.answer


def test_a_service_that_slows_has_a_best_number_of_workers() -> None:
    """Twice as slow for each further worker: one is best; not slower at all: as many as there are."""
    options = {"service_time": EVEN, "trials": 3, "item_bytes": 1_900_000}
    assert capacity.best_workers(64, 1, 1.0, **options).best == 1
    assert capacity.best_workers(64, 1, 0.0, **options).best == 32
    slow = capacity.best_workers(64, 1, 0.1, workers=[2, 4], **options).frame.set_index("workers")["seconds"]
    assert slow[2] == pytest.approx(32 * 11, rel=0.01)
    assert slow[4] == pytest.approx(16 * 13, rel=0.01)


def test_growth_breaks_a_plan_on_the_day_that_its_risk_says() -> None:
    """On that day the risk of today's calls, grown so much, is the plan's; faster growth breaks it sooner."""
    plan, today = lots_plan(workers=2), pd.Timestamp("2026-11-24")
    broken = capacity.breaks_on(plan, 0.05, today)
    factor = 1.05 ** ((broken.date - today).days / 30.44)
    assert capacity.growth(plan, [factor], trials=2).frame["timeout_risk"].iloc[0] == pytest.approx(0.01, rel=0.05)
    assert capacity.breaks_on(plan, 0.2, today).date < broken.date
    assert capacity.breaks_on(plan, -0.1, today).date is None
    assert f"from {broken.date:%Y-%m-%d} on" in broken.answer
    days = pd.date_range("2026-01-01", periods=10, freq="30D", tz="UTC")
    calls = [(f"L{i}", at, 100 * 1.05**month) for i in range(40) for month, at in enumerate(days)]
    learnt = capacity.breaks_on(plan, pd.DataFrame(calls, columns=["key_value", "at", "codes_affected"]), today)
    assert learnt.date == pytest.approx(broken.date, abs=pd.Timedelta(days=20))
    assert learnt.earliest <= learnt.date
    assert capacity.breaks_on(lots_plan(mode="async"), 0.5, today).date is None


def test_more_calls_bring_the_true_risk_closer_to_what_was_asked() -> None:
    """Of services as documented, the true risk at the chosen size varies less, and calls are used better."""
    frame = capacity.calls_to_collect(calls=[10, 200], trials=8).frame
    assert frame["high"].iloc[1] - frame["low"].iloc[1] < 0.05
    assert 0.3 < frame["used"].iloc[1] < 1.5
    known = capacity.calls_to_collect(calls=[10, 200], trials=4, service_time=MODEL).frame
    assert known["used"].iloc[0] < known["used"].iloc[1] < 1.2


def test_a_sample_tells_a_key_value_as_closely_as_its_size_says() -> None:
    """Simulated samples agree with the closed form for a binomial share; larger key values need less."""
    lots = pd.DataFrame({"lot": [f"L{i}" for i in range(30)], "codes": np.geomspace(10, 4_000, 30).astype(int)})
    known = Estimate(("lot",), lots.assign(low=lots["codes"], high=lots["codes"], source="exact"))
    curve = capacity.sample_to_collect(known, 0.2, fractions=[0.005, 0.02, 0.1, 0.5])
    assert curve.best == 0.1
    codes = float(lots["codes"].nlargest(3).median())
    width = curve.frame.set_index("fraction")["width"]
    assert width[0.1] == pytest.approx(1.96 * np.sqrt(0.9 / (0.1 * codes)), rel=0.3)
    assert sample_for(codes, width[0.1]) == pytest.approx(0.1, rel=0.6)
    assert capacity.sample_to_collect(5, 0.001, fractions=[0.01]).best is None


@pytest.mark.parametrize(("call", "words"), [
    (lambda: capacity.codes_per_day(workers=-1), "workers is a whole number of 1 to 1,024, not -1"),
    (lambda: capacity.largest_batch(5, 1.5), "risk is a probability between 0 and 1, such as 0.01, not 1.5"),
    (lambda: capacity.makespan_by_batch(0, 5), "rows is a whole number of 1 or more, not 0"),
    (lambda: capacity.makespan_by_batch(5, 5, batches=[1.5]), "batches is a list of whole numbers of 1 or more"),
    (lambda: capacity.largest_batch(5, item_bytes=0), "item_bytes is a number above 0, not 0"),
    (lambda: capacity.codes_per_day(100, MODEL), "risk is a probability between 0 and 1, and service_time follows it"),
    (lambda: capacity.on_time(5, 60), "a number of key values needs codes_per_key"),
    (lambda: capacity.on_time(5, -1, 1), "deadline is a number of seconds above 0, a clock time such as '18:00'"),
    (lambda: capacity.fits_in(0, 5), "window_s is a number above 0, not 0"),
    (lambda: capacity.fits_in(60, 10**6), "not even one key value fits into a sync call with a risk of 1.00%: tasks"),
    (lambda: capacity.best_workers(5, 10**6), "not even one key value fits into a sync call"),
    (lambda: capacity.best_workers(5, 5, -0.1), "slowdown is a number of 0 to 10, such as 0.05, not -0.1"),
    (lambda: capacity.breaks_on(lots_plan(), -2), "growth_per_month is a number above -1, such as 0.05"),
    (lambda: capacity.breaks_on(lots_plan(), 0.1, months=0), "months is a whole number of 1"),
    (lambda: capacity.calls_to_collect(codes=(5, 1)), r"codes is \(fewest, most\) codes of a call"),
    (lambda: capacity.sample_to_collect(5, fractions=[2]), "fractions is a list of numbers above 0 and below 1"),
])  # fmt: skip
def test_a_wrong_argument_is_one_sentence(call: object, words: str) -> None:
    """It names the argument, what it must be and what it was."""
    with pytest.raises(PlanError, match=words):
        call()
