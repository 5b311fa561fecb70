"""What capacity planning returns: one quantity against another, with a sentence and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from scmkit.core import display, results

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        best = "" if self.best is None else f"; {self.mark} at {display.rounded(self.best)}"
        answer = f"{self.answer}\n" if self.answer else ""
        return f"<Curve: {self.title}{best}>\n{answer}{self.frame.to_string(index=False, max_rows=12)}"

    def _repr_html_(self) -> str:
        facts: dict[str, object] = {"answer": self.answer} if self.answer else {}
        facts |= {self.mark: "" if self.best is None else self.best}
        return display.card(self.title, facts, results.picture(self), display.table(self.frame))


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
