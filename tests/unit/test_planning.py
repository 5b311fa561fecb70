"""Which rows go in which call, and why."""

import json

import numpy as np
import pandas as pd
import pytest

import scmkit
from scmkit.core.contract import CODE_COLUMNS, Assumptions
from scmkit.core.errors import PlanError
from scmkit.core.values import Mode
from scmkit.planning import layout


def codes_table(rows: int, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"extended_id": [f"Code-{i:06d}" for i in range(rows)], **columns})


def lots_inventory(**codes: int) -> pd.DataFrame:
    return pd.DataFrame({"lot_number": np.repeat(list(codes), list(codes.values()))})


def test_rows_that_differ_share_sync_calls() -> None:
    """3,000 rows with different values keyed by extended_id never become 3,000 async calls."""
    plan = scmkit.plan(codes_table(3_000, serial=range(3_000)))
    assert set(plan.calls["mode"]) == {"sync"}
    assert len(plan) <= 40
    assert plan.seconds < 5


def test_rows_with_equal_values_share_tasks() -> None:
    """A task holds rows with equal values only; large sets are cut, so that the service works on them side by side."""
    df = codes_table(3_000, product=["SKU-1", "SKU-2", "SKU-3"] * 1_000)
    plan = scmkit.plan(df, mode="async")
    assert 3 <= len(plan) <= 15
    for call in range(len(plan)):
        assert df["product"].iloc[plan.rows_of(call)].nunique() == 1
    body = json.loads(plan.body(Mode.ASYNC, plan.rows_of(0)))
    assert len(body["constraints"]["extended_id"]) == len(plan.rows_of(0))
    assert body["scm_data"] == {"product": df["product"].iloc[plan.rows_of(0)[0]]}


def test_a_huge_lot_never_goes_sync() -> None:
    """A lot of 24,000 codes goes async in auto, the small ones share a sync call, and each call says why."""
    df = pd.DataFrame({"lot_number": ["big", "small", "tiny"], "wine_name": ["A", "B", "C"]})
    plan = scmkit.plan(df, "lot_number", inventory=lots_inventory(big=24_000, small=300, tiny=2))
    calls = plan.calls.set_index("mode")
    assert calls.loc["async", "rows"] == 1
    assert calls.loc["async", "codes_mid"] == 24_000
    assert "'big' may select 24,000 codes: a sync call would time out with 4" in calls.loc["async", "why"]
    assert calls.loc["sync", "rows"] == 2
    assert calls.loc["sync", "timeout_risk"] < 0.01


def test_unknown_lots_go_async_with_a_task_each() -> None:
    """Without counts a sync call cannot be trusted, and a shared task could not say which key matched."""
    df = pd.DataFrame({"lot_number": ["a", "b"], "wine_name": ["same", "same"]})
    assert scmkit.plan(df, "lot_number").calls["mode"].tolist() == ["async", "async"]
    known = scmkit.plan(df, "lot_number", mode="async", inventory=lots_inventory(a=5, b=2))
    assert known.calls["rows"].tolist() == [2]
    assert known.calls["why"].tolist() == ["2 rows with equal values share a task"]


def test_a_call_of_one_key_value_is_not_said_to_be_shared() -> None:
    """The reason for a call is a sentence, whether one key value is in it or several."""
    df = pd.DataFrame({"lot_number": ["a", "b", "c"], "wine_name": ["A", "B", "C"]})
    plan = scmkit.plan(df, "lot_number", mode="sync", batch=2, inventory=lots_inventory(a=5, b=2, c=1))
    auto = scmkit.plan(df.head(1), "lot_number", inventory=lots_inventory(a=5))
    assert not [why for why in [*plan.calls["why"], *auto.calls["why"]] if why.startswith("1 key values")]
    assert auto.calls["why"].tolist() == ["'a' alone makes a sync call of at most 5 codes: risk below 0.01%"]


def test_a_plan_in_a_notebook_shows_each_line_of_its_summary() -> None:
    """Lines are lines: none is called 1 or 2, and none is markup."""
    df = pd.DataFrame({"lot_number": ["a"], "wine_name": ["A"]})
    shown = scmkit.plan(df, "lot_number", inventory=lots_inventory(a=5))
    html = shown._repr_html_()
    assert all(f"<div>{line}</div>" in html for line in shown.summary().splitlines())


def test_a_picture_of_a_plan_names_the_modes_that_are_in_it() -> None:
    """A legend of what is not there makes its reader look for it."""
    ax = scmkit.plan(codes_table(3, wine_name=["a", "b", "c"])).plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["sync (1)", "3 rows: 3 codes"]


def test_several_key_columns_are_constraints_of_one_async_call() -> None:
    """All of them must hold; rows that differ in the first one only can share."""
    df = pd.DataFrame({"lot_number": ["a", "b", "a"], "wine_color": ["red", "red", "white"], "origin": "Baden"})
    inventory = pd.DataFrame({"lot_number": ["a", "b", "a"], "wine_color": ["red", "red", "white"]})
    plan = scmkit.plan(df, ["lot_number", "wine_color"], inventory=inventory)
    bodies = [json.loads(plan.body(Mode.ASYNC, plan.rows_of(c)))["constraints"] for c in range(len(plan))]
    assert bodies == [
        {"lot_number": ["a", "b"], "wine_color": "red"},
        {"lot_number": "a", "wine_color": "white"},
    ]
    with pytest.raises(PlanError, match="one key"):
        scmkit.plan(df, ["lot_number", "wine_color"], mode="sync")


def test_what_is_planned_is_what_is_sent() -> None:
    """A plan holds its own values: it neither changes the table nor follows its changes."""
    df = codes_table(3, wine_name=["a", "b", "c"])
    before = df.copy(deep=True)
    plan = scmkit.plan(df)
    pd.testing.assert_frame_equal(df, before)
    df.loc[:, "wine_name"] = "changed"
    assert b"changed" not in plan.body(Mode.SYNC, plan.order)


def test_bodies_hold_missing_cells_as_nothing_and_empty_ones_as_empty() -> None:
    """A missing cell is left out, "" is sent, a whole float has no point, a date is ISO."""
    df = codes_table(
        2, a=["", None], b=[12.0, np.nan], c=pd.to_datetime(["2026-11-23", None]), d=["x", "y"], e=[True, None]
    )
    plan = scmkit.plan(df)
    assert json.loads(plan.body(Mode.SYNC, plan.order)) == {
        "data_key": "extended_id",
        "items": [
            {"extended_id": "Code-000000", "a": "", "b": "12", "c": "2026-11-23", "d": "x", "e": "true"},
            {"extended_id": "Code-000001", "d": "y"},
        ],
    }
    assert "clears 1 value" in plan.summary()


def test_large_bodies_are_cut() -> None:
    """No body is larger than assumed to be taken."""
    plan = scmkit.plan(codes_table(500, note="x" * 50), assumptions=Assumptions(max_body_bytes=4_000), mode="async")
    assert plan.calls["bytes"].max() <= 4_000
    assert len(plan) > 1


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "fast"}, {"risk": 0}, {"risk": 1}, {"workers": 0}, {"workers": 1.5}, {"errors": "ignore"},
        {"batch": 100}, {"batch": 0, "mode": "sync"}, {"batch": 1.5, "mode": "sync"},
    ],
)  # fmt: skip
def test_nonsense_options_are_errors(options: dict) -> None:
    """Each option says what it may be."""
    with pytest.raises(PlanError, match=next(iter(options))):
        scmkit.plan(codes_table(1, a="x"), **options)


def test_a_plan_shows_itself() -> None:
    """Text, HTML and picture say how many calls there are and why."""
    plan = scmkit.plan(codes_table(5, wine_name=["<b>x</b>"] * 5))
    assert "5 of 5 rows in 1 call" in repr(plan)
    assert "<b>x</b>" not in plan._repr_html_()
    assert "risk" in plan.plot().get_ylabel()


def test_a_plan_says_what_is_odd_about_it() -> None:
    """Keys without codes, undefined fields, unknown counts and rejected rows are named before anything is sent."""
    read_as_numbers = pd.DataFrame({"lot_number": [42, 7], "wine_name": ["a", "b"], "vintage_yaer": ["2000", None]})
    inventory = pd.DataFrame({"extended_id": ["Code-0001"], "lot_number": ["000042"], "vintage_year": None})
    summary = scmkit.plan(read_as_numbers, "lot_number", inventory=inventory).summary()
    assert "2 of 2 key values select no code in the inventory" in summary
    assert "does not define 'vintage_yaer' (did you mean 'vintage_year'?)" in summary
    assert "of validation, see plan.findings" in summary
    assert "give inventory=" in scmkit.plan(read_as_numbers, "lot_number").summary()
    nothing = codes_table(2, wine_name=pd.Series(["x", None], dtype=object))
    assert "rejected, first: row 1: every field is missing" in scmkit.plan(nothing).summary()


def test_a_hopeless_table_is_an_error_even_when_rows_may_be_rejected() -> None:
    """No rows and no fields are about the whole table: nothing is left to send."""
    for df in (codes_table(0, wine_name=[]), codes_table(3)):
        with pytest.raises(scmkit.core.errors.ValidationError, match="nothing was sent"):
            scmkit.plan(df, errors="reject")


def test_wrong_kinds_of_arguments_are_clear_errors() -> None:
    """A wrong type is named, with what was meant."""
    df = codes_table(2, wine_name=["a", "b"])
    with pytest.raises(PlanError, match=r"such as 0\.01, not '1%'"):
        scmkit.plan(df, risk="1%")
    with pytest.raises(PlanError, match=r"simulate takes what plan\(\) made, not a DataFrame"):
        scmkit.simulate(df)
    with pytest.raises(PlanError, match="did you mean key='extended_id'"):
        df.scm.upload("extended_id")
    with pytest.raises(ValueError, match=r"sandbox\.client\(\)"):
        scmkit.use(scmkit.Sandbox(codes=1))
    with pytest.raises(PlanError, match="key, mode: no option here"):
        scmkit.upload(scmkit.plan(df), key="lot_number", mode="async")
    assert "inventory" in str(__import__("inspect").signature(df.scm.plan))


@pytest.mark.parametrize("on_conflict", ["error", "last", "first"])
def test_no_row_is_superseded_by_one_that_is_not_sent(on_conflict: str) -> None:
    """Where no row of a key can be sent, all of them are rejected, whoever would have counted (F53)."""
    df = pd.DataFrame(
        {"lot": ["a", "a", "b", "b", "c"], "harvest_date": [None, None, None, "32/13/2025", "2025-01-01"]}
    )
    plan = scmkit.plan(df, "lot", errors="reject", on_conflict=on_conflict)
    assert plan.rows["state"].tolist() == ["rejected"] * 4 + ["planned"]
    assert "nothing to send" in plan.why_not_sent(1)


def test_rows_at_fault_can_be_left_out() -> None:
    """errors="reject" plans what is sound, says of each other row why it is not sent, and may leave no call at all."""
    df = pd.DataFrame({"extended_id": ["Code-000000", "short"], "wine_name": ["a", "b"]})
    plan = scmkit.plan(df, errors="reject")
    assert plan.order.tolist() == [0]
    assert plan.rows["state"].tolist() == ["planned", "rejected"]
    assert "'short' has 5 characters" in plan.why_not_sent(1)
    nothing = scmkit.plan(df[1:], errors="reject")
    assert len(nothing) == len(nothing.calls) == nothing.seconds == 0
    assert nothing.summary().startswith("0 of 1 row in 0 calls (1 rejected)\nrejected, first: row 0")


def test_undefined_fields_are_named_however_the_fields_are_given() -> None:
    """Fields as a list, a generator or a dict: the summary says which of the table's the service will discard."""
    df, names = codes_table(1, wine_nmae="x"), ["wine_name", "origin"]
    for fields in (names, (name for name in names), dict.fromkeys(names, "text")):
        summary = scmkit.plan(df, fields=fields, errors="reject").summary()
        assert "does not define 'wine_nmae' (did you mean 'wine_name'?)" in summary
    assert scmkit.plan(df).defined_fields is None


def test_only_a_whole_download_says_which_fields_there_are() -> None:
    """A slim inventory is no header: of its names, it only says which one is probably misspelt (F49)."""
    df = codes_table(1, wine_nmae="x", colour="red")
    slim = codes_table(1, wine_name="y")
    whole = slim.assign(**dict.fromkeys(CODE_COLUMNS[1:]))
    assert "does not define 'colour'" in scmkit.plan(df, inventory=whole).summary()
    for given in (slim, whole):
        assert "does not define 'wine_nmae' (did you mean" in scmkit.plan(df, inventory=given).summary()
    assert "does not define 'colour'" not in scmkit.plan(df, inventory=slim).summary()


@pytest.mark.parametrize(
    ("key", "options", "words", "modes"),
    [
        (["lot"], {"mode": "async"}, "mode='async' was asked for", {"async"}),
        (["lot"], {"mode": "sync"}, "mode='sync' was asked for", {"sync"}),
        (["lot"], {"mode": "sync", "batch": 4}, "4 rows a sync call were asked for", {"sync"}),
        (["lot", "part"], {}, "several key columns need async calls", {"async"}),
        (["lot"], {}, "auto: ", {"sync"}),
    ],
)
def test_a_plan_says_why_it_is_as_it_is(key: list[str], options: dict, words: str, modes: set[str]) -> None:
    """What was asked for, what must be, or what was predicted: the reason stands in the summary."""
    df = pd.DataFrame({"lot": [f"L{i}" for i in range(10)], "part": "P", "wine_name": range(10)})
    plan = scmkit.plan(df, key, inventory=df[key], **options)
    assert plan.choice.startswith(words)
    assert words in plan.summary()
    assert set(plan.calls["mode"]) == modes


def test_the_same_rows_can_be_planned_otherwise() -> None:
    """Another mode, or batches in the table's order, for the same rows; the plan itself stays as it is."""
    plan = scmkit.plan(codes_table(10, serial=range(10)))
    batches = plan.otherwise("sync", batch=4)
    assert [batches.rows_of(c).tolist() for c in range(len(batches))] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert set(plan.otherwise("async").calls["mode"]) == {"async"}
    assert sorted(plan.otherwise("async").order) == sorted(plan.order)
    assert plan.mode == "auto"
    assert batches.mode == "sync"


def test_a_plan_knows_what_its_evidence_is_worth() -> None:
    """Whether a key value selects at most one code, and whether the codes of every row were counted."""
    codes = scmkit.plan(codes_table(2, wine_name="x"))
    lots = pd.DataFrame({"lot_number": ["a", "b"], "wine_name": "x"})
    counted = scmkit.plan(lots, "lot_number", inventory=lots_inventory(a=3, b=0))
    guessed = scmkit.plan(lots, "lot_number", default=1)
    assert [p.unique_key for p in (codes, counted, guessed)] == [True, False, False]
    assert [p.exact for p in (codes, counted, guessed)] == [False, True, False]


def test_signposts_lead_where_they_say() -> None:
    """plan.simulate() is scmkit.simulate(plan), plan.upload() is scmkit.upload(plan)."""
    plan = scmkit.plan(codes_table(3, wine_name=["a", "b", "c"]))
    risk = plan.simulate(trials=50, seed=1)
    assert np.array_equal(risk.makespans, scmkit.simulate(plan, trials=50, seed=1).makespans)
    with pytest.raises(PlanError, match="key: no option here"):
        plan.upload(key="lot_number")


@pytest.mark.parametrize(
    ("codes", "options"),
    [
        ([1] * 300, {"mode": "sync"}),  # bound by the pace
        ([900] * 300, {"mode": "sync", "workers": 2}),  # by the workers
        ([100_000, *[900] * 100], {"mode": "sync", "workers": 20, "timeout_s": 1e6}),  # by the longest call
        ([9_000] * 100, {"mode": "async"}),  # by the tasks
        ([100_000, *[90] * 100], {"mode": "async"}),  # by the longest task
        ([30_000] * 20 + [5_000] * 40, {}),  # by the tasks, while sync calls go on
    ],
)
def test_very_many_calls_are_predicted_from_their_bounds(
    codes: list[int], options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too much to be played is predicted from pace, workers and tasks, about as playing it would."""
    df = pd.DataFrame({"lot_number": [f"L{i}" for i in range(len(codes))], "serial": range(len(codes))})
    inventory = pd.DataFrame({"lot_number": np.repeat(df["lot_number"].to_numpy(), codes)})
    options |= {"assumptions": Assumptions(max_body_bytes=1), "service_time": scmkit.ServiceTime.fixed(noise=0.25)}
    schedule = scmkit.plan(df, "lot_number", inventory=inventory, **options).schedule
    played = layout.predict_seconds(schedule)
    monkeypatch.setattr(layout, "PLAYED_CALLS", len(codes) - 1)
    assert layout.predict_seconds(schedule) == pytest.approx(played, rel=0.15)  # the last calls leave workers idle


def test_a_plan_that_moves_codes_says_so() -> None:
    """A product keyed by a lot may take the codes out of reach of a repeat; keyed by extended_id it cannot."""
    lots = scmkit.plan(pd.DataFrame({"lot_number": ["L1"], "product": ["SKU-1"]}), key="lot_number")
    codes = scmkit.plan(pd.DataFrame({"extended_id": ["Code_00001-"], "product": ["SKU-1"]}))
    assert (lots.moves_codes, codes.moves_codes) == (True, False)
    assert "key='extended_id' is certain" in lots.summary()
    assert "moves codes" not in codes.summary()
