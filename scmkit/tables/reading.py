"""Files to frames, undamaged: identifiers stay text, a blank cell is missing, and nothing else changes."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import re
import threading
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from scmkit.core.arguments import public
from scmkit.core.contract import DEFAULT_KEY
from scmkit.core.display import shown
from scmkit.core.errors import (
    FileAccessError,
    MissingColumnError,
    MissingDependencyError,
    TableError,
    did_you_mean,
)
from scmkit.core.lines import NAMES, index_of, place
from scmkit.core.paths import existing
from scmkit.core.texts import repeated, text_column, text_of, whole_number
from scmkit.tables.header import (
    below_titles,
    cells_of,
    is_blank,
    is_like_a_value,
    lines_above,
    narrow_above_wide,
    suggested,
)
from scmkit.tables.writing import NOTES, restored

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_HEADER = re.compile(r'(?:[ \t]*[\r\n]+)*((?:"[^"]*"|[^"\r\n])*)')
_UNPACKED_BYTES = 1 << 30  # of a workbook or a .gz: a small file that holds more is made to fill the memory
_ALONE = threading.Lock()
_CELLS = 50_000_000  # of a sheet, empty ones between others included
_ROWS = 1_048_576  # of a sheet, by the file format
_PIECE = 1 << 20
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # how a workbook holds what XML cannot, such as a carriage return
_SEPARATOR = re.compile(r'"?sep=([^\r\n])"?[ \t]*[\r\n]', re.IGNORECASE)  # Excel's word to itself in a first line
_ZEROS = re.compile(r"(0{2,})(?:;.*)?")  # the format of a number that is shown with zeros in front


@public()
def read_table(
    path: str | os.PathLike[str],
    *,
    sheet: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: int | None = None,
    pad_to: Mapping[str, int] | None = None,
    keep_blank: bool = False,
) -> pd.DataFrame:
    """Read a file into a DataFrame without damaging its values.

    Text stays text (``000042``, ``12E5``, ``NA``, 30 digits), a blank cell is missing, and nothing else is.
    What cannot be read for certain is an error, never a guess: a row with fewer cells than the header is not
    filled up, because nobody knows which cell is the missing one. Lines without anything in them are skipped;
    rows of blank cells are dropped at the end and kept elsewhere. Rows that `scmkit.tables.writing` wrote come back
    as they were before, without its notes.

    Parameters
    ----------
    path : path
        ``.csv``, ``.tsv``, ``.tab``, ``.txt``, or one JSON object a line in ``.jsonl``, ``.ndjson``, ``.json`` (each
        also with ``.gz``); ``.xlsx``, ``.xlsm``; ``.parquet``, ``.pq``.
    sheet : str, optional
        The sheet of a workbook; by default the first that is visible and not empty.
    delimiter : str, optional
        What separates cells; by default what a first line such as ``sep=;`` says, or the one of comma, semicolon,
        tab and bar that the header has most of.
    encoding : str, optional
        Of a text file; by default UTF-8, or what its byte order mark says.
    header : int, optional
        The line of the file, or the row of the sheet, that holds the names of the columns, counted from 1. By
        default the first that is not blank; or, below titles of one cell each and a blank row, the next one.
    pad_to : mapping of str to int, optional
        Columns whose whole numbers get zeros in front up to this width: with ``{"lot_number": 6}``, 42 becomes
        ``000042``.
    keep_blank : bool
        Keep blank text as it is instead of making it missing: ``""`` clears the field. In CSV, TSV and workbooks,
        where an empty cell and ``""`` are one, every empty cell is ``""`` then.

    Returns
    -------
    DataFrame
        Columns of dtype object: text and None from CSV and TSV; cells of a workbook and members of JSON
        objects keep their type (12.50 in JSON its digits, as a Decimal); a number that a workbook shows with zeros
        in front, by the format ``000000``, is the text that is shown. Columns of a Parquet file keep theirs,
        as pandas' nullable dtypes, so that whole numbers beside missing cells stay whole. The index is named
        ``line - 2`` (``line - 1`` without a header): in which line of the file, or row of the sheet, a row begins.
        Messages say that line. Of Parquet it is pandas' own.

    Raises
    ------
    MissingFileError
        If there is no such file (a FileNotFoundError, too); the nearest file name is in the message.
    TableError
        If the file cannot be read without damage; the message names the line or cell, and the rule.
    MissingColumnError
        If `pad_to` names a column that is not there.
    MissingDependencyError
        If openpyxl (workbooks) or pyarrow (Parquet) is not installed.
    """
    path = existing(path)
    if path.is_dir():
        raise FileAccessError(f"{path} is a folder: a table is one file")
    form = _format_of(path)
    options = {"sheet": sheet, "delimiter": delimiter, "encoding": encoding, "header": header}
    for option, value in options.items():
        if value is not None and option not in form.options:
            raise TableError(f"{path.name}: {option}= means nothing for this kind of file; leave it out")
    frame = form.read(path, **{name: (options | {"keep_blank": keep_blank})[name] for name in form.options})
    if not keep_blank:
        _make_blank_missing(frame)
    if form.read in (_read_delimited, _read_workbook):  # what `scmkit.tables.writing` writes
        frame = restored(frame)
    for name, width in (pad_to or {}).items():
        _pad(path, frame, name, width)
    return frame


def read_codes(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a code download as the service wrote it: blanks around names and cells, quotes and formulas included."""
    path = Path(path)
    text = _decoded(path, None)
    _, (header, *rows) = _records(path, text, ",")
    _refuse_repeated(path, header)
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in zip(header, columns, strict=True)})


def _format_of(path: Path) -> _Format:
    name = path.name.lower()
    found = next((form for suffix, form in FORMATS.items() if name.endswith(suffix)), None)
    if found is None:
        text, binary = ", ".join(_TEXT), ", ".join(_BINARY)
        raise TableError(f"{path.name}: unknown kind of file; supported are {text} (each also .gz), {binary}")
    return found


def _read_delimited(path: Path, delimiter: str | None, encoding: str | None, header: int | None) -> pd.DataFrame:
    text = _decoded(path, encoding)
    said = _SEPARATOR.match(text)
    sign = delimiter or (said[1] if said else None)
    skipped = 1 if said else 0
    if header is None:
        skipped += lines_above(_below(text, skipped), [sign] if sign else list(_DELIMITERS))
    elif is_blank(_below(text, header - 1).partition("\n")[0]):
        raise TableError(f"{path.name}: header={header}, but line {header} is blank, or there is none")
    skipped = skipped if header is None else header - 1
    shown = _below(text, skipped)
    try:
        if header is None and not sign:
            _refuse_narrow_header(path, shown)
        sign = sign or _delimiter(path, shown, skipped + 1)
        lines, (names, *rows) = _records(path, shown, sign, skipped + 1)
        return _framed(path, names, rows, lines[1:])
    except TableError as error:
        at = suggested(cells_of(shown, sign or _common(shown))) if header is None else None
        raise (error if at is None else _with_choice(error, f"line {skipped + at + 1}", skipped + at + 1)) from None


def _below(text: str, lines: int) -> str:
    """Return a text without its first lines."""
    return re.sub(rf"\A(?:[^\r\n]*(?:\r\n|\r|\n|\Z)){{{lines}}}", "", text, count=1) if lines else text


def _common(text: str) -> str:
    """Return the delimiter that the first lines have most of."""
    top = text[:10_000]
    return max(_DELIMITERS, key=top.count)


def _refuse_narrow_header(path: Path, text: str) -> None:
    """Refuse to take a title for the name of one column where all lines below have several cells."""
    if found := narrow_above_wide(text, [sign for sign in _DELIMITERS if sign != ","]):
        sign, cells = found
        raise TableError(
            f"{path.name}: the first line is one cell, and those below are {cells}, separated by {_DELIMITERS[sign]}; "
            "if all is one column, say delimiter=','"
        )


def _with_choice(error: TableError, place: str, row: int) -> TableError:
    """Say which choice works if the header stands farther below."""
    return TableError(f"{error}; if {place} names the columns, read_table(..., header={row}) reads it")


def _decoded(path: Path, encoding: str | None) -> str:
    raw = _bytes(path)
    found = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        return raw.decode(encoding or found).removeprefix("\ufeff")
    except LookupError:
        raise TableError(f"{path.name}: Python knows no encoding {encoding!r}") from None
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        what = f"byte {error.start} (0x{raw[error.start]:02x}) is not {error.encoding}"
        way_out = "" if encoding else '; if it comes from an older Excel or Windows, try encoding="cp1252"'
        raise TableError(f"{path.name}, line {line}: {what}{way_out}") from None


def _bytes(path: Path) -> bytes:
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    pieces, size = [], 0
    with _unreadable(path, "gzip", gzip.BadGzipFile, EOFError, zlib.error), gzip.open(path) as file:
        while piece := file.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            _refuse_to_unpack(path, size)
    return b"".join(pieces)


def _refuse_to_unpack(path: Path, size: int) -> None:
    if size > _UNPACKED_BYTES:
        raise TableError(f"{path.name}: unpacks to more than {_UNPACKED_BYTES:,} bytes; split it")


@contextmanager
def _unreadable(path: Path, kind: str, *causes: type[Exception]) -> Iterator[None]:
    """Turn what a damaged file makes its reader raise into one error that names the file."""
    try:
        yield
    except TableError:
        raise
    except causes as error:
        raise TableError(f"{path.name}: not a readable {kind} file ({error})") from error


def _delimiter(path: Path, text: str, line: int) -> str:
    """Find the delimiter that the header line has most of, outside quotes."""
    found = _HEADER.match(text)
    header = re.sub(r'"[^"]*"', "", found[1]) if found else ""
    if "\0" in header:
        raise TableError(f'{path.name}, line {line}: holds NULs; if it is UTF-16, say encoding="utf-16-le"')
    if {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes} and "\t" in header:
        return "\t"
    counts = sorted(((header.count(sign), sign) for sign in _DELIMITERS), reverse=True)
    (most, first), (next_most, second) = counts[:2]
    if most and most == next_most:
        names = f"{_DELIMITERS[first]} or {_DELIMITERS[second]}"
        raise TableError(f"{path.name}, line {line}: cells may be separated by {names}: say which with delimiter=")
    return first if most else ","


def _records(path: Path, text: str, delimiter: str, first: int = 1) -> tuple[list[int], list[list[str]]]:
    """Split into rows of equal length, the header first, with the line that each begins in; `first` is the text's."""
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = first
    try:
        with _long_cells():
            for row in reader:
                if not _is_filler(row, rows):
                    rows.append(row)
                    lines.append(line)
                if rows and len(rows[-1]) != len(rows[0]):
                    raise TableError(f"{path.name}, line {line}: {_misfit(len(row), len(rows[0]))}")
                line = reader.line_num + first
    except csv.Error as error:
        hint = "is a quote opened and not closed, or not doubled inside a quoted cell?"
        raise TableError(f"{path.name}, line {line}: {error}; {hint}") from None
    if not rows:
        raise TableError(f"{path.name}: an empty file; the first line must hold the column names")
    return lines, rows


@contextmanager
def _long_cells() -> Iterator[None]:
    """Read cells of any length: the limit of the csv module holds for the whole process, so it is put back."""
    with _ALONE:
        before = csv.field_size_limit(_UNPACKED_BYTES)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _is_filler(row: list[str], rows: list[list[str]]) -> bool:
    """Tell lines without anything in them; before the header, rows of blank cells are such lines, too."""
    if any(not is_blank(cell) for cell in row):
        return False
    return not rows or not row or (len(row) == 1 and len(rows[0]) > 1)


def _misfit(cells: int, names: int) -> str:
    what = f"{cells} cells, but the header names {names} columns"
    if cells < names:
        return f"{what}: cells are missing, and nobody knows which"
    return f"{what}: quote cells that hold the delimiter; pandas needs index=False to write no nameless index"


def _framed(path: Path, header: Sequence[Any], rows: Sequence[Sequence[Any]], lines: Sequence[int]) -> pd.DataFrame:
    """Make a frame of rows as long as the header, less blank rows at the end and blank nameless columns."""
    last = max((at for at, row in enumerate(rows, 1) if any(not is_blank(cell) for cell in row)), default=0)
    columns: list[Sequence[Any]] = list(zip(*rows[:last], strict=True)) or [() for _ in header]
    named: list[tuple[str, Sequence[Any]]] = []
    is_header = DEFAULT_KEY in header  # as in a code download, where an SCM field may be named like a number
    is_ours = set(NOTES) <= set(header)
    for at, (name, cells) in enumerate(zip(header, columns, strict=True), 1):
        if not is_blank(name):
            named.append((name if is_ours else _name(path, name, is_header), cells))
        elif not all(is_blank(cell) for cell in cells):
            raise TableError(f"{path.name}: column {at} has cells but no name; name it (or is it pandas' index?)")
    _refuse_repeated(path, [name for name, _ in named])
    index = index_of(lines[:last], "line - 2")
    return pd.DataFrame({name: pd.Series(cells, index=index, dtype=object) for name, cells in named}, index=index)


def _name(path: Path, name: object, is_header: bool) -> str:
    if name in NAMES:
        raise TableError(f"{path.name}: {name!r} is an index that read_table made: write the table with index=False")
    if not isinstance(name, str) or (is_like_a_value(name) and not is_header):
        raise TableError(f"{path.name}: {str(name)!r} is no column name: the first line must hold the names")
    return name.strip()


def _refuse_repeated(path: Path, names: Sequence[str]) -> None:
    if (name := repeated(names)) is not None:
        first = names.index(name)
        where = f"columns {first + 1} and {names.index(name, first + 1) + 1}"
        raise TableError(f"{path.name}: {where} are both named {name!r}: rename or remove one")


def _read_lines(path: Path, encoding: str | None) -> pd.DataFrame:
    found: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    lines: list[int] = []
    for number, line in enumerate(_decoded(path, encoding).split("\n"), 1):
        if line.strip():
            found.append(_object_of(path, number, line))
            lines.append(number)
            names.update(dict.fromkeys(found[-1]))
    if not names:
        raise TableError(f"{path.name}: an empty file; each line must hold one JSON object")
    index = index_of(lines, "line - 1")
    return pd.DataFrame({n: pd.Series([row.get(n) for row in found], index=index, dtype=object) for n in names})


def _object_of(path: Path, number: int, line: str) -> dict[str, Any]:
    where, rule = f"{path.name}, line {number}", "each line must hold one JSON object"
    try:
        value = json.loads(line, parse_float=Decimal, object_pairs_hook=_members)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{where}: {error}; {rule}") from None
    if not isinstance(value, dict):
        raise TableError(f"{where}: a {type(value).__name__}; {rule}")
    return value


def _members(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if not name.strip():
            raise ValueError("a member without a name")
        if name.strip() in members:
            raise ValueError(f"member {name.strip()!r} is there twice")
        members[name.strip()] = value
    return members


def _read_workbook(path: Path, sheet: str | None, keep_blank: bool, header: int | None) -> pd.DataFrame:
    broken = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, SyntaxError)  # XML errors are SyntaxErrors
    with _unreadable(path, "workbook", *broken), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions, which carry no values
        start, rows = _rows(path, sheet)
        if not rows and sheet is None:
            sheet, start, rows = next(_tables(path), (None, 1, []))
        if _has_formulas(path):
            _refuse_uncomputed(path, sheet)
        if not rows:
            raise TableError(f"{path.name}: an empty sheet; the first row must hold the column names")
        try:
            if sheet is None:
                _refuse_cover(path, rows)
            return _table_of(path, start, rows, keep_blank, header)
        except TableError as error:
            other = next((name for name, *_ in _tables(path, 2)), None) if sheet is None else None
            raise (error if other is None else _with_sheet(error, path, other)) from None


def _table_of(path: Path, start: int, rows: list[list[Any]], keep_blank: bool, header: int | None) -> pd.DataFrame:
    """Make a frame of the rows of a sheet, of which the first is the row `start`."""
    at = below_titles(rows) if header is None else header - start
    if not 0 <= at < len(rows) or all(map(is_blank, rows[at])):
        raise TableError(f"{path.name}: header={header}, but row {header} of the sheet is blank, or there is none")
    width, empty = max(map(len, rows[at:])), "" if keep_blank else None
    names, *body = ([empty if c is None else c for c in row] + [empty] * (width - len(row)) for row in rows[at:])
    try:
        return _framed(path, names, body, range(start + at + 1, start + len(rows)))
    except TableError as error:
        below = suggested(rows) if header is None else None
        raise (error if below is None else _with_choice(error, f"row {start + below}", start + below)) from None


def _tables(path: Path, least: int = 1) -> Iterator[tuple[str, int, list[list[Any]]]]:
    """Return the visible sheets behind the first that have so many columns: name, first row and rows."""
    for name in _sheet_names(path)[1:]:
        start, rows = _rows(path, name)
        if max(map(len, rows), default=0) >= least:
            yield name, start, rows


def _refuse_cover(path: Path, rows: list[list[Any]]) -> None:
    """Refuse to take a first sheet of one column beside one of several for the table."""
    if max(map(len, rows)) == 1 and any(_tables(path, 2)):
        raise TableError(f"{path.name}: the first sheet has one column; sheet= reads it nevertheless")


def _with_sheet(error: TableError, path: Path, sheet: str) -> TableError:
    return TableError(f"{error}; if the table is on another sheet, read_table({path.name!r}, sheet={sheet!r}) reads it")


def _rows(path: Path, sheet: str | None) -> tuple[int, list[list[Any]]]:
    """Read a sheet row by row, without blank rows at both ends; say which of its rows is the first."""
    rows: list[list[Any]] = []
    start = end = width = 0
    for number, row in enumerate(_cells(path, sheet, values=True), 1):
        rows.append([_cell(path, cell) for cell in row])
        width = max(width, len(row))
        if number > _ROWS or len(rows) * width > _CELLS:
            raise TableError(
                f"{path.name}: the sheet spans {number:,} rows and {width:,} columns or more; delete what stands far "
                "below or beside the table"
            )
        if not all(is_blank(cell) for cell in rows[-1]):
            end = len(rows)
        elif not end:
            rows.clear()
            start = number
    return start + 1, rows[:end]


def _cells(path: Path, sheet: str | None, values: bool) -> Iterator[tuple[Any, ...]]:
    """Return the cells row by row: their values, or the formulas behind them."""
    try:
        import openpyxl
    except ImportError:
        raise MissingDependencyError.of("openpyxl", "files", f"reading {path.suffix}") from None
    with path.open("rb") as file:  # openpyxl leaves a path's file open when it cannot read the book
        with zipfile.ZipFile(file) as archive:
            _refuse_to_unpack(path, sum(member.file_size for member in archive.infolist()))
        book = openpyxl.load_workbook(file, read_only=True, data_only=values)
        try:
            found = _sheet(path, {s.title: s for s in book.worksheets}, sheet)
            found.reset_dimensions()  # some programs write A1:A1 there, and openpyxl would stop at it
            yield from found.rows
        finally:
            book.close()


def _sheet_names(path: Path) -> list[str]:
    """Return the names of the sheets that people see."""
    import openpyxl

    with path.open("rb") as file:
        book = openpyxl.load_workbook(file, read_only=True)
        try:
            return [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
        finally:
            book.close()


def _sheet(path: Path, sheets: dict[str, Any], name: str | None) -> Any:
    if name is None and sheets:
        return next((sheet for sheet in sheets.values() if sheet.sheet_state == "visible"), next(iter(sheets.values())))
    if name not in sheets:
        there = ", ".join(sheets) or "none"
        raise TableError(f"{path.name}: no sheet {name!r}{did_you_mean(str(name), sheets)}; it has {there}")
    return sheets[name]


def _cell(path: Path, cell: Any) -> Any:
    if cell.data_type == "e":
        raise TableError(f"{path.name}, cell {cell.coordinate}: holds the error {cell.value}; repair it there")
    if isinstance(cell.value, str):
        return _ESCAPED.sub(lambda of: chr(int(of[1], 16)), cell.value)
    return _as_shown(cell.value, cell.number_format) if type(cell.value) in (int, float) else cell.value


def _as_shown(number: Any, form: str) -> Any:
    """Return a number as the text with zeros in front that a spreadsheet program shows, where its format says so."""
    zeros = _ZEROS.fullmatch(form)
    return f"{int(number):0{len(zeros[1])}d}" if zeros and number >= 0 and number == int(number) else number


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(re.search(rb"<(\w+:)?f[ />]", archive.read(name)) for name in sheets)


def _refuse_uncomputed(path: Path, sheet: str | None) -> None:
    """Find formulas whose result was never stored; a stored empty text has the type "str"."""
    both = zip(_cells(path, sheet, values=True), _cells(path, sheet, values=False), strict=True)
    for value, formula in (pair for rows in both for pair in zip(*rows, strict=True)):
        if formula.data_type == "f" and value.value is None and value.data_type != "str":
            way_out = "save the workbook in a spreadsheet program, or paste the values"
            where = f"{path.name}, cell {formula.coordinate}"
            raise TableError(f"{where}: a formula without a stored result; {way_out}")


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingDependencyError.of("pyarrow", "files", f"reading {path.suffix}") from None
    with _unreadable(path, "Parquet", pa.ArrowException, OSError):
        _refuse_large_parquet(path)
        # partitioning=None: a folder named "lot=5" must not become a column
        frame = pd.read_parquet(path, engine="pyarrow", dtype_backend="numpy_nullable", partitioning=None)
    frame = _with_index(path, frame)
    names = [str(label).strip() for label in frame.columns]
    if "" in names:
        raise TableError(f"{path.name}: column {names.index('') + 1} has no name")
    _refuse_repeated(path, names)
    return frame.set_axis(names, axis=1)


def _refuse_large_parquet(path: Path) -> None:
    """Add up how large the table of a file is in memory, before it is read.

    A text that stands once in a dictionary is there once a row in memory: such texts are read as what they are in the
    file, numbers, and their lengths added up.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    told = pq.read_metadata(path)
    chunks = [told.row_group(g).column(c) for g in range(told.num_row_groups) for c in range(told.num_columns)]
    size = sum(max(chunk.total_uncompressed_size, 8 * chunk.num_values) for chunk in chunks)
    _refuse_to_unpack(path, size)
    texts = sorted(
        {c.path_in_schema for c in chunks if c.physical_type == "BYTE_ARRAY" and "DICTIONARY" in str(c.encodings)}
    )
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        for batch in file.iter_batches(columns=texts) if texts else ():
            for column in batch.columns:
                if pa.types.is_dictionary(column.type):
                    lengths = pc.binary_length(column.dictionary).take(column.indices)
                    size += pc.sum(lengths.cast(pa.int64())).as_py() or 0
                    _refuse_to_unpack(path, size)


def _with_index(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Make columns of what was saved as the index, such as a key; row numbers are dropped."""
    if frame.index.name in NAMES:
        return frame.reset_index(drop=True)
    for level, name in reversed(list(enumerate(frame.index.names))):
        cells = frame.index.get_level_values(level).to_series(index=range(len(frame)))
        if name is None and (frame.index.nlevels > 1 or not pd.api.types.is_numeric_dtype(cells.dtype)):
            raise TableError(f"{path.name}: its index has no name: give it one, or save the file without it")
        if name is not None and name not in frame.columns:
            frame.insert(0, name, cells.to_numpy(), allow_duplicates=True)
            frame[name] = cells.array
        elif name is not None and text_column(cells).take().tolist() != text_column(frame[name]).take().tolist():
            raise TableError(f"{path.name}: its index and a column are both named {name!r}, and differ: rename one")
    return frame.reset_index(drop=True)


def _make_blank_missing(frame: pd.DataFrame) -> None:
    """Change the columns that hold blank text, and leave every other as it is, dtype and all."""
    for name, column in frame.items():
        if column.dtype == object or isinstance(column.dtype, pd.StringDtype | pd.CategoricalDtype):
            cells = column.to_numpy(dtype=object).tolist()
            if any(isinstance(cell, str) and is_blank(cell) for cell in cells):
                kept = [None if is_blank(cell) else cell for cell in cells]
                frame[name] = pd.Series(kept, index=frame.index, dtype=object)


def from_arrow(table: Any) -> pd.DataFrame:
    """Turn a table with an Arrow stream, as those of Polars, PyArrow and DuckDB are, into a DataFrame, undamaged.

    Dtypes are pandas' nullable ones, as from a Parquet file: whole numbers beside missing cells stay whole.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingDependencyError.of("pyarrow", "files", f"a {type(table).__name__} as a table") from None
    try:
        read = pa.table(table) if hasattr(table, "schema") else pa.RecordBatchReader.from_stream(table).read_all()
        read = read.cast(pa.schema([pa.field(each.name, _without_views(each.type)) for each in read.schema]))
        return read.to_pandas(types_mapper=lambda kind: _NULLABLE.get(str(kind)), ignore_metadata=True)
    except (pa.ArrowException, TypeError) as error:
        raise TableError(f"a {type(table).__name__} that Arrow cannot read as a table: {error}") from None


_NULLABLE = {
    **{f"int{n}": pd.api.types.pandas_dtype(f"Int{n}") for n in (8, 16, 32, 64)},
    **{f"uint{n}": pd.api.types.pandas_dtype(f"UInt{n}") for n in (8, 16, 32, 64)},
    "bool": pd.BooleanDtype(), "float": pd.Float32Dtype(), "double": pd.Float64Dtype(),
    "string": pd.StringDtype(), "large_string": pd.StringDtype(),
}  # fmt: skip


def _without_views(kind: Any) -> Any:
    """Return a type of Arrow's for the same values that pandas knows, too."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.large_list(_without_views(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(each.name, _without_views(each.type)) for each in kind])
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _without_views(kind.value_type))
    return {"string_view": pa.large_string(), "binary_view": pa.large_binary()}.get(str(kind), kind)


def checked_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Refuse a table with a column whose name no call can hold."""
    for at, label in enumerate(frame.columns, 1):
        try:
            problem = text_of(str(label))[1]
        except ValueError:  # an int of more than 4,300 digits
            problem = "a number of very many digits"
        if problem is not None:
            raise TableError(f"the name of column {at}, {shown(label)}: {problem}; rename the column")
    return frame


def _pad(path: Path, frame: pd.DataFrame, name: str, width: int) -> None:
    if name not in frame.columns:
        raise MissingColumnError.of(name, frame.columns, "pad_to column")
    cells = frame[name].to_numpy(dtype=object).tolist()
    for row, cell in enumerate(cells):
        text = whole_number(text_of(cell)[0] or "") if not isinstance(cell, bool) else None
        if text is None:
            continue
        if len(text) > width:
            where = f"{path.name}, {place(frame.index, row)}, column {name!r}"
            raise TableError(f"{where}: {text!r} is longer than pad_to={width}")
        cells[row] = text.zfill(width)
    frame[name] = pd.Series(cells, index=frame.index, dtype=object)


class _Format(NamedTuple):
    """What reads a kind of file, and the options of `read_table` that it takes."""

    read: Callable[..., pd.DataFrame]
    options: tuple[str, ...] = ()


# The kinds of files, by how their names end.
_DELIMITED, _LINES = _Format(_read_delimited, ("delimiter", "encoding", "header")), _Format(_read_lines, ("encoding",))
_TEXT = dict.fromkeys((".csv", ".tsv", ".tab", ".txt"), _DELIMITED) | dict.fromkeys(
    (".jsonl", ".ndjson", ".json"), _LINES
)
_BINARY = {
    **dict.fromkeys((".xlsx", ".xlsm"), _Format(_read_workbook, ("sheet", "keep_blank", "header"))),
    **dict.fromkeys((".parquet", ".pq"), _Format(_read_parquet)),
}
FORMATS = _TEXT | {f"{suffix}.gz": form for suffix, form in _TEXT.items()} | _BINARY
