"""What validation found: a line each, by rule, as text and as HTML; and a table with the ready fixes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from scmkit.core import display
from scmkit.core.arrays import Bools, Ints
from scmkit.core.display import plural
from scmkit.core.errors import PlanError, ValidationError, nearest
from scmkit.core.lines import lines_at, place, places
from scmkit.core.texts import cells_of, text_table
from scmkit.validation.mapping import Mapping
from scmkit.validation.rulebook import RULES, Problem

SEVERITIES = ("error", "warning", "info")
DUPLICATE_RULES = ("duplicate_equal", "duplicate_conflict")
SHOWN = 5  # findings in an error's message


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
    applied : tuple of DataFrame
        The findings whose ready fixes a mapping has applied before, in the shape of `frame`.
    """

    frame: pd.DataFrame
    rows: int
    rejected: Bools
    superseded: Bools
    applied: tuple[pd.DataFrame, ...] = ()

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
        result = df.copy()
        for earlier in self.applied:
            _fix(result, earlier, self.rows)
        _fix(result, found, self.rows)
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
        lines = self.by_rule.drop(columns=["message", "fixes", *({"first_row", "first_line"} - {first})])
        facts = {"result": self._total(), "ok": self.ok}
        lines = lines.rename(columns={"first_row": "first row (from 0)", "first_line": "first line"})
        found = display.table(self.for_people(), caption="findings")
        parts = [display.table(lines, caption="by rule and column"), found]
        return display.card("Findings", facts, *(parts if len(self.frame) else []))

    def for_people(self) -> pd.DataFrame:
        """Return `frame` with rows named once: by the lines of their file, else by position and label."""
        frame = self.frame
        if frame["line"].isna().all():
            return frame.drop(columns="line").rename(columns={"row": "row (from 0)"})
        return frame[["line", *(name for name in frame if name not in ("row", "label", "line"))]]

    @cached_property
    def by_rule(self) -> pd.DataFrame:
        """A line per severity, rule and column, errors first: how many ``findings`` and ``fixes``, and the first."""
        groups = self.frame.groupby(["severity", "rule", "column"], sort=False, as_index=False)
        lines = groups.agg(
            findings=("rule", "size"), fixes=("fix", "count"), first_row=("row", "first"),
            first_line=("line", "first"), message=("message", "first"),
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
        cells = sum(map(len, self.applied))
        by_mapping = f"; the mapping fixed {plural(cells, 'cell')}, see .applied" if cells else ""
        return (
            f"{plural(self.rows, 'row')}: {', '.join(counts)}; {self.rejected.sum():,} rejected, "
            f"{self.superseded.sum():,} superseded, {plural(fixes, 'ready fix', 'es')}{by_mapping}"
        )

    def _lines(self) -> list[str]:
        lines = zip(*(self.by_rule[c] for c in ("severity", "findings", "message")), strict=True)
        return [f"{severity:<7} {count:>6,} x {message}" for severity, count, message in lines]

    def _way_out(self, errors: pd.DataFrame) -> str:
        fixes = int(errors["fix"].notna().sum())
        ready = f"findings.fixed(df) gives a copy with {plural(fixes, 'error')} fixed; " if fixes else ""
        return (
            f"To go on: {ready}correct the table and validate again, or leave the rejected rows out with "
            "plan(..., errors='reject'). All findings: findings.frame"
        )


def framed(
    found: Iterable[tuple[str, str, Problem]], columns: Sequence[str], index: pd.Index, mapping: Mapping
) -> pd.DataFrame:
    """Return the frame of `Findings` from rules, severities and problems, those of a cell in the order of `RULES`.

    A column is called as the table calls it, whatever the mapping makes of it; a constant is in no cell to fix.
    """
    called, constants = mapping.in_file(), mapping.constants
    at, order = ({name: at for at, name in enumerate(names)} for names in (columns, RULES))
    found = sorted(found, key=lambda each: (each[2].row, at.get(each[2].column, -1), order[each[0]]))
    rows = np.array([problem.row for _, _, problem in found], np.int64)
    of_rows = rows[rows >= 0]  # those before are about whole columns
    nobody = [None] * (len(rows) - len(of_rows))
    cells = zip([*nobody, *index.take(of_rows)], [*nobody, *places(index, of_rows)], found, strict=True)
    lines = [
        (
            label, called.get(p.column, p.column), rule, severity, p.value,
            _sentence(where, p.column, called.get(p.column), p.message, rule),
            None if p.column in constants else p.fix,
        )
        for label, where, (rule, severity, p) in cells
    ]  # fmt: skip
    names = ["label", "column", "rule", "severity", "value", "message", "fix"]
    frame = pd.DataFrame(lines, columns=names, dtype=object)
    position = pd.array(rows, dtype="Int64")
    position[position < 0] = pd.NA
    frame.insert(0, "row", position)
    return frame.assign(line=lines_at(index, position))


def _sentence(place: str | None, name: str, column: str | None, message: str, rule: str) -> str:
    where = [place] if place else []
    where += [f"column {column!r} (sent as {name!r})" if column else f"column {name!r}"] if name else []
    return f"{', '.join(where) or 'the table'}: {message} [{rule}]"


def _chosen_rules(rules: str | Iterable[str] | None) -> list[str]:
    chosen = list(RULES) if rules is None else [rules] if isinstance(rules, str) else list(rules)
    for rule in chosen:
        if rule not in RULES:
            near = nearest(rule, RULES) or ", ".join(RULES)
            raise PlanError(f"there is no rule {rule!r}; the nearest is {near}")
    return chosen


def _fix(df: pd.DataFrame, found: pd.DataFrame, rows: int) -> None:
    """Apply the ready fixes of findings to a table."""
    _check_unchanged(df, found, rows)
    names = [str(label) for label in df.columns]
    for name, fixes in found[found["fix"].notna()].groupby("column", sort=False):
        last = fixes.drop_duplicates("row", keep="last")  # the most specific rule of a cell comes last
        at = names.index(name)
        df.isetitem(at, _with_texts(df.iloc[:, at], last["row"].to_numpy(np.int64), last["fix"]))


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
