"""A plan as the journal holds it: taken apart into arrays and plain values, and put together again."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.arrays import Objects, RowStates
from scmkit.core.lines import lines_at
from scmkit.core.texts import TextColumn, group, our_name
from scmkit.core.values import Mode, RowState
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.fan_out import Bounds, Uncertain
from scmkit.estimation.fitting import NAMES
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.journal import Journal, Record, StoredCall
from scmkit.journal.storage import NoLocksError, or_else
from scmkit.planning.layout import Layout
from scmkit.planning.load import Load, Terms
from scmkit.planning.plan import Plan
from scmkit.planning.trials import running_total
from scmkit.validation.findings import Findings


def begin(job: str, plan: Plan, service: str, book: Journal, check: Callable[[Journal], object]) -> Record:
    """Write a new job down, unless the check raises."""
    with or_else(book.close):
        check(book)
    calls = ((Mode.ASYNC if plan.is_async[c] else Mode.SYNC, plan.rows_of(c)) for c in range(len(plan)))
    return book.create(job, service, len(plan.index), parts_of(plan), calls)


def begin_in_file(
    job: str, plan: Plan, service: str, journal: str | os.PathLike[str] | None, check: Callable[[Journal], object]
) -> Record | None:
    """Write a new job into a file; None, with a warning, where the file system has no locks."""
    try:
        return begin(job, plan, service, Journal(journal), check)
    except NoLocksError as why:
        warnings.warn(
            f"this upload has no journal and cannot be resumed: {why}; give a path on a local disk with journal=path",
            stacklevel=6,
        )
        return None


def stored_plan(book: Journal, job: str) -> Plan:
    """Return the plan of a job."""
    return plan_of(book.parts(job), book.stored_calls(job))


def facts_of(book: Journal, job: str) -> dict[str, Any]:
    """Read the plain values of a job's plan, and none of its arrays."""
    facts: dict[str, Any] = book.parts(job, "plan")["plan"]
    return facts


def key_columns(book: Journal, job: str, facts: dict[str, Any]) -> list[TextColumn]:
    """Read the key columns of a job, and not the fields."""
    stored = {f"{kind} {n}" for kind in ("codes", "texts") for n in range(facts["keys"])}
    parts = {name: part for each in stored for name, part in book.parts(job, each).items()}
    return [_column(parts, n, facts["columns"][n]) for n in range(facts["keys"])]


def parts_of(plan: Plan) -> dict[str, Any]:
    """Take a plan apart into arrays and plain values."""
    columns = [*plan.keys, *plan.fields]
    parts: dict[str, Any] = {"fates": plan.row_states, "whys": plan.whys}
    for number, column in enumerate(columns):
        parts[f"codes {number}"] = column.codes.astype(np.int32)
        parts[f"texts {number}"] = column.texts.tolist()
    sources, names = pd.factorize(plan.row_codes["source"])
    parts |= {f"row {name}": plan.row_codes[name].to_numpy() for name in Uncertain._fields}
    parts |= {f"drawn {name}": getattr(plan.service_time, name) for name in NAMES}
    parts["row source"] = sources.astype(np.int8)
    parts["plan"] = {
        "columns": [c.name for c in columns], "keys": len(plan.keys), "sources": [str(n) for n in names],
        "service_time": plan.service_time.source, "level": plan.estimate.level, "risk": plan.risk,
        "timeout_s": plan.timeout_s, "workers": plan.workers, "mode": plan.mode, "choice": plan.choice,
        "assumptions": asdict(plan.assumptions), "index": _labels_of(plan.index),
        "file": plan.load.file,
        "defined_fields": None if plan.defined_fields is None else sorted(plan.defined_fields),
        "reasons": {str(r): plan.findings.message_of(r) for r in np.flatnonzero(plan.row_states).tolist()},
    }  # fmt: skip
    return parts


def plan_of(parts: dict[str, Any], stored_calls: Sequence[StoredCall]) -> Plan:
    """Put a plan together again, from its parts and the calls that it planned."""
    keys, fields = columns_of(parts)
    facts, row_states = parts["plan"], parts["fates"]
    index = _index(facts["index"], len(row_states))
    load = Load(
        keys=keys, fields=fields, index=index, row_states=row_states,
        findings=_findings(facts["reasons"], row_states, index),
        defined_fields=None if facts["defined_fields"] is None else frozenset(facts["defined_fields"]),
        file=facts.get("file", ""),  # earlier versions did not note it
    )  # fmt: skip
    planned = [call for call in stored_calls if call.parent is None]
    layout = Layout(
        order=np.concatenate([call.rows for call in planned] or [np.zeros(0, dtype=np.int64)]),
        offsets=running_total(np.array([len(call.rows) for call in planned], dtype=np.int64)),
        is_async=np.array([call.mode is Mode.ASYNC for call in planned], dtype=bool),
        whys=parts["whys"], choice=facts["choice"],
    )  # fmt: skip
    return Plan(load, _terms(parts, keys), layout)


def _terms(parts: dict[str, Any], keys: tuple[TextColumn, ...]) -> Terms:
    facts = parts["plan"]
    codes = _row_codes(parts, np.array([*facts["sources"], None], dtype=object)[parts["row source"]], facts["level"])
    same = {name: facts[name] for name in ("risk", "timeout_s", "workers", "mode")}
    assumptions = msgspec.convert(facts["assumptions"], contract.Assumptions)
    known = _estimate(keys, codes, facts["level"])
    drawn = {name: parts[f"drawn {name}"] for name in NAMES if f"drawn {name}" in parts}  # earlier versions had fewer
    service_time = ServiceTime(**drawn, source=facts["service_time"])
    return Terms(estimate=known, row_codes=codes, service_time=service_time, assumptions=assumptions, **same)


def columns_of(parts: dict[str, Any]) -> tuple[tuple[TextColumn, ...], tuple[TextColumn, ...]]:
    """Return the keys and the fields of a stored plan."""
    names, keys = parts["plan"]["columns"], parts["plan"]["keys"]
    columns = tuple(_column(parts, number, name) for number, name in enumerate(names))
    return columns[:keys], columns[keys:]


def _column(parts: dict[str, Any], number: int, name: str) -> TextColumn:
    texts = np.empty(len(parts[f"texts {number}"]), dtype=object)
    texts[:] = parts[f"texts {number}"]
    return TextColumn(name, parts[f"codes {number}"].astype(np.int64), texts, {})


def _findings(reasons: dict[str, str], row_states: RowStates, index: pd.Index) -> Findings:
    """Say again why rows are in no call; the findings about the others are not kept."""
    told = {int(row): why for row, why in reasons.items() if why}
    lost = row_states[list(told)] == RowState.SUPERSEDED
    frame = pd.DataFrame(
        {
            "row": pd.array(list(told), dtype="Int64"),
            "label": [index[row] for row in told],
            "column": "",
            "rule": np.where(lost, "duplicate_equal", "rejected"),
            "severity": np.where(lost, "info", "error"),
            "value": None,
            "message": list(told.values()),
            "fix": None,
        }
    )
    frame["line"] = lines_at(index, frame["row"].array)
    return Findings(frame, len(row_states), row_states == RowState.REJECTED, row_states == RowState.SUPERSEDED)


def _row_codes(parts: dict[str, Any], source: Objects, level: float) -> pd.DataFrame:
    """Return what is known of each row's codes; a journal from before 2026-11-24 holds their bounds only."""
    bounds = Bounds(*(parts[f"row {name}"] for name in Bounds._fields))
    assumed = Uncertain.between(bounds, level, source == "prior")._asdict()
    known = {name: parts.get(f"row {name}", values) for name, values in assumed.items()}
    return pd.DataFrame(known | {"source": source})


def _estimate(keys: tuple[TextColumn, ...], codes: pd.DataFrame, level: float) -> Estimate:
    groups, _ = group(keys, len(codes))
    _, first = np.unique(groups, return_index=True)
    names = [k.name for k in keys]
    known = {our_name(name, names): codes[name].to_numpy()[first] for name in (*Bounds._fields, "source")}
    spread = {name: codes[name].to_numpy()[first] for name in ("sd", "shared")}
    return Estimate(tuple(names), pd.DataFrame({k.name: k.take(first) for k in keys} | known), level, **spread)


def _labels_of(index: pd.Index) -> dict[str, Any] | None:
    """Return an index as plain values; None for positions, which need not be stored."""
    names = [None if name is None else str(name) for name in index.names]
    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1 and names == [None]:
        return None
    return {"names": names, "labels": [_label(label) for label in index.tolist()]}


def _label(label: Any) -> Any:
    if isinstance(label, tuple):
        return [_label(part) for part in label]
    if isinstance(label, int) and not isinstance(label, bool) and abs(label) < 2**63:
        return int(label)
    return str(label).encode("utf-8", "backslashreplace").decode()


def _index(stored: dict[str, Any] | None, rows: int) -> pd.Index:
    if stored is None:
        return pd.RangeIndex(rows)
    if len(stored["names"]) > 1:
        return pd.MultiIndex.from_tuples([tuple(label) for label in stored["labels"]], names=stored["names"])
    return pd.Index(stored["labels"], name=stored["names"][0])
