"""The choices on the way to an upload, and what follows from them, without widgets."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import scmkit
from scmkit.core import contract
from scmkit.core.display import plural
from scmkit.steps import choices
from scmkit.steps.choices import FIXES, Choices, Source
from scmkit.tables.writing import NOTES
from scmkit.uploading.progress import seconds_left
from scmkit.validation.rulebook import RULES


def source(frame: pd.DataFrame, name: str = "df") -> Source:
    return Source(name, name, frame)


def columns_of(names: list[str], defined: list[str] | None) -> dict[str, str | None]:
    return {c.name: c.field for c in choices.suggest(pd.DataFrame(columns=names), defined)}


DEFINED = ["lot_number", "wine_name", "vintage_year", "harvest_date"]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("lot_number", "lot_number"), ("Lot Number", "lot_number"), ("LOTNUMBER", "lot_number"),
        ("lot-number ", "lot_number"), ("lot_nr", None), ("vintage_yaer", "vintage_year"), ("Wine Nmae", "wine_name"),
        ("Activation Status", "activation_status"), ("colour of the moon", None), ("Extended ID", "extended_id"),
        ("brand", None), (NOTES[0], None),
    ],
)  # fmt: skip
def test_names_suggest_fields(name: str, field: str | None) -> None:
    """The same name, then another spelling, then a close one; what is like none is not sent."""
    assert columns_of([name], DEFINED)[name] == field


def test_no_field_is_suggested_twice() -> None:
    """An exact name wins over a close one, wherever it stands."""
    assert columns_of(["vintage_yaer", "Vintage Year", "vintage_year"], DEFINED) == {
        "vintage_yaer": None, "Vintage Year": None, "vintage_year": "vintage_year",
    }  # fmt: skip


def test_without_knowledge_columns_are_sent_as_they_are() -> None:
    """Nobody knows the campaign's fields: names stay, except those of the code itself and our notes."""
    names = ["extended_id", "anything", "brand", *NOTES]
    assert columns_of(names, None) == dict(
        zip(names, ["extended_id", "anything", None, *[None] * len(NOTES)], strict=True)
    )


def test_kinds_are_suggested() -> None:
    """A date by its name or its values, a logistic unit by its name, else text."""
    frame = pd.DataFrame(
        {"extended_id": ["a"], "harvest_date": ["x"], "when": ["24/09/2023"], "pallet": ["P"], "n": [1]}
    )
    kinds = {c.name: c.kind for c in choices.suggest(frame, None)}
    assert kinds == {
        "extended_id": "text", "harvest_date": "date", "when": "date", "pallet": "logistic_unit", "n": "text",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "key"),
    [(["wine", "extended_id"], "extended_id"), (["a", "Serial Number"], "Serial Number"), (["lot", "wine"], "lot")],
)
def test_the_key_is_suggested(names: list[str], key: str) -> None:
    """A code's own name if there is one, else the first column."""
    assert choices.likely_key(choices.suggest(pd.DataFrame(columns=names), None)) == key


def test_what_is_missing_is_said() -> None:
    """Each state that cannot be checked is named; a fine one gives nothing."""
    assert choices.trouble(Choices()) == "choose a table first"
    fine = Choices().with_table(source(pd.DataFrame({"extended_id": ["a"], "b": ["c"], "d": ["e"]})))
    assert choices.trouble(fine) == ""
    b, d = fine.column("b"), fine.column("d")
    assert b is not None
    assert d is not None
    assert "two columns are sent as 'd'" in choices.trouble(fine.with_column(replace(b, field="d")))
    alone = fine.with_column(replace(b, field=None)).with_column(replace(d, field=None))
    assert "no column beside the key" in choices.trouble(alone)
    twice = pd.DataFrame([["a", "b", "c"]], columns=["extended_id", "x", "x"])
    assert "'x' is there more than once" in choices.trouble(Choices().with_table(source(twice)))


def test_the_table_is_never_changed() -> None:
    """Renaming, dropping and fixing happen on a copy, whose index says which row of the table each row is."""
    frame = pd.DataFrame(
        {"Extended ID": ["Code_0001", "Code_0002", "Code_0002"], "harvest date": ["24/09/2023"] * 3, 3: ["x"] * 3},
        index=["a", "b", "b"],
    )
    before = frame.copy()
    chosen = (
        Choices().with_table(source(frame)).with_codes(source(pd.DataFrame(columns=["extended_id", "harvest_date"])))
    )
    made = choices.prepared(replace(chosen, fixes=("date_format", "duplicate_equal")))
    pd.testing.assert_frame_equal(frame, before)
    assert made.to_dict("list") == {
        "extended_id": ["Code_0001", "Code_0002"], "harvest_date": ["2023-09-24", "2023-09-24"],
    }  # fmt: skip
    assert made.index.tolist() == [0, 1]


def test_all_ready_fixes_have_a_button(data: Path) -> None:
    """Every fix that validation has ready for the damaged sample is behind one of the buttons, and works."""
    chosen = Choices().with_table(choices.file_source(data / "damaged.csv").opened(50))
    found = scmkit.validate(choices.prepared(chosen), **choices.checks(chosen))
    behind = {rule for rules in FIXES.values() for rule in rules}
    assert behind <= set(RULES)
    assert set(found.frame.loc[found.frame["fix"].notna(), "rule"]) <= behind
    assert choices.ready_fixes(found) == {
        "dates": 7, "blanks": 5, "damaged numbers": 1, "zeros in front of keys": 0, "words for numbers": 1,
        "spellings": 0,
    }  # fmt: skip
    fixed = replace(chosen, fixes=tuple(behind))
    again = scmkit.validate(choices.prepared(fixed), **choices.checks(fixed))
    assert set(choices.ready_fixes(again).values()) == {0}


def test_what_people_chose_survives_a_new_inventory() -> None:
    """An inventory suggests fields anew, but not for columns that somebody has chosen a field for; fixes stay."""
    frame = pd.DataFrame(columns=["extended_id", "Wine Name", "Lot Number"])
    chosen = replace(Choices().with_table(source(frame)), fixes=("date_format",))
    column = chosen.column("Lot Number")
    assert column is not None
    chosen = chosen.with_column(replace(column, field="my_lot", why=choices.CHOSEN))
    after = chosen.with_codes(source(pd.DataFrame(columns=["extended_id", "wine_name", "lot_number"])))
    assert [c.field for c in after.columns] == ["extended_id", "wine_name", "my_lot"]
    assert after.fixes == ("date_format",)


def test_kinds_reach_validation() -> None:
    """A column that is said to be a date is judged as one, and names without evidence are not called defined."""
    frame = pd.DataFrame({"extended_id": ["Code_0001"], "when": ["24/09/2023"], "note": ["x"]})
    chosen = Choices().with_table(source(frame))
    assert choices.fields(chosen) == {"when": "date", "note": "text"}
    assert scmkit.validate(choices.prepared(chosen), **choices.checks(chosen)).frame["rule"].tolist() == ["date_format"]
    assert choices.fields(Choices().with_table(source(frame[["extended_id", "note"]]))) is None


def test_large_files_are_not_read(tmp_path: Path) -> None:
    """A file above the limit is refused before it is read; the message says how to go on."""
    path = tmp_path / "large.csv"
    path.write_bytes(b"a,b\n" * 300_000)
    with pytest.raises(scmkit.ScmkitError, match=r"1\.2 MB.*takes 1.*read_table"):
        choices.file_source(path).opened(1)


def test_frames_and_files_are_found(tmp_path: Path) -> None:
    """DataFrames under public names, and the files that can be read; nothing else."""
    frame = pd.DataFrame({"a": [1]})
    names = {"df": frame, "_": frame, "_1": frame, "not a name": frame, "class": frame, "n": 1, "s": frame["a"]}
    assert [s.python for s in choices.frames_in(names)] == ["df"]
    for name in ("b.csv", "a.XLSX", "c.csv.gz", "d.txt", "e.ipynb", "f.md"):
        (tmp_path / name).write_text("x")
    (tmp_path / "folder.csv").mkdir()
    assert [s.name for s in choices.files_in(tmp_path)] == ["a.XLSX", "b.csv", "c.csv.gz", "d.txt"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (contract.PRODUCTION_URL, "PRODUCTION (api.scantrust.com)"),
        (contract.STAGING_URL, "staging (api.staging.scantrust.io)"),
        ("http://127.0.0.1:9", "127.0.0.1:9"),
    ],
)
def test_services_are_named(url: str, words: str) -> None:
    """Production is called so wherever it is named."""
    with scmkit.Client(url, "token-of-a-test") as client:
        assert choices.Service(client, "client").words == words
        assert choices.Service(client, "client").is_production == (url == contract.PRODUCTION_URL)


def test_what_will_happen_is_counted(inventory: pd.DataFrame) -> None:
    """The question names rows, calls, codes, values that are cleared, rows that are not sent, and the host."""
    lots = pd.DataFrame({"lot_number": ["000000", "000001", "000002", "000002"], "wine_name": ["", "A", "B", "C"]})
    plan = scmkit.plan(lots, key="lot_number", inventory=inventory, errors="reject")
    with scmkit.Client(contract.PRODUCTION_URL, "token-of-a-test") as client:
        words = choices.will_happen(plan, choices.Service(client, "client"))
    where = rf"{plural(len(plan), 'call')} to PRODUCTION \(api\.scantrust\.com\)"
    assert re.match(rf"This sends 2 rows in {where}; 200 codes change; ", words)
    assert "1 value is cleared; 2 rows are not sent (errors or duplicates); about " in words


@pytest.mark.parametrize(("done", "left"), [(0.0, 60.0), (0.5, 60.0), (1.0, 0.0)])
def test_the_rest_is_predicted(done: float, left: float) -> None:
    """By the plan at first, by the pace at the end, in between by both."""
    assert seconds_left(100.0, 40.0, done) == pytest.approx({0.5: 0.5 * 60 + 0.5 * 40}.get(done, left))


def test_rows_to_upload_again_have_the_tables_own_columns() -> None:
    """The file has every column of the table under its own name, fixed cells, and what happened."""
    frame = pd.DataFrame(
        {"Extended ID": ["Code_0001", "Code_0002"], "harvest date": ["24/09/2023"] * 2, "mine": ["x", "y"]}
    )
    codes = source(pd.DataFrame(columns=["extended_id", "harvest_date"]))
    chosen = replace(Choices().with_table(source(frame)).with_codes(codes), fixes=("date_format",))
    rows = pd.DataFrame({"row": [1], "state": ["unmatched"], "message": ["no code carries this key"]})
    written = choices.to_upload_again(chosen, choices.prepared(chosen), rows)
    assert written.to_dict("list") == {
        "Extended ID": ["Code_0002"], "harvest date": ["2023-09-24"], "mine": ["y"],
        NOTES[0]: [None], NOTES[1]: ["unmatched"], NOTES[2]: ["no code carries this key"],
    }  # fmt: skip
    again = Choices().with_table(source(written)).with_codes(codes)
    assert {c.name for c in again.columns if c.field is None} == {"mine", *NOTES}


def test_the_shown_lines_run(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is Python: names with quotes, columns that are numbers, a mode, a risk, fixes and a choice of rows."""
    frame = pd.DataFrame({"extended_id": ["Code_0001"], 'it\'s "so"': ["x"], 7: ["y"], "brand": ["z"]})
    chosen = Choices().with_table(source(frame, "table_of_mine"))
    chosen = replace(chosen, mode="sync", risk=0.05, fixes=("date_format",), leave_out=True, on_conflict="last")
    column = chosen.column("7")
    assert column is not None
    chosen = chosen.with_column(replace(column, field="vintage_year", kind="date", told=True))
    told: list[tuple[pd.DataFrame, dict[str, object]]] = []
    monkeypatch.setattr(scmkit, "upload", lambda table, **options: told.append((table, options)))
    exec(choices.python(chosen, None, journal=False), {"table_of_mine": frame})
    [(table, options)] = told
    assert table.columns.tolist() == ["extended_id", 'it\'s "so"', "vintage_year"]
    assert options == {
        "key": "extended_id", "fields": {'it\'s "so"': "text", "vintage_year": "date"}, "mode": "sync", "risk": 0.05,
        "errors": "reject", "on_conflict": "last", "journal": False,
    }  # fmt: skip


def test_without_a_table_there_is_little_to_show() -> None:
    """The code grows with the choices."""
    assert textwrap.dedent(choices.python(Choices(), None)).strip() == "import scmkit"
