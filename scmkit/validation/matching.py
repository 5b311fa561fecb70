"""Whether the key values of a table are in an inventory, and what else they may be called there.

An inventory may be a part of the codes: a list of lots, a work order, an old download. So it never says what becomes of
a row. It says that something is probably wrong with the keys: most often, a spreadsheet took their leading zeros.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from scmkit.core.errors import nearest
from scmkit.core.texts import text_table, whole_number
from scmkit.tables.inventory import Inventory, count_codes

HARDLY = 0.05  # of the key values; where fewer match, the keys are probably written otherwise [assumed]
ENOUGH_CODES, ENOUGH_KEYS = 100, 3  # in an inventory, and in a table, that say so [assumed]
WIDEST = 40  # digits that zeros may fill up to
LOOKED_THROUGH = 100_000  # key values of an inventory that are read without their zeros
COMPARED = 1_000  # key values of an inventory that are looked through for a similar one: this is slow
LOOKED_UP = 10  # and for so many of the table


@dataclass(frozen=True, eq=False)
class KnownKeys:
    """The key values of an inventory.

    Attributes
    ----------
    values : set of tuple of str
        A part for each column of the key.
    codes : int
        How many codes have them.
    whole : bool
        False where the inventory is known to be a sample, in which a key value may be missing by chance.
    """

    values: frozenset[tuple[str, ...]]
    codes: int
    whole: bool = True

    @cached_property
    def without_zeros(self) -> dict[str, str]:
        """The values of a key of one column, by what they are without zeros in front of their numbers, if certain."""
        found: dict[str, list[str]] = {}
        for first, *more in self.values if len(self.values) <= LOOKED_THROUGH else ():
            found.setdefault(_without_zeros(first), []).extend([] if more else [first])
        return {text: values[0] for text, values in found.items() if len(values) == 1}

    @cached_property
    def alone(self) -> list[str]:
        """The values of a key of one column, if there are few enough to look through."""
        return sorted(first for first, *_ in self.values) if len(self.values) <= COMPARED else []

    def has(self, value: tuple[str, ...]) -> bool:
        """Whether a code has the value; blanks around it are another matter."""
        return tuple(part.strip() for part in value) in self.values

    def padded(self, value: tuple[str, ...]) -> str | None:
        """Return what the value is with the zeros in front that it lacks; None unless that is certain."""
        text = whole_number(value[0].strip())
        if len(value) > 1 or text is None:
            return None
        found = {full for width in range(len(text) + 1, WIDEST + 1) if ((full := text.zfill(width)),) in self.values}
        return found.pop() if len(found) == 1 else None

    def alike(self, text: str) -> str | None:
        """Return the value that a text probably means, though nobody can know."""
        ways = (text.strip().lstrip("0"), text.strip().upper(), text.strip().lower())
        near = next((way for way in ways if (way,) in self.values), None) or self.without_zeros.get(
            _without_zeros(text)
        )
        return near or nearest(text, self.alone, 0.8)

    def is_blocked(self, keys: int, matched: int, padded: int) -> bool:
        """Whether so few of a table's key values match that they are probably written otherwise."""
        tells = self.codes >= ENOUGH_CODES and len(self.values) >= keys >= ENOUGH_KEYS
        return self.whole and matched < HARDLY * keys and (tells or 2 * padded > keys)


def _without_zeros(text: str) -> str:
    plain = text.strip().upper()
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", whole_number(plain) or plain)


def known_keys(inventory: Inventory | None, keys: list[str], sample_fraction: float = 1.0) -> KnownKeys | None:
    """Look up the key values of an inventory; None without one."""
    if inventory is None:
        return None
    if isinstance(inventory, pd.DataFrame):
        cells = [column.take(np.arange(len(inventory))) for column in text_table(inventory, keys).values()]
        rows = [row for row in zip(*cells, strict=True) if all(row)]
        return KnownKeys(frozenset(rows), len(rows), sample_fraction == 1)
    counts = count_codes(inventory, keys)
    columns = [counts[key].to_numpy(dtype=object).tolist() for key in keys]
    codes = counts[next(name for name in counts.columns if name not in keys)]
    return KnownKeys(frozenset(zip(*columns, strict=True)), int(codes.sum()), sample_fraction == 1)
