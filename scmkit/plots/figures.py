"""What `.plot()` returns: axes, and their figure, that show themselves in a notebook. pyplot knows nothing of them.

A figure that pyplot did not make has no picture in IPython, and one that it made is shown twice when it is returned.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scmkit.core import display


class ShownFigure(Figure):
    """A figure whose picture is what a notebook shows of it."""

    def _repr_png_(self) -> bytes:
        return display.png(self)

    def __repr__(self) -> str:
        return f"<scmkit picture: {display.titles(self)}>"


class ShownAxes(Axes):
    """Axes to go on drawing on; a notebook shows the picture of their figure."""

    def _repr_png_(self) -> bytes:
        return display.png(self.figure)

    def __repr__(self) -> str:
        return f"<scmkit plot: {self.get_title()}>"


def new_axes(width: float, height: float) -> Axes:
    """Return axes on a figure of their own, its size in inches."""
    return ShownFigure(figsize=(width, height), layout="constrained").add_subplot(axes_class=ShownAxes)
