"""The read-back of a job: it settles what is open, and says what is not proven."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core.display import plural
from scmkit.core.events import Settled
from scmkit.core.values import RowState
from scmkit.engine import evidence
from scmkit.uploading.ledger import Ledger
from scmkit.uploading.lookup import CodeLookup
from scmkit.uploading.read_back import ReadBack
from scmkit.uploading.recorder import Recorder


class Verification:
    """Reads the codes of a job back, and keeps what was found last.

    Attributes
    ----------
    differences : DataFrame or None
        A line per code and field that does not hold what was sent; None when nothing was compared.
    unproven : str
        Why the last read-back did not prove all that it was to prove; empty where it did, or there was none.
    """

    def __init__(self, ledger: Ledger, lookup: CodeLookup, recorder: Recorder) -> None:
        self._ledger, self._lookup, self._recorder = ledger, lookup, recorder
        self.differences: pd.DataFrame | None = None
        self.unproven = ""

    def verify(self, **filters: Any) -> pd.DataFrame:
        """Read the codes back, and settle the rows about which they prove something; return the differences."""
        found = self._found(**filters)
        if not filters:  # a filter of the caller's may hide codes that a row selects
            with self._recorder.reopened():
                for event in self._settled_by(found):
                    self._recorder(event)
        self.differences = None if found.why_not else found.differences
        self.unproven = found.why_not if filters else self._why_unproven(found)
        return found.differences

    def verify_or_say_why(self) -> None:
        """A read-back that fails takes nothing back from what was uploaded; the summary says why it is not proven."""
        try:
            self.verify()
        except Exception as error:  # noqa: BLE001 - whatever it is, such as a download without a column
            self.unproven = str(error)

    def _found(self, **filters: Any) -> ReadBack:
        open_rows = self._ledger.positions(RowState.UNVERIFIED, RowState.UNKNOWN)
        rows = self._ledger.positions(RowState.APPLIED, RowState.UNVERIFIED, RowState.UNKNOWN)
        if filters or len(open_rows):
            return self._lookup.compare(rows, **filters)
        # Codes that were not updated lately tell about open rows, and about keys that are absent: then look at all.
        found = self._lookup.compare_updated(rows)
        return self._lookup.compare(rows) if len(found.absent) or found.why_not else found

    def _settled_by(self, found: ReadBack) -> Iterator[Settled]:
        plan, before = self._ledger.plan, self._ledger.states_of(found.rows)
        lasting = all(name in plan.assumptions.unique_keys for name in plan.key)
        after = evidence.of_read_back(before, found.codes, found.equal, found.discarded, lasting=lasting)
        verdict = evidence.of_fields(after.row_states, plan.sent(found.rows), found.facts)
        for row_state, why in evidence.READ_BACK.items():
            at = np.flatnonzero((after.row_states == row_state) & (before != row_state))
            lost = {int(found.rows[i]): verdict.lost[i] for i in at.tolist() if i in verdict.lost}
            yield Settled(found.rows[at], after.row_states[at], None, lost, why)

    def _why_unproven(self, found: ReadBack) -> str:
        """Say what a read-back could not prove about rows that are said to be applied."""
        applied = self._ledger.states_of(found.absent) == RowState.APPLIED
        gone = f"no code carries the key of {plural(int(applied.sum()), 'applied row')} now" if applied.any() else ""
        return (found.why_not or gone) if len(found.rows) else ""
