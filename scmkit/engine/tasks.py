"""Tasks to their end: when to ask again, and when to stop asking. Decisions only."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scmkit.core.contract import GATEWAY_TIMEOUT_S
from scmkit.core.errors import GatewayTimeoutError, NotSentError, ThrottledError, UnavailableError
from scmkit.core.values import Mode, Task

FIRST_POLL_S, LAST_POLL_S, POLL_GROWTH = 1.0, 15.0, 1.4
# A service that is away or busy comes back, as calls expect it to. One that answers, but with a 404, a page or garbage,
# may not show a task at once; if that lasts, it will not get better, and within two minutes somebody should hear of it.
AWAY = (UnavailableError, ThrottledError, GatewayTimeoutError, NotSentError)
AWAY_PATIENCE_S, WRONG_PATIENCE_S = 600.0, 100.0
PENDING_PATIENCE_S = 3600.0
# How long a call of which nobody knows the answer may still take effect, in seconds of the service's clock: a sync one
# until the gateway cuts it [seed]; an async one has perhaps made a task that nobody follows.
LATE_S = {Mode.SYNC: GATEWAY_TIMEOUT_S, Mode.ASYNC: PENDING_PATIENCE_S}


@dataclass(frozen=True)
class FailedPolls:
    """How long questions have failed in a row.

    Parameters
    ----------
    since, wrong_since : float or None
        When the first of them failed; and the first of those, at the end of the row, to which the answer was wrong.
    why : str
        Why the last one failed; empty when none did.
    """

    since: float | None = None
    wrong_since: float | None = None
    why: str = ""

    def after(self, now: float, error: Exception | None) -> FailedPolls:
        """Note how a question went."""
        if error is None:
            return FailedPolls()
        wrong_since = None if isinstance(error, AWAY) else _earlier(self.wrong_since, now)
        return FailedPolls(_earlier(self.since, now), wrong_since, str(error))

    def too_long(self, now: float, speed: float = 1.0) -> str | None:
        """Say for how long nothing could be learnt, and why, when patience has ended."""
        for since, patience_s in ((self.wrong_since, WRONG_PATIENCE_S), (self.since, AWAY_PATIENCE_S)):
            if since is not None and (seconds := (now - since) * speed) > patience_s:
                return f"for {seconds:,.0f} s nothing could be learnt: {self.why}. Resume the job to ask again"
        return None


@dataclass(frozen=True)
class FollowedTask:
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
    failed : FailedPolls
        How long nothing could be learnt.
    """

    task_id: str
    call: int
    since: float
    due: float
    interval: float
    last: Task | None = None
    failed: FailedPolls = FailedPolls()

    @classmethod
    def begin(cls, task_id: str, call: int, now: float, speed: float = 1.0) -> FollowedTask:
        """Follow a new task; the first question comes after a second of the service's clock."""
        interval = FIRST_POLL_S / speed
        return cls(task_id, call, now, now + interval, interval)

    def asked(
        self, now: float, task: Task | None, speed: float = 1.0, wait_s: float = 0.0, error: Exception | None = None
    ) -> FollowedTask:
        """Note an answer, or why there was none, and plan the next question."""
        interval = min(self.interval * POLL_GROWTH, LAST_POLL_S / speed)
        return replace(
            self, due=now + max(interval, wait_s), interval=interval, last=task or self.last,
            failed=self.failed.after(now, error),
        )  # fmt: skip

    def lost(self, now: float, speed: float = 1.0) -> str | None:
        """Say why there is no point in asking on, or None."""
        if (why := self.failed.too_long(now, speed)) is not None:
            return f"task {self.task_id} was accepted, and {why}"
        age = (now - self.since) * speed
        if age > PENDING_PATIENCE_S:
            word = self.last.word if self.last else "unknown"
            return f"task {self.task_id} is still {word!r} after {age / 3600:.1f} h: ask for it later"
        return None


def _earlier(since: float | None, now: float) -> float:
    return now if since is None else since
