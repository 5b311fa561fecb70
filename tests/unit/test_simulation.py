"""The simulation agrees with closed forms where they exist."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simpy_queue import simpy_makespans

import scmkit
from scmkit.core.errors import PlanError
from scmkit.estimation.fan_out import Bounds
from scmkit.planning.trials import ASYNC_ANSWER_S, INTERVAL_S, Queue, Schedule, play


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
    starts = np.arange(3) * INTERVAL_S
    assert risk.makespan[0.5] == pytest.approx((starts + [10, 9, 8]).max())
    assert risk.expected_resends == 0


def test_the_pace_bounds_many_small_calls() -> None:
    """100 calls need as long as the client's own pace of 9.5 a second takes, whatever the workers."""
    model = scmkit.ServiceTime.fixed(base_s=0.01, per_code_s=0, per_item_s=0, noise=0)
    plan = lots([1] * 100, service_time=model, workers=50, assumptions=scmkit.Assumptions(max_body_bytes=1))
    assert scmkit.simulate(plan, trials=3, seed=0).makespan[0.5] == pytest.approx(99 / 9.5 + 0.01)


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


def zipf(lots: int, largest: int) -> list[int]:
    """A few lots hold most of the codes; in no order."""
    return np.random.default_rng(0).permutation((largest / np.arange(1, lots + 1)).astype(int) + 1).tolist()


@pytest.mark.parametrize(
    ("codes", "options"),
    [
        (np.append(np.random.default_rng(1).integers(500, 9_000, 60), [24_000, 30_000]).tolist(), {"workers": 6}),
        ([60_000, 10, 20, 500, 30, 5, 80, 1_000], {"mode": "sync", "batch": 8}),  # a giant that no half gets rid of
        (zipf(300, 20_000), {"mode": "sync", "batch": 25}),
        (zipf(300, 20_000), {}),
        ([900] * 400, {"mode": "sync", "batch": 40, "workers": 3}),  # hardly a call is in time
        ([20_000, 9_000, *[300] * 40], {"mode": "async"}),
    ],
)
def test_it_agrees_with_a_row_level_model(codes: list[int], options: dict) -> None:
    """Mean, 5 % and 95 % of the makespan are within 3 % of the same upload played row by row, with many 504s too."""
    plan = lots(codes, service_time=scmkit.ServiceTime.fixed(noise=0.2), **options)
    ours = scmkit.simulate(plan, trials=10_000, seed=2).makespans
    theirs = simpy_makespans(plan, codes, 400, seed=3)
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.02 + 3 * theirs.std() / theirs.mean() / np.sqrt(400))
    for q in (0.05, 0.95):  # the standard error of a quantile is about twice that of the mean
        assert np.quantile(ours, q) == pytest.approx(
            np.quantile(theirs, q), rel=0.02 + 6 * theirs.std() / theirs.mean() / np.sqrt(400)
        )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_a_row_level_model_in_random_worlds(seed: int) -> None:
    """Within 3 % for light and heavy tails, batches that time out and plans of auto, services fast and slow."""
    rng = np.random.default_rng(seed)
    codes = np.minimum(rng.pareto(rng.uniform(1, 3), 200) * rng.uniform(50, 2_000), 60_000).astype(int) + 1
    service = scmkit.ServiceTime.fixed(
        rng.uniform(0.1, 2), 0.003 * np.exp(rng.uniform(-1, 1)), 0.0005, rng.uniform(0.05, 0.6)
    )
    options = {} if seed % 4 == 0 else {"mode": "sync", "batch": int(rng.integers(5, 100))}
    plan = lots(codes.tolist(), service_time=service, workers=int(rng.integers(1, 10)), **options)
    ours = scmkit.simulate(plan, trials=10_000, seed=seed).makespans
    theirs = simpy_makespans(plan, codes.tolist(), 3_000, seed=seed + 100)
    assert ours.mean() == pytest.approx(theirs.mean(), rel=0.03)
    for q in (0.05, 0.95):  # of 3,000 trials, a quantile is known to within 3 * sqrt(q * (1 - q) / 3_000) of its rank
        least, most = np.quantile(theirs, [q - 0.012, q + 0.012])
        assert 0.97 * least <= np.quantile(ours, q) <= 1.03 * most


def test_the_order_of_the_table_does_not_matter() -> None:
    """Tasks go out with the largest first: sorted, reversed or shuffled, the plan takes the same time."""
    codes = [20_000, *[1_000] * 40, *range(1, 40)]
    orders = [codes, codes[::-1], np.random.default_rng(1).permutation(codes).tolist()]
    for options in ({"mode": "async"}, {}):
        means = {round(scmkit.simulate(lots(o, **options), trials=400, seed=1).makespan["mean"], 6) for o in orders}
        assert len(means) == 1


def test_unknown_counts_are_played_as_they_are_printed() -> None:
    """The codes that a plan prints are the mean of those that its simulation plays, and they all err together."""
    df = pd.DataFrame({"lot_number": [f"{i:03d}" for i in range(40)], "wine_name": range(40)})
    known = scmkit.estimate(df, "lot_number", default=(100, 4_000))
    plan = scmkit.plan(df, "lot_number", mode="sync", estimate=known, service_time=scmkit.ServiceTime.fixed(noise=0))
    schedule = plan.schedule
    factors, _ = playing_draw(schedule, 4_000)
    played = factors * schedule.codes.codes[:, None]
    assert played.mean(axis=1) == pytest.approx(plan.calls["codes_mid"].to_numpy(), rel=0.05)
    inside = (played >= schedule.codes.low[:, None]) & (played <= schedule.codes.high[:, None])
    assert inside.mean() > 0.93
    assert np.corrcoef(factors[0], factors[-1])[0, 1] > 0.99


def playing_draw(schedule: object, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the codes of all calls."""
    return Queue(schedule, trials, np.random.default_rng(5)).draw_block(slice(0, len(schedule.rows)))


def test_alternatives_show_the_choice() -> None:
    """Next to the plan stand all async and all sync in batches; a batch of everything times out and is halved."""
    risk = scmkit.simulate(lots([9_000, 8_000, 7_000, 400, 30, 30, 2]), trials=300, seed=1)
    ways = risk.alternatives
    assert ways.index[0] == "auto (this plan)"
    assert {"all async", "all sync, 7 rows a call"} < set(ways.index)
    assert ways.loc["all sync, 7 rows a call", "expected_resends"] > 0.3
    assert ways["seconds_median"].iloc[0] <= ways["seconds_median"].min() * 1.05 + 1.0


def test_of_its_own_plan_a_comparison_says_what_the_simulation_says() -> None:
    """Two numbers for one thing, on one surface, are one too many; and a number of calls is a whole one."""
    risk = scmkit.simulate(lots([9_000, 8_000, 7_000, 400, 30, 30, 2]), trials=2_000, seed=1)
    own = risk.alternatives.iloc[0]
    assert (own["seconds_p95"], own["expected_resends"]) == (risk.makespan[0.95], risk.expected_resends)
    assert risk.alternatives["calls"].dtype.kind == "i"


def test_a_few_late_trials_do_not_squeeze_the_picture_of_all_others() -> None:
    """The picture ends where all but a hundredth have; how many end later, and how late, is said in words."""
    risk = scmkit.simulate(lots([9_000, 8_000, 7_000, 400, 30, 30, 2]), trials=2_000, seed=1)
    ends = np.append(np.full(1_990, 60.0) + np.arange(1_990) / 100, np.full(10, 36_000.0))
    ax = replace(risk, makespans=ends).plot()
    assert ax.get_xlim()[1] < 100
    assert "trials; 20 end later, the last after 10 h" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(0.99)


def tables(seed: int) -> tuple[np.ndarray, np.ndarray, dict]:
    """A random table: codes of each lot, the values of its rows, and who uploads it to what service."""
    rng = np.random.default_rng(seed)
    kind = ("light", "heavy", "equal values", "few", "equal codes")[seed % 5]
    lots = int(rng.integers(2, 60)) if kind == "few" else int(np.exp(rng.uniform(np.log(100), np.log(4_000))))
    codes = np.exp(rng.uniform(0, 6) + rng.uniform(0.1, 1.5) * rng.standard_normal(lots))
    if kind == "heavy":
        codes = np.minimum((rng.pareto(rng.uniform(1, 2), lots) + 1) * rng.uniform(1, 100), 200_000)
    elif kind == "equal codes":
        codes = np.full(lots, rng.integers(1, 2_000))
    codes = (codes * min(1, 3e6 / codes.sum())).astype(int)
    values = rng.integers(0, rng.choice([1, 5, 50]), lots) if kind == "equal values" else np.arange(lots)
    service = scmkit.ServiceTime.fixed(
        rng.uniform(0.1, 2), 0.003 * np.exp(rng.uniform(-1, 1)), rng.uniform(0, 0.002), rng.uniform(0.05, 0.5)
    )
    return codes, values, {"service_time": service, "workers": int(rng.integers(2, 12))}


def best_of_simple_plans(codes: np.ndarray, service_time: scmkit.ServiceTime, workers: int) -> float:
    """The shortest mean seconds within 1 % risk: fixed batches, LPT packings, tapering ones, the heaviest as tasks."""
    limit, order, best = service_time.max_codes(0.01, items=0), np.argsort(-codes, kind="stable"), np.inf

    def consider(tasks: np.ndarray, calls: list[np.ndarray]) -> None:
        nonlocal best
        each = [np.array([task]) for task in tasks] + [call for call in calls if len(call)]
        sizes = np.array([len(call) for call in each])
        if len(each) > 1_500:
            return
        held = np.array([codes[call].sum() for call in each], dtype=float)
        is_async = np.arange(len(each)) < len(tasks)
        made = Schedule(
            is_async, sizes, Bounds(held, held, held), service_time, workers, means=codes[np.concatenate(each)]
        )
        if made.least_ends().mean() < best and np.max(made.timeout_risk(), initial=0) <= 0.0105:
            best = min(best, play(made, 100, np.random.default_rng(7)).end.mean())

    for share in (0, 0.2, 0.4, 0.6):
        to_task = (np.cumsum(codes[order]) <= share * codes.sum()) | (codes[order] > limit)
        tasks, rest = order[to_task], order[~to_task]
        if not len(rest):
            consider(tasks, [])
            continue
        for number in {1, workers, 2 * workers, 3 * workers, 6 * workers, int(codes[rest].sum() / limit * 1.1) + 1}:
            for taper in (np.ones(number), np.linspace(1, 0.2, number)):
                calls: list[list[int]] = [[] for _ in range(number)]
                room = codes[rest].sum() * taper / taper.sum()
                for row in rest.tolist():
                    fullest = int(np.argmax(room))
                    calls[fullest].append(row)
                    room[fullest] -= codes[row] + 0.2
                consider(tasks, sorted((np.array(c, dtype=int) for c in calls), key=lambda c: -codes[c].sum()))
    light = order[codes[order] <= limit]
    for batch in np.unique(np.geomspace(1, max(len(light), 1), 12).astype(int)):
        consider(order[codes[order] > limit], [light[i : i + batch] for i in range(0, len(light), batch)])
    return best


def planned(seed: int) -> tuple[scmkit.Plan, np.ndarray, dict]:
    """What auto makes of a random table whose codes are known."""
    codes, values, options = tables(seed)
    df = pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(len(codes))], "wine_name": values})
    known = scmkit.estimate(df, "lot_number", pd.DataFrame({"lot_number": np.repeat(df["lot_number"], codes)}))
    return scmkit.plan(df, "lot_number", estimate=known, **options), codes, options


def gaps_of_auto(seed: int) -> tuple[float, float]:
    """How much longer auto takes than the best simple plan, and than no order of its calls can end, as shares."""
    plan, codes, options = planned(seed)
    end = play(plan.schedule, 100, np.random.default_rng(7)).end.mean()
    return end / best_of_simple_plans(codes, **options) - 1, end / least_seconds(plan.schedule) - 1


def least_seconds(schedule: Schedule, trials: int = 200) -> float:
    """A bound below the mean makespan of a plan's calls, in whatever order: were their seconds known, and no one idle.

    All workers and all of the service's servers work to the end, once the pace has let them begin; none is shorter than
    the longest call; and the last call begins when the pace lets it. What is cut and made again is left out.
    """
    rng, items, least = np.random.default_rng(1), np.where(schedule.is_async, 1, schedule.rows), []

    def shared(work: float, calls: int, among: int) -> float:
        begun = min(calls, among)
        return (work + INTERVAL_S * begun * (begun - 1) / 2) / among

    for _ in range(trials):
        seconds = schedule.model.draw(schedule.codes.codes, items, rng)
        sync, tasks = np.minimum(seconds[~schedule.is_async], 60), seconds[schedule.is_async]
        made = sync.sum() + ASYNC_ANSWER_S * len(tasks)
        paced = (len(seconds) - 1) * INTERVAL_S + seconds.min()
        done = max(shared(tasks.sum(), len(tasks), schedule.assumed.parallel_tasks), tasks.max(initial=0))
        done += ASYNC_ANSWER_S + schedule.assumed.task_overhead_s if len(tasks) else 0
        least.append(max(shared(made, len(seconds), schedule.workers), sync.max(initial=0), done, paced))
    return float(np.mean(least))


@pytest.mark.parametrize("group", range(5))
def test_auto_is_nearly_the_best_plan(group: int) -> None:
    """Light, heavy and equal codes, equal values, few rows: auto ends within 10 % of the best of many simple plans."""
    assert max(gaps_of_auto(seed)[0] for seed in (group, group + 5)) <= 0.10


def test_sync_calls_do_not_wait_for_the_pace_of_many_tasks() -> None:
    """Beside 573 tasks, which take a minute to go out, the first sync calls start at once, and the upload ends so."""
    plan = planned(15)[0]
    assert plan.is_async.sum() > 300
    assert np.flatnonzero(~plan.is_async)[0] <= 20
    assert play(plan.schedule, 100, np.random.default_rng(7)).end.mean() <= 1.25 * least_seconds(plan.schedule)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_auto_is_nearly_the_best_plan_in_200_tables() -> None:
    """As above, in 200 tables; half of them within 1 %, and within 6 % of what its calls take at least."""
    gaps = np.array([gaps_of_auto(seed) for seed in range(200)])
    for gap, beside in zip(gaps.T, ("the best simple plan", "the least that its calls can take"), strict=True):
        print(f"\nauto against {beside}: median {np.median(gap):.1%}, largest {gap.max():.1%}")
    assert gaps[:, 0].max() <= 0.10
    assert np.all(np.median(gaps, axis=0) <= [0.01, 0.06])


def test_equal_values_are_no_reason_for_one_large_call() -> None:
    """240 lots of 60 codes with one value are shared among the workers, as lots with different values would be."""
    df = pd.DataFrame({"lot_number": [f"{i:03d}" for i in range(240)], "wine_name": "one"})
    inventory = pd.DataFrame({"lot_number": np.repeat(df["lot_number"], 60)})
    service = scmkit.ServiceTime.fixed()
    equal = scmkit.plan(df, "lot_number", inventory=inventory, service_time=service)
    different = scmkit.plan(df.assign(wine_name=range(240)), "lot_number", inventory=inventory, service_time=service)
    assert equal.seconds <= different.seconds * 1.02
