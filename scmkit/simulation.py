"""From a plan to its risk: Monte Carlo over codes, service times, workers, pace and resends.

A trial draws one set of service-time parameters, the codes of every call and the disturbance of every call, and plays
the upload: calls start in the plan's order, as workers and the pace allow; a sync call that takes longer than the
gateway waits is lost after that time and comes again, in halves, behind all others; a single key value that still
times out becomes a task. All trials are played at once, call by call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scmkit import contract, display
from scmkit.errors import PlanError
from scmkit.latency import ServiceTime
from scmkit.planning import Plan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ASYNC_ANSWER_S = 0.1  # an async call is answered at once [seed]; what "at once" is, is assumed
_Z975 = 1.959964


@dataclass(frozen=True, eq=False)
class Risk:
    """What an upload will probably be like.

    Attributes
    ----------
    calls : DataFrame
        A line per call: ``mode``, ``codes``, ``timeout_risk`` (probability), ``seconds_mean``, ``seconds_p95``.
    makespan : Series
        Quantiles of the seconds from the first call to the last end, and their ``mean``.
    expected_resends : float
        Calls made again after a 504, on average.
    wasted_s : float
        Seconds of calls that the gateway cut, on average.
    trials : int
    makespans : array of float, shape (trials,)
    """

    calls: pd.DataFrame
    makespan: pd.Series
    expected_resends: float
    wasted_s: float
    trials: int
    makespans: Floats

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the distribution of the makespan and the riskiest calls."""
        from scmkit import plots

        return plots.risk(self, ax)

    def summary(self) -> str:
        """Say in a sentence what to expect."""
        risky = int((self.calls["timeout_risk"] > 0.01).sum())
        return (
            f"{self.makespan[0.5]:,.0f} s ({self.makespan[0.05]:,.0f} to {self.makespan[0.95]:,.0f} s in 90 % of "
            f"{self.trials:,} trials), {self.expected_resends:.2g} resends expected, "
            f"{risky:,} of {len(self.calls):,} calls with a timeout risk above 1 %"
        )

    def __repr__(self) -> str:
        riskiest = self.calls.nlargest(5, "timeout_risk", keep="first")
        return f"<Risk: {self.summary()}>\n{riskiest.to_string()}"

    def _repr_html_(self) -> str:
        riskiest = self.calls.sort_values("timeout_risk", ascending=False, kind="stable")
        return display.card("Risk", {"expected": self.summary()}, display.table(riskiest, caption="riskiest first"))


def simulate(plan: Plan, trials: int = 10_000, seed: int | None = None, workers: int | None = None) -> Risk:
    """Play a plan many times and count what happens.

    Parameters
    ----------
    plan : Plan
        From `scmkit.plan`.
    trials : int, default 10,000
        How often it is played.
    seed : int, optional
        The same seed gives the same result.
    workers : int, optional
        Calls under way at a time; by default as in the plan.

    Returns
    -------
    Risk
    """
    if trials < 1:
        raise PlanError(f"trials is 1 or more, not {trials}")
    if not len(plan):
        raise PlanError("the plan has no calls: there is nothing to simulate")
    play = _Play(plan, trials, np.random.default_rng(seed), workers or plan.workers)
    play.run()
    makespan = pd.Series(np.quantile(play.end, QUANTILES), index=list(QUANTILES), name="seconds")
    makespan["mean"] = play.end.mean()
    return Risk(
        _call_lines(plan, play),
        makespan,
        float(play.resends.mean()),
        float(play.wasted.mean()),
        trials,
        play.end,
    )


class _Play:
    """All trials at once: when each worker is free, when the next call may go out, when the last thing ended."""

    def __init__(self, plan: Plan, trials: int, rng: np.random.Generator, workers: int) -> None:
        self.plan, self.trials, self.rng = plan, trials, rng
        self.free = np.zeros((trials, workers))
        self.tasks = np.zeros((trials, plan.assumptions.parallel_tasks))
        self.permit = np.zeros(trials)
        self.end = np.zeros(trials)
        self.resends = np.zeros(trials)
        self.wasted = np.zeros(trials)
        self.mean_s = np.zeros(len(plan))
        self.p95_s = np.zeros(len(plan))
        self._all = np.arange(trials)
        which = rng.integers(len(plan.service_time.noise), size=trials)
        model = plan.service_time
        self._base, self._per_code = model.base_s[which], model.per_code_s[which]
        self._per_item, self._noise = model.per_item_s[which], model.noise[which]

    def run(self) -> None:
        """Play all calls, then what was cut, in halves, until nothing is."""
        calls, again = self.plan.calls, []
        columns = zip(
            calls["mode"], calls["rows"], calls["codes_low"], calls["codes_mid"], calls["codes_high"], strict=True
        )
        for call, (mode, rows, low, mid, high) in enumerate(columns):
            codes = self._draw_codes(low, mid, high)
            seconds = self._draw_seconds(self._all, codes, rows if mode == "sync" else 1)
            self.mean_s[call], self.p95_s[call] = seconds.mean(), np.quantile(seconds, 0.95)
            if mode == "async":
                self._submit(self._all, seconds)
            else:
                again.append(self._send(self._all, codes, np.full(self.trials, rows), seconds))
        while again := [cut for cut in again if len(cut[0])]:
            again = [half for cut in again for half in self._resend(*cut)]

    def _send(
        self, trials: NDArray[np.int64], codes: Floats, rows: Floats, seconds: Floats
    ) -> tuple[NDArray[np.int64], Floats, Floats]:
        """Play a sync call in these trials; give back those in which the gateway cut it."""
        cut = seconds > self.plan.timeout_s
        self._occupy(trials, np.minimum(seconds, self.plan.timeout_s))
        self.wasted[trials[cut]] += self.plan.timeout_s
        return trials[cut], codes[cut], rows[cut]

    def _resend(
        self, trials: NDArray[np.int64], codes: Floats, rows: Floats
    ) -> list[tuple[NDArray[np.int64], Floats, Floats]]:
        alone = rows <= 1
        self._submit(trials[alone], self._draw_seconds(trials[alone], codes[alone], 1))
        self.resends[trials[alone]] += 1
        trials, codes, rows = trials[~alone], codes[~alone] / 2, rows[~alone]
        halves = []
        for size in (np.ceil(rows / 2), np.floor(rows / 2)):
            self.resends[trials] += 1
            halves.append(self._send(trials, codes, size, self._draw_seconds(trials, codes, size)))
        return halves

    def _submit(self, trials: NDArray[np.int64], seconds: Floats) -> None:
        """Play an async call: the answer comes at once, the task takes its turn."""
        answered = self._occupy(trials, np.full(len(trials), ASYNC_ANSWER_S))
        server = self.tasks[trials].argmin(axis=1)
        done = np.maximum(self.tasks[trials, server], answered) + seconds
        self.tasks[trials, server] = done
        self.end[trials] = np.maximum(self.end[trials], done + self.plan.assumptions.task_overhead_s)

    def _occupy(self, trials: NDArray[np.int64], seconds: Floats) -> Floats:
        """Take the first free worker at the next permit, and give the time of the answer."""
        worker = self.free[trials].argmin(axis=1)
        start = np.maximum(self.free[trials, worker], self.permit[trials])
        self.permit[trials] = start + 1 / contract.UPDATES_PER_SECOND
        done = start + seconds
        self.free[trials, worker] = done
        self.end[trials] = np.maximum(self.end[trials], done)
        return np.asarray(done)

    def _draw_seconds(self, trials: NDArray[np.int64], codes: Floats, items: Floats | int) -> Floats:
        median = self._base[trials] + self._per_code[trials] * codes + self._per_item[trials] * items
        return np.asarray(median * np.exp(self._noise[trials] * self.rng.standard_normal(len(trials))))

    def _draw_codes(self, low: float, mid: float, high: float) -> Floats:
        spread = code_spread(low, mid, high)
        if not spread:
            return np.full(self.trials, float(mid))
        return np.asarray(mid * np.exp(spread * self.rng.standard_normal(self.trials)))


def code_spread(low: float, mid: float, high: float) -> float:
    """Give the log-sd of a lognormal with this median whose 97.5 % quantile is ``high``; 0 for a known count."""
    return float(np.log(high / mid) / _Z975) if high > mid > 0 and low < high else 0.0


def _call_lines(plan: Plan, play: _Play) -> pd.DataFrame:
    calls = plan.calls
    return pd.DataFrame(
        {
            "mode": calls["mode"],
            "codes": calls["codes_mid"],
            "timeout_risk": np.where(plan.is_async, 0.0, expected_risk(calls, plan.service_time, plan.timeout_s)),
            "seconds_mean": play.mean_s,
            "seconds_p95": play.p95_s,
        }
    )


def expected_risk(calls: pd.DataFrame, model: ServiceTime, timeout_s: float) -> Floats:
    """Average each call's timeout risk over what is not known about its codes, in closed form for each stratum."""
    from scipy.special import ndtri

    codes = calls[["codes_low", "codes_mid", "codes_high"]].to_numpy(dtype=float)
    spread = np.array([code_spread(*line) for line in codes])
    strata = ndtri((np.arange(15) + 0.5) / 15) if spread.any() else np.zeros(1)
    drawn = codes[:, 1, None] * np.exp(spread[:, None] * strata)
    items = np.broadcast_to(calls["rows"].to_numpy(dtype=float)[:, None], drawn.shape)
    return np.asarray(model.timeout_risk(drawn, items, timeout_s).mean(axis=1))
