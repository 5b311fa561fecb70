"""What `.plot()` returns: axes, and their figure, that show themselves in a notebook. pyplot knows nothing of them.

A figure that pyplot did not make has no picture in IPython, and one that it made is shown twice when it is returned.
Nothing is painted behind the picture, and its words are in a grey that reads on white and on black: a saved picture
stays legible when its reader changes the theme.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scmkit.core import display
from scmkit.plots.style import INK


class ShownFigure(Figure):
    """A figure whose picture is what a notebook shows of it."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained", facecolor="none")

    def _repr_png_(self) -> bytes:
        return display.png(self)

    def __repr__(self) -> str:
        return f"<scmkit picture: {display.titles(self)}>"


class ShownAxes(Axes):
    """Axes to go on drawing on; a notebook shows the picture of their figure."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, facecolor="none", **options)
        self.tick_params(which="both", colors=INK)
        for words in (self.title, self.xaxis.label, self.yaxis.label):
            words.set_color(INK)
        self.spines[["top", "right"]].set_visible(False)
        self.spines[["left", "bottom"]].set_color(INK)

    def _repr_png_(self) -> bytes:
        return display.png(self.figure)

    def __repr__(self) -> str:
        return f"<scmkit plot: {self.get_title()}>"


def new_axes(width: float, height: float) -> Axes:
    """Return axes on a figure of their own, its size in inches."""
    return ShownFigure(width, height).add_subplot(axes_class=ShownAxes)


def side_by_side(width: float, height: float, count: int) -> Figure:
    """Return a figure of this size in inches with axes beside each other."""
    figure = ShownFigure(width, height)
    figure.subplots(1, count, subplot_kw={"axes_class": ShownAxes})
    return figure
