"""Tasks to their end: when to ask again, and when to stop asking. Decisions only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scmkit.contract import GATEWAY_TIMEOUT_S
from scmkit.models import Mode, Task

FIRST_POLL_S, LAST_POLL_S, POLL_GROWTH = 1.0, 15.0, 1.4
NOT_FOUND_PATIENCE_S = 200.0  # a task may not be visible at once
PENDING_PATIENCE_S = 3600.0
# How long a call of which nobody knows the answer may still take effect, in seconds of the service's clock: a sync one
# until the gateway cuts it [seed]; an async one has perhaps made a task that nobody follows.
LATE_S = {Mode.SYNC: GATEWAY_TIMEOUT_S, Mode.ASYNC: PENDING_PATIENCE_S}


@dataclass(frozen=True)
class Watch:
    """A task that is being followed.

    Parameters
    ----------
    task_id : str
    call : int
        The call that made it.
    since : float
        When it was made, on the job's clock.
    due : float
        When to ask next.
    interval : float
        Seconds until the time after that.
    last : Task or None
        What the service said last.
    missing : bool
        Whether it answered the last question with 404.
    """

    task_id: str
    call: int
    since: float
    due: float
    interval: float
    last: Task | None = None
    missing: bool = False

    @classmethod
    def begin(cls, task_id: str, call: int, now: float, speed: float = 1.0) -> Watch:
        """Follow a new task; the first question comes after a second of the service's clock."""
        interval = FIRST_POLL_S / speed
        return cls(task_id, call, now, now + interval, interval)

    def asked(
        self, now: float, task: Task | None, speed: float = 1.0, wait_s: float = 0.0, *, missing: bool = False
    ) -> Watch:
        """Note an answer, or that there was none, and plan the next question."""
        interval = min(self.interval * POLL_GROWTH, LAST_POLL_S / speed)
        return replace(
            self, due=now + max(interval, wait_s), interval=interval, last=task or self.last, missing=missing
        )

    def lost(self, now: float, speed: float = 1.0) -> str | None:
        """Say why there is no point in asking on, or None."""
        age = (now - self.since) * speed
        if self.missing and self.last is None and age > NOT_FOUND_PATIENCE_S:
            return f"task {self.task_id} was accepted, but cannot be found after {age:,.0f} s"
        if age > PENDING_PATIENCE_S:
            word = self.last.word if self.last else "unknown"
            return f"task {self.task_id} is still {word!r} after {age / 3600:.1f} h: ask for it later"
        return None
