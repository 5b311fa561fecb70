"""Pictures: ``(result, ax=None) -> ax``, in blue and orange with different marks, readable in grey too."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from scmkit.core import contract
from scmkit.core.display import duration
from scmkit.core.results import draw
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import Plan
from scmkit.plots.style import BAND, BLACK, BLUE, GREY, NOTHING, ORANGE, number, ticks
from scmkit.simulation.curve import Curve
from scmkit.simulation.simulate import Risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def new_axes(ax: Axes | None = None, width: float = 7.0, height: float = 4.0) -> Axes:
    """Return the axes, or new ones that a notebook shows as a picture where they are the last line of a cell."""
    if ax is not None:
        return ax
    from scmkit.plots import figures

    return figures.new_axes(width, height)


def side_by_side(width: float, height: float, *shown: Any) -> Figure:
    """Draw results beside each other on one figure, its size in inches."""
    from scmkit.plots.figures import ShownFigure

    figure = ShownFigure(figsize=(width, height), layout="constrained")
    for result, ax in zip(shown, figure.subplots(1, len(shown)), strict=True):
        draw(result, ax)
    return figure


def curves(*shown: Curve) -> Figure:
    """Draw curves beside each other, with plain numbers at the axes."""
    figure = side_by_side(16, 4.2, *shown)
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) if axis.get_scale() == "log"]:
        low, high = axis.get_view_interval()
        marks = ticks((low, high))
        axis.set_ticks(marks, [number(mark) for mark in marks])
        axis.set_ticks([], minor=True)
    return figure


@draw.register(ServiceTime)
def service_time(model: ServiceTime, ax: Axes | None = None) -> Axes:
    """Draw seconds against codes: median, 90 % band, the gateway's limit and the documented marks."""
    ax = new_axes(ax)
    codes = np.unique(np.geomspace(10, 100_000, 60).round())
    low, middle, high = (model.quantile(q, codes) for q in (0.05, 0.5, 0.95))
    ax.fill_between(codes, low, high, color=BLUE, alpha=0.2, label="90 % of calls")
    ax.plot(codes, middle, color=BLUE, label="median")
    ax.axhline(contract.GATEWAY_TIMEOUT_S, color=BLACK, linestyle="--", label="gateway timeout, 60 s")
    _mark_documented(ax)
    ax.set(xscale="log", yscale="log", xlabel="codes affected by one sync call", ylabel="seconds per call")
    ax.set_title(f"Service time ({model.source})")
    ax.legend()
    return ax


@draw.register(Estimate)
def estimate(result: Estimate, ax: Axes | None = None) -> Axes:
    """Draw the codes of each key value, largest first."""
    ax = new_axes(ax)
    codes, low, high = (result.column(name).to_numpy(dtype=float) for name in ("codes", "low", "high"))
    order = np.argsort(-codes, kind="stable")
    codes, low, high = codes[order], low[order], high[order]
    rank = np.arange(1, len(codes) + 1)
    errors = np.abs(np.array([low, high]) - codes)
    if errors.any():
        interval = f"{result.level:.0%} interval"
        ax.errorbar(rank, codes, yerr=errors, fmt="none", ecolor=ORANGE, alpha=0.6, label=interval)
    ax.plot(rank, codes, "o", color=BLUE, markersize=3, label="codes per key value")
    for codes_marked, style in ((contract.SAFE_CODES, ":"), (contract.DANGER_CODES, "--")):
        ax.axhline(codes_marked, color=GREY, linestyle=style, label=f"documented: {codes_marked:,} codes")
    ax.set_xlabel(f"values of {' + '.join(result.key)}, largest first (rank)", parse_math=False)  # a name may hold $
    ax.set_ylabel("codes selected (number)")
    ax.set_yscale("symlog", linthresh=1)  # a key value may select no code at all
    ax.set_ylim(0, 3 * max(contract.DANGER_CODES, codes.max(initial=0), high.max(initial=0)))
    ax.set_title(f"{result.total:,} codes behind {len(codes):,} key values")
    ax.legend()
    return ax


@draw.register(Plan)
def plan(result: Plan, ax: Axes | None = None) -> Axes:
    """Draw each call by its codes and its timeout risk if it were sync."""
    ax = new_axes(ax)
    calls = result.calls
    codes = calls["codes_high"].clip(lower=1)
    if_sync = np.asarray(result.service_time.timeout_risk(codes, calls["rows"], result.timeout_s)).reshape(-1)
    for mode, colour, mark in (("sync", BLUE, "o"), ("async", ORANGE, "^")):
        chosen = (calls["mode"] == mode).to_numpy()
        if chosen.any():
            label = f"{mode} ({chosen.sum():,})"
            ax.plot(codes[chosen], if_sync[chosen].clip(1e-6), mark, color=colour, alpha=0.7, label=label)
    ax.axhline(result.risk, color=BLACK, linestyle="--", label=f"bearable risk, {result.risk:.1%}")
    _mark_documented(ax)
    ax.set(xscale="log", yscale="log", ylim=(5e-7, 2))
    ax.set(xlabel="codes affected by the call (upper estimate)", ylabel="timeout risk as a sync call (probability)")
    ax.set_title(f"{len(calls):,} calls keyed by {' + '.join(result.key)}", parse_math=False)
    ax.legend()
    return ax


@draw.register(Risk)
def risk(result: Risk, ax: Axes | None = None) -> Axes:
    """Draw the distribution of the makespan; the latest hundredth, which may be very late, is told in words."""
    ax = new_axes(ax)
    ends = result.makespans
    shown = ends[ends <= max(np.quantile(ends, 0.99), result.plan.seconds)]
    later = f"trials; {len(ends) - len(shown):,} end later, the last after {duration(ends.max())}"
    ax.hist(shown, bins=60, color=BLUE, alpha=0.7, label=later if len(shown) < len(ends) else "trials")
    predicted, late = result.plan.seconds, result.makespan[0.95]
    ax.axvline(predicted, color=BLACK, label=f"predicted: {duration(predicted)}")
    ax.axvline(late, color=BLACK, linestyle="--", label=f"95 % of trials end by {duration(late)}")
    ax.set(xlabel="seconds from the first call to the last end", ylabel="trials (number)")
    ax.set_title(f"{result.trials:,} trials, {result.expected_resends:.2g} resends expected")
    ax.legend(framealpha=1)  # lines end behind it
    return ax


@draw.register(Curve)
def curve(result: Curve, ax: Axes | None = None) -> Axes:
    """Draw a curve of capacity planning: its band, its limit, and the best choice."""
    ax = new_axes(ax)
    frame = result.frame
    if not len(frame):
        ax.set(title=result.title, xticks=[], yticks=[])
        ax.text(0.5, 0.5, NOTHING, ha="center")
        return ax
    if {"low", "high"} <= set(frame.columns):
        ax.fill_between(frame[result.x], frame["low"], frame["high"], color=BLUE, alpha=0.2, label=BAND)
    several = result.lines and frame[result.lines].nunique() > 1
    styles = itertools.cycle(itertools.product("-:", (BLUE, BLACK, GREY)))
    for value, line in frame.groupby(result.lines if several else [True] * len(frame)):
        label = f"{value:,} {result.lines} a call" if several else None
        style, colour = next(styles)
        ax.plot(line[result.x], line[result.y], style, color=colour, marker="o", markersize=3, label=label)
    if result.limit is not None:
        ax.axhline(result.limit, color=BLACK, linestyle="--", label=f"limit, {result.limit:g}")
    if result.best is not None:
        best = f"{result.best:,.0f}" if result.best >= 100 else f"{result.best:.3g}"
        ax.axvline(result.best, color=ORANGE, linewidth=2, label=f"{result.mark}, {best}")
    ax.set(xlabel=result.labels[0], ylabel=result.labels[1], title=result.title)
    ax.set_yscale("linear" if result.y == "on_time" else "log")
    ax.set_xscale("log" if frame[result.x].max() > 20 * frame[result.x].min() > 0 else "linear")
    if result.y == "on_time":
        ax.set_ylim(-0.03, 1.03)
    elif result.y == "timeout_risk" and "low" not in frame:
        ax.set_ylim(1e-6, 2)
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    return ax


def job(result: Any, ax: Axes | None = None) -> Axes:
    """Draw what became of the rows of an upload."""
    ax = new_axes(ax, height=2.5)
    counts = dict(sorted(result.counts().items(), key=lambda pair: pair[1]))
    colours = [BLUE if word in ("applied", "superseded") else ORANGE for word in counts]
    bars = ax.barh(list(counts), list(counts.values()), color=colours)
    ax.bar_label(bars, fmt="{:,.0f}", padding=3)
    ax.set(xlabel="rows (number)", title=f"What became of {sum(counts.values()):,} rows")
    ax.margins(x=0.15)
    return ax


def _mark_documented(ax: Axes) -> None:
    for codes, words in ((contract.SAFE_CODES, "recommended below"), (contract.DANGER_CODES, "danger above")):
        ax.axvline(codes, color=GREY, linestyle=":")
        ax.annotate(
            f"{words} {codes:,}", (codes, 0.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=8,
            ha="right", color=GREY,
        )  # fmt: skip
