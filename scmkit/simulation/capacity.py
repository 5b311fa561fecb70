"""Capacity planning: how large, how many, how long, before there is a table. Each curve is a frame with a picture.

Codes per key value are given as a number, or as an `Estimate` whose key values stand for the ones to come: calls are
made of them at random, each with what is not known about it. Seconds come from the documented service by default, and
what the gateway cuts is played as it is sent again: in halves.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmkit.core import contract, display, results
from scmkit.core.arguments import KINDS, POSITIVE, PROBABILITY, Kind, is_ours, is_real, whole
from scmkit.core.arrays import Floats, Ints
from scmkit.core.display import duration, percent, plural
from scmkit.core.errors import PlanError
from scmkit.estimation.estimate import Estimate, growth_in
from scmkit.estimation.fan_out import Bounds, from_sample
from scmkit.estimation.fitting import NAMES, Observations, posterior_draws
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import WORKERS, Plan
from scmkit.planning.schedule import INTERVAL_S, Schedule, play
from scmkit.simulation.population import CallRisk, KeyValues, Service, most_rows, play_upload
from scmkit.tables.arguments import HISTORY, public

if TYPE_CHECKING:
    from matplotlib.axes import Axes


DAY_S = 86_400
WINDOW_CALLS = 400  # played to find out what fits in a window
MONTH_DAYS = 30.44
TRIALS = 300
ITEM_BYTES = 200  # of a key value with its fields, as an item of a sync call [assumed]
CERTAINTY = 0.95
# Calls are observed with up to 8 under way at a time. Nobody knows what the service does with more; each further one is
# taken to make all of them slower by a twentieth, so that 1,000 workers do no more than 20 would alone [assumed].
CROWDING = 0.05
CROWDS = (1, 2, 4, 8, 12, 16, 24, 32, 64, 128)  # workers that are compared
CLOCK = Kind(
    "a number of seconds above 0, a clock time such as '18:00', or a Timestamp",
    lambda v: POSITIVE.accepts(v) or isinstance(v, str | dt.time | dt.datetime),
)
GROWTH = Kind(
    "a number above -1, such as 0.05 for 5 % a month, or what scmkit.history() made",
    lambda v: -1 < v <= 1_000 if is_real(v) else HISTORY.accepts(v),
    lambda v: v if is_real(v) or HISTORY.reads is None else HISTORY.reads(v),
)
WHOLES = Kind(
    "a whole number of 1 to 1,024, or a list of them",
    lambda v: all(KINDS["workers"].accepts(w) for w in _listed(v)) and len(_listed(v)) > 0,
)
SIZES = Kind("a list of whole numbers of 1 or more", lambda v: len(v) > 0 and all(whole(1).accepts(each) for each in v))
RANGE = Kind(
    "(fewest, most) codes of a call, 1 or more",
    lambda v: len(v) == 2 and all(is_real(c) and c <= 1e12 for c in v) and 1 <= v[0] <= v[1],
)
FRACTIONS = Kind("a list of numbers above 0 and below 1", lambda v: len(v) > 0 and all(map(PROBABILITY.accepts, v)))
SLOWDOWN = Kind("a number of 0 to 10, such as 0.05", lambda v: is_real(v) and 0 <= v <= 10)


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
    answer : str
        What follows, in a sentence.
    lines : str
        The column whose values are lines of their own, if any.
    """

    frame: pd.DataFrame
    x: str
    y: str
    title: str
    labels: tuple[str, str]
    limit: float | None = None
    best: float | None = None
    mark: str = "best"
    answer: str = ""
    lines: str = ""

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curve, its band where it has one, its limit and the best choice."""
        return results.draw(self, ax)

    def __repr__(self) -> str:
        best = "" if self.best is None else f"; {self.mark} at {_round(self.best)}"
        answer = f"{self.answer}\n" if self.answer else ""
        return f"<Curve: {self.title}{best}>\n{answer}{self.frame.to_string(index=False, max_rows=12)}"

    def _repr_html_(self) -> str:
        facts = {"answer": self.answer} if self.answer else {}
        return display.card(
            self.title, facts | {self.mark: "" if self.best is None else self.best}, display.table(self.frame)
        )


@dataclass(frozen=True, eq=False, repr=False)
class Break(Curve):
    """When growth breaks a plan.

    Attributes
    ----------
    date : Timestamp or None
        From this day on, the largest timeout risk exceeds the plan's; None where it never does within ten years.
    earliest : Timestamp or None
        The same if growth is at the upper end of what is known about it (95 %).
    """

    date: pd.Timestamp | None = None
    earliest: pd.Timestamp | None = None


@public(item_bytes=POSITIVE)
def largest_batch(
    codes_per_key: float | Estimate,
    risk: float = 0.01,
    service_time: ServiceTime | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    item_bytes: float = ITEM_BYTES,
) -> int:
    """Return the most key values that a sync call may hold with at most this risk of a timeout; 0 if not even one.

    Parameters
    ----------
    codes_per_key : float or Estimate
        An estimate's key values are drawn at random, with what is not known about each of them: a few giants count as
        what they are.
    risk : float, default 0.01
    service_time : ServiceTime, optional
        Default: the documented one.
    timeout_s : float, default 60
        Seconds after which the gateway cuts a sync call [seed].
    item_bytes : float, default 200
        Bytes of a key value with its fields, as an item of the call [assumed]; a body holds 2 MB [assumed].

    Returns
    -------
    int
    """
    law = CallRisk(KeyValues.of(codes_per_key), service_time or ServiceTime.documented(), timeout_s)
    return law.largest(risk, most_rows(item_bytes))


@public(item_bytes=POSITIVE, batches=SIZES.optional())
def risk_by_batch(
    codes_per_key: float | Estimate,
    service_time: ServiceTime | None = None,
    batches: Sequence[int] | None = None,
    risk: float = 0.01,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    item_bytes: float = ITEM_BYTES,
) -> Curve:
    """Return the timeout risk of a sync call against the key values in it; arguments as of `largest_batch`.

    Returns
    -------
    Curve
        ``rows``, ``codes`` (mean), ``timeout_risk``; ``best`` is the largest batch of these within the bearable risk.
    """
    model = service_time or ServiceTime.documented()
    values = KeyValues.of(codes_per_key)
    most = min(max(3 * model.max_codes(0.5, timeout_s) / values.mean, 10), most_rows(item_bytes))
    law = CallRisk(values, model, timeout_s)
    best = [size for size in (law.largest(risk, most_rows(item_bytes)),) if size]
    rows = np.union1d(_sizes(most), best).astype(np.int64) if batches is None else np.asarray(batches, dtype=np.int64)
    risks = [law(size) for size in rows.tolist()]
    frame = pd.DataFrame({"rows": rows, "codes": values.mean * rows, "timeout_risk": risks})
    bearable = frame.loc[frame["timeout_risk"] <= risk, "rows"]
    return Curve(
        frame, "rows", "timeout_risk", f"Timeout risk at {values.mean:,.0f} codes per key value",
        ("key values in a sync call (number)", "timeout risk (probability)"),
        risk, None if bearable.empty else float(bearable.max()),
    )  # fmt: skip


@public(item_bytes=POSITIVE, batches=SIZES.optional(), slowdown=SLOWDOWN)
def makespan_by_batch(
    rows: int,
    codes_per_key: float | Estimate,
    service_time: ServiceTime | None = None,
    workers: int = WORKERS,
    batches: Sequence[int] | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    trials: int = TRIALS,
    seed: int = 0,
    slowdown: float = 0.0,
    item_bytes: float = ITEM_BYTES,
) -> Curve:
    """Return the seconds of an upload of so many key values against the batch size, lost calls and resends included.

    Parameters
    ----------
    rows : int
        Key values to upload.
    codes_per_key, service_time, timeout_s, item_bytes : see `largest_batch`
    workers : int, default 8
        Calls under way at a time.
    batches : sequence of int, optional
        Key values of a call; by default from one to all, as far as a body holds them.
    trials, seed : int
        How often each size is played, and the seed of it.
    slowdown : float, default 0
        Each worker beyond the first makes all calls slower by this share of their seconds.

    Returns
    -------
    Curve
        ``rows`` (a call), ``calls``, ``seconds`` (median), ``low`` and ``high`` (90 %), ``resends``; ``best`` is the
        batch size with the shortest median.
    """
    service = Service.of(service_time, workers, timeout_s, slowdown)
    most = min(rows, most_rows(item_bytes))
    sizes = _sizes(most, steps=24) if batches is None else np.asarray(batches, dtype=np.int64)
    values = KeyValues.of(codes_per_key)
    return batches_played(values, rows, sizes.tolist(), service, trials, seed)


def batches_played(
    values: KeyValues, rows: int, sizes: Sequence[int], service: Service, trials: int, seed: int, **options: int
) -> Curve:
    """Play an upload with calls of these sizes; see `makespan_by_batch`."""
    lines = []
    for size in sizes:
        ends = play_upload(values, rows, size, service, trials, seed, **options)
        low, middle, high = np.quantile(ends.seconds, [0.05, 0.5, 0.95])
        lines.append((size, -(-rows // size), middle, low, high, ends.resends.mean()))
    frame = pd.DataFrame(lines, columns=["rows", "calls", "seconds", "low", "high", "resends"])
    return Curve(
        frame, "rows", "seconds", f"Seconds for {rows:,} key values with {plural(service.workers, 'worker')}",
        ("key values in a sync call (number)", "seconds until all is done"),
        best=float(frame.loc[frame["seconds"].idxmin(), "rows"]) if len(frame) else None,
    )  # fmt: skip


@public(
    codes_per_key=KINDS["codes_per_key"].optional(), slowdown=SLOWDOWN.optional(), item_bytes=POSITIVE,
    risk=Kind(PROBABILITY.words, lambda v: PROBABILITY.accepts(v) or is_ours(v, "ServiceTime")),
)  # fmt: skip
def codes_per_day(
    codes_per_key: float | Estimate | None = None,
    risk: float | ServiceTime = 0.01,
    service_time: ServiceTime | None = None,
    workers: int = WORKERS,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    slowdown: float | None = None,
    item_bytes: float = ITEM_BYTES,
) -> int:
    """Return how many codes a day sync calls can update: at the best size within the risk, and at our pace.

    Parameters
    ----------
    codes_per_key : float or Estimate, optional
        By default calls are as large as the risk allows, whatever keys they hold. A number below 1 is taken as the
        risk, and what follows as the service time: so this function was called before it knew codes per key value.
    risk, service_time, timeout_s, item_bytes : see `largest_batch`
    workers : int, default 8
        Calls under way at a time. No more than 9.5 calls start in a second, however many these are.
    slowdown : float, optional
        Each worker beyond the first makes all calls slower by this share. By default, up to 8 do not disturb each
        other, and each beyond them makes all calls slower by 5 % [assumed]. No more work than do the most.

    Returns
    -------
    int
        Codes of calls that the gateway does not cut; 0 where not even one key value fits into a call.
    """
    if not isinstance(codes_per_key, Estimate | None) and codes_per_key < 1:  # as it was: risk, service_time
        model = risk if isinstance(risk, ServiceTime) else service_time
        return codes_per_day(None, codes_per_key, model, workers, timeout_s, slowdown, item_bytes)
    if isinstance(risk, ServiceTime):
        raise PlanError("codes_per_day: risk is a probability between 0 and 1, and service_time follows it")
    model = service_time or ServiceTime.documented()
    rates = []
    for count in sorted({*(n for n in CROWDS if n < workers), workers}):  # more than do the most are not used
        slower = model.times(1 + (CROWDING * max(count - WORKERS, 0) if slowdown is None else slowdown * (count - 1)))
        if codes_per_key is None:
            sizes = _sizes(slower.max_codes(risk, timeout_s), steps=40)
            lost = np.asarray(slower.timeout_risk(sizes, 1, timeout_s))
            rates.append(_codes_a_day(sizes, np.ones(len(sizes)), lost, Service(slower, count, timeout_s), risk))
        else:
            values = KeyValues.of(codes_per_key)
            law = CallRisk(values, slower, timeout_s)
            largest = law.largest(risk, most_rows(item_bytes))
            rates.append(codes_a_day(values, law, largest, Service(slower, count, timeout_s), risk))
    return max(rates)


def codes_a_day(values: KeyValues, law: CallRisk, largest: int, service: Service, risk: float) -> int:
    """Return the codes a day of sync calls of at most so many of these key values; see `codes_per_day`."""
    sizes = _sizes(largest, steps=12)
    lost = np.array([law(size) for size in sizes.tolist()])
    return _codes_a_day(np.asarray(values.mean * sizes), sizes, lost, service, risk)


def _codes_a_day(codes: Any, items: Any, lost: Floats, service: Service, risk: float) -> int:
    """Return what calls of the best of some sizes do within the risk: bound by the workers, and by the pace."""
    seconds = np.minimum(service.model.mean_s(codes, items), service.timeout_s)
    rate = np.minimum(service.workers / np.maximum(seconds, 1e-9), 1 / INTERVAL_S) * codes * (1 - lost)
    return int(DAY_S * np.max(rate, where=lost <= risk, initial=0))


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
        risk = float(np.max(schedule.timeout_risk(), initial=0))
        lines.append((factor, risk, played.resends.mean(), np.median(played.end)))
    frame = pd.DataFrame(lines, columns=["factor", "timeout_risk", "resends", "seconds"])
    return Curve(
        frame, "factor", "timeout_risk", "If codes per key value grow and the plan stays",
        ("codes per key value (times today's)", "largest timeout risk (probability)"), plan.risk,
    )  # fmt: skip


def _grown(schedule: Schedule, factor: float) -> Schedule:
    means = None if schedule.means is None else schedule.means * factor
    return replace(schedule, codes=Bounds(*(bound * factor for bound in schedule.codes)), means=means)


# --- what planners ask -------------------------------------------------------------------------------------------


@public(
    what=Kind("what plan() made, or a number of key values", lambda v: is_ours(v, "Plan") or whole(1).accepts(v)),
    deadline=CLOCK, codes_per_key=KINDS["codes_per_key"].optional(), workers=WHOLES, batches=SIZES.optional(),
    slowdown=SLOWDOWN, item_bytes=POSITIVE,
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
        ends = functools.partial(_plan_ends, what, slowdown, trials, seed)
    elif codes_per_key is None:
        raise PlanError("on_time: a number of key values needs codes_per_key, a number or an Estimate")
    else:
        values, most = KeyValues.of(codes_per_key), most_rows(item_bytes)
        model = service_time or ServiceTime.documented()
        ends = functools.partial(_rows_ends, values, what, model, timeout_s, slowdown, risk, most, trials, seed)
    lines = []
    for size in (0,) if batches is None else batches:
        for count in _listed(workers):
            seconds = ends(size, count)
            late = float(np.quantile(seconds, CERTAINTY))
            lines.append((count, size, float(np.mean(seconds <= left)), float(np.median(seconds)), late))
    frame = pd.DataFrame(lines, columns=["workers", "rows", "on_time", "seconds", "late_s"])
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


def _plan_ends(plan: Plan, slowdown: float, trials: int, seed: int, size: int, workers: int) -> Floats:
    schedule = (plan.otherwise("sync", batch=size) if size else plan).schedule
    if not len(schedule.rows):
        raise PlanError("the plan has no calls: there is nothing to wait for")
    service = Service.of(plan.service_time, workers, plan.timeout_s, slowdown)
    return play(replace(schedule, model=service.model, workers=workers), trials, np.random.default_rng(seed)).end


def _rows_ends(
    values: KeyValues, rows: int, model: ServiceTime, timeout_s: float, slowdown: float, risk: float, most: int,
    trials: int, seed: int, size: int, workers: int,
) -> Floats:  # fmt: skip
    service = Service.of(model, workers, timeout_s, slowdown)
    size = size or even_batch(rows, workers, _bearable(values, service, risk, most))
    return play_upload(values, rows, size, service, trials, seed).seconds


def _bearable(values: KeyValues, service: Service, risk: float, most: int) -> int:
    """Return the largest bearable size of a call."""
    largest = CallRisk(values, service.model, service.timeout_s).largest(risk, most)
    if not largest:
        raise PlanError(
            f"not even one key value fits into a sync call with a risk of {percent(risk)}: tasks cannot time out, and "
            "scmkit.plan(df, key=...) sends what is too large as tasks"
        )
    return largest


def even_batch(rows: int, workers: int, largest: int) -> int:
    """Return a size of calls at most the largest, so that all workers have as many of them to make."""
    turns = -(-rows // (largest * workers))
    return -(-rows // (turns * workers))


@public(
    window_s=POSITIVE, batch=whole(1).optional(), certainty=PROBABILITY, slowdown=SLOWDOWN, item_bytes=POSITIVE,
)  # fmt: skip
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
    values, service = KeyValues.of(codes_per_key), Service.of(service_time, workers, timeout_s, slowdown)
    largest = batch or _bearable(values, service, risk, most_rows(item_bytes))
    fits = rows_within(values, window_s, largest, service, certainty, trials, seed, even=batch is None)
    rows = np.unique(np.round(max(fits, 1) * np.array([0.5, 0.7, 0.85, 1, 1.2, 1.5, 2])).clip(min=1)).astype(int)
    chances = [_chance(values, n, window_s, largest, service, trials, seed, batch is None) for n in rows.tolist()]
    frame = pd.DataFrame({"rows": rows, "codes": np.round(values.mean * rows), "on_time": chances})
    return Curve(
        frame, "rows", "on_time", f"What fits in {duration(window_s)} with {plural(workers, 'worker')}",
        ("key values to upload (number)", "all done in time (probability)"), certainty, float(fits), "fits",
        f"{plural(fits, 'key value')} (about {fits * values.mean:,.0f} codes) are done within {duration(window_s)} "
        f"with {percent(certainty)} certainty.",
    )  # fmt: skip


def _chance(
    values: KeyValues, rows: int, window_s: float, largest: int, service: Service, trials: int, seed: int, even: bool
) -> float:
    size = even_batch(rows, service.workers, largest) if even else largest
    return float(np.mean(play_upload(values, rows, size, service, trials, seed, WINDOW_CALLS).seconds <= window_s))


def rows_within(
    values: KeyValues, window_s: float, largest: int, service: Service, certainty: float, trials: int, seed: int,
    even: bool = True, **options: int,
) -> int:  # fmt: skip
    """Return how many key values are done in so many seconds with this certainty; see `fits_in`."""

    def late(rows: int) -> float:
        size = even_batch(rows, service.workers, largest) if even else largest
        ends = play_upload(values, rows, size, service, trials, seed, **({"most": WINDOW_CALLS} | options)).seconds
        return float(np.quantile(ends, certainty)) / window_s

    low, high, rows = 0, 1 << 40, service.workers
    for _ in range(40):
        share = late(rows)
        low, high = (rows, high) if share <= 1 else (low, rows)
        if high - low <= max(1, low // 200) or 0.995 < share <= 1:
            break
        guess = int(min(rows / share, 64 * rows))  # seconds are nearly in proportion to rows
        rows = guess if low < guess < high else (low + min(high, 2 * low + 2)) // 2
    return low


@public(workers=WHOLES, slowdown=SLOWDOWN, item_bytes=POSITIVE)
def best_workers(
    rows: int,
    codes_per_key: float | Estimate,
    slowdown: float = 0.05,
    *,
    workers: int | Sequence[int] = CROWDS[:8],
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
    values, lines = KeyValues.of(codes_per_key), []
    for count in _listed(workers):
        service = Service.of(service_time, count, timeout_s, slowdown)
        largest = CallRisk(values, service.model, timeout_s).largest(risk, most_rows(item_bytes))
        if largest:
            size = even_batch(rows, count, largest)
            ends = play_upload(values, rows, size, service, trials, seed).seconds
            lines.append((count, size, *np.quantile(ends, [0.5, 0.05, 0.95])))
    if not lines:
        _bearable(values, Service.of(service_time, min(_listed(workers)), timeout_s, slowdown), risk, 1)
    frame = pd.DataFrame(lines, columns=["workers", "rows", "seconds", "low", "high"])
    quick = frame[frame["seconds"] <= 1.02 * frame["seconds"].min()]
    best = quick.loc[quick["workers"].idxmin()]
    slows = f"each worker slows all by {100 * slowdown:.3g} %"
    return Curve(
        frame, "workers", "seconds", f"Seconds for {rows:,} key values if {slows}",
        ("calls under way at a time (number)", "seconds until all is done"), best=float(best["workers"]),
        answer=f"{plural(int(best['workers']), 'worker')} are best: about {duration(best['seconds'])}, in calls of "
        f"{plural(int(best['rows']), 'key value')}.",
    )  # fmt: skip


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
        return float(np.max(_grown(plan.schedule, factor).timeout_risk(), initial=0))

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


def factor_that_breaks(risk_at: Any, risk: float, most: float = 1e6) -> float:
    """Return the growth of codes at which a risk is exceeded; infinite if not even a million-fold one does it."""
    low, high = 1.0, 2.0
    if risk_at(low) > risk:
        return 1.0
    while risk_at(high) <= risk:
        low, high = high, 2 * high
        if high > most:
            return float("inf")
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if risk_at(middle) <= risk else (low, middle)
    return high


def months_until(factor: float, monthly: float, most: float = 120) -> float | None:
    """Return after how many months codes have grown by a factor; None where they do not within some months."""
    if factor <= 1:
        return 0.0
    after = float(np.log(factor)) / monthly if monthly > 0 else float("inf")
    return after if after <= most else None


def _after(begin: pd.Timestamp, months: float) -> pd.Timestamp:
    return (begin + pd.Timedelta(days=float(np.ceil(MONTH_DAYS * months)))).normalize()


@public(within=PROBABILITY, calls=SIZES, codes=RANGE, certainty=PROBABILITY)
def calls_to_collect(
    risk: float = 0.01,
    within: float = 0.015,
    *,
    service_time: ServiceTime | None = None,
    calls: Sequence[int] = (10, 30, 100, 300, 1_000),
    codes: tuple[float, float] = (100, contract.DANGER_CODES),
    certainty: float = 0.9,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    trials: int = 24,
    seed: int = 0,
) -> Curve:
    """How many calls must I collect before 1 % means 1 %? Simulate fits to so many calls, and what they are worth.

    Services are drawn from what is known, observed for so many calls, and fitted as `ServiceTime.fit` does; the size
    that the fit allows has a true risk, which only the simulation knows. All fits together take some ten seconds.

    Parameters
    ----------
    risk : float, default 0.01
        The risk that is asked for.
    within : float, default 0.015
        What the true risk shall not exceed.
    service_time : ServiceTime, optional
        What is known about the service; default: the documentation.
    calls : sequence of int
        Numbers of calls that are tried.
    codes : (float, float)
        The fewest and most codes of an observed call; in between all sizes are as frequent, by their logarithm.
    certainty : float, default 0.9
        The share of services for which that shall hold.
    trials : int, default 24
        Services that are drawn.

    Returns
    -------
    Curve
        ``calls``, ``timeout_risk`` (true, on average), ``low`` (5 %) and ``high`` (``certainty``), and ``used``, the
        codes of the chosen size as a share of those that the true service allows (median); ``best`` is the smallest
        number from which on ``high`` is at most ``within``.
    """
    known = service_time or ServiceTime.documented()
    lines = []
    for count in sorted(calls):
        learnt = [_learnt(known, count, codes, risk, timeout_s, each) for each in _seeds(seed, trials)]
        true, used = np.array(learnt).T
        lines.append((count, true.mean(), *np.quantile(true, [0.05, certainty]), np.median(used)))
    frame = pd.DataFrame(lines, columns=["calls", "timeout_risk", "low", "high", "used"])
    best = _from_on(frame["calls"], frame["high"] <= within)
    last = f"{frame['calls'].max():,} leave {percent(frame['high'].iloc[-1])}"
    words = f"{percent(risk)} is at most {percent(within)} in truth, in {certainty:.0%} of the cases"
    return Curve(
        frame, "calls", "timeout_risk", f"What {percent(risk)} means after so many calls",
        ("calls observed (number)", "true timeout risk (probability)"), within, best, "enough",
        f"No number of calls that was tried is enough: {last}."
        if best is None else f"After {best:,.0f} calls {words}.",
    )  # fmt: skip


def _learnt(
    known: ServiceTime, count: int, codes: tuple[float, float], risk: float, timeout_s: float, seed: int
) -> tuple[float, float]:
    """Draw a service, observe it, fit, choose a size; return its true risk, and its share of the right size."""
    rng = np.random.default_rng(seed)
    truth = _one_of(known, int(rng.integers(known.draws)))
    low, high = np.log(codes)
    sizes: Floats = np.round(np.exp(rng.uniform(low, high, count))).astype(np.float64)
    seconds = truth.draw(sizes, np.ones(count), rng)
    seen = Observations(sizes, np.ones(count), np.minimum(seconds, timeout_s), seconds > timeout_s)
    fitted = ServiceTime(**dict(zip(NAMES, posterior_draws(seen.thinned()).T, strict=True)))
    chosen = fitted.max_codes(risk, timeout_s)
    return float(truth.timeout_risk(chosen, 1, timeout_s)), chosen / max(truth.max_codes(risk, timeout_s), 1)


def _one_of(known: ServiceTime, draw: int) -> ServiceTime:
    return ServiceTime(**{name: getattr(known, name)[[draw]] for name in NAMES})


def risk_in_truth(known: ServiceTime, codes: float, timeout_s: float, certainty: float = 0.9) -> float:
    """Return what the risk of a call is at most, with this certainty, in one of the services that are possible.

    The risk that is said everywhere is the mean over these.
    """
    some = np.unique(np.linspace(0, known.draws - 1, 60).astype(int)).tolist()
    return float(np.quantile([_one_of(known, at).timeout_risk(codes, 1, timeout_s) for at in some], certainty))


def sample_for(codes: float, within: float = 0.2, level: float = 0.95) -> float:
    """Return the fraction of all codes that, sampled at random, tells a key value of so many codes so narrowly.

    Of ``codes`` a sample shows a binomial share, and half of the interval is ``z * sqrt(codes * (1 - f) / f)``.
    """
    from scipy.special import ndtri

    return float(1 / (1 + codes * (within / ndtri((1 + level) / 2)) ** 2))


def _seeds(seed: int | None, trials: int) -> list[int]:
    return [int(each) for each in np.random.SeedSequence(seed).generate_state(trials)]


@public(within=POSITIVE, fractions=FRACTIONS, largest=PROBABILITY)
def sample_to_collect(
    codes_per_key: float | Estimate,
    within: float = 0.2,
    *,
    fractions: Sequence[float] = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    largest: float = 0.1,
    level: float = 0.95,
    trials: int = 2,
    seed: int = 0,
) -> Curve:
    """What sample of the codes must I collect? Return how wide the intervals of the largest key values are.

    Parameters
    ----------
    codes_per_key : float or Estimate
        How many codes the key values select, as far as is known: samples are drawn from these and estimated as
        `scmkit.estimate` does.
    within : float, default 0.2
        Half of the interval, as a share of the count, that is narrow enough.
    fractions : sequence of float
        Fractions of all codes that are tried, up to the second one that is enough.
    largest : float, default 0.1
        The share of the key values, those with the most codes, that count: they decide whether a call times out.
    level : float, default 0.95
        The probability of the intervals.
    trials, seed : int
        Samples that are drawn for each fraction.

    Returns
    -------
    Curve
        ``fraction``, ``codes`` (expected in the sample), ``width`` (the median of the largest key values); ``best``
        is the smallest fraction from which on ``width`` is at most ``within``.
    """
    counts = np.round(KeyValues.of(codes_per_key).counts.codes).astype(np.int64)
    first = np.argsort(-counts, kind="stable")[: max(round(largest * len(counts)), 1)]
    rng = np.random.default_rng(seed)
    lines = []
    for fraction in sorted(fractions):
        widths = []
        for _ in range(trials):
            found = from_sample(rng.binomial(counts, fraction).astype(float), fraction, level)
            widths.append(np.median((found.high - found.low)[first] / (2 * np.maximum(counts[first], 1))))
        lines.append((fraction, float(counts.sum() * fraction), float(np.mean(widths))))
        if [line[2] <= within for line in lines[-2:]] == [True, True]:
            break
    frame = pd.DataFrame(lines, columns=["fraction", "codes", "width"])
    best = _from_on(frame["fraction"], frame["width"] <= within)
    return Curve(
        frame, "fraction", "width", f"Width of the {level:.0%} intervals of the largest key values",
        ("codes in the sample (share of all)", "half of the interval (share of the count)"), within, best, "enough",
        "No fraction that was tried is enough: count them all." if best is None else
        f"A sample of {100 * best:.3g} % of the codes tells the largest key values to {within:.0%}.",
    )  # fmt: skip


def _from_on(xs: pd.Series, enough: pd.Series) -> float | None:
    """Return the first of some numbers from which on all are enough."""
    good = np.flip(np.cumprod(np.flip(enough.to_numpy(dtype=int))))
    return float(xs.iloc[int(np.argmax(good))]) if good.any() else None


def _listed(value: Any) -> list[int]:
    return [value] if np.ndim(value) == 0 else list(value)


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.3g}"


def _sizes(most: float, steps: int = 60) -> Ints:
    return np.unique(np.round(np.geomspace(1, max(most, 1), steps))).astype(np.int64)
