"""All of capacity planning at once, in tens of milliseconds: what the explorer's sliders ask, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arrays import Ints
from scmkit.core.display import duration, percent, plural, rounded
from scmkit.core.errors import PlanError
from scmkit.core.search import turning_point
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import Bounds
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import WORKERS, Plan
from scmkit.planning.trials import log_sd
from scmkit.simulation.batches import makespan_curve, risk_curve
from scmkit.simulation.curve import Curve
from scmkit.simulation.deadlines import crowds_played, fewest
from scmkit.simulation.growth import factor_that_breaks, months_until
from scmkit.simulation.learning import risk_in_truth, sample_for
from scmkit.simulation.population import CallRisk, Depth, KeyValues, Service
from scmkit.simulation.scenario import CERTAINTY, Scenario, sizes_up_to

# A few calls stand for the others: every curve has to be there a moment after a slider has come to rest.
TRIALS, CROWD_TRIALS, SIZES = 120, 40, 5
BRIEFLY = Depth(calls=160, shuffled=20)
CROWDS = (1, 2, 4, 8, 16, 32)  # workers that are compared if the service slows
HOPELESS = 0.2  # where more calls than that time out, nobody wants to know how long it takes, unless it is bearable
ADVICE = "at most"  # what the pictures call the size that the sentence below them names
WORTH_SAYING = 0.9  # of the seconds, before another size is named as quicker
TINY = 1e-9  # a risk that tells nothing about the codes
GROWTH = np.array([1.0, 1.25, 1.5, 2.0, 3.0, 4.0])


def _dial(start: float, label: str, what: str, least: float, most: float) -> Any:
    """Make a field of a question, which knows the slider that asks it."""
    known = {"label": label, "what": what, "least": least, "most": most, "whole": isinstance(start, int)}
    return field(default=start, metadata=known)


@dataclass(frozen=True)
class Question:
    """What the sliders say, each of which is a field; ``risk`` is a probability, and its slider says per cent."""

    codes_per_key: float = _dial(100.0, "Codes per key", "codes that a key value selects, on average", 1, 100_000)
    batch: int = _dial(50, "Keys in a call", "rows, or key values, of a sync call", 1, 10_000)
    keys: int = _dial(5_000, "Keys to upload", "key values in all, such as those of a day", 1, 1_000_000)
    workers: int = _dial(WORKERS, "Workers", "calls that are under way at a time", 1, 32)
    risk: float = _dial(0.01, "Bearable risk, %", "of a sync call to run into the gateway's 60 s", 0.1, 50)
    seconds: float = _dial(
        1.0, "Seconds per 1,000 codes", "how long a call that changes 1,000 codes takes (median)", 0.05, 50
    )
    hours: float = _dial(2.0, "Time, hours", "until all shall be done: is it, and what fits in?", 0.05, 72)
    slowdown: float = _dial(
        5.0, "Slowdown, %", "what if each further worker makes all calls slower by so much?", 0.1, 100
    )
    growth: float = _dial(5.0, "Growth a month, %", "of the codes per key: when are calls too large?", 0.1, 100)

    def __post_init__(self) -> None:
        wrong = [name for name, value in asdict(self).items() if not 0 < value < np.inf]
        if wrong or self.risk >= 1:
            raise PlanError(f"{', '.join(wrong) or 'risk'}: a number above 0 is needed, and risk is below 1")

    @property
    def worst(self) -> float:
        """The risk up to which durations are given."""
        return max(HOPELESS, self.risk)


@dataclass(frozen=True, eq=False)
class Answer:
    """What follows.

    Attributes
    ----------
    largest : int
        The most key values of a call within the bearable risk; 0 if not even one.
    chosen_risk : float
        Of a call of the chosen size.
    risk, makespan, growth : Curve
    codes_per_day : int
        Of sync calls within the bearable risk; 0 where not even one key fits.
    planned : tuple of str
        What planners ask: done in time, what fits, a service that slows, growth.
    """

    asked: Question
    largest: int
    chosen_risk: float
    risk: Curve
    makespan: Curve
    growth: Curve
    codes_per_day: int
    planned: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers, a line per batch size; ``seconds`` and what belongs to it only where it was played."""
        numbers = self.risk.frame.merge(self.makespan.frame, on="rows", how="left")
        return numbers.rename(columns={"rows": "keys_per_call"}).assign(
            **{f"asked_{name}": value for name, value in asdict(self.asked).items()}
        )

    @property
    def curves(self) -> tuple[Curve, Curve, Curve]:
        """What is drawn."""
        return self.risk, self.makespan, self.growth

    def words(self) -> list[str]:
        """Say it in sentences: what to do, what the chosen size means, and how much a day holds."""
        asked = self.asked
        codes = rounded(asked.codes_per_key)
        begin = (
            f"With {codes} code{'s' if codes != '1' else ''} a key and a bearable risk of {100 * asked.risk:.3g} %, "
        )
        if not self.largest:
            advice = "not even one key fits into a sync call: send each as a task (mode='async', or 'auto')."
            return [
                begin + advice,
                self._chosen(),
                "No sync call is small enough for that risk; tasks cannot time out.",
                *self.planned,
            ]
        all_in_one = f", so all {asked.keys:,} in one" if 1 < asked.keys <= self.largest else ""
        advice = f"send at most {plural(self.largest, 'key')} a call{all_in_one}: {self._how_long(self.largest)}"
        advice += f"{self._quicker()}."
        end = f"Sync calls of that risk update up to {self.codes_per_day:,} codes a day."
        return [begin + advice, self._chosen(), end, *self.planned]

    def _chosen(self) -> str:
        risk = f"{plural(self.asked.batch, 'key')} a call: timeout risk {percent(self.chosen_risk)}"
        if self.chosen_risk > self.asked.worst:
            return f"Too large: {risk}; what the gateway cuts is sent again in halves."
        sign = "Within the bearable risk" if self.chosen_risk <= self.asked.risk else "Riskier than bearable"
        return f"{sign}: {risk}, {self._how_long(self.asked.batch)}."

    def _quicker(self) -> str:
        """Name a smaller size that ends clearly earlier, if there is one."""
        frame = self.makespan.frame[self.makespan.frame["rows"] <= self.largest]
        quickest = frame.loc[frame["seconds"].idxmin()]
        if quickest["seconds"] >= WORTH_SAYING * frame["seconds"].iloc[-1]:
            return ""
        return f"; calls of {plural(int(quickest['rows']), 'key')} end first, after {duration(quickest['seconds'])}"

    def _how_long(self, batch: int) -> str:
        frame = self.makespan.frame
        seconds = float(frame.loc[frame["rows"] == min(batch, self.asked.keys), "seconds"].iloc[0])
        with_workers = f"for {plural(self.asked.keys, 'key')} with {plural(self.asked.workers, 'worker')}"
        return f"{duration(seconds)} {with_workers}"


def explore(
    asked: Question,
    model: ServiceTime | None = None,
    values: KeyValues | None = None,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
) -> Answer:
    """Answer a question; every number is one of `scmkit.capacity`.

    Parameters
    ----------
    asked : Question
    model : ServiceTime, optional
        Default: the documented one. It is made faster or slower until 1,000 codes take ``asked.seconds``.
    values : KeyValues, optional
        How unequal key values are; each is given as many times its codes as their mean needs to be as asked.
    timeout_s : float, default 60
        Seconds after which the gateway cuts a sync call.
    """
    service = Service(scaled(model or ServiceTime.documented(), asked.seconds), asked.workers, timeout_s)
    values = KeyValues.of(1.0) if values is None else values
    values = values.times(asked.codes_per_key / values.mean)
    calls = Scenario(values, service, asked.risk, trials=TRIALS, depth=BRIEFLY)
    best = float(calls.largest) if calls.largest else None
    risk = replace(risk_curve(calls, _sizes(asked, calls.largest)), best=best, mark=ADVICE)
    makespan = replace(
        makespan_curve(calls, asked.keys, _worth_playing(risk, asked, calls.largest)),
        best=min(best, asked.keys) if best else None, mark=ADVICE,
        title=f"Seconds for {asked.keys:,} keys with {plural(asked.workers, 'worker')}",
    )  # fmt: skip
    chosen = float(risk.frame.set_index("rows")["timeout_risk"][asked.batch])
    planned = tuple(_planned(asked, calls))
    return Answer(asked, calls.largest, chosen, risk, makespan, _growth(asked, calls), calls.codes_a_day(), planned)


def _planned(asked: Question, calls: Scenario) -> Iterator[str]:
    if calls.largest:
        yield _in_time(asked, calls)
        yield _if_it_slows(asked, calls)
    yield _until(asked, calls)
    yield _still_to_learn(asked, calls)


def _in_time(asked: Question, calls: Scenario) -> str:
    """Say whether all is done in time, and what fits."""
    window_s, size = 3600 * asked.hours, calls.even_size(asked.keys)
    chance, fits = calls.chance(asked.keys, window_s, size), calls.rows_within(window_s, CERTAINTY)
    words = f"Done within {duration(window_s)}? With a probability of {percent(chance)}, in calls of "
    words += f"{plural(size, 'key')}; {plural(fits, 'key')} (about {fits * calls.values.mean:,.0f} codes) fit in "
    return f"{words}with {CERTAINTY:.0%} certainty."


def _if_it_slows(asked: Question, calls: Scenario) -> str:
    workers = sorted({*CROWDS, asked.workers})
    frame = crowds_played(replace(calls, trials=CROWD_TRIALS), asked.keys, workers, asked.slowdown / 100)
    if frame.empty:
        return f"If each further worker slows the service by {asked.slowdown:.3g} %, no sync call is safe."
    seconds, best = dict(zip(frame["workers"], frame["seconds"], strict=True)), int(fewest(frame, 0.05)["workers"])
    words = f"If each further worker slows all calls by {asked.slowdown:.3g} %, {plural(best, 'worker')}"
    words += f" {'is' if best == 1 else 'are'} best: {duration(seconds[best])}"
    if best != asked.workers and asked.workers in seconds:
        words += f", {duration(seconds[asked.workers])} with {asked.workers}"
    return f"{words}."


def _until(asked: Question, calls: Scenario) -> str:
    """Say when growth makes calls of the chosen size riskier than bearable."""
    factor = factor_that_breaks(lambda times: calls.grown(times).risk_of(asked.batch), asked.risk)
    months = months_until(factor, float(np.log1p(asked.growth / 100)))
    words = f"If codes per key grow by {asked.growth:.3g} % a month, {plural(asked.batch, 'key')} a call"
    if factor == 1:
        return f"{words} are too many today already."
    if months is None:
        return f"{words} stay bearable for ten years."
    return f"{words} are too many after {plural(round(months), 'month')}: plan again by then."


def _still_to_learn(asked: Question, calls: Scenario) -> str:
    """Say what the risk may be in truth, and what would tell more."""
    model, timeout_s = calls.service.model, calls.service.timeout_s
    in_truth = risk_in_truth(model, model.max_codes(asked.risk, timeout_s), timeout_s)
    words = f"Seconds per call are {model.source}: what counts as {100 * asked.risk:.3g} % is then in truth "
    words += f"at most {percent(in_truth)} in 9 of 10 cases; " + (
        "that is close." if in_truth <= 1.5 * asked.risk else "observe more calls first, see capacity.calls_to_collect."
    )
    codes = float(np.quantile(calls.values.counts.codes, 0.9))
    sample = f"A random sample of {percent(sample_for(codes))} of the codes"
    return f"{words} {sample} counts a key of {codes:,.0f} to within 20 %."


def scaled(model: ServiceTime, seconds: float) -> ServiceTime:
    """Make a service as much faster or slower as it takes for 1,000 codes to need so many seconds."""
    return model.times(seconds / model.quantile(0.5, 1_000))


def _sizes(asked: Question, largest: int) -> Ints:
    """Return sizes worth a point: evenly up to four times the largest bearable one, that one, and the chosen one."""
    most = max(4 * largest, 2 * asked.batch if largest == 0 else asked.batch, 10)
    ends = [size for size in (largest, asked.batch, min(largest, asked.keys), min(asked.batch, asked.keys)) if size]
    return np.union1d(sizes_up_to(most, steps=40), ends)


def _worth_playing(risk: Curve, asked: Question, largest: int) -> list[int]:
    """Choose the few sizes that are played, the two that the words name among them."""
    playable = (risk.frame["timeout_risk"] <= asked.worst) & (risk.frame["rows"] <= asked.keys)
    sizes = risk.frame["rows"][playable].tolist()
    named = {min(size, asked.keys) for size in (largest, asked.batch)} & set(sizes)
    chosen = np.linspace(0, len(sizes) - 1, SIZES).round().astype(int) if sizes else ()
    return sorted({sizes[at] for at in chosen} | named)


def _growth(asked: Question, calls: Scenario) -> Curve:
    """Say what becomes of calls of the chosen size if codes per key value grow and nobody plans again."""
    risks = [calls.grown(factor).risk_of(asked.batch) for factor in GROWTH.tolist()]
    return Curve(
        pd.DataFrame({"factor": GROWTH, "timeout_risk": risks}), "factor", "timeout_risk",
        f"If codes per key grow and calls keep {plural(asked.batch, 'key')}",
        ("codes per key value (times today's)", "timeout risk (probability)"), asked.risk,
    )  # fmt: skip


def beginning(known: Estimate | Plan | None, model: ServiceTime) -> tuple[Question, KeyValues | None]:
    """Start from real numbers, as far as there are any; also return the key values themselves."""
    start = Question(seconds=float(model.quantile(0.5, 1_000)))
    if known is None or not len(known if isinstance(known, Plan) else known.frame):
        return start, None
    if isinstance(known, Plan):
        return _of_plan(known, start)
    if not known.total:
        return replace(start, keys=len(known.frame)), None
    values = KeyValues.of(known)
    return replace(start, codes_per_key=max(values.mean, 1.0), keys=len(known.frame)), values


def _of_plan(plan: Plan, start: Question) -> tuple[Question, KeyValues]:
    """Start from the sync calls of a plan, each as risky as its riskiest; from its single keys where all are tasks.

    A plan knows which keys share a call, so that calls differ less than keys drawn by chance would: what is not known
    about the codes of the riskiest call is all that is uncertain.
    """
    start = replace(start, workers=plan.workers, risk=plan.risk)
    sync = np.flatnonzero(~plan.is_async)
    if not len(sync):
        one = _one_key(plan)
        codes = max(float(one.codes[0]), 1.0)
        values = KeyValues.alike(codes, float(log_sd(one, plan.estimate.level)[0]))
        return replace(start, keys=len(plan.order), batch=1, codes_per_key=codes), values
    rows, schedule = plan.schedule.rows[sync], plan.schedule
    risks = schedule.timeout_risk()
    worst = int(sync[np.argmax(risks[sync])])
    total = float(schedule.codes.codes[sync].sum())
    batch = max(round(float(schedule.codes.codes[worst]) * rows.sum() / max(total, 1.0)), 1)
    start = replace(start, keys=int(rows.sum()), batch=batch)
    values = KeyValues.alike(1.0, float(schedule.spread[worst]))
    codes = _as_risky(plan, worst, float(risks[worst]), batch, values)
    return replace(start, codes_per_key=codes), values


def _one_key(plan: Plan) -> Bounds:
    """Take the codes of one key value that selects as many codes as those of a plan do on average."""
    sent = plan.row_codes.iloc[plan.order]
    return Bounds(*(np.array([float(sent[name].mean())]) for name in Bounds._fields))


def _as_risky(plan: Plan, call: int, risk: float, batch: int, values: KeyValues) -> float:
    """Return the codes per key with which a sync call of so many keys is as risky as a call of the plan."""
    codes = max(float(plan.schedule.codes.codes[call]), 1.0)
    if not TINY < risk < 1 - TINY:
        return codes / batch

    def less_risky(each: float) -> bool:  # the items of a call take time, too
        return CallRisk(values.times(float(each)), plan.service_time, plan.timeout_s)(batch) < risk

    return float(turning_point(less_risky, 0.0, 2 * codes / batch, 40))
