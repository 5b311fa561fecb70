"""From a table and an estimate to a plan: which rows go in which call, sync or async, and why.

A plan is arrays: ``order`` holds row positions, call after call, and ``offsets`` where each call begins. Bodies are
made from columns when a call goes out. Nothing here touches the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scmkit import contract, display, payloads
from scmkit.errors import PlanError
from scmkit.estimation import Estimate, Inventory, codes_per_row
from scmkit.estimation import estimate as estimate_codes
from scmkit.latency import ServiceTime
from scmkit.models import Fate, Mode
from scmkit.texts import Ints, TextColumn, columns_of, group, text_table
from scmkit.validation import Findings, validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from scmkit.uploading import UploadJob

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

WORKERS = 8
# A layout with more calls or more tasks must save a tenth of the time, and a second, to be taken: fewer calls are
# easier to follow, and a sync answer names each row's fate where a task only counts codes.
WORTH_IT, WORTH_IT_S = 0.9, 1.0


class Why(IntEnum):
    """The reason for which a call is what it is."""

    SHARED_SYNC = 0
    TOO_RISKY = 1
    EQUAL_ROWS = 2
    ALONE = 3
    ASKED_SYNC = 4
    COMPOUND = 5


@dataclass(frozen=True, eq=False)
class Plan:
    """The calls that an upload will make, and which rows are in them.

    Attributes
    ----------
    key : tuple of str
        The columns that select codes.
    keys, fields : tuple of TextColumn
        What is sent, as text.
    index : Index
        The labels of the table's rows.
    order : array of int64
        Row positions, call after call.
    offsets : array of int64, shape (calls + 1,)
        Call ``c`` holds ``order[offsets[c]:offsets[c + 1]]``.
    findings : Findings
        What validation found; rows with errors are in no call.
    estimate : Estimate
        What was known about the codes.
    """

    key: tuple[str, ...]
    keys: tuple[TextColumn, ...]
    fields: tuple[TextColumn, ...]
    index: pd.Index
    order: Ints
    offsets: Ints
    is_async: Bools
    whys: NDArray[np.int8]
    row_codes: pd.DataFrame
    fates: NDArray[np.int8]
    findings: Findings
    estimate: Estimate
    service_time: ServiceTime
    risk: float
    timeout_s: float
    workers: int
    mode: str
    choice: str
    assumptions: contract.Assumptions
    defined_fields: frozenset[str] | None = None

    def __len__(self) -> int:
        return len(self.is_async)

    def rows_of(self, call: int) -> Ints:
        """Give the row positions of a call."""
        return self.order[self.offsets[call] : self.offsets[call + 1]]

    def why_not_sent(self, row: int) -> str:
        """Say why a row is in no call."""
        return self.findings.message_of(row) or "no value to send: every field of this row is missing"

    def body(self, mode: Mode, rows: Ints) -> bytes:
        """Make the JSON body for these rows."""
        if mode is Mode.ASYNC:
            return payloads.async_body(self.keys, self.fields, rows)
        return payloads.sync_body(self.keys[0], self.fields, rows)

    @property
    def unique_key(self) -> bool:
        """Whether one key value selects at most one code."""
        return any(k in self.assumptions.unique_keys for k in self.key)

    @property
    def exact(self) -> bool:
        """Whether the codes of every row are counted, not guessed."""
        return bool((self.row_codes["source"] == "exact").all())

    @cached_property
    def calls(self) -> pd.DataFrame:
        """A line per call: mode, rows, codes low/mid/high, bytes, timeout risk, seconds and why."""
        sizes = np.diff(self.offsets)
        sums = {c: self._sum(self.row_codes[c].to_numpy()) for c in ("low", "codes", "high")}
        high = sums["high"]
        risk = np.where(self.is_async, 0.0, self.service_time.timeout_risk(high, sizes, self.timeout_s))
        seconds = self.service_time.median_s(sums["codes"], sizes).mean(axis=-1)
        calls = pd.DataFrame(
            {
                "mode": np.where(self.is_async, Mode.ASYNC.value, Mode.SYNC.value),
                "rows": sizes,
                "codes_low": sums["low"],
                "codes_mid": sums["codes"],
                "codes_high": high,
                "bytes": self._bytes(),
                "timeout_risk": risk,
                "seconds": seconds,
            }
        )
        calls["why"] = [self._why(c, calls.loc[c]) for c in range(len(self))]
        return calls.rename_axis("call")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A line per row of the table, under its label: position, call (missing where none) and state."""
        calls = np.full(len(self.index), -1, dtype=np.int64)
        calls[self.order] = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        frame = pd.DataFrame({"row": np.arange(len(self.index))}, index=self.index)
        frame["call"] = pd.array(np.where(calls < 0, 0, calls), dtype="Int64")
        frame.loc[calls < 0, "call"] = pd.NA
        frame["state"] = [Fate(f).word if f != Fate.PENDING else "planned" for f in self.fates]
        return frame

    @cached_property
    def seconds(self) -> float:
        """The predicted seconds from the first call to the last task's end."""
        sizes = np.diff(self.offsets)
        seconds = self.service_time.median_s(self._sum(self.row_codes["codes"].to_numpy()), sizes).mean(axis=-1)
        return predict_seconds(seconds[~self.is_async], seconds[self.is_async], self.workers, self.assumptions)

    def summary(self) -> str:
        """Say in a few lines what will happen."""
        calls = self.calls
        sync, tasks = calls[~self.is_async], calls[self.is_async]
        states = self.rows["state"].value_counts()
        left_out = ", ".join(f"{n:,} {s}" for s, n in states.items() if s != "planned")
        clears = sum(int((f.take(self.order) == "").sum()) for f in self.fields)
        lines = [
            f"{len(self.order):,} of {len(self.index):,} rows in {len(calls):,} calls"
            + (f" ({left_out})" if left_out else ""),
            f"sync : {len(sync):,} calls, {sync['rows'].sum():,} rows, about {sync['codes_mid'].sum():,} codes, "
            f"largest timeout risk {sync['timeout_risk'].max() if len(sync) else 0:.2%}",
            f"async: {len(tasks):,} tasks, {tasks['rows'].sum():,} rows, about {tasks['codes_mid'].sum():,} codes",
            f"about {self.seconds:,.0f} s with {self.workers} workers; {self.choice}",
        ]
        if clears:
            lines.append(f"clears {clears:,} values")
        return "\n".join(lines)

    def simulate(self, **options: Any) -> Any:
        """Simulate the risk of this plan; see `scmkit.simulate`."""
        from scmkit.simulation import simulate

        return simulate(self, **options)

    def upload(self, **options: Any) -> UploadJob:
        """Make the calls; see `scmkit.upload`."""
        from scmkit.uploading import upload

        return upload(self, **options)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the calls by codes and risk."""
        from scmkit import plots

        return plots.plan(self, ax)

    def __repr__(self) -> str:
        return f"<Plan keyed by {' + '.join(self.key)}>\n{self.summary()}"

    def _repr_html_(self) -> str:
        facts = dict(enumerate(self.summary().splitlines()))
        return display.card(
            f"Plan keyed by {' + '.join(self.key)}",
            {"what": facts.pop(0), **{f" {i}": line for i, line in facts.items()}},
            display.table(self.calls),
        )

    def _sum(self, per_row: NDArray[Any]) -> NDArray[Any]:
        return _sums(per_row[self.order], self.offsets)

    def _bytes(self) -> Ints:
        items = self._sum(payloads.item_bytes(self.keys[0], self.fields))
        sync = items + payloads.sync_envelope_bytes(self.keys[0])
        return np.array(
            [len(self.body(Mode.ASYNC, self.rows_of(c))) if self.is_async[c] else sync[c] for c in range(len(self))],
            dtype=np.int64,
        )

    def _why(self, call: int, line: pd.Series) -> str:
        value = " + ".join(str(k.take(self.rows_of(call)[:1])[0]) for k in self.keys)
        rows, high = int(line["rows"]), int(line["codes_high"])
        # What a sync call of a single key value would risk, for the calls that are async because of it.
        risk = self.service_time.timeout_risk(high, rows, self.timeout_s)
        return {
            Why.SHARED_SYNC: f"{rows:,} rows share a sync call of at most {high:,} codes: risk {risk:.2%}",
            Why.TOO_RISKY: f"{value!r} may select {high:,} codes: a sync call would time out with {risk:.0%}",
            Why.EQUAL_ROWS: f"{rows:,} rows with equal values share a task",
            Why.ALONE: f"async: no other row whose evidence could be told apart has the values of {value!r}",
            Why.ASKED_SYNC: f"mode='sync' was asked for: {value!r} may select {high:,} codes, risk {risk:.0%}",
            Why.COMPOUND: f"several constraints ({', '.join(self.key)}) exist in async calls only",
        }[Why(int(self.whys[call]))]


def plan(
    df: pd.DataFrame,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    mode: str = "auto",
    estimate: Estimate | None = None,
    inventory: Inventory | None = None,
    service_time: ServiceTime | None = None,
    risk: float = 0.01,
    *,
    fields: Any = None,
    on_conflict: str = "error",
    errors: str = "raise",
    default: int | tuple[int, int] | None = None,
    workers: int = WORKERS,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    assumptions: contract.Assumptions = contract.ASSUMPTIONS,
) -> Plan:
    """Plan the calls that bring a table's values onto the codes.

    Parameters
    ----------
    df : DataFrame
        A row per key value; every column that is not a key is an SCM field. Missing cells are left out,
        ``""`` clears a field.
    key : str or list of str, default "extended_id"
        What selects the codes. Several columns must all hold (async calls only).
    mode : {"auto", "sync", "async"}
        ``auto`` takes what is predicted to end first within the bearable risk.
    estimate : Estimate, optional
        What is known about the codes; made from ``inventory`` or ``default`` when not given.
    inventory : DataFrame or path, optional
        All codes, one a line, in the shape of a code download.
    service_time : ServiceTime, optional
        Seconds per call; the documented prior when not given.
    risk : float, default 0.01
        The timeout risk that a sync call may have, at the upper estimate of its codes.
    fields : list, dict or inventory, optional
        The campaign's fields; see `validate`.
    on_conflict : {"error", "last", "first"}
        Which of several rows with one key and different values counts.
    errors : {"raise", "reject"}
        Whether findings of severity ``error`` forbid the plan, or only leave their rows out.
    default : int or (low, high), optional
        Your guess of the codes per key value, where nothing is known.
    workers : int, default 8
        Calls that are under way at a time.
    timeout_s : float, default 60
        Seconds after which the gateway cuts a sync call [seed].

    Returns
    -------
    Plan
        Covers every valid row exactly once.

    Raises
    ------
    MissingColumnError, ValidationError, PlanError
    """
    _check_options(mode, errors, risk, workers)
    keys = columns_of(df, key)
    if mode == "sync" and len(keys) > 1:
        raise PlanError(f"a sync call has one key; {keys} need mode='async' or 'auto'")
    findings = validate(df, key=keys, fields=fields, on_conflict=on_conflict)
    if errors == "raise":
        findings.raise_for_errors()
    columns = text_table(df)
    selectors = tuple(columns[k] for k in keys)
    values = tuple(c for name, c in columns.items() if name not in keys)
    known = estimate or estimate_codes(df, keys, inventory=inventory, default=default, assumptions=assumptions)
    fates = _fates(findings, values, len(df))
    draft = _Draft(
        selectors, values, codes_per_row(known, selectors, len(df)), np.flatnonzero(fates == Fate.PENDING),
        service_time or ServiceTime.documented(), risk, timeout_s, workers, assumptions,
    )  # fmt: skip
    layout, choice = draft.choose(mode)
    return Plan(
        tuple(keys), selectors, values, df.index, layout.order, layout.offsets, layout.is_async, layout.whys,
        draft.codes, fates, findings, known, draft.service_time, risk, timeout_s, workers, mode, choice, assumptions,
        _defined_fields(fields, inventory),
    )  # fmt: skip


def predict_seconds(sync_s: Floats, async_s: Floats, workers: int, assumed: contract.Assumptions) -> float:
    """Predict the seconds of a set of calls: pace, workers and the service's tasks, whichever takes longest.

    Async calls go out first, so that their tasks run while sync calls are made.
    """
    pace = (len(sync_s) + len(async_s)) / contract.UPDATES_PER_SECOND
    submitted = len(async_s) / contract.UPDATES_PER_SECOND
    sync = max(sync_s.sum() / workers, np.max(sync_s)) if len(sync_s) else 0.0
    tasks = (
        assumed.task_overhead_s + max(async_s.sum() / assumed.parallel_tasks, np.max(async_s)) if len(async_s) else 0
    )
    return float(max(pace, submitted + sync, submitted + tasks))


@dataclass(frozen=True, eq=False)
class _Layout:
    """Calls as arrays."""

    order: Ints
    offsets: Ints
    is_async: Bools
    whys: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class _Draft:
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
        unique = any(k.name in self.assumptions.unique_keys for k in self.keys)
        return unique or bool((self.codes["source"] == "exact").all())

    @cached_property
    def equal(self) -> Ints:
        """Number the sets of rows with equal values."""
        return group(self.fields, len(self.high))[0]

    def choose(self, mode: str) -> tuple[_Layout, str]:
        """Give the layout for a mode, and in words why it was chosen."""
        if mode == "async" or len(self.keys) > 1:
            words = "mode='async' was asked for" if mode == "async" else "several key columns need async calls"
            return self.layout(np.full(len(self.live), True), self.limit, mode), words
        if mode == "sync":
            return self.best([np.full(len(self.live), False)], mode)[0], "mode='sync' was asked for"
        layout, seconds = self.best(self._candidates(), mode)
        all_async = self._seconds(self.layout(np.full(len(self.live), True), self.limit, "async"))
        return layout, f"auto: {seconds:,.0f} s predicted, all async {all_async:,.0f} s"

    def best(self, candidates: list[Bools], mode: str) -> tuple[_Layout, float]:
        """Give the layout that is predicted to end first; an earlier one wins unless clearly beaten."""
        layouts = [self.layout(to_task, limit, mode) for to_task in candidates for limit in self._limits(to_task)]
        timed = [(layout, self._seconds(layout)) for layout in layouts]
        best = timed[0]
        for layout, seconds in timed[1:]:
            if seconds < min(best[1] * WORTH_IT, best[1] - WORTH_IT_S):
                best = layout, seconds
        return best

    def layout(self, to_task: Bools, limit: float, mode: str) -> _Layout:
        """Lay out the calls: async first, then sync from the heaviest to the lightest."""
        rows_async, rows_sync = self.live[to_task], self.live[~to_task]
        a_order, a_sizes = self._task_calls(rows_async)
        s_order, s_sizes = self._sync_calls(rows_sync, limit)
        sizes = np.concatenate([a_sizes, s_sizes])
        is_async = np.arange(len(sizes)) < len(a_sizes)
        order = np.concatenate([a_order, s_order])
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return _Layout(order, offsets, is_async, self._whys(order, offsets, is_async, mode))

    def _candidates(self) -> list[Bools]:
        """Which live rows go to tasks: those too risky for sync, and sets of equal rows from some size on."""
        forced = self.weight[self.live] > self.limit
        _, inverse, counts = np.unique(self.sharing[self.live], return_inverse=True, return_counts=True)
        size = counts[inverse] if len(self.live) else np.zeros(0, dtype=np.int64)
        return [forced | (size >= least) for least in (np.inf, 1000, 100, 10, 2)]

    def _limits(self, to_task: Bools) -> list[float]:
        """The weights of a sync call worth trying: as much as the risk bears, or an even share for the workers."""
        total = float(self.weight[self.live[~to_task]].sum())
        shares = [total / (self.workers * waves) for waves in (1, 2, 4)]
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

    def _seconds(self, layout: _Layout) -> float:
        codes = _sums(self.codes["codes"].to_numpy(dtype=float)[layout.order], layout.offsets)
        seconds = self.service_time.median_s(codes, np.diff(layout.offsets)).mean(axis=-1)
        return predict_seconds(seconds[~layout.is_async], seconds[layout.is_async], self.workers, self.assumptions)

    def _whys(self, order: Ints, offsets: Ints, is_async: Bools, mode: str) -> NDArray[np.int8]:
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


def _sums(per_row: NDArray[Any], offsets: Ints) -> NDArray[Any]:
    total = np.concatenate([[0], np.cumsum(per_row)])
    return np.asarray(total[offsets[1:]] - total[offsets[:-1]])


def _fates(findings: Findings, fields: Sequence[TextColumn], rows: int) -> NDArray[np.int8]:
    fates = np.full(rows, Fate.PENDING, dtype=np.int8)
    if fields:
        fates[np.all([f.missing for f in fields], axis=0)] = Fate.REJECTED  # nothing to send
    fates[findings.superseded] = Fate.SUPERSEDED
    fates[findings.rejected] = Fate.REJECTED
    return fates


def _defined_fields(fields: Any, inventory: Any) -> frozenset[str] | None:
    """Give the fields that the campaign defines, as far as the caller said: names, or the header of a download."""
    for known in (fields, inventory):
        if isinstance(known, pd.DataFrame):
            return frozenset(str(c) for c in known.columns)
        if known is not None and not isinstance(known, str | PathLike):
            return frozenset(str(name) for name in known)
    return None


def _check_options(mode: str, errors: str, risk: float, workers: int) -> None:
    if mode not in ("auto", "sync", "async"):
        raise PlanError(f"mode is 'auto', 'sync' or 'async', not {mode!r}")
    if errors not in ("raise", "reject"):
        raise PlanError(f"errors is 'raise' or 'reject', not {errors!r}")
    if not 0 < risk < 1:
        raise PlanError(f"risk is a probability between 0 and 1, not {risk!r}")
    if workers < 1:
        raise PlanError(f"workers is 1 or more, not {workers!r}")
