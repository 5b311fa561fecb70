"""Arguments, looked at where they come in: what is wrong with one is said in a sentence, before anything is done.

`public` stands on each public function and constructor. What an argument must be is told by its name, in `KINDS`, since
a name means the same everywhere. Of tables, `scmkit.tables.arguments` knows more.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np

from scmkit.core.contract import Assumptions
from scmkit.core.display import shown
from scmkit.core.errors import ArgumentError, FileAccessError, ScmkitError, SettingError, did_you_mean, in_a_line
from scmkit.core.secret import Token

Anything = TypeVar("Anything", bound=Callable[..., Any])

LARGEST = 10**12  # codes, rows, trials: far beyond what anybody has, far below what an int64 holds
LONGEST_PATH, LONGEST_NAME = 4_096, 255  # bytes
LONGEST_TEXT = 1_000


@dataclass(frozen=True)
class Kind:
    """What an argument must be.

    Parameters
    ----------
    words : str
        What it is, to follow "risk is".
    accepts : callable
        Whether a value is of this kind.
    reads : callable, optional
        Makes what the function takes of a value that is accepted.
    hint : callable, optional
        Says what may have been meant by a value that is not.
    sentence : str
        The message.
    """

    words: str
    accepts: Callable[[Any], bool]
    reads: Callable[[Any], Any] | None = None
    hint: Callable[[Any], str] | None = None
    sentence: str = "{name} is {words}, not {value}{hint}"

    def wrong(self, name: str, value: Any) -> str:
        """Say what is wrong with a value; empty when nothing is."""
        with suppress(Exception):  # what cannot even be asked is not of this kind
            if self.accepts(value):
                return ""
        hint = "" if self.hint is None else self.hint(value)
        return self.sentence.format(name=name, words=self.words, value=_told(value, name), hint=hint)

    def optional(self) -> Kind:
        """Return the kind that may also be None."""
        return Kind(
            f"{self.words}, or None", lambda v: v is None or self.accepts(v), self.reads, self.hint, self.sentence
        )


def public(
    *,
    error: type[ScmkitError] = ArgumentError,
    depths: bool = True,
    options_of: Callable[..., Any] | None = None,
    **kinds: Kind,
) -> Callable[[Anything], Anything]:
    """Check the arguments of a function, or of a class's constructor, and say in one sentence what is wrong.

    Parameters
    ----------
    error : type
        What is raised.
    depths : bool
        Whether an error from the depths is the arguments' fault, too: not where something was sent before.
    options_of : callable, optional
        Whose parameters ``**options`` are.
    **kinds
        Kinds of arguments that differ from those in `KINDS`.
    """
    rules = _Rules(error, depths, options_of, KINDS | kinds)

    def decorated(function: Any) -> Any:
        if not isinstance(function, type):
            return _checked(function, function.__name__, rules)
        constructor: Any = function
        constructor.__init__ = _checked(constructor.__init__, function.__name__, rules)
        return function

    return decorated


@dataclass(frozen=True)
class _Rules:
    error: type[ScmkitError]
    depths: bool
    options_of: Callable[..., Any] | None
    kinds: Mapping[str, Kind]

    def wrong(self, values: dict[str, Any]) -> str:
        """Say what is wrong with one of these values, or put in the place of each what the function takes."""
        for name, value in list(values.items()):
            if (kind := self.kinds.get(name)) is None:
                continue
            if told := kind.wrong(name, value):
                return told
            if kind.reads is not None and value is not None:
                values[name] = kind.reads(value)
        return ""

    def unknown(self, options: Mapping[str, Any]) -> str:
        """Name an option that nobody takes."""
        known = options if self.options_of is None else inspect.signature(self.options_of).parameters
        strange = next((name for name in options if name not in known), None)
        return "" if strange is None else f"there is no option {strange!r}{did_you_mean(strange, known)}"


def _checked(function: Any, name: str, rules: _Rules) -> Any:
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        call = _Call(signature, args, options)
        del args, options  # one of them may be a token, and a traceback may show variables
        try:
            call.check(rules, name)
            return call.make(function)
        except Exception as error:
            if isinstance(error, ScmkitError | Warning) or (call.begun and not rules.depths):
                raise
            kind = FileAccessError if isinstance(error, OSError) else rules.error
            words = in_a_line(str(error))[:200] or "it says no more"
            raise kind(f"{name}: these arguments lead to {type(error).__name__}: {words}") from error

    return wrapper


class _Call:
    """Arguments that are about to be used; it does not show them."""

    def __init__(self, signature: inspect.Signature, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        self._signature, self._args, self._options, self.begun = signature, args, options, False

    def check(self, rules: _Rules, name: str) -> None:
        if wrong := self._wrong(rules):
            raise rules.error(f"{name}: {wrong}")
        self.begun = True

    def make(self, function: Callable[..., Any]) -> Any:
        return function(*self._bound.args, **self._bound.kwargs)

    def _wrong(self, rules: _Rules) -> str:
        parameters = self._signature.parameters
        try:
            self._bound = self._signature.bind(*self._args, **self._options)
        except TypeError as error:
            unknown = next((name for name in self._options if name not in parameters), None)
            return f"{error}{'' if unknown is None else did_you_mean(unknown, parameters)}"
        given = self._bound.arguments
        several = [name for name in given if parameters[name].kind is inspect.Parameter.VAR_KEYWORD]
        options: dict[str, Any] = given[several[0]] if several else {}
        return rules.wrong(given) or rules.wrong(options) or rules.unknown(options)


def _told(value: Any, name: str) -> str:
    """Show a value in a message, if it is short, and no token."""
    if isinstance(value, str | bool | Real | None) and name != "token":
        return shown(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"


# --- what values may be -----------------------------------------------------------------------------------------


def is_real(value: Any) -> bool:
    """Whether a value is a finite number; a truth value is none."""
    try:
        return isinstance(value, Real) and not is_flag(value) and math.isfinite(value)
    except OverflowError:  # an int beyond every float
        return False


def is_ours(value: Any, *names: str) -> bool:
    """Whether a value is of one of our classes, which need not be loaded for that."""
    return any(c.__name__ in names and c.__module__.startswith("scmkit") for c in type(value).__mro__)


def is_flag(value: Any) -> bool:
    """Whether a value is a truth value, of Python or NumPy."""
    return isinstance(value, bool | np.bool_)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not is_flag(value)


def is_path(value: Any) -> bool:
    """Whether a value may be the path of a file."""
    if not isinstance(value, str | os.PathLike) or not isinstance(text := os.fspath(value), str):
        return False
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError:  # half of a character
        return False
    longest = max(map(len, name.replace(b"\\", b"/").split(b"/")))
    return b"\0" not in name and 0 < len(name) <= LONGEST_PATH and longest <= LONGEST_NAME


def is_name(value: Any) -> bool:
    """Whether a value may be the label of a column; raises for an array, a missing value, a number without end."""
    return value is not None and value == value and bool(str(value)) and not isinstance(value, bytes | Mapping)


def _is_key(value: Any) -> bool:
    if isinstance(value, tuple):  # the name of a column may be one that holds nothing, too
        return all(v is None or is_name(v) for v in value)
    if isinstance(value, list) or type(value).__name__ in ("Index", "ndarray"):
        return all(is_name(v) and not isinstance(v, list | bool) for v in value)
    is_single = isinstance(value, str | Real) or type(value).__name__ in ("Timestamp", "date", "datetime")
    return is_single and is_name(value) and not is_flag(value)


def _is_count(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return len(value) == 2 and all(is_real(v) and 0 <= v <= LARGEST for v in value)
    return is_real(value) and 0 <= value <= LARGEST


def _is_widths(value: Any) -> bool:
    return isinstance(value, Mapping) and all(is_name(k) and whole(1, 1_000).accepts(v) for k, v in value.items())


def _as_token(value: Any) -> Any:
    """Return a token that shows itself to nobody: a traceback may show what is called with it."""
    return Token(value) if value and isinstance(value, str) else value or None


def whole(least: int, most: int = LARGEST) -> Kind:
    """Return the kind of whole numbers from one to another."""
    end = "or more" if most == LARGEST else f"to {most:,}"
    return Kind(f"a whole number of {least:,} {end}", lambda v: _is_whole(v) and least <= v <= most)


def choice(*words: str) -> Kind:
    """Return the kind of values that are one of these words."""
    return Kind(
        f"one of {', '.join(map(repr, words))}",
        lambda v: isinstance(v, str) and v in words,
        hint=lambda v: did_you_mean(v, words) if isinstance(v, str) else "",
    )


def of_class(name: str, words: str, hint: Callable[[Any], str] | None = None) -> Kind:
    """Return the kind of objects of one of our classes."""
    return Kind(words, lambda v: is_ours(v, name), hint=hint)


FLAG = Kind("True or False", is_flag)
TEXT = Kind("text", lambda v: isinstance(v, str) and len(v) <= LONGEST_TEXT)
PATH = Kind("a path", is_path)
NAMES = Kind("a list of names", lambda v: isinstance(v, Iterable) and not isinstance(v, str | bytes | Mapping))
POSITIVE = Kind("a number above 0", lambda v: is_real(v) and v > 0)
DRAWS = Kind("a number of 0 or more, or an array of them", lambda v: np.asarray(v).dtype.kind in "iuf")
NUMBERS = Kind("a list of numbers above 0", lambda v: len(v) > 0 and all(is_real(n) and 0 < n <= LARGEST for n in v))
FROM_ZERO = Kind("a number of 0 or more", lambda v: is_real(v) and v >= 0)
PROBABILITY = Kind("a probability between 0 and 1, such as 0.01", lambda v: is_real(v) and 0 < v < 1)
CODES = Kind("a number above 0, or an Estimate", lambda v: is_ours(v, "Estimate") or (is_real(v) and 0 < v <= LARGEST))
WHOLES = Kind("a list of whole numbers of 1 or more", lambda v: len(v) > 0 and all(map(whole(1).accepts, v)))
JOURNAL = Kind(
    "a path, False for none, or None for the user's own",
    lambda v: v is None or is_flag(v) or is_path(v),
    reads=lambda v: None if v is True else v,
)
KEY = Kind("the name of a column, or a list of names", _is_key)
CLIENT = of_class("Client", "a Client", lambda v: f" (did you mean key={shown(v)}?)" if isinstance(v, str) else "")

# What an argument of this name must be, wherever it stands.
KINDS: dict[str, Kind] = {
    "key": KEY,
    "on_conflict": choice("error", "last", "first"),
    "mode": choice("auto", "sync", "async"),
    "errors": choice("raise", "reject"),
    "estimate": of_class("Estimate", "what scmkit.estimate() made").optional(),
    "service_time": of_class("ServiceTime", "a ServiceTime").optional(),
    "sample_fraction": Kind("above 0 and at most 1", lambda v: is_real(v) and 0 < v <= 1),
    "default": Kind("a number of codes, or (low, high)", _is_count).optional(),
    "level": Kind("above 0 and below 1", lambda v: is_real(v) and 0 < v < 1),
    "now": Kind("a time", lambda v: hasattr(v, "isoformat") and v == v).optional(),
    "risk": PROBABILITY,
    "batch": Kind("1 row or more, with mode='sync'", lambda v: _is_whole(v) and 1 <= v <= LARGEST).optional(),
    "workers": whole(1, 1_024),
    "timeout_s": POSITIVE,
    "assumptions": of_class("Assumptions", "an Assumptions, see scmkit.core.contract"),
    "trials": whole(1, 10_000_000),
    "seed": Kind("a whole number of 0 or more", lambda v: _is_whole(v) and v >= 0).optional(),
    "client": CLIENT.optional(),
    "wait": FLAG, "verify": FLAG, "progress": FLAG, "anyway": FLAG, "keep_blank": FLAG,
    "journal": PATH.optional(),
    "job_id": Kind("the id of a job, as scmkit.jobs() lists it", lambda v: isinstance(v, str) and bool(v)),
    "path": PATH,
    "file": TEXT, "sheet": TEXT.optional(), "encoding": TEXT.optional(), "header": whole(1).optional(),
    "kind": TEXT.optional(), "base_url": TEXT.optional(),
    "delimiter": Kind("one character", lambda v: isinstance(v, str) and len(v) == 1 and v not in '\r\n"').optional(),
    "pad_to": Kind("a dict of column names and widths of 1 to 1,000", _is_widths).optional(),
    "max_mb": POSITIVE,
    "clock": Kind("a function without arguments", callable),
    "codes_per_key": CODES,
    "base_s": DRAWS, "per_code_s": DRAWS, "per_item_s": DRAWS, "noise": DRAWS,
    "rows": whole(1),
    "batches": WHOLES.optional(),
    "slowdown": Kind("a number of 0 to 10, such as 0.05", lambda v: is_real(v) and 0 <= v <= 10),
    "item_bytes": POSITIVE,
    "certainty": PROBABILITY,
    "factors": NUMBERS,
    "limits": of_class("Limits", "a Limits").optional(),
    "token": Kind("text", lambda v: isinstance(v, str) or is_ours(v, "Token"), _as_token).optional(),
    "ca_file": PATH.optional(),
}  # fmt: skip

# The ground below knows nothing of this module.
public(
    error=SettingError, max_body_bytes=whole(1), parallel_tasks=whole(1), task_overhead_s=FROM_ZERO,
    missing_field_is_discarded=FLAG, link_field=TEXT, task_path=TEXT,
    unique_keys=NAMES, document_ready=NAMES, document_failed=NAMES,
)(Assumptions)  # fmt: skip
