"""What the service's codes hold at present, as downloads show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from scmkit.core import contract
from scmkit.core.arrays import Bools, Ints
from scmkit.engine import evidence
from scmkit.engine.evidence import Change, FieldFacts
from scmkit.planning.plan import Plan
from scmkit.uploading.read_back import ReadBack, codes_of_row, compare
from scmkit.uploading.threads import asked_until
from scmkit.wire.client import Client

LOOK_AT_FIELDS_S = 60.0  # for the service to make a document about one row's codes


class CodeLookup:
    """Downloads codes, and says what they show about the rows of a plan.

    Parameters
    ----------
    plan : Plan
    client : Client
    started_at : datetime
        When the job began.
    later_changes : callable
        Returns what later jobs may have changed.
    over : callable
        Whether nobody may wait for an answer any more.
    """

    def __init__(
        self, plan: Plan, client: Client, started_at: datetime, later_changes: Callable[[], list[Change]],
        over: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._plan, self._client = plan, client
        self._started_at, self._later_changes, self._over = started_at, later_changes, over

    def compare(self, rows: Ints, **filters: Any) -> ReadBack:
        """Compare rows with the codes that pass the filters, as they are now."""
        with self._download(**filters) as path:
            return compare(self._plan, rows, path, self._later_changes())

    def compare_updated(self, rows: Ints) -> ReadBack:
        """Compare rows with the codes that were updated since the job began."""
        # Whole days, a day more at both ends: how the service reads times, and what its clock says, is not documented.
        day = timedelta(days=1)
        since = f"{self._started_at - day:%Y-%m-%d},{datetime.now(UTC) + day:%Y-%m-%d}"
        return self.compare(rows, updated_at=since)

    def look(self, rows: Ints) -> tuple[Ints, Bools, FieldFacts] | None:
        """Return for each row how many codes were updated, and whether they hold what was sent; None if unknown."""
        try:
            found = self.compare_updated(rows)
        except Exception:  # noqa: BLE001 - whatever it is: no evidence is no reason to break a job off
            return None
        return None if found.why_not else (found.codes, found.equal | found.discarded, found.facts)

    def fields_of(self, row: int, changed: bool) -> FieldFacts:
        """Read from the header of a download of one row's codes which fields their campaign has."""
        names = {k.name: k.take(np.array([row]))[0] for k in self._plan.keys}
        filters = contract.filters_of(names)
        try:
            with self._download(wait_s=LOOK_AT_FIELDS_S, **filters) as path:
                header, codes = codes_of_row(self._plan, row, path)
        except Exception:  # noqa: BLE001 - as above
            return evidence.NOTHING
        asked = [f.name for f in self._plan.fields if not f.missing[row]]
        return evidence.of_header(header, codes, [f.name for f in self._plan.fields], asked, changed=changed)

    @contextmanager
    def _download(self, **filters: Any) -> Iterator[Path]:
        path = asked_until(self._over, lambda sleep: self._client.download_codes(sleep=sleep, **filters))
        try:
            yield path
        finally:
            path.unlink()
