"""Promised probabilities happen: on worlds that differ from the defaults, with seeds."""

import time
import tracemalloc

import interval_coverage as coverage
import numpy as np
import observing
import pandas as pd
import pytest
from scipy.stats import binom

import scmkit
from scmkit.core.errors import ClusteredSampleWarning
from scmkit.estimation import fitting
from scmkit.estimation.fan_out import Growth, from_sample, total_from_sample

LEVEL = 0.95


def fan_outs(kind: str, keys: int, mean: float, rng: np.random.Generator) -> np.ndarray:
    """Codes per key value of a made-up world."""
    return coverage.draw({"zipf": "Zipf 1.1", "lognormal": "lognormal, light"}.get(kind, kind), keys, mean, rng)


# Key values that are all alike are either all covered or none, and so are few counts that can occur: more than 98 %.
@pytest.mark.parametrize("law", coverage.LAWS)
@pytest.mark.parametrize(("keys", "fraction", "worlds"), [(5, 0.05, 40), (200, 0.01, 12), (200, 0.3, 8)])
def test_intervals_of_a_sample_hold_the_truth(law: str, keys: int, fraction: float, worlds: int) -> None:
    """In each law, 95 % intervals hold the codes of key values and of calls as planned."""
    held = coverage.measure(law, keys, 200.0, fraction, worlds)
    error = np.sqrt(0.95 * 0.05 / worlds)  # of a world, in which key values are wrong together at worst
    assert held.key >= 0.92 - error
    assert held.call >= 0.92 - error


@pytest.mark.parametrize("law", ["a third without codes", "Pareto 1.5"])
def test_calls_hold_the_truth_where_a_sample_shows_few_codes_of_many_key_values(law: str) -> None:
    """What is learnt from 20,000 key values fits how often each count was seen: all key values of a call rest on it."""
    held = coverage.measure(law, 20_000, 200.0, 0.005, 6)
    assert held.call >= 0.9


def test_an_unseen_key_value_among_seen_ones_has_codes_too() -> None:
    """Where all others have codes, none is hardly possible, and the upper bound lies above the rule of three."""
    known = from_sample(np.array([28, 10, 5, 3, 0]), 0.05, LEVEL)
    assert known.low[-1] == 0
    assert known.high[-1] > 3 / 0.05


@pytest.mark.parametrize("law", coverage.LAWS)
@pytest.mark.parametrize("fraction", [0.005, 0.1, 0.5])
def test_the_interval_of_the_sum_needs_no_law(law: str, fraction: float) -> None:
    """The sum over key values is binomial in the sample, however it is distributed over them."""
    rng = np.random.default_rng(3)
    true = coverage.draw(law, 40, 120.0, rng)
    held = []
    for _ in range(400):
        total = total_from_sample(rng.binomial(true, fraction), fraction, LEVEL)
        held.append(total.low <= true.sum() <= total.high)
    assert np.mean(held) == pytest.approx(LEVEL, abs=3 * np.sqrt(0.95 * 0.05 / 400))


@pytest.mark.slow
@pytest.mark.parametrize("law", coverage.LAWS)
@pytest.mark.parametrize(("keys", "worlds"), [(5, 30), (200, 10), (5_000, 4), (20_000, 3)])
def test_intervals_hold_in_the_wide_grid(law: str, keys: int, worlds: int) -> None:
    """From 20 to 2,000 codes a key value, and from one code in 200 to every second: in each, calls on average."""
    settings = [(mean, fraction) for mean in (20.0, 200.0, 2_000.0) for fraction in (0.005, 0.05, 0.5)]
    held = np.array([coverage.measure(law, keys, mean, fraction, worlds) for mean, fraction in settings])
    print(f"\n{law}, {keys:,} key values:", *(f"{key:.1%}/{call:.1%}" for key, call in held[:, [0, 2]]))
    assert held[:, 0].min() >= 0.90 - np.sqrt(0.95 * 0.05 / worlds / min(keys, 20))
    assert held[:, 2].mean() >= 0.92 - 2 * np.sqrt(0.95 * 0.05 / worlds / len(settings))


@pytest.mark.parametrize("level", [0.5, 0.8, 0.99])
def test_the_level_is_honoured(level: float) -> None:
    """An interval of 50 % holds half of the truth, of key values as of sums, from a sample as from history."""
    held = coverage.measure("lognormal, light", 200, 200.0, 0.1, 30, level)
    assert held.key == pytest.approx(level, abs=0.05)
    assert held.call == pytest.approx(level, abs=0.2)
    assert held.total == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 30) + 1e-9)
    growth = Growth(0.0, 0.002, 0.03)
    now = growth.project(np.full(1_000, 2_000.0), np.full(1_000, 30.0), level)
    rng = np.random.default_rng(1)
    true = 2_000 * np.exp(0.03 * np.sqrt(30) * rng.standard_normal(1_000))
    assert ((now.low <= true) & (true <= now.high)).mean() == pytest.approx(level, abs=0.04)


def test_without_any_code_seen_the_upper_bound_is_the_rule_of_three() -> None:
    """A sample of one code in 500 that shows nothing leaves up to 1,500 codes possible."""
    for keys in (1, 5, 500):
        known = from_sample(np.zeros(keys), 0.002, LEVEL)
        assert known.low.max() == 0
        assert known.high == pytest.approx(1_500, abs=10)
    assert total_from_sample(np.zeros(5), 0.002, LEVEL).high == pytest.approx(1_500, abs=10)


def test_unseen_key_values_learn_from_those_outside_the_table() -> None:
    """Whoever was not seen selects as many codes as the others in the sample do, and perhaps none."""
    rng = np.random.default_rng(2)
    others = rng.binomial(rng.poisson(40, 2_000), 0.05)
    known = from_sample(np.zeros(3), 0.05, LEVEL, others[others > 0])
    alone = from_sample(np.zeros(3), 0.05, LEVEL)
    assert (known.low == 0).all()
    assert (known.high > 40).all()
    assert (known.high < alone.high - 5).all()


def test_one_lot_is_covered_whatever_it_selects() -> None:
    """A single lot at 0.5 %, from no code at all to 5,000: never less than 92 % of samples."""
    bounds = [from_sample(np.array([k]), 0.005, LEVEL) for k in range(60)]
    for true in (0, 1, 10, 50, 200, 500, 700, 1_000, 5_000):
        chance = binom.pmf(np.arange(60), true, 0.005)
        held = [(b.low[0] <= true) & (true <= b.high[0]) for b in bounds]
        assert chance @ held >= 0.92, true


def estimated(true: np.ndarray, fraction: float, rng: np.random.Generator) -> scmkit.Estimate:
    """Estimate a world from a sampled inventory, as a user would."""
    lots = np.array([f"{i:06d}" for i in range(len(true))])
    codes = np.repeat(lots, true)
    sample = pd.DataFrame({"lot_number": codes[rng.random(len(codes)) < fraction]})
    return scmkit.estimate(pd.DataFrame({"lot_number": lots}), "lot_number", sample, sample_fraction=fraction)


def test_the_interval_of_the_sum_covers_what_it_says() -> None:
    """The sum over keys is more certain than the sum of the bounds, and its interval still holds 95 %."""
    held, narrower = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        true = fan_outs(["zipf", "lognormal", "equal"][seed % 3], 40, 120.0, rng)
        known = estimated(true, 0.1, rng)
        low, high = known.total_interval
        held.append(low <= true.sum() <= high)
        narrower.append((high - low) / (known.frame["high"] - known.frame["low"]).sum())
    assert np.mean(held) == pytest.approx(LEVEL, abs=3 * np.sqrt(0.95 * 0.05 / 200))
    assert np.mean(narrower) < 0.5


def test_key_values_that_the_sample_never_saw_get_a_sensible_answer() -> None:
    """Unseen key values are small, not zero and not unknown: the fan-outs of the others tell."""
    rng = np.random.default_rng(4)
    true = fan_outs("lognormal", 400, 30.0, rng)
    known = estimated(true, 0.05, rng)
    unseen = known.frame["source"] == "prior"
    assert unseen.sum() > 50
    assert known.frame.loc[unseen, "codes"].mean() == pytest.approx(true[unseen.to_numpy()].mean(), rel=0.3)
    held = (known.frame["low"] <= true) & (true <= known.frame["high"])
    assert held[unseen].mean() > 0.9


def in_work_orders(orders_per_lot: int, rng: np.random.Generator) -> pd.DataFrame:
    """Codes of 200 lots, each made in as many work orders of different sizes."""
    sizes = np.round(60 * np.exp(0.8 * rng.standard_normal(200 * orders_per_lot))).astype(int) + 4
    lots = np.array([f"{i:06d}" for i in range(200)], dtype=object).repeat(orders_per_lot)
    orders = np.array([f"W{20_300 + i}" for i in range(len(sizes))], dtype=object)
    return pd.DataFrame({"lot_number": lots.repeat(sizes), "workorder_id": orders.repeat(sizes)})


@pytest.mark.parametrize(("per_lot", "named"), [(1, "W"), (4, "W"), (4, ""), (20, "")])
@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_a_sample_of_whole_work_orders_is_noticed(per_lot: int, named: str, fraction: float) -> None:
    """It says so and its intervals hold; a sample of single codes is not taken for one."""
    held, whole = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        codes = in_work_orders(per_lot, rng)
        codes["workorder_id"] = codes["workorder_id"].str.replace("W", named)
        df = pd.DataFrame({"lot_number": codes["lot_number"].unique()})
        true = codes["lot_number"].value_counts().reindex(df["lot_number"]).to_numpy()
        drawn = rng.random(codes["workorder_id"].nunique()) < fraction
        sample = codes[drawn[pd.factorize(codes["workorder_id"])[0]]]
        with pytest.warns(ClusteredSampleWarning, match="whole work orders"):
            known = scmkit.estimate(df, "lot_number", sample, fraction)
        assert "whole work orders" in known.summary()
        held.append(((known.frame["low"] <= true) & (true <= known.frame["high"])).mean())
        whole.append(known.total_interval[0] <= true.sum() <= known.total_interval[1])
        assert known.total_interval[0] <= known.total <= known.total_interval[1]
        single = scmkit.estimate(df, "lot_number", codes[rng.random(len(codes)) < fraction], fraction)
        assert not single.note  # and no warning, which would be an error here
    assert np.mean(held) >= 0.92
    assert sum(whole) >= 4


def test_intervals_from_history_cover_what_they_say() -> None:
    """Counts that grow at random between calls are projected with an interval that holds 95 %."""
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        keys, drift, spread = 60, rng.normal(0, 0.01), rng.uniform(0.01, 0.06)
        days = [0, 20, 30, 45]
        steps = drift * np.diff(days) + spread * np.sqrt(np.diff(days)) * rng.standard_normal((keys, 3))
        codes = np.round(2_000 * np.exp(np.cumsum(np.column_stack([np.zeros(keys), steps]), axis=1)))
        lots = [f"{i:06d}" for i in range(keys)]
        at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(days, unit="D")
        history = pd.DataFrame(
            {"key_value": lots * 3, "codes_affected": codes[:, :3].T.ravel(), "at": np.repeat(at[:3], keys)}
        )
        df = pd.DataFrame({"lot_number": lots})
        known = scmkit.estimate(df, "lot_number", history=history, now=at[3]).frame
        assert set(known["source"]) == {"history"}
        held.append(((known["low"] <= codes[:, 3]) & (codes[:, 3] <= known["high"])).mean())
    assert 0.93 <= np.mean(held) <= 0.97


@pytest.mark.parametrize("shock", [0.0, 0.02])
def test_growth_that_all_key_values_share_does_not_cancel_in_the_sum(shock: float) -> None:
    """The sum over 300 key values is as uncertain as what moves them all, be it a steady drift or a common jump."""
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        days = np.arange(0, 90, 10)
        steps = rng.normal(0, 0.01) * 10 + 0.03 * np.sqrt(10) * rng.standard_normal((300, 8))
        steps += shock * np.sqrt(10) * rng.standard_normal(8)
        codes = 2_000 * np.exp(np.cumsum(np.column_stack([np.zeros(300), steps]), axis=1))
        lots = [f"{i:06d}" for i in range(300)]
        at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(days, unit="D")
        history = pd.DataFrame(
            {"key_value": lots * 8, "codes_affected": codes[:, :8].T.ravel(), "at": np.repeat(at[:8], 300)}
        )
        known = scmkit.estimate(pd.DataFrame({"lot_number": lots}), "lot_number", history=history, now=at[8])
        held.append(known.total_interval[0] <= codes[:, 8].sum() <= known.total_interval[1])
    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 40)


def test_sources_combine() -> None:
    """A sample and an earlier call together are more certain than either alone."""
    lots, rng = [f"{i:06d}" for i in range(50)], np.random.default_rng(0)
    df, true = pd.DataFrame({"lot_number": lots}), coverage.draw("lognormal, light", 50, 1_000.0, rng)
    sample = pd.DataFrame({"lot_number": np.repeat(lots, rng.binomial(true, 0.02))})
    history = pd.DataFrame(
        {"key_value": lots[:25], "codes_affected": true[:25], "at": pd.Timestamp("2026-01-01", tz="UTC")}
    )
    now = pd.Timestamp("2026-01-11", tz="UTC")
    both = scmkit.estimate(df, "lot_number", sample, 0.02, history, now=now).frame[:25]
    sampled = scmkit.estimate(df, "lot_number", sample, 0.02).frame[:25]
    earlier = scmkit.estimate(df, "lot_number", history=history, now=now).frame[:25]
    for alone in (sampled, earlier):
        assert ((both["high"] - both["low"]) / (alone["high"] - alone["low"])).median() < 0.95
    assert (both["codes"] - true[:25]).abs().mean() < (sampled["codes"] - true[:25]).abs().mean()


# Service times


def world(rng: np.random.Generator) -> scmkit.ServiceTime:
    """A service unlike the documented one: other constants, heavier noise."""
    base, item = np.array([0.3, 0.0005]) * np.exp(0.7 * rng.standard_normal(2))
    return scmkit.ServiceTime.fixed(base, 0.0023 * np.exp(rng.uniform(-0.7, 0.7)), item, rng.uniform(0.2, 0.6))


def observe(service: scmkit.ServiceTime, calls: int, rng: np.random.Generator) -> pd.DataFrame:
    """Make calls of a service."""
    return observing.observe(lambda c, i: service.draw(c, i, rng), service.per_code_s[0], calls, rng)


@pytest.mark.parametrize(("calls", "most"), [(15, 0.035), (50, 0.025)])
def test_predicted_risks_happen_as_often_as_they_say(calls: int, most: float) -> None:
    """After a few observed calls, a fifth of them censored, a predicted 10 % happens 10 % of the time."""
    risks, happened, censored = [], [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        service = world(rng)
        seen = observe(service, calls, rng)
        new = observe(service, 40, rng)
        risks.append(scmkit.ServiceTime.fit(seen).timeout_risk(new["codes"], new["items"]))
        happened.append(new["timed_out"])
        censored.append(seen["timed_out"].mean())
    assert 0.15 < np.mean(censored) < 0.25
    assert observing.calibration_error(np.concatenate(risks), np.concatenate(happened)) <= most


def test_the_censored_fit_recovers_the_truth_and_dropping_does_not() -> None:
    """Within three standard errors in 95 % of 200 worlds; without the timed-out calls the risk looks far too small."""
    within, kept, dropped = [], [], []
    for seed in range(200):
        rng = np.random.default_rng(1_000 + seed)
        service = world(rng)
        calls = observe(service, 60, rng)
        model = scmkit.ServiceTime.fit(calls)
        z = [
            (np.log(truth["median"]) - np.log(found["median"])) / found["log_se"]
            for truth, found in ((service.parameters[n], model.parameters[n]) for n in fitting.NAMES[:4])
        ]
        within.append(np.abs(z) <= 3)
        codes = np.round(57 / service.per_code_s[0])
        truth = service.timeout_risk(codes)
        kept.append(model.timeout_risk(codes) - truth)
        dropped.append(scmkit.ServiceTime.fit(calls[~calls["timed_out"]]).timeout_risk(codes) - truth)
    assert np.mean(within, axis=0).min() >= 0.95
    assert abs(np.mean(kept)) < 0.02
    assert np.mean(dropped) < -0.05


def test_a_few_wild_observations_change_little() -> None:
    """A sleeping laptop or a lucky cache does not move the model."""
    rng = np.random.default_rng(5)
    service = world(rng)
    calls = observe(service, 60, rng)
    clean = scmkit.ServiceTime.fit(calls)
    calls.loc[[7, 31], "seconds"] *= [0.001, 0.002]
    wild = scmkit.ServiceTime.fit(calls)
    assert wild.check is not None
    assert wild.check.wild >= 1
    codes = np.array([5_000, 15_000, 25_000])
    assert wild.timeout_risk(codes) == pytest.approx(clean.timeout_risk(codes), abs=0.05)


def test_a_service_that_changed_is_noticed() -> None:
    """When the later calls are slower, the fit says so; when they are not, it is silent."""
    rng = np.random.default_rng(6)
    service = scmkit.ServiceTime.fixed(noise=0.2)
    calls = observe(service, 60, rng)
    assert not scmkit.ServiceTime.fit(calls).check.changed
    slower = calls.assign(seconds=np.where(np.arange(60) < 30, calls["seconds"], calls["seconds"] * 2.5))
    slower = slower.assign(timed_out=slower["seconds"] >= 60, seconds=slower["seconds"].clip(upper=60))
    with pytest.warns(scmkit.core.errors.ServiceChangedWarning, match="slower"):
        scmkit.ServiceTime.fit(slower)


def test_few_calls_say_that_they_are_few() -> None:
    """Three calls hardly move the prior, and the source says so; a hundred do."""
    rng = np.random.default_rng(7)
    service = scmkit.ServiceTime.fixed(per_code_s=0.006, noise=0.2)
    few, many = (scmkit.ServiceTime.fit(observe(service, n, rng)) for n in (3, 100))
    assert "too few" in few.source
    assert "too few" not in many.source
    assert many.parameters["per_code_s"]["low"] < 0.006 < many.parameters["per_code_s"]["high"]
    assert few.parameters["per_code_s"]["log_se"] > 2 * many.parameters["per_code_s"]["log_se"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"timed_out": True}, "no completed call"),
        ({"seconds": float("nan")}, "call 0: seconds"),
        ({"seconds": 0.0}, "call 0: seconds"),
        ({"codes": -1}, "call 0: codes"),
        ({"codes": None}, "call 0: codes"),
        ({"mode": "async"}, "no completed call"),
    ],
)
def test_observations_that_cannot_be_are_clear_errors(change: dict, words: str) -> None:
    """Never a silent NaN in a risk."""
    calls = observe(scmkit.ServiceTime.fixed(), 5, np.random.default_rng(1)).assign(**change)
    with pytest.raises(scmkit.core.errors.PlanError, match=words):
        scmkit.ServiceTime.fit(calls)
    with pytest.raises(scmkit.core.errors.PlanError, match="lack seconds"):
        scmkit.ServiceTime.fit(calls.drop(columns="seconds"))


def test_a_fit_is_bounded_in_time_and_memory() -> None:
    """100,000 calls are fitted within seconds and a tenth of what they would take, and the risk stays right."""
    service = scmkit.ServiceTime.fixed(noise=0.3)
    calls = observe(service, 100_000, np.random.default_rng(3))
    tracemalloc.start()
    begun = time.monotonic()
    model = scmkit.ServiceTime.fit(calls)
    model.after(list(calls.itertuples(index=False, name=None)))
    seconds, (_, peak) = time.monotonic() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10
    assert peak < 200e6
    assert model.source.startswith("fitted to 2,000 of 100,000 calls")
    assert model.check is not None
    assert (model.check.calls, model.check.timed_out) == (100_000, calls["timed_out"].sum())
    codes = np.array([5_000, 15_000, 20_000, 30_000])
    assert model.timeout_risk(codes) == pytest.approx(service.timeout_risk(codes), abs=0.03)


def test_a_thinned_fit_recovers_the_truth() -> None:
    """With more calls than are used, a fifth of them censored, the truth is within three standard errors."""
    for seed in range(5):
        rng = np.random.default_rng(2_000 + seed)
        service = world(rng)
        model = scmkit.ServiceTime.fit(observe(service, 10_000, rng))
        for name in ("base_s", "per_code_s", "noise"):
            truth, found = service.parameters[name], model.parameters[name]
            assert abs(np.log(truth["median"]) - np.log(found["median"])) <= 3 * found["log_se"], (seed, name)


def test_which_calls_are_used_has_nothing_to_do_with_how_they_ended() -> None:
    """Order and size choose: the same calls stay if others had timed out, the latest of a size, and rare large ones."""
    rng = np.random.default_rng(4)
    codes, items = np.full(30_000, 100.0), np.ones(30_000)
    codes[[5, 700, 9_000]] = 20_000.0
    seconds = rng.uniform(1, 60, 30_000)
    kept = [fitting.Observations(codes, items, seconds, cut).thinned() for cut in (seconds > 40, seconds < 5)]
    assert np.array_equal(kept[0].seconds, kept[1].seconds)
    assert len(kept[0].codes) == fitting.MOST
    assert np.array_equal(kept[0].seconds[:3], seconds[[5, 700, 9_000]])
    assert np.array_equal(kept[0].seconds[3:], seconds[-fitting.MOST + 3 :])


def test_the_same_calls_give_the_same_model() -> None:
    """A fit draws random numbers, but always the same ones."""
    calls = observe(scmkit.ServiceTime.fixed(), 20, np.random.default_rng(2))
    first, again = (scmkit.ServiceTime.fit(calls) for _ in range(2))
    assert np.array_equal(first.per_code_s, again.per_code_s)
    assert np.array_equal(fitting.prior_draws(), fitting.prior_draws())
