"""What is sent, as text and as the JSON of a call, and the terms under which it is planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arrays import Ints, RowStates
from scmkit.core.errors import nearest
from scmkit.core.texts import MISSING, TextColumn, group, json_string
from scmkit.core.values import Mode, RowState
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import Uncertain
from scmkit.estimation.service_time import ServiceTime
from scmkit.tables.arguments import is_elsewhere
from scmkit.tables.inventory import columns_in
from scmkit.validation.findings import Findings
from scmkit.validation.mapping import Mapping
from scmkit.validation.validate import Seen

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, eq=False)
class Load:
    """What is sent.

    Attributes
    ----------
    keys, fields : tuple of TextColumn
        What selects codes, and what is brought onto them.
    index : Index
        The labels of the table's rows.
    row_states : array of int8, shape (rows,)
        What has become of each row before anything is sent: those that are ``PENDING`` go into calls.
    findings : Findings
        What validation found.
    defined_fields : frozenset of str, optional
        The fields that the campaign defines, as far as the caller said. The summary warns by them. What became of a
        row, they do not prove: they are older than the calls.
    mapping : Mapping, optional
        How the table became this; None where a plan comes from the journal.
    file : str
        The name of the file that the table was read from; empty where nobody knows.
    """

    keys: tuple[TextColumn, ...]
    fields: tuple[TextColumn, ...]
    index: pd.Index
    row_states: RowStates
    findings: Findings
    defined_fields: frozenset[str] | None = None
    mapping: Mapping | None = None
    file: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the columns that select codes."""
        return tuple(k.name for k in self.keys)

    @cached_property
    def live(self) -> Ints:
        """The rows that go into calls."""
        return np.flatnonzero(self.row_states == RowState.PENDING)

    def body(self, mode: Mode, rows: Ints) -> bytes:
        """Make the JSON body of a call, missing cells left out; rows of an async one differ in the first key only."""
        if mode is Mode.SYNC:
            items = _items((self.keys[0], *self.fields), rows)
            return b'{"data_key":%b,"items":[%b]}' % (_encode(self.keys[0].name), items)
        constraints: dict[str, Any] = {k.name: k.take(rows[:1])[0] for k in self.keys}
        if len(rows) > 1:
            constraints[self.keys[0].name] = list(self.keys[0].take(rows))
        values = {f.name: text for f in self.fields if (text := f.take(rows[:1])[0]) is not None}
        return _encode({"constraints": constraints, "scm_data": values})

    @cached_property
    def key_bytes(self) -> Ints:
        """Each row's bytes as one of several keys of an async call, with the comma behind it."""
        return _text_bytes(self.keys[0]) + 1

    @cached_property
    def item_bytes(self) -> Ints:
        """Each row's bytes as an item of a sync call, with the comma behind it."""
        total = np.full(len(self.row_states), 2, dtype=np.int64)  # two braces; a comma behind each member and item
        for column in (self.keys[0], *self.fields):
            total += np.where(column.missing, 0, _text_bytes(column) + len(_encode(column.name)) + 2)
        return total

    @property
    def envelope_bytes(self) -> int:
        """The bytes around the items of a sync call, less the last item's comma."""
        return len(self.body(Mode.SYNC, self.live[:0])) - 1


@dataclass(frozen=True, eq=False)
class Terms:
    """Under which terms calls are planned.

    ``estimate`` is what was known about the codes of key values, ``row_codes`` the same for each row of the table; the
    others are as in `scmkit.plan`.
    """

    estimate: Estimate
    row_codes: pd.DataFrame
    service_time: ServiceTime
    risk: float
    timeout_s: float
    workers: int
    mode: str
    assumptions: contract.Assumptions

    @cached_property
    def counts(self) -> Uncertain:
        """What is known of each row's codes, as numbers."""
        return Uncertain(*(self.row_codes[name].to_numpy(dtype=float) for name in Uncertain._fields))

    @cached_property
    def alike(self) -> bool:
        """Whether the same is known of every row's codes, as of unique keys of which nothing is."""
        return all(len(values) and np.all(values == values[0]) for values in self.counts)

    @property
    def exact(self) -> bool:
        """Whether the codes of every row are counted, not guessed."""
        return bool((self.row_codes["source"] == "exact").all())


def load_of(seen: Seen, fields: Any = None, codes: Any = None, file: str = "") -> Load:
    """Take the columns of a table that was validated; what it says of the campaign's fields, and of codes, counts."""
    df, columns, findings, mapping = seen
    selectors = tuple(columns[k] for k in mapping.keys)
    values = tuple(c for name, c in columns.items() if name not in mapping.keys)
    row_states = row_states_of(findings, selectors, values, len(df))
    defined = _defined_fields(fields, codes, values)
    return Load(selectors, values, df.index, row_states, findings, defined, mapping, file)


def row_states_of(findings: Findings, keys: Sequence[TextColumn], fields: Sequence[TextColumn], rows: int) -> RowStates:
    """Return which rows are sent, which cannot be, and which stand behind another one with the same key."""
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
    """Return the fields that the campaign defines, as far as they were told: names, or the header of a download.

    A slim frame of codes does not say what it leaves out, but a name that is nearly one of its own is probably
    misspelt.
    """
    for known in (fields, inventory):
        if is_elsewhere(known):
            return contract.fields_in(columns_in(known))
        if isinstance(known, pd.DataFrame):
            if (names := contract.fields_in(known.columns)) is not None:
                return names
            if contract.DEFAULT_KEY in (columns := [str(c) for c in known.columns]):
                return frozenset([*columns, *(f.name for f in sent if nearest(f.name, columns) is None)])
            continue
        if known is not None and not isinstance(known, str | PathLike):
            return frozenset(str(name) for name in known)
    return None


def _items(columns: Sequence[TextColumn], rows: Ints) -> bytes:
    """Write rows as JSON objects, a comma between them, without what is missing; the first column never is.

    Column by column, not cell by cell: a value leaves its quote open, and what stands before the next one closes it.
    """
    pieces = np.empty((len(rows), 2 * len(columns) + 1), dtype=object)
    for at, column in enumerate(columns):
        codes = column.codes[rows]
        before = ('","' if at else '{"') + json_string(column.name) + '":"'
        pieces[:, 2 * at] = before if (codes != MISSING).all() else np.where(codes == MISSING, "", before)
        pieces[:, 2 * at + 1] = column.json_texts[codes]
    pieces[:, -1] = '"},'
    return "".join(pieces.ravel().tolist())[:-1].encode()


def _text_bytes(column: TextColumn) -> Ints:
    """Count the bytes of each row's text as a JSON string, quotes included; 0 where missing."""
    return np.where(column.missing, 0, column.json_sizes[column.codes] + 2)
