"""Lines, words and marks of axes, each where nothing else is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scmkit.plots.style import INK, number, share, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

SMALL = 8.5  # points, of the words beside lines


def mark_axis(axis: Axis, percentages: bool = False, whole: bool = False) -> None:
    """Write full numbers or percentages at an axis; on a logarithmic one at round numbers only.

    Its ends must be final.
    """
    write = share if percentages else number
    if whole:
        from matplotlib.ticker import MaxNLocator

        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True, min_n_ticks=1))
    if axis.get_scale() == "log":
        low, high = axis.get_view_interval()
        axis.set_ticks(ticks((low, high)))
        axis.set_ticks([], minor=True)
    axis.set_major_formatter(lambda value, _: write(value))


def across(ax: Axes, at: float, words: str, style: str = "--") -> None:
    """Draw a line across, its words at the right of the axes, where nothing is drawn."""
    ax.axhline(at, color=INK, linestyle=style, linewidth=1)
    _words(ax, words, (1, at), ("axes fraction", "data"), (4, 0), ha="left", va="center")


def upright(ax: Axes, at: float, words: str, style: str = "--", side: str = "left", colour: str = INK) -> None:
    """Draw an upright line, its words above the axes, at its left or its right."""
    ax.axvline(at, color=colour, linestyle=style, linewidth=1 if colour == INK else 2)
    offset, ha = ((4, 3), "right") if side == "left" else ((-4, 3), "left")
    _words(ax, words, (at, 1), ("data", "axes fraction"), offset, ha=ha, va="bottom")


def name_point(ax: Axes, x: float, y: float, words: str) -> None:
    """Put a ring around a point, and say below the axes what it is."""
    ax.plot([x], [y], "o", markersize=12, markerfacecolor="none", markeredgecolor=INK, label=words)


def _words(ax: Axes, words: str, at: tuple[float, float], coordinates: Any, offset: Any, **places: Any) -> None:
    ax.annotate(
        words, at, xycoords=coordinates, xytext=offset, textcoords="offset points", color=INK, fontsize=SMALL,
        parse_math=False, **places,
    )  # fmt: skip


def entitle(ax: Axes, words: str, above: bool = False) -> None:
    """Write what is found above the axes, and above the words of upright lines."""
    ax.set_title(words, loc="center", pad=20 if above else 8, fontweight="bold", fontsize=11, parse_math=False)


def explain(ax: Axes, columns: int = 3) -> None:
    """Put the legend below the axis' own words, where nothing is drawn."""
    from matplotlib.transforms import ScaledTranslation

    below = ax.transAxes + ScaledTranslation(0, -38 / 72, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncols=columns, frameon=False,
        labelcolor=INK, fontsize=9,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name may hold $
