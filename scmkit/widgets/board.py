"""All uploads on one board: those that run here, and those that the journal knows; what can be done about each."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import ipywidgets
import pandas as pd

from scmkit.core import display
from scmkit.core.display import Html, plural
from scmkit.core.errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    ScmkitError,
    ThrottledError,
)
from scmkit.core.values import Task, state_words
from scmkit.journal import listings
from scmkit.journal.journal import Journal, place
from scmkit.journal.stored_plans import stored_plan
from scmkit.tables.arguments import public
from scmkit.uploading.job import UploadJob, running_jobs
from scmkit.uploading.ledger import Ledger, stored_ledger
from scmkit.uploading.resume import check_service, is_of, resume
from scmkit.uploading.upload import upload
from scmkit.widgets.surface import WIDEST, Surface, guarded
from scmkit.widgets.worker import Worker
from scmkit.wire.client import Client, ready_client

SHOWN = 50  # lines of a table
LOOK_S = 1.0  # between two looks at the journal and at the jobs of this kernel
TASK_S, ASK_S = 5.0, 1.0  # between two questions about one task, and between any two
PATIENCE_S = 600.0  # without any change, and nothing running here: then the board rests until somebody refreshes it
STATES = ("running", "complete", "cancelled", "suspended", "interrupted")
ALL = "all states"
NO_JOB = ("choose a job", "")
_TASKS = ["task_id", "job", "state", "at"]
_RECORD = (
    "id", "created", "state", "key", "service", "rows", "applied", "not_applied", "unfinished", "failed", "open_tasks"
)  # fmt: skip
# Of what ended without all rows applied, and with none; a contrast of 4 on white and on black ground.
_SOME, _NONE = "#b46a00", "#e0443e"


@dataclass(frozen=True)
class Line:
    """A job as the board shows it.

    Attributes
    ----------
    unfinished : int
        Rows that `resume` would send or follow.
    not_applied : int
        Rows that are neither applied nor merged into another.
    failed : int
        Rows of an ended job that may come out otherwise when they are sent again.
    codes : int or None
        Codes affected, as the answers said.
    seconds : float or None
        From the first call to the last answer, or until now.
    left_s : float or None
        Predicted seconds to the end.
    here : bool
        Whether it runs in this kernel.
    note : str
        What it waits for, or what stopped it.
    """

    id: str
    created: datetime
    state: str
    rows: int
    applied: int
    unfinished: int
    failed: int
    codes: int | None
    seconds: float | None
    open_tasks: int
    key: str
    service: str
    note: str = ""
    left_s: float | None = None
    here: bool = False
    not_applied: int = 0

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Line:
        """Read a line of `scmkit.journal.listings.overview`."""
        facts: dict[str, Any] = {name: record[name] for name in _RECORD}
        facts |= {name: None if pd.isna(record[name]) else record[name] for name in ("codes", "seconds")}
        return cls(**facts, note=record["error"] or "")

    @classmethod
    def of_job(cls, job: UploadJob) -> Line:
        """Look at a job of this kernel."""
        now = job.progress()
        waiting = f"waiting: {now.waiting}" if now.waiting else ""
        codes = pd.concat([job.calls["codes"], job.tasks["codes_affected"]]).dropna()
        return cls(
            job.id, job.started_at, now.state, now.rows, now.applied, now.rows - now.done, 0,
            int(codes.sum()) if len(codes) else None, (datetime.now(UTC) - job.started_at).total_seconds(),
            now.tasks - now.tasks_ended, " + ".join(job.plan.key), job.service,
            waiting, now.left_s, here=not job.done(), not_applied=now.not_applied,
        )  # fmt: skip

    @property
    def resumable(self) -> bool:
        """Whether there is something left to send or to follow, and nobody at it."""
        return self.state in ("interrupted", "suspended", "cancelled") and bool(self.unfinished or self.open_tasks)

    @property
    def words(self) -> str:
        """How it stands: a complete job may have applied nothing."""
        return state_words(self.state, self.rows, self.applied, self.not_applied)

    @property
    def colour(self) -> str:
        """The colour of a job that ended without all rows applied; empty for any other."""
        ended_short = self.state != "running" and self.not_applied
        return "" if not ended_short else _SOME if self.applied else _NONE

    def holds(self, words: str) -> bool:
        """Whether the line holds each of these words, in whatever column."""
        text = f"{self.id} {self.words} {self.key} {self.service} {self.note}".lower()
        return all(word in text for word in words.lower().split())

    def shown(self, now: datetime) -> dict[str, Any]:
        """Return the cells of the table."""
        end = "" if self.left_s is None else f"{datetime.now() + timedelta(seconds=self.left_s):%H:%M:%S}"
        return {
            "state": self.words + (" (here)" if self.here else ""),
            "rows": self.rows,
            "applied": self.applied,
            "not applied": self.not_applied,
            "unfinished": self.unfinished,
            "failed": self.failed,
            "codes affected": "" if self.codes is None else self.codes,
            "started": ago(now - self.created),
            "took": "" if self.seconds is None else _span(self.seconds),
            "predicted end": end,
            "key": self.key,
            "service": urlsplit(self.service).netloc,
            "note": self.note,
        }


@dataclass
class Turns:
    """When a task may be asked for: no task more often than every five seconds, and one a second in all."""

    asked: dict[str, float] = field(default_factory=dict)
    last: float = float("-inf")

    def take(self, tasks: Iterable[str], now: float) -> str | None:
        """Choose the task that has waited longest, and note that it is asked for; None if none is due."""
        due = [task for task in tasks if now - self.asked.get(task, float("-inf")) >= TASK_S]
        if not due or now - self.last < ASK_S:
            return None
        task = min(due, key=lambda task: self.asked.get(task, float("-inf")))
        self.asked[task] = self.last = now
        return task


def chosen(lines: Sequence[Line], words: str, state: str) -> list[Line]:
    """Return the lines that pass the filter, newest first."""
    return [line for line in reversed(lines) if state in (ALL, line.state) and line.holds(words)]


def offers(line: Line | None) -> dict[str, tuple[str, bool, str, str]]:
    """Return of each button its words, whether it can do something for a job, and what that is, or why it cannot."""
    here = line is not None and line.here
    resumable = line is not None and line.resumable
    left = line.unfinished if line is not None and resumable else 0
    failed = line.failed if line is not None and line.state == "complete" else 0
    resume = f"Resume ({plural(left, 'row')} left)" if left else "Resume"
    again = f"Upload {plural(failed, 'failed row')} again" if failed else "Upload failed rows again"
    repeats, none_failed = "As a new job, with the values in the journal", "Of a complete job that has such rows"
    return {
        "cancel": ("Cancel", here, "Send nothing more; it can be resumed later", "Only what runs in this kernel"),
        "resume": (resume, resumable, "Carry it to its end, in the background", "Nothing is left to do"),
        "again": (again, failed > 0, repeats, none_failed),
    }


def _frame_of(lines: Sequence[Line]) -> pd.DataFrame:
    now = datetime.now(UTC)
    return pd.DataFrame([line.shown(now) for line in lines], index=pd.Index([line.id for line in lines], name="job"))


def ago(age: timedelta) -> str:
    """Say how long ago something was."""
    seconds = age.total_seconds()
    return "just now" if seconds < 60 else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}" if unit != "min" else f"{seconds / size:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


@public(depths=False)
class TaskBoard(Surface):
    """All jobs and tasks of a journal and of this kernel, live.

    Parameters
    ----------
    journal : path, optional
        Default: the user's own.
    client : Client, optional
        To ask for tasks that nobody follows, to resume, and to send rows again. Default: the one given to `use`, else
        one from the environment.
    clock : callable
        Gives seconds.

    Attributes
    ----------
    lines : list of Line
        All jobs, oldest first.
    tasks : DataFrame
        Those that nobody knows the end of yet.
    controls : dict
        ``words``, ``state``, ``refresh``, ``job``, and for the chosen job ``cancel``, ``resume`` and ``again``.
    shown : dict of str to ipywidgets.HTML
        The ``table``, the ``status`` of the board, and the ``details`` of the chosen job.
    """

    def __init__(
        self,
        journal: str | os.PathLike[str] | None = None,
        client: Client | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("board")
        self._journal, self._given, self._client, self._clock = journal, client, client, clock
        self._asking = Worker("scmkit-board-tasks", self.fail)  # a service that hangs must not stop the board
        self._book: Journal | None = None
        self._reading = threading.Lock()
        self._known: dict[str, Any] = {}
        self._own: dict[str, UploadJob] = {}
        self._turns = Turns()
        self._answers: dict[str, Task | str] = {}
        self._changed_at = clock()
        self._seen: Any = None
        self.lines: list[Line] = []
        self.tasks = pd.DataFrame(columns=_TASKS)
        self._does = {"cancel": self._cancel, "resume": self._resume, "again": self._send_again}
        self.controls = _controls()
        self.shown = {name: ipywidgets.HTML() for name in ("table", "status", "details")}
        self._arrange()
        self.look()

    def _arrange(self) -> None:
        controls, wrap = self.controls, ipywidgets.Layout(flex_flow="row wrap")
        for name in ("words", "state"):
            controls[name].observe(self._filtered, names="value")
        controls["job"].observe(self._job_chosen, names="value")
        controls["refresh"].on_click(self._refreshed)
        for name, act in self._does.items():
            controls[name].on_click(partial(self._act, act))
        self._offer(None)
        self._lay_out(
            ipywidgets.HBox([controls[name] for name in ("words", "state", "refresh")], layout=wrap),
            self.shown["table"], self.shown["status"],
            ipywidgets.HBox([controls[name] for name in ("job", *self._does)], layout=wrap), self.shown["details"],
        )  # fmt: skip

    def add(self, job: UploadJob) -> None:
        """Show a job that the board would not find by itself: one of another journal, or one without that has ended."""
        self._own[job.id] = job
        self.refresh()

    def look(self) -> None:
        """Look once, off the kernel's thread."""
        self._work.do("look", partial(self._look, once=True))

    def refresh(self) -> None:
        """Look now, and go on looking while something changes."""
        self._changed_at = self._clock()
        self._work.do("client", self._find_client)
        self._work.do("look", self._look)

    def idle(self) -> bool:
        """Whether the board neither looks nor asks."""
        return super().idle() and self._asking.idle()

    def close(self) -> None:
        """Stop looking and asking, and take the widgets away."""
        super().close()
        self._asking.close()
        with self._reading:
            if self._book is not None:
                self._book.close()
                self._book = None

    @property
    def frame(self) -> pd.DataFrame:
        """The lines that pass the filter, newest first."""
        return _frame_of(self._chosen())

    def _chosen(self) -> list[Line]:
        return chosen(self.lines, self.controls["words"].value, self.controls["state"].value)

    def _lines_html(self) -> Html:
        """Show the lines that pass the filter, with the state of what did not get through in a colour."""
        lines = self._chosen()
        return display.table(_frame_of(lines), SHOWN, colours={"state": [line.colour for line in lines]})

    def static(self) -> Html:
        """Show the lines without widgets."""
        return display.card("Uploads", {"": self._summary()}, self._lines_html())

    def __repr__(self) -> str:
        return f"<TaskBoard: {self._summary()}>" + (f"\n{self.frame.to_string(max_rows=SHOWN)}" if self.lines else "")

    def _ipython_display_(self) -> None:
        super()._ipython_display_()
        self.refresh()

    def _summary(self) -> str:
        if self._seen is None and not self.lines:
            return "looking for jobs"
        kinds = [f"{line.state} with nothing applied" if line.colour == _NONE else line.state for line in self.lines]
        counts = pd.Series(kinds, dtype=object).value_counts()
        listed = ", ".join(f"{n:,} {kind}" for kind, n in counts.items())
        return f"{plural(len(self.lines), 'job')}: {listed or 'none yet'}"

    # What the controls do

    @guarded
    def _filtered(self, change: Any) -> None:
        self._work.do("table", self._show_table, after_s=0.1)

    @guarded
    def _refreshed(self, button: Any) -> None:
        self._known.clear()
        self.succeed()
        self.refresh()

    @guarded
    def _job_chosen(self, change: Any) -> None:
        self._offer(self._line(change["new"]))
        self._work.do("details", self._show_job)

    @guarded
    def _act(self, act: Callable[[Line], None], button: Any) -> None:
        line = self._line(self.controls["job"].value)
        if line is not None:
            button.disabled = True  # until the next look; a second click does nothing
            self._work.do("act", partial(self._do, act, line))

    def _do(self, act: Callable[[Line], None], line: Line) -> None:
        self.succeed()
        try:
            act(line)
        finally:
            self._seen = None
            self.refresh()

    def _line(self, job: str) -> Line | None:
        return next((line for line in self.lines if line.id == job), None)

    def _offer(self, line: Line | None) -> None:
        for name, (words, possible, what, why_not) in offers(line).items():
            button = self.controls[name]
            button.description, button.disabled, button.tooltip = words, not possible, what if possible else why_not

    def _cancel(self, line: Line) -> None:
        job = self._jobs_here().get(line.id)
        if job is not None:
            job.cancel()

    def _resume(self, line: Line) -> None:
        self.add(resume(line.id, self._client_for(line), self._journal, wait=False))

    def _send_again(self, line: Line) -> None:
        client = self._client_for(line)
        with Journal(self._journal) as book:
            plan = stored_plan(book, line.id)
        table = listings.table_of(line.id, self._journal)
        self.add(
            upload(
                table, client, list(plan.key), wait=False, errors="reject", journal=place(self._journal),
                estimate=plan.estimate, risk=plan.risk, workers=plan.workers,
            )
        )  # fmt: skip

    def _client_for(self, line: Line) -> Client:
        self._find_client()
        if self._client is None:
            raise ConfigurationError("no account: give one in the panel, or make the board with TaskBoard(client=...)")
        check_service(line.service, self._client)
        return self._client

    def _find_client(self) -> None:
        self._client = self._given or ready_client()

    # Looking, off the kernel's thread

    def _look(self, once: bool = False) -> None:
        """Look at everything, show it, and look again soon unless there is no point."""
        if self._gone():
            return
        self._read()
        self._ask_for_a_task()
        lines = [replace(line, seconds=None, left_s=None) for line in self.lines]
        seen = (lines, self.tasks.to_dict(), self._answers.copy())
        if seen != self._seen:
            self._seen, self._changed_at = seen, self._clock()
            self._list_jobs()
            self._work.do("details", self._show_job)
            kept = "The board as it was last (this stays in the notebook)"
            self._view.do("keep", partial(self.keep, kept), after_s=1.0)
        self._show_table()
        resting = not any(line.here for line in self.lines) and self._clock() - self._changed_at >= PATIENCE_S
        self.shown["status"].value = self._standing("" if once else ", since nothing changes" if resting else None)
        if not (once or resting):
            self._work.do("look", self._look, after_s=LOOK_S)

    def _gone(self) -> bool:
        return getattr(self.box, "comm", None) is None

    def _standing(self, resting: str | None) -> str:
        at = f"Looked at {datetime.now():%H:%M:%S}. "
        if resting is not None:
            return f"{at}Not looking any more{resting}: <b>Refresh</b> goes on."
        asked = sum(not _ended(answer) for answer in self._answers.values())
        follow = f" {plural(asked, 'task')} that nobody follows: asked for every {TASK_S:.0f} s at most."
        return f"{at}Looking every second.{display.escape(follow if asked else '')}"

    def _read(self) -> None:
        here = self._jobs_here()
        self._own |= {name: job for name, job in here.items() if job.journal is None}  # nobody else would keep it
        with self._reading:
            lines = {record["id"]: Line.of_record(record) for record in self._overview().to_dict("records")}
            jobs = {name: job for name, job in (self._own | here).items() if name in here or name not in lines}
            lines |= {name: Line.of_job(job) for name, job in jobs.items()}
            self.tasks = self._open_tasks([line for line in lines.values() if line.open_tasks and line.id not in jobs])
        self.lines = sorted(lines.values(), key=lambda line: (line.created, line.id))

    def _jobs_here(self) -> dict[str, UploadJob]:
        """The jobs that run in this kernel with this journal or with none, and those that were added."""
        mine = place(self._journal)
        found = {job.id: job for job in running_jobs() if job.journal in (mine, None) and not job.done()}
        return found | {name: job for name, job in self._own.items() if not job.done()}

    def _overview(self) -> pd.DataFrame:
        path = place(self._journal)
        if self._book is None:
            if self._gone() or not path.exists():
                return pd.DataFrame(columns=["id"])
            self._book = Journal(path)
        return listings.overview(self._book, self._known)

    def _open_tasks(self, lines: Sequence[Line]) -> pd.DataFrame:
        if self._book is None or not lines:
            return pd.DataFrame(columns=_TASKS)
        frame = pd.concat([listings.tasks(self._book, line.id) for line in lines], ignore_index=True)
        return frame[~frame["finished"]].reset_index(drop=True)

    def _ask_for_a_task(self) -> None:
        """Ask the service for one task that nobody follows, if one is due."""
        client = self._client
        if client is None or not self._asking.idle():
            return
        abandoned = {line.id for line in self.lines if line.state != "running" and is_of(line.service, client)}
        tasks = self.tasks["task_id"][self.tasks["job"].isin(abandoned)]
        task = self._turns.take([task for task in tasks if not _ended(self._answers.get(task))], self._clock())
        if task is not None:
            self._asking.do("task", partial(self._ask, task, client))

    def _ask(self, task: str, client: Client) -> None:
        try:
            self._answers[task] = client.task(task)
        except (ScmkitError, OSError) as error:
            self._answers[task] = f"not answered: {error}"
            if isinstance(error, AuthenticationError | PermissionDeniedError | ThrottledError):
                self._client = None  # until somebody refreshes the board

    # Showing, off the kernel's thread

    def _show_table(self) -> None:
        self.shown["table"].value = display.card(self._summary(), {}, self._lines_html(), self._tasks_html())

    def _tasks_html(self) -> Html:
        if not len(self.tasks):
            return Html("")
        now = datetime.now(UTC)
        frame = self.tasks[["task_id", "job", "call", "state"]].assign(
            made=[ago(now - at) for at in self.tasks["at"]],
            **{"says now": [_said(self._answers.get(task)) for task in self.tasks["task_id"]]},
        )
        caption = "Tasks that nobody knows the end of yet; Resume follows those of its job"
        return display.table(frame.set_index("task_id"), SHOWN, caption)

    def _list_jobs(self) -> None:
        """Change which jobs can be chosen, and keep the chosen one; an unchanged list is left alone, it may be open."""
        options = (NO_JOB, *((f"{line.id}  {line.words}", line.id) for line in reversed(self.lines)))
        job = self.controls["job"]
        if options != tuple(job.options):
            value = job.value
            with job.hold_sync():
                job.options = options
                job.value = value if self._line(value) else ""
        self._offer(self._line(job.value))

    def _show_job(self) -> None:
        job = self.controls["job"].value
        ledger = self._ledger(job)
        if ledger is None:
            self.shown["details"].value = ""
            return
        counts = ", ".join(f"{n:,} {word}" for word, n in ledger.counts().items())
        parts = [display.table(ledger.calls(), SHOWN, "Calls")]
        if len(tasks := ledger.tasks()):
            parts.append(display.table(tasks, SHOWN, "Tasks, as the service described them last"))
        self.shown["details"].value = display.card(f"Job {job}", {"rows": counts}, *parts)

    def _ledger(self, name: str) -> Ledger | None:
        """Return what is known about a job: by itself if it is here, else by the journal."""
        job = self._jobs_here().get(name) or self._own.get(name)
        if job is not None:
            return job.ledger
        with self._reading:
            return stored_ledger(self._book, name) if name and self._book is not None else None


def _controls() -> dict[str, Any]:
    wide = ipywidgets.Layout(width="auto")
    return {
        "words": ipywidgets.Text(
            description="Show only", placeholder="words of a job, key, service, note", continuous_update=True,
            tooltip="Lines that hold all these words", layout=ipywidgets.Layout(width="26em", max_width=WIDEST),
        ),
        "state": ipywidgets.Dropdown(description="State", options=[ALL, *STATES], layout=wide, tooltip="Of a job"),
        "refresh": ipywidgets.Button(description="Refresh", layout=wide, tooltip="Look now, and go on looking"),
        "job": ipywidgets.Dropdown(
            description="Job", options=[NO_JOB], tooltip="Show it",
            layout=ipywidgets.Layout(width="34em", max_width=WIDEST),
        ),
    } | {name: ipywidgets.Button(layout=wide) for name in offers(None)}  # fmt: skip


def _ended(answer: Task | str | None) -> bool:
    return isinstance(answer, Task) and answer.finished


def _said(answer: Task | str | None) -> str:
    if not isinstance(answer, Task):
        return answer or ""
    codes = f", {plural(answer.codes_affected, 'code')}" if answer.codes_affected is not None else ""
    return f"{answer.state_word}{codes}"
