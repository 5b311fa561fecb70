"""The read-back: compare what the codes hold with what was sent, field by field."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scmkit import contract
from scmkit.planning import Plan
from scmkit.tables import read_codes
from scmkit.texts import Ints, Objects, TextColumn, group, text_column

DIFFERENCE_COLUMNS = ["row", "extended_id", "field", "sent", "found"]


@dataclass(frozen=True, eq=False)
class ReadBack:
    """What a code download says about rows.

    Attributes
    ----------
    differences : DataFrame
        A line per code and field that does not hold what was sent: ``row``, ``extended_id``, ``field``, ``sent``,
        ``found`` (missing when the campaign has no such column).
    absent : array of int64
        Rows whose key no downloaded code carries.
    equal : array of int64
        Rows whose codes all hold what was sent.
    """

    differences: pd.DataFrame
    absent: Ints
    equal: Ints


def compare(plan: Plan, rows: Ints, codes: str | os.PathLike[str]) -> ReadBack:
    """Compare these rows of a plan with the codes of a download."""
    held = read_codes(codes)
    wanted = [_columns(k.name)[0] for k in plan.keys]
    if any(name not in held.columns for name in wanted):
        return ReadBack(_frame([]), rows, rows[:0])
    row_at, code_at = _pairs(plan, rows, [text_column(held[name]) for name in wanted])
    lines: list[pd.DataFrame] = []
    for field in plan.fields:
        sent = field.take(row_at)
        names = _columns(field.name)
        found = [held[name].to_numpy(dtype=object)[code_at] for name in names if name in held.columns]
        differs = np.array(
            [
                text is not None and text not in holds
                for text, *holds in zip(sent, *map(_blanks_as_text, found), strict=True)
            ],
            dtype=bool,
        )
        at = np.flatnonzero(differs)
        if len(at):
            ids = held["extended_id"].to_numpy(dtype=object)[code_at[at]]
            columns = (row_at[at], ids, field.name, sent[at], found[0][at] if found else None)
            lines.append(pd.DataFrame(dict(zip(DIFFERENCE_COLUMNS, columns, strict=True))))
    differences = _frame(lines)
    present = np.unique(row_at)
    different = differences["row"].to_numpy(dtype=np.int64)
    return ReadBack(differences, np.setdiff1d(rows, present), np.setdiff1d(present, different))


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
    """Give the columns of a download that may hold a field."""
    return contract.DOWNLOAD_COLUMNS.get(name, (name,))


def _blanks_as_text(cells: Objects) -> Objects:
    """A cleared field reads back as a blank."""
    return np.where(pd.isna(cells), "", cells)


def _frame(lines: list[pd.DataFrame]) -> pd.DataFrame:
    if not lines:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in DIFFERENCE_COLUMNS}).astype({"row": "int64"})
    return pd.concat(lines, ignore_index=True).sort_values(["row", "extended_id"], kind="stable", ignore_index=True)
