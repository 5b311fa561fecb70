"""What the journal teaches: the calls that were made, and no more of them than is asked for."""

from pathlib import Path

import pandas as pd
import pytest

import scmkit
from scmkit.core.values import Mode
from scmkit.journal import listings
from scmkit.journal.journal import Journal
from scmkit.journal.stored_plans import parts_of, plan_of

SERVICE = "https://api.example.com"


def made(path: Path, job: str, key: str = "extended_id", calls: int = 300) -> None:
    """Write down a job of so many calls of two rows, each with a result; every tenth ran into the gateway."""
    df = pd.DataFrame({key: [f"Code-{i:06d}" for i in range(2 * calls)], "lot": "L1"})
    plan = scmkit.plan(df, key, mode="sync", batch=2, default=3)
    record = Journal(path).create(
        job, SERVICE, len(df), parts_of(plan), ((Mode.SYNC, plan.rows_of(c)) for c in range(len(plan)))
    )
    lines = [(job, c, 1e9 + c, *(("not_applied", 504, 60.0, None) if c % 10 == 0 else ("applied", 200, 0.5, 2)))
             for c in range(calls)]  # fmt: skip
    with record.journal.transaction():
        columns = "job, call, at, bytes, outcome, status, seconds, codes"
        record.journal.db.executemany(f"insert into attempts ({columns}) values (?, ?, ?, 9, ?, ?, ?, ?)", lines)
    record.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite3"
    for job, key in (("job-1", "extended_id"), ("job-2", "extended_id"), ("job-3", "serial_number")):
        made(path, job, key)
    return path


def test_an_upload_begins_with_the_latest_calls_by_its_key(journal: Path) -> None:
    """However much the journal holds, so many are read: of the latest jobs of this key, and in order."""
    calls = listings.recent_calls(SERVICE, "extended_id", journal, calls=350)
    assert calls["job"].value_counts().to_dict() == {"job-2": 300, "job-1": 50}
    assert calls.loc[calls["job"] == "job-1", "call"].tolist() == list(range(250, 300))
    assert set(calls["key"]) == {"extended_id"}
    assert calls["timed_out"].sum() == 35
    assert len(listings.recent_calls(SERVICE, "serial_number", journal, jobs=1)) == 300
    assert not len(listings.recent_calls(SERVICE, "extended_id", journal, jobs=1))


def test_the_latest_calls_are_those_of_the_history(journal: Path) -> None:
    """What is learnt by itself is a part of what `history` lists, cell by cell."""
    latest = listings.recent_calls(SERVICE, "extended_id", journal)
    whole = listings.history(journal)
    known = whole[whole["key"] == "extended_id"].sort_values(["job", "call"], ignore_index=True)
    pd.testing.assert_frame_equal(latest.sort_values(["job", "call"], ignore_index=True), known)
    assert known.loc[known["timed_out"], "codes"].tolist() == [2.0] * 60


def test_a_plan_without_calls_comes_back_as_it_was() -> None:
    """A table of which nothing can be sent has a plan, too, and the journal gives it back."""
    plan = scmkit.plan(pd.DataFrame({"extended_id": ["short"], "wine_name": ["a"]}), errors="reject", journal=False)
    again = plan_of(parts_of(plan), [])
    assert again.summary() == plan.summary()
    assert len(again.calls) == len(again.otherwise("async")) == 0
    assert again.rows["state"].tolist() == ["rejected"]
