"""The read-back: compare what the codes hold with what was sent, field by field."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arrays import Bools, Ints, Objects
from scmkit.core.texts import TextColumn, group, text_column
from scmkit.core.values import RowState
from scmkit.engine import evidence
from scmkit.engine.evidence import Change, FieldFacts
from scmkit.planning.plan import Plan
from scmkit.tables.reading import read_codes

DIFFERENCE_COLUMNS = ["row", "extended_id", "field", "sent", "found"]


@dataclass(frozen=True, eq=False)
class ReadBack:
    """What a code download shows about rows.

    Attributes
    ----------
    rows : array of int64
        The rows that were asked about.
    differences : DataFrame
        A line per code and field that does not hold what was sent: ``row``, ``extended_id``, ``field``, ``sent``,
        ``found`` (missing when the campaign has no such column).
    codes : array of int64
        For each row, the downloaded codes that carry its key; -1 where that proves nothing: a later job may have moved
        codes, or there are none, and it is not a whole download.
    equal : array of bool
        For each row, whether its codes all hold what was sent, as far as the campaign has the fields.
    discarded : array of bool
        For each row, whether the campaign has none of its fields.
    facts : FieldFacts
        What the header says about fields.
    why_not : str
        Why nothing can be compared; empty where something can.
    """

    rows: Ints
    differences: pd.DataFrame
    codes: Ints
    equal: Bools
    discarded: Bools
    facts: FieldFacts = evidence.NOTHING
    why_not: str = ""

    @property
    def absent(self) -> Ints:
        """The rows whose key no code carries."""
        return np.asarray(self.rows[self.codes == 0])


def compare(plan: Plan, rows: Ints, codes: str | os.PathLike[str], later: Sequence[Change] = ()) -> ReadBack:
    """Compare these rows of a plan with the codes of a download.

    Parameters
    ----------
    plan, rows
    codes : path
        A download that holds all codes that these rows select; where it may not, ``absent`` proves nothing.
    later : sequence of Change
        What later jobs may have changed: there the codes prove nothing, and nothing is compared.
    """
    held = read_codes(codes)
    if why_not := _why_not(plan, held):
        nothing = np.zeros(len(rows), dtype=bool)
        return ReadBack(rows, _frame([]), np.full(len(rows), -1), nothing, nothing, why_not=why_not)
    pairs = _Pairs.of(plan, rows, held, later)
    facts = _facts(plan, held)
    compared = [pairs.compare(field, field.name in facts.undefined) for field in plan.fields]
    wrong = np.concatenate([rows[:0], *(wrong for _, wrong in compared)])
    proven = evidence.of_fields(np.full(len(rows), RowState.APPLIED, dtype=np.int8), plan.sent(rows), facts).row_states
    found = pairs.codes_of(rows)
    found[(found == 0) & (contract.fields_in(held.columns) is None)] = -1
    return ReadBack(
        rows, _frame([line for line, _ in compared if len(line)]), found,
        (found > 0) & (proven != RowState.DISCARDED) & ~np.isin(rows, wrong), proven == RowState.DISCARDED, facts,
    )  # fmt: skip


def codes_of_row(plan: Plan, row: int, codes: str | os.PathLike[str]) -> tuple[list[str], int]:
    """Return the header of a download, and how many of its codes carry the key of a row."""
    held = read_codes(codes)
    whole = all(_columns(k.name)[0] in held.columns for k in plan.keys)
    row_at, _ = _match(plan, np.array([row]), held) if whole and len(held) else (np.zeros(0), None)
    return [str(name) for name in held.columns] if whole else [], len(row_at)


def _why_not(plan: Plan, held: pd.DataFrame) -> str:
    """Say why a download proves nothing about the rows of a plan."""
    for name in (contract.DEFAULT_KEY, *(_columns(k.name)[0] for k in plan.keys)):
        if name not in held.columns:
            return f"the download has no column {name!r}"
    return "" if len(held) else "the download holds no code"


def _facts(plan: Plan, held: pd.DataFrame) -> FieldFacts:
    names = {f.name for f in plan.fields}
    return evidence.of_header(held.columns, len(held), names, names, changed=True)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Rows and the codes that carry their keys, a pair each; ``moved`` are rows that are left out."""

    row: Ints
    code: Ints
    held: pd.DataFrame
    later: Sequence[Change]
    keys: dict[str, Objects]
    lasting: dict[str, Objects]
    moved: Ints

    @classmethod
    def of(cls, plan: Plan, rows: Ints, held: pd.DataFrame, later: Sequence[Change]) -> _Pairs:
        keys = {k.name: k.take(rows) for k in plan.keys}
        moved = rows[np.any([np.zeros(len(rows), bool), *(evidence.moved(change, keys) for change in later)], axis=0)]
        row, code = _match(plan, rows, held)
        stays = ~np.isin(row, moved)
        row, code = row[stays], code[stays]
        lasting = {
            name: text_column(held[name], name).take(code)
            for name in plan.assumptions.unique_keys
            if later and name in held.columns
        }
        return cls(row, code, held, later, {k.name: k.take(row) for k in plan.keys}, lasting, moved)

    def codes_of(self, rows: Ints) -> Ints:
        """Count the codes of each row."""
        most = int(np.max(rows, initial=-1)) + 1
        counts = np.bincount(self.row, minlength=most)[rows].astype(np.int64)
        counts[np.isin(rows, self.moved)] = -1
        return counts

    def compare(self, field: TextColumn, undefined: bool) -> tuple[pd.DataFrame, Ints]:
        """Return the differences of a field, and the rows of which it is not proven that they are equal."""
        sent = field.take(self.row)
        names = [name for name in _columns(field.name) if name in self.held.columns]
        found = [self.held[name].to_numpy(dtype=object)[self.code] for name in names]
        holds = zip(sent, *map(_blanks_as_text, found), strict=True)
        differs = np.array([text is not None and text not in cells for text, *cells in holds], dtype=bool)
        skipped = self._skipped(field.name) if names or undefined else np.ones(len(sent), dtype=bool)
        at = np.flatnonzero(differs & ~skipped)
        ids = self.held[contract.DEFAULT_KEY].to_numpy(dtype=object)[self.code[at]]
        columns = (self.row[at], ids, field.name, sent[at], found[0][at] if found else None)
        asked = ~field.missing[self.row] if not undefined else np.zeros(len(sent), dtype=bool)
        return pd.DataFrame(dict(zip(DIFFERENCE_COLUMNS, columns, strict=True))), self.row[asked & (differs | skipped)]

    def _skipped(self, name: str) -> Bools:
        changed = [evidence.overwritten(change, name, self.keys, self.lasting) for change in self.later]
        return np.asarray(np.any([np.zeros(len(self.row), bool), *changed], axis=0))


def _match(plan: Plan, rows: Ints, held: pd.DataFrame) -> tuple[Ints, Ints]:
    return _pairs(plan, rows, [text_column(held[_columns(k.name)[0]], k.name) for k in plan.keys])


def _pairs(plan: Plan, rows: Ints, held: list[TextColumn]) -> tuple[Ints, Ints]:
    """Match rows with codes by all key columns: positions of both, a pair for each code."""
    size = len(held[0].codes)
    both = [
        text_column(pd.Series([*key.take(rows), *column.take(np.arange(size))], dtype=object), key.name)
        for key, column in zip(plan.keys, held, strict=True)
    ]
    numbers, _ = group(both, len(rows) + size)
    left = pd.DataFrame({"key": numbers[: len(rows)], "row": rows})
    right = pd.DataFrame({"key": numbers[len(rows) :], "code": np.arange(size)})
    pairs = left.merge(right, on="key")
    return pairs["row"].to_numpy(dtype=np.int64), pairs["code"].to_numpy(dtype=np.int64)


def _columns(name: str) -> tuple[str, ...]:
    """Return the columns of a download that may hold a field."""
    return contract.DOWNLOAD_COLUMNS.get(name, (name,))


def _blanks_as_text(cells: Objects) -> Objects:
    """A cleared field reads back as a blank."""
    return np.where(pd.isna(cells), "", cells)


def _frame(lines: list[pd.DataFrame]) -> pd.DataFrame:
    if not lines:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in DIFFERENCE_COLUMNS}).astype({"row": "int64"})
    return pd.concat(lines, ignore_index=True).sort_values(["row", "extended_id"], kind="stable", ignore_index=True)
