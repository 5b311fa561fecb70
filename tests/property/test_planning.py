"""What a plan must never lose: rows, values, bounds."""

import json

import msgspec
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import scmkit
from scmkit.core.contract import Assumptions
from scmkit.core.values import Mode
from scmkit.planning.load import load_of
from scmkit.validation.validate import look_at

names = st.sampled_from(["wine_name", "vintage_year", 'über "quoted"'])
texts = st.one_of(st.none(), st.sampled_from(["", "red", "white", 'rosé "x"\n']))


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table keyed by lot, and an inventory of its lots, some of them huge."""
    rows = draw(st.integers(1, 40))
    columns = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    cells = st.lists(texts, min_size=rows, max_size=rows)
    df = pd.DataFrame({name: pd.Series(draw(cells), dtype=object) for name in columns})
    df.insert(0, "lot_number", [f"{i:06d}" for i in range(rows)])
    codes = draw(st.lists(st.sampled_from([0, 1, 3, 50, 700]), min_size=rows, max_size=rows))
    return df, pd.DataFrame({"lot_number": np.repeat(df["lot_number"].to_numpy(), codes)})


options = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["auto", "sync", "async"]),
        "risk": st.sampled_from([1e-6, 0.01, 0.5]),
        "workers": st.integers(1, 12),
        "assumptions": st.sampled_from([Assumptions(), Assumptions(max_body_bytes=600)]),
        "service_time": st.sampled_from([scmkit.ServiceTime.documented(), scmkit.ServiceTime.fixed(per_code_s=0.5)]),
    }
)


@settings(max_examples=150, deadline=None)
@given(tables(), options, st.booleans())
def test_a_plan_covers_every_valid_row_once(case: tuple, chosen: dict, known: bool) -> None:
    """Each row with something to send is in one call; calls are within their bounds; bodies say what the table says."""
    df, inventory = case
    plan = scmkit.plan(df, "lot_number", inventory=inventory if known else None, **chosen)
    sendable = df.drop(columns="lot_number").notna().any(axis=1).to_numpy()
    assert sorted(plan.order.tolist()) == np.flatnonzero(sendable).tolist()
    assert plan.rows["call"].notna().to_numpy().tolist() == sendable.tolist()
    sent: dict[str, dict[str, str]] = {}
    for call, line in plan.calls.iterrows():
        rows = plan.rows_of(call)
        body = plan.body(Mode(line["mode"]), rows)
        assert len(body) == line["bytes"]
        assert line["bytes"] <= chosen["assumptions"].max_body_bytes or len(rows) == 1
        within = line["timeout_risk"] <= chosen["risk"] * 1.0001
        assert within or (len(rows) == 1 and chosen["mode"] == "sync")
        sent.update(read(json.loads(body)))
    expected = {
        row["lot_number"]: {k: v for k, v in row.items() if k != "lot_number" and v is not None}
        for row in df[sendable].astype(object).where(df[sendable].notna(), None).to_dict("records")
    }
    assert sent == expected


CELLS = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.uuids().map(str) | CELLS.filter(bool), CELLS, CELLS, st.just("x")), unique_by=lambda r: r[0])
)
def test_items_are_the_bytes_that_an_encoder_makes_of_each_row(rows: list[tuple[str | None, ...]]) -> None:
    """Written column by column, the items of a sync call are byte for byte their rows, and as long as planned."""
    table = pd.DataFrame(rows, columns=["lot_number", "a", 'b"\n', "ü"], dtype=object)
    load = load_of(look_at(table, scmkit.Mapping(key="lot_number"), None, None, 1.0))
    items = [{k: v for k, v in zip(table, row, strict=True) if v is not None} for row in rows]
    body = load.body(Mode.SYNC, np.arange(len(rows)))
    assert body == msgspec.json.encode({"data_key": "lot_number", "items": items})
    assert json.loads(body) == {"data_key": "lot_number", "items": items}
    if rows:
        assert load.item_bytes.sum() + load.envelope_bytes == len(body)


def read(body: dict) -> dict[str, dict[str, str]]:
    """Say what a body sets, for each key value."""
    if "items" in body:
        return {item["lot_number"]: {k: v for k, v in item.items() if k != "lot_number"} for item in body["items"]}
    lots = body["constraints"]["lot_number"]
    return dict.fromkeys(lots if isinstance(lots, list) else [lots], body["scm_data"])
