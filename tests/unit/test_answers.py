"""Answers about codes per key value are remembered beside the jobs."""

import sqlite3
import time
from pathlib import Path

import pytest

from scmkit.journal.answers import remember, remembered
from scmkit.journal.journal import Journal

URL = "https://api.example.com"


def test_an_answer_comes_back_with_its_age(tmp_path: Path) -> None:
    """By service and key, the newest of a value; a journal from before there were answers opens, and takes them."""
    path = tmp_path / "journal.sqlite3"
    assert remembered(URL, ["lot"], path) == []
    assert not path.exists()
    Journal(path).close()
    assert remembered(URL, ["lot"], path) == []
    remember(URL, ["lot"], [(("a;b",), 5, False), (("b",), 8_001, True)], path)
    remember(URL, ["lot"], [(("a;b",), 6, False)], path)
    remember(URL, ["lot", "product"], [(("a", "1"), 7, False)], path)
    found = {a.value: (a.codes, a.cut) for a in remembered(URL, ["lot"], path)}
    assert found == {("a;b",): (6, False), ("b",): (8_001, True)}
    assert [a.value for a in remembered(URL, ["lot", "product"], path)] == [("a", "1")]
    assert remembered("https://elsewhere.example.com", ["lot"], path) == []
    assert all(0 <= a.age_s < 60 for a in remembered(URL, ["lot"], path))


def test_an_answer_from_the_future_is_not_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has set the clock back since: nobody knows how old it is."""
    path, real = tmp_path / "journal.sqlite3", time.time
    remember(URL, ["lot"], [(("a",), 5, False)], path)
    monkeypatch.setattr(time, "time", lambda: real() - 3_600)
    assert remembered(URL, ["lot"], path)[0].age_s == float("inf")


def test_an_older_scmkit_opens_the_journal(tmp_path: Path) -> None:
    """The schema's number stays: nothing that it knows has changed."""
    path = tmp_path / "journal.sqlite3"
    Journal(path).close()
    remember(URL, ["lot"], [(("a",), 5, False)], path)
    with sqlite3.connect(path) as db:
        assert db.execute("pragma user_version").fetchone() == (2,)
