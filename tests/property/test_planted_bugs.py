"""A test of the tests: each rule of the product is broken in turn, and a check that is run anyway must notice.

The checks are those of the other tests: schedules of faults, orders of events, and scenarios on a server.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_processes
import numpy as np
import pytest
import test_faults
import test_fences
import test_machine
import test_proofs
import test_resume
import test_schedules
import test_uploading
from fault_server import answers
from hypothesis import Phase
from test_faults import World, world  # noqa: F401 - a fixture

import scmkit
from scmkit.core import errors
from scmkit.core.contract import TaskState
from scmkit.core.events import Attempted, Sending, Settled
from scmkit.core.values import AsyncAnswer, Outcome, RowState, Task
from scmkit.engine import engine, evidence, policy
from scmkit.engine.policy import NextStep
from scmkit.journal import journal
from scmkit.journal.journal import UNFINISHED
from scmkit.planning import load
from scmkit.uploading import conflicts, recorder
from scmkit.uploading import resume as resuming
from scmkit.wire import pacing, turns

Decide = Callable[..., policy.Decision]
SCHEDULE = {
    "rows": 40, "alike": False, "absent": {2}, "mode": "sync", "workers": 8, "most_bytes": 300, "calm_after": 30,
    "cancel_after": None,
}  # fmt: skip


class Planter:
    """Breaks the product, for one test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.put = monkeypatch.setattr

    def wrap(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        """Put a function around another: the wrapper gets it first, and then its arguments."""
        real = getattr(owner, name)
        self.put(owner, name, lambda *args, **options: wrapper(real, *args, **options))


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Planter:
    return Planter(monkeypatch)


def noticed_by_schedules(check: Callable[[dict], object], *faults: str) -> None:
    """One of a few schedules with these faults fails."""
    for seed in range(30):
        try:
            check(SCHEDULE | {"faults": ["answered", *faults], "seed": seed})
        except AssertionError:
            return
    pytest.fail("nobody noticed")


def noticed_by_orders_of_events() -> None:
    """One of the orders of events that are played in every run fails."""
    with pytest.raises(AssertionError):
        test_machine.check(50, Phase.generate)


def noticed_where_processes_die() -> None:
    """One of the points at which an upload is killed in every run fails."""
    with pytest.raises(AssertionError):
        test_machine.kill_at_each_point("sync")


def claims(case: dict) -> None:
    test_schedules.check(*test_schedules.play(case))


def deciding(plant: Planter, wrong: Callable[[policy.Decision, Exception, policy.Attempt], policy.Decision]) -> None:
    """Let a decision be another one."""

    def decide(real: Decide, error: Exception, attempt: policy.Attempt, *rest: Any) -> policy.Decision:
        return wrong(real(error, attempt, *rest), error, attempt)

    plant.wrap(policy, "decide", decide)


# What is written down, and when


def test_an_intent_that_is_written_with_its_result(plant: Planter) -> None:
    """Without the intent, a call that a killed process had made is said never to have been sent."""

    def write(real: Callable, record: journal.Record, event: Any) -> None:
        held = record.__dict__.setdefault("held", {})
        if isinstance(event, Sending):
            held[event.call] = event
            return
        if isinstance(event, Attempted):
            real(record, held.pop(event.call))
        real(record, event)

    plant.wrap(journal.Record, "_write", write)
    noticed_where_processes_die()


def test_a_call_that_goes_out_before_its_commit(plant: Planter) -> None:
    """An intent that may wait for the next commit comes too late when the process is killed."""
    plant.wrap(journal, "_can_wait", lambda real, event: isinstance(event, Sending) or real(event))
    noticed_where_processes_die()


def test_a_result_that_is_believed_before_its_commit(plant: Planter) -> None:
    """The end of a task that is not on disk is lost with the process, and asked for again after a second resume."""
    plant.wrap(journal, "_can_wait", lambda real, event: not isinstance(event, Sending))
    noticed_by_orders_of_events()


def test_a_journal_that_nobody_looks_for(
    plant: Planter, table: Any, client: scmkit.Client, server: Any, tmp_path: Path
) -> None:  # fmt: skip
    """SQLite goes on writing into a file that was deleted."""
    plant.put(journal.Journal, "check_in_place", lambda self: None)
    with pytest.raises(AssertionError):
        test_resume.test_without_its_journal_a_job_sends_nothing_more(table, client, server, tmp_path, "deleted")


def test_applied_rows_that_are_sent_again(
    plant: Planter, table: Any, client: scmkit.Client, server: Any
) -> None:  # fmt: skip
    """A resumed job that takes applied rows for open ones sends them twice."""
    plant.put(resuming, "UNFINISHED", (*UNFINISHED, RowState.APPLIED))
    with pytest.raises(AssertionError):
        test_resume.test_a_suspended_job_resumes_with_a_new_token(table, client, server)


# Who goes first


def test_no_fence_between_the_jobs_of_a_client(plant: Planter) -> None:
    """A lost call of the older job takes effect after the newer one."""
    plant.put(conflicts.EarlierJobs, "held_s", lambda self: 0.0)
    noticed_by_schedules(test_schedules.check_last_word, "reset, applied late")


def test_no_fence_between_processes(plant: Planter) -> None:
    """The same, when the older job is another process's or nobody's."""
    plant.put(conflicts.EarlierJobs, "held_s", lambda self: 0.0)
    noticed_by_orders_of_events()


def test_a_fence_that_sees_one_journal_only(
    plant: Planter, client: scmkit.Client, server: Any, tmp_path: Path
) -> None:  # fmt: skip
    """The older job of the same client is in another journal, or in none."""
    plant.put(conflicts, "elsewhere", lambda *_: [])
    with pytest.raises(AssertionError):
        test_fences.test_jobs_of_a_client_wait_in_any_journal(server, client, tmp_path, False, None)


def test_a_fence_that_goes_by_the_wall_clock(plant: Planter) -> None:
    """Somebody sets the clock, and what was lost a moment ago counts as long past."""
    plant.put(fake_processes.Stage, "clock_s", fake_processes.Stage.time_s)
    with pytest.raises(AssertionError):
        test_machine.set_the_clock_between_two_jobs(test_machine.YEAR_S)


def test_an_overtaken_job_that_goes_on(plant: Planter) -> None:
    """Resuming an older job puts its values over those of a later one."""
    plant.put(resuming, "overtaken_by", lambda *_: [])
    with pytest.raises(AssertionError):
        test_machine.resume_the_older_one()


def test_duplicates_that_are_all_sent(plant: Planter) -> None:
    """Two values for one code and field: which one stays is chance."""

    def row_states(real: Callable, findings: Any, *rest: Any) -> Any:
        return real(replace(findings, superseded=np.zeros_like(findings.superseded)), *rest)

    plant.wrap(load, "row_states_of", row_states)
    noticed_by_orders_of_events()


# Pace


def test_no_pause_after_a_429(plant: Planter) -> None:
    """Calls go out although the service asked for a pause."""
    deciding(plant, lambda right, *_: replace(right, everybody=False))
    noticed_by_schedules(claims, "throttled")


def test_a_429_that_uses_up_an_attempt(plant: Planter) -> None:
    """A storm of 429 ends in rows that are given up."""

    def wrong(right: policy.Decision, error: Exception, attempt: policy.Attempt) -> policy.Decision:
        used_up = isinstance(error, errors.ThrottledError) and attempt.throttled >= policy.ATTEMPTS
        return replace(right, do=NextStep.GIVE_UP) if used_up else right

    deciding(plant, wrong)
    with pytest.raises(AssertionError):
        test_schedules.test_a_storm_of_429_uses_up_no_attempt()


def test_no_pace(plant: Planter) -> None:
    """More than ten updates in a second."""
    plant.put(pacing.Pace, "take", lambda self, now: None)
    noticed_by_schedules(claims)


def test_no_pace_between_processes(plant: Planter) -> None:
    """The same, from two processes together."""
    plant.put(turns.Turnstile, "wait", lambda self: None)
    with pytest.raises(AssertionError):
        test_machine.upload_from_two_processes()


# Answers


def test_a_504_that_is_sent_again_unchanged(
    plant: Planter, table: Any, client: scmkit.Client, server: Any
) -> None:  # fmt: skip
    """What timed out will time out again."""
    deciding(plant, lambda right, *_: replace(right, do=NextStep.RETRY) if right.do is NextStep.SPLIT else right)
    with pytest.raises(AssertionError):
        test_uploading.test_a_504_is_halved_and_never_sent_again_unchanged(table, client, server)


def test_a_lost_answer_that_counts_as_not_applied(plant: Planter) -> None:
    """Rows that were applied are said not to be."""
    lost = policy.Decision(Outcome.NOT_APPLIED, NextStep.GIVE_UP)
    deciding(plant, lambda right, error, _: lost if isinstance(error, errors.AnswerLostError) else right)
    noticed_by_schedules(claims, "reset, applied")


def test_a_lost_answer_that_counts_as_applied(plant: Planter) -> None:
    """Rows that nobody stored are said to be."""

    def on_failure(real: Callable, made: engine.Engine, call: engine.Call, reply: engine.Reply) -> Iterator[Any]:
        if isinstance(reply.error, errors.AnswerLostError):
            yield Settled.alike(call.rows, RowState.APPLIED, call.number)
        else:
            yield from real(made, call, reply)

    plant.wrap(engine.Engine, "_on_failure", on_failure)
    noticed_by_schedules(claims, "reset, not applied")


def test_an_answer_that_is_not_read(plant: Planter) -> None:
    """A 200 is no success for a key that it does not list."""
    plant.put(
        engine.Engine, "_read_items", lambda _, call, answer: Settled.alike(call.rows, RowState.APPLIED, call.number)
    )
    noticed_by_schedules(claims)


def test_a_task_that_is_believed_to_have_stored_all_fields(
    plant: Planter, client: scmkit.Client, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many codes a task changed does not say by which fields."""
    plant.put(evidence, "of_fields", lambda row_states, *_: evidence.Verdict(row_states))
    with pytest.raises(AssertionError):
        test_proofs.test_a_download_that_is_refused(client, server, monkeypatch)


def test_a_later_job_that_is_not_asked_about(plant: Planter, client: scmkit.Client, server: Any) -> None:
    """What it overwrote looks like a difference."""
    plant.put(recorder, "changes_since", lambda *_: [])
    with pytest.raises(AssertionError):
        test_proofs.test_codes_that_a_later_job_moved_here_prove_nothing(client, server)


def test_a_half_of_a_split_call_that_is_lost(plant: Planter) -> None:
    """Rows that nobody sends have no end."""

    def split(real: Callable, made: engine.Engine, call: engine.Call, due: float) -> None:
        real(made, replace(call, rows=call.rows[:-1]) if len(call.rows) > 2 else call, due)

    plant.wrap(engine.Engine, "_split", split)
    noticed_by_schedules(claims, "gateway")


def test_a_200_without_a_task_that_is_believed(plant: Planter, world: World) -> None:  # noqa: F811
    """A task that the service never named cannot be followed."""

    def upload_async(real: Callable, client: scmkit.Client, *call: Any, **options: Any) -> AsyncAnswer:
        try:
            return real(client, *call, **options)
        except errors.UnreadableAnswerError:
            return AsyncAnswer("none")

    plant.wrap(scmkit.Client, "upload_async", upload_async)
    with pytest.raises(AssertionError):
        test_faults.test_F38_the_answer_to_an_async_call_is_lost(world, answers(200, {}))


def test_failed_tasks_that_are_repeated_whole(plant: Planter, world: World) -> None:  # noqa: F811
    """What is too large for the queue stays so."""
    plant.put(policy, "on_failed_task", lambda rows, resent: NextStep.REJECT if resent else NextStep.RETRY)
    with pytest.raises(AssertionError):
        test_faults.test_F61_tasks_that_are_too_large_are_halved(world)


def test_a_failed_task_that_counts_as_not_applied(plant: Planter) -> None:
    """What a task had done before it failed is denied by a resumed job that is cancelled."""
    plant.put(resuming, "has_failed", lambda task: False)
    with pytest.raises(AssertionError):
        test_machine.test_what_a_failed_task_may_have_done_is_not_denied()


def test_a_404_that_counts_as_a_failed_task(plant: Planter, world: World) -> None:  # noqa: F811
    """A question that came too early says nothing about the task."""

    def task(real: Callable, client: scmkit.Client, task_id: str) -> Task:
        try:
            return real(client, task_id)
        except errors.NotFoundError:
            return Task(task_id, TaskState.FAILED, "failed")

    plant.wrap(scmkit.Client, "task", task)
    with pytest.raises(AssertionError):
        test_faults.test_F39_a_task_is_not_found_at_first(world)


def test_nothing_planted(plant: Planter) -> None:
    """The planter itself breaks nothing: the same schedules pass with the right decisions."""
    deciding(plant, lambda right, *_: right)
    for seed in range(30):
        claims(SCHEDULE | {"faults": ["answered", "reset, applied", "throttled", "gateway"], "seed": seed})
