"""Events of a job, written down before anybody is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from scmkit.core.errors import JournalError
from scmkit.core.events import Event, Listener, Sending
from scmkit.engine.evidence import Change
from scmkit.journal.journal import Journal, Record
from scmkit.uploading.conflicts import changes_since


class Recorder:
    """Writes each event of a job into its journal, and then tells everybody.

    Parameters
    ----------
    record : Record
        Where the job's events are noted.
    service : str
        The URL of the service.
    before_sending : callable
        Returns when a call may go out.
    on_error : callable
        Told of what is wrong when an event cannot be written down: nothing more may be sent then.

    Attributes
    ----------
    path : Path or None
        The journal's file, if it has one.
    listeners : list of Listener
    """

    def __init__(
        self, record: Record, service: str, before_sending: Callable[[], None], on_error: Callable[[Exception], None]
    ) -> None:
        self.path = record.journal.path if record.journal.lasting else None
        self.listeners: list[Listener] = []
        self._record: Record | None = record
        self._job, self._service = record.job, service
        self._before_sending, self._on_error = before_sending, on_error

    def __call__(self, event: Event) -> None:
        """Write an event down, then tell everybody."""
        try:
            if self._record is not None:
                self._record(event)
            if isinstance(event, Sending):
                self._before_sending()
        except OSError as error:  # a disk that is full, a journal that is locked
            self.close()
            self._on_error(error)
            if isinstance(event, Sending):  # which will not happen then
                return
        for listener in self.listeners:
            listener(event)

    def close(self) -> None:
        """Write nothing more, and let others have the job."""
        record, self._record = self._record, None
        if record is not None:
            record.close()

    @contextmanager
    def reopened(self) -> Iterator[None]:
        """Open the journal again for what is learnt after the end; what cannot be noted counts all the same."""
        if self._record is not None:
            yield
            return
        if self.path is not None and self.path.exists():
            with suppress(JournalError):
                self._record = Journal(self.path).reopen(self._job)
        try:
            yield
        finally:
            self.close()

    def later_changes(self) -> list[Change]:
        """Ask the journal what other jobs may have changed since this one began to send; nobody else knows."""
        if self._record is not None:
            return changes_since(self._record.journal, self._job, self._service)
        if self.path is not None and self.path.exists():
            with suppress(JournalError), Journal(self.path) as book:
                return changes_since(book, self._job, self._service)
        return []
