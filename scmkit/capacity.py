"""Capacity planning: how many rows a call may hold, how long an upload takes, and when growth breaks a plan."""

from scmkit.simulation.capacity import (
    Break,
    Curve,
    best_workers,
    breaks_on,
    calls_to_collect,
    codes_per_day,
    fits_in,
    growth,
    largest_batch,
    makespan_by_batch,
    on_time,
    risk_by_batch,
    sample_to_collect,
)

__all__ = [
    "Break",
    "Curve",
    "best_workers",
    "breaks_on",
    "calls_to_collect",
    "codes_per_day",
    "fits_in",
    "growth",
    "largest_batch",
    "makespan_by_batch",
    "on_time",
    "risk_by_batch",
    "sample_to_collect",
]
