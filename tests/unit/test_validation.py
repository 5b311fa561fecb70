"""What validation finds, what it offers, and what it leaves alone."""

import datetime as dt
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

import scmkit
from scmkit.core.errors import MissingColumnError, PlanError, ValidationError
from scmkit.validation.findings import Findings
from scmkit.validation.rulebook import RULES
from scmkit.validation.validate import validate

KEY = "lot_number"


def lots(values: list[Any], name: str = "wine_name", **columns: Any) -> pd.DataFrame:
    """Make a table of distinct lots with one field."""
    keys = [f"L-{i}" for i in range(len(values))]
    return pd.DataFrame({KEY: keys, name: pd.Series(values, dtype=object), **columns})


def ids(values: list[Any]) -> pd.DataFrame:
    """Make a table of these extended_ids."""
    return pd.DataFrame(
        {"extended_id": pd.Series(values, dtype=object), "wine_name": [f"W{i}" for i in range(len(values))]}
    )


def found(findings: Findings, *, ignore: tuple[str, ...] = ()) -> list[tuple[Any, ...]]:
    """Give row, rule, severity and fix of each finding; None for a missing row."""
    frame = findings.frame[~findings.frame["rule"].isin(ignore)]
    rows = [None if pd.isna(row) else int(row) for row in frame["row"]]
    return list(zip(rows, frame["rule"], frame["severity"], frame["fix"], strict=True))


def test_a_clean_table_has_no_findings(table: pd.DataFrame) -> None:
    """Missing cells, numbers, dates and formula-like values are nothing to complain about."""
    clean = table.assign(origin="=1+1", note="-x", harvest_date=dt.date(2025, 3, 4), weight=0.5)
    clean["wine_name"] = clean["wine_name"].fillna("@x")
    findings = validate(clean)
    assert found(findings) == []
    assert findings.ok
    assert not findings.rejected.any()
    assert not findings.superseded.any()
    findings.raise_for_errors()


KEYS = [
    ("short", "key_length", "error", None),
    ("x" * 101, "key_length", "error", None),
    ("AbC#0001_x", "key_characters", "error", None),
    ("Äbc-0001_x", "key_characters", "error", None),
    (" AbC-0001_x\t", "key_blanks", "error", "AbC-0001_x"),
    (None, "missing_key", "error", None),
    (np.nan, "missing_key", "error", None),
    ("", "missing_key", "error", None),
    (" \n", "missing_key", "error", None),
    (12345678, "numeric_key", "warning", None),
    ("123456789012345000", "lost_digits", "error", None),
]


@pytest.mark.parametrize(("value", "rule", "severity", "fix"), KEYS)
def test_a_key_that_can_match_no_code_is_found(value: Any, rule: str, severity: str, fix: str | None) -> None:
    """Each way in which an extended_id is wrong has its rule, at its row, and keeps only that row back."""
    findings = validate(ids(["AbC-0000_x", value]))
    assert found(findings) == [(1, rule, severity, fix)]
    assert findings.rejected.tolist() == [False, severity == "error"]
    message = findings.frame["message"][0]
    assert message.startswith("row 1, column 'extended_id': ")
    assert message.endswith(f"[{rule}]")


@pytest.mark.parametrize("key", ["3034E25000", "12E5-00001", "303400000E25", "x" * 8, "x" * 100, "0-_-_-_-"])
def test_an_honest_key_is_left_alone(key: str) -> None:
    """Hexadecimal and lot-like ids are no numbers, and the limits of length belong to it."""
    assert found(validate(ids([key]))) == []


def test_a_column_of_numbers_as_key_is_one_finding() -> None:
    """What a numeric column may have lost is said once, with the way to restore it."""
    for keys in (pd.Series([1, 2]), pd.Series([1.0, 2.0]), pd.Series([1, 2], dtype="category")):
        findings = validate(pd.DataFrame({KEY: keys, "wine_name": "x"}), key=KEY)
        assert found(findings) == [(None, "numeric_key", "warning", None)]
        assert "read_table(..., pad_to={'lot_number': width})" in findings.frame["message"][0]


def test_zeros_are_no_proof_where_other_numbers_kept_their_digits() -> None:
    """One long number in many ends in zeros by chance: a warning, not a rejected row."""
    honest = [f"{10**17 + i}" for i in range(1, 4)]
    findings = validate(
        pd.DataFrame({"pallet": [*honest, "100000000000002000"], "wine_name": list("abcd")}), key="pallet"
    )
    assert found(findings) == [(3, "lost_digits", "warning", None)]
    assert found(validate(lots(["123456789012345000"]), key=KEY)) == [(0, "lost_digits", "warning", None)]


VALUES = [
    ("12.0", "numeric_damage", "warning", "12"),
    (" 007.0", "numeric_damage", "warning", "007"),
    ("1234567890123456.0", "numeric_damage", "error", None),
    ("1.2E+05", "numeric_damage", "error", None),
    ("1e+16", "numeric_damage", "error", None),
    ("1.20E+05", "numeric_damage", "error", None),
    ("1.5E+00", "numeric_damage", "error", None),
    ("1.5E-05", "numeric_damage", "error", None),
    ("3.03425E+24", "numeric_damage", "error", None),
    (f"1.5E+{'9' * 5000}", "numeric_damage", "error", None),
    (" red\u00a0", "surrounding_blanks", "warning", "red"),
    ("  ", "surrounding_blanks", "warning", None),
    (2.0**60, "lost_digits", "error", None),
    (float("inf"), "no_text", "error", None),
    ({"a": 1}, "no_text", "error", None),
    (dt.datetime(2025, 3, 4, 10), "no_text", "error", None),
    ("a\0b", "no_text", "error", None),
    ("\ud800", "no_text", "error", None),
]


@pytest.mark.parametrize(("value", "rule", "severity", "fix"), VALUES)
def test_a_damaged_value_is_found(value: Any, rule: str, severity: str, fix: str | None) -> None:
    """What a spreadsheet or a float did to a value has a rule, and a fix where nothing can be lost."""
    findings = validate(lots(["red", value]), key=KEY)
    only = [each for each in found(findings) if each[1] == rule]
    assert only == [(1, rule, severity, fix)]
    assert findings.rejected[1] == (severity == "error")
    assert findings.message_of(1).startswith("row 1, column 'wine_name': ") == (severity == "error")


@pytest.mark.parametrize(
    "value",
    ["12E5", "12E-5", "1.5", "12.00", "v1.0.0", "1234567890123450", "1234567890123456", 10**40, True],
)
def test_an_honest_value_is_left_alone(value: Any) -> None:
    """Lot numbers, prices, versions and exact numbers are no damage."""
    assert found(validate(lots([value]), key=KEY), ignore=("lost_digits",)) == []


def test_a_key_gets_no_fix_that_guesses() -> None:
    """Scientific notation in a key is an error that only the source can mend."""
    assert found(validate(pd.DataFrame({KEY: ["1.2E+05"], "wine_name": "x"}), key=KEY)) == [
        (0, "numeric_damage", "error", None)
    ]


def test_scientific_notation_gets_no_fix_that_guesses() -> None:
    """1.2E+05 may have been 120000, 120001 or the code 12E4, also where all others are numbers."""
    for others in (["12", "1500"], ["000012"], []):
        assert found(validate(lots([*others, "1.2E+05"]), key=KEY)) == [(len(others), "numeric_damage", "error", None)]


DATES = [
    ("13/04/2025", "2025-04-13", "DD/MM/YYYY"),
    ("04/13/2025", "2025-04-13", "MM/DD/YYYY"),
    ("13-04-2025", "2025-04-13", "DD-MM-YYYY"),
    ("3.4.2025", "2025-04-03", "DD.MM.YYYY"),
    ("04/04/2025", "2025-04-04", "DD/MM/YYYY"),
    ("2025/04/13", "2025-04-13", "YYYY/MM/DD"),
    ("2025-4-3", "2025-04-03", "YYYY-M-D"),
    ("20250413", "2025-04-13", "YYYYMMDD"),
    (20250413, "2025-04-13", "YYYYMMDD"),
    ("2025-04-13T10:00:00Z", "2025-04-13", "with a time"),
    ("2025-04-13 10:00:00.5+02:00", "2025-04-13", "with a time"),
    (" 2025-04-13", "2025-04-13", "blanks"),
    ("3 Apr 2025", "2025-04-03", "Month"),
    ("03-APR-2025", "2025-04-03", "Month"),
    ("April 3rd, 2025", "2025-04-03", "Month"),
    ("45000", "2023-03-15", "spreadsheet"),
    (45000.0, "2023-03-15", "spreadsheet"),
    ("45000.5", "2023-03-15", "spreadsheet"),
    ("soon", None, "no date"),
    ("03/04/25", None, "no date"),
    ("03/04/2025", None, "'2025-04-03' (DD/MM/YYYY) or '2025-03-04' (MM/DD/YYYY), and nothing"),
]


@pytest.mark.parametrize(("value", "fix", "words"), DATES)
def test_a_date_in_another_format_is_found(value: Any, fix: str | None, words: str) -> None:
    """The message says which format was meant, and the fix is offered where only one day can be."""
    findings = validate(lots(["2025-01-31", value, None, ""], "harvest_date"), key=KEY)
    assert found(findings, ignore=("clears", "nothing_to_send")) == [(1, "date_format", "error", fix)]
    assert words in findings.message_of(1)


@pytest.mark.parametrize(
    "value", ["2025-02-30", "2025-13-01", "30/02/2025", "31.04.2025", "02/29/2023", "20251301", "0000-01-01"]
)
def test_a_date_that_does_not_exist_has_no_fix(value: str) -> None:
    """Nobody can know which day was meant."""
    assert found(validate(lots([value], "harvest_date"), key=KEY)) == [(0, "no_such_date", "error", None)]


def test_one_value_decides_the_order_for_its_column() -> None:
    """Day and month are read from the whole column, each separator for itself; a mixed column is not guessed."""
    slashes = ["03/04/2025", "25/12/2025", "31/31/2025", "03-04-2025"]
    fixes = validate(lots(slashes, "harvest_date"), key=KEY).frame["fix"].tolist()
    assert fixes == ["2025-04-03", "2025-12-25", None, None]
    mixed = validate(lots(["03/04/2025", "25/12/2025", "12/25/2025"], "harvest_date"), key=KEY)
    assert mixed.frame["fix"].tolist() == [None, "2025-12-25", "2025-12-25"]
    assert "the column holds both orders" in mixed.message_of(0)


def test_which_columns_hold_dates() -> None:
    """A declared kind counts, then the word date in the name; others that look like dates get one warning."""
    day = ["13.04.2025"]
    assert found(validate(lots(day, "date2_bottled"), key=KEY))[0][1] == "date_format"
    assert found(validate(lots(day, "bottled"), key=KEY, fields={"bottled": "date"}))[0][1] == "date_format"
    assert found(validate(lots(day, "harvest_date"), key=KEY, fields={"harvest_date": "text"})) == []
    assert found(validate(lots([*day, "x", "14 Apr 2025"], "update"), key=KEY)) == [
        (None, "date_like", "warning", None)
    ]
    assert found(validate(lots(["2025-04-13", "45000", "20250413"], "update"), key=KEY)) == []


def test_blanks_around_a_name_are_pointed_out() -> None:
    """They are sent, so somebody should mean them: they are no finding where the campaign has a field of this name."""
    df = lots(["x"], origin="y").rename(columns={"origin": " note"})
    assert found(validate(df, key=KEY)) == [(None, "name_blanks", "warning", None)]
    assert "'note'" in validate(df, key=KEY).frame["message"].iloc[0]
    assert found(validate(df, key=KEY, fields=[" note", "wine_name"])) == []
    assert found(validate(df, key=KEY, fields=["note", "wine_name"])) == [(None, "unknown_field", "error", None)]
    blank_key = df.rename(columns={KEY: f"{KEY} ", " note": "note"})
    assert found(validate(blank_key, key=f"{KEY} ")) == [(None, "name_blanks", "warning", None)]


def test_unknown_fields_name_the_nearest(inventory: pd.DataFrame) -> None:
    """A column that the campaign lacks is one error that rejects no row; names, kinds and inventories tell the same."""
    df = lots(["x"], "wine_nmae", product="SKU-1")
    for fields in (["wine_name", KEY], {"wine_name": "text"}, inventory):
        findings = validate(df, key=KEY, fields=fields)
        assert found(findings, ignore=("unmatched_key",)) == [(None, "unknown_field", "error", None)]
        assert "did you mean 'wine_name'?" in findings.frame["message"][0]
        assert not findings.ok
        assert not findings.rejected.any()
    status = validate(lots(["1"], "status"), key=KEY, fields=inventory.assign(status="1"))
    assert "set through 'activation_status'" in status.frame["message"][0]


@pytest.mark.parametrize("label", ["", " ", None, np.nan])
def test_a_column_without_a_name_is_an_error(label: Any) -> None:
    """Even where the campaign's fields are unknown."""
    df = lots(["x"])
    df.columns = pd.Index([KEY, label], dtype=object)
    assert found(validate(df, key=KEY)) == [(None, "unknown_field", "error", None)]


CHOICES = [
    ("activation_status", "active", "1"),
    ("activation_status", "Blacklisted ", "2"),
    ("activation_status", 3, None),
    ("activation_status", -1, None),
    ("activation_status", True, None),
    ("blacklist_reason", "not sold", "8"),
    ("blacklist_reason", "11", None),
]


@pytest.mark.parametrize(("name", "value", "fix"), CHOICES)
def test_special_fields_take_their_values_only(name: str, value: Any, fix: str | None) -> None:
    """A wrong value names the allowed ones, and a word for one of them has its number as the fix."""
    findings = validate(
        lots([0, "0", value], name, activation_status="2")
        if name != "activation_status"
        else lots([0, "1", value], name),
        key=KEY,
    )
    assert [(row, fix) for row, rule, _, fix in found(findings) if rule == name] == [(2, fix)]
    assert "0 (" in findings.message_of(2)


def test_a_reason_needs_a_blacklisted_code() -> None:
    """A reason other than 0 goes with status 2 in the same row, and the message says assumed."""
    df = lots(["4", 4, "0", None, "4", "4"], "blacklist_reason", activation_status=[2, "2", None, None, 1, None])
    findings = validate(df, key=KEY)
    assert found(findings, ignore=("nothing_to_send",)) == [
        (row, "blacklist_combination", "error", None) for row in (4, 5)
    ]
    assert "assumed" in findings.message_of(4)
    assert not validate(df[[KEY, "blacklist_reason"]], key=KEY).ok


def test_cleared_values_are_announced() -> None:
    """Empty texts clear a field: one note per column says how many."""
    findings = validate(lots(["", "x", "", None]), key=KEY)
    assert found(findings, ignore=("nothing_to_send",)) == [(None, "clears", "info", None)]
    assert "clears 2 values" in findings.frame["message"][0]


def test_tables_with_nothing_in_them_say_so() -> None:
    """No rows, no fields, and rows without a value each have a finding."""
    assert found(validate(lots([]), key=KEY)) == [(None, "empty_table", "error", None)]
    assert found(validate(lots(["x"])[[KEY]], key=KEY)) == [(None, "no_fields", "error", None)]
    nothing = validate(lots(["x", None]), key=KEY)
    assert found(nothing) == [(1, "nothing_to_send", "warning", None)]
    assert "every field is missing" in nothing.message_of(1)


def test_equal_rows_are_merged_into_the_first() -> None:
    """Rows of one key and equal texts are one row, whatever on_conflict says and whatever type the cells had."""
    df = pd.DataFrame({KEY: ["a", "b", "a", "a"], "vintage_year": pd.Series([2020, 1, "2020", 2020.0], dtype=object)})
    for on_conflict in ("error", "last", "first"):
        findings = validate(df, key=KEY, on_conflict=on_conflict)
        assert found(findings) == [(2, "duplicate_equal", "info", None), (3, "duplicate_equal", "info", None)]
        assert findings.superseded.tolist() == [False, False, True, True]
        assert "the same as row 0" in findings.message_of(3)


@pytest.mark.parametrize(
    ("on_conflict", "severity", "rows", "superseded"),
    [("error", "error", [0, 2, 3], []), ("last", "warning", [0, 2], [0, 2]), ("first", "warning", [3], [2, 3])],
)
def test_conflicting_rows(on_conflict: str, severity: str, rows: list[int], superseded: list[int]) -> None:
    """Of rows with one key and other cells all are rejected, or the one that was asked for counts."""
    df = pd.DataFrame({KEY: ["a", "b", "a", "a"], "wine_name": ["x", "y", "x", None], "origin": "z"})
    findings = validate(df, key=KEY, on_conflict=on_conflict)
    frame = findings.frame[findings.frame["rule"] == "duplicate_conflict"]
    assert frame["row"].tolist() == rows
    assert set(frame["severity"]) == {severity}
    assert np.flatnonzero(findings.superseded).tolist() == superseded
    assert np.flatnonzero(findings.rejected).tolist() == ([0, 2, 3] if on_conflict == "error" else [])
    assert "'wine_name' is 'x' here and missing there" in validate(df, key=KEY, on_conflict="last").message_of(0)


@pytest.mark.parametrize("bad", ["25/12/2025 10:00", [1], None], ids=["rejected", "without a text", "empty"])
@pytest.mark.parametrize("on_conflict", ["last", "first"])
def test_a_row_that_cannot_be_sent_never_counts(on_conflict: str, bad: object) -> None:
    """Of rows with one key, the next that can be sent wins where the asked-for one is rejected or empty (F53)."""
    dates = pd.Series([bad, "2025-01-01", "2025-01-02", bad], dtype=object)
    df = pd.DataFrame({KEY: "a", "harvest_date": dates})
    findings = validate(df, key=KEY, on_conflict=on_conflict)
    winner = 2 if on_conflict == "last" else 1
    assert np.flatnonzero(~findings.rejected & ~findings.superseded).tolist() == [winner]
    assert findings.superseded[3 - winner]
    assert f"the key of row {winner}" in findings.message_of(3 - winner)


def test_a_key_of_several_columns() -> None:
    """All key columns together make the key, and each must be there."""
    df = pd.DataFrame({KEY: ["a", "a", "a"], "origin": ["x", "y", None], "wine_name": ["1", "2", "3"]})
    findings = validate(df, key=[KEY, "origin"])
    assert found(findings) == [(2, "missing_key", "error", None)]
    again = validate(pd.concat([df[:2], df[:1].assign(wine_name="9")]), key=[KEY, "origin"])
    assert again.frame["value"].tolist() == ["a, x", "a, x"]


def test_fixed_is_a_copy_that_validates() -> None:
    """Ready fixes are applied to a copy, in columns of any type; the table stays as it was."""
    df = pd.DataFrame(
        {
            KEY: [" a", "b", "b"],
            "harvest_date": [45000, 45001, 45001],
            "origin": pd.Categorical([" Baden ", "x", "x"]),
            "wine_name": ["12.0", "x", "x"],
        },
        index=["i", "i", "j"],
    )
    before = df.copy(deep=True)
    findings = validate(df, key=KEY)
    fixed = findings.fixed(df)
    pd.testing.assert_frame_equal(df, before)
    assert fixed.astype(object).to_numpy().tolist() == [
        ["a", "2023-03-15", "Baden", "12"],
        ["b", "2023-03-16", "x", "x"],
        ["b", "2023-03-16", "x", "x"],
    ]
    assert fixed.index.tolist() == ["i", "i", "j"]
    assert found(validate(fixed, key=KEY)) == [(2, "duplicate_equal", "info", None)]
    assert len(findings.fixed(df, ["duplicate_equal"])) == 2
    assert findings.fixed(df, "numeric_damage").equals(df.assign(wine_name=["12", "x", "x"]))


def test_fixed_refuses_another_table() -> None:
    """Fixes go into the table that was validated, or nowhere; a rule that does not exist names the nearest."""
    df = lots(["12.0", "x"])
    findings = validate(df, key=KEY)
    with pytest.raises(PlanError, match="2 rows, not 1"):
        findings.fixed(df[:1])
    with pytest.raises(PlanError, match=r"row 0 \(label 1\), column 'wine_name': the cell has changed"):
        findings.fixed(df[::-1])
    with pytest.raises(PlanError, match="nearest is date_format"):
        findings.fixed(df, ["dateformat"])


def test_errors_are_raised_with_a_way_out() -> None:
    """The error counts, shows the first findings with their fix, says how to go on, and carries all of them."""
    df = lots([f"{day}/12/2025" for day in range(13, 23)], "harvest_date")
    findings = validate(df, key=KEY)
    with pytest.raises(ValidationError) as caught:
        findings.raise_for_errors()
    message = str(caught.value)
    assert message.startswith("10 errors, 10 of 10 rows rejected; nothing was sent.")
    assert "row 0, column 'harvest_date': '13/12/2025' is DD/MM/YYYY" in message
    assert "write '2025-12-13' [date_format]" in message
    assert "... and 5 more" in message
    assert "findings.fixed(df)" in message
    assert caught.value.findings is findings


def test_rows_are_named_by_position_and_label() -> None:
    """Repeated labels, several levels and columns that are no text: findings say which row and which label."""
    df = pd.DataFrame({0: ["a", "b"], 1: ["12.0", "12.0"]}, index=pd.MultiIndex.from_tuples([("x", 1), ("x", 1)]))
    findings = validate(df, key="0")
    assert findings.frame["row"].dtype == "Int64"
    assert findings.frame["label"].tolist() == [("x", 1), ("x", 1)]
    assert findings.frame["column"].tolist() == ["1", "1"]
    assert findings.frame["message"][1].startswith("row 1 (label ('x', 1)), column '1': '12.0'")
    assert findings.fixed(df)[1].tolist() == ["12", "12"]


def test_findings_are_ordered_and_counted() -> None:
    """Whole columns first, then row by row, column by column; the summary has a line per rule and column."""
    df = lots([" x", "12.0", " y", ""], harvest_date=["soon", "2025-01-01", "soon", "2025-01-01"])
    findings = validate(df, key=KEY)
    places = [(row, c) for (row, *_), c in zip(found(findings), findings.frame["column"], strict=True)]
    assert places == [
        (None, "wine_name"), (0, "wine_name"), (0, "harvest_date"),
        (1, "wine_name"), (2, "wine_name"), (2, "harvest_date"),
    ]  # fmt: skip
    lines = findings.summary().splitlines()
    assert lines[0] == "4 rows: 2 errors, 3 warnings, 1 note; 2 rejected, 0 superseded, 3 ready fixes"
    assert [line.split()[:2] for line in lines[1:]] == [
        ["error", "2"],
        ["warning", "2"],
        ["warning", "1"],
        ["info", "1"],
    ]
    assert lines[1] in repr(findings)
    assert (findings.errors, findings.warnings, findings.rows) == (2, 3, 4)


def test_findings_show_as_escaped_html() -> None:
    """What a cell, a column or a label holds is text in the notebook, and no control character in a terminal."""
    nasty = "<img src=x onerror=alert(1)>\x1b[31m "
    findings = validate(lots([nasty], nasty).set_index(pd.Index([nasty])), key=KEY)
    html = findings._repr_html_()
    assert "<img" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "\x1b" not in repr(findings)
    assert "<table" in validate(lots(["x"]), key=KEY)._repr_html_()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"key": "lot_nmuber"}, MissingColumnError, "did you mean 'lot_number'"),
        ({"key": []}, MissingColumnError, "one or more"),
        ({"on_conflict": "latest"}, PlanError, "'error', 'last', 'first', not 'latest'"),
        ({"fields": "wine_name"}, PlanError, r"\['wine_name'\]"),
        ({"fields": {"wine_name": "dates"}}, PlanError, "did you mean 'date'"),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], error: type[Exception], words: str) -> None:
    """A wrong argument names the nearest right one."""
    with pytest.raises(error, match=words):
        validate(lots(["x"]), **{"key": KEY, **options})


def test_a_column_there_twice_is_refused() -> None:
    """Nobody can know which of the two is meant."""
    df = lots(["x"], origin="y").set_axis([KEY, "wine_name", "wine_name"], axis=1)
    with pytest.raises(MissingColumnError, match="more than once"):
        validate(df, key=KEY)


def test_every_rule_says_what_it_is_about() -> None:
    """The table of rules can be read: snake_case names, a known severity, a sentence of documentation."""
    for name, (severity, check, _) in RULES.items():
        assert name.isidentifier()
        assert name == name.lower()
        assert severity in ("error", "warning", "info")
        assert check.__doc__.endswith(".")
    assert scmkit.validate is validate


def test_fields_that_have_no_order_are_named_in_one() -> None:
    """A message about the same table is the same each time, also where the fields are a set."""
    names = [f"field_{i}" for i in range(9)]
    table = pd.DataFrame({"extended_id": ["Code-0001"], "nothing": ["x"]})
    assert "field_0, field_1, field_2, field_3" in validate(table, fields=set(names)).frame["message"].iloc[0]


GS1 = "01/09506000134352/21/ABC123"


def test_a_gs1_identifier_is_a_warning() -> None:
    """Codes may be made with one, although the documentation knows no slash: it is sent as it is."""
    findings = validate(ids([GS1, "00/106141411234567897", "01/95060001343/52"]))
    assert found(findings) == [
        (0, "key_characters", "warning", None),
        (1, "key_characters", "warning", None),
        (2, "key_characters", "error", None),
    ]
    assert "'01/09506000134352/21/ABC123' is a GS1 identifier" in findings.frame["message"][0]
    assert findings.rejected.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("name", "honest", "digit"),
    [
        ("gtin", "09506000134352", "2"),
        ("GTIN-13", "4006381333931", "1"),
        ("item_gtin", "73513537", "7"),
        ("gtin", "036000291452", "2"),
        ("sscc", "106141411234567897", "7"),
    ],
)
def test_a_wrong_check_digit_is_a_warning_that_names_the_right_one(name: str, honest: str, digit: str) -> None:
    """The examples of the standard are right, the same with another last digit are not; other columns may hold any."""
    wrong = honest[:-1] + str((int(digit) + 1) % 10)
    findings = validate(lots([honest, wrong, "", "x"], name), key=KEY)
    assert found(findings, ignore=("clears",)) == [(1, "check_digit", "warning", None)]
    assert findings.frame["message"].str.contains(f"would be {digit} [check_digit]", regex=False).any()
    assert found(validate(lots([wrong], "note"), key=KEY)) == []


def test_the_check_digit_within_a_gs1_identifier_counts() -> None:
    """The article's number is a part of the key."""
    findings = validate(ids([GS1, GS1.replace("352/", "353/")]))
    assert found(findings, ignore=("key_characters",)) == [(1, "check_digit", "warning", None)]


PRODUCTS = pd.DataFrame(
    {
        "sku": ["SKU-1", "SKU-2", "B-9"], "name": ["One", "Two", "Nine"], "campaign": ["1", "1", "2"],
        "campaign_name": ["Wine", "Wine", "Beer"], "codes": [3, 4, 5],
    }
)  # fmt: skip


def test_products_are_looked_up() -> None:
    """One that there is not is an error with the nearest, one of another campaign a warning; an id may be known."""
    table = lots(["SKU-1", "SKU-2", "sku 2", "SKU-3", "77", "B-9", None], "product", note="x")
    findings = scmkit.validate(table, KEY, products=PRODUCTS)
    assert found(findings) == [
        (2, "unknown_product", "error", None),
        (3, "unknown_product", "error", None),
        (4, "unknown_product", "warning", None),
        (5, "other_campaign", "warning", None),
    ]
    messages = findings.frame["message"].tolist()
    assert "'sku 2' (did you mean 'SKU-2'?)" in messages[0]
    assert "unless it is the id of one" in messages[2]
    assert "a product of campaign Beer (2), and those of most rows belong to Wine (1)" in messages[3]
    assert found(scmkit.validate(table, KEY)) == []
    assert scmkit.plan(table, KEY, products=PRODUCTS, errors="reject").findings.errors == 2


def test_a_long_list_of_products_is_looked_through_at_once() -> None:
    """50,000 products and as many rows, none of which is there, take no longer than other rules."""
    many = pd.DataFrame({"sku": [f"S{i}" for i in range(50_000)], "campaign": "1", "campaign_name": "Wine"})
    begun = time.process_time()
    findings = scmkit.validate(lots([f"s-{i}" for i in range(5_000)], "product"), KEY, products=many)
    assert (findings.errors, time.process_time() - begun < 5) == (5_000, True)
    assert "did you mean 'S4999'" in findings.frame["message"].iloc[-1]


def test_a_list_of_products_needs_its_columns() -> None:
    """What is no list of products is told."""
    with pytest.raises(MissingColumnError, match="'sku' is not in the table"):
        scmkit.validate(lots(["x"], "product"), KEY, products=PRODUCTS.drop(columns="sku"))
