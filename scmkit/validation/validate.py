"""What would go wrong, before anything is sent: frame -> Findings.

Each rule is a small function over the same frozen view of the table; `RULES` lists them in reading order. A rule
looks at the distinct texts of a column and its verdicts are spread to the rows, so clean rows cost next to nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property, partial
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core import contract, display
from scmkit.core.arrays import Bools, Ints, Objects
from scmkit.core.contract import ActivationStatus, BlacklistReason
from scmkit.core.display import plural, shown
from scmkit.core.errors import PlanError, ValidationError, did_you_mean, listed, nearest
from scmkit.core.lines import lines_at, place, places
from scmkit.core.texts import MISSING, TextColumn, cells_of, columns_of, group, text_table
from scmkit.tables.arguments import public
from scmkit.tables.inventory import Inventory
from scmkit.validation.dates import DateVerdict, is_like_a_date, judge_dates
from scmkit.validation.matching import LOOKED_UP, KnownKeys, known_keys

EVERYWHERE = ("extended_id", "serial_number", *contract.SPECIAL_FIELDS)  # names that every campaign knows
CLOSE = 0.85  # how much alike two names are, from 0 to 1, before one is taken for the other misspelt [assumed]
Values = Sequence[str | None] | Objects
Verdicts = Mapping[int, tuple[str, str | None]]  # position of a distinct text -> what is wrong, the ready fix

FIELD_KINDS = ("text", "date", "logistic_unit")
SEVERITIES = ("error", "warning", "info")
DUPLICATE_RULES = ("duplicate_equal", "duplicate_conflict")
ENOUGH_TO_TELL = 1_000  # distinct values of a column that show whether it holds dates
SHOWN = 5  # findings in an error's message


# --- what is found ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Findings:
    """What validation found in a table.

    Attributes
    ----------
    frame : DataFrame
        A line per finding, ordered by row, then column: ``row`` (position from 0; missing where a finding is about
        a whole column or table, and these come first), ``label`` (the row's index label), ``column`` (empty for a
        whole row or table), ``rule``, ``severity`` (``error``, ``warning``, ``info``), ``value``, ``message``
        and ``fix`` (the text to put in the cell; missing where nobody can know it); ``line`` (of the file, where
        `read_table` read the table from one, else missing).
    rows : int
        How many rows the table has.
    rejected : array of bool, shape (rows,)
        Rows with an error of their own; they are not sent.
    superseded : array of bool, shape (rows,)
        Rows merged into another row of the same key, and not rejected.
    """

    frame: pd.DataFrame
    rows: int
    rejected: Bools
    superseded: Bools

    @property
    def errors(self) -> int:
        """The number of errors."""
        return self._count("error")

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return self._count("warning")

    @property
    def hopeless(self) -> bool:
        """Whether the table as a whole cannot be sent: it has no rows, or no field."""
        return bool(self.frame["rule"].isin(["empty_table", "no_fields"]).any())

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return self.errors == 0

    def summary(self) -> str:
        """Say in a line per rule and column how often it was broken, and where first; errors come first."""
        return "\n".join([self._total(), *self._lines()])

    def message_of(self, row: int) -> str:
        """Say why the row at this position is not sent; empty when no finding keeps it back."""
        return self._reasons.get(row, "")

    def raise_for_errors(self) -> None:
        """Raise when there are errors.

        Raises
        ------
        ValidationError
            With the first errors, and how to go on.
        """
        if self.ok:
            return
        errors = self.frame[self.frame["severity"] == "error"]
        shown = "".join(f"\n  {message}" for message in errors["message"][:SHOWN])
        more = f"\n  ... and {len(errors) - SHOWN:,} more" if len(errors) > SHOWN else ""
        raise ValidationError(
            f"{plural(len(errors), 'error')}, {self.rejected.sum():,} of {plural(self.rows, 'row')} rejected; "
            f"nothing was sent.{shown}{more}\n{self._way_out(errors)}",
            self,
        )

    def fixed(self, df: pd.DataFrame, rules: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Apply the ready fixes to a copy of the table.

        Parameters
        ----------
        df : DataFrame
            The table that was validated; it is not changed.
        rules : str or iterable of str, optional
            Apply the fixes of these rules only. Rows are dropped only when you name ``duplicate_equal`` or
            ``duplicate_conflict``: then those that lose against another row of their key.

        Returns
        -------
        DataFrame
            Validate it again: a cell that is fixed can show what it hid before, for example a duplicate.

        Raises
        ------
        PlanError
            If a rule does not exist, or the table is not the one that was validated.
        """
        chosen = _chosen_rules(rules)
        found = self.frame[self.frame["rule"].isin(chosen) & self.frame["row"].notna()]
        _check_unchanged(df, found, self.rows)
        result = df.copy()
        names = [str(label) for label in df.columns]
        for name, fixes in found[found["fix"].notna()].groupby("column", sort=False):
            last = fixes.drop_duplicates("row", keep="last")  # the most specific rule of a cell comes last
            at = names.index(name)
            result.isetitem(at, _with_texts(df.iloc[:, at], last["row"].to_numpy(np.int64), last["fix"]))
        if rules is None:
            return result
        loses = found["rule"].isin(DUPLICATE_RULES) & (found["severity"] != "error")
        kept = np.ones(len(df), dtype=bool)
        kept[found.loc[loses, "row"].to_numpy(np.int64)] = False
        return result[kept]

    def __repr__(self) -> str:
        lines = self._lines()
        more = [f"... and {len(lines) - 30} more lines: see .frame"] if len(lines) > 30 else []
        return "\n".join([f"<Findings: {self._total()}>", *lines[:30], *more])

    def _repr_html_(self) -> str:
        first = "first_row" if self.frame["line"].isna().all() else "first_line"
        lines = self._by_rule.drop(columns=["message", *({"first_row", "first_line"} - {first})])
        facts = {"result": self._total(), "ok": self.ok}
        lines = lines.rename(columns={"first_row": "first row (from 0)", "first_line": "first line"})
        found = display.table(_for_people(self.frame), caption="findings")
        parts = [display.table(lines, caption="by rule and column"), found]
        return display.card("Findings", facts, *(parts if len(self.frame) else []))

    @cached_property
    def _by_rule(self) -> pd.DataFrame:
        groups = self.frame.groupby(["severity", "rule", "column"], sort=False, as_index=False)
        lines = groups.agg(
            findings=("rule", "size"), first_row=("row", "first"), first_line=("line", "first"),
            message=("message", "first"),
        )  # fmt: skip
        return lines.sort_values("severity", key=lambda s: s.map(SEVERITIES.index), kind="stable", ignore_index=True)

    @cached_property
    def _reasons(self) -> dict[int, str]:
        frame = self.frame[self.frame["row"].notna()]
        rank = np.select(
            [frame["severity"] == "error", frame["rule"].isin((*DUPLICATE_RULES, "nothing_to_send"))], [0, 1], 2
        )
        kept = frame[rank < 2].iloc[np.argsort(rank[rank < 2], kind="stable")].drop_duplicates("row")
        return dict(zip(kept["row"].astype(int), kept["message"], strict=True))

    def _count(self, severity: str) -> int:
        return int((self.frame["severity"] == severity).sum())

    def _total(self) -> str:
        counts = [plural(self.errors, "error"), plural(self.warnings, "warning"), plural(self._count("info"), "note")]
        fixes = int(self.frame["fix"].notna().sum())
        return (
            f"{plural(self.rows, 'row')}: {', '.join(counts)}; {self.rejected.sum():,} rejected, "
            f"{self.superseded.sum():,} superseded, {plural(fixes, 'ready fix', 'es')}"
        )

    def _lines(self) -> list[str]:
        lines = zip(*(self._by_rule[c] for c in ("severity", "findings", "message")), strict=True)
        return [f"{severity:<7} {count:>6,} x {message}" for severity, count, message in lines]

    def _way_out(self, errors: pd.DataFrame) -> str:
        fixes = int(errors["fix"].notna().sum())
        ready = f"findings.fixed(df) gives a copy with {plural(fixes, 'error')} fixed; " if fixes else ""
        return (
            f"To go on: {ready}correct the table and validate again, or leave the rejected rows out with "
            "plan(..., errors='reject'). All findings: findings.frame"
        )


@public()
def validate(
    df: pd.DataFrame,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    fields: Any = None,
    on_conflict: str = "error",
    *,
    inventory: Inventory | None = None,
    sample_fraction: float = 1.0,
) -> Findings:
    """Say what would go wrong with a table, before anything is sent.

    Parameters
    ----------
    df : DataFrame
        A row per key value; every column that is not a key is an SCM field. It is not changed.
    key : str or list of str, default "extended_id"
        What selects the codes.
    fields : iterable of str, dict of str to str, or inventory, optional
        The campaign's fields: names; or names with their kind, ``"text"``, ``"date"`` or ``"logistic_unit"``; or a
        code download, whose columns beyond `contract.CODE_COLUMNS` they are. The special fields always exist. A
        field without a kind is a date when its name holds the word ``date``.
    on_conflict : {"error", "last", "first"}
        Which of several rows with one key and different cells counts. It replaces the others whole: a cell that it
        lacks is not sent, even where another row has it. Equal rows are merged in any case, into the first. A row
        that cannot be sent, because it has an error or no value, never counts for another one.
    inventory : DataFrame or path, optional
        In which the key values are looked up. Default: ``fields``, where that is an inventory. Key values that it lacks
        are warnings, since it may be a part of the codes; where hardly any is there, it is an error.
    sample_fraction : float, default 1.0
        Below 1, the inventory is a random sample: then only key values that it holds in another spelling are found.

    Returns
    -------
    Findings
        A line per problem; see `RULES` for what is checked. At most one row per key is neither rejected nor
        superseded.

    Raises
    ------
    MissingColumnError
        If the key is not a column, or a column is there twice.
    PlanError
        If an argument makes no sense.
    """
    keys = columns_of(df, key)
    if inventory is None and isinstance(fields, pd.DataFrame) and set(keys) <= set(map(str, fields.columns)):
        inventory = fields
    held = known_keys(inventory, keys, sample_fraction)
    table = _Table(df, text_table(df), tuple(keys), _known_fields(fields), on_conflict, held)
    frame = _frame([(rule, RULES[rule][0], hits) for rule in RULES for hits in table.hits(rule)], table)
    rejected = np.zeros(len(df), dtype=bool)
    rejected[frame.loc[(frame["severity"] == "error") & frame["row"].notna(), "row"].to_numpy(np.int64)] = True
    return Findings(frame, len(df), rejected, table.duplicates.superseded & ~rejected)


# --- what the rules look at, and what they yield ----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Table:
    """The table as the rules see it."""

    frame: pd.DataFrame
    columns: dict[str, TextColumn]
    key: tuple[str, ...]
    known: Mapping[str, str | None] | None
    on_conflict: str
    held: KnownKeys | None = None
    found: dict[str, list[_Hits]] = field(default_factory=dict)

    @property
    def keys(self) -> list[TextColumn]:
        return [self.columns[name] for name in self.key]

    @cached_property
    def fields(self) -> dict[str, TextColumn]:
        return {name: column for name, column in self.columns.items() if name not in self.key}

    @cached_property
    def date_fields(self) -> dict[str, TextColumn]:
        return {name: column for name, column in self.fields.items() if self._is_date(name)}

    @cached_property
    def other_fields(self) -> list[TextColumn]:
        return [column for name, column in self.fields.items() if name not in self.date_fields]

    @cached_property
    def dates(self) -> dict[str, list[DateVerdict]]:
        return {name: judge_dates(column) for name, column in self.date_fields.items()}

    @cached_property
    def duplicates(self) -> _Duplicates:
        return _find_duplicates(self)

    @cached_property
    def sendable(self) -> Bools:
        """Rows that have a value to send and no error of their own."""
        sendable = np.zeros(len(self.frame), dtype=bool)
        for column in self.fields.values():
            sendable |= ~column.missing
        for rule in RULES:
            for hits in self.hits(rule) if rule not in DUPLICATE_RULES else ():
                if (hits.severity or RULES[rule][0]) == "error":
                    at = np.asarray(hits.rows, dtype=np.int64)
                    sendable[at[at != MISSING]] = False
        return sendable

    @cached_property
    def unmatched(self) -> _Unmatched | None:
        return None if self.held is None else _find_unmatched(self, self.held)

    @cached_property
    def blank_key(self) -> Bools:
        """Rows of which a key cell is missing or blank."""
        blank = np.zeros(len(self.frame), dtype=bool)
        for column in self.keys:
            blank |= _blank(column)
        return blank

    def hits(self, rule: str) -> list[_Hits]:
        """Look for what breaks a rule, once."""
        if rule not in self.found:
            self.found[rule] = list(RULES[rule][1](self))
        return self.found[rule]

    def cells(self, name: str) -> Objects:
        """Return a column's cells as they are."""
        at = list(self.columns).index(name)
        return np.asarray(self.frame.iloc[:, at].to_numpy(dtype=object))

    def _is_date(self, name: str) -> bool:
        kind = (self.known or {}).get(name)
        return kind == "date" or (kind is None and "date" in re.split(r"[^a-z]+", name.lower()))


@dataclass(frozen=True, eq=False)
class _Hits:
    """Findings of one rule in one column; row -1 stands for the whole column."""

    column: str
    rows: Sequence[int] | Ints
    values: Values
    messages: Sequence[str]
    fixes: Sequence[str | None]
    severity: str | None = None


def _of_column(name: str, message: str, severity: str | None = None) -> Iterator[_Hits]:
    yield _Hits(name, [MISSING], [None], [message], [None], severity)


def _of_rows(
    name: str, rows: Ints, values: Values, messages: str | Sequence[str], severity: str | None = None
) -> Iterator[_Hits]:
    if len(rows):
        each = [messages] * len(rows) if isinstance(messages, str) else messages
        yield _Hits(name, rows, values, each, [None] * len(rows), severity)


def _of_texts(column: TextColumn, verdicts: Verdicts, severity: str | None = None) -> Iterator[_Hits]:
    """Spread verdicts about distinct texts to the rows that hold them."""
    rows = np.flatnonzero(_where(column, list(verdicts)))
    if len(rows):
        messages, fixes = zip(*(verdicts[code] for code in column.codes[rows].tolist()), strict=True)
        yield _Hits(column.name, rows, column.take(rows), messages, fixes, severity)


def _where(column: TextColumn, positions: Sequence[int]) -> Bools:
    """Mark the rows whose text is one of these."""
    marked = np.zeros(len(column.texts) + 1, dtype=bool)  # the last one is for missing cells, code -1
    marked[np.array(positions, dtype=np.int64)] = True
    return np.asarray(marked[column.codes])


def _blank(column: TextColumn) -> Bools:
    """Mark the rows whose cell is missing, or holds nothing but blanks."""
    return _where(column, [i for i, text in enumerate(column.texts) if not text.strip()]) | column.missing


def _frame(found: Sequence[tuple[str, str, _Hits]], table: _Table) -> pd.DataFrame:
    sizes = [len(hits.rows) for _, _, hits in found]
    order = {name: at for at, name in enumerate(table.columns)}
    rows = np.concatenate([np.zeros(0, np.int64), *(np.asarray(hits.rows, np.int64) for _, _, hits in found)])
    at = np.repeat(np.array([order.get(hits.column, -1) for _, _, hits in found], np.int64), sizes)
    by_row = np.lexsort((at, rows))  # stable: within a cell, findings stay in the order of the rules

    def each(values: Iterable[Any]) -> pd.Series:
        flat = np.empty(len(rows), dtype=object)
        flat[:] = list(values)
        return pd.Series(flat[by_row], dtype=object)

    def spread(words: Sequence[str]) -> list[str]:
        return [word for word, size in zip(words, sizes, strict=True) for _ in range(size)]

    rules, columns = spread([rule for rule, _, _ in found]), spread([hits.column for _, _, hits in found])
    index = table.frame.index
    labels, where = _spread_rows(index.take(rows[rows >= 0]), rows), _spread_rows(places(index, rows[rows >= 0]), rows)
    messages = (message for _, _, hits in found for message in hits.messages)
    position = pd.array(rows[by_row], dtype="Int64")
    position[position < 0] = pd.NA
    return pd.DataFrame(
        {
            "row": position,
            "label": each(labels),
            "column": each(columns),
            "rule": each(rules),
            "severity": each(spread([hits.severity or severity for _, severity, hits in found])),
            "value": each(value for _, _, hits in found for value in hits.values),
            "message": each(map(_sentence, where, columns, messages, rules)),
            "fix": each(fix for _, _, hits in found for fix in hits.fixes),
            "line": lines_at(index, position),
        }
    )


def _for_people(frame: pd.DataFrame) -> pd.DataFrame:
    """Name rows once: by the lines of their file, else by position and label."""
    if frame["line"].isna().all():
        return frame.drop(columns="line").rename(columns={"row": "row (from 0)"})
    return frame[["line", *(name for name in frame if name not in ("row", "label", "line"))]]


def _spread_rows(values: Iterable[Any], rows: Ints) -> list[Any]:
    """Return each finding about a row the next value, and None to those about a whole column."""
    following = iter(values)
    return [next(following) if row >= 0 else None for row in rows.tolist()]


def _sentence(place: str | None, column: str, message: str, rule: str) -> str:
    where = [place] if place else []
    where += [f"column {column!r}"] if column else []
    return f"{', '.join(where) or 'the table'}: {message} [{rule}]"


# --- the rules --------------------------------------------------------------------------------------------------


def _empty_table(table: _Table) -> Iterator[_Hits]:
    """A table without rows."""
    if not len(table.frame):
        yield from _of_column("", "it has no rows: nothing would be sent")


def _no_fields(table: _Table) -> Iterator[_Hits]:
    """A table that has only key columns."""
    if not table.fields:
        yield from _of_column("", f"it has no column beside the key {', '.join(table.key)}: add one per SCM field")


def _unknown_field(table: _Table) -> Iterator[_Hits]:
    """A column that the campaign does not define, or that has no name."""
    for label, name in zip(table.frame.columns, table.columns, strict=True):
        if not name.strip() or (pd.api.types.is_scalar(label) and pd.isna(label)):
            yield from _of_column(name, "the column has no name: name it after an SCM field, or drop it")
        elif table.known is not None and name in table.fields and name not in table.known:
            yield from _of_column(
                name,
                f"the campaign has no such field{_right_field(name, table.known)}; {listed(list(table.known))}. "
                "The service would discard it silently: rename or drop the column",
            )


def _name_blanks(table: _Table) -> Iterator[_Hits]:
    """A column with blanks around its name, which are part of the field's name when it is sent."""
    fields = table.fields if table.known is None else ()  # else it is unknown, or is called so
    for name in (*(column.name for column in table.keys), *fields):
        if name.strip() not in ("", name) and name not in (table.known or ()):
            yield from _of_column(
                name,
                f"the column's name has blanks around it, and is sent as {name!r}: rename it to {name.strip()!r}, "
                "unless the field of the campaign is really called so",
            )


def _near_field(table: _Table) -> Iterator[_Hits]:
    """A column whose name is almost one that every campaign has, where nobody says what the campaign defines."""
    for name in table.fields if table.known is None else ():
        near = nearest(name, EVERYWHERE, CLOSE)
        if near is not None and name.strip() not in EVERYWHERE:
            yield from _of_column(
                name,
                f"this is like {near!r}, which every campaign has: rename the column if that is meant. It is sent as "
                "it is, and discarded unless the campaign defines it",
            )


def _right_field(name: str, known: Iterable[str]) -> str:
    for special, columns in contract.DOWNLOAD_COLUMNS.items():
        if name in columns and name != special:
            return f" ({name!r} of a code download is set through {special!r})"
    return did_you_mean(name, known)


def _missing_key(table: _Table) -> Iterator[_Hits]:
    """A key cell that is missing or blank."""
    for column in table.keys:
        blank = _blank(column)
        blank[list(column.problems)] = False
        rows = np.flatnonzero(blank)
        message = "the key is missing, so no code can be found: fill it in, or drop the row"
        yield from _of_rows(column.name, rows, column.take(rows), message)


def _key_blanks(table: _Table) -> Iterator[_Hits]:
    """Blanks around a key."""
    for column in table.keys:
        stripped = ((i, text, text.strip()) for i, text in enumerate(column.texts))
        verdicts = {
            i: (f"{shown(text)} has blanks around it and would match no code: write {shown(bare)}", bare)
            for i, text, bare in stripped
            if bare and bare != text
        }
        yield from _of_texts(column, verdicts)


def _key_characters(table: _Table) -> Iterator[_Hits]:
    """A character that no extended_id has."""
    for column, strange in _strange_ids(table):
        wrong = {i: sorted(set(re.findall(r"[^A-Za-z0-9_-]", text))) for i, text in strange.items()}
        allowed = f"an extended_id holds only {contract.EXTENDED_ID_CHARACTERS}"
        verdicts = {
            i: (f"{shown(strange[i])} holds {' '.join(map(shown, characters[:5]))}, and {allowed}", None)
            for i, characters in wrong.items()
            if characters
        }
        yield from _of_texts(column, verdicts)


def _key_length(table: _Table) -> Iterator[_Hits]:
    """An extended_id that is too short or too long."""
    low, high = contract.EXTENDED_ID_LENGTH
    for column, strange in _strange_ids(table):
        verdicts = {
            i: (f"{shown(text)} has {plural(len(text), 'character')}, and an extended_id {low} to {high}", None)
            for i, text in strange.items()
            if not low <= len(text) <= high
        }
        yield from _of_texts(column, verdicts)


def _strange_ids(table: _Table) -> Iterator[tuple[TextColumn, dict[int, str]]]:
    """Return the texts that are no extended_id, without the blanks around them, which another rule names."""
    if contract.DEFAULT_KEY in table.key:
        column = table.columns[contract.DEFAULT_KEY]
        strange = {i: t.strip() for i, t in enumerate(column.texts) if not contract.EXTENDED_ID.fullmatch(t)}
        yield column, {i: text for i, text in strange.items() if text}


def _numeric_key(table: _Table) -> Iterator[_Hits]:
    """A number in a key, where leading zeros or digits may be gone."""
    lost = "leading zeros and digits beyond the 15th may be gone: read the key as text, read_table({}) restores zeros"
    for column in table.keys:
        advice = lost.format(f"..., pad_to={{{column.name!r}: width}}")
        dtype = _dtype(table.frame, table.columns, column.name)
        if pd.api.types.is_numeric_dtype(dtype) and not column.missing.all():
            yield from _of_column(column.name, f"the key is a column of numbers ({dtype}): {advice}")
        elif not pd.api.types.is_numeric_dtype(dtype):
            cells = table.cells(column.name)
            if pd.api.types.infer_dtype(cells, skipna=True) not in ("string", "empty"):
                rows = np.flatnonzero([isinstance(cell, Number) for cell in cells] & ~column.missing)
                values = column.take(rows)
                messages = [f"the key {value} is a number, not text: {advice}" for value in values]
                yield from _of_rows(column.name, rows, values, messages)


def _dtype(frame: pd.DataFrame, names: Iterable[str], name: str) -> Any:
    """Return the dtype of what a column holds: a categorical holds its categories."""
    dtype = frame.dtypes.iloc[list(names).index(name)]
    return dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype


def _no_key_matches(table: _Table) -> Iterator[_Hits]:
    """Keys of which hardly any is in the inventory: they are probably written otherwise there."""
    found, held = table.unmatched, table.held
    if held is None or found is None or not held.is_blocked(found.keys, found.matched, len(found.padded)):
        return
    name = ", ".join(table.key)
    few = f"only {found.matched:,}" if found.matched else "none"
    advice = f"compare how the inventory writes them, such as {shown(', '.join(min(held.values, default=())))}"
    if found.padded:
        text, full = found.example
        advice = (
            f"{len(found.padded):,} of {found.keys:,} would match with zeros in front, such as {shown(full)} for "
            f"{shown(text)}: read_table(..., pad_to={{{name!r}: {len(full)}}}) or findings.fixed(df) writes them so"
        )
    yield from _of_column(
        name,
        f"{few} of {plural(found.keys, 'key value')} is in the inventory of {plural(held.codes, 'code')}; {advice}. "
        "If that is only a part of the codes, plan(..., errors='reject') goes on all the same",
    )


def _unmatched_key(table: _Table) -> Iterator[_Hits]:
    """A key that no code in the inventory has; it may be a part of the codes."""
    found = table.unmatched
    if found is not None and found.verdicts:
        rows = np.flatnonzero(np.isin(found.groups, list(found.verdicts)))
        messages, fixes = zip(*(found.verdicts[g] for g in found.groups[rows].tolist()), strict=True)
        yield _Hits(", ".join(table.key), rows, _key_texts(table, rows), messages, fixes)


def _duplicate_equal(table: _Table) -> Iterator[_Hits]:
    """A row that repeats another one: it is merged."""
    rows = table.duplicates.equal
    texts, others = _key_texts(table, rows), places(table.frame.index, table.duplicates.other[rows])
    messages = [f"{shown(key)} is the same as {other}: merged" for key, other in zip(texts, others, strict=True)]
    yield from _of_rows(", ".join(table.key), rows, texts, messages)


def _duplicate_conflict(table: _Table) -> Iterator[_Hits]:
    """Rows of one key with different cells, of which only one can count."""
    rows = table.duplicates.conflicting
    others = table.duplicates.other[rows]
    texts = _key_texts(table, rows)
    if table.on_conflict == "error":
        advice = "keep one of them, or say on_conflict='last' or 'first'"
    else:
        advice = f"the {table.on_conflict} row counts, whole: a cell that it lacks is not sent (on_conflict)"
    messages = [
        f"{shown(key)} is also the key of {other}, with different cells: {differences}; {advice}"
        for key, other, differences in zip(
            texts, places(table.frame.index, others), _differences(table, rows, others), strict=True
        )
    ]
    severity = "error" if table.on_conflict == "error" else "warning"
    yield from _of_rows(", ".join(table.key), rows, texts, messages, severity)


def _no_text(table: _Table) -> Iterator[_Hits]:
    """A cell that has no text form."""
    for column in table.columns.values():
        problems = {row: text for row, text in column.problems.items() if row not in _rounded(table, column)}
        yield from _of_problems(table, column, problems)


def _lost_digits(table: _Table) -> Iterator[_Hits]:
    """A number whose last digits a spreadsheet or a float has replaced by zeros."""
    for column in table.columns.values():
        problems = {row: column.problems[row] for row in _rounded(table, column)}
        yield from _of_problems(table, column, problems)
        if column.name in table.date_fields:
            continue
        beyond = {i: found[1] for i, text in enumerate(column.texts) if (found := _LONG.fullmatch(text))}
        zeros = [i for i, digits in beyond.items() if not digits.strip("0")]
        # A number of 16 digits ends in 0 by chance one time in ten: where most kept their digits, it is no proof.
        severity = "error" if column.name in table.key and 2 * len(zeros) >= len(beyond) else "warning"
        message = "has only zeros after its 15th digit, as if a spreadsheet had rounded it: compare with the source"
        yield from _of_texts(column, {i: (f"{shown(column.texts[i])} {message}", None) for i in zeros}, severity)


def _rounded(table: _Table, column: TextColumn) -> set[int]:
    """Rows whose cell is a float so large that it has no text form."""
    if not column.problems:
        return set()
    cells = table.cells(column.name)
    return {r for r in column.problems if isinstance(cells[r], float | np.floating) and math.isfinite(cells[r])}


def _of_problems(table: _Table, column: TextColumn, problems: Mapping[int, str]) -> Iterator[_Hits]:
    """Report cells without a text; they would silently count as missing, so it is always an error."""
    rows = np.fromiter(problems, np.int64, len(problems))
    values = [shown(cell) for cell in table.cells(column.name)[rows]] if problems else []
    messages = [f"{value}: {problem}" for value, problem in zip(values, problems.values(), strict=True)]
    yield from _of_rows(column.name, rows, values, messages, "error")


def _surrounding_blanks(table: _Table) -> Iterator[_Hits]:
    """Blanks around a value."""
    for column in table.other_fields:
        verdicts: dict[int, tuple[str, str | None]] = {}
        for i, text in enumerate(column.texts):
            bare = text.strip()
            if bare and bare != text:
                verdicts[i] = f"{shown(text)} has blanks around it: write {shown(bare)}", bare
            elif bare != text:
                verdicts[i] = f"{shown(text)} is blank: leave the cell missing to keep the field, '' clears it", None
        yield from _of_texts(column, verdicts)


def _numeric_damage(table: _Table) -> Iterator[_Hits]:
    """A text that went through a spreadsheet or a float column: 12.0, 1.2E+05."""
    for column in (*table.keys, *table.other_fields):
        suspects = {i: text.strip() for i, text in enumerate(column.texts) if "." in text or "+" in text}
        damaged = {i: text for i, text in suspects.items() if _DAMAGED.fullmatch(text)}
        whole = {i: text.removesuffix(".0") for i, text in damaged.items() if text.endswith(".0") and len(text) <= 17}
        yield from _of_texts(
            column,
            {i: (f"{shown(t + '.0')} is a whole number that was a float: write {t!r}", t) for i, t in whole.items()},
        )
        lost = "went through a float or a spreadsheet and may have lost digits: take it from the source"
        others: Verdicts = {i: (f"{shown(t)} {lost}", None) for i, t in damaged.items() if i not in whole}
        yield from _of_texts(column, others, "error")


def _date_format(table: _Table) -> Iterator[_Hits]:
    """A date that is not written YYYY-MM-DD."""
    return _of_dates(table, "date_format")


def _no_such_date(table: _Table) -> Iterator[_Hits]:
    """A date that no calendar has."""
    return _of_dates(table, "no_such_date")


def _of_dates(table: _Table, rule: str) -> Iterator[_Hits]:
    for name, verdicts in table.dates.items():
        chosen = {v.text: (v.message, v.fix) for v in verdicts if v.rule == rule}
        yield from _of_texts(table.date_fields[name], chosen)


def _date_like(table: _Table) -> Iterator[_Hits]:
    """A column that nobody calls a date, and that holds dates in another format."""
    for column in table.other_fields:
        if (table.known or {}).get(column.name) is None:
            sample = [text for text in column.texts[:ENOUGH_TO_TELL] if text]
            like = [text for text in sample if is_like_a_date(text)]
            if 2 * len(like) > len(sample):
                advice = f"if it is a date, say fields={{{column.name!r}: 'date', ...}}; SCM dates are YYYY-MM-DD"
                yield from _of_column(
                    column.name, f"most values look like dates, the first is {shown(like[0])}: {advice}"
                )


def _choice(table: _Table, name: str, choices: type[IntEnum]) -> Iterator[_Hits]:
    """A value that a special field does not take."""
    if name in table.fields:
        column = table.fields[name]
        allowed = {str(int(c)): c.name.lower().replace("_", " ") for c in choices}
        listing = ", ".join(f"{number} ({word})" for number, word in allowed.items())
        wrong = {i: (text, _meant(text, choices)) for i, text in enumerate(column.texts) if text not in allowed}
        verdicts: Verdicts = {
            i: (f"{shown(text)} is no {name}{f', write {fix!r}' if fix else ''}; it takes {listing}", fix)
            for i, (text, fix) in wrong.items()
        }
        yield from _of_texts(column, verdicts)


def _meant(text: str, choices: type[IntEnum]) -> str | None:
    """Return the number that a text means: itself, 1.0, or the word in any spelling."""
    number = text.strip().removesuffix(".0")
    word = "".join(c for c in text.casefold() if c.isalnum())
    return next(
        (str(int(c)) for c in choices if number == str(int(c)) or word == c.name.casefold().replace("_", "")), None
    )


def _blacklist_combination(table: _Table) -> Iterator[_Hits]:
    """A reason for blacklisting on a code that is not blacklisted by the same row."""
    reason, status = (table.fields.get(name) for name in ("blacklist_reason", "activation_status"))
    if reason is not None:
        with_reason = [i for i, text in enumerate(reason.texts) if _meant(text, BlacklistReason) not in (None, "0")]
        wrong = _where(reason, with_reason)
        if status is not None:
            wrong &= ~_where(status, [i for i, t in enumerate(status.texts) if _meant(t, ActivationStatus) == "2"])
        rows = np.flatnonzero(wrong)
        rule = "a reason other than 0 goes with activation_status 2 in the same row (assumed, not documented)"
        values = reason.take(rows)
        yield from _of_rows(reason.name, rows, values, [f"{shown(value)}: {rule}" for value in values])


def _clears(table: _Table) -> Iterator[_Hits]:
    """Empty texts, which clear a field."""
    for column in table.fields.values():
        count = int(_where(column, [i for i, text in enumerate(column.texts) if not text]).sum())
        if count:
            yield from _of_column(
                column.name, f"clears {plural(count, 'value')}: '' empties the field, a missing cell keeps it"
            )


def _nothing_to_send(table: _Table) -> Iterator[_Hits]:
    """A row that has a key and no value."""
    if table.fields:
        empty = np.all([column.missing for column in table.fields.values()], axis=0) & ~table.blank_key
        for column in table.fields.values():
            empty[list(column.problems)] = False
        rows = np.flatnonzero(empty)
        yield from _of_rows("", rows, [None] * len(rows), "every field is missing: there is nothing to send")


# What is checked, in this order; within a cell, the fix of the last rule is the one that counts.
RULES: dict[str, tuple[str, Callable[[_Table], Iterator[_Hits]]]] = {
    # the whole table
    "empty_table": ("error", _empty_table),
    "no_fields": ("error", _no_fields),
    "unknown_field": ("error", _unknown_field),
    "name_blanks": ("warning", _name_blanks),
    "near_field": ("warning", _near_field),
    # keys
    "missing_key": ("error", _missing_key),
    "key_blanks": ("error", _key_blanks),
    "key_characters": ("error", _key_characters),
    "key_length": ("error", _key_length),
    "numeric_key": ("warning", _numeric_key),
    "no_key_matches": ("error", _no_key_matches),
    "duplicate_equal": ("info", _duplicate_equal),
    "duplicate_conflict": ("error", _duplicate_conflict),  # a warning where on_conflict says which row counts
    # values
    "no_text": ("error", _no_text),
    "surrounding_blanks": ("warning", _surrounding_blanks),
    "numeric_damage": ("warning", _numeric_damage),  # an error where digits may be lost
    "lost_digits": ("error", _lost_digits),  # a warning outside keys, where a text can still be sent
    "unmatched_key": ("warning", _unmatched_key),  # what the inventory has is surer than what a text looks like
    "date_format": ("error", _date_format),
    "no_such_date": ("error", _no_such_date),
    "date_like": ("warning", _date_like),
    "activation_status": ("error", partial(_choice, name="activation_status", choices=ActivationStatus)),
    "blacklist_reason": ("error", partial(_choice, name="blacklist_reason", choices=BlacklistReason)),
    "blacklist_combination": ("error", _blacklist_combination),
    "clears": ("info", _clears),
    "nothing_to_send": ("warning", _nothing_to_send),
}


# --- keys and an inventory -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Unmatched:
    """Key values that are not in the inventory.

    Attributes
    ----------
    keys, matched : int
        How many key values the table has, and of how many the inventory has codes.
    groups : array of int64, shape (rows,)
        The number of each row's key value; -1 where it is blank.
    verdicts : dict of int to (message, fix)
        Of the key values that the inventory lacks.
    padded : dict of int to str
        What those of them are that lack zeros in front.
    example : tuple of str
        One of these: what the table holds, and the inventory.
    """

    keys: int
    matched: int
    groups: Ints
    verdicts: Mapping[int, tuple[str, str | None]]
    padded: Mapping[int, str]
    example: tuple[str, str]


def _find_unmatched(table: _Table, held: KnownKeys) -> _Unmatched:
    """Look up each key value once."""
    groups = np.where(table.blank_key, MISSING, group(table.keys, len(table.frame))[0])
    of, first = np.unique(groups, return_index=True)
    of, first = of[of != MISSING], first[of != MISSING]
    values = dict(zip(of.tolist(), zip(*(c.take(first) for c in table.keys), strict=True), strict=True))
    absent = {g: value for g, value in values.items() if not held.has(value)}
    padded = {g: full for g, value in absent.items() if (full := held.padded(value)) is not None}
    told = absent if held.whole else {g: absent[g] for g in padded}
    verdicts: dict[int, tuple[str, str | None]] = {}
    for g, value in told.items():
        look = g not in padded and len(value) == 1 and len(verdicts) < len(padded) + LOOKED_UP
        verdicts[g] = _absent(", ".join(value), padded.get(g), held.alike(value[0]) if look else None), padded.get(g)
    example = next(((absent[g][0], full) for g, full in padded.items()), ("", ""))
    return _Unmatched(len(of), len(of) - len(absent), groups, verdicts, padded, example)


def _absent(text: str, full: str | None, near: str | None) -> str:
    words = f"no code in the inventory has {shown(text)}"
    if full is not None:
        return f"{words}, and some have {shown(full)}: zeros in front are missing"
    return f"{words}; did you mean {near!r}?" if near is not None else f"{words}: it would select none of them"


# --- duplicates -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Duplicates:
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


def _find_duplicates(table: _Table) -> _Duplicates:
    """Group the rows by the text of their key and compare all their cells with the row that counts.

    That row is chosen among those that can be sent; where there is none, any will do, and planning sends nothing.
    """
    size = len(table.frame)
    groups, count = group(table.keys, size)
    shared = np.bincount(groups[~table.blank_key], minlength=count) > 1
    rows = np.flatnonzero(shared[groups] & ~table.blank_key) if size else np.zeros(0, np.int64)
    contents, _ = group(list(table.columns.values()), size) if len(rows) else (groups, count)
    key = groups[rows]
    able = table.sendable[rows] | ~np.isin(key, key[table.sendable[rows]])
    first, last, stranger = (np.zeros(count, np.int64) for _ in range(3))
    first[key[able][::-1]] = rows[able][::-1]  # of repeated positions, the last assignment stays
    last[key[able]] = rows[able]
    differs = contents[rows] != contents[first[key]]
    stranger[key[differs][::-1]] = rows[differs][::-1]
    in_conflict = np.zeros(count, dtype=bool)
    in_conflict[key[differs]] = True
    in_conflict = in_conflict[key]
    winner = np.where(in_conflict, last[key], first[key]) if table.on_conflict == "last" else first[key]
    undecided = in_conflict & (table.on_conflict == "error")
    loses = (rows != winner) & ~undecided
    equal = contents[rows] == contents[winner]
    other, superseded = np.zeros(size, np.int64), np.zeros(size, dtype=bool)
    other[rows] = np.where(undecided & ~differs, stranger[key], winner)
    superseded[rows] = loses
    return _Duplicates(rows[loses & equal], rows[undecided | (loses & ~equal)], other, superseded)


def _key_texts(table: _Table, rows: Ints) -> list[str]:
    return [", ".join(texts) for texts in zip(*(column.take(rows) for column in table.keys), strict=True)]


def _differences(table: _Table, rows: Ints, others: Ints) -> list[str]:
    """Name the cells in which rows differ from others, with both values."""
    named: list[list[str]] = [[] for _ in range(len(rows))]
    for column in table.fields.values():
        here, there = column.take(rows), column.take(others)
        for at in np.flatnonzero(column.codes[rows] != column.codes[others]).tolist():
            named[at].append(f"{column.name!r} is {_cell(here[at])} here and {_cell(there[at])} there")
    return [" and ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "") for names in named]


def _cell(text: str | None) -> str:
    return "missing" if text is None else shown(text)


# --- numbers ----------------------------------------------------------------------------------------------------

# Digits-E-digits is an honest lot number (12E5, 3034E25); only a sign or a point shows that it was a number.
_DAMAGED = re.compile(r"[+-]?\d+(?:\.0|\.\d+[eE][+-]?\d+|[eE]\+\d+)", re.ASCII)
_LONG = re.compile(r"[+-]?0*[1-9]\d{14}(\d+)", re.ASCII)  # more digits than a spreadsheet keeps


# --- arguments and fixes ----------------------------------------------------------------------------------------


def _known_fields(fields: Any) -> dict[str, str | None] | None:
    """Return the campaign's fields with their kind, None where it is not told."""
    if fields is None:
        return None
    special: dict[str, str | None] = dict.fromkeys(contract.SPECIAL_FIELDS)
    if hasattr(fields, "columns"):
        return {str(c): None for c in fields.columns if str(c) not in contract.CODE_COLUMNS} | special
    kinds = {str(name): kind for name, kind in fields.items()} if isinstance(fields, Mapping) else {}
    for name, kind in kinds.items():
        if kind not in FIELD_KINDS:
            near = did_you_mean(str(kind), FIELD_KINDS)
            raise PlanError(f"field {name!r} is of kind {kind!r}{near}; a kind is one of {', '.join(FIELD_KINDS)}")
    named = sorted(fields, key=str) if isinstance(fields, AbstractSet) else fields  # a message is the same each time
    return special | (kinds or {str(name): None for name in named})


def _chosen_rules(rules: str | Iterable[str] | None) -> list[str]:
    chosen = list(RULES) if rules is None else [rules] if isinstance(rules, str) else list(rules)
    for rule in chosen:
        if rule not in RULES:
            near = nearest(rule, RULES) or ", ".join(RULES)
            raise PlanError(f"there is no rule {rule!r}; the nearest is {near}")
    return chosen


def _check_unchanged(df: pd.DataFrame, found: pd.DataFrame, rows: int) -> None:
    """Refuse a table in which a cell to fix holds something else than was validated."""
    if len(df) != rows:
        raise PlanError(
            f"these findings are about a table of {plural(rows, 'row')}, not {len(df):,}: validate it again"
        )
    for name, fixes in found[found["fix"].notna()].groupby("column", sort=False):
        at = fixes["row"].to_numpy(np.int64)
        texts = text_table(df, [name])[name].take(at)
        changed = at[texts != fixes["value"].to_numpy(dtype=object)]
        if len(changed):
            where = place(df.index, int(changed[0]))
            raise PlanError(f"{where}, column {name!r}: the cell has changed since: validate the table again")


def _with_texts(column: pd.Series, rows: Ints, texts: pd.Series) -> pd.Series:
    """Return a copy of a column with some cells replaced by text; one that cannot hold text becomes object."""
    if pd.api.types.is_string_dtype(column.dtype):
        fixed = column.copy()
    else:
        fixed = pd.Series(cells_of(column), column.index, object, column.name)  # astype(object) would widen floats
    fixed.iloc[rows] = texts.to_numpy(dtype=object)
    return fixed
