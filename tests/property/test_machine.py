"""Uploads, crashes, lost calls, expired tokens and second processes in any order: what the journal says is true.

The real `upload`, `resume` and `verify`, engine and journal, on the stage of `fake_processes`. Each value tells which
job set it, so that every write at the service is known by its job.

Knowingly left out: when the answer to an async call is lost, nobody knows of its task, and no fence can know how long
the service will work on it. Here every task ends within the hour for which the fences hold.
"""

import random
import sqlite3
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_processes import Process, Stage
from fake_service import FAULTS, FIELDS, Service
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import scmkit
from scmkit.core import errors
from scmkit.core.values import Mode, RowState
from scmkit.engine.engine import Poll, Post
from scmkit.engine.tasks import LATE_S
from scmkit.journal.journal import Journal
from scmkit.uploading.conflicts import TRAVEL_S

CODES = [f"Code_{i:05d}-" for i in range(12)]
KEYS = [*CODES[:6], "Code_nobody-"]  # few, so that uploads meet
YEAR_S = 365 * 86_400.0
ONE_ROW, THREE_ROWS, ALL_ROWS = 90, 250, 1_000  # bytes of a call; rows that are alike share one of the last size
WEATHER = st.lists(st.sampled_from([fault for fault in FAULTS if fault != "expired"]), max_size=4)
NOT_APPLIED = (RowState.CANCELLED, RowState.UNMATCHED, RowState.SUPERSEDED)


class Behind(Service):
    """The service behind all processes: tokens expire."""

    expired = False

    def clear_up(self) -> None:
        """From now on all goes well, and every task comes to an end."""
        self.calm_after, self.expired = 0, False
        words = {"pending": "failed", "never found": "complete"}
        self.tasks = {name: (words.get(kind, kind), *facts) for name, (kind, *facts) in self.tasks.items()}

    def _fault(self, work: Post, items: dict[str, dict[str, str]]) -> str:
        return "expired" if self.expired else super()._fault(work, items)

    def _poll(self, work: Poll) -> tuple[object, Exception | None, float]:
        return (None, errors.AuthenticationError(401), 0.1) if self.expired else super()._poll(work)


@dataclass
class Upload:
    """A table that somebody uploaded: the row that counts for each key, and what it says."""

    number: int
    rows: dict[str, int]
    values: dict[str, dict[str, str]]
    id: str = ""
    job: scmkit.UploadJob | None = field(default=None, repr=False)
    process: Process | None = field(default=None, repr=False)  # whose job it is


class Uploads(RuleBasedStateMachine):
    """Two processes with one journal."""

    @initialize(seed=st.integers(0, 2**16), faults=WEATHER)
    def begin(self, seed: int, faults: list[str]) -> None:
        self.exits = ExitStack()
        self.service = Behind(set(CODES), random.Random(seed), ["answered", *faults], 10**6)
        self.stage = Stage(self.service, Path(self.exits.enter_context(tempfile.TemporaryDirectory())))
        self.exits.enter_context(self.stage.set_up())
        self.processes = [Process(self.stage), Process(self.stage)]
        self.uploads: list[Upload] = []
        self.writers: dict[tuple[str, str, str], Upload] = {}

    @rule(
        process=st.integers(0, 1),
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=6),
        fields=st.sampled_from([FIELDS, FIELDS[:1]]),
        mode=st.sampled_from(["sync", "async", "auto"]),
        alike=st.booleans(),
        most_bytes=st.sampled_from([ONE_ROW, THREE_ROWS, ALL_ROWS]),
    )
    def upload(
        self, process: int, keys: list[str], fields: tuple[str, ...], mode: str, alike: bool, most_bytes: int
    ) -> None:
        self._upload(process, keys, fields, mode, alike, most_bytes)

    @precondition(lambda self: self.uploads)
    @rule(process=st.integers(0, 1), which=st.integers(0, 20), mode=st.sampled_from(["sync", "async"]))
    def edit(self, process: int, which: int, mode: str) -> None:
        """Upload newer values for keys that were uploaded before."""
        self._upload(process, list(self.uploads[which % len(self.uploads)].rows), FIELDS, mode, False, ONE_ROW)

    def _upload(
        self, process: int, keys: list[str], fields: tuple[str, ...], mode: str, alike: bool, most_bytes: int
    ) -> None:
        number = len(self.uploads)
        values = [dict.fromkeys(fields, f"{number}-{'' if alike else row}") for row in range(len(keys))]
        table = pd.DataFrame([{"extended_id": key} | value for key, value in zip(keys, values, strict=True)])
        small = scmkit.Assumptions(max_body_bytes=most_bytes)
        plan = scmkit.plan(table, mode=mode, workers=8, on_conflict="last", assumptions=small, journal=False)
        rows = {key: row for row, key in enumerate(keys) if plan.row_states[row] == RowState.PENDING}
        made = Upload(number, rows, {key: values[row] for key, row in rows.items()})
        sent = len(self.service.sent)
        try:
            made.job = self.stage.launch(
                lambda: scmkit.upload(plan, self.processes[process], wait=False, journal=self.stage.journal)
            )
        except (errors.JournalError, errors.UnsettledError):
            assert len(self.service.sent) == sent
            return
        made.id, made.process = made.job.id, self.processes[process]
        self.uploads.append(made)
        self.writers |= {(key, *value): made for key in rows for value in made.values[key].items()}

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 20), process=st.integers(0, 1))
    def resume(self, which: int, process: int) -> None:
        self._resume(self.uploads[which % len(self.uploads)], process)

    def _resume(self, upload: Upload, process: int) -> bool:
        again = lambda: scmkit.resume(upload.id, self.processes[process], self.stage.journal, wait=False)  # noqa: E731
        try:
            upload.job, upload.process = self.stage.launch(again), self.processes[process]
        except (errors.JournalError, errors.UnsettledError):
            return False
        return True

    @rule(faults=WEATHER, expired=st.booleans(), task_limit=st.sampled_from([1, 2, 12]))
    def weather(self, faults: list[str], expired: bool, task_limit: int = 12) -> None:
        self.service.faults, self.service.expired = ["answered", *faults], expired
        self.service.task_limit = task_limit

    @rule(by=st.sampled_from([-YEAR_S, -3600.0, -60.0, 60.0, 3600.0, YEAR_S]))
    def somebody_sets_the_clock(self, by: float) -> None:
        self.stage.wall_off += by

    @rule(steps=st.sampled_from([1, 3, 10, 30, 100, 10_000]))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            if self.stage.ports:
                self.stage.step()

    @rule(process=st.integers(0, 1), points=st.integers(0, 40))
    def crash(self, process: int, points: int) -> None:
        self.stage.kill(self.processes[process], points)
        for upload in self.uploads:
            if upload.process is self.processes[process]:
                upload.job = None
        self.processes[process] = Process(self.stage)

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 20), grace_s=st.sampled_from([0.0, 5.0]))
    def cancel(self, which: int, grace_s: float) -> None:
        job = self.uploads[which % len(self.uploads)].job
        if job is not None:
            job.cancel(grace_s)

    @precondition(lambda self: self.uploads)
    @rule(which=st.integers(0, 20))
    def verify(self, which: int) -> None:
        job = self.uploads[which % len(self.uploads)].job
        if job is not None and job.done():
            job.verify()

    @invariant()
    def the_pace_is_kept(self) -> None:
        """At most ten updates in any second, from all processes together."""
        times = np.array(self.service.sent)
        assert all(np.searchsorted(times, times + 1.0) - np.arange(len(times)) <= 10)

    @invariant()
    def what_the_journal_says_is_true(self) -> None:
        """No claim without a write, no write against a claim, no older value over a newer one."""
        applied: dict[tuple[str, str], int] = defaultdict(lambda: -1)
        written = {(key, *value) for _, key, values in self.service.writes for value in values.items()}
        assert written <= self.writers.keys(), "a value that no row has, or that of a row that another one supersedes"
        wrote = {(self.writers[value].number, value[0]) for value in written}
        for upload, row_states in self._journal():
            for key, row in upload.rows.items():
                row_state = RowState(row_states[row])
                if row_state is RowState.APPLIED:
                    assert (upload.number, key) in wrote
                    applied |= {(key, name): upload.number for name in upload.values[key]}
                elif row_state in NOT_APPLIED and (upload.job is None or upload.job.done()):
                    assert (upload.number, key) not in wrote
        for key, values in self.service.held().items():
            for name, value in values.items():
                assert self.writers[key, name, value].number >= applied[key, name], "an older value over a newer one"

    @invariant()
    def no_job_broke(self) -> None:
        assert not self.stage.failures

    def _journal(self) -> list[tuple[Upload, np.ndarray]]:
        if not self.uploads:
            return []
        with Journal(self.stage.journal) as book:
            return [(upload, book.row_states(upload.id)) for upload in self.uploads]

    def teardown(self) -> None:
        """In good weather everything comes to its end, and what has come to it stays as it is."""
        if not hasattr(self, "exits"):
            return
        try:
            if sys.exception() is None:  # else a step has failed already
                self._check_the_end()
        finally:
            for process in self.processes:
                self.stage.kill(process)
            self.exits.close()

    def _check_the_end(self) -> None:
        self.service.clear_up()
        self.stage.settle()
        self.service.clock += LATE_S[Mode.ASYNC]
        for upload in self.uploads:
            if self._resume(upload, 0):
                self.stage.settle()
                assert upload.job.state == "complete", upload.job
                assert not upload.job.rows["state"].isin(["pending", "cancelled"]).any(), upload.job.rows
        self.what_the_journal_says_is_true()
        self.the_pace_is_kept()
        sent = len(self.service.sent)
        for upload in self.uploads:
            before = upload.job
            if self._resume(upload, 1):
                self.stage.settle()
                pd.testing.assert_frame_equal(upload.job.rows, before.rows)
        assert len(self.service.sent) == sent, "a second resume sends nothing"
        if self.uploads:
            with closing(sqlite3.connect(self.stage.journal)) as db:
                assert db.execute("pragma integrity_check").fetchall() == [("ok",)]


quick = settings(
    stateful_step_count=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def check(examples: int, *phases: Phase) -> None:
    """Play so many orders of events; an AssertionError if one breaks a promise."""
    thorough = settings(quick, max_examples=examples, phases=phases or tuple(Phase), report_multiple_bugs=False)
    run_state_machine_as_test(Uploads, settings=thorough)


def test_no_order_of_events_loses_a_row_or_lies_about_one() -> None:
    """Whatever happens to two processes with one journal, its claims are true and a newer value stays."""
    check(50)


@contextmanager
def uploads(seed: int = 1) -> Iterator[Uploads]:
    """The same stage without Hypothesis: its rules are called by name."""
    stage = Uploads()
    stage.begin(seed=seed, faults=[])
    try:
        yield stage
        stage.what_the_journal_says_is_true()
        stage.the_pace_is_kept()
    finally:
        stage.teardown()


def kill_and_go_on(points: int, mode: str) -> None:
    """Kill an upload, resume it with a token that has expired, then upload newer values from another process."""
    with uploads(points) as stage:
        stage.upload(process=0, keys=CODES[:6], fields=FIELDS, mode=mode, alike=False, most_bytes=ONE_ROW)
        stage.crash(process=0, points=points)
        stage.weather(faults=[], expired=True)
        stage.resume(which=0, process=0)
        stage.go_on(steps=100)
        stage.what_the_journal_says_is_true()
        stage.weather(faults=[], expired=False)
        stage.edit(process=1, which=0, mode=mode)


def kill_at_each_point(mode: str) -> None:
    """Every second point: from before the first commit to after the last."""
    for points in range(0, 40, 2):
        kill_and_go_on(points, mode)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_killed_at_each_point(mode: str) -> None:
    """Around each commit, send and wait: what was under way is known, and does not overtake newer values (F43)."""
    kill_at_each_point(mode)


@pytest.mark.parametrize("points", range(0, 60, 3))
def test_killed_while_a_failed_task_is_halved(points: int) -> None:
    """A resumed job goes on with the halves: all is applied, in a number of tasks that stays bounded (F61)."""
    with uploads(points) as stage:
        stage.weather(faults=[], expired=False, task_limit=1)
        stage.service.calm_after = 0
        stage.upload(process=0, keys=CODES[:6], fields=FIELDS, mode="async", alike=True, most_bytes=ALL_ROWS)
        stage.crash(process=0, points=points)
        stage.resume(which=0, process=0)
        stage.go_on(steps=10_000)
        assert stage.uploads[0].job.ok
        assert 11 <= len(stage.service.tasks) <= 20


def cancel_the_halves_of_a_failed_task(points: int) -> None:
    """Kill an upload when its task has failed half-way and its halves are turned away, then resume and cancel it."""
    with uploads() as stage:
        stage.weather(faults=[], expired=False, task_limit=1)
        stage.upload(process=0, keys=CODES[:2], fields=FIELDS, mode="async", alike=True, most_bytes=ALL_ROWS)
        stage.go_on(steps=8)
        assert [kind for kind, *_ in stage.service.tasks.values()] == ["failed half-way"]
        stage.service.faults[:] = ["throttled"]
        stage.crash(process=0, points=points)
        stage.resume(which=0, process=0)
        stage.cancel(which=0, grace_s=0.0)
        stage.go_on(steps=100)
        assert not stage.uploads[0].job.rows["state"].isin(["cancelled"]).any()


def test_what_a_failed_task_may_have_done_is_not_denied() -> None:
    """Of rows whose task failed, nobody says that they were never sent."""
    for points in range(0, 30, 4):
        cancel_the_halves_of_a_failed_task(points)


def resume_the_older_one() -> None:
    """Kill an upload half-way, upload newer values, and resume the older one."""
    with uploads() as stage:
        stage.upload(process=0, keys=CODES[:6], fields=FIELDS, mode="sync", alike=False, most_bytes=ONE_ROW)
        stage.crash(process=0, points=10)
        stage.edit(process=1, which=0, mode="sync")
        stage.go_on(steps=10_000)
        stage.resume(which=0, process=0)
        stage.go_on(steps=10_000)


def test_an_older_job_does_not_come_back() -> None:
    """What was made later stays."""
    resume_the_older_one()


def test_two_resumed_jobs_do_not_wait_for_each_other() -> None:
    """Behind a job of another process, the older of two resumed jobs goes first, then the newer one."""
    with uploads() as stage:
        for process in (1, 0, 0):
            stage.upload(process=process, keys=CODES[:6], fields=FIELDS, mode="sync", alike=False, most_bytes=ONE_ROW)
        stage.crash(process=0, points=0)
        stage.resume(which=1, process=0)
        stage.resume(which=2, process=0)
        stage.go_on(steps=10_000)
        assert [upload.job.state for upload in stage.uploads] == ["complete"] * 3


def set_the_clock_between_two_jobs(by: float) -> None:
    """Kill an upload whose calls take effect late, set the clock, and upload newer values from another process."""
    with uploads() as stage:
        stage.weather(faults=["reset, applied late"], expired=False)
        stage.service.faults.remove("answered")
        stage.upload(process=0, keys=CODES[:6], fields=FIELDS, mode="sync", alike=False, most_bytes=ONE_ROW)
        stage.crash(process=0, points=20)
        stage.somebody_sets_the_clock(by)
        stage.weather(faults=[], expired=False)
        begun = stage.service.clock
        stage.edit(process=1, which=0, mode="sync")
        stage.go_on(steps=10_000)
        assert stage.uploads[1].job.state == "complete"
        assert stage.service.clock - begun < LATE_S[Mode.SYNC] + TRAVEL_S + 60.0


@pytest.mark.parametrize("by", [-YEAR_S, -60.0, 60.0, YEAR_S])
def test_a_clock_that_was_set_changes_no_order_and_no_wait(by: float) -> None:
    """The newer values stay, and wait no longer than for the gateway, wherever the wall clock stands (F54)."""
    set_the_clock_between_two_jobs(by)


def upload_from_two_processes() -> None:
    """Six calls each, at the same time."""
    with uploads() as stage:
        for process, keys in enumerate((CODES[:6], CODES[6:])):
            stage.upload(process=process, keys=keys, fields=FIELDS, mode="sync", alike=False, most_bytes=ONE_ROW)
        stage.go_on(steps=10_000)
        assert len(stage.service.sent) == len(CODES)


def test_two_processes_share_the_pace() -> None:
    """Twelve calls, and no second with more than ten."""
    upload_from_two_processes()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_orders_of_events() -> None:
    """The same, for longer."""
    check(2000)
