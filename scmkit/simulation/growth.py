"""When does growth break a plan: its risk if codes per key value grow and nobody plans again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from scmkit.core.arguments import Kind, is_real, whole
from scmkit.core.display import percent
from scmkit.core.search import turning_point
from scmkit.estimation.estimate import growth_in
from scmkit.estimation.fan_out import Bounds
from scmkit.planning.plan import Plan
from scmkit.planning.trials import Schedule, play
from scmkit.simulation.curve import Break, Curve
from scmkit.simulation.scenario import TRIALS
from scmkit.tables.arguments import HISTORY, public

MONTH_DAYS = 30.44
GROWTH = Kind(
    "a number above -1, such as 0.05 for 5 % a month, or what scmkit.history() made",
    lambda v: -1 < v <= 1_000 if is_real(v) else HISTORY.accepts(v),
    lambda v: v if is_real(v) or HISTORY.reads is None else HISTORY.reads(v),
)


@public()
def growth(plan: Plan, factors: Sequence[float] = (1, 1.5, 2, 3, 4), trials: int = TRIALS, seed: int = 0) -> Curve:
    """Say what happens to a plan's calls if the codes per key value grow and nobody plans again.

    Parameters
    ----------
    plan : Plan
        Its calls are played as they are, each cut one with the rows that it has.
    factors : sequence of float
        How many times today's codes.
    trials, seed : int

    Returns
    -------
    Curve
        ``factor``, ``timeout_risk`` (of the riskiest sync call), ``resends``, ``seconds`` (median).
    """
    lines = []
    for factor in factors:
        schedule = _grown(plan.schedule, factor)
        played = play(schedule, trials, np.random.default_rng(seed))
        risk = _largest_risk(schedule)
        lines.append((factor, risk, played.resends.mean(), np.median(played.end)))
    frame = pd.DataFrame(lines, columns=["factor", "timeout_risk", "resends", "seconds"])
    return Curve(
        frame, "factor", "timeout_risk", "If codes per key value grow and the plan stays",
        ("codes per key value (times today's)", "largest timeout risk (probability)"), plan.risk,
    )  # fmt: skip


def _grown(schedule: Schedule, factor: float) -> Schedule:
    means = None if schedule.means is None else schedule.means * factor
    return replace(schedule, codes=Bounds(*(bound * factor for bound in schedule.codes)), means=means)


def _largest_risk(schedule: Schedule) -> float:
    return float(np.max(schedule.timeout_risk(), initial=0))


@public(growth_per_month=GROWTH, months=whole(1, 1_200))
def breaks_on(
    plan: Plan, growth_per_month: float | pd.DataFrame, now: pd.Timestamp | None = None, months: int = 120
) -> Break:
    """When does growth break this plan? Return the day from which its largest timeout risk exceeds the plan's risk.

    Parameters
    ----------
    plan : Plan
        Its calls stay as they are.
    growth_per_month : float or DataFrame
        By how much codes per key value grow, such as 0.05 for 5 % a month; or earlier calls, as `scmkit.history` gives
        them, from which it is learnt.
    now : Timestamp, optional
        The day for which the plan's codes hold; by default today.
    months : int, default 120
        How far to look.

    Returns
    -------
    Break
        ``date``, ``months`` from now, ``factor`` of the codes, ``timeout_risk``; ``.date`` is the day itself, and
        ``.earliest`` that of the fastest growth that is probable.
    """
    begin = pd.Timestamp.now().normalize() if now is None else pd.Timestamp(now)
    if isinstance(growth_per_month, pd.DataFrame):
        learnt = growth_in(growth_per_month)
        monthly, fastest = (MONTH_DAYS * (learnt.mean + z * learnt.mean_se) for z in (0, 1.64))
    else:
        monthly = fastest = float(np.log1p(growth_per_month))

    def risk_at(factor: float) -> float:
        return _largest_risk(_grown(plan.schedule, factor))

    factor = factor_that_breaks(risk_at, plan.risk)
    after, soonest = (months_until(factor, rate, months) for rate in (monthly, fastest))
    end = min(max(2 * after, 1), months) if after is not None else months
    at = np.unique(np.append(np.linspace(0, end, 13), [] if after is None else [after]))
    factors = np.exp(np.minimum(monthly * at, 50))
    dates = [_after(begin, month) for month in at]
    risks = [risk_at(each) for each in factors.tolist()]
    frame = pd.DataFrame({"date": dates, "months": at, "factor": factors, "timeout_risk": risks})
    date, earliest = (None if each is None else _after(begin, each) for each in (after, soonest))
    words = "never within the time looked at" if date is None else f"from {date:%Y-%m-%d} on"
    early = f", perhaps from {earliest:%Y-%m-%d}" if earliest is not None and earliest != date else ""
    return Break(
        frame, "months", "timeout_risk", "If codes per key value grow and the plan stays",
        ("months from now (number)", "largest timeout risk (probability)"), plan.risk, after, "plan again",
        f"The largest timeout risk exceeds {percent(plan.risk)} {words}{early}.", date=date, earliest=earliest,
    )  # fmt: skip


def factor_that_breaks(risk_at: Callable[[float], float], risk: float, most: float = 1e6) -> float:
    """Return the growth of codes at which a risk is exceeded; infinite if not even a million-fold one does it."""
    low, high = 1.0, 2.0
    if risk_at(low) > risk:
        return 1.0
    while risk_at(high) <= risk:
        low, high = high, 2 * high
        if high > most:
            return float("inf")
    return float(turning_point(lambda factor: risk_at(float(factor)) <= risk, low, high, 16))


def months_until(factor: float, monthly: float, most: float = 120) -> float | None:
    """Return after how many months codes have grown by a factor; None where they do not within some months."""
    if factor <= 1:
        return 0.0
    after = float(np.log(factor)) / monthly if monthly > 0 else float("inf")
    return after if after <= most else None


def _after(begin: pd.Timestamp, months: float) -> pd.Timestamp:
    return (begin + pd.Timedelta(days=float(np.ceil(MONTH_DAYS * months)))).normalize()
