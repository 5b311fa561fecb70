"""What an upload's calls teach about those still to come."""

from __future__ import annotations

import numpy as np

from scmkit.core import contract
from scmkit.core.arrays import Ints
from scmkit.planning.plan import Plan

# A waiting call is halved when its predicted risk has become this many times what the plan may bear: the planned calls
# use up the bearable risk, and small movements of the model are no reason to make more of them.
TOO_RISKY = 2.0
FEWER = 0.8  # of the timeouts that the whole call would have are what its pieces together may have
# Halving adds calls until there are this many times as many as planned. Beyond, and below the documented safe size,
# calls that are too large are left to the gateway, which cuts them, and only them [assumed].
MOST_TIMES = 8
UPDATE_GROWTH = 1.2  # the model is updated when there are this many times as many calls as at the last update
REMEMBERED = 200  # calls of this upload; older ones say little about the service now


class CallSize:
    """Whether the calls of a plan are still small enough, judged after each call that was made.

    Only for ``mode="auto"``: whoever asked for sync calls of a size gets them.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._model = plan, plan.service_time
        self._high = plan.row_codes["high"].to_numpy(dtype=float)
        self._seen: list[tuple[float, float, float, bool]] = []
        self._update_at = 1
        self._left = (MOST_TIMES - 1) * len(plan)
        self._least_codes = float(contract.SAFE_CODES)

    def learn(self, rows: Ints, codes: int | None, seconds: float, timed_out: bool) -> None:
        """Take note of a sync call: its codes, or by the estimate those of a call that the gateway cut."""
        if self._plan.mode != "auto" or seconds <= 0:
            return
        known = self._plan.expected_codes(rows) if codes is None else float(codes)
        self._seen.append((known, float(len(rows)), seconds, timed_out))
        if timed_out and known <= 2 * contract.SAFE_CODES:
            self._least_codes = 0.0  # the safe size is not safe here
        if timed_out or len(self._seen) >= self._update_at:
            self._model = self._plan.service_time.after(self._seen[-REMEMBERED:])
            self._update_at = int(len(self._seen) * UPDATE_GROWTH) + 1

    def should_halve(self, rows: Ints) -> bool:
        """Whether a sync call of these rows should go out in halves: it became too risky, and smaller ones are not.

        Where the seconds do not come from the codes (a slow network, a busy machine), more calls are more of them.
        """
        if self._plan.mode != "auto" or not self._seen or len(rows) < 2 or self._left <= 0:
            return False
        codes = self._high[rows].sum()
        pieces = 2.0 ** np.arange(int(np.log2(len(rows))) + 1)
        pieces = pieces[(pieces == 1) | (codes / pieces >= self._least_codes)]
        risks = self._model.timeout_risk(codes / pieces, len(rows) / pieces, self._plan.timeout_s)
        helps = (pieces * risks)[1:] < FEWER * risks[0]  # timeouts to expect from all pieces, and from the whole
        too_risky = self._plan.risk * (1.0 if self._plan.probes else TOO_RISKY)  # after a probe, the model moves far
        return bool(risks[0] > too_risky and helps.any())

    def note_halved(self) -> None:
        """Take note that there is one call more."""
        self._left -= 1
