# ruff: noqa: E501 - a case a line
"""Promises about wrong arguments: each public function works, or says in one sentence of ours what is wrong."""

import datetime as dt
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import scmkit
from scmkit import capacity
from scmkit.core import arguments
from scmkit.core.errors import ArgumentError, ConfigurationError, FileAccessError, PlanError, ScmkitError, TableError
from scmkit.tables.reading import from_arrow

DF = pd.DataFrame(
    {"extended_id": [f"Code_{i:04d}" for i in range(3)], "lot": ["L1", "L1", "L2"], "note": ["x", "y", "z"]}
)
PLAN = scmkit.plan(DF)
MODEL = scmkit.ServiceTime.fixed()
CALLS = pd.DataFrame({"codes": [10, 20], "items": [1, 1], "seconds": [0.1, 0.2], "timed_out": [False, False]})
BUILTINS = (TypeError, ValueError, KeyError, OSError, ImportError, RuntimeError)


def named(label: Any) -> pd.DataFrame:
    return pd.DataFrame([["x"]], columns=pd.Index([label], dtype=object))


def holding(cell: Any) -> pd.DataFrame:
    return pd.DataFrame({"lot": pd.Series([cell], dtype=object), "extended_id": ["Code_0001"]})


WRONG: list[Any] = [
    None, True, False, 0, -1, 1.5, 5, 10**5_000, -(10**5_000), float("nan"), float("inf"), 1e300, 1j, Decimal("1.5"),
    Decimal("NaN"), "", "x", " ", "nope.csv", "\ud800", "a\0b", "x" * 5_000, "~nobody/x", b"bytes", bytearray(b"x"), [], [None],
    ["x"], [["x"]], ["lot", "lot"], [1, 2], [float("nan")], (), (1,), (2, 1), ("lot", "note"), {}, {"lot": "date"},
    {"x": 1}, {1: None}, set(), {"lot"}, frozenset({"note"}), range(3), object(), int, pd.DataFrame, len, lambda: 1,
    np.array([1, 2]), np.array(3), np.float64("nan"), np.int64(3), np.bool_(True), pd.NA, pd.NaT, pd.Series(["x"]),
    pd.Index(["lot"]), pd.Timestamp("2026-11-23"), dt.date(2026, 11, 23), pd.DataFrame(), named("\ud800"),
    named(10**5_000), pd.DataFrame([["a", "b"]], columns=["lot", "lot"]), holding(10**5_000),
    holding("\ud800"), holding(1j), DF, PLAN,
    PLAN.estimate, PLAN.findings, PLAN.service_time, [{"lot": "L1"}], pl.DataFrame({"lot": ["x"]}), pl.Series(["x"]),
    pl.DataFrame({"lot": ["x"]}).lazy(), pa.table({"lot": ["x"]}), pa.array(["x"]), Path("/"), Path("nope.parquet"),
    dt.datetime(2026, 11, 23), Ellipsis, NotImplemented, ValueError("x"), threading.Lock(), iter([1]), (x for x in "ab"),
]  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[scmkit.Client]:
    """Nothing is behind it, and nothing shall be sent: what reached the wire would fail the test."""
    with scmkit.Client("http://127.0.0.1:1", "x" * 20) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.transport, "ask", lambda *_, **__: pytest.fail("something was sent"))
        yield client


def public_calls(client: scmkit.Client, folder: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Each public function with arguments that work, of which the tests replace one at a time."""
    path = folder / "lots.csv"
    DF.to_csv(path, index=False)
    sand = {"codes": 3, "fields": ["lot"]} | dict.fromkeys(["rate", "speed", "gateway_timeout"], 1.0)
    sand |= dict.fromkeys(["port", "seed", "latency_s"], 0) | {"faults": None, "task_workers": 1, "task_limit": None}
    shared = {"df": DF, "key": "extended_id", "fields": None, "on_conflict": "error"}
    counted = {"inventory": None, "sample_fraction": 1.0, "history": None, "default": None}
    planned = shared | counted | {
        "mode": "auto", "estimate": None, "service_time": None, "risk": 0.01, "errors": "raise", "batch": None, "workers": 8,
        "timeout_s": 60.0, "assumptions": scmkit.Assumptions(),
    }  # fmt: skip
    return {
        "validate": (scmkit.validate, shared),
        "count_codes": (scmkit.count_codes, {"inventory": DF, "key": "lot"}),
        "estimate": (scmkit.estimate, counted | {"df": DF, "key": "lot", "level": 0.95, "now": None}),
        "plan": (scmkit.plan, planned),
        "accessor.plan": (DF.scm.plan, {"workers": 8, "mode": "auto", "on_conflict": "error"}),
        "accessor.validate": (DF.scm.validate, {"key": "lot", "fields": None}),
        "accessor.simulate": (DF.scm.simulate, {"trials": 2, "seed": 1}),
        "simulate": (scmkit.simulate, {"plan": PLAN, "trials": 2, "seed": 1, "workers": 2}),
        "read_table": (scmkit.read_table, {"path": path, "sheet": None, "delimiter": ",", "encoding": None, "pad_to": None}),
        "jobs": (scmkit.jobs, {"journal": None}),
        "history": (scmkit.history, {"journal": None}),
        "Limits": (scmkit.Limits, dict.fromkeys(inspect.signature(scmkit.Limits).parameters, 1)),
        "Assumptions": (scmkit.Assumptions, {"max_body_bytes": 1, "unique_keys": ("a",), "parallel_tasks": 1}),
        "Client": (scmkit.Client, {"base_url": "http://127.0.0.1:1", "token": "x" * 20, "limits": None, "ca_file": None}),
        "Sandbox": (scmkit.Sandbox, sand),
        "use": (scmkit.use, {"client": client}),
        "ServiceTime.fit": (scmkit.ServiceTime.fit, {"calls": CALLS, "kind": None}),
        "ServiceTime.fixed": (scmkit.ServiceTime.fixed, {"base_s": 1.0, "noise": 0.1}),
        "ServiceTime": (scmkit.ServiceTime, dict.fromkeys(["base_s", "per_code_s", "per_item_s", "noise"], 0.1)),
        "largest_batch": (capacity.largest_batch, {"codes_per_key": 5, "risk": 0.1, "service_time": None, "timeout_s": 60}),
        "risk_by_batch": (capacity.risk_by_batch, {"codes_per_key": 5, "batches": [1, 2], "risk": 0.1}),
        "makespan_by_batch": (
            capacity.makespan_by_batch,
            {"rows": 10, "codes_per_key": 5, "workers": 2, "batches": [5], "trials": 2, "seed": 1},
        ),
        "on_time": (capacity.on_time, {"what": 5, "deadline": 60, "codes_per_key": 5, "workers": 2, "batches": [5], "trials": 2}),
        "fits_in": (capacity.fits_in, {"window_s": 60, "codes_per_key": 5, "batch": 5, "certainty": 0.9, "trials": 2}),
        "best_workers": (capacity.best_workers, {"rows": 5, "codes_per_key": 5, "slowdown": 0.1, "workers": [2], "trials": 2}),
        "breaks_on": (capacity.breaks_on, {"plan": PLAN, "growth_per_month": 0.1, "now": None, "months": 3}),
        "calls_to_collect": (capacity.calls_to_collect, {"within": 0.1, "calls": [3], "codes": (1, 9), "trials": 1}),
        "sample_to_collect": (capacity.sample_to_collect, {"codes_per_key": 5, "within": 0.5, "fractions": [0.5], "trials": 1}),
        "codes_per_day": (capacity.codes_per_day, {"codes_per_key": 5, "slowdown": 0.1, "risk": 0.1, "service_time": None, "workers": 2, "timeout_s": 60}),
        "timeout_risk": (MODEL.timeout_risk, {"codes": 5, "items": 1, "timeout_s": 60.0}),
        "quantile": (MODEL.quantile, {"q": 0.5, "codes": 5, "items": 1}),
        "max_codes": (MODEL.max_codes, {"risk": 0.01, "timeout_s": 60.0, "items": 1}),
        "growth": (capacity.growth, {"plan": PLAN, "factors": (1, 2), "trials": 2, "seed": 1}),
    }  # fmt: skip


NAMES = sorted(public_calls(None, Path("/tmp")))  # type: ignore[arg-type]


def outcome(function: Callable[..., Any], given: dict[str, Any]) -> str:
    """Say what a call ends in; what comes from the depths fails the test."""
    found: ScmkitError | None = None
    try:
        function(**given)
    except ScmkitError as error:
        found = error
    if found is None:
        return "worked"
    assert isinstance(found, BUILTINS)
    assert 0 < len(str(found).encode()) < 2_000
    return "said"


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_argument_works_or_is_one_sentence(
    name: str, client: scmkit.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in the place of one argument, nothing comes from the depths."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCMKIT_JOURNAL", str(tmp_path / "journal.sqlite3"))
    function, good = public_calls(client, tmp_path)[name]
    assert outcome(function, good) == "worked"
    said = 0
    for argument in good:
        for value in WRONG:
            if value is not None and (name, argument) == ("Client", "token"):
                continue
            small = {"codes", "trials", "rows"}  # what is right but takes its time
            if argument in small and isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**13:
                continue
            try:
                said += outcome(function, good | {argument: value}) == "said"
            except BaseException as error:
                raise AssertionError(f"{name}({argument}={value!r:.80})") from error
    scmkit.use(None)
    assert said > 30 * len(good) or name in ("ServiceTime", "ServiceTime.fixed", "use", "Sandbox")
    with pytest.raises(TypeError, match=r"unexpected keyword|no option") as unknown:
        function(**good, bogus=1)
    assert isinstance(unknown.value, ScmkitError)
    for value in (WRONG[-1], 5, None, DF):
        assert outcome(lambda value=value: function(*[value] * 40), {}) == "said"


def test_an_upload_with_a_wrong_argument_sends_nothing(client: scmkit.Client, tmp_path: Path) -> None:
    """`upload` and `resume` say what is wrong before anything is sent or written down."""
    path = tmp_path / "journal.sqlite3"
    good = {"df": DF, "client": client, "key": "extended_id", "journal": path}
    for argument, values in {
        "df": [None, 5, "nope.csv", [{"lot": 1}], {"lot": 1}, PLAN.estimate, pl.Series(["x"]), DF["lot"], b"x", DF.to_numpy()],
        "client": ["extended_id", 5, DF, scmkit.Sandbox], "key": [None, 5, "", ["lot", None], b"lot", DF, {"lot"}],
        "mode": [None, "asnyc", 5], "wait": [None, 1, "no"], "progress": [0, "yes"], "verify": ["x"], "anyway": [1],
        "errors": ["ignore", None], "journal": [5, "", "a\0b", DF, "x" * 300], "risk": [1.5, 0, None, True, "1%"],
        "workers": [0, 1.5, True, 10**6, "8", -1], "fields": [5, "lot", {"lot": "number"}], "bogus": [1], "worker": [8],
        "on_conflict": ["newest"], "default": [-1, (2, 1), "x"], "batch": [0, 5], "timeout_s": [0, float("nan")],
        "service_time": [5], "estimate": [DF], "inventory": [5, [{"lot": 1}]], "assumptions": [None, {}],
    }.items():  # fmt: skip
        for value in values:
            assert outcome(scmkit.upload, good | {argument: value}) == "said", (argument, value)
    for given in ({"job_id": None}, {"job_id": 5}, {"job_id": ""}, {"job_id": "x", "wait": 1}, {"job_id": "x", "jornal": 1},
                  {"job_id": "x", "client": 5}, {}):  # fmt: skip
        assert outcome(scmkit.resume, {"journal": path, **given} if given else {}) == "said", given
    assert not path.exists()


def methods(client: scmkit.Client, folder: Path) -> list[tuple[Callable[..., Any], dict[str, Any], set[type]]]:
    """Each method that sends, or waits for what was sent, with the classes of what is right for an argument."""
    job = scmkit.upload(DF, scmkit.Client(client.base_url, "x" * 20), wait=False, journal=False)
    for _ in range(2):
        job.cancel(0)
    return [
        (client.task, {"task_id": "t"}, {str, int}),
        (client.upload_sync, {"items": [{"lot": "L1"}], "data_key": "lot"}, {str, bytes, list, tuple}),
        (client.upload_async, {"constraints": {"lot": "L1"}, "scm_data": {"note": "x"}}, {dict, bytes, type(None)}),
        (client.download_codes, {"to": folder / "codes.csv", "wait_s": 0.0}, {str, int, float, type(None)}),
        (job.result, {"timeout": 0.0}, {int, float, type(None)}),
        (job.cancel, {"grace_s": 0.0}, {int, float}),
        (job.report, {"path": folder / "report.html"}, {str}),
    ]


def test_methods_say_what_is_wrong_with_an_argument_before_they_do_anything(
    client: scmkit.Client, tmp_path: Path
) -> None:
    """What cannot be right is one sentence, and sends nothing."""
    for method, good, right in methods(client, tmp_path):
        for argument in good:
            for value in WRONG:
                if type(value) not in right and not isinstance(value, Path | np.number):
                    with pytest.raises(ArgumentError) as caught:
                        method(**good | {argument: value})
                    assert str(caught.value).startswith(f"{method.__name__}: {argument} is "), caught.value


def test_what_json_cannot_hold_is_not_sent(client: scmkit.Client) -> None:
    """Half a character, a number without end, and an object are said before a call is made."""
    for value in ("\ud800", {1, object()}, object(), 10**5000):
        with pytest.raises(ArgumentError):
            client.upload_sync([{"lot": value}])
        with pytest.raises(ArgumentError):
            client.upload_async({"lot": value})


def test_widgets_with_a_wrong_argument_are_not_made(tmp_path: Path) -> None:
    """The panel, the board and the explorer say what is wrong with what they were given."""
    for make, options in (
        (scmkit.panel, [{"df": 5}, {"df": [{"lot": 1}]}, {"df": PLAN}, {"client": 5}, {"journal": 5}, {"max_mb": 0}, {"x": 1},
                        {"inventory": 5}]),
        (scmkit.TaskBoard, [{"journal": 5}, {"client": "x"}, {"clock": 5}, {"x": 1}]),
        (scmkit.CapacityExplorer, [{"known": 5}, {"known": DF}, {"service_time": 5}, {"x": 1}, {"risk": 2}, {"workers": 0}]),
    ):  # fmt: skip
        for given in options:
            assert outcome(make, given) == "said", (make, given)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: scmkit.validate(None), r"df is a DataFrame, .* or the path of a file, not None: scmkit.read_table\("),
        (lambda: scmkit.validate([{"lot": 1}]), r"not a list: pandas.DataFrame\(...\) makes one of it"),
        (lambda: scmkit.validate(PLAN), r"not a Plan: it is made already, see plan.upload\(\), scmkit.simulate\(plan\)"),
        (lambda: scmkit.validate(PLAN.estimate), r"not a Estimate: its table is .frame"),
        (lambda: scmkit.validate(DF["lot"]), r"not a Series: to_frame\(\) makes one of it"),
        (lambda: scmkit.plan(pl.DataFrame({"lot": ["x"]}).lazy()), r"not a LazyFrame: collect\(\) makes one of it"),
        (lambda: scmkit.plan(DF, key=None), "plan: key is the name of a column, or a list of names, not None"),
        (lambda: scmkit.plan(DF, fields=5), "fields is a list of names, a dict of kinds, or an inventory, or True to ask, not 5"),
        (lambda: scmkit.plan(DF, workers=0), "workers is a whole number of 1 to 1,024, not 0"),
        (lambda: scmkit.plan(DF, workers=True), "workers is a whole number of 1 to 1,024, not True"),
        (lambda: scmkit.plan(DF, risk=1.5), "risk is a probability between 0 and 1, such as 0.01, not 1.5"),
        (lambda: scmkit.plan(DF, mode="asnyc"), r"mode is one of 'auto', 'sync', 'async', not 'asnyc' \(did you mean 'async'"),
        (lambda: scmkit.plan(DF, ky="lot"), r"unexpected keyword argument 'ky' \(did you mean 'key'\?\)"),
        (lambda: scmkit.upload(DF, worker=8), r"there is no option 'worker' \(did you mean 'workers'\?\)"),
        (lambda: scmkit.validate(named("\ud800")), r"the name of column 1, '\\ud800': holds half of a char"),
        (lambda: scmkit.validate(named(10**5_000)), "the name of column 1, a int of very many digits: a number"),
        (lambda: scmkit.plan(DF, workers=10**5_000), "workers is a whole number of 1 to 1,024, not a int of very many digits"),
        (lambda: scmkit.simulate("lots.csv"), r"simulate takes what plan\(\) made, not 'lots.csv'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_nearest_right_answer(call: Callable[[], Any], words: str) -> None:
    """The sentence names the argument, what it must be, what it was, and what was probably meant."""
    with pytest.raises((PlanError, TableError), match=words):
        call()


def test_a_token_of_the_wrong_kind_is_not_shown() -> None:
    """Whatever stands in the place of a token may be a secret."""
    with pytest.raises(ConfigurationError, match="token is text, or None, not a bytes") as error:
        scmkit.Client("http://127.0.0.1:1", b"canary-token")  # type: ignore[arg-type]
    assert "canary" not in str(error.value)


def test_what_no_check_foresaw_is_a_sentence_too() -> None:
    """An error from the depths names the function and keeps its cause; one after something was sent stays as it is."""

    def deep(risk: float = 0.1) -> None:
        raise (ZeroDivisionError if risk < 0.5 else PermissionError)("so\n it is")

    with pytest.raises(ArgumentError, match="deep: these arguments lead to ZeroDivisionError: so it is") as error:
        arguments.public()(deep)()
    assert isinstance(error.value.__cause__, ZeroDivisionError)
    with pytest.raises(FileAccessError, match="deep: these arguments lead to PermissionError"):
        arguments.public()(deep)(risk=0.9)
    with pytest.raises(ZeroDivisionError):
        arguments.public(depths=False)(deep)()


@pytest.mark.parametrize("make", [pl.DataFrame, pa.table, lambda columns: pa.table(columns).to_reader()])
def test_tables_of_other_libraries_are_taken_as_they_are(make: Callable[[Any], Any], tmp_path: Path) -> None:
    """Polars, PyArrow and paths stand for a DataFrame, and identifiers, dates and missing cells survive."""
    columns = {
        "extended_id": ["Code_00042", "Code_00043"], "lot": ["000042", None], "n": [2**60 + 1, None], "part": [0.1, None],
        "made": [dt.date(2026, 11, 23), None], "ok": [True, None],
    }  # fmt: skip
    plan = scmkit.plan(make(columns))
    assert {field.name: field.take(np.arange(2)).tolist() for field in plan.fields} == {
        "lot": ["000042", None], "n": [str(2**60 + 1), None], "part": ["0.1", None], "made": ["2026-11-23", None],
        "ok": ["true", None],
    }  # fmt: skip
    assert scmkit.validate(make(columns)).rows == 2
    assert scmkit.estimate(make(columns), inventory=make(columns)).total == 2
    assert scmkit.count_codes(make(columns), "lot").to_dict("list") == {"lot": ["000042"], "codes": [1]}
    DF.to_csv(tmp_path / "lots.csv", index=False)
    assert len(scmkit.plan(str(tmp_path / "lots.csv")).order) == 3


def test_kinds_of_columns_of_other_libraries_have_the_text_that_pandas_gives_them() -> None:
    """Categories, decimals, narrow floats, times and nested values of Polars are text, or findings, as in pandas."""
    frame = pl.DataFrame(
        {
            "c": pl.Series(["a", None], dtype=pl.Categorical), "e": pl.Series(["b", "b"], dtype=pl.Enum(["b"])),
            "d": [Decimal("1.50"), None], "f": pl.Series([0.1, None], dtype=pl.Float32), "l": [["x"], ["y"]],
            "t": [dt.datetime(2026, 11, 23), dt.datetime(2026, 11, 23, 10)], "s": [{"a": 1}, {"a": 2}],
        }
    )  # fmt: skip
    columns = scmkit.core.texts.text_table(from_arrow(frame))
    assert {name: column.take(np.arange(2)).tolist() for name, column in columns.items()} == {
        "c": ["a", None], "e": ["b", "b"], "d": ["1.50", None], "f": ["0.1", None], "l": [None, None],
        "t": ["2026-11-23", None], "s": [None, None],
    }  # fmt: skip
    assert len(columns["l"].problems) == len(columns["s"].problems) == 2


def test_signatures_and_documentation_stay_visible() -> None:
    """Shift+Tab shows what a function takes, whatever checks it."""
    for name in scmkit.__all__:
        made = getattr(scmkit, name)
        if callable(made) and not (isinstance(made, type) and issubclass(made, Exception)):
            assert not {"args", "arguments"} & set(inspect.signature(made).parameters), name
    assert "risk" in inspect.signature(scmkit.plan).parameters
    assert "gateway_timeout" in inspect.signature(scmkit.Sandbox).parameters
    assert "risk" in inspect.signature(pd.DataFrame.scm.plan).parameters


def test_other_libraries_are_not_loaded_before_they_are_used() -> None:
    """`import scmkit` loads neither Polars nor what Arrow needs to read files."""
    code = "import sys, scmkit; print([m for m in ('polars', 'pyarrow.parquet') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_warnings_as_errors_stay_warnings() -> None:
    """Somebody who turned warnings into errors sees the warning, not an argument at fault."""
    calls = pd.DataFrame({"codes": 100, "items": 1, "seconds": [0.5] * 10 + [5.0] * 10, "timed_out": False})
    with pytest.raises(scmkit.core.errors.ServiceChangedWarning):
        scmkit.ServiceTime.fit(calls)
