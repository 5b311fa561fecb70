"""Pace and waits: when the next call may go out. Decisions only; the time is an argument, and nobody sleeps here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scmkit.core import contract

HEADROOM = contract.PACE_HEADROOM

# A call that goes out late (a commit, a busy machine) may be made up for by this share of an interval, else lateness
# would add up and the allowance be wasted. Together with the headroom, eleven permits still take more than a second.
CATCH_UP = 0.2
SLOWEST = 16.0  # times slower than the normal pace
BACKOFF_BASE_S, BACKOFF_CAP_S = 0.5, 30.0


class Pace:
    """Evenly spaced permits, slower after a 429, and back to normal with each success.

    Parameters
    ----------
    per_second : float
        Calls per second that the service allows.
    """

    def __init__(self, per_second: float) -> None:
        self._normal = 1.0 / (per_second * HEADROOM)
        self._interval = self._normal
        self.ready_at = 0.0

    def take(self, now: float) -> None:
        """Note that a call goes out now."""
        self.ready_at = max(self.ready_at, now - CATCH_UP * self._interval) + self._interval

    def pause(self, now: float, seconds: float) -> None:
        """Let everybody wait."""
        self.ready_at = max(self.ready_at, now + seconds)

    def slow_down(self) -> None:
        """Halve the pace: the service counts more calls than ours, or counts them otherwise."""
        self._interval = min(self._interval * 2, self._normal * SLOWEST)

    def recover(self) -> None:
        """Come back to the normal pace, a tenth of the way with each success."""
        self._interval = max(self._normal, self._interval * 0.9)


class Budget:
    """Repeats that a job may still make: an allowance, and part of a repeat for each call that succeeds.

    Where hardly anything succeeds, more calls only add to the trouble.
    """

    def __init__(self, allowance: float = 100.0, per_success: float = 0.5) -> None:
        self._most, self._left, self._per_success = allowance, allowance, per_success

    def spend(self) -> bool:
        """Take one repeat, if there is one."""
        self._left -= 1
        return self._left >= 0

    def earn(self) -> None:
        """Note a success."""
        self._left = min(self._most, max(0.0, self._left) + self._per_success)


@dataclass(frozen=True, eq=False)
class Claim:
    """What a job may still change.

    Parameters
    ----------
    keys : dict of str to frozenset of str
        The values with which it selects codes, by the name of the key.
    fields : frozenset of str
    """

    keys: dict[str, frozenset[str]]
    fields: frozenset[str]

    def meets(self, other: Claim) -> bool:
        """Whether both may change one field of one code, or one of them changes by what the other selects codes.

        Different keys may select the same code.
        """
        alike = self.keys.keys() == other.keys.keys()
        apart = alike and any(values.isdisjoint(other.keys[key]) for key, values in self.keys.items())
        moves = not (self.fields.isdisjoint(other.keys) and other.fields.isdisjoint(self.keys))
        return moves or not (apart or self.fields.isdisjoint(other.fields))


def probe_pause_s(failures: int, random: Callable[[], float], speed: float = 1.0) -> float:
    """Wait before the next probe of a service that is down: as `backoff_s`, but never less than half of its bound."""
    return backoff_s(failures + 1, lambda: 0.5 + 0.5 * random(), speed)


def backoff_s(attempt: int, random: Callable[[], float], speed: float = 1.0) -> float:
    """Wait with full jitter: between 0 and a bound that doubles with each attempt, from 0.5 s up to 30 s."""
    return random() * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** (attempt - 1)) / speed
