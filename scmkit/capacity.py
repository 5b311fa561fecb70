"""Capacity planning: how large, how many, how long, before there is a table. Each curve is a frame with a picture.

Codes per key value are given as a number, or as an `Estimate` whose key values stand for the ones to come: calls are
made of them at random, each with what is not known about it. Seconds come from the documented service by default, and
what the gateway cuts is played as it is sent again: in halves.
"""

from scmkit.simulation.batches import codes_per_day, largest_batch, makespan_by_batch, risk_by_batch
from scmkit.simulation.curve import Break, Curve
from scmkit.simulation.deadlines import best_workers, fits_in, on_time
from scmkit.simulation.growth import breaks_on, growth
from scmkit.simulation.learning import calls_to_collect, sample_to_collect

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
