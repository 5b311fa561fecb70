"""Service times in worlds that the model was not made for: `pytest -m slow -s tests/unit/test_laws.py` prints a table.

Each law says how long calls take, one after the other. None of them is drawn by the model itself.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from observing import calibration_error, observe
from scipy.optimize import minimize
from scipy.special import expit, log_ndtr

import scmkit

pytestmark = pytest.mark.filterwarnings("ignore::scmkit.core.errors.ServiceChangedWarning")

Law = Callable[[np.ndarray, np.ndarray], np.ndarray]  # codes and items of the next calls -> their seconds
KNOWN = 50  # calls


class World:
    """A service with its own constants: how long a call takes in the middle, and how it varies."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.base, self.item = np.array([0.3, 0.0005]) * np.exp(0.5 * rng.standard_normal(2))
        self.code, self.noise = 0.0023 * np.exp(rng.uniform(-0.7, 0.7)), rng.uniform(0.15, 0.5)
        self.made, self.level = 0, 0.35 * rng.standard_normal()

    def middle(self, codes: np.ndarray, items: np.ndarray, power: float = 1.0) -> np.ndarray:
        return self.base + self.code * 20_000 * (codes / 20_000) ** power + self.item * items

    def normal(self, codes: np.ndarray, sd: float | None = None) -> np.ndarray:
        return np.exp((self.noise if sd is None else sd) * self.rng.standard_normal(len(codes)))

    def drift(self, calls: int) -> np.ndarray:
        """An hour has good and bad minutes: autocorrelation 0.9 from call to call."""
        levels = np.empty(calls)
        for call in range(calls):
            levels[call] = self.level
            self.level = 0.9 * self.level + 0.35 * np.sqrt(1 - 0.9**2) * self.rng.standard_normal()
        return np.exp(levels)

    def load(self, calls: int) -> np.ndarray:
        """From the middle of the known calls on, everything takes twice as long."""
        self.made += calls
        return np.where(np.arange(self.made - calls, self.made) >= KNOWN / 2, 2, 1)


LAWS: dict[str, Callable[[World], Law]] = {
    "lognormal": lambda w: lambda c, i: w.middle(c, i) * w.normal(c),
    "gamma": lambda w: lambda c, i: w.middle(c, i) * w.rng.gamma(w.noise**-2, w.noise**2, len(c)),
    "Weibull": lambda w: lambda c, i: w.middle(c, i) * w.rng.weibull(1.2 / w.noise, len(c)),
    "stragglers": lambda w: (
        lambda c, i: w.middle(c, i) * w.normal(c, 0.6 * w.noise) * np.where(w.rng.random(len(c)) < 0.05, 5, 1)
    ),
    "codes^0.85": lambda w: lambda c, i: w.middle(c, i, 0.85) * w.normal(c),
    "codes^1.2": lambda w: lambda c, i: w.middle(c, i, 1.2) * w.normal(c),
    "per item": lambda w: lambda c, i: (w.middle(c, i) + 40 * w.item * i) * w.normal(c),
    "AR(1)": lambda w: lambda c, i: w.middle(c, i) * w.drift(len(c)) * w.normal(c, 0.15),
    "load x2": lambda w: lambda c, i: w.middle(c, i) * w.load(len(c)) * w.normal(c, 0.2),
}


def calls_of(law: Law, world: World, calls: int) -> pd.DataFrame:
    """Make calls under a law."""
    return observe(law, world.code, calls, world.rng)


def logistic(known: pd.DataFrame, new: pd.DataFrame) -> np.ndarray:
    """Only whether a call timed out: a logistic regression on the logarithms of codes and items."""

    def inputs(calls: pd.DataFrame) -> np.ndarray:
        return np.column_stack([np.ones(len(calls)), np.log(calls["codes"]) - 8, np.log(calls["items"])])

    cut, at = known["timed_out"].to_numpy(dtype=float), inputs(known)

    def cost(b: np.ndarray) -> float:
        p = np.clip(expit(at @ b), 1e-12, 1 - 1e-12)
        return -(cut * np.log(p) + (1 - cut) * np.log(1 - p)).sum() + 0.01 * (b**2).sum()

    return expit(inputs(new) @ minimize(cost, np.zeros(3)).x)


def censored_fit(known: pd.DataFrame, new: pd.DataFrame, linear: bool) -> np.ndarray:
    """Lognormal noise, the cut calls censored, around a line in codes and items or in their logarithms."""

    def centre(b: np.ndarray, calls: pd.DataFrame) -> np.ndarray:
        codes, items = calls["codes"].to_numpy(), calls["items"].to_numpy()
        if linear:
            return np.log(np.exp(b[0]) + np.exp(b[1]) * codes / 1e3 + np.exp(b[3]) * items / 1e3)
        return b[0] + b[1] * (np.log(codes) - 8) + b[3] * np.log(items)

    log_seconds, cut = np.log(known["seconds"].to_numpy()), known["timed_out"].to_numpy()

    def cost(b: np.ndarray) -> float:
        noise = np.exp(np.clip(b[2], -4, 2))
        z = (log_seconds - centre(b, known)) / noise
        return -np.where(cut, log_ndtr(-z), -0.5 * z**2 - np.log(noise)).sum() + 1e-3 * (b**2).sum()

    b = minimize(cost, np.array([0.0, 1.0, -1.0, 0.0]), method="Nelder-Mead", options={"maxiter": 4_000}).x
    return np.exp(log_ndtr((centre(b, new) - np.log(60)) / np.exp(np.clip(b[2], -4, 2))))


def predicted(law: str, seeds: range) -> tuple[float, dict[str, float]]:
    """Return the calibration error of what is predicted after 50 calls, and everybody's Brier score."""
    risks, happened, scores = [], [], []
    for seed in seeds:
        world = World(seed)
        seconds = LAWS[law](world)
        known = calls_of(seconds, world, KNOWN)
        new = calls_of(seconds, world, 60)
        ours = scmkit.ServiceTime.fit(known).timeout_risk(new["codes"], new["items"])
        cut = new["timed_out"].to_numpy(dtype=float)
        others = logistic(known, new), censored_fit(known, new, False), censored_fit(known, new, True)
        scores.append([((p - cut) ** 2).mean() for p in (ours, *others)])
        risks.append(ours)
        happened.append(cut)
    brier = dict(zip(("ours", "logistic", "log-log", "linear"), np.mean(scores, axis=0), strict=True))
    return calibration_error(np.concatenate(risks), np.concatenate(happened)), brier


def planned(law: str, seeds: range, lots: int) -> tuple[float, float]:
    """Return the share of sync calls planned for 1 % that the gateway cuts, and the makespan beside the truth's plan.

    What the truth's plan is, a fit to 3,000 calls tells. Laws that change with time have no such plan.
    """
    cut, ratios = [], []
    for seed in seeds:
        world = World(seed)
        seconds = LAWS[law](world)
        model = scmkit.ServiceTime.fit(calls_of(seconds, world, KNOWN))
        codes = np.maximum(1, np.exp(world.rng.normal(5.8, 1.2, lots))).astype(int)
        df = pd.DataFrame({"lot_number": [f"{i:06d}" for i in range(lots)], "wine_name": range(lots)})
        known = scmkit.estimate(df, "lot_number", pd.DataFrame({"lot_number": np.repeat(df["lot_number"], codes)}))
        plan = scmkit.plan(df, "lot_number", estimate=known, service_time=model)
        sync = ~plan.is_async
        held, rows = plan.schedule.codes.codes[sync], plan.schedule.rows[sync].astype(float)
        cut.append(np.mean([seconds(held, rows) > 60 for _ in range(20)]))
        if law not in ("AR(1)", "load x2"):
            other = World(seed)
            truth = scmkit.ServiceTime.fit(calls_of(LAWS[law](other), other, 3_000))
            best = scmkit.plan(df, "lot_number", estimate=known, service_time=truth)
            ends = [makespan(each, codes, seconds) for each in (plan, best)]
            ratios.append(ends[0] / ends[1])
    return float(np.mean(cut)), float(np.mean(ratios)) if ratios else float("nan")


def makespan(plan: scmkit.Plan, codes: np.ndarray, seconds: Law, trials: int = 5) -> float:
    """Carry a plan out under a law: workers at the client's pace, cut calls in halves, tasks on the servers."""
    ends = []
    for _ in range(trials):
        workers, servers = np.zeros(plan.workers), np.zeros(plan.assumptions.parallel_tasks)
        queue = [(0.0, bool(plan.is_async[c]), plan.rows_of(c)) for c in range(len(plan))]
        permit, end = 0.0, 0.0
        while queue:
            ready, is_async, rows = queue.pop(0)
            took = float(seconds(np.array([codes[rows].sum()]), np.array([1.0 if is_async else len(rows)]))[0])
            worker = workers.argmin()
            start = max(workers[worker], permit, ready)
            permit = start + 1 / 9.5
            workers[worker] = start + (0.1 if is_async else min(took, 60))
            if is_async:
                server = servers.argmin()
                servers[server] = max(servers[server], workers[worker]) + took
                end = max(end, servers[server] + plan.assumptions.task_overhead_s)
            elif took > 60:
                halves = np.array_split(rows, 2) if len(rows) > 1 else [rows]
                queue += [(workers[worker], len(rows) == 1, half) for half in halves]
        ends.append(max(end, workers.max()))
    return float(np.mean(ends))


@pytest.mark.parametrize("law", LAWS)
def test_risks_are_honest_under_every_law(law: str) -> None:
    """After 50 calls a predicted 10 % happens 10 % of the time, and no simpler model predicts clearly better."""
    error, brier = predicted(law, range(12))
    assert error <= 0.045  # of 720 calls; chance alone is about 0.02
    assert brier["ours"] <= min(brier.values()) * 1.05


@pytest.mark.slow
@pytest.mark.timeout(1_500)
def test_a_table_of_all_laws() -> None:
    """At most 0.015 of calibration error, 1.5 % of cut calls where 1 % was asked for, a quarter more of time."""
    lines = {}
    for law in LAWS:
        error, brier = predicted(law, range(100))
        light, heavy = planned(law, range(500, 512), 400), planned(law, range(500, 512), 2_000)
        lines[law] = {"error": error, **brier, "cut": max(light[0], heavy[0]), "time": max(light[1], heavy[1])}
    table = pd.DataFrame(lines).T
    print("\n" + table.round(4).to_string())
    assert table["error"].max() <= 0.015
    assert (table["ours"] < table[["logistic", "log-log"]].min(axis=1)).all()
    assert (table["ours"] <= 1.02 * table["linear"]).all()  # where all is linear and lognormal, nothing is better
    assert table["cut"].max() <= 0.015
    assert table["time"].max() <= 1.25
