"""Rows of one key: which of them counts, and which are the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scmkit.core.arrays import Bools, Ints
from scmkit.core.texts import TextColumn, group


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Rows that share their key with another row.

    Attributes
    ----------
    equal, conflicting : array of int64
        Positions of the rows that are merged as equal, and of those that lose or forbid a conflict.
    other : array of int64, shape (rows,)
        For each of these, the row to compare it with.
    superseded : array of bool, shape (rows,)
        The rows for which another row of the key counts.
    """

    equal: Ints
    conflicting: Ints
    other: Ints
    superseded: Bools

    @classmethod
    def among(
        cls, keys: list[TextColumn], columns: list[TextColumn], blank_key: Bools, sendable: Bools, on_conflict: str
    ) -> Duplicates:
        """Group the rows by the text of their key and compare all their cells with the row that counts.

        That row is chosen among those that can be sent; where there is none, any will do, and planning sends nothing.
        """
        size = len(blank_key)
        groups, count = group(keys, size)
        shared = np.bincount(groups[~blank_key], minlength=count) > 1
        rows = np.flatnonzero(shared[groups] & ~blank_key) if size else np.zeros(0, np.int64)
        contents, _ = group(columns, size) if len(rows) else (groups, count)
        key = groups[rows]
        able = sendable[rows] | ~np.isin(key, key[sendable[rows]])
        first, last, stranger = (np.zeros(count, np.int64) for _ in range(3))
        first[key[able][::-1]] = rows[able][::-1]  # of repeated positions, the last assignment stays
        last[key[able]] = rows[able]
        differs = contents[rows] != contents[first[key]]
        stranger[key[differs][::-1]] = rows[differs][::-1]
        in_conflict = np.zeros(count, dtype=bool)
        in_conflict[key[differs]] = True
        in_conflict = in_conflict[key]
        winner = np.where(in_conflict, last[key], first[key]) if on_conflict == "last" else first[key]
        undecided = in_conflict & (on_conflict == "error")
        loses = (rows != winner) & ~undecided
        equal = contents[rows] == contents[winner]
        other, superseded = np.zeros(size, np.int64), np.zeros(size, dtype=bool)
        other[rows] = np.where(undecided & ~differs, stranger[key], winner)
        superseded[rows] = loses
        return cls(rows[loses & equal], rows[undecided | (loses & ~equal)], other, superseded)
