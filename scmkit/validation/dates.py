"""Dates that are not ``YYYY-MM-DD``: which form was meant, decided from the whole column."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping

from scmkit.core.display import shown
from scmkit.core.texts import TextColumn

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"((?:{'|'.join(_MONTHS)})[a-z]*)\.?"
_TIME = re.compile(
    r"(?:T|,? )\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?$", re.ASCII
)
_SERIAL, _PACKED = "the day number of a spreadsheet", "YYYYMMDD"
_LONGEST_DATE = 50
_SERIALS = range(30_000, 60_001)  # 1982 to 2064
_DAY_ZERO = dt.date(1899, 12, 30)  # day numbers count from here
_SHAPES = tuple(
    (re.compile(pattern, re.ASCII | re.IGNORECASE), readings)
    for pattern, readings in (
        (r"(\d{4})-(\d{2})-(\d{2})", {"YYYY-MM-DD": "ymd"}),
        (r"(\d{4})-(\d{1,2})-(\d{1,2})", {"YYYY-M-D": "ymd"}),
        (r"(\d{4})/(\d{1,2})/(\d{1,2})", {"YYYY/MM/DD": "ymd"}),
        (r"(\d{4})\.(\d{1,2})\.(\d{1,2})", {"YYYY.MM.DD": "ymd"}),
        (r"((?:19|20)\d{2})(\d{2})(\d{2})", {_PACKED: "ymd"}),
        (r"(\d{1,2})/(\d{1,2})/(\d{4})", {"DD/MM/YYYY": "dmy", "MM/DD/YYYY": "mdy"}),
        (r"(\d{1,2})-(\d{1,2})-(\d{4})", {"DD-MM-YYYY": "dmy", "MM-DD-YYYY": "mdy"}),
        (r"(\d{1,2})\.(\d{1,2})\.(\d{4})", {"DD.MM.YYYY": "dmy"}),
        (rf"(\d{{1,2}})(?:st|nd|rd|th|\.)?[ /-]?{_MONTH},?[ /-]?(\d{{4}})", {"D Month YYYY": "dmy"}),
        (rf"{_MONTH} ?(\d{{1,2}})(?:st|nd|rd|th)?,? ?(\d{{4}})", {"Month D, YYYY": "mdy"}),
    )
)


def is_date_by_name(name: str) -> bool:
    """Whether a field is taken for a date where nobody says."""
    return "date" in re.split(r"[^a-z]+", name.lower())


def judge_dates(column: TextColumn) -> dict[int, tuple[str, str, str | None]]:
    """Return rule, message and fix for each text, told by its position, that is wrong in a column of dates.

    Which order of day and month is meant is decided from the whole column.
    """
    wrong = {i: _readings(text) for i, text in enumerate(column.texts) if text and not _is_iso(text)}
    ambiguous = [{name for name, day in each.items() if day is not None} for each in wrong.values() if len(each) == 2]
    orders = {name for real in ambiguous if len(real) == 1 for name in real}  # one that is no date one way shows it
    return {i: _judge_date(column.texts[i], readings, orders) for i, readings in wrong.items()}


def _judge_date(text: str, readings: Mapping[str, dt.date | None], orders: set[str]) -> tuple[str, str, str | None]:
    """Return rule, message and fix for a text that is no ISO date."""
    real = {name: day for name, day in readings.items() if day is not None}
    if not readings:
        return "date_format", f"{shown(text)} is no date that we can read: SCM dates are YYYY-MM-DD", None
    if not real:
        return "no_such_date", f"{shown(text)} is a date that does not exist, read as {' or '.join(readings)}", None
    likely = [name for name in real if len(real) == 1 or name in orders]
    if len(likely) == 1 or len(set(real.values())) == 1:
        name = likely[0] if len(likely) == 1 else next(iter(real))
        day = str(real[name])
        return (
            "date_format",
            f"{shown(text)} is {name}{_beside(text)}, and SCM dates are YYYY-MM-DD: write {day!r}",
            day,
        )
    choice = " or ".join(f"'{day}' ({name})" for name, day in real.items())
    why = "the column holds both orders" if likely else "nothing in the column says which"
    return "date_format", f"{shown(text)} can be {choice}, and {why}: SCM dates are YYYY-MM-DD", None


def _beside(text: str) -> str:
    """Say what stands beside a date."""
    return " with a time" if _TIME.search(text.strip()) else " with blanks around it" if text != text.strip() else ""


def _readings(text: str) -> dict[str, dt.date | None]:
    """Return each format that a text may be in, with the day that it then means, None where that does not exist."""
    if len(text) > _LONGEST_DATE:
        return {}
    bare = _TIME.sub("", text.strip())
    for shape, readings in _SHAPES:
        if found := shape.fullmatch(bare):
            return {name: _day(dict(zip(order, found.groups(), strict=True))) for name, order in readings.items()}
    serial = re.fullmatch(r"(\d{5})(?:\.\d+)?", bare, re.ASCII)
    if serial and int(serial[1]) in _SERIALS:
        return {_SERIAL: _DAY_ZERO + dt.timedelta(days=int(serial[1]))}
    return {}


def _day(parts: Mapping[str, str]) -> dt.date | None:
    month = parts["m"]
    number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
    try:
        return dt.date(int(parts["y"]), number, int(parts["d"]))
    except ValueError:
        return None


def _is_iso(text: str) -> bool:
    """Whether a text is a real date, YYYY-MM-DD."""
    return len(text) == 10 and _readings(text).get("YYYY-MM-DD") is not None


def is_like_a_date(text: str) -> bool:
    """Whether a text looks like a date in another form, beyond what a plain number does."""
    readings = {} if _is_iso(text) else _readings(text)
    return any(readings.values()) and not {_SERIAL, _PACKED} & set(readings)
