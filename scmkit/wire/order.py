"""In which order the jobs of a client began, whatever their journals."""

from __future__ import annotations

import threading
from collections.abc import Collection
from itertools import takewhile
from pathlib import Path
from typing import Any


class JobOrder:
    """The jobs of a client in their order; within a journal, its own numbers are the order.

    Attributes
    ----------
    in_turn : Lock
        Held from a job's place in its journal to its place here: one order for both.
    memory
        The journal of those jobs that have no file; the journal's room makes it.
    """

    def __init__(self) -> None:
        self.memory: Any = None
        self.in_turn = threading.Lock()
        self._jobs: list[tuple[str, Path]] = []

    def enter(self, job: str, journal: Path, before: Collection[str] = ()) -> None:
        """Take the last place, or, with a job that goes on, one before these jobs, which were made later."""
        others = [entry for entry in self._jobs if entry[0] != job]
        place = next((at for at, (other, _) in enumerate(others) if other in before), len(others))
        self._jobs = [*others[:place], (job, journal), *others[place:]]

    def earlier_elsewhere(self, job: str | None, journal: Path) -> dict[Path, set[str]]:
        """Return the jobs that come before this one, or all, in other journals than this, by their journal."""
        earlier = [entry for entry in takewhile(lambda entry: entry[0] != job, self._jobs) if entry[1] != journal]
        return {path: {other for other, its in earlier if its == path} for path in dict.fromkeys(p for _, p in earlier)}
