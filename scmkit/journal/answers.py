"""What the service said when it was asked how many codes a key value selects, and when.

The table is made by the first answer: a journal without it is as good as one where nobody was asked.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scmkit.journal.journal import Journal, place

TABLE = (
    "create table if not exists answers (service text, key text, value text, codes integer, cut integer, at real, "
    "primary key (service, key, value)) strict"
)


@dataclass(frozen=True)
class Answer:
    """An answer about a key value; a count that was cut off is a lower bound."""

    value: tuple[str, ...]
    codes: int
    cut: bool
    at: float  # seconds since 1970

    @property
    def age_s(self) -> float:
        """How old it is; one from the future, since somebody set the clock, is older than any."""
        age = time.time() - self.at
        return age if age >= 0 else float("inf")


def remember(
    service: str,
    key: Sequence[str],
    answers: Iterable[tuple[Sequence[str], int, bool]],
    path: str | os.PathLike[str] | None,
) -> None:
    """Note answers (key value, codes, whether the count was cut off), each in the place of an older one."""
    name, now = json.dumps(list(key)), time.time()
    with Journal(path) as book, book.transaction():
        book.db.execute(TABLE)
        book.db.executemany(
            "insert or replace into answers values (?, ?, ?, ?, ?, ?)",
            [(service, name, json.dumps(list(value)), codes, cut, now) for value, codes, cut in answers],
        )


def remembered(service: str, key: Sequence[str], path: str | os.PathLike[str] | None) -> list[Answer]:
    """Return what a service has said about a key; nothing where there is no journal yet."""
    if not place(path).exists():
        return []
    with Journal(path) as book:
        if not book.query("select 1 from sqlite_master where name = 'answers'"):
            return []
        sql = "select value, codes, cut, at from answers where service = ? and key = ?"
        found = book.query(sql, service, json.dumps(list(key)))
    return [Answer(tuple(json.loads(value)), codes, bool(cut), at) for value, codes, cut, at in found]
