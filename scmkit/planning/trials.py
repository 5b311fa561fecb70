"""The Monte Carlo core: an upload played many times at once. Arrays in, arrays out.

A trial draws one set of service-time parameters, the codes of every call and the disturbance of every call. Calls
start in order, as workers and the client's own pace allow. A sync call that takes longer than the gateway waits is
lost after that time, and only then its two halves join the end of the queue, each with its own rows; a single key value
that still times out becomes a task. Tasks are worked on by as many servers as the service is assumed to have.

Calls start in the order of the queue and the gateway cuts each after the same time, so halves become ready in the
order in which their parents started: generation after generation is exactly first come, first served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from scmkit.core import contract
from scmkit.core.arrays import Bools, Floats, Ints
from scmkit.estimation.fan_out import Bounds, Uncertain, sum_counts, z_of
from scmkit.estimation.service_time import ServiceTime

ASYNC_ANSWER_S = 0.1  # an async call is answered at once [seed]; what "at once" is, is assumed
INTERVAL_S = 1 / (contract.UPDATES_PER_SECOND * contract.PACE_HEADROOM)  # between two calls, as the client keeps it
STRATA = 15
ALIKE = 64  # sizes of calls that a bound tells apart
BLOCK = 64  # calls whose random numbers are drawn at a time


@dataclass(frozen=True, eq=False)
class Schedule:
    """Calls in the order in which they go out, and who makes them.

    Parameters
    ----------
    is_async : array of bool, shape (calls,)
    rows : array of int64, shape (calls,)
        Key values in each call.
    codes : Bounds
        Codes that each call affects: mean and bounds.
    model : ServiceTime
    workers : int
        Calls under way at a time.
    timeout_s : float
        Seconds after which the gateway cuts a sync call [seed].
    means : array of float, shape (sum of rows,), optional
        Expected codes of each row, call after call: what decides how a cut call falls apart. By default, the rows of
        a call are alike.
    common : array of float, shape (calls,), optional
        The share of each call's uncertainty that it has in common with all others, such as a guess that is wrong for
        every key value alike.
    level : float
        The probability with which the bounds of ``codes`` hold the truth.
    probes : bool
        Whether all others wait for the first call, which tells how fast the service is.
    """

    is_async: Bools
    rows: Ints
    codes: Bounds
    model: ServiceTime
    workers: int
    timeout_s: float = contract.GATEWAY_TIMEOUT_S
    assumed: contract.Assumptions = field(default=contract.ASSUMPTIONS)
    means: Floats | None = None
    common: Floats | None = None
    level: float = 0.95
    probes: bool = False

    @classmethod
    def of_rows(cls, is_async: Bools, offsets: Ints, counts: Uncertain, level: float, **terms: Any) -> Schedule:
        """Return the schedule of calls that hold these rows; what the rows' counts have in common, the calls have."""
        calls = sum_counts(counts, offsets, level)
        common = (calls.shared / np.maximum(calls.sd, 1e-9)) ** 2
        bounds = Bounds(*calls[:3])
        return cls(is_async, np.diff(offsets), bounds, means=counts.codes, common=common, level=level, **terms)

    @cached_property
    def spread(self) -> Floats:
        """The log-sd of each call's codes."""
        return log_sd(self.codes, self.level)

    @cached_property
    def items(self) -> Ints:
        """What a call is to the service: of an async one, all keys together are one item."""
        return np.where(self.is_async, 1, self.rows)

    @cached_property
    def seconds(self) -> Floats:
        """The mean seconds of each call, or of its task, that the gateway does not cut."""
        return self.model.mean_s(self.codes.codes, self.items)

    def timeout_risk(self) -> Floats:
        """Return each call's timeout risk, averaged over what is not known about its codes; 0 for async calls."""
        from scipy.special import ndtri

        spread = self.spread
        strata = ndtri((np.arange(STRATA) + 0.5) / STRATA) if spread.any() else np.zeros(1)
        risk = np.zeros(len(spread))
        for block in np.array_split(np.flatnonzero(~self.is_async), len(spread) // BLOCK + 1):
            drawn = self.codes.codes[block, None] * _factor(spread[block, None], strata)
            items = np.broadcast_to(self.rows[block, None], drawn.shape)
            risk[block] = np.asarray(self.model.timeout_risk(drawn, items, self.timeout_s)).mean(axis=1)
        return risk

    def least_ends(self) -> Floats:
        """Return a bound below the mean makespan, for each draw of the service time.

        It is set by the pace, by the work for all workers and for the service's servers, and by the longest call.
        """
        sync, longest = self._work(~self.is_async, self.timeout_s)
        tasks, last = self._work(self.is_async, np.inf)
        done = np.maximum(tasks / self.assumed.parallel_tasks, last)
        overhead = self.assumed.task_overhead_s if self.is_async.any() else 0.0
        pace = (len(self.rows) - 1) * INTERVAL_S
        return np.maximum(np.maximum(sync / self.workers, longest), np.maximum(done + overhead, pace))

    def _work(self, chosen: Bools, most_s: float) -> tuple[Floats, Floats]:
        """Return the mean seconds of some calls together and of the longest, shape (draws,) each."""
        if not chosen.any():
            return np.zeros(self.model.draws), np.zeros(self.model.draws)
        codes, items = self.codes.codes[chosen], self.items[chosen]
        alike = np.array_split(np.argsort(codes), min(len(codes), ALIKE))
        middle = [values[part].mean() for part in alike for values in (codes, items)]
        each = np.minimum(self.model.mean_of_draws(*np.reshape(middle, (-1, 2)).T), most_s)
        sizes = np.array([len(part) for part in alike])
        longest = self.model.mean_of_draws(codes[alike[-1][-1:]], items[alike[-1][-1:]])[0]
        return sizes @ each, np.minimum(longest, most_s)


@dataclass(frozen=True, eq=False)
class Trials:
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


class _Lost(NamedTuple):
    """A call that the gateway cut in some trials: its rows, and how many times the expected codes it has there."""

    first: int
    last: int
    codes: float
    trials: Ints
    factor: Floats
    ready: Floats


def play(schedule: Schedule, trials: int, rng: np.random.Generator) -> Trials:
    """Play a schedule in many trials at once."""
    queue = Queue(schedule, trials, rng)
    calls = len(schedule.rows)
    mean_s, p95_s = np.zeros(calls), np.zeros(calls)
    at = int(0.95 * (trials - 1))
    cut: list[_Lost] = []
    for first in range(0, calls, BLOCK):
        block = slice(first, min(first + BLOCK, calls))
        factors, seconds = queue.draw_block(block)
        mean_s[block] = seconds.mean(axis=1)
        p95_s[block] = np.partition(seconds, at, axis=1)[:, at]
        timed_out = np.any(seconds > schedule.timeout_s, axis=1)
        for i, is_async in enumerate(schedule.is_async[block].tolist()):
            if is_async:
                queue.submit(queue.all, seconds[i])
            elif timed_out[i]:
                cut.append(queue.first_attempt(first + i, factors[i], seconds[i]))
            else:
                queue.make_all(seconds[i])
            if schedule.probes and first + i == 0:
                queue.free[:] = queue.free.max(axis=0)  # nobody starts before it is answered
    while cut := [each for each in cut if len(each.trials)]:
        cut = [half for each in cut for half in queue.resend(each)]
    return Trials(np.maximum(queue.end, queue.free.max(axis=0)), queue.resends, queue.wasted, mean_s, p95_s)


def log_sd(codes: Bounds, level: float) -> Floats:
    """Return the log-sd of the lognormals with these means and, at this level, upper bounds; 0 for a known count."""
    unknown = (codes.high > codes.codes) & (codes.codes > 0)
    z = z_of(level)
    ratio = np.log(np.where(unknown, codes.high, 1) / np.where(unknown, codes.codes, 1))
    # Beyond exp(z**2 / 2) times the mean no lognormal reaches: then the widest that keeps the mean.
    return np.asarray(z - np.sqrt(np.maximum(z**2 - 2 * ratio, 0)))


def running_total(values: Any) -> Any:
    """Return 0, and the sum up to each value."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values)])


def _factor(spread: Floats, z: Floats) -> Floats:
    """Return draws of a lognormal with mean 1 for standard normal ``z``."""
    return np.asarray(np.exp(spread * z - spread**2 / 2))


def _evenly(schedule: Schedule, trials: int, rng: np.random.Generator) -> Ints:
    """Return a draw of the service time for each trial: as many slow ones as fast ones, however few the trials."""
    model = schedule.model
    typical = model.median_s(schedule.codes.codes.mean(), schedule.rows.mean())
    places = (np.arange(trials) + rng.random()) * model.draws / trials
    return rng.permutation(np.argsort(typical, kind="stable")[places.astype(int)])


class Queue:
    """The queue of calls, in all trials at once: who is free when, when the next may go out, when all ended."""

    def __init__(self, schedule: Schedule, trials: int, rng: np.random.Generator) -> None:
        self.schedule, self.rng = schedule, rng
        self.all = np.arange(trials)
        self.free = np.zeros((schedule.workers, trials))
        self.servers = np.zeros((schedule.assumed.parallel_tasks, trials))
        self.permit, self.end, self.resends, self.wasted = (np.zeros(trials) for _ in range(4))
        self._which = _evenly(schedule, trials, rng)
        self._common = rng.standard_normal(trials)
        self._offsets = running_total(schedule.rows)
        means = np.ones(self._offsets[-1]) if schedule.means is None else schedule.means
        self._before = running_total(means)

    def draw_block(self, block: slice) -> tuple[Floats, Floats]:
        """Draw for some calls how many times the expected codes they have, and their seconds: (calls, trials) each."""
        schedule = self.schedule
        items = schedule.items[block, None]
        spread = schedule.spread[block, None]
        factors = np.ones((len(items), len(self.all)))
        if spread.any():
            common = 0.0 if schedule.common is None else schedule.common[block, None]
            own = self.rng.standard_normal(factors.shape)
            factors = _factor(spread, np.sqrt(common) * self._common + np.sqrt(1 - common) * own)
        codes = schedule.codes.codes[block, None] * factors
        return factors, schedule.model.draw_with(self._which, codes, items, self.rng)

    def make_all(self, seconds: Floats) -> None:
        """Make a call that is in time in all trials: the first free worker takes it at the next permit."""
        worker = self.free.argmin(axis=0)
        start = np.maximum(self.free[worker, self.all], self.permit)
        self.permit = start + INTERVAL_S
        self.free[worker, self.all] = start + seconds

    def first_attempt(self, call: int, factor: Floats, seconds: Floats) -> _Lost:
        """Make a call of the plan in all trials."""
        first, last = int(self._offsets[call]), int(self._offsets[call + 1])
        codes = float(self.schedule.codes.codes[call])
        return self._send(_Lost(first, last, codes, self.all, factor, np.zeros(len(self.all))), seconds)

    def resend(self, cut: _Lost) -> list[_Lost]:
        """Make what was cut again: in halves, or as a task where there is nothing to halve."""
        if cut.last - cut.first <= 1:
            self.resends[cut.trials] += 1
            self.submit(cut.trials, self._draw(cut), cut.ready)
            return []
        sent = []
        for half in self._halves(cut):
            self.resends[half.trials] += 1
            sent.append(self._send(half, self._draw(half)))
        return sent

    def submit(self, trials: Ints, seconds: Floats, ready: Floats | float = 0.0) -> None:
        """Make an async call: the answer comes at once, and the task takes its turn."""
        answered = self._occupy(trials, np.full(len(trials), ASYNC_ANSWER_S), ready)
        server = self.servers[:, trials].argmin(axis=0)
        done = np.maximum(self.servers[server, trials], answered) + seconds
        self.servers[server, trials] = done
        self.end[trials] = np.maximum(self.end[trials], done + self.schedule.assumed.task_overhead_s)

    def _send(self, call: _Lost, seconds: Floats) -> _Lost:
        """Make a sync call; return the trials in which the gateway cut it."""
        timeout, trials = self.schedule.timeout_s, call.trials
        done = self._occupy(trials, np.minimum(seconds, timeout), call.ready)
        cut = seconds > timeout
        self.wasted[trials[cut]] += timeout
        return call._replace(trials=trials[cut], factor=call.factor[cut], ready=done[cut])

    def _halves(self, cut: _Lost) -> list[_Lost]:
        """Cut the rows in two, the first half the larger by one where their number is odd, as the client does."""
        middle = cut.first + (cut.last - cut.first + 1) // 2
        before, within, whole = self._before[[cut.first, middle, cut.last]]
        first = cut.codes * (within - before) / max(whole - before, 1e-300)  # of nothing, the halves are nothing
        return [cut._replace(last=middle, codes=first), cut._replace(first=middle, codes=cut.codes - first)]

    def _draw(self, call: _Lost) -> Floats:
        return self.schedule.model.draw_with(
            self._which[call.trials], call.codes * call.factor, call.last - call.first, self.rng
        )

    def _occupy(self, trials: Ints, seconds: Floats, ready: Floats | float = 0.0) -> Floats:
        """Take the first free worker at the next permit once the call is ready, and return the time of the answer."""
        worker = self.free[:, trials].argmin(axis=0)
        start = np.maximum(np.maximum(self.free[worker, trials], self.permit[trials]), ready)
        self.permit[trials] = start + INTERVAL_S
        done = start + seconds
        self.free[worker, trials] = done
        return np.asarray(done)
