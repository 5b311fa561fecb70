"""What validation must never do: crash, change the table, let two values of one key through, or fix half."""

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scmkit.core.texts import text_table
from scmkit.validation.rulebook import RULES
from scmkit.validation.validate import validate

anything = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.datetimes(),
    st.decimals(allow_nan=False),
    st.sampled_from([pd.NA, pd.NaT, " a", "12.0", "1.2E+05", "03/04/2025", "25/12/2025", "45000", "active", "2", b"x"]),
)
# Few values, so that keys repeat and rows are often equal.
few = st.sampled_from([None, "", "a", "b", " a", "12.0", 12])
names = st.lists(
    st.sampled_from(["wine_name", "harvest_date", "activation_status", "blacklist_reason", 5]), max_size=4, unique=True
)
COLUMNS_OF = {
    "key_blanks": ["extended_id"],
    "key_characters": ["extended_id"],
    "key_length": ["extended_id"],
    "surrounding_blanks": ["note"],
    "numeric_damage": ["extended_id", "note"],
}
choices = st.sampled_from(["error", "last", "first"])


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy[Any]) -> pd.DataFrame:
    """A table with the columns key and key2, some fields, and labels that repeat."""
    rows = draw(st.integers(0, 8))
    column = st.lists(cells, min_size=rows, max_size=rows)
    frame = {name: pd.Series(draw(column), dtype=object) for name in ["key", "key2", *draw(names)]}
    return pd.DataFrame(frame).set_axis(pd.Index(draw(st.lists(few, min_size=rows, max_size=rows)), dtype=object))


def texts(df: pd.DataFrame) -> list[list[str | None]]:
    """Give each cell's text, column by column."""
    return [column.take(np.arange(len(df))).tolist() for column in text_table(df).values()]


@settings(max_examples=200, deadline=None)
@given(tables(anything), choices)
def test_any_table_can_be_validated(df: pd.DataFrame, on_conflict: str) -> None:
    """Nothing in a cell or a label breaks validation; findings are in order and agree with the arrays."""
    before = df.copy(deep=True)
    findings = validate(df, key="key", on_conflict=on_conflict)
    pd.testing.assert_frame_equal(df, before)
    frame = findings.frame
    rows = frame["row"].fillna(-1).astype(int).to_numpy()
    assert (np.diff(rows) >= 0).all()
    assert set(frame["rule"]) <= set(RULES)
    errors = rows[(frame["severity"] == "error").to_numpy()]
    assert np.flatnonzero(findings.rejected).tolist() == sorted(set(errors[errors >= 0].tolist()))
    assert not (findings.rejected & findings.superseded).any()
    assert all(findings.message_of(int(row)) for row in np.flatnonzero(findings.rejected | findings.superseded))
    assert findings._repr_html_()
    assert repr(findings)


@settings(max_examples=200, deadline=None)
@given(tables(few), choices, st.sampled_from([["key"], ["key", "key2"]]))
def test_one_row_per_key_remains(df: pd.DataFrame, on_conflict: str, key: list[str]) -> None:
    """Of the rows that go on, no two have one key; every key that is not at fault keeps the row that counts.

    A row without a value never counts for one that has some.
    """
    findings = validate(df, key=key, on_conflict=on_conflict)
    columns = text_table(df)
    keys = list(zip(*(columns[name].take(np.arange(len(df))).tolist() for name in key), strict=True))
    fields = [columns[name] for name in columns if name not in key]
    empty = np.all([column.missing for column in fields], axis=0) if fields else np.ones(len(df), dtype=bool)
    live = [keys[row] for row in np.flatnonzero(~findings.rejected & ~findings.superseded)]
    assert len(live) == len(set(live))
    for row in np.flatnonzero(findings.superseded):
        same = [other for other, value in enumerate(keys) if value == keys[row]]
        winners = [other for other in same if not findings.superseded[other]]
        equal = len({tuple(cells) for other, cells in enumerate(zip(*texts(df), strict=True)) if other in same}) == 1
        if all(not findings.rejected[other] for other in same):
            able = [other for other in same if not empty[other]] or same
            assert winners == [able[-1] if on_conflict == "last" and not equal else able[0]]


@settings(max_examples=200, deadline=None)
@given(tables(anything), choices)
@example(pd.DataFrame({"key": [" 12.0 "], "harvest_date": [" 3.4.2025 10:00"]}), "error")
def test_fixing_is_complete_and_touches_nothing_else(df: pd.DataFrame, on_conflict: str) -> None:
    """A table after its fixes has none left to offer, and cells without a fix keep their text."""
    findings = validate(df, key="key", on_conflict=on_conflict)
    fixed = findings.fixed(df)
    again = validate(fixed, key="key", on_conflict=on_conflict)
    assert again.frame["fix"].isna().all()
    offered = findings.frame[findings.frame["fix"].notna()]
    mended = set(zip(offered["column"], offered["row"].astype(int), strict=True))
    for name, old, new in zip(map(str, df.columns), texts(df), texts(fixed), strict=True):
        assert all(a == b for row, (a, b) in enumerate(zip(old, new, strict=True)) if (name, row) not in mended)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=12), st.text("aA0-_. +é\u2003\t", max_size=101), st.text("10.+eE", max_size=24)))
@example("1\u2003")
def test_no_text_that_a_rule_forbids_is_in_a_column_that_it_passes_over(text: str) -> None:
    """A rule of texts skips a column as a whole only where it would find nothing: asked alone, it says the same."""
    df = pd.DataFrame({"extended_id": ["a-code-id", text], "note": ["a", text]}, dtype=object)
    found = validate(df).frame
    texts_of = text_table(df)
    for name, rule in RULES.items():
        judge = getattr(rule.check, "__wrapped__", None)
        for column in COLUMNS_OF.get(name, ()):
            judged = [row for row, each in enumerate(texts_of[column].take()) if each is not None and judge(each)]
            assert found.loc[(found["rule"] == name) & (found["column"] == column), "row"].tolist() == judged
