"""An upload in a notebook: a line that moves while it runs, and the summary when it has ended. No widgets needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scmkit.core import results
from scmkit.core.display import Html
from scmkit.uploading.job import UploadJob
from scmkit.uploading.waiting import in_a_kernel
from scmkit.widgets.worker import SPACING_S, Worker


@dataclass(frozen=True)
class Shown:
    """HTML for a notebook, and text."""

    html: Html
    words: str

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        return str(self.html)


class LiveLine:
    """A line in a notebook's output that follows a job to its end, where the job's summary takes its place.

    Parameters
    ----------
    job : UploadJob

    Attributes
    ----------
    shown : Shown
        What there is to see at present.
    """

    def __init__(self, job: UploadJob) -> None:
        self._job = job
        self.shown = self._now(predict=False)  # on the kernel's thread, which must not wait
        self.worker = Worker(f"scmkit-line-{job.id}", self._give_up)

    def follow(self, put: Callable[[Shown], Any]) -> None:
        """Put what is new in the place of what was there, at most four times a second, and at last the summary."""
        self.worker.do("line", lambda: self._step(put), after_s=SPACING_S)

    def _step(self, put: Callable[[Shown], Any]) -> None:
        ended = self._job.done()  # before the look: what is shown last is the end
        now = self._now()
        if now != self.shown:
            self.shown = now
            put(now)
        if not ended:
            self.follow(put)

    def _now(self, predict: bool = True) -> Shown:
        if self._job.done():
            return Shown(Html(self._job._repr_html_()), repr(self._job))
        progress = self._job.progress(predict=predict)
        return Shown(progress.html(), f"<UploadJob {progress.id} {progress.words()}>")

    def _give_up(self, error: Exception) -> None:
        """Leave the line as it is: the job goes on without it, and shows itself whenever it is asked."""
        self.worker.close()


@results.show.register(UploadJob)
def show(job: UploadJob) -> None:
    """Show a job in a notebook as a line that moves.

    Raises
    ------
    NotImplementedError
        There is nothing to move: the job has ended, or there is no kernel to show it. IPython then shows it as it
        shows anything else.
    """
    if job.done() or not in_a_kernel():
        raise NotImplementedError
    from IPython.display import display

    line = LiveLine(job)
    line.follow(display(line.shown, display_id=True).update)
