"""Arguments that are tables: they become DataFrames as they come in, whatever they come as."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scmkit.core import arguments
from scmkit.core.arguments import Kind, is_name, is_ours, is_path, of_class
from scmkit.core.display import shown
from scmkit.tables.reading import checked_names, from_arrow, read_table

ENGINES = {"polars", "pyarrow", "duckdb", "ibis", "dask", "pyspark", "narwhals"}
ENGINE_TABLES = {"DataFrame", "LazyFrame", "Table", "DuckDBPyRelation"}


def _is_frame(value: Any) -> bool:
    return any(c.__name__ == "DataFrame" and c.__module__.startswith("pandas") for c in type(value).__mro__)


def _is_stream(value: Any) -> bool:
    """Whether a value is a table that Arrow can read, as those of Polars, PyArrow and DuckDB are; a Series is none."""
    return hasattr(type(value), "__arrow_c_stream__") and "Series" not in type(value).__name__


def _is_table(value: Any) -> bool:
    return _is_frame(value) or is_path(value) or _is_stream(value)


def is_elsewhere(value: Any) -> bool:
    """Whether a value is a table of another library that Narwhals knows, whose own engine counts it."""
    kind = type(value)
    return kind.__module__.split(".")[0].lstrip("_") in ENGINES and kind.__name__ in ENGINE_TABLES


def _is_fields(value: Any) -> bool:
    if isinstance(value, str | bytes | os.PathLike):
        return False
    if isinstance(value, Iterator) or _is_frame(value) or _is_stream(value):
        return True
    return isinstance(value, Iterable) and hasattr(value, "__len__") and all(map(is_name, value))


def _is_columns(value: Any) -> bool:
    return (
        _is_frame(value)
        or _is_stream(value)
        or (isinstance(value, Mapping) and all(isinstance(name, str) for name in value))
    )


def _meant_table(value: Any) -> str:
    """Say how what was given becomes a table, or what is to be called with it."""
    if value is None:
        return ": scmkit.read_table('lots.csv') makes one"
    if is_ours(value, "Plan"):
        return ": it is made already, see plan.upload(), scmkit.simulate(plan)"
    if is_ours(value, "Sandbox"):
        return ": its codes are sandbox.codes()"
    if isinstance(value, Mapping | list | tuple) or type(value).__name__ == "ndarray":
        return ": pandas.DataFrame(...) makes one of it"
    if "Series" in type(value).__name__:
        return ": to_frame() makes one of it"
    if hasattr(value, "collect"):
        return ": collect() makes one of it"
    return ": its table is .frame" if hasattr(value, "frame") else ""


def _as_frame(value: Any) -> Any:
    """Return a table as a DataFrame whose columns all have a name that can be sent."""
    if _is_frame(value):
        return checked_names(value)
    return checked_names(read_table(value) if isinstance(value, str | os.PathLike) else from_arrow(value))


def _as_given(value: Any) -> Any:
    """Return an inventory or a plan as it was given, and a table from Arrow that nobody else counts as a DataFrame."""
    as_it_is = isinstance(value, str | os.PathLike) or is_ours(value, "Plan", "Counts") or is_elsewhere(value)
    return value if as_it_is else _as_frame(value)


def _as_table_or_plan(value: Any) -> Any:
    return value if is_ours(value, "Plan") or isinstance(value, str | os.PathLike) else _as_frame(value)


def _as_list(value: Any) -> Any:
    if isinstance(value, Iterator):
        return list(value)
    return _as_frame(value) if _is_frame(value) or _is_stream(value) else value


TABLE = Kind(
    "a DataFrame, another table that Arrow can read, or the path of a file", _is_table, _as_frame, _meant_table
)
TABLE_OR_PLAN = Kind(
    f"{TABLE.words}, or what plan() made", lambda v: _is_table(v) or is_ours(v, "Plan"), _as_table_or_plan, _meant_table
)
LISTED = Kind(
    "a DataFrame, another frame that Narwhals knows, or a path to CSV or Parquet",
    lambda v: _is_table(v) or is_ours(v, "Counts") or is_elsewhere(v),
    _as_given,
    _meant_table,
)
HISTORY = Kind("what scmkit.history() made", _is_table, _as_frame, _meant_table).optional()
PLAN = of_class(
    "Plan", "what plan() made",
    lambda v: ": scmkit.plan(table, key=...) makes one" if _is_table(v) or isinstance(v, list) else "",
)  # fmt: skip
FIELDS = Kind(
    "a list of names, a dict of kinds, or an inventory", _is_fields, _as_list,
    lambda v: f"; one field is [{shown(v)}]" if isinstance(v, str) else "",
)  # fmt: skip
FIELDS_OR_TRUE = Kind(
    f"{FIELDS.words}, or True to ask", lambda v: v is None or v is True or FIELDS.accepts(v), _as_list, FIELDS.hint
)
TABLES: dict[str, Kind] = {
    "df": TABLE,
    "fields": FIELDS.optional(),
    "inventory": LISTED.optional(),
    "history": HISTORY,
    "products": Kind("what client.products() made", _is_table, _as_frame).optional(),
    "plan": PLAN,
    "calls": Kind("a table of calls, such as scmkit.history()", _is_columns, _as_list),
}


def public(**options: Any) -> Callable[[arguments.Anything], arguments.Anything]:
    """Check the arguments of a function as `scmkit.core.arguments.public` does, tables among them."""
    return arguments.public(**(TABLES | options))
