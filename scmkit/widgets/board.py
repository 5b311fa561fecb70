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
import numpy as np
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
from scmkit.core.lines import numbered
from scmkit.core.values import Task, state_words
from scmkit.journal import stored
from scmkit.journal.journal import Journal, place
from scmkit.tables.arguments import public
from scmkit.uploading.job import UploadJob, running_jobs, upload
from scmkit.uploading.ledger import Ledger, told
from scmkit.uploading.progress import Watcher
from scmkit.uploading.resume import check_service, is_of, resume
from scmkit.widgets.surface import Surface, guarded
from scmkit.widgets.worker import Worker
from scmkit.wire.client import Client, ready_client

SHOWN = 50  # lines of a table
LOOK_S = 1.0  # between two looks at the journal and at the jobs of this kernel
TASK_S, ASK_S = 5.0, 1.0  # between two questions about one task, and between any two
PATIENCE_S = 600.0  # without any change, and nothing running here: then the board rests until somebody refreshes it
STATES = ("running", "complete", "cancelled", "suspended", "interrupted")
ALL = "all states"


_COUNTS = ("rows", "applied", "not_applied", "unfinished", "failed", "open_tasks")
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
        """Read a line of `scmkit.journal.stored.overview`."""
        facts: dict[str, Any] = {name: record[name] for name in ("id", "state", "key", "service")}
        facts |= {name: int(record[name]) for name in _COUNTS}
        return cls(
            **facts,
            created=record["created"].to_pydatetime(),
            codes=None if pd.isna(record["codes"]) else int(record["codes"]),
            seconds=None if np.isnan(record["seconds"]) else float(record["seconds"]),
            note=record["error"] or "",
        )

    @classmethod
    def of_job(cls, job: UploadJob, watcher: Watcher) -> Line:
        """Look at a job of this kernel."""
        counts, calls, tasks = job.counts(), job.calls, job.tasks
        codes = pd.concat([calls["codes"], tasks["codes_affected"]]).dropna()
        progress = watcher.look()
        return cls(
            job.id, job.started_at, job.state, progress.rows, counts.get("applied", 0),
            progress.rows - progress.told, 0, int(codes.sum()) if len(codes) else None,
            (datetime.now(UTC) - job.started_at).total_seconds(), progress.tasks - progress.tasks_ended,
            " + ".join(job.plan.key), job._client.base_url, f"waiting: {job.waiting}" if job.waiting else "",
            progress.left_s, here=True, not_applied=job._ledger.not_applied,
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
    """

    def __init__(
        self,
        journal: str | os.PathLike[str] | None = None,
        client: Client | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("board")
        self._journal, self._given, self._clock = journal, client, clock
        self._client = client
        self._asking = Worker("scmkit-board-tasks", self.fail)  # a service that hangs must not stop the board
        self._book: Journal | None = None
        self._reading = threading.Lock()
        self._known: dict[str, Any] = {}
        self._own: dict[str, UploadJob] = {}
        self._watchers: dict[str, Watcher] = {}
        self._turns = Turns()
        self._answers: dict[str, Task | str] = {}
        self._changed_at = clock()
        self._seen: Any = None
        self.lines: list[Line] = []
        self.tasks = pd.DataFrame()
        self._make_widgets()
        self._offering = False
        self._work.do("look", partial(self._look, once=True))

    def add(self, job: UploadJob) -> None:
        """Show a job that the board would not find by itself: one of another journal, or one without that has ended."""
        self._own[job.id] = job
        self.refresh()

    def refresh(self) -> None:
        """Look now, and go on looking while something changes."""
        self._changed_at = self._clock()
        self._work.do("client", self._find_client)
        self._work.do("look", self._look)

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
        return chosen(self.lines, self.words.value, self.state.value)

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
        return f"{plural(len(self.lines), 'job')}: " + (
            ", ".join(f"{n:,} {s}" for s, n in counts.items()) or "none yet"
        )

    # Widgets

    def _make_widgets(self) -> None:
        wide = ipywidgets.Layout(width="auto")
        self.words = ipywidgets.Text(
            description="Show only", placeholder="words of a job, key, service, note", continuous_update=True,
            tooltip="Lines that hold all these words", layout=ipywidgets.Layout(width="26em"),
        )  # fmt: skip
        self.state = ipywidgets.Dropdown(description="State", options=[ALL, *STATES], layout=wide, tooltip="Of a job")
        self.button = ipywidgets.Button(description="Refresh", layout=wide, tooltip="Look now, and go on looking")
        self._status = ipywidgets.HTML()
        self._table, self._details, self._call_html = (ipywidgets.HTML() for _ in range(3))
        self.job = ipywidgets.Dropdown(
            description="Job", options=[("choose a job", "")], layout=ipywidgets.Layout(width="34em"), tooltip="Show it"
        )
        self.call = ipywidgets.Dropdown(
            description="Call", options=[("choose a call", -1)], layout=ipywidgets.Layout(width="34em"),
            tooltip="Show its attempts and rows",
        )  # fmt: skip
        self.cancel, self.resume, self.again = (ipywidgets.Button(disabled=True, layout=wide) for _ in range(3))
        self._name_buttons(None)
        for widget in (self.words, self.state):
            widget.observe(self._filtered, names="value")
        self.job.observe(self._job_chosen, names="value")
        self.call.observe(self._call_chosen, names="value")
        self.button.on_click(self._refreshed)
        for button, act in ((self.cancel, self._cancel), (self.resume, self._resume), (self.again, self._send_again)):
            button.on_click(partial(self._act, act))
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        self._lay_out(
            ipywidgets.HBox([self.words, self.state, self.button], layout=wrap), self._table, self._status,
            ipywidgets.HBox([self.job, self.cancel, self.resume, self.again], layout=wrap), self._details,
            self.call, self._call_html,
        )  # fmt: skip

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
        if self._offering:
            return
        self._name_buttons(self._line(change["new"]))
        self._work.do("details", self._show_job)

    @guarded
    def _call_chosen(self, change: Any) -> None:
        if not self._offering:
            self._work.do("call", self._show_call)

    @guarded
    def _act(self, act: Callable[[Line], None], button: Any) -> None:
        line = self._line(self.job.value)
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

    def _name_buttons(self, line: Line | None) -> None:
        """Let the buttons say what they would do; what cannot be done says why."""
        here = line is not None and line.here
        left = line.unfinished if line is not None and line.resumable else 0
        failed = line.failed if line is not None and line.state == "complete" else 0
        _name(
            self.cancel, "Cancel", here, "Send nothing more; it can be resumed later", "Only what runs in this kernel"
        )
        _name(
            self.resume, f"Resume ({plural(left, 'row')} left)" if left else "Resume",
            line is not None and line.resumable, "Carry it to its end, in the background", "Nothing is left to do",
        )  # fmt: skip
        _name(
            self.again, f"Upload {plural(failed, 'failed row')} again" if failed else "Upload failed rows again",
            failed > 0, "As a new job, with the values in the journal", "Of a complete job that has such rows",
        )  # fmt: skip

    # What the buttons do, off the kernel's thread

    def _cancel(self, line: Line) -> None:
        job = self._jobs_here().get(line.id)
        if job is not None:
            job.cancel()

    def _resume(self, line: Line) -> None:
        self.add(resume(line.id, self._client_for(line), self._journal, wait=False))

    def _send_again(self, line: Line) -> None:
        client = self._client_for(line)
        with Journal(self._journal) as book:
            plan = stored.plan_of(book.parts(line.id), book.stored_calls(line.id))
        table = stored.table_of(line.id, self._journal)
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
        seen = (
            [replace(line, seconds=None, left_s=None) for line in self.lines],
            self.tasks.to_dict(),
            self._answers.copy(),
        )
        if seen != self._seen:
            self._seen, self._changed_at = seen, self._clock()
            self._offer_jobs()
            self._show_job()
            self._view.do(
                "keep", partial(self.keep, "The board as it was last (this stays in the notebook)"), after_s=1.0
            )
        self._show_table()
        resting = not any(line.here for line in self.lines) and self._clock() - self._changed_at >= PATIENCE_S
        self._status.value = self._standing("" if once else "since nothing changes" if resting else None)
        if not (once or resting):
            self._work.do("look", self._look, after_s=LOOK_S)

    def _gone(self) -> bool:
        return getattr(self.box, "comm", None) is None

    def _standing(self, resting: str | None) -> str:
        at = f"Looked at {datetime.now():%H:%M:%S}. "
        if resting is not None:
            return f"{at}Not looking any more{resting and ', '}{resting}: <b>Refresh</b> goes on."
        asked = sum(not isinstance(answer, Task) or not answer.finished for answer in self._answers.values())
        follow = (
            f" {plural(asked, 'task')} that nobody follows: asked for every {TASK_S:.0f} s at most." if asked else ""
        )
        return f"{at}Looking every second.{display.escape(follow)}"

    def _read(self) -> None:
        here = self._jobs_here()
        self._own |= {name: job for name, job in here.items() if job._journal is None}  # nobody else would keep it
        with self._reading:
            frame = self._overview()
            records_of = {line["id"]: Line.of_record(line) for line in frame.to_dict("records")}
            lines = {name: line for name, line in records_of.items() if name not in here}
            live = {name: Line.of_job(job, self._watcher(job)) for name, job in here.items()}
            self.tasks = self._open_tasks([line for line in lines.values() if line.open_tasks])
        ended = [job for name, job in self._own.items() if name not in lines and name not in here]
        lines |= {job.id: replace(Line.of_job(job, self._watcher(job)), here=False) for job in ended}
        self.lines = sorted([*lines.values(), *live.values()], key=lambda line: (line.created, line.id))
        self._watchers = {name: watcher for name, watcher in self._watchers.items() if name in here}

    def _jobs_here(self) -> dict[str, UploadJob]:
        """The jobs that run in this kernel with this journal or with none, and those that were added."""
        mine = place(self._journal)
        found = {job.id: job for job in running_jobs() if job._journal in (mine, None) and not job.done()}
        return found | {name: job for name, job in self._own.items() if not job.done()}

    def _watcher(self, job: UploadJob) -> Watcher:
        return self._watchers.setdefault(job.id, Watcher(job))

    def _overview(self) -> pd.DataFrame:
        path = place(self._journal)
        if self._book is None:
            if self._gone() or not path.exists():
                return pd.DataFrame(columns=["id"])
            self._book = Journal(path)
        return stored.overview(self._book, self._known)

    def _open_tasks(self, lines: Sequence[Line]) -> pd.DataFrame:
        if self._book is None or not lines:
            return pd.DataFrame(columns=["task_id", "job", "call", "at", "state"])
        frame = pd.concat([stored.tasks(self._book, line.id) for line in lines], ignore_index=True)
        return frame[~frame["finished"]].reset_index(drop=True)

    def _ask_for_a_task(self) -> None:
        """Ask the service for one task that nobody follows, if one is due."""
        if self._client is None or not self._asking.idle():
            return
        abandoned = {line.id: line for line in self.lines if line.open_tasks and line.state != "running"}
        known = self._answers
        tasks = {
            task: abandoned[job]
            for task, job in zip(self.tasks["task_id"], self.tasks["job"], strict=True)
            if job in abandoned and not (isinstance(known.get(task), Task) and known[task].finished)  # type: ignore[union-attr]
        }
        askable = [task for task, line in tasks.items() if is_of(line.service, self._client)]
        task = self._turns.take(askable, self._clock())
        if task is not None:
            self._asking.do("task", partial(self._ask, task, self._client))

    def _ask(self, task: str, client: Client) -> None:
        try:
            self._answers[task] = client.task(task)
        except (ScmkitError, OSError) as error:
            self._answers[task] = f"not answered: {error}"
            if isinstance(error, AuthenticationError | PermissionDeniedError | ThrottledError):
                self._client = None  # until somebody refreshes the board

    # Showing, off the kernel's thread

    def _show_table(self) -> None:
        self._table.value = display.card(self._summary(), {}, self._lines_html(), self._tasks_html())

    def _tasks_html(self) -> Html:
        if not len(self.tasks):
            return Html("")
        now = datetime.now(UTC)
        frame = self.tasks.assign(
            made=[ago(now - at) for at in self.tasks["at"]],
            **{"says now": [_said(self._answers.get(task)) for task in self.tasks["task_id"]]},
        )
        columns = ["job", "call", "state", "made", "says now"]
        caption = "Tasks that nobody knows the end of yet; Resume follows those of its job"
        return display.table(frame.set_index("task_id")[columns], SHOWN, caption)

    def _offer_jobs(self) -> None:
        options = [("choose a job", "")]
        options += [(f"{line.id}  {line.words}", line.id) for line in reversed(self.lines)]
        self._offer(self.job, options)
        self._name_buttons(self._line(self.job.value))

    def _show_job(self) -> None:
        ledger = self._ledger(self.job.value)
        if ledger is None:
            self._details.value, self._call_html.value = "", ""
            self._offer(self.call, [("choose a call", -1)])
            return
        calls, tasks = ledger.calls(), ledger.tasks()
        counts = ", ".join(f"{n:,} {word}" for word, n in ledger.counts().items())
        parts = [display.table(calls, SHOWN, "Calls")]
        if len(tasks):
            parts.append(display.table(tasks, SHOWN, "Tasks, as the service described them last"))
        self._details.value = display.card(f"Job {self.job.value}", {"rows": counts}, *parts)
        options = [
            (f"{number}: {mode}, {plural(rows, 'row')}, {outcome}", number)
            for number, mode, rows, outcome in zip(
                calls.index.tolist(), calls["mode"], calls["rows"], calls["outcome"], strict=True
            )
        ]
        self._offer(self.call, [("choose a call", -1), *options])
        self._show_call(ledger)

    def _show_call(self, ledger: Ledger | None = None) -> None:
        """Show a call's attempts, as far as the journal has them, and its rows."""
        call, ledger = self.call.value, ledger or self._ledger(self.job.value)
        if ledger is None or call == -1:
            self._call_html.value = ""
            return
        rows = numbered(ledger.rows(ledger.rows_of(call)[: SHOWN + 1]), ledger.plan.index)
        with self._reading:
            made = None if self._book is None else stored.attempts(self._book, self.job.value, call)
        tables = [display.table(rows, SHOWN, "Rows of which this call told last")]
        if made is not None and len(made):
            tables.insert(0, display.table(made, SHOWN, "Attempts"))
        self._call_html.value = display.card(f"Call {call}", {}, *tables)

    def _offer(self, widget: ipywidgets.Dropdown, options: list[tuple[str, Any]]) -> None:
        """Change what can be chosen, and keep what is chosen; an unchanged list is left alone, it may be open."""
        if tuple(options) == tuple(widget.options):
            return
        value, self._offering = widget.value, True
        try:
            with widget.hold_sync():
                widget.options = options
                widget.value = value if value in [option for _, option in options] else options[0][1]
        finally:
            self._offering = False

    def _ledger(self, name: str) -> Ledger | None:
        """Return what is known about a job: by itself if it is here, else by the journal."""
        job = self._jobs_here().get(name) or self._own.get(name)
        if job is not None:
            return job._ledger
        with self._reading:
            return told(self._book, name) if name and self._book is not None else None


def _name(button: ipywidgets.Button, words: str, possible: bool, tip: str, why_not: str) -> None:
    button.description, button.disabled, button.tooltip = words, not possible, tip if possible else why_not


def _said(answer: Task | str | None) -> str:
    if not isinstance(answer, Task):
        return answer or ""
    codes = f", {plural(answer.codes_affected, 'code')}" if answer.codes_affected is not None else ""
    return f"{answer.state.value if answer.state else answer.word}{codes}"
