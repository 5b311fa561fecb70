"""Up to where something holds that holds for all that is smaller: by doubling and by halving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def largest_that(holds: Callable[[int], bool], most: int) -> int:
    """Return the largest whole number up to ``most`` for which something holds; 0 if not even for 1."""
    low, high = 0, 1
    while high <= most and holds(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def turning_point(holds: Callable[[Any], Any], low: Any, high: Any, halvings: int) -> Any:
    """Narrow down where something ceases to hold, between numbers or, element by element, between arrays.

    Parameters
    ----------
    holds : callable
        Whether it holds at some place.
    low, high : float or array of float
        Where it holds, and where it does not.
    halvings : int

    Returns
    -------
    float or array of float
        The least place found where it does not hold.
    """
    for _ in range(halvings):
        middle = (low + high) / 2
        found = holds(middle)
        low, high = np.where(found, middle, low), np.where(found, high, middle)
    return high
