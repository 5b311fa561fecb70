"""Which key values are asked about, and what an answer changes."""

import numpy as np
import pandas as pd
import pytest

from scmkit.estimation.estimate import Estimate, estimate_codes
from scmkit.estimation.questions import to_ask, with_answers

LIMIT = 1_000.0


def known(codes: list[int], low: list[int], high: list[int], source: str = "sample") -> Estimate:
    keys = [f"L{i}" for i in range(len(codes))]
    return Estimate(("lot",), pd.DataFrame({"lot": keys, "codes": codes, "low": low, "high": high, "source": source}))


def test_what_may_or_may_not_fit_is_asked_first() -> None:
    """Those whose interval holds the limit, the widest first; not those that are clear either way."""
    middle, low, high = [500, 900, 3_000, 800], [400, 300, 2_000, 700], [600, 4_000, 5_000, 1_500]
    assert to_ask(known(middle, low, high), LIMIT).tolist() == [1, 3]


@pytest.mark.parametrize("source", ["exact", "asked"])
def test_what_is_counted_is_not_asked_again(source: str) -> None:
    """A number that is known is known."""
    assert to_ask(known([500], [0], [4_000], source), LIMIT).tolist() == []


def test_then_those_that_make_the_sum_uncertain() -> None:
    """As few as make the codes of all key values together clear; none where they are."""
    one_wide = known([100] * 50 + [5_000], [90] * 50 + [2_000], [110] * 50 + [9_000])
    assert to_ask(one_wide, LIMIT).tolist() == [50]
    assert to_ask(known([100] * 50, [90] * 50, [110] * 50), LIMIT).tolist() == []


def test_an_answer_stands_and_a_count_that_was_cut_off_is_a_lower_bound() -> None:
    """What the service said has no interval; of what was cut off, only the upper bound is a guess."""
    lots = pd.DataFrame({"lot": ["a", "b", "c"], "note": "x"})
    said = with_answers(estimate_codes(lots, "lot"), {0: 7, 1: 1_001}, LIMIT)
    assert said.frame[["codes", "low", "high", "source"]].values.tolist() == [
        [7, 7, 7, "asked"], [7_300, 1_001, 50_000, "asked"], [7_300, 0, 50_000, "prior"],
    ]  # fmt: skip
    assert said.counts.sd[0] == 0
    before = estimate_codes(lots, "lot")
    assert said.total - said.total_interval[0] == before.total - before.total_interval[0]


def test_no_question_is_left_when_all_is_answered() -> None:
    """Asking ends."""
    rng = np.random.default_rng(5)
    left = known([7_300] * 300, [0] * 300, [50_000] * 300, "prior")
    for _ in range(10):
        wanted = to_ask(left, LIMIT)
        left = with_answers(left, {int(at): int(rng.integers(0, 1_002)) for at in wanted}, LIMIT)
    assert len(to_ask(left, LIMIT)) == 0
    assert set(left.frame["source"]) == {"asked"}
