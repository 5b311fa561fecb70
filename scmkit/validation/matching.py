"""Whether the key values of a table are in an inventory, and what else they may be called there.

An inventory may be a part of the codes: a list of lots, a work order, an old download. So it never says what becomes of
a row. It says that something is probably wrong with the keys: most often, a spreadsheet took their leading zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scmkit.core.arrays import Bools, Ints
from scmkit.core.display import shown
from scmkit.core.errors import nearest
from scmkit.core.texts import MISSING, TextColumn, group, our_name, whole_number
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
        for (value,) in self.values if len(self.values) <= LOOKED_THROUGH else ():
            found.setdefault(_without_zeros(value), []).append(value)
        return {text: values[0] for text, values in found.items() if len(values) == 1}

    @cached_property
    def alone(self) -> list[str]:
        """The values of a key of one column, if there are few enough to look through."""
        return sorted(value for (value,) in self.values) if len(self.values) <= COMPARED else []

    def has(self, value: tuple[str, ...]) -> bool:
        """Whether a code has the value; blanks around it are another matter."""
        return tuple(map(str.strip, value)) in self.values

    def padded(self, value: tuple[str, ...]) -> str | None:
        """Return what the value is with the zeros in front that it lacks; None unless that is certain."""
        text = whole_number(value[0].strip())
        if len(value) > 1 or text is None:
            return None
        found = {full for width in range(len(text) + 1, WIDEST + 1) if ((full := text.zfill(width)),) in self.values}
        return found.pop() if len(found) == 1 else None

    def alike(self, text: str) -> str | None:
        """Return the value of a key of one column that a text probably means, though nobody can know."""
        ways = (text.strip().lstrip("0"), text.strip().upper(), text.strip().lower())
        near = next((way for way in ways if (way,) in self.values), None)
        return near or self.without_zeros.get(_without_zeros(text)) or nearest(text, self.alone, 0.8)

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
    counts = count_codes(inventory, keys)
    values = zip(*(counts[key].tolist() for key in keys), strict=True)
    return KnownKeys(frozenset(values), int(counts[our_name("codes", keys)].sum()), sample_fraction == 1)


@dataclass(frozen=True, eq=False)
class Unmatched:
    """Key values that are not in the inventory.

    Attributes
    ----------
    keys, matched : int
        How many key values the table has, and of how many the inventory has codes.
    groups : array of int64, shape (rows,)
        The number of each row's key value; -1 where it is blank.
    verdicts : dict of int to (message, fix)
        Of the key values that the inventory lacks.
    padded : dict of int to str
        What those of them are that lack zeros in front.
    example : tuple of str
        One of these: what the table holds, and the inventory.
    """

    keys: int
    matched: int
    groups: Ints
    verdicts: Mapping[int, tuple[str, str | None]]
    padded: Mapping[int, str]
    example: tuple[str, str]

    @classmethod
    def among(cls, keys: list[TextColumn], blank_key: Bools, held: KnownKeys) -> Unmatched:
        """Look up each key value once."""
        groups = np.where(blank_key, MISSING, group(keys, len(blank_key))[0])
        of, first = np.unique(groups, return_index=True)
        of, first = of[of != MISSING], first[of != MISSING]
        values = dict(zip(of.tolist(), zip(*(c.take(first) for c in keys), strict=True), strict=True))
        absent = {g: value for g, value in values.items() if not held.has(value)}
        padded = {g: full for g, value in absent.items() if (full := held.padded(value)) is not None}
        told = absent if held.whole else {g: absent[g] for g in padded}
        verdicts: dict[int, tuple[str, str | None]] = {}
        for g, value in told.items():
            look = g not in padded and len(value) == 1 and len(verdicts) < len(padded) + LOOKED_UP
            near = held.alike(value[0]) if look else None
            verdicts[g] = _absent(", ".join(value), padded.get(g), near), padded.get(g)
        example = next(((absent[g][0], full) for g, full in padded.items()), ("", ""))
        return cls(len(of), len(of) - len(absent), groups, verdicts, padded, example)


def _absent(text: str, full: str | None, near: str | None) -> str:
    words = f"no code in the inventory has {shown(text)}"
    if full is not None:
        return f"{words}, and some have {shown(full)}: zeros in front are missing"
    return f"{words}; did you mean {near!r}?" if near is not None else f"{words}: it would select none of them"
