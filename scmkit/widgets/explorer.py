"""Capacity planning by hand: sliders, and what `scmkit.simulation.explore` says of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import pandas as pd

from scmkit.core import contract, display
from scmkit.core.arguments import Kind, is_ours
from scmkit.core.display import Html, duration, percent, plural
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import Plan
from scmkit.plots import drawings as plots
from scmkit.plots.svg import description, drawn
from scmkit.simulation.explore import Answer, Question, beginning, explore
from scmkit.tables.arguments import public
from scmkit.widgets.surface import Surface, guarded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REST_S = 0.1  # how long a slider must rest before the curves follow
KEEP_S = 1.5  # and before the notebook itself takes them
STEP = 0.01  # of a slider, as a power of ten
CURVES = ("risk", "makespan", "growth")  # by name, in the order of `Answer.curves`
WRAP = {"flex_flow": "row wrap"}


class Dial:
    """A slider with a number field beside it; both say the same.

    Parameters
    ----------
    label, what : str
        What it is, in two words and in a sentence.
    value, least, most : float
        The ends are moved where the value lies beyond them.
    whole : bool
        Whether only whole numbers make sense.
    """

    def __init__(self, label: str, what: str, value: float, least: float, most: float, *, whole: bool) -> None:
        least, most = min(value, least), max(value, most)
        self._whole = whole
        kind = ipywidgets.BoundedIntText if whole else ipywidgets.BoundedFloatText
        begin = round(value) if whole else float(f"{value:.7g}")  # real numbers are kept as they are
        self.field = kind(
            begin, min=least, max=most, continuous_update=False, tooltip=f"{label}: {what}",
            layout=ipywidgets.Layout(width="7em"),
        )  # fmt: skip
        self.slider = ipywidgets.FloatLogSlider(
            value, base=10, min=float(np.log10(least)), max=float(np.log10(most)), step=STEP, readout=False,
            description=label, tooltip=what, style={"description_width": "13em"},
            layout=ipywidgets.Layout(flex="1 1 22em", min_width="0", max_width="36em"),
        )  # fmt: skip
        self.box = ipywidgets.HBox(
            [self.slider, self.field], layout=ipywidgets.Layout(flex="1 1 30em", max_width="46em", **WRAP)
        )
        self.slider.observe(self._slid, names="value")
        self.field.observe(self._typed, names="value")

    @property
    def value(self) -> Any:
        """What the field says: a whole number, or a float."""
        return self.field.value

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
    controls : dict
        The `Dial` of each name of a `Question`, and the buttons ``picture`` and ``numbers``.
    shown : dict of str to ipywidgets.HTML
        ``words``, the curves ``risk``, ``makespan`` and ``growth``, and what was ``saved``.
    spent_ms : list of float
        What the latest answers took.
    """

    def __init__(
        self, known: Estimate | Plan | None = None, *, service_time: ServiceTime | None = None, **options: Any
    ) -> None:
        super().__init__("explorer")
        plan = known if isinstance(known, Plan) else None
        model = service_time or (plan.service_time if plan is not None else ServiceTime.documented())
        start, values = beginning(known, model)
        timeout_s = contract.GATEWAY_TIMEOUT_S if plan is None else plan.timeout_s
        self._explore = partial(explore, model=model, values=values, timeout_s=timeout_s)
        self._plan_words = [_plan_words(plan)] if plan is not None and len(plan) else []
        self._dials = _dials(replace(start, **options))
        self._buttons = {"picture": _button("Save picture (PNG)"), "numbers": _button("Save numbers (CSV)")}
        self.controls: dict[str, Any] = {**self._dials, **self._buttons}
        self.answer = self._explore(self.question)
        self.spent_ms: list[float] = []
        flat = ipywidgets.Layout(width="auto")
        self.shown = {"words": ipywidgets.HTML(layout=flat), "saved": ipywidgets.HTML()} | {
            name: ipywidgets.HTML(layout=ipywidgets.Layout(flex="1 1 22em", max_width="30em")) for name in CURVES
        }
        self._arrange()
        self._show()

    def _arrange(self) -> None:
        dials = ipywidgets.HBox([dial.box for dial in self._dials.values()], layout=ipywidgets.Layout(**WRAP))
        pictures = [self.shown[name] for name in CURVES]
        buttons = ipywidgets.HBox([*self._buttons.values(), self.shown["saved"]], layout=ipywidgets.Layout(**WRAP))
        self._lay_out(dials, ipywidgets.HBox(pictures, layout=ipywidgets.Layout(**WRAP)), self.shown["words"], buttons)
        for dial in self._dials.values():
            dial.field.observe(self._moved, names="value")
        self._buttons["picture"].on_click(
            partial(self._save, "png", lambda path: self.picture().savefig(path, dpi=110))
        )
        self._buttons["numbers"].on_click(partial(self._save, "csv", lambda path: self.frame.to_csv(path, index=False)))

    @property
    def question(self) -> Question:
        """What the sliders say now."""
        values: dict[str, Any] = {name: dial.value for name, dial in self._dials.items()}
        return Question(**values | {"risk": values["risk"] / 100})

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers behind the curves, a line per batch size."""
        return self.answer.frame

    def picture(self) -> Figure:
        """Draw the three curves on one figure."""
        return plots.curves(*self.answer.curves)

    def static(self) -> Html:
        """Show words, pictures and numbers without widgets."""
        answer = self.answer  # another thread may put a newer one in its place meanwhile
        numbers = answer.frame[["keys_per_call", "codes", "timeout_risk", "seconds"]].dropna()
        return display.card(
            "Capacity", {str(n): line for n, line in enumerate(self._said(answer), 1)},
            display.figure(plots.curves(*answer.curves), "; ".join(map(description, answer.curves))),
            display.table(numbers, max_rows=15),
        )  # fmt: skip

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        self._view.do("keep", self._keep)

    def _keep(self) -> None:
        self.keep("What the sliders said last (this stays in the notebook)")

    def __repr__(self) -> str:
        return "<CapacityExplorer>\n" + "\n".join(self._said(self.answer))

    @guarded
    def _moved(self, change: Any) -> None:
        self._work.do("explore", self._follow, after_s=REST_S)

    @guarded
    def _save(self, ending: str, write: Callable[[Path], Any], button: Any) -> None:
        def save() -> None:
            path = _free(Path(f"capacity.{ending}"))
            write(path)
            self.shown["saved"].value = f"saved as <code>{display.escape(path.absolute())}</code>"

        self._work.do(ending, save)

    def _follow(self) -> None:
        begun = time.perf_counter()
        self.answer = self._explore(self.question)
        self._show()
        self.spent_ms = [*self.spent_ms[-99:], 1000 * (time.perf_counter() - begun)]
        self.succeed()
        self._view.do("keep", self._keep, after_s=KEEP_S)

    def _said(self, answer: Answer) -> list[str]:
        """Return the sentences about the sliders, and one about the plan that they started from."""
        return answer.words() + self._plan_words

    def _show(self) -> None:
        first, *others = (display.escape(line) for line in self._said(self.answer))
        self.shown["words"].value = f"<p><b>{first}</b><br>{'<br>'.join(others)}</p>"
        for name, curve in zip(CURVES, self.answer.curves, strict=True):
            self.shown[name].value = drawn(curve)


def _plan_words(plan: Plan) -> str:
    """Say what the plan itself says, whatever the sliders say later."""
    sync = plan.calls.loc[~plan.is_async, "timeout_risk"]
    risk = f"largest timeout risk {percent(float(sync.max()))}" if len(sync) else "no sync call that could time out"
    calls = f"{plural(len(plan), 'call')}, {plural(int(plan.is_async.sum()), 'task')} among them"
    return f"The plan itself: {calls}; {risk}; about {duration(plan.seconds)}."


def _dials(start: Question) -> dict[str, Dial]:
    values = vars(start) | {"risk": 100 * start.risk}
    return {each.name: Dial(value=values[each.name], **each.metadata) for each in fields(start)}


def _button(words: str) -> ipywidgets.Button:
    return ipywidgets.Button(
        description=words, layout=ipywidgets.Layout(width="auto"), tooltip="into the current folder"
    )


def _free(path: Path) -> Path:
    """Return a name that no file has yet: nothing is written over."""
    number, found = 2, path
    while found.exists():
        found, number = path.with_stem(f"{path.stem}-{number}"), number + 1
    return found
