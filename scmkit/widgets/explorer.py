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

from scmkit import capacity, contract, display
from scmkit.arguments import Kind, is_ours, public
from scmkit.capacity import Curve, _calls
from scmkit.display import Html, duration, percent, plural
from scmkit.errors import PlanError
from scmkit.estimation import Estimate
from scmkit.fanout import Bounds
from scmkit.latency import ServiceTime
from scmkit.planning import WORKERS, Plan
from scmkit.playing import Schedule
from scmkit.widgets.chart import description, drawn, number, ticks
from scmkit.widgets.surface import Surface, guarded

REST_S = 0.1  # how long a slider must rest before the curves follow
STEP = 0.01  # of a slider, as a power of ten
KEEP_S = 1.5  # and before the notebook itself takes them
# A few calls stand for the others: every curve has to be there a moment after a slider has come to rest.
ROUNDS, TRIALS, SIZES = 24, 200, 5
HOPELESS = 0.2  # where more calls than that time out, nobody wants to know how long it takes, unless it is bearable
ADVICE = "at most"  # what the pictures call the size that the sentence below them names
WORTH_SAYING = 0.9  # of the seconds, before another size is named as quicker
TINY = 1e-9  # a risk that tells nothing about the codes
Z = 1.96  # standard deviations from the mean to the upper bound of an interval of 95 %
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
    """

    codes_per_key: float = 100.0
    batch: int = 50
    keys: int = 5_000
    workers: int = WORKERS
    risk: float = 0.01
    seconds: float = 1.0

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
    """

    asked: Question
    largest: int
    chosen_risk: float
    risk: Curve
    makespan: Curve
    growth: Curve
    codes_per_day: int

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
            ]
        all_in_one = f", so all {asked.keys:,} in one" if 1 < asked.keys <= self.largest else ""
        advice = f"send at most {plural(self.largest, 'key')} a call{all_in_one}: {self._how_long(self.largest)}"
        advice += f"{self._quicker()}."
        end = f"Sync calls of that risk update up to {self.codes_per_day:,} codes a day."
        return [begin + advice, self._chosen(), end]

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
    spread: float = 0.0,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
) -> Answer:
    """Answer a question, in tens of milliseconds.

    Parameters
    ----------
    asked : Question
    model : ServiceTime, optional
        Default: the documented one. It is made faster or slower until 1,000 codes take ``asked.seconds``.
    spread : float
        Standard deviation of the codes per key value, as a share of their mean.
    timeout_s : float, default 60
        Seconds after which the gateway cuts a sync call.
    """
    model = scaled(model or ServiceTime.documented(), asked.seconds)
    codes = _codes(asked.codes_per_key, spread)
    largest = capacity.largest_batch(codes, asked.risk, model, timeout_s)
    risk = capacity.risk_by_batch(codes, model, _sizes(asked, largest), asked.risk, timeout_s)
    risk = replace(risk, best=float(largest) if largest else None, mark=ADVICE)
    risks = risk.frame.set_index("rows")["timeout_risk"]
    playable = [int(size) for size in risks.index[risks <= asked.worst] if size <= asked.keys]
    makespan = _makespan(asked, model, codes, _worth_playing(playable, asked, largest), timeout_s)
    return Answer(
        asked,
        largest,
        float(risks[asked.batch]),
        risk,
        replace(makespan, best=float(min(largest, asked.keys)) if largest else None, mark=ADVICE),
        _growth(asked, model, codes, timeout_s),
        capacity.codes_per_day(asked.risk, model, asked.workers, timeout_s) if largest else 0,
    )


def scaled(model: ServiceTime, seconds: float) -> ServiceTime:
    """Make a service as much faster or slower as it takes for 1,000 codes to need so many seconds."""
    return model.times(seconds / model.quantile(0.5, 1_000))


def _codes(mean: float, spread: float) -> float | Estimate:
    """Give two key values that have this mean and spread, as all others together have."""
    if not spread:
        return mean
    return Estimate((), pd.DataFrame({"codes": [mean * (1 - spread), mean * (1 + spread)]}))


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


def _makespan(
    asked: Question, model: ServiceTime, codes: float | Estimate, sizes: list[int], timeout_s: float
) -> Curve:
    lines = [_played(asked, model, codes, size, timeout_s) for size in sizes]
    empty = pd.DataFrame(columns=["rows", "calls", "seconds", "low", "high", "resends"], dtype=float)
    frame = pd.concat(lines, ignore_index=True) if lines else empty
    workers = plural(asked.workers, "worker")
    return Curve(
        frame, "rows", "seconds", f"Seconds for {asked.keys:,} keys with {workers}",
        ("key values in a sync call (number)", "seconds until all is done"),
    )  # fmt: skip


def _played(asked: Question, model: ServiceTime, codes: float | Estimate, size: int, timeout_s: float) -> pd.DataFrame:
    """Play the first rounds of an upload, and take the others to be like them."""
    rows = min(asked.keys, size * ROUNDS * asked.workers)
    line = capacity.makespan_by_batch(rows, codes, model, asked.workers, [size], timeout_s, TRIALS).frame
    share = asked.keys / rows
    for name in ("seconds", "low", "high", "resends"):
        line[name] *= share
    return line.assign(calls=int(np.ceil(asked.keys / size)))


def _growth(asked: Question, model: ServiceTime, codes: float | Estimate, timeout_s: float) -> Curve:
    """Say what becomes of calls of the chosen size if codes per key value grow and nobody plans again."""
    batches = np.full(len(GROWTH), float(asked.batch))
    today = _calls(batches, codes, model, asked.workers, timeout_s)
    grown = replace(today, codes=Bounds(*(bound * GROWTH for bound in today.codes)))
    frame = pd.DataFrame({"factor": GROWTH, "timeout_risk": grown.timeout_risk()})
    return Curve(
        frame, "factor", "timeout_risk", f"If codes per key grow and calls keep {plural(asked.batch, 'key')}",
        ("codes per key value (times today's)", "timeout risk (probability)"), asked.risk,
    )  # fmt: skip


def beginning(known: Estimate | Plan | None, model: ServiceTime) -> tuple[Question, float]:
    """Start from real numbers, as far as there are any; also give how unequal the codes of the key values are."""
    start = Question(seconds=float(model.quantile(0.5, 1_000)))
    if known is None or not len(known if isinstance(known, Plan) else known.frame):
        return start, 0.0
    if isinstance(known, Plan):
        return _of_plan(known, start)
    codes = known.frame["codes"].to_numpy(dtype=float)
    mean = float(codes.mean())
    spread = float(codes.std()) / mean if mean > 0 else 0.0
    return replace(start, codes_per_key=max(mean, 1.0), keys=len(codes)), spread


def _of_plan(plan: Plan, start: Question) -> tuple[Question, float]:
    """Start from the sync calls of a plan, each as risky as its riskiest; from its single keys where all are tasks.

    A plan knows which keys share a call, so that calls differ less than keys drawn by chance would: what is not known
    about the codes of the riskiest call is all that is uncertain.
    """
    start = replace(start, workers=plan.workers, risk=plan.risk)
    sync = np.flatnonzero(~plan.is_async)
    if not len(sync):
        one = _one_key(plan)
        codes = max(float(one.codes.codes[0]), 1.0)
        return replace(start, keys=len(plan.order), batch=1, codes_per_key=codes), _spread(one, 0, 1)
    rows, schedule = plan.schedule.rows[sync], plan.schedule
    worst = int(sync[np.argmax(schedule.timeout_risk()[sync])])
    total = float(schedule.codes.codes[sync].sum())
    batch = max(round(float(schedule.codes.codes[worst]) * rows.sum() / max(total, 1.0)), 1)
    start = replace(start, keys=int(rows.sum()), batch=batch)
    spread = _spread(schedule, worst, batch)
    return replace(start, codes_per_key=_as_risky(plan, worst, batch, spread)), spread


def _one_key(plan: Plan) -> Schedule:
    """Take one key value that selects as many codes as those of a plan do on average."""
    sent = plan.row_codes.iloc[plan.order]
    codes = Bounds(*(np.array([float(sent[name].mean())]) for name in ("codes", "low", "high")))
    one = np.ones(1, dtype=np.int64)
    return Schedule(one == 0, one, codes, plan.service_time, plan.workers, plan.timeout_s, level=plan.schedule.level)


def _spread(schedule: Schedule, call: int, batch: int) -> float:
    """Return the sd of codes per key, as a share of their mean, that makes a call of so many keys as uncertain."""
    log_sd = float(schedule.spread[call])
    return float((np.exp(Z * log_sd - log_sd**2 / 2) - 1) * np.sqrt(batch) / Z)


def _as_risky(plan: Plan, call: int, batch: int, spread: float) -> float:
    """Return the codes per key with which a sync call of so many keys is as risky as a call of the plan."""
    risk, codes = float(plan.schedule.timeout_risk()[call]), float(plan.schedule.codes.codes[call])
    low, high = 0.0, 2 * max(codes, 1.0) / batch
    if plan.schedule.rows[call] == batch or not TINY < risk < 1 - TINY:
        return high / 2
    for _ in range(40):  # the items of a call take time, too
        middle = (low + high) / 2
        calls = _calls(np.array([float(batch)]), _codes(middle, spread), plan.service_time, 1, plan.timeout_s)
        low, high = (middle, high) if calls.timeout_risk()[0] < risk else (low, middle)
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
        start, self._spread = beginning(known, self._model)
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
        return explore(self.question, self._model, self._spread, self._timeout_s)

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
    }  # fmt: skip


def _curves(answer: Answer) -> tuple[Curve, Curve, Curve]:
    return answer.risk, answer.makespan, answer.growth


def _picture(answer: Answer) -> Any:
    from scmkit.figures import ShownFigure

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
    """Give a name that no file has yet: nothing is written over."""
    number, found = 2, path
    while found.exists():
        found, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return found
