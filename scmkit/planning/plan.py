"""A plan: what is sent, in which calls, sync or async, and why; in words and tables.

Bodies are made from columns when a call goes out. Nothing here touches the network or the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from scmkit.core import contract, display, results
from scmkit.core.arrays import Bools, Ints
from scmkit.core.display import duration, percent, plural
from scmkit.core.errors import did_you_mean
from scmkit.core.lines import place
from scmkit.core.values import Mode, RowState
from scmkit.planning.layout import Layout, Packer, Why, per_call, said_seconds
from scmkit.planning.load import Load, Terms
from scmkit.planning.trials import Schedule
from scmkit.validation.mapping import Mapping

if TYPE_CHECKING:
    from matplotlib.axes import Axes

T = TypeVar("T")
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


def _part(of: Callable[[Plan], T]) -> T:
    """Return a property of a plan that shows what one of its parts holds."""
    return property(of)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Plan:
    """The calls that an upload will make, and which rows are in them.

    Attributes
    ----------
    load : Load
        What is sent.
    terms : Terms
        What is known about codes and service, and what was asked for.
    layout : Layout
        Which rows go in which call.

    What the three hold is here, too: ``plan.risk`` is ``plan.terms.risk``.
    """

    load: Load
    terms: Terms
    layout: Layout

    key = _part(lambda plan: plan.load.key)
    keys = _part(lambda plan: plan.load.keys)
    fields = _part(lambda plan: plan.load.fields)
    index = _part(lambda plan: plan.load.index)
    row_states = _part(lambda plan: plan.load.row_states)
    findings = _part(lambda plan: plan.load.findings)
    defined_fields = _part(lambda plan: plan.load.defined_fields)
    estimate = _part(lambda plan: plan.terms.estimate)
    row_codes = _part(lambda plan: plan.terms.row_codes)
    service_time = _part(lambda plan: plan.terms.service_time)
    risk = _part(lambda plan: plan.terms.risk)
    timeout_s = _part(lambda plan: plan.terms.timeout_s)
    workers = _part(lambda plan: plan.terms.workers)
    mode = _part(lambda plan: plan.terms.mode)
    assumptions = _part(lambda plan: plan.terms.assumptions)
    exact = _part(lambda plan: plan.terms.exact)
    order = _part(lambda plan: plan.layout.order)
    offsets = _part(lambda plan: plan.layout.offsets)
    is_async = _part(lambda plan: plan.layout.is_async)
    whys = _part(lambda plan: plan.layout.whys)
    choice = _part(lambda plan: plan.layout.choice)
    probes = _part(lambda plan: plan.layout.probes)

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
        return self.load.body(mode, rows)

    def sent(self, rows: Ints) -> dict[str, Bools]:
        """Mark for each field which of these rows send it: a missing cell is left out."""
        return {f.name: ~f.missing[rows] for f in self.fields}

    def expected_codes(self, rows: Ints) -> float:
        """Return how many codes these rows together select, by the estimate."""
        return float(self.row_codes["codes"].to_numpy()[rows].sum())

    @property
    def mapping(self) -> Mapping:
        """What the table's columns are sent as: saved, it plans next month's table in the same way."""
        known = self.load.mapping or Mapping(key=self.key)
        names = {c.name: c.name for c in (*self.keys, *self.fields) if c.name not in known.constants}
        return known if known.columns is not None else replace(known, columns=names)

    @property
    def unique_key(self) -> bool:
        """Whether one key value selects at most one code."""
        return self.assumptions.is_unique(self.key)

    @property
    def moves_codes(self) -> bool:
        """Whether a call may take codes to another campaign, where a repeat of it does not find them."""
        return not self.unique_key and any(f.name == "product" for f in self.fields)

    @property
    def selects_nothing(self) -> bool:
        """Whether, by the inventory, no row that is sent selects any code."""
        return 0 < len(self.order) == self._selecting_nothing

    @property
    def _selecting_nothing(self) -> int:
        sent = self.row_codes.iloc[self.order]
        return int(((sent["source"] == "exact") & (sent["codes"] == 0)).sum())

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
        words = {state: state.word for state in RowState} | {RowState.PENDING: "planned"}
        states = np.array(list(words.values()), dtype=object)[self.row_states]
        columns = {"row": np.arange(len(calls)), "call": pd.arrays.IntegerArray(calls, calls < 0), "state": states}
        return pd.DataFrame(columns, index=self.index)

    @cached_property
    def schedule(self) -> Schedule:
        """The calls as the simulation plays them."""
        return self.layout.schedule(self.terms)

    @cached_property
    def seconds(self) -> float:
        """The predicted seconds (median) from the first call to the last task's end; what all who say a time say."""
        return said_seconds(self.schedule)

    def otherwise(self, mode: str, batch: int | None = None) -> Plan:
        """Plan the same rows in another way: a mode, and for ``sync`` optionally a fixed number of rows a call."""
        return make_plan(self.load, replace(self.terms, mode=mode), batch)

    def with_terms(self, **terms: Any) -> Plan:
        """Return the same calls under other terms, such as ``workers=4``."""
        return replace(self, terms=replace(self.terms, **terms))

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
        if empty := self._selecting_nothing:
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
        shown = results.picture(self), display.table(self.calls)
        return display.card(f"Plan keyed by {' + '.join(self.key)}", {}, *lines, *shown)

    def _bytes(self) -> Ints:
        sizes = per_call(self.load.item_bytes[self.order], self.offsets) + self.load.envelope_bytes
        for call in np.flatnonzero(self.is_async).tolist():
            sizes[call] = len(self.body(Mode.ASYNC, self.rows_of(call)))
        return np.asarray(sizes)

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


def make_plan(load: Load, terms: Terms, batch: int | None = None) -> Plan:
    """Plan what is given, and nothing else: `scmkit.plan` looks at a table, and asks the journal.

    Parameters
    ----------
    load : Load
    terms : Terms
    batch : int, optional
        With ``mode="sync"``: so many rows a call, whatever the risk.
    """
    return Plan(load, terms, Packer(load, terms).choose(batch))
