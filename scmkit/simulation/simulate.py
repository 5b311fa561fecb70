"""From a plan to its risk: what an upload will probably be like, and what the alternatives would be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scmkit.core import display, results
from scmkit.core.arguments import KINDS
from scmkit.core.arrays import Floats
from scmkit.core.display import duration
from scmkit.core.errors import PlanError
from scmkit.planning.plan import Plan
from scmkit.planning.trials import play
from scmkit.tables import arguments
from scmkit.tables.arguments import public

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PLAN = replace(arguments.PLAN, sentence="simulate takes what plan() made, not {value}: df.scm.simulate(key=...) plans")
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ALTERNATIVE_TRIALS = 500  # enough to compare ways, and quick


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
    plan : Plan
        What was played.
    """

    calls: pd.DataFrame
    makespan: pd.Series
    expected_resends: float
    wasted_s: float
    trials: int
    makespans: Floats
    plan: Plan
    seed: int | None = None

    @cached_property
    def alternatives(self) -> pd.DataFrame:
        """The same upload done otherwise: a line per way, the plan's own first.

        Columns: ``calls``, ``seconds_median``, ``seconds_p95``, ``expected_resends``, ``wasted_s``,
        ``largest_risk``; the median as each plan predicts it, the rest of the first line as here. A sync call that is
        too large is not avoided there: it times out and is halved, as it would be.
        """
        ways = {"all async": self.plan.otherwise("async")}
        if len(self.plan.key) == 1:
            for size in _batches(len(self.plan.order)):
                ways[f"all sync, {size:,} rows a call"] = self.plan.otherwise("sync", batch=size)
        trials = min(self.trials, ALTERNATIVE_TRIALS)
        lines = {name: _line(simulate(way, trials, self.seed)) for name, way in ways.items()}
        return pd.DataFrame.from_dict({f"{self.plan.mode} (this plan)": _line(self)} | lines, orient="index")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the distribution of the makespan and the riskiest calls."""
        return results.draw(self, ax)

    def summary(self) -> str:
        """Say in a sentence what to expect; the seconds are those that the plan predicts."""
        risky = int((self.calls["timeout_risk"] > 0.01).sum())
        low, high = duration(self.makespan[0.05]), duration(self.makespan[0.95])
        return (
            f"about {duration(self.plan.seconds)} ({low} to {high} in 90 % of {self.trials:,} trials), "
            f"{self.expected_resends:.2g} resends expected, "
            f"{risky:,} of {len(self.calls):,} calls with a timeout risk above 1 %"
        )

    def __repr__(self) -> str:
        riskiest = self.calls.nlargest(5, "timeout_risk", keep="first")
        return f"<Risk: {self.summary()}>\n{riskiest.to_string()}"

    def _repr_html_(self) -> str:
        riskiest = self.calls.sort_values("timeout_risk", ascending=False, kind="stable")
        shown = results.picture(self), display.table(riskiest, caption="riskiest first")
        return display.card("Risk", {"expected": self.summary()}, *shown)


def _line(risk: Risk) -> dict[str, float]:
    return {
        "calls": len(risk.calls),
        "seconds_median": risk.plan.seconds,
        "seconds_p95": risk.makespan[0.95],
        "expected_resends": risk.expected_resends,
        "wasted_s": risk.wasted_s,
        "largest_risk": risk.calls["timeout_risk"].max(),
    }


@results.simulate.register(Plan)
@public(plan=PLAN, workers=KINDS["workers"].optional())
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
    if not len(plan):
        raise PlanError("the plan has no calls: there is nothing to simulate")
    if workers is not None:
        plan = plan.with_terms(workers=workers)
    played = play(plan.schedule, trials, np.random.default_rng(seed))
    makespan = pd.Series(np.quantile(played.end, QUANTILES), index=list(QUANTILES), name="seconds")
    makespan["mean"] = played.end.mean()
    calls = plan.calls[["mode", "rows", "codes_mid", "timeout_risk"]].rename(columns={"codes_mid": "codes"})
    calls = calls.assign(seconds_mean=played.mean_s, seconds_p95=played.p95_s)
    resends, wasted = float(played.resends.mean()), float(played.wasted_s.mean())
    return Risk(calls, makespan, resends, wasted, trials, played.end, plan, seed)


def _batches(rows: int) -> list[int]:
    """Batch sizes from one row to all of them, in steps that a person would try."""
    return sorted({size for size in (10, 100, 1_000, 10_000) if size < rows} | {rows})
