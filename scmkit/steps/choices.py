"""What somebody has chosen so far on the way to an upload, and what follows from it. No widgets here.

`Choices` is everything that was chosen; `prepared` makes of it the table that is sent, `options` how it is planned, and
`python` the lines that do the same without a panel.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.display import duration, plural, shown
from scmkit.core.errors import TableError, letters_of, nearest
from scmkit.core.lines import lines_of, numbered
from scmkit.core.texts import ours, repeated, text_column
from scmkit.tables.reading import FORMATS, read_table
from scmkit.tables.writing import NOTES, with_notes
from scmkit.validation.dates import is_date_by_name, is_like_a_date
from scmkit.validation.findings import Findings
from scmkit.validation.mapping import READY_FIXES
from scmkit.validation.mapping import Mapping as TableMapping
from scmkit.validation.validate import validate

if TYPE_CHECKING:
    from scmkit.planning.plan import Plan
    from scmkit.wire.client import Client

KEYS = ("extended_id", "serial_number")
SUFFIXES = tuple(FORMATS)
LOGISTIC_WORDS = {"pallet", "pallets", "carton", "case", "crate", "container", "box", "sscc", "shipper", "logistic"}
LOOKED_AT = 1_000  # rows that show what a column holds
CLOSE = 0.75  # how much alike two names are, from 0 to 1, before one is suggested for the other
MOST_FILES = 100
LONGEST_WHO = 100  # characters of the name of an account
_NO_FIELD = "the campaign has no such field"
CHOSEN = "chosen here"  # why a column is sent as what it is
MAPPED, NEW = "as the mapping says", "new: the mapping does not know it"
SANDBOX_CODES = 60_000  # of which the samples of the repository are a part
SANDBOX_SPEED = 30  # a minute of the service's clock is two seconds

# Fixes that lose nothing: what each button is called, and the rules whose findings it mends. Equal duplicates need no
# fix: the plan merges them, and says so of each row.
FIXES: dict[str, tuple[str, ...]] = {
    "dates": ("date_format",),
    "blanks": ("surrounding_blanks", "key_blanks"),
    "damaged numbers": ("numeric_damage",),
    "zeros in front of keys": ("unmatched_key",),
    "words for numbers": ("activation_status", "blacklist_reason"),
    "spellings": ("allowed_value",),
}


# --- tables to choose -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Source:
    """A table, and how Python gets it.

    Attributes
    ----------
    name : str
        What it is called on the surface.
    python : str
        An expression that gives it.
    frame : DataFrame, optional
        The table itself, or None as long as a file has not been read.
    path : Path, optional
        The file.
    size, written : int
        Its bytes, and when it was written.
    """

    name: str
    python: str
    frame: pd.DataFrame | None = None
    path: Path | None = None
    size: int = 0
    written: int = 0

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes two sources the same: the same DataFrame, or the same state of the same file."""
        return (id(self.frame),) if self.path is None else (self.path, self.size, self.written)

    @property
    def label(self) -> str:
        """The name and the size."""
        if self.frame is not None:
            return f"{self.name} ({size_of(self.frame)})"
        return f"{self.name} (file, {self.size / 1e6:,.2f} MB)"

    @property
    def table(self) -> pd.DataFrame:
        """The table of a source that has been opened."""
        assert self.frame is not None  # noqa: S101 - `opened` came before
        return self.frame

    def opened(self, max_mb: float) -> Source:
        """Read the file, unless that has been done."""
        if self.frame is not None or self.path is None:
            return self
        check_size(self.name, self.path.stat().st_size, max_mb)
        return replace(self, frame=read_table(self.path))


def check_size(name: str, size: int, max_mb: float) -> None:
    """Refuse a file that is larger than the panel takes."""
    if size > max_mb * 1e6:
        raise TableError(
            f"{name} has {size / 1e6:,.1f} MB, and this panel takes {max_mb:g}: read it with scmkit.read_table and "
            "choose the DataFrame, or make the panel with a larger max_mb="
        )


def size_of(frame: pd.DataFrame) -> str:
    """Say how large a table is."""
    return f"{plural(len(frame), 'row')}, {plural(frame.shape[1], 'column')}"


def frames_in(namespace: Mapping[str, Any]) -> list[Source]:
    """Find the DataFrames of a notebook."""
    names = [name for name, value in list(namespace.items()) if isinstance(value, pd.DataFrame) and _is_public(name)]
    return [Source(name, name, namespace[name]) for name in names]


def _is_public(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("_")


def files_in(folder: Path) -> list[Source]:
    """Find the tables in a folder."""
    paths = sorted(p for p in folder.iterdir() if p.name.lower().endswith(SUFFIXES) and p.is_file())
    return [file_source(path) for path in paths[:MOST_FILES]]


def file_source(path: Path) -> Source:
    """Return a file as a source."""
    told = path.stat()
    return Source(path.name, f"scmkit.read_table({path.name!r})", None, path, told.st_size, told.st_mtime_ns)


# --- where it is sent -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Service:
    """A client, what to call its service, and how Python gets it.

    Attributes
    ----------
    setup : tuple of str
        Lines before.
    who : str
        Whose account it is, as the service said.
    """

    client: Client
    python: str
    setup: tuple[str, ...] = ()
    sandbox: bool = False
    who: str = ""

    @classmethod
    def of_account(cls, client: Client) -> Service:
        """Ask the service who the client's token belongs to."""
        told = client.me()
        who = next((str(told[name]) for name in ("email", "username", "name") if told.get(name)), "")
        made = f"client = scmkit.Client({client.base_url!r})  # its token: from SCANTRUST_UAT_TOKEN, or asked for"
        return cls(client, "client", (made,), who=who[:LONGEST_WHO])

    @property
    def is_production(self) -> bool:
        """Whether real codes of real products are changed."""
        return self.client.base_url == contract.PRODUCTION_URL

    @property
    def words(self) -> str:
        """What is written to, by name and host."""
        kinds = {contract.PRODUCTION_URL: "PRODUCTION", contract.STAGING_URL: "staging"}
        host = urlsplit(self.client.base_url).netloc
        kind = "the built-in sandbox" if self.sandbox else kinds.get(self.client.base_url)
        return f"{kind} ({host})" if kind else host


# --- what has been chosen ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """A column of the table, and what it is sent as.

    Attributes
    ----------
    name : str
    field : str or None
        The key's or SCM field's name; None when it is not sent.
    kind : str
        ``text``, ``date`` or ``logistic_unit``.
    why : str
        Where the name comes from.
    told : bool
        Whether somebody chose the kind.
    """

    name: str
    field: str | None
    kind: str = "text"
    why: str = ""
    examples: tuple[str, ...] = ()
    told: bool = False


@dataclass(frozen=True)
class Choices:
    """Everything that has been chosen.

    Attributes
    ----------
    codes : Source or None
        The inventory.
    key : str
        The column that selects codes; empty before there is a table.
    fixes : tuple of str
        Rules whose ready fixes are applied, one after the other.
    base : Mapping or None
        What was chosen before, for a table like this one: it says, too, what must hold of values.
    leave_out : bool
        Whether the other rows may be sent when some have errors.
    service : str
        The base URL, for what earlier calls to it have taught.
    asks : bool
        Whether the service is asked how many codes key values select, where no inventory tells.
    editing, naming, rule, asks_account, shows_python
        What is looked at, which changes nothing of what is sent: the column that is being changed, and whether its
        name is typed; the rule whose findings are shown; whether an account can be given, and the code be read.
    """

    table: Source | None = None
    codes: Source | None = None
    key: str = ""
    columns: tuple[Column, ...] = ()
    fixes: tuple[str, ...] = ()
    on_conflict: str = "error"
    base: TableMapping | None = None
    leave_out: bool = False
    mode: str = "auto"
    risk: float = 0.01
    service: str = ""
    asks: bool = False
    editing: str = field(default="", compare=False)
    naming: bool = field(default=False, compare=False)
    rule: str = field(default="", compare=False)
    asks_account: bool = field(default=False, compare=False)
    shows_python: bool = field(default=False, compare=False)

    @property
    def frame(self) -> pd.DataFrame:
        """The table itself; an empty one as long as none is chosen."""
        return pd.DataFrame() if self.table is None else self.table.table

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(c.name for c in self.columns)

    @property
    def sent(self) -> dict[str, Column]:
        """The columns that are sent, under their own names; the key is one of them."""
        return {c.name: c for c in self.columns if c.field is not None}

    @property
    def unknown(self) -> list[str]:
        """The columns that are not sent because nobody knows a field for them; a name may be misspelt."""
        return [c.name for c in self.columns if c.field is None and c.why.startswith(_NO_FIELD)]

    @property
    def key_field(self) -> str:
        """What the key is sent as."""
        return next((c.field for c in self.columns if c.name == self.key and c.field), self.key)

    def column(self, name: str) -> Column | None:
        """Find a column."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def edited(self) -> Column:
        """The column that is being changed; one without a name as long as there is no table."""
        return self.column(self.editing) or Column("", None)

    def with_column(self, changed: Column) -> Choices:
        """Choose otherwise for one column."""
        columns = tuple(changed if c.name == changed.name else c for c in self.columns)
        return replace(self, columns=columns, naming=False)

    def with_edited(self, **changed: Any) -> Choices:
        """Choose otherwise for the column that is being changed."""
        return self.with_column(replace(self.edited, **changed))

    def with_fixes(self, *names: str) -> Choices:
        """Apply ready fixes, too, by the names of `FIXES`."""
        return replace(self, fixes=(*self.fixes, *(rule for name in names for rule in FIXES[name])))

    def with_key(self, name: str) -> Choices:
        """Choose the key; it is always sent. Fixes start anew: some are about keys."""
        if name == self.key:
            return self
        column = self.column(name)
        if column is not None and column.field is None:
            self = self.with_column(replace(column, field=name, why="the key"))
        return replace(self, key=name, fixes=(), leave_out=False)

    def with_table(self, table: Source | None) -> Choices:
        """Begin with a table, or without one: key, fields and types are suggested."""
        columns = () if table is None else suggest(table.table, fields_of(self.codes))
        first = columns[0].name if columns else ""
        begun = replace(
            self, table=table, columns=columns, key="", fixes=(), leave_out=False, editing=first, naming=False, rule=""
        )
        return begun.with_key(likely_key(columns))._as_before()

    def _as_before(self) -> Choices:
        """Choose for a new table what a mapping says."""
        base = self.base
        if base is None or self.table is None:
            return self
        base.sent(self.frame)  # raises where columns are missing
        columns = tuple(_mapped(column, base) for column in self.columns)
        key = next((c.name for c in columns if c.field == base.keys[0]), self.key)
        chosen = replace(self, columns=columns).with_key(key)
        return replace(chosen, fixes=tuple(base.fixes), on_conflict=base.on_conflict)

    def with_codes(self, codes: Source | None) -> Choices:
        """Choose an inventory. Its fields are suggested anew, except where somebody has chosen."""
        if self.table is None:
            return replace(self, codes=codes)
        suggested = suggest(self.table.table, fields_of(codes))
        columns = tuple(
            old if old.why in (CHOSEN, MAPPED, NEW) else new for old, new in zip(self.columns, suggested, strict=True)
        )
        again = replace(self, codes=codes, columns=columns, key="").with_key(self.key)
        return replace(again, fixes=self.fixes, leave_out=self.leave_out)

    @property
    def basis(self) -> Choices:
        """The part of it that findings depend on."""
        return replace(self, mode="auto", risk=0.01, leave_out=False, service="", asks=False)


def fields_of(codes: Source | None) -> list[str] | None:
    """Return the SCM fields of an inventory; None where it does not tell."""
    if codes is None or contract.DEFAULT_KEY not in codes.table.columns:
        return None
    return [str(c) for c in codes.table.columns if str(c) not in contract.CODE_COLUMNS]


def trouble(chosen: Choices) -> str:
    """Say in a sentence why this cannot be checked yet; empty when it can."""
    if chosen.table is None:
        return "choose a table first"
    fields = [c.field for c in chosen.sent.values() if c.field is not None]
    if twice := repeated(c.name for c in chosen.columns):
        return f"column {twice!r} is there more than once: rename or drop one of them"
    if not chosen.key:
        return "choose the column that selects the codes"
    if twice := repeated(fields):
        return f"two columns are sent as {twice!r}: choose another name for one of them, or do not send it"
    if len(fields) < 2:
        return "no column beside the key is sent: choose at least one"
    return ""


# --- suggestions ------------------------------------------------------------------------------------------------


def suggest(frame: pd.DataFrame, defined: Sequence[str] | None) -> tuple[Column, ...]:
    """Suggest what each column is sent as.

    Parameters
    ----------
    frame : DataFrame
    defined : list of str or None
        The campaign's fields, if anybody knows.

    Returns
    -------
    tuple of Column
        By name: the same name first, then one that differs in case, blanks or underscores, then one that is close.
    """
    names = [str(label) for label in frame.columns]
    found = _matches(names, [*KEYS, *(defined or ()), *contract.SPECIAL_FIELDS])
    head = frame.head(LOOKED_AT)
    return tuple(
        _column(name, head.iloc[:, at], *found.get(name, _without_match(name, found, defined)))
        for at, name in enumerate(names)
    )


def _matches(names: Sequence[str], known: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return each column the field that it means; no field goes to two columns."""
    ways = (
        (_same, "the same name"),
        (_alike, "the same name, written otherwise"),
        (_closest, "a similar name: please check"),
    )
    found: dict[str, tuple[str, str]] = {}
    for find, why in ways:
        for name in names:
            taken = {field for field, _ in found.values()}
            left = [k for k in known if k not in taken]
            if name not in found and name not in NOTES and (field := find(name, left)):
                found[name] = field, why
    return found


def _same(name: str, known: Iterable[str]) -> str | None:
    return name if name in known else None


def _alike(name: str, known: Iterable[str]) -> str | None:
    return next((k for k in known if letters_of(k) == letters_of(name)), None)


def _closest(name: str, known: Iterable[str]) -> str | None:
    return nearest(name, known, CLOSE)


def _without_match(
    name: str, found: Mapping[str, tuple[str, str]], defined: Sequence[str] | None
) -> tuple[str | None, str]:
    if name in NOTES:
        return None, "a note of an earlier upload"
    if name in contract.CODE_COLUMNS:
        return None, "describes the code itself, no SCM field"
    if defined is None:
        return name, "as it is: which fields the campaign has is not known"
    near = _closest(name, [field for field, _ in found.values()])
    if near is not None:
        return None, f"{_NO_FIELD}; like {near!r}, which another column is already"
    return None, _NO_FIELD


def _column(name: str, cells: pd.Series, field: str | None, why: str) -> Column:
    texts = [text for text in text_column(cells, name).texts if text.strip()]
    return Column(name, field, _kind(field or name, texts), why, tuple(texts[:3]))


def _kind(field: str, texts: Sequence[str]) -> str:
    words = set(re.split(r"[^a-z]+", field.lower()))
    if is_date_by_name(field) or 2 * sum(map(is_like_a_date, texts)) > len(texts):
        return "date"
    return "logistic_unit" if words & LOGISTIC_WORDS else "text"


def _mapped(column: Column, base: TableMapping) -> Column:
    """Return what a mapping says about a column; one without columns only knows what fields hold."""
    field, why = column.field, column.why
    if base.columns is not None:
        field, why = base.columns.get(column.name), MAPPED if column.name in base.columns else NEW
    kind = base.kinds.get(field or "")
    return replace(column, field=field, why=why, kind=kind or _kind(field or column.name, ()), told=kind is not None)


def likely_key(columns: Sequence[Column]) -> str:
    """Suggest the key: a code's own name, else the first column."""
    by_field = {c.field: c.name for c in columns}
    first = next((c.name for c in columns if c.field), columns[0].name if columns else "")
    return next((by_field[field] for field in KEYS if field in by_field), first)


# --- what follows -----------------------------------------------------------------------------------------------


def prepared(chosen: Choices) -> pd.DataFrame:
    """Make a copy of the table as it is sent; its index says which row of the table each row is."""
    table = mapping(chosen).sent(chosen.frame).set_axis(_labels(chosen.frame))
    for rule in chosen.fixes:
        table = validate(table, **checks(chosen)).fixed(table, rule)
    return table


def mapping(chosen: Choices) -> TableMapping:
    """Return what was chosen as a mapping, which does the same in Python and in a shell."""
    base, sent = chosen.base or TableMapping(), [c for c in chosen.sent.values() if c.field]
    fields = [c.field for c in sent]
    kinds = {str(c.field): c.kind for c in sent if c.told or (c.kind == "date") != is_date_by_name(str(c.field))}
    kinds.pop(chosen.key_field, None)
    constants = {name: value for name, value in base.constants.items() if name not in fields}
    there = {*fields, *constants}
    return replace(
        base, columns={c.name: c.field for c in chosen.columns}, key=chosen.key_field, kinds=kinds,
        allowed={name: values for name, values in base.allowed.items() if name in there},
        required=[name for name in base.required if name in there],
        patterns={name: pattern for name, pattern in base.patterns.items() if name in there},
        constants=constants, fixes=[rule for rule in chosen.fixes if rule in READY_FIXES],
        on_conflict=chosen.on_conflict,
    )  # fmt: skip


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns are named by text."""
    return frame.set_axis([str(label) for label in frame.columns], axis=1)


def _labels(frame: pd.DataFrame) -> pd.Index:
    """Return each row of a table a label of its own: that of its line in a file, else its position."""
    return frame.index if lines_of(frame.index) is not None else pd.RangeIndex(len(frame))


def changes(chosen: Choices, fixed: pd.DataFrame) -> pd.DataFrame:
    """List what the fixes changed, a line a cell: ``column``, ``was`` and ``now``, numbered as the table's rows are."""
    before = prepared(replace(chosen, fixes=()))
    rows = before.index.get_indexer(fixed.index)
    lines = [
        (row, name, _quoted(was), _quoted(now))
        for name in fixed.columns
        for row, was, now in zip(rows, before[name].iloc[rows], fixed[name], strict=True)
        if was is not now and not (pd.isna(was) and pd.isna(now)) and was != now
    ]
    return numbered(pd.DataFrame(lines, columns=["row", "column", "was", "now"]), before.index)


def _quoted(cell: Any) -> str:
    """Show a cell so that blanks around it can be seen."""
    return "" if pd.isna(cell) else shown(cell)


def checks(chosen: Choices) -> dict[str, Any]:
    """Return the options of `validate`."""
    told = {"key": chosen.key_field, "fields": fields(chosen), "on_conflict": chosen.on_conflict}
    told |= {} if chosen.base is None else {"mapping": mapping(chosen).of_table()}
    known = [] if chosen.codes is None else [str(name) for name in chosen.codes.table.columns]
    return told | ({"inventory": chosen.codes.table} if chosen.codes and chosen.key_field in known else {})


def options(chosen: Choices) -> dict[str, Any]:
    """Return the options of `plan`; rows with errors are left out, and whether that is wanted is asked elsewhere."""
    codes = None if chosen.codes is None else chosen.codes.table
    return checks(chosen) | {"inventory": codes, "mode": chosen.mode, "risk": chosen.risk, "errors": "reject"}


def fields(chosen: Choices) -> Any:
    """Return ``fields=`` of `validate`: the inventory where that says it all, else names with their kinds."""
    defined = fields_of(chosen.codes)
    kinds = {c.field: c.kind for c in chosen.sent.values() if c.field and c.name != chosen.key}
    by_name = {field: "date" if is_date_by_name(field) else "text" for field in [*(defined or ()), *kinds]}
    told = {c.field for c in chosen.sent.values() if c.told}
    if all((kinds[f] == "date") == (by_name[f] == "date") and f not in told for f in kinds):
        return None if defined is None or chosen.codes is None else chosen.codes.table
    names = kinds if defined is None else defined
    return {field: kinds.get(field, by_name[field]) for field in names}


def is_fine(chosen: Choices, findings: Findings) -> bool:
    """Whether the table can be sent, or what is wrong with it is to be left out."""
    return findings.ok or (chosen.leave_out and not findings.hopeless)


def standing(chosen: Choices, findings: Findings) -> str:
    """Say how the findings stand: what is left to choose, or to look at."""
    if not is_fine(chosen, findings):
        return "your turn"
    unmatched = findings.frame["rule"].isin(["no_key_matches", "unmatched_key"]).any()
    return "look" if unmatched else "done"


def strangers(findings: Findings) -> bool:
    """Whether hardly any key is in the inventory."""
    return bool((findings.frame["rule"] == "no_key_matches").any())


def ready_fixes(findings: Findings) -> dict[str, int]:
    """Count what each button of `FIXES` would mend."""
    frame = findings.frame
    return {name: int((frame["fix"].notna() & frame["rule"].isin(rules)).sum()) for name, rules in FIXES.items()}


def to_upload_again(chosen: Choices, table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table's own columns for lines of ``job.rows``, with the fixes that were applied, and what happened."""
    source = _named(chosen.frame)
    at = ours(rows, "row").to_numpy(np.int64)
    lines = source.iloc[_labels(source).get_indexer(table.index[at])].copy()  # pandas 2 takes it for a view
    for name, column in chosen.sent.items():
        lines[name] = table[column.field].iloc[at].array
    return with_notes(lines, rows.set_axis(range(len(rows))).assign(**{ours(rows, "row").name: range(len(rows))}))


def will_happen(plan: Plan, service: Service) -> str:
    """Say what an upload will do, before it is done."""
    calls = plan.calls
    low, mid, high = (int(calls[name].sum()) for name in ("codes_low", "codes_mid", "codes_high"))
    about = f"{mid:,} codes change" if low == high else f"about {mid:,} codes change ({low:,} to {high:,})"
    clears = sum(f.cleared(plan.order) for f in plan.fields)
    cleared = f"{plural(clears, 'value')} {'is' if clears == 1 else 'are'} cleared" if clears else "no value is cleared"
    left = len(plan.index) - len(plan.order)
    left_out = f"; {plural(left, 'row')} {'is' if left == 1 else 'are'} not sent (errors or duplicates)" if left else ""
    return (
        f"This sends {plural(len(plan.order), 'row')} in {plural(len(plan), 'call')} to {service.words}; {about}; "
        f"{cleared}{left_out}; {_how_long(plan, service.client.limits.speed)}."
    )


def _how_long(plan: Plan, speed: float) -> str:
    """Say how long the plan takes, and in a sandbox with a fast clock also how long one waits."""
    here = (
        "" if speed == 1 else f" (here {duration(plan.seconds / speed)}: the clock there runs {speed:g} times faster)"
    )
    return f"about {duration(plan.seconds)}{here}"


# --- the same in Python -----------------------------------------------------------------------------------------


def python(chosen: Choices, service: Service | None, journal: object = None) -> str:
    """Write the lines that do the same without a panel."""
    return "\n".join(_lines(chosen, service, journal))


def _lines(chosen: Choices, service: Service | None, journal: object) -> Iterator[str]:
    yield "import scmkit"
    yield ""
    yield from service.setup if service else ()
    if chosen.table is None:
        return
    for name, source in (("inventory", chosen.codes), ("table", chosen.table)):
        if source is not None and source.python != name:
            yield f"{name} = {source.python}"
    yield from _reshaped(chosen) if chosen.base is None else ()
    if not trouble(chosen):
        told, arguments = _arguments(chosen)
        yield from told
        if chosen.fixes and chosen.base is None:
            yield f"for rule in {list(chosen.fixes)!r}:  # each time on a copy"
            yield f"    table = scmkit.validate(table, {arguments}).fixed(table, rule)"
        yield f"job = scmkit.upload(table, {', '.join(_how(chosen, service, journal, arguments))})"


def _reshaped(chosen: Choices) -> Iterator[str]:
    """Rename and drop columns."""
    if not all(isinstance(label, str) for label in chosen.frame.columns):
        yield "table = table.set_axis(table.columns.map(str), axis=1)"
    if dropped := [c.name for c in chosen.columns if c.field is None]:
        yield f"table = table.drop(columns={dropped!r})"
    if renamed := {c.name: c.field for c in chosen.sent.values() if c.name != c.field}:
        yield f"table = table.rename(columns={renamed!r})"


def _arguments(chosen: Choices) -> tuple[list[str], str]:
    """Return the lines that are needed before, and the options of `validate`, where they are not the default."""
    said = [f"key={chosen.key_field!r}"]
    known = fields(chosen)
    lines = [f"fields = {known!r}"] if isinstance(known, dict) else []
    if chosen.base is not None:
        said, lines = ["mapping=mapping"], [f"mapping = scmkit.{mapping(chosen)!r}", *lines]
    if known is not None:
        said.append("fields=fields" if isinstance(known, dict) else "fields=inventory")
    if chosen.codes is not None:
        said.append("inventory=inventory")
    if chosen.on_conflict != "error" and chosen.base is None:
        said.append(f"on_conflict={chosen.on_conflict!r}")
    return lines, ", ".join(said)


def _how(chosen: Choices, service: Service | None, journal: object, arguments: str) -> Iterator[str]:
    if service is not None and service.python:
        yield service.python
    yield arguments
    if chosen.mode != "auto":
        yield f"mode={chosen.mode!r}"
    if chosen.risk != Choices.risk:
        yield f"risk={chosen.risk:g}"
    if chosen.leave_out:
        yield "errors='reject'"
    if chosen.asks and chosen.codes is None:
        yield f"ask={(service and service.python) or True}"
    if journal is not None:
        yield f"journal={journal if isinstance(journal, bool) else str(journal)!r}"
