"""The table of what proves what, walked through: a state says no more than the evidence does."""

import numpy as np
import pytest

from scmkit.core import contract
from scmkit.core.contract import CODE_COLUMNS
from scmkit.core.values import RowState
from scmkit.engine import evidence
from scmkit.engine.evidence import NOTHING, SPECIAL, Change, FieldFacts

APPLIED, DISCARDED, UNMATCHED, UNVERIFIED, UNKNOWN = (
    RowState.APPLIED, RowState.DISCARDED, RowState.UNMATCHED, RowState.UNVERIFIED, RowState.UNKNOWN,
)  # fmt: skip


def row_states(*words: RowState) -> np.ndarray:
    return np.array(words, dtype=np.int8)


def flags(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def texts(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def facts(defined: str = "", undefined: str = "") -> FieldFacts:
    return FieldFacts(frozenset(defined), frozenset(undefined))


@pytest.mark.parametrize(
    ("listed", "moved", "assumed", "state", "lost"),
    [
        ("ab", False, True, APPLIED, ()),
        ("abz", False, True, APPLIED, ()),
        ("a", False, True, APPLIED, ("b",)),
        ("", False, True, DISCARDED, ("a", "b")),
        ("a", False, False, UNVERIFIED, ()),
        ("", False, False, UNVERIFIED, ()),
        ("ab", False, False, APPLIED, ()),
        (None, False, True, UNMATCHED, ()),
        (None, True, True, UNKNOWN, ()),
    ],
)
def test_a_sync_answer(listed: str | None, moved: bool, assumed: bool, state: RowState, lost: tuple) -> None:
    """What is listed was stored; what is not listed was discarded only where that is assumed."""
    sent = {"a": flags(1), "b": flags(1), "c": flags(0)}
    verdict = evidence.of_answer([listed], sent, moved=moved, missing_is_discarded=assumed)
    assert (verdict.row_states.tolist(), verdict.lost.get(0, ())) == ([state], lost)


def test_a_sync_answer_about_other_keys() -> None:
    """Where codes of other keys changed than those that were sent, a key that is not listed may be one of them."""
    sent = {"a": flags(1, 1)}
    verdict = evidence.of_answer(["a", None], sent, moved=False, missing_is_discarded=True, whole=False)
    assert verdict.row_states.tolist() == [APPLIED, UNVERIFIED]


@pytest.mark.parametrize(
    ("codes", "keys", "unique", "moved", "state"),
    [
        (None, 1, True, False, UNVERIFIED),
        (0, 3, False, False, UNMATCHED),
        (0, 3, False, True, UNVERIFIED),
        (5, 1, False, False, APPLIED),
        (5, 1, False, True, APPLIED),
        (3, 3, True, False, APPLIED),
        (2, 3, True, False, UNVERIFIED),
        (4, 3, True, False, UNVERIFIED),
        (3, 3, False, False, UNVERIFIED),
        (9, 3, False, False, UNVERIFIED),
    ],
)
def test_the_count_of_a_task(codes: int | None, keys: int, unique: bool, moved: bool, state: RowState) -> None:
    """It tells of one key whether there was a code, and of several only where each can have one at most (F52)."""
    verdict = evidence.of_count(codes, keys, unique=unique, moved=moved)
    assert verdict.row_states.tolist() == [state] * keys
    assert bool(verdict.why) == (state == UNVERIFIED)


@pytest.mark.parametrize(
    ("codes", "seen", "equal", "states"),
    [
        (1, (0, 1), (0, 1), (UNMATCHED, APPLIED)),  # the inventory said the reverse
        (3, (2, 1), (1, 1), (APPLIED, APPLIED)),
        (3, (2, 0), (1, 0), (UNVERIFIED, UNVERIFIED)),
        (3, (2, 2), (1, 1), (UNVERIFIED, UNVERIFIED)),
        (3, (2, 1), (1, 0), (UNVERIFIED, UNVERIFIED)),
        (0, (-1, 1), (1, 1), (UNVERIFIED, UNVERIFIED)),
    ],
)
def test_codes_that_were_seen_after_a_task(codes: int, seen: tuple, equal: tuple, states: tuple) -> None:
    """A newer look tells the keys of a task apart if its codes are as many, and hold what was sent (F52)."""
    assert evidence.of_codes_seen(codes, np.array(seen), flags(*equal)).row_states.tolist() == list(states)


@pytest.mark.parametrize(
    ("by_count", "sent", "known", "state", "lost"),
    [
        (APPLIED, "a", NOTHING, UNVERIFIED, ""),
        (APPLIED, "a", facts("a"), APPLIED, ""),
        (APPLIED, "a", facts("b", "c"), UNVERIFIED, ""),
        (APPLIED, "a", facts("", "a"), DISCARDED, "a"),
        (APPLIED, "ab", facts("a", "b"), APPLIED, "b"),
        (APPLIED, "ab", facts("a"), UNVERIFIED, ""),
        (APPLIED, "ab", facts("", "a"), UNVERIFIED, ""),
        (APPLIED, "a", facts("a", "a"), UNVERIFIED, ""),  # answers that contradict each other
        (UNMATCHED, "a", NOTHING, UNVERIFIED, ""),
        (UNMATCHED, "a", facts("a"), UNMATCHED, ""),
        (UNMATCHED, "ab", facts("a"), UNMATCHED, ""),
        (UNMATCHED, "ab", facts("a", "b"), UNMATCHED, ""),
        (UNMATCHED, "ab", facts("", "b"), UNVERIFIED, ""),
        (UNMATCHED, "ab", facts("", "ab"), DISCARDED, "ab"),
        (UNVERIFIED, "a", facts("a"), UNVERIFIED, ""),
        (UNVERIFIED, "a", facts("", "a"), UNVERIFIED, ""),
    ],
)
def test_fields_of_a_task(by_count: RowState, sent: str, known: FieldFacts, state: RowState, lost: str) -> None:
    """Without evidence about fields nothing is applied, unmatched or discarded (F50)."""
    verdict = evidence.of_fields(row_states(by_count), {name: flags(name in sent) for name in "abc"}, known)
    assert verdict.row_states.tolist() == [state]
    assert verdict.lost.get(0, ()) == tuple(lost)
    assert bool(verdict.why) == (state == UNVERIFIED != by_count)


def test_special_fields_need_no_evidence() -> None:
    """Every campaign has them."""
    sent = {name: flags(1) for name in SPECIAL.seen}
    assert evidence.of_fields(row_states(APPLIED), sent, NOTHING).row_states.tolist() == [APPLIED]


WHOLE = [*CODE_COLUMNS, "a", "2026"]


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        (WHOLE, {"a", "2026"}),
        ([*CODE_COLUMNS], set()),
        (["extended_id", "a", "2026"], None),  # a slim inventory
        (["a"], None),
        ([], None),
        (WHOLE[1:], None),
        ([*CODE_COLUMNS[:-1], "a"], None),
    ],
)
def test_only_a_whole_header_says_which_fields_there_are(columns: list[str], fields: set | None) -> None:
    """A list of keys and codes is not what a campaign defines (F49)."""
    assert contract.fields_in(columns) == fields


@pytest.mark.parametrize(
    ("columns", "codes", "changed", "seen", "missed"),
    [
        (WHOLE, 3, True, {"a"}, {"b"}),
        (WHOLE, 0, True, set(), set()),  # a task changed codes that are not there
        (WHOLE[1:], 3, True, set(), set()),
        ([], 0, True, set(), set()),
        (WHOLE, 0, False, {"a"}, set()),  # nobody's header: what it lacks may exist
        (WHOLE, 3, False, set(), set()),  # a task changed nothing, though there was something to change
        ([*CODE_COLUMNS, "z"], 3, False, set(), {"a", "b"}),
    ],
)
def test_a_header_proves_what_agrees_with_the_answer(
    columns: list[str], codes: int, changed: bool, seen: set, missed: set
) -> None:
    """Refused, empty, torn, or without the key: no evidence (F50)."""
    assert evidence.of_header(columns, codes, "ab", "ab", changed=changed) == FieldFacts(
        frozenset(seen), frozenset(missed)
    )


@pytest.mark.parametrize("before", list(RowState))
@pytest.mark.parametrize("codes", [-1, 0, 2])
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize(("equal", "discarded"), [(0, 0), (1, 0), (0, 1)])
def test_a_read_back(before: RowState, codes: int, lasting: bool, equal: int, discarded: int) -> None:
    """It settles what is open, and takes nothing back; a key that finds no code proves little (F51)."""
    after = evidence.of_read_back(
        row_states(before), np.array([codes]), flags(equal), flags(discarded), lasting=lasting
    )
    expected = before
    if before in (UNVERIFIED, UNKNOWN):
        found = {(2, 1, 0): APPLIED, (2, 0, 1): DISCARDED}.get((codes, equal, discarded), before)
        expected = UNMATCHED if codes == 0 and lasting else found
    assert after.row_states.tolist() == [expected]


LOTS = {"lot": texts("L1", "L2", "L3")}
IDS = {"extended_id": texts("c1", "c2", "c3")}


def change(keys: dict[str, str], **values: str) -> Change:
    return Change(
        {name: frozenset(value.split()) for name, value in keys.items()},
        {name: frozenset(value.split()) for name, value in values.items()},
    )


@pytest.mark.parametrize(
    ("later", "overwritten", "moved"),
    [
        (change({"lot": "L2"}, origin="x"), (0, 1, 0), (0, 0, 0)),
        (change({"lot": "L2"}, other="x"), (0, 0, 0), (0, 0, 0)),
        (change({"lot": "L2"}, product="x"), (0, 1, 0), (0, 0, 0)),
        (change({"extended_id": "c3"}, origin="x"), (0, 0, 1), (0, 0, 0)),
        (change({"pallet": "p1"}, origin="x"), (1, 1, 1), (0, 0, 0)),
        (change({"lot": "L1", "pallet": "p1"}, origin="x"), (1, 1, 1), (0, 0, 0)),
        (change({"lot": "L1"}, lot="L3"), (0, 0, 0), (1, 0, 1)),  # from one, to another
        (change({"pallet": "p1"}, lot="L3"), (0, 0, 0), (1, 1, 1)),
    ],
)
def test_what_a_later_job_changed(later: Change, overwritten: tuple, moved: tuple) -> None:
    """What it may have set proves nothing about an earlier job, nor does whose key it may have changed (F51)."""
    assert evidence.overwritten(later, "origin", LOTS, IDS).tolist() == list(map(bool, overwritten))
    assert evidence.moved(later, LOTS).tolist() == list(map(bool, moved))
