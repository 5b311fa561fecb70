"""What an answer, a task's count, a code download and later jobs prove about rows: arrays in, states out.

A state says no more than the evidence. What is missing, partial, older than what it is about, or about something else
proves nothing: then a row is ``unverified`` or ``unknown``.

- A *sync answer* proves, for a key that it lists, which fields were stored; for one that it does not list, that no
  code has it, unless codes of other keys were changed than of those that were sent. About the codes of other keys it
  proves nothing where answers contradict each other.
- A *task's count* proves of one key value whether it selected codes; of as many codes as there are unique keys,
  that each selected one; of 0, that none did, unless no field was there to be stored. It does not prove which of
  several keys had the codes, nor which fields were stored.
- An *inventory*, or names of fields, proves nothing: it is older than the calls, and may be a part. It plans and
  warns.
- The *header of a download*, about codes that a call changed, proves which fields exist, and that others do not.
  Without the key, without a code, or with a column missing that each download has, it proves nothing.
- The *codes of a download* prove rows applied where all codes of the key hold what was sent, and rows unmatched
  where no code has a key that codes keep for ever. That no code has another key now does not prove that none had it
  then, and what a later job may have changed proves nothing.

One table is about the codes of one campaign [assumed]: the fields that exist for some of its rows exist for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scmkit.core import contract
from scmkit.core.arrays import Bools, Ints, Objects, RowStates
from scmkit.core.values import RowState

NO_COUNT = "the task does not say how many codes it changed"
MAYBE_BEFORE = "the task changed no code, but an attempt before it may have"
NOT_WHICH = "the task changed {codes:,} codes for {keys:,} keys and does not say which"
NOT_WHICH_FIELDS = "nothing is known about the campaign's fields, so it is not proven that the values were stored"
CHANGED_NOTHING = (RowState.DISCARDED, RowState.UNMATCHED, RowState.CANCELLED)  # of rows that were to be sent
READ_BACK = {
    RowState.APPLIED: "read back",
    RowState.DISCARDED: "read back: the campaign defines none of the row's fields",
    RowState.UNMATCHED: "read back: no such code",
}


@dataclass(frozen=True)
class FieldFacts:
    """Which fields were seen to exist, and which were seen not to.

    A field in both proves nothing: then the codes are of several campaigns. About all others nothing is known.
    """

    seen: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()

    def __or__(self, other: FieldFacts) -> FieldFacts:
        """Put two pieces of evidence together."""
        return FieldFacts(self.seen | other.seen, self.missed | other.missed)

    @property
    def defined(self) -> frozenset[str]:
        """The fields that are proven to exist."""
        return self.seen - self.missed

    @property
    def undefined(self) -> frozenset[str]:
        """The fields that are proven not to exist."""
        return self.missed - self.seen


NOTHING = FieldFacts()
SPECIAL = FieldFacts(frozenset(contract.SPECIAL_FIELDS))  # every campaign has them [doc]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is proven about rows: a state each, by position the fields that were not stored, and why nothing more."""

    row_states: RowStates
    lost: dict[int, tuple[str, ...]] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Change:
    """What a later job may have changed: codes with these values of these keys, and the values that it set."""

    keys: Mapping[str, frozenset[str]]
    values: Mapping[str, frozenset[str]]


# Answers and counts


def of_no_answer(*, maybe_applied: bool) -> RowState:
    """Say what is known of rows that no call will bring any more."""
    return RowState.UNKNOWN if maybe_applied else RowState.CANCELLED


def of_stored(row_states: RowStates, sent: Mapping[str, Bools], lost: Mapping[int, Collection[str]]) -> FieldFacts:
    """Read which fields exist from what sync answers said of rows: each that was sent and not lost does.

    Parameters
    ----------
    row_states : array of int8
    sent : mapping of str to array of bool
        For each field, which rows sent it.
    lost : mapping of int to collection of str
        By position, the fields that were not stored.
    """
    matched = np.isin(row_states, (RowState.APPLIED, RowState.DISCARDED))
    seen = set()
    for name, has in sent.items():
        stored = matched & has
        stored[[i for i, names in lost.items() if name in names]] = False
        if stored.any():
            seen.add(name)
    return FieldFacts(frozenset(seen), frozenset().union(*lost.values()))


def of_answer(
    listed: Sequence[Collection[str] | None], sent: Mapping[str, Bools], *, moved: bool, missing_is_discarded: bool,
    whole: bool = True,
) -> Verdict:  # fmt: skip
    """Read a sync answer.

    Parameters
    ----------
    listed : sequence of collection of str
        For each row, the fields that the answer names; None where it does not list the key.
    sent : mapping of str to array of bool
        For each field, which rows sent it.
    moved : bool
        Whether an attempt before may have taken codes to where their key does not find them.
    missing_is_discarded : bool
        Whether a field that is not named was discarded [assumed]; otherwise its absence says nothing.
    whole : bool
        Whether a key that is not listed has no code: not where the answer counts codes and lists no key for them, or
        lists a key that was not sent, which may be one of ours in another spelling.
    """
    row_states = np.full(len(listed), RowState.APPLIED, dtype=np.int8)
    lost: dict[int, tuple[str, ...]] = {}
    for i, stored in enumerate(listed):
        if stored is None:
            row_states[i] = RowState.UNKNOWN if moved else RowState.UNMATCHED if whole else RowState.UNVERIFIED
            continue
        asked = [name for name, present in sent.items() if present[i]]
        missing = tuple(name for name in asked if name not in stored)
        if missing and not missing_is_discarded:
            row_states[i] = RowState.UNVERIFIED
        elif missing:
            lost[i] = missing
            row_states[i] = RowState.DISCARDED if len(missing) == len(asked) else RowState.APPLIED
    return Verdict(row_states, lost)


def of_count(codes: int | None, keys: int, *, unique: bool, moved: bool) -> Verdict:
    """Read how many codes a task changed for so many keys; which fields it stored is another question.

    An inventory is no help: it is older than the task, and a sum that comes out right may be another sum.
    """
    if codes is None or (codes == 0 and moved):
        return _alike(keys, RowState.UNVERIFIED, NO_COUNT if codes is None else MAYBE_BEFORE)
    if codes == 0:
        return _alike(keys, RowState.UNMATCHED)
    if keys == 1 or (unique and codes == keys):
        return _alike(keys, RowState.APPLIED)
    return _alike(keys, RowState.UNVERIFIED, NOT_WHICH.format(codes=codes, keys=keys))


def of_codes_seen(codes: int, seen: Ints, equal: Bools) -> Verdict:
    """Tell apart the keys of a task by a download that is newer than it, made before anybody else could go on.

    Parameters
    ----------
    codes : int
        How many the task changed.
    seen : array of int64
        For each key, the codes that carry it, among those that were updated since the job began.
    equal : array of bool
        For each key, whether all of these hold what was sent.
    """
    if (seen >= 0).all() and seen.sum() == codes and equal[seen > 0].all():
        return Verdict(np.where(seen > 0, RowState.APPLIED, RowState.UNMATCHED).astype(np.int8))
    return _alike(len(seen), RowState.UNVERIFIED, NOT_WHICH.format(codes=codes, keys=len(seen)))


def of_fields(row_states: RowStates, sent: Mapping[str, Bools], facts: FieldFacts) -> Verdict:
    """Take back what is not proven about fields from what a count proves: a task does not name what it stored.

    A task that changed no code may just have had no field to store.
    """
    known = facts | SPECIAL
    kept, gone = (_any(sent, names, len(row_states)) for names in (known.defined, known.undefined))
    open_ = _any(sent, sent.keys() - known.defined - known.undefined, len(row_states))
    applied, unmatched = row_states == RowState.APPLIED, row_states == RowState.UNMATCHED
    after = row_states.copy()
    after[(applied | unmatched) & ~kept & gone] = RowState.DISCARDED
    after[(applied & open_) | (unmatched & ~kept & open_)] = RowState.UNVERIFIED
    told = np.flatnonzero(gone & ((after == RowState.DISCARDED) | (after == RowState.APPLIED)))
    lost = {int(i): tuple(name for name in sent if name in known.undefined and sent[name][i]) for i in told}
    return Verdict(after, lost, NOT_WHICH_FIELDS if (after != row_states)[after == RowState.UNVERIFIED].any() else "")


def _alike(rows: int, row_state: RowState, why: str = "") -> Verdict:
    return Verdict(np.full(rows, row_state, dtype=np.int8), why=why)


def _any(sent: Mapping[str, Bools], names: Collection[str], rows: int) -> Bools:
    """Mark the rows that sent one of these fields."""
    marked = np.zeros(rows, dtype=bool)
    for name in sent.keys() & names:
        marked |= sent[name]
    return marked


# Fields


def of_header(
    columns: Iterable[object], codes: int, fields: Iterable[str], asked: Iterable[str], *, changed: bool
) -> FieldFacts:
    """Read which fields exist from a download of the codes of one row.

    It must agree with what was answered: a call that changed codes has some, one that changed none has none, or no
    field to change them by. Without a code, the header is nobody's: what it names exists, what it lacks may still.

    Parameters
    ----------
    columns : iterable of str
        The header.
    codes : int
        How many of its codes carry the key of the row.
    fields, asked : iterable of str
        The fields that the table has, and those that this row sent.
    changed : bool
        Whether the call changed codes.
    """
    found = contract.fields_in(columns)
    if found is None or (changed and not codes):
        return NOTHING
    here = (found | SPECIAL.seen).intersection(fields)
    if not codes:
        return FieldFacts(here)
    return NOTHING if not changed and here.intersection(asked) else FieldFacts(here, frozenset(fields) - here)


# Reading back


def of_read_back(before: RowStates, codes: Ints, equal: Bools, discarded: Bools, *, lasting: bool) -> Verdict:
    """Settle rows that are open by what a download of all codes shows; nothing that was proven before is taken back.

    A code keeps its ``extended_id``. What carried another key when the row was sent may carry another value of it
    now, whoever has changed it: that no code is found proves nothing then.

    Parameters
    ----------
    before : array of int8
        The states so far.
    codes : array of int64
        For each row, the codes that carry its key; below 0 where that proves nothing.
    equal, discarded : array of bool
        Whether all of them hold what was sent, and whether none of its fields exists.
    lasting : bool
        Whether codes keep this key for ever.
    """
    is_open = np.isin(before, (RowState.UNVERIFIED, RowState.UNKNOWN))
    after = before.copy()
    after[is_open & (codes > 0) & equal] = RowState.APPLIED
    after[is_open & (codes > 0) & discarded] = RowState.DISCARDED
    if lasting:
        after[is_open & (codes == 0)] = RowState.UNMATCHED
    return Verdict(after)


def selected(change: Change, rows: Mapping[str, Objects], codes: Mapping[str, Objects]) -> Bools:
    """Mark what a later job may have selected.

    Parameters
    ----------
    change : Change
    rows : mapping of str to array of str
        The keys of ours, by name.
    codes : mapping of str to array of str
        The keys that codes keep for ever, of the codes that are looked at.
    """
    size = len(next(iter(rows.values())))
    same = change.keys.keys() == rows.keys()
    known = codes if change.keys.keys() <= codes.keys() else rows if same else {}
    marked = np.ones(size, dtype=bool)
    for name in change.keys.keys() & known.keys():  # none: another key may select any of the codes
        marked &= _is_in(known[name], change.keys[name])
    return marked


def overwritten(change: Change, name: str, rows: Mapping[str, Objects], codes: Mapping[str, Objects]) -> Bools:
    """Mark the codes of which a later job may have changed a field; a move to another product may change any."""
    if change.values.keys().isdisjoint((name, "product")):
        return np.zeros(len(next(iter(rows.values()))), dtype=bool)
    return selected(change, rows, codes)


def moved(change: Change, rows: Mapping[str, Objects]) -> Bools:
    """Mark the rows whose key a later job may have taken from codes, or given to others."""
    marked = np.zeros(len(next(iter(rows.values()))), dtype=bool)
    for name in rows.keys() & change.values.keys():
        marked |= selected(change, rows, {}) | _is_in(rows[name], change.values[name])
    return marked


def _is_in(texts: Objects, values: Collection[str]) -> Bools:
    return np.fromiter((text in values for text in texts), dtype=bool, count=len(texts))
