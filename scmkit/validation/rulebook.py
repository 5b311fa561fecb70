"""What a rule looks at and what it yields; rules register themselves in `RULES`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from scmkit.core.arrays import Bools, Ints, Objects
from scmkit.core.texts import MISSING, TextColumn
from scmkit.validation.dates import is_date_by_name, judge_dates
from scmkit.validation.duplicates import Duplicates
from scmkit.validation.mapping import Mapping as TableMapping
from scmkit.validation.matching import KnownKeys, Unmatched


class Verdict(msgspec.Struct, gc=False):  # there may be millions, and none is part of a circle
    """What is wrong with a text, its ready fix, and how bad that is where it is not as the rule says."""

    message: str
    fix: str | None = None
    severity: str = ""


class Problem(msgspec.Struct, gc=False):
    """What a rule found in a cell or, without a row, in a whole column; without a name, in a row or the table."""

    column: str
    message: str
    row: int = MISSING
    value: Any = None
    fix: str | None = None
    severity: str = ""


@dataclass(frozen=True, eq=False)
class Table:
    """The table as the rules see it.

    Attributes
    ----------
    mapping : Mapping
        The key, and what must hold of the values.
    known : dict of str to str, optional
        The campaign's fields with their kind, None where it is not told.
    held : KnownKeys, optional
        The key values of an inventory.
    new_columns : list of str
        Columns that the mapping does not know, and that are not sent.
    products : dict of str to str, optional
        The campaign of each product that there is, by its SKU.
    faulty : array of bool, shape (rows,)
        Rows with an error of their own, as far as the rules have come.
    """

    frame: pd.DataFrame
    columns: dict[str, TextColumn]
    mapping: TableMapping
    known: Mapping[str, str | None] | None
    held: KnownKeys | None
    faulty: Bools
    new_columns: Sequence[str] = ()
    products: Mapping[str, str] | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What selects the codes."""
        return self.mapping.keys

    @property
    def keys(self) -> list[TextColumn]:
        """The key's columns."""
        return [self.columns[name] for name in self.key]

    @property
    def key_name(self) -> str:
        """The key as one name."""
        return ", ".join(self.key)

    @cached_property
    def fields(self) -> dict[str, TextColumn]:
        """The other columns, by their names."""
        return {name: column for name, column in self.columns.items() if name not in self.key}

    @cached_property
    def date_fields(self) -> dict[str, TextColumn]:
        """Fields that hold dates."""
        return {name: column for name, column in self.fields.items() if self._is_date(name)}

    @cached_property
    def other_fields(self) -> list[TextColumn]:
        """Fields that hold anything else."""
        return [column for name, column in self.fields.items() if name not in self.date_fields]

    @cached_property
    def dates(self) -> dict[str, dict[int, tuple[str, str, str | None]]]:
        """What is wrong with the texts of date fields; see `judge_dates`."""
        return {name: judge_dates(column) for name, column in self.date_fields.items()}

    @cached_property
    def unmatched(self) -> Unmatched | None:
        """Key values that are not in the inventory, where there is one."""
        return None if self.held is None else Unmatched.among(self.keys, self.blank_key, self.held)

    @cached_property
    def duplicates(self) -> Duplicates:
        """Rows that share their key with another one, once all other rules were asked."""
        sendable = ~self.faulty & ~np.all([column.missing for column in self.fields.values()], axis=0)
        return Duplicates.among(
            self.keys, list(self.columns.values()), self.blank_key, sendable, self.mapping.on_conflict
        )

    @cached_property
    def blank_key(self) -> Bools:
        """Rows of which a key cell is missing or blank."""
        return np.asarray(np.any([blank(column) for column in self.keys], axis=0))

    def cells(self, name: str) -> Objects:
        """Return a column's cells as they are."""
        at = list(self.columns).index(name)
        return np.asarray(self.frame.iloc[:, at].to_numpy(dtype=object))

    def key_texts(self, rows: Ints) -> list[str]:
        """Write the key of these rows as one text."""
        return [", ".join(texts) for texts in zip(*(column.take(rows) for column in self.keys), strict=True)]

    def kind(self, name: str) -> str | None:
        """Return the kind of a field, None where nobody tells it."""
        return self.mapping.kinds.get(name)

    def _is_date(self, name: str) -> bool:
        kind = self.kind(name)
        return kind == "date" or (kind is None and is_date_by_name(name))


Check = Callable[[Table], Iterator[Problem]]


class Rule(NamedTuple):
    """A rule: ``error``, ``warning`` or ``info``, and what looks for it."""

    severity: str
    check: Check
    compares_rows: bool = False


# In the order of their findings about a cell, of which the last fix is the one that counts. Rules that compare rows are
# asked last: by then it is known which rows can be sent.
RULES: dict[str, Rule] = {}


def rule(severity: str, *, compares_rows: bool = False) -> Callable[[Check], Check]:
    """Make a function the rule of its name; what it yields is so bad unless it says otherwise."""

    def registered(check: Check) -> Check:
        RULES[check.__name__] = Rule(severity, check, compares_rows)
        return check

    return registered


def rule_of_texts(
    severity: str, columns: Callable[[Table], Iterable[TextColumn]], suspect: Callable[[TextColumn], bool] | None = None
) -> Callable[[Any], Check]:
    """Make a function that judges a text the rule of its name.

    Each distinct text of the columns is judged once, and none in a column that as a whole is not suspect.
    """

    def registered(judge: Callable[[str], Verdict | None]) -> Check:
        @wraps(judge)
        def check(table: Table) -> Iterator[Problem]:
            for column in columns(table) if suspect is None else filter(suspect, columns(table)):
                verdicts = {i: verdict for i, text in enumerate(column.texts) if (verdict := judge(text)) is not None}
                yield from in_texts(column, verdicts)

        return rule(severity)(check)

    return registered


def in_texts(column: TextColumn, verdicts: Mapping[int, Verdict]) -> Iterator[Problem]:
    """Spread verdicts about distinct texts, told by their positions, to the rows that hold them."""
    rows = np.flatnonzero(holding(column, verdicts)) if verdicts else np.zeros(0, np.int64)
    for row, code in zip(rows.tolist(), column.codes[rows].tolist(), strict=True):
        found = verdicts[code]
        yield Problem(column.name, found.message, row, column.texts[code], found.fix, found.severity)


def holding(column: TextColumn, positions: Collection[int]) -> Bools:
    """Mark the rows whose text is one of these."""
    marked = np.zeros(len(column.texts) + 1, dtype=bool)  # the last one is for missing cells, code -1
    marked[np.fromiter(positions, np.int64, len(positions))] = True
    return np.asarray(marked[column.codes])


def blank(column: TextColumn) -> Bools:
    """Mark the rows whose cell is missing, or holds nothing but blanks."""
    if 0 not in column.lengths and not has_blanks(column):
        return column.missing
    return holding(column, [i for i, text in enumerate(column.texts) if not text.strip()]) | column.missing


def has_blanks(column: TextColumn) -> bool:
    """Whether any text holds a blank, at its ends or within."""
    return any(map(str.isspace, column.signs))
