"""The job that a caller holds: what became of it, and what can be done about it."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from scmkit.core import display, results
from scmkit.core.arguments import FROM_ZERO
from scmkit.core.display import plural
from scmkit.core.errors import PlanError, ScmkitError
from scmkit.core.events import Listener
from scmkit.core.lines import numbered
from scmkit.core.values import RowCounts, RowState
from scmkit.engine.engine import GRACE_S
from scmkit.planning.plan import Plan
from scmkit.tables.arguments import public
from scmkit.uploading import report as reports
from scmkit.uploading.ledger import Ledger, not_wholly_applied
from scmkit.uploading.progress import Progress
from scmkit.uploading.run import Run, runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class UploadJob:
    """An upload, under way or ended. Made by `upload` and `resume`.

    Attributes
    ----------
    id : str
    plan : Plan
    started_at : datetime
    service : str
        The URL of the service.
    journal : Path or None
        The file in which it is written down, if it is.
    ledger : Ledger
        What is known so far, event by event.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.id: str = run.job_id
        self.plan: Plan = run.plan
        self.started_at: datetime = run.started_at
        self.service: str = run.client.base_url
        self.journal: Path | None = run.recorder.path
        self.ledger: Ledger = run.ledger

    @property
    def state(self) -> str:
        """``running``, ``complete``, ``cancelled`` or ``suspended`` (stopped by an error, see ``error``)."""
        return self.ledger.state

    @property
    def error(self) -> Exception | None:
        """What stopped the job early, if anything did."""
        return self.ledger.error

    @property
    def ok(self) -> bool:
        """Whether the job is complete and every row was applied with all its fields."""
        different = self.differences is not None and len(self.differences) > 0
        proven = not different and not self.unproven
        return self.done() and self.state == "complete" and self.ledger.whole and proven

    @property
    def rows(self) -> pd.DataFrame:
        """A line per row of the table, under its label: what became of it.

        Columns: ``row`` (position), the key, ``state``, ``call``, ``task_id``, ``discarded_fields`` (a tuple of
        names), ``message``; a key that is called so keeps its name, and ours has ``scmkit_`` before it. While the job
        runs, a row may be ``pending``.
        """
        return self.ledger.rows()

    @property
    def calls(self) -> pd.DataFrame:
        """A line per call made, with ``codes``, ``items``, ``seconds`` and ``timed_out`` for `ServiceTime.fit`."""
        return self.ledger.calls()

    @property
    def tasks(self) -> pd.DataFrame:
        """A line per asynchronous task, as the service last described it."""
        return self.ledger.tasks()

    @property
    def differences(self) -> pd.DataFrame | None:
        """What the last read-back found, a line per code and field; None when there was none."""
        return self._run.verification.differences

    @property
    def unproven(self) -> str:
        """Why the last read-back did not prove all that it was to prove; empty where it did, or there was none."""
        return self._run.verification.unproven

    def progress(self, *, predict: bool = True) -> Progress:
        """Say how far it is, with all that a bar, a line or a board shows.

        Parameters
        ----------
        predict : bool, default True
            Whether to predict the seconds that are left, too; the first time that takes a moment.
        """
        return self._run.progress(predict=predict)

    def counts(self) -> dict[str, int]:
        """Count the rows in each state."""
        return self.ledger.counts()

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw what became of the rows."""
        return results.draw(RowCounts(self.counts()), ax)

    def done(self) -> bool:
        """Whether the job has ended."""
        return self._run.ended.is_set()

    @public(timeout=FROM_ZERO.optional(), depths=False)
    def result(self, timeout: float | None = None) -> UploadJob:
        """Wait for the end and give the job itself.

        Raises
        ------
        TimeoutError
            The job is still running after ``timeout`` seconds; it goes on.
        ScmkitError
            The job was stopped before anything was applied: a wrong token, an unreachable server.
        """
        if not self.wait(timeout):
            if not self._run.is_alive():
                raise PlanError(
                    f"upload {self.id} runs in the process that this one was forked from: wait for it there"
                )
            raise TimeoutError(f"the upload is still running after {timeout:g} s: {self.summary()}")
        if self._run.failure is not None:
            raise self._run.failure
        if (
            self.error is not None
            and not self.ledger.positions(RowState.APPLIED, RowState.UNVERIFIED, RowState.UNKNOWN).size
        ):
            raise self.error
        return self

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end for at most so long, and say whether it came."""
        return self._run.wait(seconds)

    @public(grace_s=FROM_ZERO, depths=False)
    def cancel(self, grace_s: float = GRACE_S) -> None:
        """Send nothing more; calls under way get ``grace_s`` seconds. Rows never sent end as ``cancelled``."""
        self._run.engine.cancel(grace_s)

    def verify(self, **filters: Any) -> pd.DataFrame:
        """Read the codes back and compare them, field by field, with what was sent.

        Without filters it settles rows that were ``unverified`` or ``unknown``: where all codes now hold what was sent
        (``applied``), where the campaign has none of their fields (``discarded``), and where no code has an
        ``extended_id`` or ``serial_number`` (``unmatched``). No code with another key proves nothing, since codes may
        have been moved; nor does what a later job of the same journal may have changed. Nothing that was told before
        is taken back; what could not be compared, `summary` says, and then the job is not `ok`.

        Parameters
        ----------
        **filters
            For `Client.download_codes`, such as ``campaign``; by default the codes updated since the job began.

        Returns
        -------
        DataFrame
            A line per difference: ``row``, ``extended_id``, ``field``, ``sent``, ``found``.
        """
        if not self.done():
            raise PlanError(f"the upload is still running: {self.summary()}; call result() first")
        return self._run.verification.verify(**filters)

    @public(depths=False)
    def report(self, path: str | os.PathLike[str]) -> None:
        """Write a page to hand on: what came of the upload, the proof, what is left to do, and how it was done.

        One HTML file that needs nothing else, for screens, telephones and paper.

        Raises
        ------
        DestinationError
            No file can be written there.
        """
        reports.write(self._told(), path)

    def _told(self) -> reports.Told:
        now = self.progress(predict=False)
        return reports.Told(
            now, self.ledger, self.service, self.started_at, self._run.ended_at, self._who(), self.ok,
            self.differences, self.unproven,
        )  # fmt: skip

    def _who(self) -> str:
        """Return whose account it is; the service is asked only if it has answered before."""
        with suppress(ScmkitError, OSError):
            who = reports.who_made(self.ledger) or (self._run.client.reached and self._run.client.me().get("email"))
            return who if isinstance(who, str) else ""
        return ""

    def subscribe(self, listener: Listener) -> None:
        """Tell somebody about every event from now on; see `scmkit.core.events`."""
        self._run.recorder.listeners.append(listener)

    def summary(self) -> str:
        """Say in a line how far it is, and what became of the rows."""
        error = f"; stopped by: {self.error}" if self.error else ""
        error += f"; not read back: {self.unproven}" if self.unproven else ""
        return self.progress(predict=False).summary() + error

    def __repr__(self) -> str:
        return f"<UploadJob {self.id} {self.summary()}>"

    def _repr_html_(self) -> str:
        return self._html(most=10)

    def _ipython_display_(self) -> None:
        results.show(self)

    def _html(self, most: int) -> str:
        bad = not_wholly_applied(self.rows)
        parts = [display.table(self.calls, max_rows=most, caption="calls")]
        if len(bad):
            shown = numbered(bad, self.plan.index)
            parts.insert(0, display.table(shown, max_rows=most, caption="rows that were not wholly applied"))
        if self.differences is not None and len(self.differences):
            shown = numbered(self.differences, self.plan.index)
            parts.append(display.table(shown, max_rows=most, caption="differences found by the read-back"))
        facts = {"result": self.summary(), "ok": self.ok}
        if self.differences is not None:
            facts["read back"] = plural(len(self.differences), "difference")
        return display.card(f"Upload {self.id}", facts, *parts)


def running_jobs() -> list[UploadJob]:
    """List the jobs that run in this process, whatever their client and their journal."""
    return [UploadJob(run) for run in runs()]
