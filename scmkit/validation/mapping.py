"""What the columns of a table are sent as, and what must hold of their values: a file that repeats an upload."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pandas as pd

from scmkit.core import contract
from scmkit.core.arguments import Kind, is_name, is_ours, is_path, public
from scmkit.core.display import shown
from scmkit.core.errors import (
    FileAccessError,
    MissingColumnError,
    PlanError,
    ScmkitError,
    did_you_mean,
    listed,
)
from scmkit.core.paths import check_destination, existing, replacing
from scmkit.core.patterns import Pattern, PatternError
from scmkit.core.texts import columns_of, key_names, repeated, text_of

VERSION = 1
LARGEST_FILE = 10_000_000  # bytes
FIELD_KINDS = ("text", "date", "logistic_unit")
# The rules whose ready fixes may be applied without another look: they lose nothing.
READY_FIXES = (
    "date_format", "surrounding_blanks", "key_blanks", "numeric_damage", "unmatched_key", "activation_status",
    "blacklist_reason", "allowed_value",
)  # fmt: skip


# --- what the parts of a mapping may be --------------------------------------------------------------------------


def _text(value: Any) -> str:
    """Return a value as the text that is sent; raises for one that has none."""
    text, _ = text_of(value)
    if text is None:
        raise ValueError
    return text


def _column(value: Any) -> str | None:
    """Return what a column is sent as: a blank name is for validation to find, with the column that has it."""
    if not isinstance(value, str | None):
        raise TypeError
    return value


def _name(value: Any) -> str:
    if not (isinstance(value, str) and value.strip()):
        raise ValueError
    return value


def _one_of(words: Sequence[str]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return read


def _pattern(value: Any) -> str:
    Pattern(_name(value))
    return str(value)


def _texts(values: Any) -> tuple[str, ...]:
    if isinstance(values, str | bytes | Dict) or not len(values):
        raise ValueError
    return tuple(dict.fromkeys(map(_text, values)))


def _names(values: Any) -> tuple[str, ...]:
    if isinstance(values, str | bytes | Dict):
        raise TypeError
    return tuple(map(_name, values))


def _fixes(values: Any) -> tuple[str, ...]:
    return tuple(map(_one_of(READY_FIXES), _names(values)))


def _dict_of(words: str, read: Callable[[Any], Any]) -> Kind:
    """Return the kind of dicts from names to what can be read so; a message shows the first entry that is wrong."""

    def read_all(value: Any) -> dict[str, Any]:
        return {str(name): read(each) for name, each in value.items()}

    def hint(value: Any) -> str:
        if not isinstance(value, Dict):
            return f", not a {type(value).__name__}"
        for name, each in value.items():
            try:
                read(each)
            except PatternError as error:
                return f", and {shown(each)}, of {str(name)!r}, cannot be used: {error}"
            except Exception:  # noqa: BLE001 - whatever it is, it is the wrong one
                return f", and of {str(name)!r} it is {shown(each) if isinstance(each, str) else repr(each)[:100]}"
        return ""

    def accepts(value: Any) -> bool:
        return isinstance(value, Dict) and all(is_name(n) or n == "" for n in value) and bool(read_all(value) or True)

    return Kind(words, accepts, read_all, hint, "{name} is {words}{hint}")


def _list_of(words: str, read: Callable[[Any], tuple[str, ...]], known: Iterable[str] = ()) -> Kind:
    def hint(value: Any) -> str:
        names = value if isinstance(value, list | tuple) else ()
        strange = next((name for name in names if isinstance(name, str) and name not in known), None) if known else None
        return f", not {shown(value)}" if strange is None else f", and not {strange!r}{did_you_mean(strange, known)}"

    return Kind(words, lambda v: bool(read(v) or True), read, hint, "{name} is {words}{hint}")


_PARTS: dict[str, Any] = {
    "columns": _dict_of("a dict from each column to the field that it is sent as (None: not sent)", _column).optional(),
    "kinds": _dict_of(f"a dict from fields to {', '.join(FIELD_KINDS)}", _one_of(FIELD_KINDS)),
    "allowed": _dict_of("a dict from fields to lists of the values that they may have", _texts),
    "required": _list_of("a list of fields", _names),
    "patterns": _dict_of("a dict from fields to regular expressions", _pattern),
    "constants": _dict_of("a dict from fields to the value that all rows get", _text),
    "fixes": _list_of("a list of rules with ready fixes", _fixes, READY_FIXES),
}


@public(error=PlanError, **_PARTS)
@dataclass(frozen=True, repr=False)
class Mapping:
    """What the columns of a table are sent as, and what must hold of their values.

    Given as ``mapping=`` to `validate`, `plan`, `upload` and `panel`, or as ``--mapping`` in a shell, it makes the
    upload of next month's file one line. Fields are called as they are sent; `columns` knows what a file calls them.

    Parameters
    ----------
    columns : dict of str to str or None, optional
        Each column of the file, with the field that it is sent as, None where it is not sent. Default: all columns
        are sent, under their own names.
    key : str or list of str, default "extended_id"
        What selects the codes.
    kinds : dict of str to {"text", "date", "logistic_unit"}
        What fields hold.
    allowed : dict of str to list of str
        The values that a field may have, such as ``{"intended_market": ["CH", "DE"]}``; a missing cell may always be.
    required : list of str
        Fields of which no row may lack a value.
    patterns : dict of str to str
        A regular expression for the whole of each value of a field, such as ``{"lot_number": "L-[0-9]{4}"}``. Looking
        ahead and references to groups are not understood: so no pattern takes for ever.
    constants : dict of str to str
        Fields that are in no column, and get the same value in all rows.
    fixes : list of str
        Rules whose ready fixes are applied, one after the other, such as ``date_format``.
    on_conflict : {"error", "last", "first"}
        Which of several rows with one key and different cells counts.

    Raises
    ------
    PlanError
        If parts of it contradict each other, or are not what they must be.
    """

    columns: Dict[str, str | None] | None = None
    key: str | Sequence[str] = contract.DEFAULT_KEY
    kinds: dict[str, str] = field(default_factory=dict)
    allowed: Dict[str, Sequence[str]] = field(default_factory=dict)
    required: Sequence[str] = ()
    patterns: Dict[str, str] = field(default_factory=dict)
    constants: Dict[str, str] = field(default_factory=dict)
    fixes: Sequence[str] = ()
    on_conflict: str = "error"

    def __post_init__(self) -> None:
        keys = key_names(self.key)
        if not keys or len(set(keys)) < len(keys):
            raise PlanError(f"a key is one or more different fields, not {self.key!r}")
        object.__setattr__(self, "key", keys[0] if len(keys) == 1 else tuple(keys))
        if self.columns is not None:
            self._check(self.columns)

    def _check(self, columns: Dict[str, str | None]) -> None:
        """Refuse a field that is sent twice, or about which something is said, and which is not sent."""
        fields = [*(name for name in columns.values() if name is not None), *self.constants]
        if twice := repeated(fields):
            raise PlanError(f"field {twice!r} would be sent twice: two columns, or a constant, have its name")
        for part, names in self._said().items():
            for name in names:
                if name not in fields:
                    as_sent = columns.get(name)
                    near = f": column {name!r} is sent as {as_sent!r}" if as_sent else did_you_mean(name, fields)
                    raise PlanError(f"{part}: {name!r} is no field that is sent{near}")

    def _said(self) -> dict[str, Iterable[str]]:
        """Return the fields about which something is said, by the part that says it."""
        of_fields = {part: getattr(self, part) for part in ("kinds", "allowed", "required", "patterns")}
        return {"key": self.keys, **of_fields}

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that select the codes."""
        return tuple(key_names(self.key))

    def sent(self, df: pd.DataFrame) -> pd.DataFrame:
        """Return a table under the names by which it is sent, constants included; rows keep their labels.

        Raises
        ------
        MissingColumnError
            If the columns of the table are others than those of this mapping.
        """
        if self.columns is None:
            return self._with_constants(df)
        names = [str(label) for label in df.columns]
        chosen = {column: name for column, name in self.columns.items() if name is not None}
        if missing := [column for column in chosen if column not in names]:
            raise MissingColumnError(self._changed(missing, names))
        if twice := next((column for column in chosen if names.count(column) > 1), None):
            raise MissingColumnError(f"column {twice!r} is there more than once: rename or drop one of them")
        table = df.iloc[:, [names.index(column) for column in chosen]]
        return self._with_constants(table.set_axis(list(chosen.values()), axis=1))

    def _with_constants(self, table: pd.DataFrame) -> pd.DataFrame:
        names = [str(label) for label in table.columns]
        if twice := next((name for name in self.constants if name in names), None):
            raise PlanError(f"constants: {twice!r} is a column of the table, too")
        for part, told in self._said().items() if self.columns is None else ():
            if lacking := next((name for name in told if name not in (*names, *self.constants)), None):
                raise MissingColumnError.of(lacking, names, f"{part}:")
        told = {name: [value] * len(table) for name, value in self.constants.items()}
        return table.assign(**told) if told else table

    def new_columns(self, df: pd.DataFrame) -> list[str]:
        """Name the columns of a table of which this mapping does not know whether they are sent."""
        return [str(c) for c in df.columns if self.columns is not None and str(c) not in self.columns]

    def _changed(self, missing: list[str], names: list[str]) -> str:
        new = [name for name in names if name not in (self.columns or ())]
        told = [f"{name!r} is missing{did_you_mean(name, new or names)}" for name in missing]
        more = f"; new: {', '.join(map(repr, new))}" if new else ""
        return (
            f"the table has other columns than the mapping: {', '.join(told)}{more}. Rename them in the table, or in "
            "the mapping's columns"
        )

    def in_file(self) -> dict[str, str]:
        """Return what a table calls the fields that it calls otherwise."""
        names = {name: column for column, name in (self.columns or {}).items() if name is not None and name != column}
        if names.keys() & set(self.keys) and len(self.keys) > 1:
            names[", ".join(self.keys)] = ", ".join(names.get(key, key) for key in self.keys)
        return names

    def with_kinds(self, kinds: Dict[str, str | None], names: Iterable[str]) -> Mapping:
        """Return it with kinds that somebody told otherwise of fields that are sent."""
        told = {name: kind for name in names if (kind := kinds.get(name)) is not None}
        return dataclasses.replace(self, kinds=self.kinds | told) if told else self

    def of_table(self) -> Mapping:
        """Return what is still to hold of a table that was made by `sent`, and whose cells are fixed."""
        return dataclasses.replace(self, columns=None, constants={}, fixes=())

    # Files

    @public()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as a JSON file.

        Raises
        ------
        DestinationError
            No file can be written there.
        """
        told = {"scmkit_mapping": VERSION} | self._told()
        with replacing(check_destination(path)) as beside:
            beside.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    @public()
    def load(cls, path: str | os.PathLike[str]) -> Mapping:
        """Read a file that `save` wrote, or somebody by hand.

        Raises
        ------
        MissingFileError, FileAccessError
        PlanError
            It is no mapping; the message says what is wrong with it.
        """
        found = existing(path)
        if not found.is_file() or found.stat().st_size > LARGEST_FILE:
            raise FileAccessError(f"{found} is no mapping: it is a folder, or larger than {LARGEST_FILE:,} bytes")
        try:
            return cls(**_parts_of(_decoded(found.read_bytes())))
        except ScmkitError as error:
            raise PlanError(f"{found.name}: {str(error).removeprefix('Mapping: ')}") from None

    def _told(self) -> dict[str, Any]:
        """Return the key, and the other parts that are not as they are by default."""
        usual = Mapping()
        parts = {name: getattr(self, name) for name in _known()}
        return {name: part for name, part in parts.items() if name == "key" or part != getattr(usual, name)}

    def __repr__(self) -> str:
        return f"Mapping({', '.join(f'{name}={part!r}' for name, part in self._told().items())})"


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"it is no JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := repeated(name for name, _ in pairs):
        raise PlanError(f"{twice!r} is there twice")
    return dict(pairs)


def _parts_of(read: Any) -> dict[str, Any]:
    """Return the parts of a mapping that was read."""
    if not isinstance(read, dict):
        raise PlanError(f"a mapping is a JSON object with {', '.join(_known())}")
    parts = dict(read)
    version = parts.pop("scmkit_mapping", VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PlanError(f"scmkit_mapping is the version of the mapping, such as {VERSION}, not {version!r}")
    if version > VERSION:
        raise PlanError(f"it is a mapping of version {version}, and this scmkit knows version {VERSION}: update scmkit")
    if strange := next((name for name in parts if name not in _known()), None):
        raise PlanError(f"a mapping has no {strange!r}{did_you_mean(strange, _known())}; {listed(_known())}")
    return parts


def _known() -> list[str]:
    return [f.name for f in dataclasses.fields(Mapping)]


# --- mapping= of the public functions ------------------------------------------------------------------------------

MAPPING = Kind(
    "a Mapping, or the path of one",
    lambda v: is_ours(v, "Mapping") or is_path(v),
    lambda v: v if is_ours(v, "Mapping") else Mapping.load(v),
).optional()


def mapping_of(df: pd.DataFrame, mapping: Mapping | None, key: str | Sequence[str], on_conflict: str) -> Mapping:
    """Return the mapping that was given, or the one of a table that is sent as it is.

    Raises
    ------
    PlanError
        If another key was given beside it.
    """
    if mapping is None:
        return Mapping(key=columns_of(df.columns, key), on_conflict=on_conflict)
    keys = tuple(key_names(key))
    if keys not in ((contract.DEFAULT_KEY,), mapping.keys):
        raise PlanError(f"the mapping's key is {', '.join(mapping.keys)}, not {', '.join(keys)}: give one of the two")
    return mapping if on_conflict == "error" else dataclasses.replace(mapping, on_conflict=on_conflict)
