"""The Monte Carlo core: an upload played many times at once. Arrays in, arrays out.

A trial draws one set of service-time parameters, the codes of every call and the disturbance of every call. Calls
start in order, as workers and the pace allow. A sync call that takes longer than the gateway waits is lost after that
time and comes again, in halves, behind all others; a single key value that still times out becomes a task. Tasks are
worked on by as many servers as the service is assumed to have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scmkit import contract
from scmkit.fanout import Bounds
from scmkit.latency import ServiceTime

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Cut = tuple[Ints, Floats, Floats]  # the trials in which the gateway cut a call, its codes and its rows there

ASYNC_ANSWER_S = 0.1  # an async call is answered at once [seed]; what "at once" is, is assumed
_INTERVAL_S = 1 / contract.UPDATES_PER_SECOND
Z975 = 1.959964
STRATA = 15
BLOCK = 64  # calls whose random numbers are drawn at a time


@dataclass(frozen=True, eq=False)
class Schedule:
    """Calls in the order in which they go out, and who makes them.

    Parameters
    ----------
    is_async : array of bool, shape (calls,)
    rows : array, shape (calls,)
        Key values in each call.
    codes : Bounds
        Codes that each call affects.
    """

    is_async: NDArray[np.bool_]
    rows: NDArray[np.float64]
    codes: Bounds
    model: ServiceTime
    workers: int
    timeout_s: float = contract.GATEWAY_TIMEOUT_S
    assumed: contract.Assumptions = field(default=contract.ASSUMPTIONS)

    def timeout_risk(self) -> Floats:
        """Give each call's timeout risk, averaged over what is not known about its codes; 0 for async calls."""
        from scipy.special import ndtri

        spread = code_spread(self.codes)
        strata = ndtri((np.arange(STRATA) + 0.5) / STRATA) if spread.any() else np.zeros(1)
        risk = np.zeros(len(spread))
        for block in np.array_split(np.flatnonzero(~self.is_async), len(spread) // BLOCK + 1):
            drawn = self.codes.codes[block, None] * np.exp(spread[block, None] * strata)
            items = np.broadcast_to(self.rows[block, None], drawn.shape)
            risk[block] = np.asarray(self.model.timeout_risk(drawn, items, self.timeout_s)).mean(axis=1)
        return risk


@dataclass(frozen=True, eq=False)
class Played:
    """What happened in each trial, and to each call.

    Attributes
    ----------
    end, resends, wasted_s : array, shape (trials,)
        Seconds until the last end, calls made again after a 504, seconds of calls that were cut.
    mean_s, p95_s : array, shape (calls,)
        Seconds of each call's first attempt, or of its task.
    """

    end: Floats
    resends: Floats
    wasted_s: Floats
    mean_s: Floats
    p95_s: Floats


def play(schedule: Schedule, trials: int, rng: np.random.Generator) -> Played:
    """Play a schedule in many trials at once."""
    table = _Table(schedule, trials, rng)
    calls = len(schedule.rows)
    mean_s, p95_s = np.zeros(calls), np.zeros(calls)
    cut: list[Cut] = []
    for first in range(0, calls, BLOCK):
        block = slice(first, min(first + BLOCK, calls))
        codes, seconds = table.draw_block(block)
        mean_s[block] = seconds.mean(axis=1)
        p95_s[block] = np.partition(seconds, int(0.95 * (trials - 1)), axis=1)[:, int(0.95 * (trials - 1))]
        timed_out = seconds > schedule.timeout_s
        for i, is_async in enumerate(schedule.is_async[block].tolist()):
            if is_async:
                table.submit(table.all, seconds[i])
            elif timed_out[i].any():
                cut.append(table.send(table.all, codes[i], np.full(trials, schedule.rows[first + i]), seconds[i]))
            else:
                table.make_all(seconds[i])
    while cut := [each for each in cut if len(each[0])]:
        cut = [half for each in cut for half in table.resend(*each)]
    return Played(np.maximum(table.end, table.free.max(axis=0)), table.resends, table.wasted, mean_s, p95_s)


def code_spread(codes: Bounds) -> Floats:
    """Give the log-sd of lognormals with these medians whose 97.5 % quantile is ``high``; 0 for a known count."""
    unknown = (codes.high > codes.codes) & (codes.codes > 0)
    return np.log(np.where(unknown, codes.high, 1) / np.where(unknown, codes.codes, 1)) / Z975


class _Table:
    """The table at which all trials are played: who is free when, when the next call may go out, when all ended."""

    def __init__(self, schedule: Schedule, trials: int, rng: np.random.Generator) -> None:
        self.schedule, self.rng = schedule, rng
        self.all = np.arange(trials)
        self.free = np.zeros((schedule.workers, trials))
        self.servers = np.zeros((schedule.assumed.parallel_tasks, trials))
        self._spread = code_spread(schedule.codes)
        self.permit, self.end, self.resends, self.wasted = (np.zeros(trials) for _ in range(4))
        which = rng.integers(len(schedule.model.noise), size=trials)
        model = schedule.model
        self.base, self.per_code = model.base_s[which], model.per_code_s[which]
        self.per_item, self.noise = model.per_item_s[which], model.noise[which]

    def draw_block(self, block: slice) -> tuple[Floats, Floats]:
        """Draw codes and seconds of some calls in all trials, both of shape (calls, trials)."""
        schedule = self.schedule
        rows = np.where(schedule.is_async[block], 1.0, schedule.rows[block])[:, None]
        codes = np.broadcast_to(schedule.codes.codes[block, None], (len(rows), len(self.all)))
        spread = self._spread[block, None]
        if spread.any():
            codes = codes * np.exp(spread * self.rng.standard_normal(codes.shape))
        noise = np.exp(self.noise * self.rng.standard_normal(codes.shape))
        return codes, (self.base + self.per_code * codes + self.per_item * rows) * noise

    def make_all(self, seconds: Floats) -> None:
        """Make a call that is in time in all trials: the first free worker takes it at the next permit."""
        worker = self.free.argmin(axis=0)
        start = np.maximum(self.free[worker, self.all], self.permit)
        self.permit = start + _INTERVAL_S
        self.free[worker, self.all] = start + seconds

    def send(self, trials: Ints, codes: Floats, rows: Floats, seconds: Floats) -> Cut:
        """Make a sync call in these trials; give back those in which the gateway cut it."""
        timeout = self.schedule.timeout_s
        cut = seconds > timeout
        self._occupy(trials, np.minimum(seconds, timeout))
        self.wasted[trials[cut]] += timeout
        return trials[cut], codes[cut], rows[cut]

    def resend(self, trials: Ints, codes: Floats, rows: Floats) -> list[Cut]:
        """Make what was cut again: in halves, or as a task where there is nothing to halve."""
        alone = rows <= 1
        self.submit(trials[alone], self.draw_seconds(trials[alone], codes[alone], 1))
        self.resends[trials[alone]] += 1
        trials, codes, rows = trials[~alone], codes[~alone] / 2, rows[~alone]
        halves = []
        for size in (np.ceil(rows / 2), np.floor(rows / 2)):
            self.resends[trials] += 1
            halves.append(self.send(trials, codes, size, self.draw_seconds(trials, codes, size)))
        return halves

    def submit(self, trials: Ints, seconds: Floats) -> None:
        """Make an async call: the answer comes at once, and the task takes its turn."""
        answered = self._occupy(trials, np.full(len(trials), ASYNC_ANSWER_S))
        server = self.servers[:, trials].argmin(axis=0)
        done = np.maximum(self.servers[server, trials], answered) + seconds
        self.servers[server, trials] = done
        self.end[trials] = np.maximum(self.end[trials], done + self.schedule.assumed.task_overhead_s)

    def draw_seconds(self, trials: Ints, codes: Floats, items: Floats | float) -> Floats:
        """Draw how long a call takes in these trials."""
        median = self.base[trials] + self.per_code[trials] * codes + self.per_item[trials] * items
        return np.asarray(median * np.exp(self.noise[trials] * self.rng.standard_normal(len(trials))))

    def _occupy(self, trials: Ints, seconds: Floats) -> Floats:
        """Take the first free worker at the next permit, and give the time of the answer."""
        worker = self.free[:, trials].argmin(axis=0)
        start = np.maximum(self.free[worker, trials], self.permit[trials])
        self.permit[trials] = start + _INTERVAL_S
        done = start + seconds
        self.free[worker, trials] = done
        return np.asarray(done)
