"""What all pictures have in common, drawn by matplotlib or as SVG: colours, marks of axes, and words."""

from __future__ import annotations

import math

# Blue and orange, which colour-blind eyes tell apart, and a grey for words and lines: each stands out from white and
# from the black of dark themes (by 3 to 1 at least, words by 4 to 1), and is different in grey.
BLUE, ORANGE, INK = "#0072B2", "#CC7A00", "#7B7B7B"
LOWEST_RISK_OF_CURVES = 1e-6  # what is below cannot be told from nothing
BAND = "90 % of trials"
NOTHING = "no size that could be sent: too risky"


def ticks(ends: tuple[float, float]) -> list[float]:
    """Return round numbers between the ends: tens, or ones, twos and fives where there are few tens."""
    decades = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    for steps in ((1,), (1, 2, 5), range(1, 10)):
        found = [round(step * 10.0**d, 12) for d in decades for step in steps]
        found = [value for value in found if ends[0] * 0.999 <= value <= ends[1] * 1.001]
        if len(found) >= 3:
            break
    return found[:: math.ceil(len(found) / 7)]


def number(value: float) -> str:
    """Write a mark of an axis in full, without powers."""
    return f"{value:,.0f}" if value >= 1 and float(value).is_integer() else f"{value:.10f}".rstrip("0").rstrip(".")


def share(value: float) -> str:
    """Write a probability at an axis as a percentage, as many digits as it needs."""
    return f"{number(round(100 * value, 8))}%" if value else "0%"
