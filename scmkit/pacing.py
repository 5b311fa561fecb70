"""Pace and waits: when the next call may go out. Decisions only; the time is an argument, and nobody sleeps here."""

from __future__ import annotations

from collections.abc import Callable

# A twentieth below the allowed rate, so that a call which travels up to 5 % of a second slower than the eleventh
# after it still leaves ten in any second at the server.
HEADROOM = 0.95
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
        self.ready_at = max(self.ready_at, now) + self._interval

    def pause(self, now: float, seconds: float) -> None:
        """Let everybody wait."""
        self.ready_at = max(self.ready_at, now + seconds)

    def slow_down(self) -> None:
        """Halve the pace: the service counts more calls than ours, or counts them otherwise."""
        self._interval = min(self._interval * 2, self._normal * SLOWEST)

    def recover(self) -> None:
        """Come back to the normal pace, a tenth of the way with each success."""
        self._interval = max(self._normal, self._interval * 0.9)


def backoff_s(attempt: int, random: Callable[[], float], speed: float = 1.0) -> float:
    """Wait with full jitter: between 0 and a bound that doubles with each attempt, from 0.5 s up to 30 s."""
    return random() * min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2.0 ** (attempt - 1)) / speed
