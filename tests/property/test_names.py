"""Promises about columns: they may have any name, also one of ours, and keep it wherever they stand beside ours."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import scmkit
from scmkit.core.texts import our_name, ours
from scmkit.core.values import Mode
from scmkit.journal.listings import table_of
from scmkit.steps import choices
from scmkit.tables import writing
from scmkit.tables.inventory import count_codes
from scmkit.uploading.ledger import CALL_COLUMNS, not_wholly_applied
from scmkit.uploading.read_back import DIFFERENCE_COLUMNS

OURS = [
    "codes", "low", "high", "source", "row", "state", "call", "task_id", "discarded_fields", "message", "label",
    "column", "rule", "severity", "value", "fix", "scmkit_state", "scmkit_codes", *CALL_COLUMNS, *DIFFERENCE_COLUMNS,
    "key", "age", "key_value", "codes_affected", "self", "index", "name", "count", "df", "data_key", "items",
    "constraints", "scm_data", "select", 'a"b', "$x$", "Ünï code", "level_0", "made", "to", "values", "columns",
]  # fmt: skip
LABELS = st.sampled_from([name for name in dict.fromkeys(OURS) if name != "extended_id"]) | st.sampled_from(
    [0, 1, ("a", "b"), (1, None), 2.5, pd.Timestamp("2026-11-23")]
)
AT_ONCE = scmkit.ServiceTime.fixed(1e-6, 0, 0, 0)
TABLES = st.lists(LABELS, min_size=2, max_size=6, unique_by=str)


def table(labels: list[object]) -> pd.DataFrame:
    cells = [[f"K{row}" if at == 0 else f"v{at}{row}" for at in range(len(labels))] for row in range(3)]
    return pd.DataFrame(cells, columns=pd.Index(labels, tupleize_cols=False, dtype=object), index=["x", "x", "z"])


@settings(deadline=None, max_examples=40)
@given(labels=TABLES, two=st.booleans())
@example(labels=[(1, None), "codes"], two=False)
def test_columns_of_any_name_are_validated_counted_and_planned(labels: list[object], two: bool) -> None:
    """Whatever columns are called, estimates and plans hold the key under its own name, and ours beside it."""
    df = table(labels)
    key = labels[:2] if two and len(labels) > 2 else labels[0]
    names = [str(label) for label in (key if isinstance(key, list) else [key])]
    assert scmkit.validate(df, key=key).rows == 3
    codes = pd.concat([df, df.iloc[:1]])
    assert count_codes(codes, key)[names[0]].tolist() == ["K0", "K1", "K2"]
    known = scmkit.estimate(df, key=key, inventory=codes)
    assert known.frame[names[0]].tolist() == ["K0", "K1", "K2"]
    assert known.column("codes").tolist() == [2, 1, 1]
    assert set(known.column("source")) == {"exact"}
    assert known.total == 4
    assert "4 codes" in repr(known)
    assert known._repr_html_()
    plan = scmkit.plan(df, key=key, estimate=known)
    assert plan.row_codes["codes"].tolist() == [2, 1, 1]
    assert plan.rows["call"].notna().all()
    assert repr(plan)
    assert plan._repr_html_()
    assert "".join(plan.body(Mode.ASYNC, plan.rows_of(0)).decode().split()).count("K") >= 1


def test_a_table_with_several_levels_of_names_can_be_planned() -> None:
    """Columns of a MultiIndex are named by the text of their tuples."""
    df = table(["row", "state", "note"]).set_axis(
        pd.MultiIndex.from_tuples([("a", "row"), ("a", "state"), ("b", 1)]), axis=1
    )
    plan = scmkit.plan(df, key=("a", "row"), inventory=df)
    assert plan.key == ("('a', 'row')",)
    assert [field.name for field in plan.fields] == ["('a', 'state')", "('b', 1)"]
    assert plan.exact


@pytest.mark.parametrize("key", ["codes", "Codes", "count", "self", 'a"b', "select"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_codes_in_files_are_counted_by_columns_of_any_name(key: str, suffix: str, tmp_path: Path) -> None:
    """A key called as our count is keeps its name, and the count gives way."""
    df, path = table([key, "note"]), tmp_path / f"codes{suffix}"
    df.to_csv(path, index=False) if suffix == ".csv" else df.to_parquet(path, index=False)
    counts = count_codes(path, key)
    assert counts[key].tolist() == ["K0", "K1", "K2"]
    assert counts.columns.tolist() == [key, our_name("codes", [key])]
    assert ours(counts, "codes").tolist() == [1, 1, 1]


@given(st.lists(st.sampled_from(["state", "scmkit_state", "scmkit_scmkit_state", "x", "Scmkit_state"]), unique=True))
def test_the_name_of_ours_is_taken_by_nobody_and_found_again(others: list[str]) -> None:
    """Our column is found in a frame whatever stands beside it, without knowing what is the caller's."""
    name = our_name("state", others)
    assert name not in others
    frame = pd.DataFrame([[*others, "ours"]], columns=[*others, name])
    assert ours(frame, "state").tolist() == ["ours"]
    if not any("scmkit_" * n + "state" in others for n in range(3)):
        assert name == "state"


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("row", ["state", "column", "scm_data"]), ("state", ["row", "items", "call"]),
        ("call", ["message", "data_key"]), ("message", ["task_id", "constraints"]), ("self", ["value", "key"]),
        ("task_id", ["discarded_fields", "found"]), ("codes", ["low", "high"]), ("discarded_fields", ["codes", "2026"]),
        (["row", "state"], ["message", "name"]),
    ],
)  # fmt: skip
def test_rows_report_and_exports_hold_columns_of_any_name(
    key: str | list[str], fields: list[str], tmp_path: Path
) -> None:
    """After an upload the key is in `job.rows` under its own name, and what became of each row beside it."""
    keys = key if isinstance(key, list) else [key]
    names = [*keys, *fields]
    df = pd.DataFrame([[f"K{r}" for _ in keys] + [f"new {r}" for _ in fields] for r in (0, 1, 9)], columns=names)
    path = tmp_path / "journal.sqlite3"
    codes = pd.DataFrame({"extended_id": [f"Code_{r:04d}" for r in (0, 1)]} | {n: ["K0", "K1"] for n in names})
    with scmkit.Sandbox(codes, latency_s=0.0, speed=20, service_time=AT_ONCE) as sandbox:
        client = sandbox.client()
        job = scmkit.upload(df, client, key=key, progress=False, journal=path, verify=True)
        again = scmkit.resume(job.id, client, path, progress=False)
        held = sandbox.codes()
    for rows in (job.rows, again.rows):
        assert [rows[name].tolist() for name in keys] == [["K0", "K1", "K9"]] * len(keys)
        assert ours(rows, "state").tolist() == ["applied", "applied", "unmatched"]
        assert ours(rows, "row").tolist() == [0, 1, 2]
    assert held[names].to_numpy().tolist() == df[:2].to_numpy().tolist()
    bad = not_wholly_applied(job.rows)
    writing.write_rows(writing.with_notes(df, bad), tmp_path / "rows.csv")
    assert scmkit.read_table(tmp_path / "rows.csv").equals(df.iloc[[2]].reset_index(drop=True).astype(object))
    job.report(tmp_path / "report.html")
    assert "K9" in (tmp_path / "report.html").read_text("utf-8")
    assert table_of(job.id, path, states=["applied"])[keys[0]].tolist() == ["K0", "K1"]
    assert (scmkit.history(path)["key"] == " + ".join(keys)).all()


@settings(deadline=None, max_examples=40)
@given(labels=TABLES.filter(lambda labels: not set(labels) & set(writing.NOTES)))
def test_the_panel_sends_and_exports_columns_of_any_name(labels: list[object]) -> None:
    """The rows that the panel saves hold the table's columns under their names; a file's notes are reserved."""
    df = table(labels)
    chosen = choices.Choices().with_table(choices.Source("df", "df", df)).with_key(str(labels[0]))
    sent = choices.prepared(chosen)
    rows = pd.DataFrame({"row": [1], our_name("state", [str(labels[0])]): ["unmatched"], "message": ["no"]})
    saved = choices.to_upload_again(chosen, sent, rows)
    assert saved.columns.tolist()[: len(labels)] == [str(label) for label in labels]
    assert saved.iloc[0].tolist()[: len(labels)] == df.iloc[1].tolist()
