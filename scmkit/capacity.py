"""Capacity planning: how large, how many, how long, before there is a table. Each curve is a frame with a picture.

Codes per key value are given as a number, or as an `Estimate` whose key values stand for the ones to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scmkit import contract, display
from scmkit.arguments import public
from scmkit.errors import PlanError
from scmkit.estimation import Estimate
from scmkit.fanout import Bounds
from scmkit.latency import ServiceTime
from scmkit.planning import WORKERS, Plan
from scmkit.playing import Schedule, play

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

DAY_S = 86_400
TRIALS = 300


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity against another.

    Attributes
    ----------
    frame : DataFrame
        ``x`` in the first column, then what depends on it.
    x, y : str
        The columns that are drawn.
    labels : tuple of str
        What the axes say, units included.
    limit : float or None
        A line not to be crossed.
    best : float or None
        The ``x`` to choose.
    mark : str
        What ``best`` is called in a picture.
    """

    frame: pd.DataFrame
    x: str
    y: str
    title: str
    labels: tuple[str, str]
    limit: float | None = None
    best: float | None = None
    mark: str = "best"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curve, its band where it has one, its limit and the best choice."""
        from scmkit import plots

        return plots.curve(self, ax)

    def __repr__(self) -> str:
        best = "" if self.best is None else f"; best at {self.best:,.0f}"
        return f"<Curve: {self.title}{best}>\n{self.frame.to_string(index=False, max_rows=12)}"

    def _repr_html_(self) -> str:
        return display.card(self.title, {"best": "" if self.best is None else self.best}, display.table(self.frame))


@public()
def largest_batch(
    codes_per_key: float | Estimate,
    risk: float = 0.01,
    service_time: ServiceTime | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
) -> int:
    """Give the most key values that a sync call may hold with at most this risk of a timeout; 0 if not even one."""
    model = service_time or ServiceTime.documented()

    def bearable(rows: int) -> bool:
        return (
            float(_calls(np.array([float(rows)]), codes_per_key, model, WORKERS, timeout_s).timeout_risk()[0]) <= risk
        )

    low, high = 0, 1
    while bearable(high) and high < 1 << 40:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bearable(middle) else (low, middle)
    return low


@public()
def risk_by_batch(
    codes_per_key: float | Estimate,
    service_time: ServiceTime | None = None,
    batches: Sequence[int] | None = None,
    risk: float = 0.01,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
) -> Curve:
    """Give the timeout risk of a sync call against the key values in it.

    Returns
    -------
    Curve
        ``rows``, ``codes`` (mean), ``timeout_risk``; ``best`` is the largest batch within the bearable risk.
    """
    model = service_time or ServiceTime.documented()
    mean, _ = _moments(codes_per_key)
    most = max(3 * model.max_codes(0.5, timeout_s) / mean, 10)
    rows = _sizes(most) if batches is None else np.asarray(batches, dtype=float)
    schedule = _calls(rows, codes_per_key, model, WORKERS, timeout_s)
    frame = pd.DataFrame({"rows": rows.astype(int), "codes": mean * rows, "timeout_risk": schedule.timeout_risk()})
    bearable = frame.loc[frame["timeout_risk"] <= risk, "rows"]
    return Curve(
        frame, "rows", "timeout_risk", f"Timeout risk at {mean:,.0f} codes per key value",
        ("key values in a sync call (number)", "timeout risk (probability)"),
        risk, None if bearable.empty else float(bearable.max()),
    )  # fmt: skip


@public()
def makespan_by_batch(
    rows: int,
    codes_per_key: float | Estimate,
    service_time: ServiceTime | None = None,
    workers: int = WORKERS,
    batches: Sequence[int] | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    trials: int = TRIALS,
    seed: int = 0,
) -> Curve:
    """Give the seconds of an upload of so many key values against the batch size, lost calls and resends included.

    Returns
    -------
    Curve
        ``rows`` (a call), ``calls``, ``seconds`` (median), ``low`` and ``high`` (90 %), ``resends``; ``best`` is the
        batch size with the shortest median.
    """
    model = service_time or ServiceTime.documented()
    sizes = _sizes(rows, steps=24) if batches is None else np.asarray(batches, dtype=float)
    lines = []
    for size in sizes:
        calls = np.full(int(np.ceil(rows / size)), size)
        calls[-1] = rows - size * (len(calls) - 1)
        played = play(_calls(calls, codes_per_key, model, workers, timeout_s), trials, np.random.default_rng(seed))
        low, middle, high = np.quantile(played.end, [0.05, 0.5, 0.95])
        lines.append((int(size), len(calls), middle, low, high, played.resends.mean()))
    frame = pd.DataFrame(lines, columns=["rows", "calls", "seconds", "low", "high", "resends"])
    return Curve(
        frame, "rows", "seconds", f"Seconds for {rows:,} key values with {workers} workers",
        ("key values in a sync call (number)", "seconds until all is done"),
        best=float(frame.loc[frame["seconds"].idxmin(), "rows"]),
    )  # fmt: skip


@public()
def codes_per_day(
    risk: float = 0.01,
    service_time: ServiceTime | None = None,
    workers: int = WORKERS,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
) -> int:
    """Give how many codes a day sync calls can update, each as large as the bearable risk allows."""
    model = service_time or ServiceTime.documented()
    codes = model.max_codes(risk, timeout_s)
    seconds = float(model.mean_s(codes))
    return int(DAY_S * min(workers / seconds, contract.UPDATES_PER_SECOND) * codes)


@public()
def growth(plan: Plan, factors: Sequence[float] = (1, 1.5, 2, 3, 4), trials: int = TRIALS, seed: int = 0) -> Curve:
    """Say what happens to a plan's calls if the codes per key value grow and nobody plans again.

    Returns
    -------
    Curve
        ``factor``, ``timeout_risk`` (of the riskiest sync call), ``resends``, ``seconds`` (median).
    """
    lines = []
    for factor in factors:
        codes = Bounds(*(bound * factor for bound in plan.schedule.codes))
        schedule = replace(plan.schedule, codes=codes)
        played = play(schedule, trials, np.random.default_rng(seed))
        risk = float(np.max(schedule.timeout_risk(), initial=0))
        lines.append((factor, risk, played.resends.mean(), np.median(played.end)))
    frame = pd.DataFrame(lines, columns=["factor", "timeout_risk", "resends", "seconds"])
    return Curve(
        frame, "factor", "timeout_risk", "If codes per key value grow and the plan stays",
        ("codes per key value (times today's)", "largest timeout risk (probability)"), plan.risk,
    )  # fmt: skip


def _moments(codes_per_key: float | Estimate) -> tuple[float, float]:
    """Give mean and standard deviation of the codes per key value."""
    if isinstance(codes_per_key, Estimate):
        codes = codes_per_key.column("codes").to_numpy(dtype=float)
        mean, sd = float(codes.mean()), float(codes.std())
    else:
        mean, sd = float(codes_per_key), 0.0
    if not (np.isfinite(mean) and mean > 0):
        raise PlanError(f"codes per key value must be a number above 0, not {mean}")
    return mean, sd


def _calls(
    rows: Floats, codes_per_key: float | Estimate, model: ServiceTime, workers: int, timeout_s: float
) -> Schedule:
    mean, sd = _moments(codes_per_key)
    codes = mean * rows
    spread = 1.96 * sd * np.sqrt(rows)
    bounds = Bounds(codes, np.maximum(codes - spread, 0), codes + spread)
    return Schedule(np.zeros(len(rows), dtype=bool), rows.astype(np.int64), bounds, model, workers, timeout_s)


def _sizes(most: float, steps: int = 60) -> Floats:
    return np.unique(np.round(np.geomspace(1, max(most, 1), steps)))
