"""A curve as a small inline SVG: drawn in milliseconds while a slider moves, in the colours of the reader's theme.

matplotlib needs some hundred milliseconds for the same, and draws what is saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pandas as pd

from scmkit.core.display import Html, escape
from scmkit.plots.results import BLUE, ORANGE
from scmkit.simulation.capacity import Curve

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 80, 12, 30, 44  # on the left is room for 0.000001 beside the axis' own words
LOWEST_RISK = 1e-6  # what is below cannot be told from nothing
Scale = Callable[[float], float]


def drawn(curve: Curve) -> Html:
    """Draw a curve on logarithmic axes, with its band, its limit and its best choice, and say in words what it shows.

    Parameters
    ----------
    curve : Curve

    Returns
    -------
    Html
        An ``<svg>`` with a description for those who do not see it.
    """
    frame = curve.frame.dropna(subset=[curve.y])
    if not len(frame):
        return _framed(curve, [_text(WIDTH / 2, HEIGHT / 2, "no size that could be sent: too risky", "middle")])
    xs, ys = _ends(frame[curve.x]), _y_ends(curve, frame)
    if (frame[curve.y] >= ys[0]).any():
        frame = frame[frame[curve.y] >= ys[0]]
    across = _scale(xs, LEFT, WIDTH - RIGHT)
    up = _scale(ys, HEIGHT - BOTTOM, TOP)
    parts = [*_x_axis(xs, across), *_y_axis(ys, up), *_band(curve, frame, across, up)]
    parts += [*_marks(curve, frame, across, up, xs, ys), *_line(frame[curve.x], frame[curve.y], across, up)]
    return _framed(curve, parts)


def description(curve: Curve) -> str:
    """Say in a sentence what a picture of the curve shows, from its first to its last point."""
    frame = curve.frame.dropna(subset=[curve.y])
    if not len(frame):
        return f"{curve.title}: no points"
    first, last = frame.iloc[0], frame.iloc[-1]
    ends = f"from {first[curve.y]:.3g} at {first[curve.x]:g} to {last[curve.y]:.3g} at {last[curve.x]:g}"
    return f"{curve.title}: {curve.labels[1]} against {curve.labels[0]}, {ends}"


def _framed(curve: Curve, parts: Iterable[str]) -> Html:
    words = [
        _text(LEFT, 18, curve.title, "start", "font-weight:600"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, curve.labels[0], "middle"),
        f'<g transform="rotate(-90)">{_text(-(TOP + HEIGHT - BOTTOM) / 2, 12, curve.labels[1], "middle")}</g>',
    ]
    return Html(
        f'<svg role="img" aria-label="{escape(description(curve))}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'style="width:100%;height:auto;font:12px sans-serif;color:inherit;line-height:1">'
        f"{''.join([*words, *parts])}</svg>"
    )


def _ends(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low / 2, high * 2)


def _y_ends(curve: Curve, frame: pd.DataFrame) -> tuple[float, float]:
    """Probabilities from a millionth to 1; anything else with its band, and at least over a factor of ten."""
    if curve.y == "timeout_risk":
        return LOWEST_RISK, 1.0
    columns = [name for name in ("low", curve.y, "high") if name in frame]
    low, high = float(frame[columns].min().min()), float(frame[columns].max().max())
    middle, factor = math.sqrt(low * high), max(math.sqrt(high / low), math.sqrt(10))
    return middle / factor, middle * factor


def _scale(ends: tuple[float, float], begin: float, end: float) -> Scale:
    low, high = (math.log(value) for value in ends)

    def place(value: float) -> float:
        share = (math.log(max(value, 1e-300)) - low) / (high - low)
        return round(begin + min(max(share, 0.0), 1.0) * (end - begin), 1)

    return place


def ticks(ends: tuple[float, float]) -> list[float]:
    """Round numbers between the ends: tens, or ones, twos and fives where there are few tens."""
    decades = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    for steps in ((1,), (1, 2, 5), range(1, 10)):
        found = [round(step * 10.0**d, 12) for d in decades for step in steps]
        found = [value for value in found if ends[0] * 0.999 <= value <= ends[1] * 1.001]
        if len(found) >= 3:
            break
    return found[:: math.ceil(len(found) / 7)]


def _x_axis(ends: tuple[float, float], across: Scale) -> list[str]:
    low = HEIGHT - BOTTOM
    return [
        _rule(across(tick), TOP, across(tick), low) + _text(across(tick), low + 15, number(tick), "middle")
        for tick in ticks(ends)
    ]


def _y_axis(ends: tuple[float, float], up: Scale) -> list[str]:
    return [
        _rule(LEFT, up(tick), WIDTH - RIGHT, up(tick)) + _text(LEFT - 5, up(tick) + 4, number(tick), "end")
        for tick in ticks(ends)
    ]


def _band(curve: Curve, frame: pd.DataFrame, across: Scale, up: Scale) -> list[str]:
    if not {"low", "high"} <= set(frame.columns):
        return []
    there = [f"{across(x)},{up(y)}" for x, y in zip(frame[curve.x], frame["high"], strict=True)]
    back = [f"{across(x)},{up(y)}" for x, y in zip(frame[curve.x], frame["low"], strict=True)]
    points = " ".join([*there, *reversed(back)])
    return [f'<polygon points="{points}" fill="{BLUE}" opacity=".2"><title>90 % of trials</title></polygon>']


def _marks(
    curve: Curve, frame: pd.DataFrame, across: Scale, up: Scale, xs: tuple[float, float], ys: tuple[float, float]
) -> Iterable[str]:
    if curve.limit is not None and ys[0] <= curve.limit <= ys[1]:
        height = up(curve.limit)
        yield _rule(LEFT, height, WIDTH - RIGHT, height, "stroke-dasharray:5 4;opacity:.9")
        first, last = (abs(up(float(y)) - height) for y in frame[curve.y].iloc[[0, -1]])
        place = (LEFT + 5, "start") if first >= last else (WIDTH - RIGHT - 5, "end")  # where the curve is farther away
        yield _text(place[0], height - 4, f"limit {curve.limit:g}", place[1])
    if curve.best is not None and xs[0] <= curve.best <= xs[1]:
        at = across(curve.best)
        yield f'<line x1="{at}" y1="{TOP}" x2="{at}" y2="{HEIGHT - BOTTOM}" stroke="{ORANGE}" stroke-width="2.5"/>'
        right = at > (LEFT + WIDTH) / 2
        yield _text(
            at + (-5 if right else 5), TOP + 12, f"{curve.mark} {number(curve.best)}", "end" if right else "start"
        )


def _line(xs: pd.Series, ys: pd.Series, across: Scale, up: Scale) -> list[str]:
    points = [(across(x), up(y)) for x, y in zip(xs, ys, strict=True)]
    joined = " ".join(f"{x},{y}" for x, y in points)
    dots = [f'<circle cx="{x}" cy="{y}" r="2.4" fill="{BLUE}"/>' for x, y in points]
    return [f'<polyline points="{joined}" fill="none" stroke="{BLUE}" stroke-width="2"/>', *dots]


def _rule(x1: float, y1: float, x2: float, y2: float, style: str = "opacity:.18") -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" style="stroke:currentColor;{style}"/>'


def _text(x: float, y: float, words: str, anchor: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" style="fill:currentColor;{style}">{escape(words)}</text>'


def number(value: float) -> str:
    """Write a mark of an axis in full, without powers."""
    return f"{value:,.0f}" if value >= 1 and float(value).is_integer() else f"{value:.10f}".rstrip("0").rstrip(".")
