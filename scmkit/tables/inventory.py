"""The codes of an inventory, counted where they are."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from scmkit.core import results
from scmkit.core.arrays import Floats
from scmkit.core.errors import MissingDependencyError, MissingFileError, TableError, in_a_line
from scmkit.core.paths import expanded, like
from scmkit.core.texts import columns_of, first_rows, group, key_names, our_name, tallied, text_table
from scmkit.core.values import Product, Products
from scmkit.tables.arguments import LISTED, public

Inventory: TypeAlias = "pd.DataFrame | str | os.PathLike[str] | Counts | Any"  # or what Narwhals knows


@dataclass(frozen=True, eq=False)
class Counts:
    """What `count_codes` found in an inventory, in whose place it goes: nothing is counted twice."""

    frame: pd.DataFrame


@public(inventory=LISTED)
def count_codes(inventory: Inventory, key: str | Sequence[str]) -> pd.DataFrame:
    """Count the codes that each key value selects, exactly.

    Parameters
    ----------
    inventory : DataFrame, path, or a frame of another engine
        One line per code, in the shape of a code download. A path (also a glob) of CSV or Parquet files is counted by
        DuckDB, which does not hold them in memory. Any frame that Narwhals knows (Polars eager and lazy, PyArrow,
        DuckDB, Ibis, Dask, PySpark) is counted by its own engine, wherever the rows are: only the counts come back.
    key : str or list of str
        The key's column or columns. Lines of which a key is missing or blank are not counted.

    Returns
    -------
    DataFrame
        The key under its own name (text) and ``codes`` (int64; ``scmkit_codes`` where the key is called so), most
        codes first.

    Raises
    ------
    MissingColumnError
        The inventory has no such column; the nearest one is named.
    TableError
        No file is there, or it cannot be read, or its engine fails.
    """
    if isinstance(inventory, Counts):
        return inventory.frame
    rows: pd.DataFrame
    if isinstance(inventory, pd.DataFrame):
        keys = columns_of(inventory.columns, key)
        rows, times = tallied(inventory, keys[0]) if len(keys) == 1 else (inventory, None)  # each distinct cell once
    else:
        keys = key_names(key)
        count = _count_files if isinstance(inventory, str | os.PathLike) else _count_elsewhere
        rows = count(inventory, keys)
        times = rows.iloc[:, -1].to_numpy(dtype=float)
    counts = _counted(rows, times, keys)
    codes = our_name("codes", keys)
    return counts.sort_values([codes, *keys], ascending=[False] + [True] * len(keys), ignore_index=True)


def columns_in(inventory: Inventory) -> list[str]:
    """Return the names of the columns of an inventory; no more of it is read."""
    if isinstance(inventory, Counts):
        return []
    if isinstance(inventory, pd.DataFrame):
        return [str(name) for name in inventory.columns]
    if not isinstance(inventory, str | os.PathLike):
        return list(_lazy(inventory).collect_schema().names())
    with _opened(os.fspath(inventory)) as codes:
        return [str(name) for name in codes.columns]


def _counted(rows: pd.DataFrame, times: Floats | None, keys: list[str]) -> pd.DataFrame:
    """Add up how often each key value occurs, as text; without a missing or blank part."""
    columns = list(text_table(rows, keys).values())
    texts = [[*map(str.strip, c.texts), ""] for c in columns]  # a missing cell, at -1, is as good as a blank one
    whole = np.all([np.array(text, dtype=bool)[c.codes] for text, c in zip(texts, columns, strict=True)], axis=0)
    groups, count = group(columns, len(rows))
    codes = np.bincount(groups[whole], None if times is None else times[whole], count).astype(np.int64)
    first = first_rows(groups, count)
    counts = pd.DataFrame({c.name: c.take(first) for c in columns} | {our_name("codes", keys): codes})
    return counts[codes > 0]


def _count_elsewhere(inventory: Any, keys: list[str]) -> pd.DataFrame:
    """Count where the rows are, in their own engine; only the counts come back."""
    frame = _lazy(inventory)
    columns_of(frame.collect_schema().names(), keys)  # raises where one is missing
    import narwhals as nw

    try:
        counts = frame.select(keys).group_by(keys).agg(nw.len().alias(our_name("codes", keys))).collect()
        return counts.to_pandas()
    except Exception as error:  # whatever the engine raises
        kind = f"{type(inventory).__module__.split('.')[0].lstrip('_')} {type(inventory).__name__}"
        raise TableError(f"the inventory, a {kind}, cannot be counted: {in_a_line(str(error))[:200]}") from error


def _lazy(inventory: Any) -> Any:
    try:
        import narwhals as nw
    except ImportError:
        raise MissingDependencyError.of("narwhals", "large", "Counting codes where they are") from None
    return nw.from_native(inventory).lazy()


def _count_files(path: str | os.PathLike[str], keys: list[str]) -> pd.DataFrame:
    quoted = ['"' + k.replace('"', '""') + '"' for k in keys]
    with _opened(str(expanded(path))) as codes:
        columns_of(codes.columns, keys)
        return codes.aggregate(", ".join([*quoted, "count(*)"]), ", ".join(quoted)).df()


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    """Open files as a relation of DuckDB, which reads them when it is asked something."""
    try:
        import duckdb
    except ImportError:
        raise MissingDependencyError.of("duckdb", "large", "Counting codes in files") from None
    if Path(path).is_dir():  # DuckDB would look through all that is in it, and then say that there is no such file
        raise TableError(f"the inventory {path} is a folder: {Path(path) / '*.csv'} stands for the files in it")
    if not glob.has_magic(path) and not Path(path).exists():
        raise MissingFileError(errno.ENOENT, f"no such inventory{like(Path(path))}", path)
    is_parquet = Path(path).suffix.lower() in (".parquet", ".pq")
    # Text stays text: DuckDB would read 000042 as 42 and 12E5 as 1200000, and guess quotes from the first lines.
    as_text: Any = {"all_varchar": True, "header": True, "quotechar": '"', "escapechar": '"'}
    try:
        yield duckdb.read_parquet(path) if is_parquet else duckdb.read_csv(path, **as_text)
    except duckdb.Error as error:
        raise TableError(f"cannot read the inventory {path}: {str(error).splitlines()[0]}") from None


@results.tabulate.register(Products)
def _product_table(products: Products) -> pd.DataFrame:
    names = [each.name for each in fields(Product)]
    table = pd.DataFrame([astuple(each) for each in products.listed], columns=names)
    return table.astype(dict.fromkeys(("codes", "active", "blacklisted"), "Int64"))
