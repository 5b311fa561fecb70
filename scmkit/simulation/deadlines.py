"""Will it be done in time: by a deadline, within a window, and with how many workers soonest."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core import contract, display
from scmkit.core.arguments import KINDS, POSITIVE, Kind, is_ours, is_real, whole
from scmkit.core.arrays import Floats
from scmkit.core.display import duration, percent, plural
from scmkit.core.errors import PlanError
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import WORKERS, Plan
from scmkit.planning.trials import play
from scmkit.simulation.curve import Curve
from scmkit.simulation.population import Depth, Service
from scmkit.simulation.scenario import CERTAINTY, ITEM_BYTES, TRIALS, Scenario
from scmkit.tables.arguments import public

WINDOW = Depth(calls=400)  # played to find out what fits in a window
CLOCK = Kind(
    "a number of seconds above 0, a clock time such as '18:00', or a Timestamp",
    lambda v: POSITIVE.accepts(v) or isinstance(v, str | dt.time | dt.datetime),
)
WHOLES = Kind(
    "a whole number of 1 to 1,024, or a list of them",
    lambda v: all(KINDS["workers"].accepts(w) for w in _listed(v)) and len(_listed(v)) > 0,
)


@public(
    what=Kind("what plan() made, or a number of key values", lambda v: is_ours(v, "Plan") or whole(1).accepts(v)),
    deadline=CLOCK, codes_per_key=KINDS["codes_per_key"].optional(), workers=WHOLES,
)  # fmt: skip
def on_time(
    what: Plan | int,
    deadline: float | str | dt.time | dt.datetime,
    codes_per_key: float | Estimate | None = None,
    *,
    workers: int | Sequence[int] = (1, 2, 4, 8, 16),
    batches: Sequence[int] | None = None,
    risk: float = 0.01,
    service_time: ServiceTime | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    slowdown: float = 0.0,
    item_bytes: float = ITEM_BYTES,
    now: pd.Timestamp | None = None,
    trials: int = TRIALS,
    seed: int = 0,
) -> Curve:
    """Will it be done by six? Return the probability that all is done by a deadline, by workers and batch.

    Parameters
    ----------
    what : Plan or int
        A plan, which brings its own codes, service time and timeout; or a number of key values, with
        ``codes_per_key``.
    deadline : float, str, time or Timestamp
        Seconds from now; or a clock time such as ``"18:00"``, that of tomorrow where it is past today's.
    codes_per_key, service_time, timeout_s, item_bytes : see `largest_batch`
        For a number of key values.
    workers : int or sequence of int
        Calls under way at a time.
    batches : sequence of int, optional
        Key values of a sync call. By default a plan's calls as they are; else calls within ``risk``, of one size.
    slowdown : float, default 0
        Each worker beyond the first makes all calls slower by this share of their seconds.
    now : Timestamp, optional
        When it begins; by default the present.
    trials, seed : int

    Returns
    -------
    Curve
        A line per number of workers and batch: ``workers``, ``rows`` (a call; 0 for a plan's own), ``on_time``
        (probability), ``seconds`` (median) and ``late_s`` (95 % are done by then); ``best`` is the fewest workers that
        are on time with 95 %.
    """
    left = seconds_until(deadline, now)
    if isinstance(what, Plan):
        ends = partial(_plan_ends, what, slowdown, trials, seed)
    elif codes_per_key is None:
        raise PlanError("on_time: a number of key values needs codes_per_key, a number or an Estimate")
    else:
        options = {"risk": risk, "item_bytes": item_bytes, "trials": trials, "seed": seed}
        ends = partial(_ends, Scenario.of(codes_per_key, service_time, timeout_s, **options), what, slowdown)
    lines = []
    for size in (0,) if batches is None else batches:
        for count in _listed(workers):
            seconds = ends(size, count)
            late = float(np.quantile(seconds, CERTAINTY))
            lines.append((count, size, float(np.mean(seconds <= left)), float(np.median(seconds)), late))
    return _on_time_curve(pd.DataFrame(lines, columns=["workers", "rows", "on_time", "seconds", "late_s"]), left)


def _on_time_curve(frame: pd.DataFrame, left: float) -> Curve:
    enough = frame.loc[frame["on_time"] >= CERTAINTY, "workers"]
    surest = frame.loc[enough.idxmin() if len(enough) else frame["on_time"].idxmax()]
    calls = f" and {plural(int(surest['rows']), 'key value')} a call" if surest["rows"] else ""
    with_workers = f"with {plural(int(surest['workers']), 'worker')}{calls}"
    answer = f"all is done within {duration(left)} with a probability of {percent(surest['on_time'])}"
    return Curve(
        frame, "workers", "on_time", f"Done within {duration(left)}?",
        ("calls under way at a time (number)", "all done in time (probability)"), CERTAINTY,
        float(enough.min()) if len(enough) else None, "fewest", f"{with_workers.capitalize()}, {answer}.", "rows",
    )  # fmt: skip


def seconds_until(deadline: Any, now: pd.Timestamp | None = None) -> float:
    """Return the seconds to a deadline; of a clock time that is past today, to that of tomorrow."""
    if is_real(deadline):
        return float(deadline)
    try:
        read = deadline if isinstance(deadline, dt.time) else pd.Timestamp(deadline)
    except ValueError:
        raise PlanError(f"{display.shown(deadline)} is no time: write it as '18:00' or '2026-11-24 18:00'") from None
    begin = pd.Timestamp.now(getattr(read, "tzinfo", None)) if now is None else pd.Timestamp(now)
    is_clock = isinstance(read, dt.time) or (isinstance(deadline, str) and len(deadline.strip()) <= len("18:00:00"))
    if is_clock:
        read = pd.Timestamp.combine(begin.date(), read if isinstance(read, dt.time) else read.time())
    end = pd.Timestamp(read)
    if end.tzinfo is None or begin.tzinfo is None:  # what has no zone is meant in that of the other
        end = end.tz_localize(begin.tzinfo) if end.tzinfo is None else end
        begin = begin.tz_localize(end.tzinfo) if begin.tzinfo is None else begin
    if is_clock and end <= begin:
        end += pd.Timedelta(days=1)
    if end <= begin:
        raise PlanError(f"the deadline {end:%Y-%m-%d %H:%M} has passed: it is {begin:%Y-%m-%d %H:%M}")
    return float((end - begin).total_seconds())


def _ends(asked: Scenario, rows: int, slowdown: float, size: int, workers: int) -> Floats:
    return asked.with_workers(workers, slowdown).play(rows, size).seconds


def _plan_ends(plan: Plan, slowdown: float, trials: int, seed: int, size: int, workers: int) -> Floats:
    schedule = (plan.otherwise("sync", batch=size) if size else plan).schedule
    if not len(schedule.rows):
        raise PlanError("the plan has no calls: there is nothing to wait for")
    model = Service(plan.service_time, workers, plan.timeout_s).crowded(workers, slowdown).model
    return play(replace(schedule, model=model, workers=workers), trials, np.random.default_rng(seed)).end


@public(window_s=POSITIVE, batch=whole(1).optional())
def fits_in(
    window_s: float,
    codes_per_key: float | Estimate,
    *,
    batch: int | None = None,
    certainty: float = CERTAINTY,
    workers: int = WORKERS,
    risk: float = 0.01,
    service_time: ServiceTime | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    slowdown: float = 0.0,
    item_bytes: float = ITEM_BYTES,
    trials: int = TRIALS,
    seed: int = 0,
) -> Curve:
    """How much fits in a window? Return how many key values are done in so many seconds with a given certainty.

    Parameters
    ----------
    window_s : float
        Seconds, such as 7,200 for two hours.
    codes_per_key, risk, service_time, timeout_s, item_bytes : see `largest_batch`
    batch : int, optional
        Key values of a call; by default as many as the risk allows, less where that ends sooner.
    certainty : float, default 0.95
    workers, slowdown, trials, seed : see `makespan_by_batch`

    Returns
    -------
    Curve
        ``rows``, ``codes`` (mean), ``on_time`` (probability that so many are done); ``best`` is the number of key
        values, 0 where not even one is certain enough.
    """
    options = {"risk": risk, "item_bytes": item_bytes, "trials": trials, "seed": seed, "depth": WINDOW}
    asked = Scenario.of(codes_per_key, service_time, timeout_s, **options).with_workers(workers, slowdown)
    fits, mean = asked.rows_within(window_s, certainty, batch), asked.values.mean
    rows = np.unique(np.round(max(fits, 1) * np.array([0.5, 0.7, 0.85, 1, 1.2, 1.5, 2])).clip(min=1)).astype(int)
    chances = [asked.chance(n, window_s, batch) for n in rows.tolist()]
    frame = pd.DataFrame({"rows": rows, "codes": np.round(mean * rows), "on_time": chances})
    return Curve(
        frame, "rows", "on_time", f"What fits in {duration(window_s)} with {plural(workers, 'worker')}",
        ("key values to upload (number)", "all done in time (probability)"), certainty, float(fits), "fits",
        f"{plural(fits, 'key value')} (about {fits * mean:,.0f} codes) are done within {duration(window_s)} "
        f"with {percent(certainty)} certainty.",
    )  # fmt: skip


@public(workers=WHOLES)
def best_workers(
    rows: int,
    codes_per_key: float | Estimate,
    slowdown: float = 0.05,
    *,
    workers: int | Sequence[int] = (1, 2, 4, 8, 12, 16, 24, 32),
    risk: float = 0.01,
    service_time: ServiceTime | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    item_bytes: float = ITEM_BYTES,
    trials: int = TRIALS,
    seed: int = 0,
) -> Curve:
    """What if the service slows when I send more at a time? Return the seconds of an upload by workers.

    Parameters
    ----------
    rows : int
        Key values to upload.
    codes_per_key, risk, service_time, timeout_s, item_bytes : see `largest_batch`
    slowdown : float, default 0.05
        Each worker beyond the first makes all calls slower by this share: seconds times ``1 + slowdown * (workers -
        1)``. Calls are then made smaller, so that their risk stays bearable.
    workers : int or sequence of int
        What is tried.
    trials, seed : int

    Returns
    -------
    Curve
        ``workers``, ``rows`` (a call), ``seconds`` (median), ``low`` and ``high`` (90 %); ``best`` is the fewest
        workers that are within 2 % of the shortest median.
    """
    options = {"risk": risk, "item_bytes": item_bytes, "trials": trials, "seed": seed}
    asked = Scenario.of(codes_per_key, service_time, timeout_s, **options)
    frame = crowds_played(asked, rows, _listed(workers), slowdown)
    if frame.empty:
        asked.with_workers(min(_listed(workers)), slowdown).even_size(rows)  # says why
    best = fewest(frame, 0.02)
    slows = f"each worker slows all by {100 * slowdown:.3g} %"
    return Curve(
        frame, "workers", "seconds", f"Seconds for {rows:,} key values if {slows}",
        ("calls under way at a time (number)", "seconds until all is done"), best=float(best["workers"]),
        answer=f"{plural(int(best['workers']), 'worker')} are best: about {duration(best['seconds'])}, in calls of "
        f"{plural(int(best['rows']), 'key value')}.",
    )  # fmt: skip


def crowds_played(asked: Scenario, rows: int, workers: Iterable[int], slowdown: float) -> pd.DataFrame:
    """Play an upload with each of some numbers of workers, as far as there is a bearable size; see `best_workers`."""
    lines = []
    for crowd in (asked.with_workers(count, slowdown) for count in workers):
        if crowd.largest:
            size = crowd.even_size(rows)
            seconds = crowd.play(rows, size).seconds
            lines.append((crowd.service.workers, size, *np.quantile(seconds, [0.5, 0.05, 0.95])))
    return pd.DataFrame(lines, columns=["workers", "rows", "seconds", "low", "high"])


def fewest(frame: pd.DataFrame, close: float) -> pd.Series:
    """Return the line of the fewest workers that are within such a share of the shortest median."""
    quick = frame[frame["seconds"] <= (1 + close) * frame["seconds"].min()]
    return quick.loc[quick["workers"].idxmin()]


def _listed(value: Any) -> list[int]:
    return [value] if np.ndim(value) == 0 else list(value)
