"""What to do after an attempt that did not succeed: a pure function of what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from scmkit.core import errors
from scmkit.core.values import Mode, Outcome
from scmkit.wire.pacing import backoff_s

ATTEMPTS = 8
PATIENCE_S = 600.0
# A server error that stays this long is probably caused by one of the rows: they are sent in halves.
ATTEMPTS_BEFORE_BISECTION = 4
THROTTLED_WAITS_S = (1.0, 2.0, 4.0)  # when a 429 does not say how long


class NextStep(StrEnum):
    """The next step for a call."""

    RETRY = "retry"
    SPLIT = "split"
    GO_ASYNC = "go async"
    REJECT = "reject"
    GIVE_UP = "give up"
    STOP = "stop"


@dataclass(frozen=True)
class Attempt:
    """What the decision depends on, apart from the error.

    Parameters
    ----------
    mode : Mode
    rows : int
        Rows in the call.
    number : int
        1 for the first attempt. A throttled attempt does not count.
    throttled : int
        How often the call was throttled so far, this time included.
    elapsed_s : float
        Seconds since the first attempt of this call.
    """

    mode: Mode
    rows: int
    number: int = 1
    throttled: int = 0
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What the attempt did to the codes, and what comes next.

    Attributes
    ----------
    wait_s : float
        Before the next attempt.
    everybody : bool
        Whether all calls of the job wait.
    named : tuple of int
        Positions of the items that the service found at fault; empty when it named none.
    """

    outcome: Outcome
    do: NextStep
    wait_s: float = 0.0
    everybody: bool = False
    named: tuple[int, ...] = ()


def decide(error: Exception, attempt: Attempt, random: Callable[[], float], speed: float = 1.0) -> Decision:
    """Decide what to do next; one case for each thing that can go wrong.

    Parameters
    ----------
    error : Exception
        What the client raised.
    attempt : Attempt
        Which attempt that was.
    random : callable
        Gives numbers between 0 and 1, for the jitter.
    speed : float
        How much faster than ours the service's clock runs.
    """
    match error:
        case errors.GatewayTimeoutError() if attempt.mode is Mode.SYNC:
            return Decision(Outcome.NOT_APPLIED, NextStep.SPLIT if attempt.rows > 1 else NextStep.GO_ASYNC)
        case errors.ThrottledError():
            asked = error.retry_after_s
            wait = THROTTLED_WAITS_S[min(attempt.throttled, 3) - 1] / speed if asked is None else asked
            do = NextStep.RETRY if attempt.elapsed_s < PATIENCE_S else NextStep.GIVE_UP
            return Decision(Outcome.NOT_APPLIED, do, wait + 0.25 * random() / speed, everybody=True)
        case errors.BadRequestError():
            named = named_items(error.body, attempt.rows) if attempt.mode is Mode.SYNC else ()
            do = NextStep.REJECT if named or attempt.rows == 1 else NextStep.SPLIT
            return Decision(Outcome.NOT_APPLIED, do, named=named)
        case errors.TooLargeError():
            return Decision(Outcome.NOT_APPLIED, NextStep.SPLIT if attempt.rows > 1 else NextStep.REJECT)
        case errors.NotSentError():
            return _again(Outcome.NOT_SENT, attempt, random, speed, None)
        case errors.UnavailableError() | errors.GatewayTimeoutError():
            if error.status == 500 and attempt.rows > 1 and attempt.number >= ATTEMPTS_BEFORE_BISECTION:
                return Decision(Outcome.UNKNOWN, NextStep.SPLIT)
            return _again(Outcome.UNKNOWN, attempt, random, speed, getattr(error, "retry_after_s", None))
        case errors.AnswerLostError() | errors.UnreadableAnswerError():
            return _again(Outcome.UNKNOWN, attempt, random, speed, None)
        case errors.ServiceError() | errors.ConfigurationError():
            # 401, 403, 404, redirects, a bad certificate: nothing that we repeat will be better.
            return Decision(Outcome.NOT_APPLIED, NextStep.STOP)
    return Decision(Outcome.UNKNOWN, NextStep.STOP)


def on_resuming(mode: Mode, rows: int, status: int | None) -> NextStep:
    """Decide what becomes of a call that had its last answer, with this status, in an earlier session.

    What was wrong with the call as it was has not changed since; for anything else there is a new try.
    """
    if status not in errors.BY_STATUS:
        return NextStep.RETRY
    do = decide(errors.BY_STATUS[status](status), Attempt(mode, rows, ATTEMPTS_BEFORE_BISECTION), lambda: 0.0).do
    return do if do in (NextStep.SPLIT, NextStep.GO_ASYNC) else NextStep.RETRY


def on_failed_task(rows: int, *, resent: bool) -> NextStep:
    """Decide what becomes of the key values of a task that failed, perhaps because it was too large for the queue."""
    if rows > 1:
        return NextStep.SPLIT
    return NextStep.REJECT if resent else NextStep.RETRY


def failed_alone(task_id: str, *, unique: bool) -> str:
    """Say what is known of a key value whose own task failed, and so did its repeat."""
    fewer = "" if unique else " A task over fewer codes may work."
    return (
        f"task {task_id} over this key value alone failed, and so did the one before it; either may have changed codes."
        f"{fewer} An administrator sees the update with its parameters in the portal, on the page Code Transactions"
    )


def _again(
    outcome: Outcome, attempt: Attempt, random: Callable[[], float], speed: float, asked_s: float | None
) -> Decision:
    if attempt.number >= ATTEMPTS or attempt.elapsed_s >= PATIENCE_S:
        return Decision(outcome, NextStep.GIVE_UP)
    return Decision(outcome, NextStep.RETRY, max(backoff_s(attempt.number, random, speed), asked_s or 0.0))


def named_items(body: object, rows: int) -> tuple[int, ...]:
    """Read which items a 400 names; nothing when not all that it names can be read.

    Two shapes are known from the service's web framework [assumed]: messages by position, ``{"items": {"3": [...]}}``,
    and one entry per item, empty where nothing is wrong, ``{"items": [{}, {"lot_number": [...]}, ...]}``.
    """
    items = body.get("items") if isinstance(body, dict) else None
    if isinstance(items, list) and len(items) == rows and all(isinstance(item, dict) for item in items):
        return tuple(position for position, item in enumerate(items) if item)
    if not isinstance(items, dict):
        return ()
    ours = {str(position) for position in range(rows)}
    return tuple(sorted(map(int, items))) if ours.issuperset(items) else ()
