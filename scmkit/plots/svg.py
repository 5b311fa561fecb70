"""A curve as a small inline SVG: drawn in milliseconds while a slider moves, in the colours of the reader's theme.

matplotlib needs some hundred milliseconds for the same, and draws what is saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import pandas as pd

from scmkit.core.display import Html, escape
from scmkit.plots.style import BAND, BLUE, LOWEST_RISK_OF_CURVES, NOTHING, ORANGE, number, share, ticks
from scmkit.simulation.curve import Curve

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 80, 12, 30, 44  # on the left is room for 0.0001% beside the axis' own words
Ends = tuple[float, float]
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
        return _framed(curve, [_text(WIDTH / 2, HEIGHT / 2, NOTHING, "middle")])
    xs, ys = _ends(frame[curve.x]), _y_ends(curve, frame)
    if (frame[curve.y] >= ys[0]).any():
        frame = frame[frame[curve.y] >= ys[0]]
    across = _scale(xs, LEFT, WIDTH - RIGHT)
    up = _scale(ys, HEIGHT - BOTTOM, TOP)
    parts = [
        *_axes(xs, ys, across, up, _writes(curve)),
        *_band(curve, frame, across, up),
        *_marks(curve, frame, across, up, xs, ys),
    ]
    return _framed(curve, [*parts, *_line(frame[curve.x], frame[curve.y], across, up)])


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


def _ends(values: pd.Series) -> Ends:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low / 2, high * 2)


def _y_ends(curve: Curve, frame: pd.DataFrame) -> Ends:
    """Probabilities from a millionth to 1; anything else with its band, and at least over a factor of ten."""
    if curve.y == "timeout_risk":
        return LOWEST_RISK_OF_CURVES, 1.0
    columns = [name for name in ("low", curve.y, "high") if name in frame]
    low, high = float(frame[columns].min().min()), float(frame[columns].max().max())
    middle, factor = math.sqrt(low * high), max(math.sqrt(high / low), math.sqrt(10))
    return middle / factor, middle * factor


def _scale(ends: Ends, begin: float, end: float) -> Scale:
    low, high = (math.log(value) for value in ends)

    def place(value: float) -> float:
        share = (math.log(max(value, 1e-300)) - low) / (high - low)
        return round(begin + min(max(share, 0.0), 1.0) * (end - begin), 1)

    return place


def _writes(curve: Curve) -> Callable[[float], str]:
    return share if curve.y == "timeout_risk" else number


def _axes(xs: Ends, ys: Ends, across: Scale, up: Scale, write: Callable[[float], str]) -> Iterator[str]:
    for tick in ticks(xs):
        yield _rule(across(tick), TOP, across(tick), HEIGHT - BOTTOM)
        yield _text(across(tick), HEIGHT - BOTTOM + 15, number(tick), "middle")
    for tick in ticks(ys):
        yield _rule(LEFT, up(tick), WIDTH - RIGHT, up(tick))
        yield _text(LEFT - 5, up(tick) + 4, write(tick), "end")


def _band(curve: Curve, frame: pd.DataFrame, across: Scale, up: Scale) -> list[str]:
    if not {"low", "high"} <= set(frame.columns):
        return []
    edges = [
        *zip(frame[curve.x], frame["high"], strict=True),
        *reversed([*zip(frame[curve.x], frame["low"], strict=True)]),
    ]
    points = " ".join(f"{across(x)},{up(y)}" for x, y in edges)
    return [f'<polygon points="{points}" fill="{BLUE}" opacity=".2"><title>{BAND}</title></polygon>']


def _marks(curve: Curve, frame: pd.DataFrame, across: Scale, up: Scale, xs: Ends, ys: Ends) -> Iterator[str]:
    if curve.limit is not None and ys[0] <= curve.limit <= ys[1]:
        height = up(curve.limit)
        yield _rule(LEFT, height, WIDTH - RIGHT, height, "stroke-dasharray:5 4;opacity:.9")
        first, last = (abs(up(float(y)) - height) for y in frame[curve.y].iloc[[0, -1]])
        place = (LEFT + 5, "start") if first >= last else (WIDTH - RIGHT - 5, "end")  # where the curve is farther away
        yield _text(place[0], height - 4, f"limit {_writes(curve)(curve.limit)}", place[1])
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
