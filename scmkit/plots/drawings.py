"""Pictures: ``(result, ax=None) -> ax``, in blue and orange with different marks, readable in grey too.

A title says what is found, an axis its unit, probabilities are percentages, and what stands out is named.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from scmkit.core import contract
from scmkit.core.display import duration, plural, rounded
from scmkit.core.errors import in_a_line
from scmkit.core.results import draw
from scmkit.core.values import RowCounts
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import Plan
from scmkit.plots.marks import across, entitle, explain, mark_axis, name_point, upright
from scmkit.plots.style import BAND, BLUE, INK, LOWEST_RISK_OF_CURVES, NOTHING, ORANGE, number, share
from scmkit.simulation.curve import Curve
from scmkit.simulation.simulate import Risk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


ONE_PERCENT = 0.01
LOWEST_RISK = 1e-4  # what is below is drawn here: nobody acts on the difference
LONGEST_NAME = 20
UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))


def new_axes(ax: Axes | None = None, width: float = 7.0, height: float = 4.0) -> Axes:
    """Return the axes, or new ones that a notebook shows as a picture where they are the last line of a cell."""
    if ax is not None:
        return ax
    from scmkit.plots import notebook_figure

    return notebook_figure.new_axes(width, height)


def side_by_side(width: float, height: float, *shown: Any) -> Figure:
    """Draw results beside each other on one figure, its size in inches."""
    from scmkit.plots import notebook_figure

    figure = notebook_figure.side_by_side(width, height, len(shown))
    for result, ax in zip(shown, figure.axes, strict=True):
        draw(result, ax)
    return figure


def curves(*shown: Curve) -> Figure:
    """Draw curves beside each other."""
    return side_by_side(16, 4.2, *shown)


@draw.register(ServiceTime)
def service_time(model: ServiceTime, ax: Axes | None = None) -> Axes:
    """Draw seconds against codes: median, 90 % band, the gateway's limit and the documented marks."""
    ax = new_axes(ax)
    codes = np.unique(np.geomspace(10, 100_000, 60).round())
    low, middle, high = (model.quantile(q, codes) for q in (0.05, 0.5, 0.95))
    ax.fill_between(codes, low, high, color=BLUE, alpha=0.2, label="90 % of calls")
    ax.plot(codes, middle, color=BLUE, label=f"median ({model.source})")
    ax.set(xscale="log", yscale="log", xlabel="codes affected by one sync call", ylabel="seconds per call")
    ax.set_xlim(codes[0], codes[-1])
    across(ax, contract.GATEWAY_TIMEOUT_S, f"gateway\ntimeout,\n{contract.GATEWAY_TIMEOUT_S:.0f} s")
    _mark_documented(ax)
    mark_axis(ax.xaxis)
    mark_axis(ax.yaxis)
    most = model.max_codes(ONE_PERCENT)
    entitle(ax, f"A sync call of up to {plural(most, 'code')} times out in at most 1% of cases", above=True)
    explain(ax, columns=1)
    return ax


@draw.register(Estimate)
def estimate(result: Estimate, ax: Axes | None = None) -> Axes:
    """Draw the codes of each key value, largest first."""
    ax = new_axes(ax)
    codes, low, high = (result.column(name).to_numpy(dtype=float) for name in ("codes", "low", "high"))
    order = np.lexsort((-low, -high, -codes))
    codes, low, high = codes[order], low[order], high[order]
    rank = np.arange(1, len(codes) + 1)
    if (high > low).any():
        ax.vlines(rank, low, high, color=ORANGE, alpha=0.6, label=f"{result.level:.0%} interval")
    ax.plot(rank, codes, "o", color=BLUE, markersize=_size(len(codes)), label=f"{result.total:,} codes in total")
    key = _short(" + ".join(result.key))
    ax.set_xlabel(f"values of {key}, largest first (rank)", parse_math=False)  # a name may hold $
    ax.set_ylabel("codes selected (number)")
    ax.set_yscale("symlog", linthresh=1)  # a key value may select no code at all
    ax.set_ylim(0, 5 * max(contract.DANGER_CODES, codes.max(initial=0), high.max(initial=0)))
    ax.set_xlim(1 - max(0.5, len(codes) / 50), len(codes) + max(0.5, len(codes) / 50))
    mark_axis(ax.xaxis, whole=True)
    mark_axis(ax.yaxis)
    across(ax, contract.SAFE_CODES, f"sync below\n{contract.SAFE_CODES:,}", ":")
    across(ax, contract.DANGER_CODES, f"danger above\n{contract.DANGER_CODES:,}")
    if len(codes):
        largest = " + ".join(str(result.frame[name].iloc[order[0]]) for name in result.key)
        name_point(ax, 1, codes[0], f"{_short(key, largest)}: {plural(int(codes[0]), 'code')}")
    entitle(ax, _how_many_are_large(codes, key))
    explain(ax)
    return ax


def _how_many_are_large(codes: Any, key: str) -> str:
    for marked in (contract.DANGER_CODES, contract.SAFE_CODES):
        if above := int((codes > marked).sum()):
            select = "selects" if above == 1 else "select"
            return f"{above:,} of {plural(len(codes), 'value')} of {key} {select} more than {marked:,} codes"
    return f"{plural(len(codes), 'value')} of {key}, none with more than {contract.SAFE_CODES:,} codes"


@draw.register(Plan)
def plan(result: Plan, ax: Axes | None = None) -> Axes:
    """Draw each call by its codes and its timeout risk if it were sync."""
    ax = new_axes(ax)
    calls = result.calls
    codes = calls["codes_high"].clip(lower=1).to_numpy()
    risks = np.asarray(result.service_time.timeout_risk(codes, calls["rows"], result.timeout_s)).reshape(-1)
    lowest = min(LOWEST_RISK, result.risk / 10 or LOWEST_RISK)
    for mode, colour, mark in (("sync", BLUE, "o"), ("async", ORANGE, "^")):
        chosen = (calls["mode"] == mode).to_numpy()
        if chosen.any():
            ax.plot(
                codes[chosen], risks[chosen].clip(lowest), mark, color=colour, alpha=_alpha(len(codes)),
                markersize=_size(len(codes)), label=f"{mode} ({chosen.sum():,})",
            )  # fmt: skip
    ax.set(xscale="log", yscale="log", ylim=(lowest / 1.6, 2.5))
    ax.set_xlim(min(10, codes.min(initial=10)) / 1.5, 1.5 * max(100_000, codes.max(initial=0)))
    ax.set(xlabel="codes affected by the call (upper estimate)", ylabel="timeout risk as a sync call")
    across(ax, result.risk, f"allowed,\n{share(result.risk)}")
    _mark_documented(ax)
    mark_axis(ax.xaxis)
    mark_axis(ax.yaxis, percentages=True)
    if len(codes):
        most = int(codes.argmax())
        words = f"{_named(result, most)}: {plural(int(codes[most]), 'code')}"
        name_point(ax, codes[most], max(risks[most], lowest), words)
        explain(ax)
    entitle(ax, _how_many_go_async(result), above=True)
    return ax


def _how_many_go_async(plan: Plan) -> str:
    calls, tasks = len(plan), int(plan.is_async.sum())
    if tasks == 0 or calls == tasks:
        mode = "async" if tasks else "sync"
        return f"The one call goes {mode}" if calls == 1 else f"All {calls:,} calls go {mode}" if calls else "No calls"
    return f"{tasks:,} of {calls:,} calls {'goes' if tasks == 1 else 'go'} async"


def _named(plan: Plan, call: int) -> str:
    """Name a call by its key value, or say how many it has."""
    rows = plan.rows_of(call)
    if len(rows) > 1:
        return plural(len(rows), "row")
    return _short(" + ".join(plan.key), " + ".join(key.take(rows)[0] for key in plan.keys))


def _short(*words: str) -> str:
    """Make names fit into a picture, without what no picture can show."""
    plain = map(in_a_line, words)
    return " ".join(word if len(word) <= LONGEST_NAME else f"{word[:LONGEST_NAME]}..." for word in plain)


@draw.register(Risk)
def risk(result: Risk, ax: Axes | None = None) -> Axes:
    """Draw the distribution of the makespan; the latest hundredth, which may be very late, is told in words."""
    ax = new_axes(ax)
    predicted, late = result.plan.seconds, result.makespan[0.95]
    unit, seconds = next((u for u in UNITS if max(predicted, late) >= 3 * u[1]), UNITS[-1])
    ends = result.makespans
    shown = ends[ends <= max(np.quantile(ends, 0.99), predicted)]
    later = f"trials; {len(ends) - len(shown):,} end later, the last after {duration(ends.max())}"
    label = later if len(shown) < len(ends) else plural(result.trials, "trial")
    ax.hist(shown / seconds, bins=60, weights=np.full(len(shown), 1 / len(ends)), color=BLUE, alpha=0.7, label=label)
    ax.set(xlabel=f"{unit} from the first call to the last end", ylabel="share of trials")
    sides = ("left", "right") if predicted <= late else ("right", "left")
    upright(ax, predicted / seconds, f"predicted: {duration(predicted)}", "-", sides[0])
    upright(ax, late / seconds, f"95% end by {duration(late)}", "--", sides[1])
    mark_axis(ax.xaxis)
    mark_axis(ax.yaxis, percentages=True)
    entitle(ax, f"About {duration(predicted)}; 95% of trials end within {duration(late)}", above=True)
    explain(ax)
    return ax


@draw.register(Curve)
def curve(result: Curve, ax: Axes | None = None) -> Axes:
    """Draw a curve of capacity planning: its band, its limit, and the best choice."""
    ax = new_axes(ax)
    frame = result.frame
    if not len(frame):
        ax.set(xticks=[], yticks=[])
        entitle(ax, result.title)
        ax.text(0.5, 0.5, NOTHING, ha="center", color=INK)
        return ax
    is_share = result.y in ("on_time", "timeout_risk")
    if {"low", "high"} <= set(frame.columns):
        ax.fill_between(frame[result.x], frame["low"], frame["high"], color=BLUE, alpha=0.2, label=BAND)
    _lines(result, ax)
    ax.set(xlabel=result.labels[0], ylabel=result.labels[1])
    ax.set_yscale("linear" if result.y == "on_time" else "log")
    ax.set_xscale("log" if frame[result.x].max() > 20 * frame[result.x].min() > 0 else "linear")
    if result.y == "on_time":
        ax.set_ylim(-0.03, 1.03)
    elif result.y == "timeout_risk" and "low" not in frame:
        ax.set_ylim(LOWEST_RISK_OF_CURVES, 2)
    if result.limit is not None:
        across(ax, result.limit, f"limit,\n{share(result.limit) if is_share else number(result.limit)}")
    if result.best is not None:
        upright(ax, result.best, f"{result.mark}: {rounded(result.best)}", "-", "right", ORANGE)
    mark_axis(ax.xaxis)
    mark_axis(ax.yaxis, is_share)
    entitle(ax, _found(result), above=result.best is not None)
    if ax.get_legend_handles_labels()[0]:
        explain(ax)
    return ax


def _found(result: Curve) -> str:
    """Return the title of a curve, and where its risk exceeds the limit if nothing else says what follows."""
    if result.best is not None or result.limit is None or result.y != "timeout_risk":
        return result.title
    above = result.frame.loc[result.frame[result.y] > result.limit, result.x]
    times = " times" if result.x == "factor" else ""
    since = f"above {share(result.limit)} from {above.min():g}{times} on"
    return f"{result.title}:\nrisk {since if len(above) else f'within {share(result.limit)}'}"


def _lines(result: Curve, ax: Axes) -> None:
    several = result.lines and result.frame[result.lines].nunique() > 1
    styles = itertools.cycle(itertools.product("-:", (BLUE, INK, ORANGE)))
    for value, line in result.frame.groupby(result.lines if several else [True] * len(result.frame)):
        label = f"{plural(value, result.lines.removesuffix('s'))} a call" if several else None
        style, colour = next(styles)
        shown = line[result.y].clip(LOWEST_RISK_OF_CURVES) if result.y == "timeout_risk" else line[result.y]
        ax.plot(line[result.x], shown, style, color=colour, marker="o", markersize=3, label=label)


@draw.register(RowCounts)
def row_counts(result: RowCounts, ax: Axes | None = None) -> Axes:
    """Draw what became of the rows of an upload."""
    ax = new_axes(ax, height=2.5)
    counts = dict(sorted(((word, rows) for word, rows in result.items() if rows), key=lambda pair: pair[1]))
    colours = [BLUE if word in ("applied", "superseded") else ORANGE for word in counts]
    bars = ax.barh(list(counts), list(counts.values()), color=colours)
    ax.bar_label(bars, fmt="{:,.0f}", padding=3, color=INK)
    ax.set_xlabel("rows (number)")
    mark_axis(ax.xaxis, whole=True)
    ax.margins(x=0.15)
    entitle(ax, f"{counts.get('applied', 0):,} of {plural(sum(counts.values()), 'row')} applied")
    return ax


def _size(points: int) -> float:
    return 7 if points <= 50 else 5 if points <= 1_000 else 4


def _alpha(points: int) -> float:
    return 0.9 if points <= 50 else 0.6


def _mark_documented(ax: Axes) -> None:
    upright(ax, contract.SAFE_CODES, f"recommended below {contract.SAFE_CODES:,}", ":")
    upright(ax, contract.DANGER_CODES, f"danger above {contract.DANGER_CODES:,}", ":", "right")
