"""A mapping says what columns are sent as and what must hold of them: kept in a file, it plans the next table alike."""

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import scmkit
from scmkit.core.errors import DestinationError, FileAccessError, MissingColumnError, MissingFileError, PlanError
from scmkit.core.values import Mode
from scmkit.steps import choices
from scmkit.steps.choices import FIXES, Choices, Source
from scmkit.validation.mapping import READY_FIXES
from scmkit.validation.rulebook import RULES

LOTS = scmkit.Mapping(
    columns={"Lot": "lot_number", "Wine": "wine_name", "Picked on": "harvest", "Notes": None},
    key="lot_number",
    kinds={"harvest": "date"},
    allowed={"wine_name": ["Merlot", "Pinot Noir"]},
    required=["wine_name"],
    patterns={"lot_number": r"L-\d{4}"},
    constants={"country": "CH"},
    fixes=["date_format"],
    on_conflict="last",
)


def lots(**columns: list[Any]) -> pd.DataFrame:
    """Make a table of two lots in the words of a file, with some columns replaced."""
    told = {"Notes": ["x", None], "Lot": ["L-0001", "L-0002"], "Wine": ["Merlot", "Pinot Noir"]}
    return pd.DataFrame(told | {"Picked on": ["24.9.2025", "2025-09-25"]} | columns)


def items(plan: scmkit.Plan) -> list[dict[str, str]]:
    """Return what a plan sends."""
    return json.loads(plan.body(Mode.SYNC, plan.load.live))["items"]


def test_a_table_is_sent_as_its_mapping_says() -> None:
    """Columns are renamed, left out and fixed, constants stand in every row; the order is the mapping's."""
    plan = scmkit.plan(lots(), mapping=LOTS, journal=False)
    assert items(plan) == [
        {"lot_number": "L-0001", "wine_name": "Merlot", "harvest": "2025-09-24", "country": "CH"},
        {"lot_number": "L-0002", "wine_name": "Pinot Noir", "harvest": "2025-09-25", "country": "CH"},
    ]
    assert plan.findings.ok
    assert plan.mapping == LOTS
    turned = lots()[["Wine", "Picked on", "Lot", "Notes"]]
    assert items(turned.scm.plan(mapping=plan.mapping, journal=False)) == items(plan)


def test_findings_name_the_files_own_columns_and_lines(tmp_path: Path) -> None:
    """Whatever a column is sent as, who corrects the file finds the cell; labels and lines stay."""
    path = tmp_path / "lots.csv"
    lots(Lot=["L-0001", "L-2"], Wine=["merlot ", None]).to_csv(path, index=False)
    findings = scmkit.validate(path, mapping=LOTS)
    assert findings.frame[["line", "column", "rule", "fix"]].to_numpy().tolist()[:1] == [
        [2, "Wine", "surrounding_blanks", "merlot"]
    ]
    told = dict(zip(findings.frame["rule"], findings.frame["message"], strict=True))
    assert told["allowed_value"].startswith("line 2, column 'Wine' (sent as 'wine_name'): 'merlot '")
    assert "write 'Merlot'" in told["allowed_value"]
    assert told["pattern"].startswith("line 3, column 'Lot' (sent as 'lot_number'): 'L-2'")
    assert r"pattern L-\d{4} says" in told["pattern"]
    assert told["required_value"].startswith("line 3, column 'Wine'")
    assert findings.rejected.tolist() == [True, True]


def test_ready_fixes_are_for_the_file() -> None:
    """What the mapping has fixed is listed, and a copy with more fixes is again a table of that kind."""
    table = lots(Wine=["merlot", "Pinot Noir"])
    findings = table.scm.validate(mapping=LOTS)
    assert [frame["fix"].tolist() for frame in findings.applied] == [["2025-09-24"]]
    assert "the mapping fixed 1 cell" in findings.summary()
    fixed = findings.fixed(table)
    assert fixed["Wine"].tolist() == ["Merlot", "Pinot Noir"]
    assert fixed["Picked on"].tolist() == ["2025-09-24", "2025-09-25"]
    assert scmkit.validate(fixed, mapping=LOTS).ok


def test_codes_are_estimated_for_the_key_as_it_is_sent() -> None:
    """The values that are asked about are those that will be sent."""
    mapping = scmkit.Mapping({"Lot": "lot_number", "Wine": None}, "lot_number", fixes=["key_blanks"])
    codes = pd.DataFrame({"lot_number": ["1", "1", "2"]})
    table = pd.DataFrame({"Lot": [" 1", "2"], "Wine": "x"})
    known = table.scm.estimate(mapping=mapping, inventory=codes).frame
    assert known[["lot_number", "codes"]].to_numpy().tolist() == [["1", 2], ["2", 1]]


def test_columns_that_changed_are_named() -> None:
    """What is missing is an error with the nearest new name; what is new is not sent, and said."""
    with pytest.raises(MissingColumnError, match=r"'Wine' is missing \(did you mean 'Wines'\?\); new: 'Wines', 'Size'"):
        scmkit.validate(lots().rename(columns={"Wine": "Wines"}).assign(Size=1), mapping=LOTS)
    findings = scmkit.validate(lots().assign(Size=1), mapping=LOTS)
    assert findings.frame[["column", "rule", "severity"]].to_numpy().tolist() == [["Size", "new_column", "warning"]]
    assert scmkit.validate(lots().drop(columns="Notes"), mapping=LOTS).ok
    twice = pd.concat([lots(), lots()[["Wine"]]], axis=1)
    with pytest.raises(MissingColumnError, match="'Wine' is there more than once"):
        scmkit.validate(twice, mapping=LOTS)


def test_a_mapping_without_columns_only_asks_for_values() -> None:
    """All columns are sent as they are; what is not among them is an error."""
    table = pd.DataFrame({"extended_id": ["Code-0001", "Code-0002"], "market": ["CH", "FR"]})
    rules = scmkit.Mapping(allowed={"market": ["CH", "DE"]})
    assert scmkit.validate(table, mapping=rules).rejected.tolist() == [False, True]
    with pytest.raises(MissingColumnError, match=r"allowed: 'markt' .*did you mean 'market'"):
        scmkit.validate(table, mapping=scmkit.Mapping(allowed={"markt": ["CH"]}))
    with pytest.raises(PlanError, match="'market' is a column of the table, too"):
        scmkit.validate(table, mapping=scmkit.Mapping(constants={"market": "CH"}))


def test_several_columns_can_be_the_key() -> None:
    """The findings about such a key name the columns of the file; a constant can be a part of it."""
    mapping = scmkit.Mapping({"Lot": "lot", "Wine": "wine"}, key=["lot", "site"], constants={"site": "A"})
    table = pd.DataFrame({"Lot": ["1", "1"], "Wine": ["x", "y"]})
    findings = scmkit.validate(table, mapping=mapping)
    assert set(findings.frame["column"]) == {"Lot, site"}
    assert scmkit.validate(table, mapping=mapping, on_conflict="last").ok


def test_what_a_call_says_beside_a_mapping_counts() -> None:
    """Another key is refused, since nobody knows which is meant; kinds and on_conflict of the call count."""
    with pytest.raises(PlanError, match="the mapping's key is lot_number, not Lot"):
        scmkit.plan(lots(), key="Lot", mapping=LOTS)
    assert scmkit.validate(lots(), key="lot_number", mapping=LOTS).ok
    plan = scmkit.plan(pd.DataFrame({"lot": ["1"], "day": ["2025-01-01"]}), "lot", fields={"day": "date"})
    assert plan.mapping == scmkit.Mapping({"lot": "lot", "day": "day"}, key="lot", kinds={"day": "date"})


def test_a_file_gives_the_same_mapping_back(tmp_path: Path) -> None:
    """Saved and loaded, shown and evaluated, it is the same; a path stands for what it holds."""
    path = tmp_path / "lots.json"
    for mapping in (LOTS, scmkit.Mapping(), scmkit.Mapping({}, constants={"a": 12.5, "extended_id": "Ü"})):
        mapping.save(path)
        assert scmkit.Mapping.load(path) == mapping
        assert eval(f"scmkit.{mapping!r}") == mapping
    LOTS.save(path)
    assert scmkit.plan(lots(), mapping=path, journal=False).mapping == LOTS
    with pytest.raises(DestinationError):
        LOTS.save(tmp_path)


WRONG_PARTS: list[tuple[dict[str, Any], str]] = [
    ({"columns": {"A": 5}}, "columns is a dict from each column .*, and of 'A' it is 5"),
    ({"columns": ["A"]}, "columns is a dict .*, not a list"),
    ({"columns": {"A": "a", "B": "a"}, "key": "a"}, "field 'a' would be sent twice"),
    ({"columns": {"A": "a", "B": "b"}, "key": "A"}, "key: 'A' is no field that is sent: column 'A' is sent as 'a'"),
    ({"columns": {"A": "extended_id"}, "required": ["extended_idd"]}, "required: .*did you mean 'extended_id'"),
    ({"kinds": {"a": "dat"}}, "kinds is a dict .*, and of 'a' it is 'dat'"),
    ({"allowed": {"a": "CH"}}, "allowed is a dict .*, and of 'a' it is 'CH'"),
    ({"patterns": {"a": "["}}, "'\\[', of 'a', cannot be used: unterminated"),
    ({"patterns": {"a": "(?=x)"}}, "cannot be used: .* not understood"),
    ({"constants": {"a": None}}, "constants is a dict .*, and of 'a' it is None"),
    ({"required": "a"}, "required is a list of fields, not 'a'"),
    ({"fixes": ["date_fromat"]}, "and not 'date_fromat' \\(did you mean 'date_format'"),
    ({"fixes": ["duplicate_conflict"]}, "and not 'duplicate_conflict'"),
    ({"on_conflict": "lst"}, "did you mean 'last'"),
    ({"key": []}, "a key is one or more different fields"),
]


@pytest.mark.parametrize(("parts", "words"), WRONG_PARTS)
def test_a_wrong_part_is_told_in_a_sentence(parts: dict[str, Any], words: str, tmp_path: Path) -> None:
    """By hand or from a file, the part, what it must be and the entry at fault are named."""
    with pytest.raises(PlanError, match=words):
        scmkit.Mapping(**parts)
    path = tmp_path / "lots.json"
    path.write_text(json.dumps(parts))
    with pytest.raises(PlanError, match=f"lots.json: .*{words}"):
        scmkit.Mapping.load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"scmkit_mapping": 2, "colours": {}}', "a mapping of version 2, and this scmkit knows version 1"),
        ('{"scmkit_mapping": "1"}', "is the version of the mapping"),
        ('{"colums": {}}', "has no 'colums' \\(did you mean 'columns'\\?\\)"),
        ("Lot,Wine\n", "no JSON"),
        ("[]", "a mapping is a JSON object"),
        ('{"key": "a", "key": "b"}', "'key' is there twice"),
        ('{"constants": {"a": NaN}}', "of 'a' it is nan"),
        ("[" * 100_000, "no JSON"),
        ("\udcff", "no JSON"),
    ],
)
def test_a_file_that_is_no_mapping_is_told_in_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    """Whatever it holds, the file's name and what is wrong with it are said, and the file stays as it is."""
    path = tmp_path / "lots.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PlanError, match=f"lots.json: .*{words}"):
        scmkit.validate(lots(), mapping=path)
    assert path.read_bytes() == text.encode(errors="surrogateescape")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the nearest name of one that is; a folder is none."""
    LOTS.save(tmp_path / "lots.json")
    with pytest.raises(MissingFileError, match=r"did you mean 'lots.json'"):
        scmkit.Mapping.load(tmp_path / "lost.json")
    with pytest.raises(FileAccessError, match="a folder"):
        scmkit.Mapping.load(tmp_path)


def test_numbers_in_a_file_keep_their_digits(tmp_path: Path) -> None:
    """12.50 is sent as it stands there."""
    path = tmp_path / "lots.json"
    path.write_text('{"constants": {"a": 12.50, "b": 7}, "allowed": {"a": [12.50]}}')
    assert scmkit.Mapping.load(path).constants == {"a": "12.50", "b": "7"}


def test_what_may_be_fixed_without_a_look_is_what_the_panel_offers() -> None:
    """The panel's buttons, the fixes of a mapping and the rules are one list."""
    assert {rule for rules in FIXES.values() for rule in rules} <= set(READY_FIXES) <= set(RULES)


@pytest.mark.parametrize("name", ["", " ", 5])
def test_a_column_of_any_name_is_in_the_mapping_of_a_plan(name: Any, tmp_path: Path) -> None:
    """One without a name is for validation to find, in the panel, too, and not for the mapping to refuse."""
    table = pd.DataFrame([["Code-0001", "x"]], columns=["extended_id", name])
    plan = scmkit.plan(table, errors="reject", journal=False)
    plan.mapping.save(tmp_path / "m.json")
    again = scmkit.validate(table, mapping=tmp_path / "m.json")
    chosen = Choices().with_table(Source("t", "t", table))
    for findings in (again, scmkit.validate(choices.prepared(chosen), **choices.checks(chosen))):
        assert ("unknown_field" in findings.frame["rule"].tolist()) == (name != 5)


def test_a_column_of_other_values_is_looked_through_at_once() -> None:
    """Allowed values for the wrong column are told soon: the nearest is looked for as long as that is quick."""
    markets = [*(f"Marked {i}x" for i in range(19_999)), "market 7"]
    table = pd.DataFrame({"extended_id": [f"Code-{i:05d}" for i in range(20_000)], "market": markets})
    begun = time.process_time()
    mapping = scmkit.Mapping(allowed={"market": [f"Market-{i}" for i in range(200)]})
    findings = scmkit.validate(table, mapping=mapping)
    assert (findings.errors, time.process_time() - begun < 5) == (20_000, True)
    assert "(did you mean 'Market-0'?)" in findings.frame["message"].iloc[0]
    assert findings.frame["fix"].iloc[-1] == "Market-7"


def test_a_constant_has_no_cell_to_fix() -> None:
    """What is wrong with it is said, but no fix is offered for a table in which it is not."""
    mapping = scmkit.Mapping({"Lot": "extended_id"}, constants={"harvest_date": "1.2.2025"})
    findings = scmkit.validate(pd.DataFrame({"Lot": ["Code-0001"]}), mapping=mapping)
    assert findings.frame[["column", "rule"]].to_numpy().tolist() == [["harvest_date", "date_format"]]
    assert findings.frame["fix"].isna().all()
