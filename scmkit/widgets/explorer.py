"""Capacity planning by hand: sliders, and the curves of `scmkit.capacity` behind them."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from scmkit.core import contract, display
from scmkit.core.arguments import Kind, is_ours
from scmkit.core.display import Html, duration, percent, plural
from scmkit.core.errors import PlanError
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import Bounds
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import WORKERS, Plan
from scmkit.planning.schedule import Schedule
from scmkit.plots.svg import description, drawn, number, ticks
from scmkit.simulation import capacity
from scmkit.simulation.capacity import Curve
from scmkit.simulation.population import CallRisk, KeyValues, Service, most_rows, play_upload
from scmkit.tables.arguments import public
from scmkit.widgets.surface import Surface, guarded

REST_S = 0.1  # how long a slider must rest before the curves follow
STEP = 0.01  # of a slider, as a power of ten
KEEP_S = 1.5  # and before the notebook itself takes them
# A few calls stand for the others: every curve has to be there a moment after a slider has come to rest.
TRIALS, SIZES = 120, 5
BRIEFLY = {"most": 160, "shuffled": 20}
CROWDS = (1, 2, 4, 8, 16, 32)  # workers that are compared if the service slows
HOPELESS = 0.2  # where more calls than that time out, nobody wants to know how long it takes, unless it is bearable
ADVICE = "at most"  # what the pictures call the size that the sentence below them names
WORTH_SAYING = 0.9  # of the seconds, before another size is named as quicker
TINY = 1e-9  # a risk that tells nothing about the codes
GROWTH = np.array([1.0, 1.25, 1.5, 2.0, 3.0, 4.0])


@dataclass(frozen=True)
class Question:
    """What the sliders say.

    Attributes
    ----------
    codes_per_key : float
        Mean number of codes that a key value selects.
    batch : int
        Key values in a sync call.
    keys : int
        Key values to upload.
    workers : int
    risk : float
        The bearable risk of a timeout, as a probability.
    seconds : float
        Of a call that changes 1,000 codes (median).
    hours : float
        The time in which all shall be done.
    slowdown : float
        If each further worker makes all calls slower by so many per cent.
    growth : float
        If codes per key value grow by so many per cent a month.
    """

    codes_per_key: float = 100.0
    batch: int = 50
    keys: int = 5_000
    workers: int = WORKERS
    risk: float = 0.01
    seconds: float = 1.0
    hours: float = 2.0
    slowdown: float = 5.0
    growth: float = 5.0

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
    planned : list of str
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

    def words(self) -> list[str]:
        """Say it in sentences: what to do, what the chosen size means, and how much a day holds."""
        asked = self.asked
        codes = f"{asked.codes_per_key:,.0f}" if asked.codes_per_key >= 100 else f"{asked.codes_per_key:.3g}"
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
    """Answer a question, in tens of milliseconds; every number is one of `scmkit.capacity`.

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
    model = scaled(model or ServiceTime.documented(), asked.seconds)
    values = KeyValues.of(1.0) if values is None else values
    values = values.times(asked.codes_per_key / values.mean)
    service, law = Service(model, asked.workers, timeout_s), CallRisk(values, model, timeout_s)
    largest = law.largest(asked.risk, most_rows(capacity.ITEM_BYTES))
    risk = _risk(asked, values, law, largest)
    risks = risk.frame.set_index("rows")["timeout_risk"]
    playable = [int(size) for size in risks.index[risks <= asked.worst] if size <= asked.keys]
    sizes = _worth_playing(playable, asked, largest)
    makespan = capacity.batches_played(values, asked.keys, sizes, service, TRIALS, 0, **BRIEFLY)
    workers = plural(asked.workers, "worker")
    return Answer(
        asked,
        largest,
        float(risks[asked.batch]),
        risk,
        replace(
            makespan, best=float(min(largest, asked.keys)) if largest else None, mark=ADVICE,
            title=f"Seconds for {asked.keys:,} keys with {workers}",
        ),
        _growth(asked, model, values, timeout_s),
        capacity.codes_a_day(values, law, largest, service, asked.risk) if largest else 0,
        (
            *(_planners(asked, values, service, largest) if largest else ()),
            _until(asked, model, values, timeout_s),
            _still_to_learn(asked, model, values, timeout_s),
        ),
    )  # fmt: skip


def _risk(asked: Question, values: KeyValues, law: CallRisk, largest: int) -> Curve:
    sizes = _sizes(asked, largest)
    frame = pd.DataFrame({"rows": sizes, "codes": values.mean * np.array(sizes)})
    return Curve(
        frame.assign(timeout_risk=[law(size) for size in sizes]), "rows", "timeout_risk",
        f"Timeout risk at {values.mean:,.0f} codes per key value",
        ("key values in a sync call (number)", "timeout risk (probability)"),
        asked.risk, float(largest) if largest else None, ADVICE,
    )  # fmt: skip


def _planners(asked: Question, values: KeyValues, service: Service, largest: int) -> tuple[str, str]:
    """Say whether all is done in time, what fits, and what if the service slows."""
    window_s, time_given = 3600 * asked.hours, duration(3600 * asked.hours)
    size = capacity.even_batch(asked.keys, asked.workers, largest)
    ends = play_upload(values, asked.keys, size, service, TRIALS, 0, **BRIEFLY).seconds
    fits = capacity.rows_within(values, window_s, largest, service, capacity.CERTAINTY, TRIALS, 0, True, **BRIEFLY)
    codes = f"about {fits * values.mean:,.0f} codes"
    done = f"Done within {time_given}? With a probability of {percent(float(np.mean(ends <= window_s)))}"
    done += f", in calls of {plural(size, 'key')}; "
    done += f"{plural(fits, 'key')} ({codes}) fit in with {capacity.CERTAINTY:.0%} certainty."
    slowdown, seconds = asked.slowdown / 100, {}
    for workers in sorted({*CROWDS, asked.workers}):
        slowed = Service.of(service.model, workers, service.timeout_s, slowdown)
        most = CallRisk(values, slowed.model, service.timeout_s).largest(asked.risk, most_rows(capacity.ITEM_BYTES))
        if most:
            size = capacity.even_batch(asked.keys, workers, most)
            seconds[workers] = float(np.median(play_upload(values, asked.keys, size, slowed, 40, 0, **BRIEFLY).seconds))
    if not seconds:
        return done, f"If each further worker slows the service by {asked.slowdown:.3g} %, no sync call is safe."
    best = min(w for w in seconds if seconds[w] <= 1.05 * min(seconds.values()))
    slows = f"If each further worker slows all calls by {asked.slowdown:.3g} %, {plural(best, 'worker')}"
    slows += f" {'is' if best == 1 else 'are'} best: {duration(seconds[best])}"
    if best != asked.workers and asked.workers in seconds:
        slows += f", {duration(seconds[asked.workers])} with {asked.workers}"
    return done, slows + "."


def _until(asked: Question, model: ServiceTime, values: KeyValues, timeout_s: float) -> str:
    """Say when growth makes calls of the chosen size riskier than bearable."""

    def risk_at(factor: float) -> float:
        return CallRisk(values.times(factor), model, timeout_s)(asked.batch)

    factor = capacity.factor_that_breaks(risk_at, asked.risk)
    months = capacity.months_until(factor, float(np.log1p(asked.growth / 100)))
    words = f"If codes per key grow by {asked.growth:.3g} % a month, {plural(asked.batch, 'key')} a call"
    if factor == 1:
        return f"{words} are too many today already."
    if months is None:
        return f"{words} stay bearable for ten years."
    return f"{words} are too many after {plural(round(months), 'month')}: plan again by then."


def _still_to_learn(asked: Question, model: ServiceTime, values: KeyValues, timeout_s: float) -> str:
    """Say what the risk may be in truth, and what would tell more."""
    in_truth = capacity.risk_in_truth(model, model.max_codes(asked.risk, timeout_s), timeout_s)
    words = f"Seconds per call are {model.source}: what counts as {100 * asked.risk:.3g} % is then in truth "
    words += f"at most {percent(in_truth)} in 9 of 10 cases; " + (
        "that is close." if in_truth <= 1.5 * asked.risk else "observe more calls first, see capacity.calls_to_collect."
    )
    codes = float(np.quantile(values.counts.codes, 0.9))
    fraction = percent(capacity.sample_for(codes))
    return f"{words} A random sample of {fraction} of the codes counts a key of {codes:,.0f} to within 20 %."


def scaled(model: ServiceTime, seconds: float) -> ServiceTime:
    """Make a service as much faster or slower as it takes for 1,000 codes to need so many seconds."""
    return model.times(seconds / model.quantile(0.5, 1_000))


def _sizes(asked: Question, largest: int) -> list[int]:
    """Batch sizes worth a point: evenly up to four times the largest bearable one, that one, and the chosen one."""
    most = max(4 * largest, 2 * asked.batch if largest == 0 else asked.batch, 10)
    grid = np.geomspace(1, most, 40).round().astype(int).tolist()
    ends = [size for size in (largest, asked.batch, min(largest, asked.keys), min(asked.batch, asked.keys)) if size]
    return sorted({*grid, *ends})


def _worth_playing(sizes: list[int], asked: Question, largest: int) -> list[int]:
    """Choose the few sizes that are played, the two that the words name among them."""
    named = {min(size, asked.keys) for size in (largest, asked.batch)} & set(sizes)
    chosen = np.linspace(0, len(sizes) - 1, SIZES).round().astype(int) if sizes else ()
    return sorted({sizes[at] for at in chosen} | named)


def _growth(asked: Question, model: ServiceTime, values: KeyValues, timeout_s: float) -> Curve:
    """Say what becomes of calls of the chosen size if codes per key value grow and nobody plans again."""
    risks = [CallRisk(values.times(factor), model, timeout_s)(asked.batch) for factor in GROWTH.tolist()]
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
        codes = max(float(one.codes.codes[0]), 1.0)
        values = KeyValues.alike(codes, float(one.spread[0]))
        return replace(start, keys=len(plan.order), batch=1, codes_per_key=codes), values
    rows, schedule = plan.schedule.rows[sync], plan.schedule
    worst = int(sync[np.argmax(schedule.timeout_risk()[sync])])
    total = float(schedule.codes.codes[sync].sum())
    batch = max(round(float(schedule.codes.codes[worst]) * rows.sum() / max(total, 1.0)), 1)
    start = replace(start, keys=int(rows.sum()), batch=batch)
    values = KeyValues.alike(1.0, float(schedule.spread[worst]))
    codes = _as_risky(plan, worst, batch, values)
    return replace(start, codes_per_key=codes), values


def _one_key(plan: Plan) -> Schedule:
    """Take one key value that selects as many codes as those of a plan do on average."""
    sent = plan.row_codes.iloc[plan.order]
    codes = Bounds(*(np.array([float(sent[name].mean())]) for name in ("codes", "low", "high")))
    one = np.ones(1, dtype=np.int64)
    return Schedule(one == 0, one, codes, plan.service_time, plan.workers, plan.timeout_s, level=plan.schedule.level)


def _as_risky(plan: Plan, call: int, batch: int, values: KeyValues) -> float:
    """Return the codes per key with which a sync call of so many keys is as risky as a call of the plan."""
    risk, codes = float(plan.schedule.timeout_risk()[call]), float(plan.schedule.codes.codes[call])
    low, high = 0.0, 2 * max(codes, 1.0) / batch
    if not TINY < risk < 1 - TINY:
        return high / 2
    for _ in range(40):  # the items of a call take time, too
        middle = (low + high) / 2
        found = CallRisk(values.times(middle), plan.service_time, plan.timeout_s)(batch)
        low, high = (middle, high) if found < risk else (low, middle)
    return high


class Dial:
    """A slider with a number field beside it; both say the same.

    Parameters
    ----------
    label, tip : str
        What it is, in two words and in a sentence.
    value, least, most : float
        The ends are moved where the value lies beyond them.
    whole : bool
        Whether only whole numbers make sense.
    """

    def __init__(self, label: str, tip: str, value: float, least: float, most: float, *, whole: bool = True) -> None:
        least, most = min(value, least), max(value, most)
        self._whole = whole
        kind = ipywidgets.BoundedIntText if whole else ipywidgets.BoundedFloatText
        begin = round(value) if whole else float(f"{value:.7g}")  # real numbers are kept as they are
        self.field = kind(
            begin, min=least, max=most, continuous_update=False, tooltip=f"{label}: {tip}",
            layout=ipywidgets.Layout(width="7em"),
        )  # fmt: skip
        self.slider = ipywidgets.FloatLogSlider(
            value, base=10, min=float(np.log10(least)), max=float(np.log10(most)), step=STEP, readout=False,
            description=label, tooltip=tip, style={"description_width": "13em"},
            layout=ipywidgets.Layout(flex="1 1 24em", min_width="22em", max_width="36em"),
        )  # fmt: skip
        self.box = ipywidgets.HBox(
            [self.slider, self.field], layout=ipywidgets.Layout(flex="1 1 30em", max_width="46em")
        )
        self.slider.observe(self._slid, names="value")
        self.field.observe(self._typed, names="value")

    @property
    def value(self) -> float:
        """What the field says."""
        return float(self.field.value)

    def _slid(self, change: Any) -> None:
        # The browser moves a slider to the nearest of its steps, without being asked: that is not somebody's wish.
        if abs(np.log10(change["new"] / self.value)) > 0.51 * STEP:
            self.field.value = self._fit(change["new"])

    def _typed(self, change: Any) -> None:
        if self._fit(self.slider.value) != change["new"]:  # else the slider would jump under the finger
            self.slider.value = float(change["new"])

    def _fit(self, value: float) -> float:
        return round(value) if self._whole else float(f"{value:.3g}")  # more digits than a slider has steps say nothing


@public(
    depths=False,
    options_of=Question,
    known=Kind("what plan() or estimate() made", lambda v: is_ours(v, "Plan", "Estimate")).optional(),
)
class CapacityExplorer(Surface):
    """Sliders for an upload, and what follows: timeout risk, duration, growth.

    Parameters
    ----------
    known : Estimate or Plan, optional
        Real numbers to start from: codes per key value and how unequal they are, key values; of a plan also its
        workers, its risk, its largest sync call and its service time.
    service_time : ServiceTime, optional
        Such as ``ServiceTime.fit(scmkit.history())``. Default: the plan's, else the documented one.
    **options
        Other starts: ``codes_per_key``, ``batch``, ``keys``, ``workers``, ``risk``, ``seconds``; see `Question`.

    Attributes
    ----------
    answer : Answer
        To the sliders' last position of rest.
    """

    def __init__(
        self, known: Estimate | Plan | None = None, *, service_time: ServiceTime | None = None, **options: Any
    ) -> None:
        super().__init__("explorer")
        planned = known.service_time if isinstance(known, Plan) else None
        self._model = service_time or planned or ServiceTime.documented()
        start, self._values = beginning(known, self._model)
        self._timeout_s = known.timeout_s if isinstance(known, Plan) else contract.GATEWAY_TIMEOUT_S
        self._plan_words = [_plan_words(known)] if isinstance(known, Plan) and len(known) else []
        self._dials = _dials(replace(start, **options))
        self.answer = self._answer()
        self.spent_ms: list[float] = []
        self._words = ipywidgets.HTML(layout=ipywidgets.Layout(width="auto"))
        self._pictures = [ipywidgets.HTML(layout=ipywidgets.Layout(flex="1 1 22em", max_width="30em")) for _ in "123"]
        self._saved = ipywidgets.HTML()
        self._lay_out(*self._parts())
        self._show(self.answer)
        for dial in self._dials.values():
            dial.field.observe(self._moved, names="value")

    @property
    def question(self) -> Question:
        """What the sliders say now."""
        values = {name: dial.value for name, dial in self._dials.items()}
        whole = {name: int(values[name]) for name in ("batch", "keys", "workers")}
        return Question(**values | whole | {"risk": values["risk"] / 100})  # type: ignore[arg-type]

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers behind the curves, a line per batch size."""
        return self.answer.frame

    def picture(self) -> Any:
        """Draw the three curves on one figure."""
        return _picture(self.answer)

    def static(self) -> Html:
        """Show words, pictures and numbers without widgets."""
        answer = self.answer  # another thread may put a newer one in its place meanwhile
        numbers = answer.frame[["keys_per_call", "codes", "timeout_risk", "seconds"]].dropna()
        alt = "; ".join(map(description, _curves(answer)))
        return display.card(
            "Capacity", {str(n): line for n, line in enumerate(self._said(answer), 1)},
            display.figure(_picture(answer), alt), display.table(numbers, max_rows=15),
        )  # fmt: skip

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        self._view.do("keep", self._keep)

    def _keep(self) -> None:
        self.keep("What the sliders said last (this stays in the notebook)")

    def __repr__(self) -> str:
        return "<CapacityExplorer>\n" + "\n".join(self._said(self.answer))

    def _parts(self) -> list[ipywidgets.Widget]:
        dials = ipywidgets.HBox([d.box for d in self._dials.values()], layout=ipywidgets.Layout(flex_flow="row wrap"))
        pictures = ipywidgets.HBox(self._pictures, layout=ipywidgets.Layout(flex_flow="row wrap"))
        wide = ipywidgets.Layout(width="auto")
        picture = ipywidgets.Button(description="Save picture (PNG)", layout=wide, tooltip="into the current folder")
        numbers = ipywidgets.Button(description="Save numbers (CSV)", layout=wide, tooltip="into the current folder")
        picture.on_click(self._save_picture)
        numbers.on_click(self._save_numbers)
        self.buttons = [picture, numbers]
        return [dials, pictures, self._words, ipywidgets.HBox([picture, numbers, self._saved])]

    @guarded
    def _moved(self, change: Any) -> None:
        self._work.do("explore", self._explore, after_s=REST_S)

    @guarded
    def _save_picture(self, button: Any) -> None:
        self._work.do("picture", partial(self._save, "png", lambda path: self.picture().savefig(path, dpi=110)))

    @guarded
    def _save_numbers(self, button: Any) -> None:
        self._work.do("numbers", partial(self._save, "csv", lambda path: self.frame.to_csv(path, index=False)))

    def _save(self, ending: str, write: Any) -> None:
        path = _free(Path(f"capacity.{ending}"))
        write(path)
        self._saved.value = f"saved as <code>{display.escape(path.absolute())}</code>"

    def _answer(self) -> Answer:
        return explore(self.question, self._model, self._values, self._timeout_s)

    def _said(self, answer: Answer) -> list[str]:
        """Return the sentences about the sliders, and one about the plan that they started from."""
        return answer.words() + self._plan_words

    def _explore(self) -> None:
        begun = time.perf_counter()
        self.answer = self._answer()
        self._show(self.answer)
        self.spent_ms.append(1000 * (time.perf_counter() - begun))
        del self.spent_ms[:-100]
        self.succeed()
        self._view.do("keep", self._keep, after_s=KEEP_S)

    def _show(self, answer: Answer) -> None:
        first, *others = (display.escape(line) for line in self._said(answer))
        self._words.value = f"<p><b>{first}</b><br>{'<br>'.join(others)}</p>"
        for picture, curve in zip(self._pictures, _curves(answer), strict=True):
            picture.value = drawn(curve)


def _plan_words(plan: Plan) -> str:
    """Say what the plan itself says, whatever the sliders say later."""
    sync = plan.calls.loc[~plan.is_async, "timeout_risk"]
    risk = f"largest timeout risk {percent(float(sync.max()))}" if len(sync) else "no sync call that could time out"
    calls = f"{plural(len(plan), 'call')}, {plural(int(plan.is_async.sum()), 'task')} among them"
    return f"The plan itself: {calls}; {risk}; about {duration(plan.seconds)}."


def _dials(start: Question) -> dict[str, Dial]:
    return {
        "codes_per_key": Dial("Codes per key", "codes that a key value selects, on average",
                              start.codes_per_key, 1, 100_000, whole=False),
        "batch": Dial("Keys in a call", "rows, or key values, of a sync call", start.batch, 1, 10_000),
        "keys": Dial("Keys to upload", "key values in all, such as those of a day", start.keys, 1, 1_000_000),
        "workers": Dial("Workers", "calls that are under way at a time", start.workers, 1, 32),
        "risk": Dial("Bearable risk, %", "of a sync call to run into the gateway's 60 s",
                     100 * start.risk, 0.1, 50, whole=False),
        "seconds": Dial("Seconds per 1,000 codes", "how long a call that changes 1,000 codes takes (median)",
                        start.seconds, 0.05, 50, whole=False),
        "hours": Dial("Time, hours", "until all shall be done: is it, and what fits in?",
                      start.hours, 0.05, 72, whole=False),
        "slowdown": Dial("Slowdown, %", "what if each further worker makes all calls slower by so much?",
                         start.slowdown, 0.1, 100, whole=False),
        "growth": Dial("Growth a month, %", "of the codes per key: when are calls too large?",
                       start.growth, 0.1, 100, whole=False),
    }  # fmt: skip


def _curves(answer: Answer) -> tuple[Curve, Curve, Curve]:
    return answer.risk, answer.makespan, answer.growth


def _picture(answer: Answer) -> Any:
    from scmkit.plots.figures import ShownFigure

    figure = ShownFigure(figsize=(16, 4.2), layout="constrained")
    for curve, axes in zip(_curves(answer), figure.subplots(1, 3), strict=True):
        _draw(curve, axes)
    return figure


def _draw(curve: Curve, axes: Any) -> None:
    """Draw a curve as `Curve.plot` does, with plain numbers at the axes."""
    if not len(curve.frame):
        axes.set(title=curve.title, xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no size that could be sent: too risky", ha="center")
        return
    curve.plot(axes)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            marks = ticks(tuple(axis.get_view_interval()))
            axis.set_ticks(marks, [number(mark) for mark in marks])
            axis.set_ticks([], minor=True)


def _free(path: Path) -> Path:
    """Return a name that no file has yet: nothing is written over."""
    number, found = 2, path
    while found.exists():
        found, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return found
