"""The rules, one function each: to add one, write it here."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from enum import IntEnum
from numbers import Number

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arrays import Ints
from scmkit.core.contract import ActivationStatus, BlacklistReason
from scmkit.core.display import plural, shown
from scmkit.core.errors import did_you_mean, in_a_line, letters_of, listed, nearest
from scmkit.core.lines import places
from scmkit.core.patterns import Pattern
from scmkit.core.texts import TextColumn
from scmkit.validation.dates import is_like_a_date
from scmkit.validation.rulebook import (
    Problem,
    Table,
    Verdict,
    blank,
    has_blanks,
    holding,
    in_texts,
    rule,
    rule_of_texts,
)

EVERYWHERE = ("extended_id", "serial_number", *contract.SPECIAL_FIELDS)  # names that every campaign knows
CLOSE = 0.85  # how much alike two names are, from 0 to 1, before one is taken for the other misspelt [assumed]
MOST_LISTED, MOST_SHOWN = 12, 100  # allowed values, and characters of a pattern, in a message
COMPARISONS = 10_000  # of texts of a column with known ones, to find the nearest: this is slow
ENOUGH_TO_TELL = 1_000  # distinct values of a column that show whether it holds dates
# Digits-E-digits is an honest lot number (12E5, 3034E25); only a sign or a point shows that it was a number.
_DAMAGED = re.compile(r"[+-]?\d+(?:\.0|\.\d+[eE][+-]?\d+|[eE]\+\d+)", re.ASCII)
_LONGEST_FLOAT = 17  # characters of a whole number that went through a float and lost nothing, with its ".0"
# A GTIN or an SSCC, with what else tells one article from another, as in a GS1 Digital Link.
_GS1 = re.compile(r"(?:01/(\d{8}|\d{12,14})|00/(\d{18}))(?:/\d{2,4}/[!-.0-?A-Z_a-z]+)*", re.ASCII)
_GS1_LENGTHS = {"gtin": (8, 12, 13, 14), "sscc": (18,)}
_LONG = re.compile(r"[+-]?0*[1-9]\d{14}(\d+)", re.ASCII)  # more digits than a spreadsheet keeps
_SHORTEST_LONG = 16


# --- the whole table --------------------------------------------------------------------------------------------


@rule("error")
def empty_table(table: Table) -> Iterator[Problem]:
    """A table without rows."""
    if not len(table.frame):
        yield Problem("", "it has no rows: nothing would be sent")


@rule("error")
def no_fields(table: Table) -> Iterator[Problem]:
    """A table that has only key columns."""
    if not table.fields:
        yield Problem("", f"it has no column beside the key {table.key_name}: add one per SCM field")


@rule("error")
def unknown_field(table: Table) -> Iterator[Problem]:
    """A column that the campaign does not define, or that has no name."""
    for label, name in zip(table.frame.columns, table.columns, strict=True):
        if not name.strip() or (pd.api.types.is_scalar(label) and pd.isna(label)):
            yield Problem(name, "the column has no name: name it after an SCM field, or drop it")
        elif table.known is not None and name in table.fields and name not in table.known:
            right = f"the campaign has no such field{_right_field(name, table.known)}; {listed(list(table.known))}"
            yield Problem(name, f"{right}. The service would discard it silently: rename or drop the column")


def _right_field(name: str, known: Iterable[str]) -> str:
    for special, columns in contract.DOWNLOAD_COLUMNS.items():
        if name in columns and name != special:
            return f" ({name!r} of a code download is set through {special!r})"
    return did_you_mean(name, known)


@rule("warning")
def name_blanks(table: Table) -> Iterator[Problem]:
    """A column with blanks around its name, which are part of the field's name when it is sent."""
    fields = table.fields if table.known is None else ()  # else it is unknown, or is called so
    for name in (*table.key, *fields):
        if name.strip() not in ("", name) and name not in (table.known or ()):
            yield Problem(
                name,
                f"the column's name has blanks around it, and is sent as {name!r}: rename it to {name.strip()!r}, "
                "unless the field of the campaign is really called so",
            )


@rule("warning")
def near_field(table: Table) -> Iterator[Problem]:
    """A column whose name is almost one that every campaign has, where nobody says what the campaign defines."""
    for name in table.fields if table.known is None else ():
        near = nearest(name, EVERYWHERE, CLOSE)
        if near is not None and name.strip() not in EVERYWHERE:
            yield Problem(
                name,
                f"this is like {near!r}, which every campaign has: rename the column if that is meant. It is sent as "
                "it is, and discarded unless the campaign defines it",
            )


# --- keys -------------------------------------------------------------------------------------------------------


@rule("error")
def missing_key(table: Table) -> Iterator[Problem]:
    """A key cell that is missing or blank."""
    for column in table.keys:
        yield from _of_blanks(column, "the key is missing, so no code can be found: fill it in, or drop the row")


def _of_blanks(column: TextColumn, message: str) -> Iterator[Problem]:
    """Report cells that are missing or blank; one that has no text form is told by `no_text`."""
    empty = blank(column)
    empty[list(column.problems)] = False
    rows = np.flatnonzero(empty)
    for row, text in zip(rows.tolist(), column.take(rows), strict=True):
        yield Problem(column.name, message, row, text)


@rule_of_texts("error", lambda table: table.keys, has_blanks)
def key_blanks(text: str) -> Verdict | None:
    """Blanks around a key."""
    bare = text.strip()
    if bare in ("", text):
        return None
    return Verdict(f"{shown(text)} has blanks around it and would match no code: write {shown(bare)}", bare)


def _ids(table: Table) -> list[TextColumn]:
    return [column for column in table.keys if column.name == contract.DEFAULT_KEY]


@rule_of_texts("error", _ids, lambda column: not column.signs <= {"-", "_"})
def key_characters(text: str) -> Verdict | None:
    """A character that no extended_id has; a warning in a GS1 identifier, with which codes may be made all the same."""
    if contract.EXTENDED_ID.fullmatch(text):
        return None
    if _GS1.fullmatch(text.strip()):
        only = f"an extended_id of {contract.EXTENDED_ID_CHARACTERS} only"
        words = f"{shown(text.strip())} is a GS1 identifier, and the documentation knows {only}: it is sent as it is"
        return Verdict(words, severity="warning")
    strange = [shown(character) for character in sorted(set(re.findall(r"[^A-Za-z0-9_-]", text.strip())))]
    allowed = f"an extended_id holds only {contract.EXTENDED_ID_CHARACTERS}"
    return Verdict(f"{shown(text.strip())} holds {' '.join(strange[:5])}, and {allowed}") if strange else None


def _has_odd_lengths(column: TextColumn) -> bool:
    low, high = contract.EXTENDED_ID_LENGTH
    return has_blanks(column) or column.lengths.start < low or column.lengths.stop > high + 1


@rule_of_texts("error", _ids, _has_odd_lengths)
def key_length(text: str) -> Verdict | None:
    """An extended_id that is too short or too long."""
    bare = text.strip()
    low, high = contract.EXTENDED_ID_LENGTH
    if not bare or low <= len(bare) <= high:
        return None
    return Verdict(f"{shown(bare)} has {plural(len(bare), 'character')}, and an extended_id {low} to {high}")


@rule("warning")
def numeric_key(table: Table) -> Iterator[Problem]:
    """A number in a key, where leading zeros or digits may be gone."""
    for column in table.keys:
        restored = f"read_table(..., pad_to={{{column.name!r}: width}}) restores zeros"
        advice = f"leading zeros and digits beyond the 15th may be gone: read the key as text, {restored}"
        dtype = table.frame.dtypes.iloc[list(table.columns).index(column.name)]
        dtype = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
        if isinstance(dtype, pd.StringDtype):
            continue
        if pd.api.types.is_numeric_dtype(dtype):
            if not column.missing.all():
                yield Problem(column.name, f"the key is a column of numbers ({dtype}): {advice}")
            continue
        cells = table.cells(column.name)
        if pd.api.types.infer_dtype(cells, skipna=True) not in ("string", "empty"):
            rows = np.flatnonzero([isinstance(cell, Number) for cell in cells] & ~column.missing)
            for row, value in zip(rows.tolist(), column.take(rows), strict=True):
                yield Problem(column.name, f"the key {value} is a number, not text: {advice}", row, value)


@rule("error")
def no_key_matches(table: Table) -> Iterator[Problem]:
    """Keys of which hardly any is in the inventory: they are probably written otherwise there."""
    found, held = table.unmatched, table.held
    if held is None or found is None or not held.is_blocked(found.keys, found.matched, len(found.padded)):
        return
    few = f"only {found.matched:,}" if found.matched else "none"
    advice = f"compare how the inventory writes them, such as {shown(', '.join(min(held.values, default=())))}"
    if found.padded:
        text, full = found.example
        advice = (
            f"{len(found.padded):,} of {found.keys:,} would match with zeros in front, such as {shown(full)} for "
            f"{shown(text)}: read_table(..., pad_to={{{table.key_name!r}: {len(full)}}}) or findings.fixed(df) writes "
            "them so"
        )
    yield Problem(
        table.key_name,
        f"{few} of {plural(found.keys, 'key value')} is in the inventory of {plural(held.codes, 'code')}; {advice}. "
        "If that is only a part of the codes, plan(..., errors='reject') goes on all the same",
    )


# --- rows of one key --------------------------------------------------------------------------------------------


@rule("info", compares_rows=True)
def duplicate_equal(table: Table) -> Iterator[Problem]:
    """A row that repeats another one: it is merged."""
    rows = table.duplicates.equal
    others = places(table.frame.index, table.duplicates.other[rows])
    for row, text, other in zip(rows.tolist(), table.key_texts(rows), others, strict=True):
        yield Problem(table.key_name, f"{shown(text)} is the same as {other}: merged", row, text)


@rule("error", compares_rows=True)
def duplicate_conflict(table: Table) -> Iterator[Problem]:
    """Rows of one key with different cells, of which only one can count; a warning where `on_conflict` says which."""
    rows = table.duplicates.conflicting
    others = table.duplicates.other[rows]
    advice, severity = "keep one of them, or say on_conflict='last' or 'first'", "error"
    if (which := table.mapping.on_conflict) != "error":
        advice = f"the {which} row counts, whole: a cell that it lacks is not sent (on_conflict)"
        severity = "warning"
    found = zip(
        rows.tolist(), table.key_texts(rows), places(table.frame.index, others), _differences(table, rows, others),
        strict=True,
    )  # fmt: skip
    for row, text, other, differences in found:
        words = f"{shown(text)} is also the key of {other}, with different cells: {differences}; {advice}"
        yield Problem(table.key_name, words, row, text, None, severity)


def _differences(table: Table, rows: Ints, others: Ints) -> list[str]:
    """Name the cells in which rows differ from others, with both values."""
    named: list[list[str]] = [[] for _ in range(len(rows))]
    for column in table.fields.values():
        here, there = column.take(rows), column.take(others)
        for at in np.flatnonzero(column.codes[rows] != column.codes[others]).tolist():
            named[at].append(f"{column.name!r} is {_cell(here[at])} here and {_cell(there[at])} there")
    return [" and ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "") for names in named]


def _cell(text: str | None) -> str:
    return "missing" if text is None else shown(text)


# --- values -----------------------------------------------------------------------------------------------------


@rule("error")
def no_text(table: Table) -> Iterator[Problem]:
    """A cell that has no text form."""
    for column in table.columns.values():
        yield from _of_problems(table, column, rounded=False)


@rule_of_texts("warning", lambda table: table.other_fields, has_blanks)
def surrounding_blanks(text: str) -> Verdict | None:
    """Blanks around a value."""
    bare = text.strip()
    if bare == text:
        return None
    if not bare:
        return Verdict(f"{shown(text)} is blank: leave the cell missing to keep the field, '' clears it")
    return Verdict(f"{shown(text)} has blanks around it: write {shown(bare)}", bare)


@rule_of_texts(
    "warning", lambda table: (*table.keys, *table.other_fields), lambda column: not column.signs.isdisjoint(".+")
)
def numeric_damage(text: str) -> Verdict | None:
    """A text that went through a spreadsheet or a float column: 12.0, 1.2E+05; an error where digits may be lost."""
    bare = text.strip()
    if not ("." in bare or "+" in bare) or not _DAMAGED.fullmatch(bare):
        return None
    digits = bare.removesuffix(".0")
    if digits != bare and len(bare) <= _LONGEST_FLOAT:
        return Verdict(f"{shown(bare)} is a whole number that was a float: write {digits!r}", digits)
    lost = "went through a float or a spreadsheet and may have lost digits: take it from the source"
    return Verdict(f"{shown(bare)} {lost}", severity="error")


@rule("error")
def lost_digits(table: Table) -> Iterator[Problem]:
    """A number whose last digits a spreadsheet or a float has replaced by zeros."""
    for column in table.columns.values():
        yield from _of_problems(table, column, rounded=True)
        if column.name in table.date_fields or column.lengths.stop <= _SHORTEST_LONG:
            continue
        beyond = {i: found[1] for i, text in enumerate(column.texts) if (found := _LONG.fullmatch(text))}
        zeros = [i for i, digits in beyond.items() if not digits.strip("0")]
        # A number of 16 digits ends in 0 by chance one time in ten: where most kept their digits, it is no proof.
        severity = "error" if column.name in table.key and 2 * len(zeros) >= len(beyond) else "warning"
        message = "has only zeros after its 15th digit, as if a spreadsheet had rounded it: compare with the source"
        verdicts = {i: Verdict(f"{shown(column.texts[i])} {message}", None, severity) for i in zeros}
        yield from in_texts(column, verdicts)


def _of_problems(table: Table, column: TextColumn, *, rounded: bool) -> Iterator[Problem]:
    """Report cells without a text: floats so large that digits are lost, or the others.

    They would silently count as missing.
    """
    cells = table.cells(column.name) if column.problems else ()
    for row, problem in column.problems.items():
        cell = cells[row]
        if rounded == (isinstance(cell, float | np.floating) and math.isfinite(cell)):
            yield Problem(column.name, f"{shown(cell)}: {problem}", row, shown(cell))


@rule("warning")
def check_digit(table: Table) -> Iterator[Problem]:
    """A GTIN or an SSCC whose last digit does not follow from the others, in a column of that name or in a GS1 key."""
    ids = _ids(table)
    for column in table.columns.values():
        named = set(re.split(r"[^a-z]+", column.name.lower()))
        lengths = [size for name, sizes in _GS1_LENGTHS.items() if name in named for size in sizes]
        verdicts = {}
        for at, text in enumerate(column.texts) if lengths or (column in ids and "/" in column.signs) else ():
            number = _number_of(text.strip(), lengths)
            if number and number[-1] != (right := _check_digit_of(number[:-1])):
                words = f"{shown(number)} is mistyped somewhere: after its other digits, the last would be {right}"
                verdicts[at] = Verdict(words)
        yield from in_texts(column, verdicts)


def _number_of(text: str, lengths: list[int]) -> str:
    """Return the GTIN or SSCC in a text; empty where there is none."""
    if len(text) in lengths and text.isascii() and text.isdigit():
        return text
    found = _GS1.fullmatch(text) if "/" in text else None
    return "" if found is None else found[1] or found[2]


def _check_digit_of(digits: str) -> str:
    return str(-sum(int(digit) * (3, 1)[at % 2] for at, digit in enumerate(reversed(digits))) % 10)


@rule("warning")
def unmatched_key(table: Table) -> Iterator[Problem]:
    """A key that no code in the inventory has; it may be a part of the codes."""
    found = table.unmatched  # what it has is surer than what a text looks like: its fix comes after the others'
    if found is not None and found.verdicts:
        rows = np.flatnonzero(np.isin(found.groups, list(found.verdicts)))
        for row, text, group in zip(rows.tolist(), table.key_texts(rows), found.groups[rows].tolist(), strict=True):
            message, fix = found.verdicts[group]
            yield Problem(table.key_name, message, row, text, fix)


@rule("error")
def date_format(table: Table) -> Iterator[Problem]:
    """A date that is not written YYYY-MM-DD."""
    return _of_dates(table, "date_format")


@rule("error")
def no_such_date(table: Table) -> Iterator[Problem]:
    """A date that no calendar has."""
    return _of_dates(table, "no_such_date")


def _of_dates(table: Table, rule_of: str) -> Iterator[Problem]:
    for name, found in table.dates.items():
        verdicts = {i: Verdict(message, fix) for i, (broken, message, fix) in found.items() if broken == rule_of}
        yield from in_texts(table.date_fields[name], verdicts)


@rule("warning")
def date_like(table: Table) -> Iterator[Problem]:
    """A column that nobody calls a date, and that holds dates in another format."""
    for column in table.other_fields:
        if table.kind(column.name) is None:
            sample = [text for text in column.texts[:ENOUGH_TO_TELL] if text]
            like = [text for text in sample if is_like_a_date(text)]
            if 2 * len(like) > len(sample):
                advice = f"if it is a date, say fields={{{column.name!r}: 'date', ...}}; SCM dates are YYYY-MM-DD"
                first = f"most values look like dates, the first is {shown(like[0])}"
                yield Problem(column.name, f"{first}: {advice}")


def _called(name: str) -> Callable[[Table], list[TextColumn]]:
    return lambda table: [table.fields[name]] if name in table.fields else []


@rule_of_texts("error", _called("activation_status"))
def activation_status(text: str) -> Verdict | None:
    """A status that there is not."""
    return _judge_choice("activation_status", text, ActivationStatus)


@rule_of_texts("error", _called("blacklist_reason"))
def blacklist_reason(text: str) -> Verdict | None:
    """A reason that there is not."""
    return _judge_choice("blacklist_reason", text, BlacklistReason)


def _judge_choice(name: str, text: str, choices: type[IntEnum]) -> Verdict | None:
    allowed = {str(int(c)): c.name.lower().replace("_", " ") for c in choices}
    if text in allowed:
        return None
    fix = _meant(text, choices)
    listing = ", ".join(f"{number} ({word})" for number, word in allowed.items())
    return Verdict(f"{shown(text)} is no {name}{f', write {fix!r}' if fix else ''}; it takes {listing}", fix)


def _meant(text: str, choices: type[IntEnum]) -> str | None:
    """Return the number that a text means: itself, 1.0, or the word in any spelling."""
    number, word = text.strip().removesuffix(".0"), letters_of(text)
    return next((str(int(c)) for c in choices if number == str(int(c)) or word == letters_of(c.name)), None)


@rule("error")
def unknown_product(table: Table) -> Iterator[Problem]:
    """A product that there is not; a warning where it may be the number of one, which the list does not tell."""
    products, column = table.products, table.fields.get("product")
    if products is None or column is None:
        return
    unknown = {at: text for at, text in enumerate(column.texts) if text not in products}
    verdicts = {}
    for (at, text), near in zip(unknown.items(), _nearest_of(unknown.values(), products), strict=True):
        words = f"there is no product with the SKU {shown(text)}{f' (did you mean {near!r}?)' if near else ''}"
        more = ", unless it is the id of one" if text.isdigit() else f": {plural(len(products), 'product')} are known"
        verdicts[at] = Verdict(words + more, severity="warning" if text.isdigit() else "")
    yield from in_texts(column, verdicts)


def _nearest_of(texts: Iterable[str], known: Collection[str]) -> Iterator[str | None]:
    """Return the known text that is nearest to each of these; beyond `COMPARISONS`, only one of the same letters."""
    alike, left = {letters_of(text): text for text in known}, COMPARISONS
    for text in texts:
        near = alike.get(letters_of(text))
        left -= len(known) if near is None else 0
        yield nearest(text, known) if near is None and left >= 0 else near


@rule("warning")
def other_campaign(table: Table) -> Iterator[Problem]:
    """A product of another campaign than those of most rows: codes that get it move there."""
    products, column = table.products, table.fields.get("product")
    if products is None or column is None:
        return
    known = {text: products[text] for text in column.texts if text in products}
    of_rows = Counter(known[text] for text in column.take() if text in known)
    usual = max(of_rows, key=of_rows.__getitem__, default="")
    moves = f"and those of most rows belong to {usual}: its codes move to the other campaign, unless they are there"
    verdicts = {
        at: Verdict(f"{shown(text)} is a product of campaign {known[text]}, {moves}")
        for at, text in enumerate(column.texts)
        if known.get(text, usual) != usual
    }
    yield from in_texts(column, verdicts)


@rule("error")
def blacklist_combination(table: Table) -> Iterator[Problem]:
    """A reason for blacklisting on a code that is not blacklisted by the same row."""
    reason, status = (table.fields.get(name) for name in ("blacklist_reason", "activation_status"))
    if reason is None:
        return
    with_reason = [i for i, text in enumerate(reason.texts) if _meant(text, BlacklistReason) not in (None, "0")]
    wrong = holding(reason, with_reason)
    if status is not None:
        wrong &= ~holding(status, [i for i, text in enumerate(status.texts) if _meant(text, ActivationStatus) == "2"])
    needed = "a reason other than 0 goes with activation_status 2 in the same row (assumed, not documented)"
    rows = np.flatnonzero(wrong)
    for row, value in zip(rows.tolist(), reason.take(rows), strict=True):
        yield Problem(reason.name, f"{shown(value)}: {needed}", row, value)


@rule("info")
def clears(table: Table) -> Iterator[Problem]:
    """Empty texts, which clear a field."""
    for column in table.fields.values():
        if count := column.cleared():
            words = f"clears {plural(count, 'value')}: '' empties the field, a missing cell keeps it"
            yield Problem(column.name, words)


@rule("warning")
def nothing_to_send(table: Table) -> Iterator[Problem]:
    """A row that has a key and no value."""
    if table.fields:
        empty = np.all([column.missing for column in table.fields.values()], axis=0) & ~table.blank_key
        for column in table.fields.values():
            empty[list(column.problems)] = False
        for row in np.flatnonzero(empty).tolist():
            yield Problem("", "every field is missing: there is nothing to send", row)


# --- what a mapping asks for ------------------------------------------------------------------------------------


@rule("warning")
def new_column(table: Table) -> Iterator[Problem]:
    """A column that the mapping does not know."""
    for name in table.new_columns:
        near = did_you_mean(name, [*table.mapping.in_file().values(), *table.columns])
        yield Problem(name, f"the mapping does not know this column, and it is not sent{near}: add it, or None for it")


@rule("error")
def allowed_value(table: Table) -> Iterator[Problem]:
    """A value that is none of those that the mapping allows."""
    for name, allowed in table.mapping.allowed.items():
        column, right = table.columns[name], set(allowed)
        wrong = {at: text for at, text in enumerate(column.texts) if text not in right}
        is_certain = len(set(map(letters_of, allowed))) == len(allowed)
        listing = ", ".join(map(shown, allowed[:MOST_LISTED])) + (" ..." if len(allowed) > MOST_LISTED else "")
        verdicts = {}
        for (at, text), near in zip(wrong.items(), _nearest_of(wrong.values(), allowed), strict=True):
            fix = near if is_certain and near is not None and letters_of(near) == letters_of(text) else None
            hint = f": write {fix!r}" if fix is not None else "" if near is None else f" (did you mean {near!r}?)"
            verdicts[at] = Verdict(f"{shown(text)} is not allowed{hint}; the mapping allows {listing}", fix)
        yield from in_texts(column, verdicts)


@rule("error")
def pattern(table: Table) -> Iterator[Problem]:
    """A value that is not as the pattern of the mapping says."""
    for name, text in table.mapping.patterns.items():
        column, wanted = table.columns[name], Pattern(text)
        wrong = [at for at, value in enumerate(column.texts) if not wanted.matches(value)]
        words = f"is not as the mapping's pattern {in_a_line(text)[:MOST_SHOWN]} says"
        yield from in_texts(column, {at: Verdict(f"{shown(column.texts[at])} {words}") for at in wrong})


@rule("error")
def required_value(table: Table) -> Iterator[Problem]:
    """A cell that lacks a value, of a field that the mapping requires."""
    for name in table.mapping.required:
        yield from _of_blanks(table.columns[name], "it has no value, and the mapping requires one: fill it in")
