"""The retry policy is a table; these tests read it row by row."""

import pytest

from scmkit.core import errors
from scmkit.core.values import Mode, Outcome
from scmkit.engine.policy import (
    ATTEMPTS,
    Attempt,
    Decision,
    NextStep,
    decide,
    failed_alone,
    named_items,
    on_failed_task,
)


def half() -> float:
    return 0.5


def after(error: Exception, **facts: object) -> Decision:
    return decide(error, Attempt(**({"mode": Mode.SYNC, "rows": 10} | facts)), half)


@pytest.mark.parametrize(
    ("error", "facts", "outcome", "do"),
    [
        (errors.NotSentError("refused"), {}, Outcome.NOT_SENT, NextStep.RETRY),
        (errors.NotSentError("refused"), {"number": ATTEMPTS - 1}, Outcome.NOT_SENT, NextStep.RETRY),
        (errors.NotSentError("refused"), {"number": ATTEMPTS}, Outcome.NOT_SENT, NextStep.GIVE_UP),
        (errors.AnswerLostError("reset"), {}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.AnswerLostError("reset"), {"elapsed_s": 599.9}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.AnswerLostError("reset"), {"elapsed_s": 600.0}, Outcome.UNKNOWN, NextStep.GIVE_UP),
        (errors.UnreadableAnswerError(200), {}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.GatewayTimeoutError(504), {}, Outcome.NOT_APPLIED, NextStep.SPLIT),
        (errors.GatewayTimeoutError(504), {"rows": 2}, Outcome.NOT_APPLIED, NextStep.SPLIT),
        (errors.GatewayTimeoutError(504), {"rows": 1}, Outcome.NOT_APPLIED, NextStep.GO_ASYNC),
        (errors.GatewayTimeoutError(504), {"mode": Mode.ASYNC}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.UnavailableError(502), {}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.UnavailableError(500), {"number": 3}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.UnavailableError(500), {"number": 4}, Outcome.UNKNOWN, NextStep.SPLIT),
        (errors.UnavailableError(500), {"number": ATTEMPTS, "rows": 2}, Outcome.UNKNOWN, NextStep.SPLIT),
        (errors.UnavailableError(500), {"number": 4, "rows": 1}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.UnavailableError(503), {"number": 4}, Outcome.UNKNOWN, NextStep.RETRY),
        (errors.UnavailableError(500), {"number": ATTEMPTS, "rows": 1}, Outcome.UNKNOWN, NextStep.GIVE_UP),
        (errors.ThrottledError(429), {"throttled": 1}, Outcome.NOT_APPLIED, NextStep.RETRY),
        (errors.ThrottledError(429), {"throttled": 9, "elapsed_s": 599.9}, Outcome.NOT_APPLIED, NextStep.RETRY),
        (errors.ThrottledError(429), {"throttled": 9, "elapsed_s": 600.0}, Outcome.NOT_APPLIED, NextStep.GIVE_UP),
        (errors.BadRequestError(400), {}, Outcome.NOT_APPLIED, NextStep.SPLIT),
        (errors.BadRequestError(400), {"rows": 2}, Outcome.NOT_APPLIED, NextStep.SPLIT),
        (errors.BadRequestError(400), {"rows": 1}, Outcome.NOT_APPLIED, NextStep.REJECT),
        (errors.TooLargeError(413), {}, Outcome.NOT_APPLIED, NextStep.SPLIT),
        (errors.TooLargeError(413), {"rows": 2}, Outcome.NOT_APPLIED, NextStep.SPLIT),
        (errors.TooLargeError(413), {"rows": 1}, Outcome.NOT_APPLIED, NextStep.REJECT),
        (errors.AuthenticationError(401), {}, Outcome.NOT_APPLIED, NextStep.STOP),
        (errors.PermissionDeniedError(403), {}, Outcome.NOT_APPLIED, NextStep.STOP),
        (errors.NotFoundError(404), {}, Outcome.NOT_APPLIED, NextStep.STOP),
        (errors.RedirectError(302), {}, Outcome.NOT_APPLIED, NextStep.STOP),
        (errors.ConfigurationError("bad certificate"), {}, Outcome.NOT_APPLIED, NextStep.STOP),
        (RuntimeError("a bug"), {}, Outcome.UNKNOWN, NextStep.STOP),
    ],
)
def test_every_outcome_has_its_next_step(error: Exception, facts: dict, outcome: Outcome, do: NextStep) -> None:
    """What happened decides what an attempt did to the codes, and what comes next."""
    decision = after(error, **facts)
    assert (decision.outcome, decision.do) == (outcome, do)
    assert decision.everybody == isinstance(error, errors.ThrottledError)
    assert (decision.wait_s > 0) == (do is NextStep.RETRY or decision.everybody)


def test_backoff_doubles_up_to_a_cap() -> None:
    """Waits grow from half a second to half a minute, jittered by the number that is passed in."""
    waits = [after(errors.AnswerLostError("reset"), number=n).wait_s for n in range(1, ATTEMPTS)]
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 15]


@pytest.mark.parametrize(
    ("asked", "throttled", "wait"),
    [(7.0, 1, 7.125), (0.0, 1, 0.125), (None, 1, 1.125), (None, 2, 2.125), (None, 3, 4.125), (None, 4, 4.125)],
)
def test_throttling_pauses_everybody(asked: float | None, throttled: int, wait: float) -> None:
    """A 429 pauses the whole job for as long as it says, and for 1, 2, 4 s when it says nothing."""
    error = errors.ThrottledError(429)
    error.retry_after_s = asked
    decision = after(error, throttled=throttled)
    assert decision.everybody
    assert decision.wait_s == pytest.approx(wait)


def test_retry_after_of_an_unavailable_service_is_honoured() -> None:
    """A 503 that says when to come back is believed when that is later than the backoff."""
    error = errors.UnavailableError(503)
    error.retry_after_s = 12.0
    assert after(error).wait_s == 12.0
    assert after(error, number=7).wait_s == 15.0


def test_waits_follow_the_clock_of_the_service() -> None:
    """A service whose clock runs 20 times faster is waited for a 20th as long, but for as long as it says."""
    attempt = Attempt(Mode.SYNC, 10, throttled=1)
    assert Attempt(Mode.SYNC, 10) == Attempt(Mode.SYNC, 10, 1, 0, 0.0)
    assert decide(errors.AnswerLostError("reset"), attempt, half, 20).wait_s == pytest.approx(0.25 / 20)
    error = errors.ThrottledError(429)
    assert decide(error, attempt, half, 20).wait_s == pytest.approx(1.125 / 20)
    error.retry_after_s = 7.0
    assert decide(error, attempt, half, 20).wait_s == pytest.approx(7 + 0.125 / 20)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"items": {"1": ["bad"], "3": ["bad"]}}, (1, 3)),
        ({"items": [{}, {"lot_number": ["bad"]}, *[{}] * 7, {"lot_number": ["bad"]}]}, (1, 9)),
        ({"items": [{"lot_number": ["bad"]}]}, ()),
        ({"items": {"9": ["bad"], "0": ["bad"]}}, (0, 9)),
        ({"items": {"9" * 5_000: ["bad"]}}, ()),
        ({"items": {}}, ()),
        ({"items": {"10": ["not ours"]}}, ()),
        ({"items": {"-1": ["not ours"]}}, ()),
        ({"items": {"1": ["bad"], "01": ["what?"], "٣": ["what?"]}}, ()),
        ({"items": [{}] * 10}, ()),
        ({"items": [*[{"lot_number": ["bad"]}] * 9, "bad"]}, ()),
        ({"items": {"x": ["bad"], "1": ["bad"]}}, ()),
        ({"detail": "bad"}, ()),
        (None, ()),
    ],
)
def test_a_400_may_name_the_items_at_fault(body: object, named: tuple[int, ...]) -> None:
    """Only positions that the call has are believed, and only when all that is named can be read."""
    assert named_items(body, 10) == named
    error = errors.BadRequestError(400, body=body)
    assert after(error).do is (NextStep.REJECT if named else NextStep.SPLIT)
    assert after(error, mode=Mode.ASYNC).do is NextStep.SPLIT


def test_a_task_that_fails_is_halved_down_to_single_key_values() -> None:
    """A single key value is sent once more; then it is rejected, and the message says where an administrator looks."""
    assert [on_failed_task(rows, resent=False) for rows in (3, 2, 1)] == [NextStep.SPLIT] * 2 + [NextStep.RETRY]
    assert on_failed_task(2, resent=True) is NextStep.SPLIT
    assert on_failed_task(1, resent=True) is NextStep.REJECT
    said = failed_alone("abc", unique=False)
    for words in ("task abc", "may have changed", "over fewer codes may work", "Code Transactions"):
        assert words in said
    assert "fewer codes" not in failed_alone("abc", unique=True)
