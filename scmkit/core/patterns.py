"""Regular expressions that read each character of a text once: no pattern and no text makes them take for ever.

Python's own tries one way after the other, and ``(a+)+b`` has more of them than anybody can wait for. What only that
can do is refused: references to groups, and looking ahead or back. A single character is left to `re`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

MOST_PLACES = 1_000  # characters of a pattern, with what is repeated by number written out
MOST_STATES = 100_000
_TOKEN = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|\{(?:\d+(?:,\d*)?|,\d*)\}|\(\?:?|.", re.DOTALL)
_TIMES: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_ONE_CHARACTER = re.compile(r"\\[dDwWsStnrfv]|\\[^A-Za-z0-9]", re.DOTALL)


class PatternError(ValueError):
    """A text that is no pattern, or one of those that are refused."""


class _Part(NamedTuple):
    """A part of a pattern: whether it may be empty, and the places that it may begin and end with."""

    empty: bool
    first: frozenset[int]
    last: frozenset[int]


_NOTHING = _Part(True, frozenset(), frozenset())
_TOO_LONG = f"it is longer than {MOST_PLACES:,} characters, written out"


class Pattern:
    """A regular expression, to be compared with whole texts.

    Parameters
    ----------
    text : str
        In the language of `re`, without what is refused.

    Raises
    ------
    PatternError
    """

    def __init__(self, text: str) -> None:
        self._signs, self._at = _TOKEN.findall(text), 0
        self._places: list[re.Pattern[str]] = []
        self._follow: list[set[int]] = []
        self._copies = 0
        try:
            re.compile(text)
            self._whole = self._alternatives()
        except (re.error, OverflowError, RecursionError) as error:
            raise PatternError(str(error)) from None
        # A state is the set of places read last, -1 for the beginning; which one comes next is found out once.
        self._next: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def matches(self, text: str) -> bool:
        """Whether the whole text is as the pattern says."""
        state = frozenset([-1])
        for character in text:
            if (after := self._next.get((state, character))) is None:
                after = self._after(state, character)
                if len(self._next) < MOST_STATES:
                    self._next[state, character] = after
            state = after
        return bool(state & self._whole.last) or (-1 in state and self._whole.empty)

    def _after(self, state: Iterable[int], character: str) -> frozenset[int]:
        places = {at for last in state for at in (self._whole.first if last < 0 else self._follow[last])}
        return frozenset(at for at in places if self._places[at].fullmatch(character))

    # Reading a pattern

    def _sign(self) -> str:
        return self._signs[self._at] if self._at < len(self._signs) else ""

    def _alternatives(self) -> _Part:
        ways = [self._sequence()]
        while self._sign() == "|":
            self._at += 1
            ways.append(self._sequence())
        return _Part(
            any(w.empty for w in ways),
            frozenset().union(*(w.first for w in ways)),
            frozenset().union(*(w.last for w in ways)),
        )

    def _sequence(self) -> _Part:
        whole = _NOTHING
        while self._sign() not in ("", "|", ")"):
            whole = self._joined(whole, self._repeated())
        return whole

    def _joined(self, one: _Part, other: _Part) -> _Part:
        for at in one.last:
            self._follow[at] |= other.first
        return _Part(
            one.empty and other.empty,
            one.first | (other.first if one.empty else frozenset()),
            other.last | (one.last if other.empty else frozenset()),
        )

    def _repeated(self) -> _Part:
        begun = self._at
        part = self._one()
        if (times := self._times()) is None:
            return part
        after, (least, most) = self._at, times
        copies = [part, *(self._again(begun) for _ in range(max(least, most or 1) - 1))]
        if most is None:
            self._joined(copies[-1], copies[-1])
        whole = _NOTHING
        for at in reversed(range(len(copies))):
            whole = self._joined(copies[at], whole)
            whole = whole if at < least else whole._replace(empty=True)
        self._at = after
        return _NOTHING if most == 0 else whole

    def _again(self, begun: int) -> _Part:
        self._at, self._copies = begun, self._copies + 1
        if self._copies > MOST_PLACES:
            raise PatternError(_TOO_LONG)
        return self._one()

    def _times(self) -> tuple[int, int | None] | None:
        """Read how often something is there: from, to; None where nothing is said."""
        sign = self._sign()
        if sign not in _TIMES and (len(sign) < 3 or sign[0] != "{"):
            return None
        self._at += 1
        if self._sign() == "+":
            raise PatternError(f"{sign}+ is not understood here")
        if self._sign() == "?":  # as few as possible: of whole texts, that is all one
            self._at += 1
        if sign in _TIMES:
            return _TIMES[sign]
        least, comma, most = sign[1:-1].partition(",")
        return int(least or 0), int(most) if most else None if comma else int(least)

    def _one(self) -> _Part:
        """Read a group or a character."""
        sign = self._sign()
        self._at += 1
        if sign in ("(", "(?:"):
            inside = self._alternatives()
            self._at += 1
            return inside
        if (sign == "^" and self._at == 1) or (sign == "$" and self._at == len(self._signs)):
            return _NOTHING  # whole texts are compared anyway
        if sign in ("^", "$", "(?") or (sign[0] == "\\" and not _ONE_CHARACTER.fullmatch(sign)):
            raise PatternError(f"{sign} is not understood here")
        return self._character(sign)

    def _character(self, sign: str) -> _Part:
        at = len(self._places)
        if at >= MOST_PLACES:
            raise PatternError(_TOO_LONG)
        self._places.append(re.compile(sign if sign == "." or len(sign) > 1 else re.escape(sign)))
        self._follow.append(set())
        return _Part(False, frozenset([at]), frozenset([at]))
