"""Which line of its file a row stands on.

`read_table` names the index of what it reads: ``line - 2`` says that a label and 2 are the row's line, counted from 1
as editors and spreadsheet programs do. In a plain file these labels are positions, as pandas makes them: ``df.loc[0]``
is the first row, and a column from elsewhere lines up. Filtering and sorting keep label and name; new labels lose the
name, so that nobody is sent to a wrong line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core.arrays import Ints
from scmkit.core.display import shown
from scmkit.core.texts import ours

# The name of an index, and what its labels and the lines differ by: the first row stands below a header, or does not.
NAMES = {"line - 2": 2, "line - 1": 1}


def index_of(lines: Sequence[int], name: str) -> pd.Index:
    """Make the index of rows that stand on these lines; `name` is one of `NAMES`."""
    first = lines[0] - NAMES[name] if lines else 0
    if list(lines) == list(range(first + NAMES[name], first + NAMES[name] + len(lines))):
        return pd.RangeIndex(first, first + len(lines), name=name)
    return pd.Index([line - NAMES[name] for line in lines], name=name)


def lines_of(index: pd.Index) -> Ints | None:
    """Return the line of each row; None where the index does not tell, or rows of several files have one label."""
    if index.name not in NAMES or not pd.api.types.is_integer_dtype(index.dtype) or not index.is_unique:
        return None
    return np.asarray(index.to_numpy(np.int64) + NAMES[index.name])


def lines_at(index: pd.Index, rows: Any) -> Any:
    """Return the lines of these positions, of which some may be missing; all missing where nobody knows."""
    known = lines_of(index)
    found = rows.copy()
    found[:] = pd.NA
    if known is not None:
        found[~rows.isna()] = known[rows[~rows.isna()].to_numpy(np.int64)]
    return found


def places(index: pd.Index, rows: Sequence[int] | Ints) -> list[str]:
    """Say for messages where rows are: by their file's line, else by position, and by label where that differs."""
    known = lines_of(index)
    if known is not None:
        return [f"line {line}" for line in known[np.asarray(rows, np.int64)].tolist()]
    return [_place(int(row), label) for row, label in zip(rows, index.take(np.asarray(rows, np.int64)), strict=True)]


def place(index: pd.Index, row: int) -> str:
    """Say where one row is; see `places`."""
    return places(index, [row])[0]


def numbered(frame: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Return a frame about rows for people: with lines for labels, or a heading that says that ``row`` begins at 0.

    Parameters
    ----------
    frame : DataFrame
        Its own column ``row`` (see `scmkit.core.texts.ours`) holds positions.
    index : Index
        Of the table that it is about.
    """
    known, rows = lines_of(index), ours(frame, "row")
    if known is None:
        return frame.rename(columns={rows.name: "row (from 0)"})
    return frame.drop(columns=rows.name).set_axis(pd.Index(known[rows.to_numpy(np.int64)], name="line"))


def _place(row: int, label: Any) -> str:
    return f"row {row}" if isinstance(label, int) and label == row else f"row {row} (label {shown(label)})"
