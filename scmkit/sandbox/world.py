"""The sandbox's state: codes, their SCM fields and the tasks, in SQLite. Knows the rules, but no HTTP.

Written from the wire contract and from nothing else in scmkit, so that a contract misread there does not cancel
itself out here.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import sqlite3
import threading
import uuid
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scmkit.core.errors import ConfigurationError, did_you_mean

# The columns of a code download; one column per SCM field follows them [doc].
CODE_COLUMNS = (
    "extended_id", "serial_number", "brand", "product", "sku", "status", "blacklist_reason",
    "scm_updated_by", "scm_updated_at", "activated_by", "activated_at", "workorder_id",
)  # fmt: skip
# The fields that every campaign has, and the column that holds them [doc; the column of the status is assumed].
SPECIAL_FIELDS = {"product": "product", "activation_status": "status", "blacklist_reason": "blacklist_reason"}
KEYS = ("extended_id", "serial_number", "product")  # and every SCM field [doc]
WHO = "sandbox@example.com"

_ONE_OF = {"workorder": "workorder_id", "status": "status", "serial_number": "serial_number"}
_ANY_OF = {"extended_id": ("extended_id",), "products": ("product", "sku"), "brands": ("brand",)}

Row = tuple[str | None, ...]


class UnreadableError(Exception):
    """What was sent cannot be read; ``body`` says why, as the service would."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(str(body))
        self.body = dict(body)


@dataclass(frozen=True)
class SyncUpload:
    """A sync body: for each item the value of the key, and the fields to set."""

    key: str
    items: tuple[tuple[str, dict[str, str]], ...]

    @property
    def size(self) -> int:
        """How many items were sent."""
        return len(self.items)

    def merged(self) -> dict[str, dict[str, str]]:
        """Return the fields per key value; of two items with one key value, the later wins field by field."""
        fields: dict[str, dict[str, str]] = {}
        for value, data in self.items:
            fields.setdefault(value, {}).update(data)
        return fields


@dataclass(frozen=True)
class AsyncUpload:
    """An async body: constraints that select codes (all must hold), and the fields that all of them get."""

    constraints: dict[str, list[str]]
    data: dict[str, str]

    @property
    def size(self) -> int:
        """How many key values were sent."""
        return sum(map(len, self.constraints.values()))


@dataclass(frozen=True)
class Selection:
    """A condition on codes as SQL, with its values."""

    sql: str = "1"
    values: tuple[Any, ...] = ()


class World:
    """Codes, fields and tasks, for as long as the process lives.

    Parameters
    ----------
    fields : sequence of str
        The SCM fields that the campaign defines.
    columns : sequence of str
        What the rows hold: ``extended_id`` and any other column of a download.
    rows : iterable
        A line per code, text or None.

    Raises
    ------
    ConfigurationError
        Fields or codes cannot be used.
    """

    def __init__(self, fields: Sequence[str], columns: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
        self._lock = threading.RLock()  # the server's thread and the notebook's share one connection
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.create_function("instant", 1, _instant, deterministic=True)
        self._define(fields)
        self._load(columns, rows)

    @property
    def fields(self) -> tuple[str, ...]:
        """The SCM fields that the campaign defines."""
        return self.columns[len(CODE_COLUMNS) :]

    @property
    def keys(self) -> tuple[str, ...]:
        """What codes can be selected by."""
        return KEYS + self.fields

    def read_sync(self, body: Mapping[str, Any]) -> SyncUpload:
        """Read a sync body; positions of items in a 400 count from 0."""
        _members(body, ("items",), ("data_key",))
        key = self._key("data_key", body.get("data_key", "extended_id"))
        items = body["items"]
        if not isinstance(items, list) or not items:
            raise UnreadableError({"items": ["Must be a list of one or more objects."]})
        read = [_item(key, item) for item in items]
        if wrong := {str(i): problems for i, (*_, problems) in enumerate(read) if problems}:
            raise UnreadableError({"items": wrong})
        return SyncUpload(key, tuple((value, data) for value, data, _ in read))

    def read_async(self, body: Mapping[str, Any]) -> AsyncUpload:
        """Read an async body."""
        _members(body, ("constraints", "scm_data"))
        for name in ("constraints", "scm_data"):
            if not isinstance(body[name], dict) or not body[name]:
                raise UnreadableError({name: ["Must be an object with at least one member."]})
        data, problems = _texts(body["scm_data"])
        if problems:
            raise UnreadableError({"scm_data": problems})
        return AsyncUpload(
            {self._key("constraints", name): _values(name, value) for name, value in body["constraints"].items()}, data
        )

    def count(self, upload: SyncUpload | AsyncUpload) -> int:
        """Count the codes that an upload would change as things are now."""
        if isinstance(upload, AsyncUpload):
            return self._count(self._selected(upload.constraints)) if self._stored(upload.data) else 0
        values = [value for value, data in upload.merged().items() if self._stored(data)]
        return self._count(self._selected({upload.key: values})) if values else 0

    def update(self, upload: SyncUpload) -> dict[str, Any]:
        """Apply a sync upload, all of it or nothing, and give the answer."""
        found: dict[str, tuple[int, list[str]]] = {}
        with self._transaction():
            for value, data in upload.merged().items():
                codes, names = self._store(self._selected({upload.key: [value]}), data)
                if codes:
                    found[value] = codes, names
        matching = [value for value, _ in upload.items if value in found]
        return {
            "total_updates": len(matching),
            "codes_affected": sum(codes for codes, names in found.values() if names),
            "changes": [{upload.key: value, "codes": found[value][0]} for value in matching],
            "items": {value: names for value, (_, names) in found.items()},
        }

    def add_task(self, upload: AsyncUpload) -> str:
        """Store an async upload to be worked on, and give the id of its task."""
        task_id = str(uuid.uuid4())
        body = json.dumps({"constraints": upload.constraints, "scm_data": upload.data})
        self._change(
            "INSERT INTO tasks (id, body, state, created_at) VALUES (?, ?, 'pending', ?)", task_id, body, _now()
        )
        return task_id

    def unfinished_tasks(self) -> list[str]:
        """Return the tasks that are to be worked on, first come first; those that had begun are pending again."""
        unfinished = "state IN ('pending', 'in-progress')"
        self._change(f"UPDATE tasks SET state = 'pending', started_at = NULL WHERE {unfinished}")  # noqa: S608
        return [row[0] for row in self._all(f"SELECT id FROM tasks WHERE {unfinished} ORDER BY number")]  # noqa: S608

    def begin_task(self, task_id: str) -> AsyncUpload:
        """Mark a task as in progress and give what it is to do."""
        self._change("UPDATE tasks SET state = 'in-progress', started_at = ? WHERE id = ?", _now(), task_id)
        body = json.loads(self._one("SELECT body FROM tasks WHERE id = ?", task_id))
        return AsyncUpload(body["constraints"], body["scm_data"])

    def complete_task(self, task_id: str, upload: AsyncUpload) -> int:
        """Apply a task and mark it as complete, in one transaction; give the codes affected."""
        with self._transaction() as db:
            codes, names = self._store(self._selected(upload.constraints), upload.data)
            affected = codes if names else 0
            db.execute(
                "UPDATE tasks SET state = 'complete', codes_affected = ?, completed_at = ? WHERE id = ?",
                (affected, _now(), task_id),
            )
        return affected

    def fail_task(self, task_id: str) -> None:
        """Mark a task as failed; it has changed nothing."""
        self._change("UPDATE tasks SET state = 'failed', completed_at = ? WHERE id = ?", _now(), task_id)

    def task(self, task_id: str) -> dict[str, Any] | None:
        """Return a task as the service shows it, or None."""
        names = ("number", "id", "state", "codes_affected", "created_at", "started_at", "completed_at")
        rows = self._all(f"SELECT {', '.join(names)} FROM tasks WHERE id = ?", task_id)  # noqa: S608 - names above
        if not rows:
            return None
        shown = dict(zip(names, rows[0], strict=True))
        return shown | {"reference": f"scm-{shown.pop('number')}", "created_by": WHO}

    def select(self, filters: Iterable[tuple[str, str]]) -> Selection:
        """Read the filters of a code download; a filter that is unknown or unreadable is a 400."""
        conditions: list[Selection] = []
        seen: dict[str, list[str]] = {}
        for name, text in filters:
            seen.setdefault(name, []).append(text)
        for name, texts in seen.items():
            if len(texts) > 1 and name not in _ANY_OF:
                raise _unreadable(name, "is given more than once")
            conditions.append(self._filter(name, ",".join(texts)))
        return _all_of(conditions)

    def rows(self, selection: Selection = Selection()) -> list[Row]:
        """Return the selected codes, a tuple in the order of ``columns`` each; None where nothing is set."""
        names = ", ".join(map(self._column, self.columns))
        return self._all(
            f"SELECT {names} FROM codes WHERE {selection.sql} ORDER BY number",  # noqa: S608 - c0, c1, ...
            *selection.values,
        )

    def csv(self, selection: Selection = Selection()) -> bytes:
        """Return the selected codes as the service's CSV."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows(selection))
        return text.getvalue().encode()

    def __len__(self) -> int:
        return self._count(Selection())

    def _define(self, fields: Sequence[str]) -> None:
        names = [name for name in fields if name not in SPECIAL_FIELDS]
        if wrong := [name for name in names if name in CODE_COLUMNS or not name]:
            raise ConfigurationError(f"{wrong[0]!r} cannot be an SCM field: it is a column of every code, or blank")
        if len(set(names)) < len(names):
            raise ConfigurationError("an SCM field is named twice")
        self.columns = CODE_COLUMNS + tuple(names)
        # Field names are free text, and SQLite's column names know no case: columns go by their position.
        self._columns = {name: f"c{i}" for i, name in enumerate(self.columns)}
        self._storable = {name: self._columns[name] for name in names}
        self._storable |= {name: self._columns[column] for name, column in SPECIAL_FIELDS.items()}

    def _load(self, columns: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
        types = ", ".join(f"{self._column(name)} TEXT" for name in self.columns[1:])
        names, marks = ", ".join(map(self._column, columns)), ", ".join("?" * len(columns))
        with self._transaction() as db:
            db.execute(
                "CREATE TABLE tasks (number INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT, state TEXT,"
                " codes_affected INTEGER, created_at TEXT, started_at TEXT, completed_at TEXT)"
            )
            db.execute(f"CREATE TABLE codes (number INTEGER PRIMARY KEY, c0 TEXT UNIQUE NOT NULL, {types})")
            try:
                db.executemany(f"INSERT INTO codes ({names}) VALUES ({marks})", rows)  # noqa: S608 - c0, c1, ...
            except sqlite3.IntegrityError:
                raise ConfigurationError("an extended_id is missing, or is there more than once") from None
            for column in map(self._column, self.keys[1:]):
                db.execute(f"CREATE INDEX by_{column} ON codes ({column}) WHERE {column} IS NOT NULL")

    def _column(self, name: str) -> str:
        return self._columns[name]

    def _key(self, member: str, name: object) -> str:
        if isinstance(name, str) and name in self.keys:
            return name
        hint = did_you_mean(str(name), self.keys)
        raise UnreadableError({member: [f"{name!r} does not select codes{hint}; use one of {', '.join(self.keys)}."]})

    def _stored(self, data: Mapping[str, str]) -> dict[str, str]:
        """Return the column of each field that the campaign has; the others are discarded without a word."""
        return {name: self._storable[name] for name in data if name in self._storable}

    def _store(self, selection: Selection, data: Mapping[str, str]) -> tuple[int, list[str]]:
        """Set fields on the selected codes; gives how many they are, and the names of what was stored."""
        columns = self._stored(data)
        if not columns:
            return self._count(selection), []
        stamp = {self._column("scm_updated_at"): _now(), self._column("scm_updated_by"): WHO}
        cells = {column: data[name] or None for name, column in columns.items()} | stamp
        changes = ", ".join(f"{column} = ?" for column in cells)
        sql = f"UPDATE codes SET {changes} WHERE {selection.sql}"  # noqa: S608 - c0, c1, ...
        return self._db.execute(sql, (*cells.values(), *selection.values)).rowcount, list(columns)

    def _selected(self, constraints: Mapping[str, Sequence[str]]) -> Selection:
        return _all_of([_in([self._column(name)], values) for name, values in constraints.items()])

    def products(self, sku: str | None, limit: int, offset: int) -> tuple[int, list[dict[str, Any]]]:
        """Count the products, and list some of them with their codes; a sandbox has one campaign."""
        product, number, status = (self._column(name) for name in ("product", "sku", "status"))
        named = f"coalesce(nullif({number}, ''), {product})"
        grouped = (
            f"SELECT {named} AS sku, max({product}), count(*), sum({status} = '1'), sum({status} = '2') FROM codes "  # noqa: S608 - c0, c1, ...
            f"WHERE {named} <> '' AND (? IS NULL OR {named} = ?) GROUP BY 1 ORDER BY 1"
        )
        found = self._all(grouped, sku, sku)
        campaign = {"id": 1, "name": "Sandbox"}
        return len(found), [
            {"sku": sku, "name": name, "code_count": codes, "active_code_count": active or 0,
             "blacklisted_code_count": blacklisted or 0, "campaign": campaign}
            for sku, name, codes, active, blacklisted in found[offset : offset + limit]
        ]  # fmt: skip

    def _filter(self, name: str, text: str) -> Selection:
        if not text.strip(","):
            raise _unreadable(name, "needs a value")
        if name in _ANY_OF:
            return _in([self._column(column) for column in _ANY_OF[name]], [part for part in text.split(",") if part])
        if name in _ONE_OF:
            return _in([self._column(_ONE_OF[name])], [text])
        if name.startswith("scm_") and name[4:] in self.fields:
            return _in([self._column(name[4:])], [text])
        if name == "updated_at":
            return Selection(f"instant({self._column('scm_updated_at')}) BETWEEN ? AND ?", _period(text))
        if name == "campaign" and text.isdecimal():
            return Selection()  # a sandbox has one campaign, whatever its number
        if name == "campaign":
            raise _unreadable(name, "must be a whole number")
        known = [*_ANY_OF, *_ONE_OF, "updated_at", "campaign", *(f"scm_{field}" for field in self.fields)]
        raise _unreadable(name, f"is not a filter{did_you_mean(name, known)}")

    def _count(self, selection: Selection) -> int:
        sql = f"SELECT count(*) FROM codes WHERE {selection.sql}"  # noqa: S608 - c0, c1, ...
        return int(self._one(sql, *selection.values))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _change(self, sql: str, *values: Any) -> None:
        with self._transaction() as db:
            db.execute(sql, values)

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: Any) -> Any:
        return self._all(sql, *values)[0][0]


def _members(body: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str] = ()) -> None:
    for name in needed:
        if name not in body:
            raise UnreadableError({name: ["This field is required."]})
    for name in body:
        if name not in (*needed, *optional):
            known = (*needed, *optional)
            words = f"The member {name!r} is not known{did_you_mean(name, known)}; a body has {', '.join(known)}."
            raise UnreadableError({"detail": words})


def _item(key: str, item: object) -> tuple[str, dict[str, str], list[str]]:
    """Return the key's value, the fields, and what is wrong with an item."""
    if not isinstance(item, dict):
        return "", {}, [f"Must be an object, not {_kind(item)}."]
    data, problems = _texts(item)
    value = data.pop(key, "")
    if not value and not problems:
        problems = [f"{key!r}: the key must be there and must not be blank."]
    return value, data, problems


def _texts(members: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    texts: dict[str, str] = {}
    problems: list[str] = []
    for name, value in members.items():
        if wrong := _problem(value):
            problems.append(f"{name!r}: {wrong}")
        else:
            texts[name] = str(value)
    return texts, problems


def _values(name: str, value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    wrong = [problem for v in values if (problem := _problem(v) or ("must not be blank." if v == "" else ""))]
    if wrong or not values:
        problem = wrong[0] if wrong else "an empty list selects nothing."
        raise UnreadableError({"constraints": [f"{name!r}: {problem}"]})
    return [str(v) for v in values]


def _problem(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return f"must be a text or a whole number, not {_kind(value)}."
    text = str(value)
    if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        return "holds a character that cannot be stored (NUL or half of a surrogate pair)."
    return ""


def _kind(value: object) -> str:
    words = {"NoneType": "null", "bool": "a truth value", "float": "a decimal number", "str": "a text"}
    return words.get(type(value).__name__, f"a {type(value).__name__}")


def _in(columns: Sequence[str], values: Sequence[str]) -> Selection:
    """Select the codes of which one of these columns holds one of these values."""
    if len(values) == 1:
        return Selection("(" + " OR ".join(f"{c} = ?" for c in columns) + ")", (values[0],) * len(columns))
    parts = [f"{c} IN (SELECT value FROM json_each(?))" for c in columns]  # noqa: S608 - c0, c1, ...
    return Selection("(" + " OR ".join(parts) + ")", (json.dumps(values),) * len(columns))


def _all_of(conditions: Sequence[Selection]) -> Selection:
    if not conditions:
        return Selection()
    return Selection(" AND ".join(c.sql for c in conditions), tuple(v for c in conditions for v in c.values))


def _unreadable(name: str, words: str) -> UnreadableError:
    return UnreadableError({"detail": f"The filter {name!r} {words}."})


def _period(text: str) -> tuple[float, float]:
    first, comma, last = text.partition(",")
    start, end = _instant(first), _instant(last)
    if not comma or start is None or end is None:
        raise _unreadable("updated_at", "must be two ISO dates or times, as in 2026-11-01,2026-11-23")
    return start, end + (86_400 - 1e-6 if _is_date(last) else 0.0)


def _instant(text: str | None) -> float | None:
    """Return an ISO date or time as seconds; without a zone it is UTC."""
    try:
        at = dt.datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp()


def _is_date(text: str) -> bool:
    try:
        return bool(dt.date.fromisoformat(text))
    except ValueError:
        return False


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
