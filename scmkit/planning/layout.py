"""Which rows go in which call: what the plan chooses from, and how it chooses.

A layout is arrays: row positions call after call, and where each call begins. Candidates differ in the rows that go to
tasks, in the number of sync calls, and in whether these are of one size or taper off, so that the last ones fill the
gaps. What cannot win by a bound below its seconds is not looked at; the others are played: pace, workers, tasks and
lost calls count as they will. The order of the table decides nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scmkit.core import contract
from scmkit.core.arrays import Bools, Floats, Ints, RowStates
from scmkit.core.texts import group
from scmkit.estimation.fan_out import Uncertain
from scmkit.planning.load import Load, Terms
from scmkit.planning.trials import INTERVAL_S, Schedule, play, running_total

# More tasks must save a share of the time: a sync answer names each row's state, a task only counts codes.
WORTH_TASKS = 0.94
AS_QUICK = 1.02  # of layouts within 2 % of the quickest, or as far as chance goes, that with the fewest calls is taken
WAVES = (1, 2, 3, 4, 6, 8, 12)  # sync calls per worker worth trying
# The work that tasks may take beside sync calls, in shares of what the service's servers do while the workers do the
# rest: the heaviest rows first, or the largest sets of equal rows.
BESIDE = (0.25, 0.5, 0.75, 0.9, 1.0)
AT_FIRST = 4  # tasks per server that go out before any sync call
TASK_WAVES = (1, 4)  # tasks per server of the service into which rows with equal values are cut
TAPERS = (0.4, 0.1)  # what the last of tapering calls holds of the first: it starts later, by the pace at least
ONE_BY_ONE = 2_000  # the heaviest rows are dealt one by one; the many light ones fill up what is left
TRIALS = 96  # with the same seed for all candidates, so that they differ by their layout and not by chance
SAID_TRIALS = 400  # of the one layout that is chosen
PLAYED_CALLS = 1_500  # a layout of more calls is bound by pace and workers, and predicted from them


class Why(IntEnum):
    """The reason for which a call is what it is."""

    SHARED_SYNC = 0
    TOO_RISKY = 1
    EQUAL_ROWS = 2
    ALONE = 3
    ASKED_SYNC = 4
    COMPOUND = 5
    BESIDE = 6
    PROBE = 7


@dataclass(frozen=True, eq=False)
class Layout:
    """Calls as arrays.

    Attributes
    ----------
    order : array of int64
        Row positions, call after call.
    offsets : array of int64, shape (calls + 1,)
        Call ``c`` holds ``order[offsets[c]:offsets[c + 1]]``.
    is_async : array of bool, shape (calls,)
    whys : array of int8, shape (calls,)
        See `Why`.
    choice : str
        Why these calls and no others, in words.
    """

    order: Ints
    offsets: Ints
    is_async: Bools
    whys: RowStates
    choice: str = ""

    @property
    def probes(self) -> bool:
        """Whether the first call goes out alone, to tell how fast the service is."""
        return len(self.whys) > 0 and bool(self.whys[0] == Why.PROBE)

    def schedule(self, terms: Terms) -> Schedule:
        """Return the calls as the simulation plays them."""
        order = slice(len(self.order)) if terms.alike else self.order
        counts = Uncertain(*(values[order] for values in terms.counts))
        return Schedule.of_rows(
            self.is_async, self.offsets, counts, terms.estimate.level, model=terms.service_time,
            workers=terms.workers, timeout_s=terms.timeout_s, assumed=terms.assumptions, probes=self.probes,
        )  # fmt: skip


Packed = tuple[Ints, Ints]  # row positions, call after call, and the rows of each call


@dataclass(frozen=True, eq=False)
class Packer:
    """Puts the rows of a load into calls."""

    load: Load
    terms: Terms

    @property
    def high(self) -> Floats:
        """Each row's upper estimate of codes."""
        return self.terms.counts.high

    @cached_property
    def weight(self) -> Floats:
        """Each row's upper codes plus what an item costs, in codes."""
        service = self.terms.service_time
        per_code = max(float(service.per_code_s.mean()), 1e-12)
        return np.asarray(self.high + float(service.per_item_s.mean()) / per_code)

    @cached_property
    def limit(self) -> float:
        """The weight that one sync call may have within the risk."""
        return float(self.terms.service_time.max_codes(self.terms.risk, self.terms.timeout_s, items=0))

    @cached_property
    def heaviest_first(self) -> Ints:
        """The live rows by falling weight."""
        return self.load.live[np.argsort(-self.weight[self.load.live], kind="stable")]

    @cached_property
    def sharing(self) -> Ints:
        """Number the sets of rows that one async call can carry: equal values, and equal keys but the first.

        Where a key value selects an unknown number of codes, a task of several could not say which of them
        matched; then each row has its own.
        """
        if not (self.terms.assumptions.is_unique(self.load.key) or self.terms.exact):
            return np.arange(len(self.high))
        return group([*self.load.fields, *self.load.keys[1:]], len(self.high))[0]

    def choose(self, batch: int | None = None) -> Layout:
        """Return the layout for the mode that was asked for, with the reason in words."""
        mode, nothing = self.terms.mode, np.zeros(len(self.high), dtype=bool)
        if mode == "async" or len(self.load.keys) > 1:
            words = "mode='async' was asked for" if mode == "async" else "several key columns need async calls"
            return replace(self.best([~nothing])[0], choice=words)
        if mode == "sync" and batch is not None:
            return replace(self._fixed(batch), choice=f"{batch:,} rows a sync call were asked for")
        if mode == "sync":
            return replace(self.best([nothing])[0], choice="mode='sync' was asked for")
        layout, seconds = self.best(self._ways())
        if layout.is_async.all():
            return replace(layout, choice="auto: all async ends first")
        _, all_async = self.best([~nothing])
        longer = f"would take {all_async / max(seconds, 1e-9):,.1f} times as long"
        return replace(self._probing(layout), choice=f"auto: all async {longer}")

    def _probing(self, layout: Layout) -> Layout:
        """Let a small call go out first where nobody knows yet how fast the service is, and others are not safe.

        It holds the lightest rows, as many as the documentation calls safe: enough to tell a service that is several
        times slower from one that is not.
        """
        heavy = per_call(self.high[layout.order], layout.offsets) > contract.SAFE_CODES
        if not self.terms.service_time.untested or not np.any(heavy & ~layout.is_async):
            return layout
        call = int(np.flatnonzero(~layout.is_async)[-1])  # the lightest
        first, last = int(layout.offsets[call]), int(layout.offsets[call + 1])
        lightest = np.cumsum(self.high[layout.order[first:last]][::-1]) <= contract.SAFE_CODES
        moved = max(int(lightest.sum()), 1)
        taken = slice(last - moved, last)
        order = np.concatenate([layout.order[taken], np.delete(layout.order, taken)])
        sizes = np.diff(layout.offsets)
        sizes[call] -= moved
        left = sizes > 0
        offsets = running_total(np.append(moved, sizes[left]))
        is_async, whys = np.append(False, layout.is_async[left]), np.append(Why.PROBE, layout.whys[left])
        return Layout(order, offsets, is_async, whys.astype(np.int8))

    def best(self, ways: list[Bools]) -> tuple[Layout, float]:
        """Return the layout that is predicted to end first; an earlier way wins unless clearly beaten."""
        best: tuple[Layout, float] | None = None
        for to_task in ways:
            found = self._quickest(to_task, np.inf if best is None else best[1] * WORTH_TASKS)
            best = best if found is None else found
        assert best is not None  # noqa: S101 - nothing is slower than for ever
        return best

    def _quickest(self, to_task: Bools, below: float) -> tuple[Layout, float] | None:
        """Return the best layout with these rows as tasks, if its prediction lies below some seconds."""
        rows = self.heaviest_first
        if np.count_nonzero(np.bincount(self.sharing[rows[to_task[rows]]])) * INTERVAL_S >= below:
            return None  # the pace alone takes longer
        tried: list[tuple[Layout, Floats]] = []
        least = below
        for layout in self._layouts(to_task):
            schedule = layout.schedule(self.terms)
            if schedule.least_ends().mean() >= least and tried:
                continue
            tried.append((layout, _ends(schedule)))
            least = min(least, float(tried[-1][1].mean()))
        quickest = min((ends for _, ends in tried), key=np.mean)
        if quickest.mean() >= below:
            return None
        layout, ends = min((pair for pair in tried if _as_quick(pair[1], quickest)), key=lambda pair: len(pair[0].whys))
        return layout, float(ends.mean())

    def _layouts(self, to_task: Bools) -> Iterator[Layout]:
        """Lay out these rows as tasks and the others as sync calls, in all ways that are worth trying."""
        rows = self.heaviest_first
        tasks = self._task_packings(rows[to_task[rows]])
        for sync in self._sync_packings(rows[~to_task[rows]]):
            for task in tasks:
                yield self._joined(task, sync)

    def _joined(self, tasks: Packed, sync: Packed) -> Layout:
        """Tasks go out first, to be worked on beside the sync calls; of many, the others share the pace with these."""
        sizes = np.concatenate([tasks[1], sync[1]])
        first = min(AT_FIRST * self.terms.assumptions.parallel_tasks, len(tasks[1]))
        later = [np.linspace(0, 1, number) for number in (len(tasks[1]) - first, len(sync[1]))]
        by_place = np.argsort(np.concatenate([np.full(first, -1.0), *later]), kind="stable")
        order = _in_turn(np.concatenate([tasks[0], sync[0]]), sizes, by_place)
        is_async = by_place < len(tasks[1])
        return Layout(order, running_total(sizes[by_place]), is_async, self._whys(order, sizes[by_place], is_async))

    def _fixed(self, batch: int) -> Layout:
        """So many rows a sync call, in the table's order, whatever the risk."""
        rows = self.load.live
        sizes = np.diff(np.append(np.arange(0, len(rows), batch), len(rows)))
        return self._joined((rows[:0], rows[:0]), (rows, sizes))

    def _ways(self) -> list[Bools]:
        """Which rows go to tasks: those too risky for sync; sets of equal rows from some size on; the heaviest."""
        rows, weight = self.heaviest_first, self.weight
        forced = weight > self.limit
        sets = self.sharing[rows]
        size = np.zeros(len(weight), dtype=np.int64)
        size[rows] = np.bincount(sets)[sets]
        ways = [forced | (size >= least) for least in (np.inf, 1000, 100, 10, 2)]
        by_set = np.lexsort((sets, -np.bincount(sets, weight[rows])[sets])) if len(rows) else rows
        servers = self.terms.assumptions.parallel_tasks
        for order in (rows, rows[by_set]):
            share = np.ones(len(weight))
            share[order] = np.cumsum(weight[order]) / max(weight[order].sum(), 1e-12)
            ways += [forced | (share <= part * servers / (servers + self.terms.workers)) for part in BESIDE]
        distinct = {way[rows].tobytes(): way for way in ways}
        return sorted(distinct.values(), key=lambda way: int(way[rows].sum()))

    def _task_packings(self, rows: Ints) -> list[Packed]:
        """Rows that can share a task go together, as many as a body holds, or cut for the service's servers."""
        total = float(self.weight[rows].sum())
        shared = np.any(np.bincount(self.sharing[rows]) > 1)  # else each row has its task in any case
        shares = [total / (self.terms.assumptions.parallel_tasks * waves) for waves in TASK_WAVES if shared]
        packed = [self._task_calls(rows, limit) for limit in (np.inf, *shares)]
        return list({sizes.tobytes(): (order, sizes) for order, sizes in packed}.values())

    def _task_calls(self, rows: Ints, limit: float) -> Packed:
        """Pack tasks of at most this weight, the one with the most codes first."""
        order = rows[np.argsort(self.sharing[rows], kind="stable")]
        envelope = int(np.max(self.load.item_bytes[self.load.live], initial=0)) + 200  # a row's values, names, brackets
        room = float(self.terms.assumptions.max_body_bytes - envelope)
        sizes = _pack([self.load.key_bytes[order], self.weight[order]], [room, limit], self.sharing[order])
        return self._largest_first(order, sizes)

    def _sync_packings(self, rows: Ints) -> Iterator[Packed]:
        """As few calls as the risk allows; or as many as suit the workers, of one size or tapering off."""
        room = float(self.terms.assumptions.max_body_bytes - self.load.envelope_bytes)
        alone = rows[self.weight[rows] > self.limit]
        rows = rows[len(alone) :]
        weight, size = self.weight[rows], self.load.item_bytes[rows]
        few = _pack([size, weight], [room, self.limit])
        yield self._largest_first(np.concatenate([alone, rows]), np.concatenate([np.ones_like(alone), few]))
        for targets in self._targets(len(few), float(weight.sum())) if len(rows) else ():
            if targets.max() > self.limit + weight[0]:
                continue  # a call ends about a row from its target: dealing would only show that it is too heavy
            calls = _deal(weight, targets)
            if np.any(np.bincount(calls, weight) > self.limit) or np.any(np.bincount(calls, size) > room):
                continue
            order = rows[np.argsort(calls, kind="stable")]
            counts = np.bincount(calls)
            sizes = np.concatenate([np.ones_like(alone), counts[counts > 0]])
            yield self._largest_first(np.concatenate([alone, order]), sizes)

    def _targets(self, fewest: int, total: float) -> Iterator[Floats]:
        """The weights of a number of calls, worth trying; no more than pays under the pace."""
        workers, least = self.terms.workers, -(-fewest // self.terms.workers)
        waves = [workers * wave for wave in (*WAVES, least, least + 1)]
        numbers = {*(max(1, workers * part // 4) for part in (1, 2, 3)), fewest, *waves}
        for number in sorted(n for n in numbers if n >= fewest):
            yield np.full(number, total / number)
            for last in TAPERS if number > 1 else ():
                taper = np.linspace(1, last, number)
                yield total * taper / taper.sum()

    def _largest_first(self, order: Ints, sizes: Ints) -> Packed:
        """Put the calls with the most work first: the last ones to start should be short."""
        offsets = running_total(sizes)
        by_work = np.argsort(-per_call(self.weight[order], offsets), kind="stable")
        return _in_turn(order, sizes, by_work), sizes[by_work]

    def _whys(self, order: Ints, sizes: Ints, is_async: Bools) -> RowStates:
        risky = self.weight[order[running_total(sizes)[:-1]]] > self.limit
        whys = np.full(len(sizes), Why.ALONE if is_async.all() else Why.BESIDE, dtype=np.int8)
        whys[sizes > 1] = Why.EQUAL_ROWS
        whys[(sizes == 1) & risky] = Why.TOO_RISKY
        if len(self.load.keys) > 1:
            whys[:] = Why.COMPOUND
        whys[~is_async] = np.where(risky, Why.ASKED_SYNC, Why.SHARED_SYNC)[~is_async]
        return whys


def said_seconds(schedule: Schedule) -> float:
    """Predict the seconds from the first call to the last end, as people are told: half of all uploads take longer.

    This is the number of a plan: its simulation, the question before it is sent and the line while it runs say it, too.
    """
    if 0 < len(schedule.rows) <= PLAYED_CALLS:
        return float(np.median(play(schedule, SAID_TRIALS, np.random.default_rng(0)).end))
    return predict_seconds(schedule)


def predict_seconds(schedule: Schedule) -> float:
    """Predict the mean seconds from the first call to the last end, to compare layouts with."""
    return float(_ends(schedule).mean())


def _ends(schedule: Schedule) -> Floats:
    """Return the seconds until the end in some trials, the same ones for every layout, so that they can be compared."""
    if not len(schedule.rows):
        return np.zeros(1)
    if len(schedule.rows) <= PLAYED_CALLS:
        return play(schedule, TRIALS, np.random.default_rng(0)).end
    return schedule.least_ends()


def _as_quick(ends: Floats, quickest: Floats) -> bool:
    """Whether one layout takes no longer than another, but for little or for chance."""
    longer = ends - quickest if len(ends) == len(quickest) else ends - quickest.mean()
    by_chance = float(longer.std()) / np.sqrt(len(longer))
    return bool(longer.mean() <= (AS_QUICK - 1) * quickest.mean() + by_chance)


def per_call(values: Any, offsets: Ints) -> Any:
    """Add up the values of each call."""
    return np.diff(running_total(values)[offsets])


def _in_turn(order: Ints, sizes: Ints, calls: Ints) -> Ints:
    """Put the calls in another order, and return their rows, call after call."""
    ends = np.cumsum(sizes[calls])
    return order[np.repeat(running_total(sizes)[calls] - ends + sizes[calls], sizes[calls]) + np.arange(len(order))]


def _deal(weights: Floats, targets: Floats) -> Ints:
    """Deal rows, the heaviest first, each to the call that is furthest from its target weight; return their calls."""
    calls = np.zeros(len(weights), dtype=np.int64)
    missing = [(-target, call) for call, target in enumerate(targets.tolist())]
    heapq.heapify(missing)
    for row, weight in enumerate(weights[:ONE_BY_ONE].tolist()):
        left, call = missing[0]
        calls[row] = call
        heapq.heapreplace(missing, (left + weight, call))
    light = weights[ONE_BY_ONE:]
    room = np.zeros(len(targets))
    for left, call in missing:
        room[call] = max(-left, 0.0)
    if len(light):
        filled = np.cumsum(room) * (light.sum() / max(room.sum(), 1e-12))
        calls[ONE_BY_ONE:] = np.minimum(np.searchsorted(filled, np.cumsum(light) - light / 2), len(targets) - 1)
    return calls


def _pack(sizes: list[NDArray[np.generic]], limits: list[float], groups: Ints | None = None) -> Ints:
    """Cut ordered rows into calls, each as full as the limits allow, and return the rows of each call.

    Each of ``sizes``, bytes or weights, has its limit; a single row is always a call. Rows of different groups need
    different calls, and those of one lie side by side.
    """
    totals = [running_total(np.asarray(each, dtype=float)) for each in sizes]
    most = [limit * (1 + 1e-9) for limit in limits]
    rows = len(sizes[0])
    first = np.zeros(min(rows, 1), dtype=np.int64) if groups is None else _begins(groups)
    last = np.append(first[1:], rows)[: len(first)]
    whole = np.all([t[last] - t[first] <= limit for t, limit in zip(totals, most, strict=True)], axis=0)
    whole |= last - first == 1
    ends = [last[whole]]
    for start, end in zip(first[~whole].tolist(), last[~whole].tolist(), strict=True):
        while start < end:
            fits = min(int(np.searchsorted(t, t[start] + m, side="right")) for t, m in zip(totals, most, strict=True))
            start = min(max(start + 1, fits - 1), end)
            ends.append(np.array([start]))
    return np.diff(np.sort(np.concatenate(ends)), prepend=0).astype(np.int64)


def _begins(groups: Ints) -> Ints:
    """Return where each run of equal numbers begins."""
    return np.flatnonzero(np.diff(groups, prepend=-1) != 0)
