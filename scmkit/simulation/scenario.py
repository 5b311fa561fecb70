"""An upload that is asked about, before there is a table: what a call risks, what fits, how long all takes.

`scmkit.capacity` and the explorer take their numbers from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from scmkit.core import contract
from scmkit.core.arrays import Ints
from scmkit.core.display import percent
from scmkit.core.errors import PlanError
from scmkit.core.search import largest_that
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning.plan import WORKERS
from scmkit.simulation.population import FULLY, CallRisk, Depth, Ends, KeyValues, Service, play_upload

TRIALS = 300
ITEM_BYTES = 200  # of a key value with its fields, as an item of a sync call [assumed]
CERTAINTY = 0.95
ENVELOPE_BYTES = 100  # around the items of a call: the name of the key, and brackets


@dataclass(frozen=True, eq=False)
class Scenario:
    """Sync calls of key values to come.

    Parameters
    ----------
    values : KeyValues
        How many codes they select.
    service : Service
        Who answers, and how many calls are under way at a time.
    risk : float
        The bearable risk of a timeout.
    item_bytes : float
        Of a key value with its fields.
    trials, seed : int
    depth : Depth
        How much of a long upload is played.
    """

    values: KeyValues
    service: Service
    risk: float = 0.01
    item_bytes: float = ITEM_BYTES
    trials: int = TRIALS
    seed: int = 0
    depth: Depth = FULLY

    @classmethod
    def of(
        cls, codes_per_key: float | Estimate, service_time: ServiceTime | None, timeout_s: float, **options: Any
    ) -> Scenario:
        """Take the arguments of the public functions; the documented service by default."""
        service = Service(service_time or ServiceTime.documented(), WORKERS, timeout_s)
        return cls(KeyValues.of(codes_per_key), service, **options)

    def with_workers(self, workers: int, slowdown: float, undisturbed: int = 1) -> Scenario:
        """Return the same with so many workers; see `Service.crowded`."""
        return replace(self, service=self.service.crowded(workers, slowdown, undisturbed))

    def grown(self, factor: float) -> Scenario:
        """Return the same with so many times the codes."""
        return replace(self, values=self.values.times(factor))

    @cached_property
    def risk_of(self) -> CallRisk:
        """The timeout risk of a call, by its key values."""
        return CallRisk(self.values, self.service.model, self.service.timeout_s)

    @property
    def most(self) -> int:
        """How many key values the body of a call holds."""
        return max(int((contract.ASSUMPTIONS.max_body_bytes - ENVELOPE_BYTES) // self.item_bytes), 1)

    @cached_property
    def largest(self) -> int:
        """The most key values of a call within the bearable risk; 0 if not even one."""
        return largest_that(lambda size: self.risk_of(size) <= self.risk, self.most)

    def even_size(self, rows: int) -> int:
        """Return a bearable size of calls, so that all workers have as many of them to make."""
        if not self.largest:
            raise PlanError(
                f"not even one key value fits into a sync call with a risk of {percent(self.risk)}: tasks cannot time "
                "out, and scmkit.plan(df, key=...) sends what is too large as tasks"
            )
        turns = -(-rows // (self.largest * self.service.workers))
        return -(-rows // (turns * self.service.workers))

    def play(self, rows: int, size: int | None = None) -> Ends:
        """Play an upload of so many key values, in calls of a size; by default, of an even one."""
        return play_upload(
            self.values, rows, size or self.even_size(rows), self.service, self.trials, self.seed, self.depth
        )

    def chance(self, rows: int, window_s: float, size: int | None = None) -> float:
        """Return the probability that so many key values are done in so many seconds."""
        return float(np.mean(self.play(rows, size).seconds <= window_s))

    def rows_within(self, window_s: float, certainty: float, size: int | None = None) -> int:
        """Return how many key values are done in so many seconds with this certainty."""
        low, high, rows = 0, 1 << 40, self.service.workers
        for _ in range(40):
            share = float(np.quantile(self.play(rows, size).seconds, certainty)) / window_s
            low, high = (rows, high) if share <= 1 else (low, rows)
            if high - low <= max(1, low // 200) or 0.995 < share <= 1:
                break
            guess = int(min(rows / share, 64 * rows))  # seconds are nearly in proportion to rows
            rows = guess if low < guess < high else (low + min(high, 2 * low + 2)) // 2
        return low

    def codes_a_day(self) -> int:
        """Return the codes that calls within the bearable risk update in a day, at the best size of them."""
        sizes = sizes_up_to(self.largest, steps=12)
        lost = np.array([self.risk_of(size) for size in sizes.tolist()])
        return self.service.codes_a_day(self.values.mean * sizes, sizes, lost, self.risk)


def sizes_up_to(most: float, steps: int = 60) -> Ints:
    """Return sizes of calls that are worth a point of a curve."""
    return np.unique(np.round(np.geomspace(1, max(most, 1), steps))).astype(np.int64)
