"""The simulation agrees with closed forms where they exist."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scmkit
from scmkit.contract import UPDATES_PER_SECOND
from scmkit.errors import PlanError
from scmkit.playing import ASYNC_ANSWER_S


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


def simpy_makespans(plan: scmkit.Plan, trials: int, seed: int) -> np.ndarray:
    """The same queue as a discrete-event model: workers, pace, halves behind all others, tasks on servers."""
    import simpy

    model, rng, assumed = plan.service_time, np.random.default_rng(seed), plan.assumptions
    ends = np.zeros(trials)

    def one_trial(trial: int) -> None:
        env = simpy.Environment()
        workers, servers = simpy.Resource(env, plan.workers), simpy.Resource(env, assumed.parallel_tasks)
        which, permit = rng.integers(len(model.noise)), [0.0]

        def seconds(codes: float, items: float) -> float:
            median = model.base_s[which] + model.per_code_s[which] * codes + model.per_item_s[which] * items
            return median * np.exp(model.noise[which] * rng.standard_normal())

        def task(codes: float) -> Iterator[object]:
            with servers.request() as turn:
                yield turn
                yield env.timeout(seconds(codes, 1))
            ends[trial] = max(ends[trial], env.now + assumed.task_overhead_s)

        def call(is_async: bool, codes: float, rows: float) -> Iterator[object]:
            with workers.request() as turn:
                yield turn
                start = max(env.now, permit[0])
                permit[0] = start + 1 / UPDATES_PER_SECOND
                took = ASYNC_ANSWER_S if is_async else seconds(codes, rows)
                yield env.timeout(start - env.now + min(took, plan.timeout_s))
            ends[trial] = max(ends[trial], env.now)
            if is_async:
                env.process(task(codes))
            elif took > plan.timeout_s and rows <= 1:
                env.process(call(True, codes, 1))
            elif took > plan.timeout_s:
                for size in (np.ceil(rows / 2), np.floor(rows / 2)):
                    env.process(call(False, codes / 2, size))

        for facts in zip(plan.is_async, plan.schedule.codes.codes, plan.schedule.rows, strict=True):
            env.process(call(*facts))
        env.run()

    for trial in range(trials):
        one_trial(trial)
    return ends


def test_it_agrees_with_a_discrete_event_model() -> None:
    """The makespan has the mean and the 95 % quantile of the same queue written in SimPy, within 2 %."""
    rng = np.random.default_rng(1)
    plan = lots(np.append(rng.integers(500, 9_000, 60), [24_000, 30_000]).tolist(), workers=6)
    assert {True, False} == set(plan.is_async.tolist())
    ours = scmkit.simulate(plan, trials=20_000, seed=2).makespans
    theirs = simpy_makespans(plan, 6_000, seed=3)
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02)
    assert np.quantile(ours, 0.95) == pytest.approx(np.quantile(theirs, 0.95), rel=0.02)


def test_alternatives_show_the_choice() -> None:
    """Next to the plan stand all async and all sync in batches; a batch of everything times out and is halved."""
    risk = scmkit.simulate(lots([9_000, 8_000, 7_000, 400, 30, 30, 2]), trials=300, seed=1)
    ways = risk.alternatives
    assert ways.index[0] == "auto (this plan)"
    assert {"all async", "all sync, 7 rows a call"} < set(ways.index)
    assert ways.loc["all sync, 7 rows a call", "expected_resends"] > 0.3
    assert ways["seconds_median"].iloc[0] <= ways["seconds_median"].min() * 1.05 + 1.0


@pytest.mark.parametrize("group", range(4))
def test_auto_is_not_beaten_by_any_fixed_batch(group: int) -> None:
    """Over 20 random worlds no fixed batch size of the same or lower true risk ends more than 5 % earlier."""
    for seed in range(group * 5, group * 5 + 5):
        rng = np.random.default_rng(seed)
        true = scmkit.ServiceTime.fixed(
            rng.uniform(0.1, 2), 0.003 * np.exp(rng.uniform(-1, 1)), rng.uniform(0, 0.002), rng.uniform(0.05, 0.5)
        )
        codes = np.maximum(1, np.exp(rng.uniform(0, 5) + rng.uniform(0.1, 1.8) * rng.standard_normal(300)))
        plan = lots(np.minimum(codes, 8_000).astype(int).tolist(), service_time=true, workers=int(rng.integers(2, 12)))
        ours = scmkit.simulate(plan, trials=400, seed=seed)
        for batch in (1, 3, 5, 10, 20, 30, 50, 100, 300):
            fixed = scmkit.simulate(plan.otherwise("sync", batch), trials=400, seed=seed)
            if fixed.expected_resends <= ours.expected_resends + 1e-9:
                assert ours.makespan["mean"] <= 1.05 * fixed.makespan["mean"] + 0.05, (seed, batch, plan.choice)
