"""Which rows go in which call: what the plan chooses from, and how it chooses.

A layout is arrays: row positions call after call, and where each call begins. The choice is made by playing the
candidates: pace, workers, tasks and lost calls count as they will.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scmkit import contract, payloads
from scmkit.fanout import Bounds, sum_bounds
from scmkit.latency import ServiceTime
from scmkit.playing import Schedule, play
from scmkit.texts import Ints, TextColumn, group

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

# More tasks must save a tenth of the time, and a second: a sync answer names each row's fate, a task only counts codes.
WORTH_TASKS, WORTH_TASKS_S = 0.9, 1.0
AS_QUICK = 1.02  # of layouts that end within 2 % of the quickest, the one with the fewest calls is taken
WAVES = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4, 6, 8)  # sync calls per worker worth trying
TRIALS = 48  # with the same seed for all candidates, so that they differ by their layout and not by chance
PLAYED_CALLS = 1_500  # a layout of more calls is bound by pace and workers, and predicted from them


class Why(IntEnum):
    """The reason for which a call is what it is."""

    SHARED_SYNC = 0
    TOO_RISKY = 1
    EQUAL_ROWS = 2
    ALONE = 3
    ASKED_SYNC = 4
    COMPOUND = 5


@dataclass(frozen=True, eq=False)
class Layout:
    """Calls as arrays."""

    order: Ints
    offsets: Ints
    is_async: Bools
    whys: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Draft:
    """What a plan is chosen from."""

    keys: tuple[TextColumn, ...]
    fields: tuple[TextColumn, ...]
    codes: pd.DataFrame
    live: Ints
    service_time: ServiceTime
    risk: float
    timeout_s: float
    workers: int
    assumptions: contract.Assumptions

    @cached_property
    def high(self) -> Floats:
        """Each row's upper estimate of codes."""
        return np.asarray(self.codes["high"], dtype=float)

    @cached_property
    def weight(self) -> Floats:
        """Each row's upper codes plus what an item costs, in codes."""
        per_code = max(float(self.service_time.per_code_s.mean()), 1e-12)
        return np.asarray(self.high + float(self.service_time.per_item_s.mean()) / per_code)

    @cached_property
    def limit(self) -> float:
        """The weight that one sync call may have within the risk."""
        return float(self.service_time.max_codes(self.risk, self.timeout_s, items=0))

    @cached_property
    def item_bytes(self) -> Ints:
        """Each row's bytes as an item of a sync call."""
        return payloads.item_bytes(self.keys[0], self.fields)

    @cached_property
    def sharing(self) -> Ints:
        """Number the sets of rows that one async call can carry: equal values, and equal keys but the first.

        Where a key value selects an unknown number of codes, a task of several could not say which of them
        matched; then each row has its own.
        """
        if not self._can_share:
            return np.arange(len(self.high))
        return group([*self.fields, *self.keys[1:]], len(self.high))[0]

    @property
    def _can_share(self) -> bool:
        unique = self.assumptions.is_unique(k.name for k in self.keys)
        return unique or bool((self.codes["source"] == "exact").all())

    @cached_property
    def equal(self) -> Ints:
        """Number the sets of rows with equal values."""
        return group(self.fields, len(self.high))[0]

    def choose(self, mode: str, batch: int | None = None) -> tuple[Layout, str]:
        """Give the layout for a mode, and in words why it was chosen."""
        nothing = np.zeros(len(self.live), dtype=bool)
        if mode == "async" or len(self.keys) > 1:
            words = "mode='async' was asked for" if mode == "async" else "several key columns need async calls"
            return self.layout(~nothing, self.limit), words
        if mode == "sync" and batch is not None:
            return self._fixed(batch), f"{batch:,} rows a sync call were asked for"
        if mode == "sync":
            return self.best([nothing])[0], "mode='sync' was asked for"
        layout, seconds = self.best(self._candidates())
        all_async = predict_seconds(self.schedule(self.layout(~nothing, self.limit)))
        return layout, f"auto: {seconds:,.0f} s predicted, all async {all_async:,.0f} s"

    def best(self, candidates: list[Bools]) -> tuple[Layout, float]:
        """Give the layout that is predicted to end first; an earlier candidate wins unless clearly beaten."""
        best: tuple[Layout, float] | None = None
        for to_task in candidates:
            tried = [self.layout(to_task, limit) for limit in self._limits(to_task)]
            layout, seconds = _quickest([(each, predict_seconds(self.schedule(each))) for each in tried])
            if best is None or seconds < min(best[1] * WORTH_TASKS, best[1] - WORTH_TASKS_S):
                best = layout, seconds
        assert best is not None  # noqa: S101 - there is always a candidate
        return best

    def schedule(self, layout: Layout) -> Schedule:
        """Give a layout's calls as the simulation plays them."""
        per_row = [self.codes[name].to_numpy(dtype=float)[layout.order] for name in ("codes", "low", "high")]
        shared = (self.codes["source"] == "prior").to_numpy()[layout.order]
        codes = sum_bounds(Bounds(*per_row), shared, layout.offsets)
        rows = np.diff(layout.offsets).astype(float)
        return Schedule(layout.is_async, rows, codes, self.service_time, self.workers, self.timeout_s, self.assumptions)

    def _fixed(self, batch: int) -> Layout:
        """So many rows a sync call, in the table's order, whatever the risk."""
        offsets = np.append(np.arange(0, len(self.live), batch), len(self.live)).astype(np.int64)
        is_async = np.zeros(len(offsets) - 1, dtype=bool)
        return Layout(self.live, offsets, is_async, self._whys(self.live, offsets, is_async))

    def layout(self, to_task: Bools, limit: float) -> Layout:
        """Lay out the calls: async first, then sync from the heaviest to the lightest."""
        rows_async, rows_sync = self.live[to_task], self.live[~to_task]
        a_order, a_sizes = self._task_calls(rows_async)
        s_order, s_sizes = self._sync_calls(rows_sync, limit)
        sizes = np.concatenate([a_sizes, s_sizes])
        is_async = np.arange(len(sizes)) < len(a_sizes)
        order = np.concatenate([a_order, s_order])
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Layout(order, offsets, is_async, self._whys(order, offsets, is_async))

    def _candidates(self) -> list[Bools]:
        """Which live rows go to tasks: those too risky for sync, and sets of equal rows from some size on."""
        forced = self.weight[self.live] > self.limit
        _, inverse, counts = np.unique(self.sharing[self.live], return_inverse=True, return_counts=True)
        size = counts[inverse] if len(self.live) else np.zeros(0, dtype=np.int64)
        ways = [forced | (size >= least) for least in (np.inf, 1000, 100, 10, 2)]
        return list({way.tobytes(): way for way in ways}.values())

    def _limits(self, to_task: Bools) -> list[float]:
        """The weights of a sync call worth trying: as much as the risk bears, or an even share for the workers."""
        total = float(self.weight[self.live[~to_task]].sum())
        shares = [total / (self.workers * waves) for waves in WAVES]
        return [self.limit, *(share for share in shares if 1 <= share < self.limit)]

    def _task_calls(self, rows: Ints) -> tuple[Ints, Ints]:
        """Rows that can share a task go together, as many as a body holds."""
        order = rows[np.argsort(self.sharing[rows], kind="stable")]
        envelope = int(np.max(self.item_bytes[self.live], initial=0)) + 200  # one row's values, names and brackets
        room = [float(self.assumptions.max_body_bytes - envelope)]
        key_bytes = np.cumsum(payloads.text_bytes(self.keys[0])[order] + 1)
        return order, _pack(self.sharing[order], [key_bytes], room, room, apart=True)

    def _sync_calls(self, rows: Ints, limit: float) -> tuple[Ints, Ints]:
        """The heaviest first, rows with equal values together; a call holds at most ``limit`` weight."""
        equal = self.equal[rows]
        heaviest = -np.bincount(equal, self.weight[rows])[equal] if len(rows) else equal
        order = rows[np.lexsort((rows, equal, heaviest))]
        room = float(self.assumptions.max_body_bytes - payloads.sync_envelope_bytes(self.keys[0]))
        sizes = [np.cumsum(self.item_bytes[order]), np.cumsum(self.weight[order])]
        return order, _pack(self.equal[order], sizes, [room, limit], [room, self.limit], apart=False)

    def _whys(self, order: Ints, offsets: Ints, is_async: Bools) -> NDArray[np.int8]:
        sizes = np.diff(offsets)
        first = order[offsets[:-1]]
        risky = self.weight[first] > self.limit
        whys = np.select(
            [
                ~is_async & risky,
                ~is_async,
                np.full(len(sizes), len(self.keys) > 1),
                (sizes == 1) & risky,
                sizes > 1,
            ],
            [Why.ASKED_SYNC, Why.SHARED_SYNC, Why.COMPOUND, Why.TOO_RISKY, Why.EQUAL_ROWS],
            default=Why.ALONE,
        )
        return whys.astype(np.int8)


def _quickest(timed: list[tuple[Layout, float]]) -> tuple[Layout, float]:
    least = min(seconds for _, seconds in timed)
    return min((pair for pair in timed if pair[1] <= least * AS_QUICK), key=lambda pair: len(pair[0].whys))


def predict_seconds(schedule: Schedule) -> float:
    """Predict the mean seconds from the first call to the last end."""
    if not len(schedule.rows):
        return 0.0
    if len(schedule.rows) <= PLAYED_CALLS:
        return float(play(schedule, TRIALS, np.random.default_rng(0)).end.mean())
    items = np.where(schedule.is_async, 1, schedule.rows)
    seconds = schedule.model.median_s(schedule.codes.codes, items).mean(axis=-1)
    sync, tasks = seconds[~schedule.is_async], seconds[schedule.is_async]
    submitted = len(tasks) / contract.UPDATES_PER_SECOND
    pace = len(seconds) / contract.UPDATES_PER_SECOND
    worked = max(sync.sum() / schedule.workers, np.max(sync, initial=0))
    done = max(tasks.sum() / schedule.assumed.parallel_tasks, np.max(tasks, initial=0))
    overhead = schedule.assumed.task_overhead_s if len(tasks) else 0
    return float(max(pace, submitted + worked, submitted + overhead + done))


def _pack(groups: Ints, sizes: list[NDArray[Any]], soft: list[float], hard: list[float], *, apart: bool) -> Ints:
    """Cut ordered rows into calls and give the rows of each.

    Parameters
    ----------
    groups : array of int64
        Rows of one group lie side by side and stay together where the hard limits allow it.
    sizes : list of array
        Cumulative sizes (bytes, weights) of the rows.
    soft, hard : list of float
        For each of ``sizes``, what a call should and what it may hold; a single row is always a call.
    apart : bool
        Whether different groups need different calls.
    """
    sizes = [np.asarray(cumulative, dtype=float) for cumulative in sizes]  # else each search would convert them
    begins = np.diff(groups, prepend=-1) != 0
    group_start = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    group_end = np.append(np.flatnonzero(begins)[1:], len(groups))[np.cumsum(begins) - 1]

    def furthest(start: int, limits: list[float]) -> int:
        used = [cumulative[start - 1] if start else 0 for cumulative in sizes]
        ends = [
            int(np.searchsorted(cumulative, before + limit * (1 + 1e-9), side="right"))
            for cumulative, before, limit in zip(sizes, used, limits, strict=True)
        ]
        return max(start + 1, min(ends))

    ends, start = [0], 0
    while start < len(groups):
        end, whole = furthest(start, soft), int(group_end[start])
        if apart or end < whole:
            end = min(whole, furthest(start, hard))
        elif end < len(groups) and group_start[end] > start:
            end = int(group_start[end])
        ends.append(end)
        start = end
    return np.diff(ends).astype(np.int64)
