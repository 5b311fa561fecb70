"""From columns of text to the JSON bytes of a call, made when the call goes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from scmkit.core.arrays import Ints
from scmkit.core.texts import TextColumn

_encode = msgspec.json.Encoder().encode


def sync_body(key: TextColumn, fields: Sequence[TextColumn], rows: Ints) -> bytes:
    """Make the body of a sync call: an item for each row, missing cells left out."""
    columns = [key, *fields]
    names = [c.name for c in columns]
    items = [
        {name: text for name, text in zip(names, texts, strict=True) if text is not None}
        for texts in zip(*(c.take(rows) for c in columns), strict=True)
    ]
    return _encode({"data_key": key.name, "items": items})


def async_body(keys: Sequence[TextColumn], fields: Sequence[TextColumn], rows: Ints) -> bytes:
    """Make the body of an async call for rows with equal values, which differ in the first key at most."""
    first = rows[:1]
    constraints: dict[str, Any] = {k.name: k.take(first)[0] for k in keys}
    if len(rows) > 1:
        constraints[keys[0].name] = list(keys[0].take(rows))
    texts = {f.name: f.take(first)[0] for f in fields}
    return _encode({"constraints": constraints, "scm_data": {n: t for n, t in texts.items() if t is not None}})


def text_bytes(column: TextColumn) -> Ints:
    """Count the bytes of each row's text as a JSON string, quotes included; 0 where missing."""
    sizes = np.array([len(_encode(text)) for text in column.texts] + [0], dtype=np.int64)
    return np.asarray(sizes[column.codes])


def item_bytes(key: TextColumn, fields: Sequence[TextColumn]) -> Ints:
    """Count the bytes of each row as an item of a sync call, with the comma behind it."""
    total = np.full(len(key.codes), 2, dtype=np.int64)  # two braces; a comma behind each member and item
    for column in (key, *fields):
        total += np.where(column.missing, 0, text_bytes(column) + len(_encode(column.name)) + 2)
    return total


def sync_envelope_bytes(key: TextColumn) -> int:
    """Count the bytes around the items of a sync call, less the last item's comma."""
    return len(_encode({"data_key": key.name, "items": []})) - 1
