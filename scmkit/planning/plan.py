"""From a table and an estimate to a plan: which rows go in which call, sync or async, and why.

A plan is arrays: ``order`` holds row positions, call after call, and ``offsets`` where each call begins. Bodies are
made from columns when a call goes out. Nothing here touches the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmkit.core import contract, display, results
from scmkit.core.arrays import Bools, Ints, RowStates
from scmkit.core.display import duration, percent, plural
from scmkit.core.errors import PlanError, did_you_mean, nearest
from scmkit.core.lines import place
from scmkit.core.texts import TextColumn, columns_of, group, text_table
from scmkit.core.values import Mode, RowState
from scmkit.estimation.estimate import Estimate, codes_per_row
from scmkit.estimation.estimate import estimate as estimate_codes
from scmkit.estimation.service_time import ServiceTime
from scmkit.planning import bodies
from scmkit.planning.layout import Draft, Layout, Why, said_seconds
from scmkit.planning.schedule import Schedule
from scmkit.tables.arguments import public
from scmkit.tables.inventory import Counts, Inventory, count_codes
from scmkit.validation.findings import Findings
from scmkit.validation.validate import validate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORKERS = 8
REASONS = {
    Why.SHARED_SYNC: "{who} a sync call of at most {codes:,} codes: risk {risk}",
    Why.TOO_RISKY: "{value!r} may select {codes:,} codes: a sync call would time out with {risk}",
    Why.EQUAL_ROWS: "{rows:,} rows with equal values share a task",
    Why.ALONE: "async: no other row whose evidence could be told apart has the values of {value!r}",
    Why.ASKED_SYNC: "mode='sync' was asked for: {value!r} may select {codes:,} codes, risk {risk}",
    Why.COMPOUND: "several constraints exist in async calls only",
    Why.PROBE: "a small call goes out first, alone: nobody knows yet how fast the service is",
    Why.BESIDE: "{value!r} is among those with the most codes: its task goes on beside the sync calls",
}


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
    whys: RowStates
    row_codes: pd.DataFrame
    row_states: RowStates
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
        """Return the row positions of a call."""
        return self.order[self.offsets[call] : self.offsets[call + 1]]

    def why_not_sent(self, row: int) -> str:
        """Say why a row is in no call."""
        return self.findings.message_of(row) or f"{place(self.index, row)}: no value to send, every field is missing"

    def body(self, mode: Mode, rows: Ints) -> bytes:
        """Make the JSON body for these rows."""
        if mode is Mode.ASYNC:
            return bodies.async_body(self.keys, self.fields, rows)
        return bodies.sync_body(self.keys[0], self.fields, rows)

    @property
    def unique_key(self) -> bool:
        """Whether one key value selects at most one code."""
        return self.assumptions.is_unique(self.key)

    @property
    def probes(self) -> bool:
        """Whether the first call goes out alone, to tell how fast the service is."""
        return bool(len(self.whys)) and self.whys[0] == Why.PROBE

    @property
    def moves_codes(self) -> bool:
        """Whether a call may take codes to another campaign, where a repeat of it does not find them."""
        return not self.unique_key and any(f.name == "product" for f in self.fields)

    @property
    def exact(self) -> bool:
        """Whether the codes of every row are counted, not guessed."""
        return bool((self.row_codes["source"] == "exact").all())

    @property
    def selects_nothing(self) -> bool:
        """Whether, by the inventory, no row that is sent selects any code."""
        sent = self.row_codes.iloc[self.order]
        return len(sent) > 0 and bool(((sent["source"] == "exact") & (sent["codes"] == 0)).all())

    @cached_property
    def calls(self) -> pd.DataFrame:
        """A line per call: mode, rows, codes low/mid/high, bytes, timeout risk, seconds and why."""
        codes = self.schedule.codes
        sizes = np.diff(self.offsets)
        calls = pd.DataFrame(
            {
                "mode": np.where(self.is_async, Mode.ASYNC.value, Mode.SYNC.value),
                "rows": sizes,
                "codes_low": np.floor(codes.low).astype(np.int64),
                "codes_mid": np.round(codes.codes).astype(np.int64),
                "codes_high": np.ceil(codes.high).astype(np.int64),
                "bytes": self._bytes(),
                "timeout_risk": self.schedule.timeout_risk(),
                "seconds": self.schedule.seconds,
            }
        )
        calls["why"] = self._reasons(sizes, calls["codes_high"].to_numpy())
        return calls.rename_axis("call")

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A line per row of the table, under its label: position, call (missing where none) and state."""
        calls = np.full(len(self.index), -1, dtype=np.int64)
        calls[self.order] = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        frame = pd.DataFrame({"row": np.arange(len(self.index))}, index=self.index)
        frame["call"] = pd.array(np.where(calls < 0, 0, calls), dtype="Int64")
        frame.loc[calls < 0, "call"] = pd.NA
        frame["state"] = [RowState(f).word if f != RowState.PENDING else "planned" for f in self.row_states]
        return frame

    @cached_property
    def schedule(self) -> Schedule:
        """The calls as the simulation plays them."""
        return self._draft.schedule(Layout(self.order, self.offsets, self.is_async, self.whys))

    @cached_property
    def seconds(self) -> float:
        """The predicted seconds (median) from the first call to the last task's end; what all who say a time say."""
        return said_seconds(self.schedule)

    def otherwise(self, mode: str, batch: int | None = None) -> Plan:
        """Plan the same rows in another way: a mode, and for ``sync`` optionally a fixed number of rows a call."""
        layout, choice = self._draft.choose(mode, batch)
        return replace(self, **vars(layout), mode=mode, choice=choice)

    @property
    def _draft(self) -> Draft:
        return Draft(
            self.keys, self.fields, self.row_codes, np.sort(self.order), self.service_time, self.risk, self.timeout_s,
            self.workers, self.assumptions, self.estimate.level,
        )  # fmt: skip

    def summary(self) -> str:
        """Say in a few lines what will happen, and what to look at first."""
        calls = self.calls
        sync, tasks = calls[~self.is_async], calls[self.is_async]
        left_out = self.rows.loc[self.rows["state"] != "planned", "state"].value_counts()
        words = ", ".join(f"{n:,} {state}" for state, n in left_out.items())
        lines = [f"{len(self.order):,} of {plural(len(self.index), 'row')} in {plural(len(calls), 'call')}"]
        lines[0] += f" ({words})" if words else ""
        if len(sync):
            lines.append(
                f"sync : {plural(len(sync), 'call')}, {plural(sync['rows'].sum(), 'row')}, about "
                f"{sync['codes_mid'].sum():,} codes, largest timeout risk {percent(sync['timeout_risk'].max())}"
            )
        if len(tasks):
            lines.append(
                f"async: {plural(len(tasks), 'task')}, {plural(tasks['rows'].sum(), 'row')}, about "
                f"{tasks['codes_mid'].sum():,} codes"
            )
        if len(calls):
            lines.append(f"about {duration(self.seconds)} with {self.workers} workers; {self.choice}")
            lines.append(f"seconds per call: {self.service_time.source}")
        return "\n".join([*lines, *self._warnings()])

    def _warnings(self) -> list[str]:
        """Say what is odd about a plan before anything is sent."""
        found = []
        sent = self.row_codes.iloc[self.order]
        clears = sum(f.cleared(self.order) for f in self.fields)
        empty = int(((sent["source"] == "exact") & (sent["codes"] == 0)).sum())
        guessed = int(((sent["source"] == "prior") & (sent["high"] > 1)).sum())
        rejected = np.flatnonzero(self.row_states == RowState.REJECTED)
        if len(rejected):
            found.append(f"rejected, first: {self.why_not_sent(int(rejected[0]))}")
        if clears:
            found.append(f"clears {plural(clears, 'value')}")
        if self.moves_codes:
            found.append(
                f"'product' moves codes: if an answer is lost, {' + '.join(self.key)} may no longer find them, and "
                "these rows end as unknown or unverified until they are read back; key='extended_id' is certain"
            )
        if empty:
            found.append(f"{empty:,} of {plural(len(sent), 'key value')} select no code in the inventory")
        if guessed > len(sent) / 2:
            found.append(f"codes are unknown for {plural(guessed, 'key value')}: give inventory=, history= or default=")
        for name in self._undefined():
            near = did_you_mean(name, sorted(self.defined_fields or ()))
            found.append(
                f"the campaign does not define {name!r}{near}, as far as is known: the service would discard it"
            )
        if self.findings.warnings:
            found.append(f"{plural(self.findings.warnings, 'warning')} of validation, see plan.findings")
        return found

    def _undefined(self) -> list[str]:
        if self.defined_fields is None:
            return []
        known = self.defined_fields | set(contract.SPECIAL_FIELDS)
        return [f.name for f in self.fields if f.name not in known]

    def simulate(self, **options: Any) -> Any:
        """Simulate the risk of this plan; see `scmkit.simulate`."""
        return results.simulate(self, **options)

    def upload(self, **options: Any) -> Any:
        """Make the calls; see `scmkit.upload`."""
        return results.upload(self, **options)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the calls by codes and risk."""
        return results.draw(self, ax)

    def __repr__(self) -> str:
        return f"<Plan keyed by {' + '.join(self.key)}>\n{self.summary()}"

    def _repr_html_(self) -> str:
        lines = (display.Html(f"<div>{display.escape(line)}</div>") for line in self.summary().splitlines())
        return display.card(f"Plan keyed by {' + '.join(self.key)}", {}, *lines, display.table(self.calls))

    def _bytes(self) -> Ints:
        items = np.concatenate([[0], np.cumsum(bodies.item_bytes(self.keys[0], self.fields)[self.order])])
        sync = items[self.offsets[1:]] - items[self.offsets[:-1]] + bodies.sync_envelope_bytes(self.keys[0])
        tasks = {c: len(self.body(Mode.ASYNC, self.rows_of(c))) for c in np.flatnonzero(self.is_async).tolist()}
        return np.array([tasks.get(c, size) for c, size in enumerate(sync.tolist())], dtype=np.int64)

    def _reasons(self, sizes: Ints, high: Ints) -> list[str]:
        """Say of each call why it is what it is; of an async one, what it would risk as a sync call."""
        risks = np.atleast_1d(self.service_time.timeout_risk(high, sizes, self.timeout_s))
        first = [k.take(self.order[self.offsets[:-1]]) for k in self.keys]
        values = [" + ".join(map(str, value)) for value in zip(*first, strict=True)]
        facts = zip(self.whys.tolist(), values, sizes.tolist(), high.tolist(), risks.tolist(), strict=True)
        return [
            REASONS[Why(why)].format(value=v, rows=r, codes=c, risk=percent(p), who=_who_makes(v, r))
            for why, v, r, c, p in facts
        ]


def _who_makes(value: str, rows: int) -> str:
    return f"{rows:,} key values share" if rows > 1 else f"{value!r} alone makes"


@public()
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
    sample_fraction: float = 1.0,
    history: pd.DataFrame | None = None,
    default: int | tuple[int, int] | None = None,
    batch: int | None = None,
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
        Seconds per call. Default: fitted to the calls that the journal knows of this service, where there are at
        least 20, else the documented prior; the summary says which.
    risk : float, default 0.01
        The timeout risk that a sync call may have, at the upper estimate of its codes.
    fields : list, dict or inventory, optional
        The campaign's fields; see `validate`.
    on_conflict : {"error", "last", "first"}
        Which of several rows with one key and different values counts.
    errors : {"raise", "reject"}
        Whether findings of severity ``error`` forbid the plan, or only leave their rows out; what is about the table
        as a whole, such as keys of which hardly any is in the inventory, is then a warning.
    sample_fraction, history, default : see `estimate`
        What else is known about the codes per key value.
    batch : int, optional
        With ``mode="sync"``: so many rows a call, whatever the risk.
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
    if batch is not None and mode != "sync":
        raise PlanError(f"batch is 1 row or more, with mode='sync', not {batch!r} with mode={mode!r}")
    keys = columns_of(df, key)
    if mode == "sync" and len(keys) > 1:
        raise PlanError(f"a sync call has one key; {keys} need mode='async' or 'auto'")
    counted = None if inventory is None else Counts(count_codes(inventory, keys))
    findings = validate(df, keys, fields, on_conflict, inventory=counted, sample_fraction=sample_fraction)
    if errors == "raise" or findings.hopeless:
        findings.raise_for_errors()
    columns = text_table(df)
    selectors = tuple(columns[k] for k in keys)
    values = tuple(c for name, c in columns.items() if name not in keys)
    known = estimate or estimate_codes(df, keys, counted, sample_fraction, history, default, assumptions=assumptions)
    row_states = _row_states(findings, selectors, values, len(df))
    draft = Draft(
        selectors, values, codes_per_row(known, selectors, len(df)), np.flatnonzero(row_states == RowState.PENDING),
        service_time or ServiceTime.documented(), risk, timeout_s, workers, assumptions, known.level,
    )  # fmt: skip
    layout, choice = draft.choose(mode, batch)
    return Plan(
        tuple(keys), selectors, values, df.index, layout.order, layout.offsets, layout.is_async, layout.whys,
        draft.codes, row_states, findings, known, draft.service_time, risk, timeout_s, workers, mode, choice,
        assumptions, _defined_fields(fields, inventory, values),
    )  # fmt: skip


def _row_states(findings: Findings, keys: Sequence[TextColumn], fields: Sequence[TextColumn], rows: int) -> RowStates:
    row_states = np.full(rows, RowState.PENDING, dtype=np.int8)
    row_states[np.all([f.missing for f in fields], axis=0)] = RowState.REJECTED  # nothing to send
    row_states[findings.rejected] = RowState.REJECTED
    if not findings.superseded.any():
        return row_states
    groups, _ = group(keys, rows)
    sent = np.isin(groups, groups[(row_states == RowState.PENDING) & ~findings.superseded])
    row_states[findings.superseded] = np.where(sent[findings.superseded], RowState.SUPERSEDED, RowState.REJECTED)
    return row_states


def _defined_fields(fields: Any, inventory: Any, sent: Sequence[TextColumn]) -> frozenset[str] | None:
    """Return the fields that the campaign defines, as far as the caller said: names, or the header of a download.

    The summary warns by them. What became of a row, they do not prove: they are older than the calls. A slim frame of
    codes does not say what it leaves out, but a name that is nearly one of its own is probably misspelt.
    """
    for known in (fields, inventory):
        if isinstance(known, pd.DataFrame):
            if (names := contract.fields_in(known.columns)) is not None:
                return names
            if contract.DEFAULT_KEY in (columns := [str(c) for c in known.columns]):
                return frozenset([*columns, *(f.name for f in sent if nearest(f.name, columns) is None)])
            continue
        if known is not None and not isinstance(known, str | PathLike):
            return frozenset(str(name) for name in known)
    return None
