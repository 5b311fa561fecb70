"""A plan, with what earlier calls to the service have taught."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

from scmkit.core import contract
from scmkit.core.errors import JournalError, ServiceChangedWarning
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.stored import Where, recent_calls
from scmkit.planning import plan as planning
from scmkit.planning.plan import Plan

ENOUGH = 20  # completed sync calls of one kind from which a plan learns by itself


def learnt(service: str, key: str | Sequence[str], journal: Where = None) -> dict[str, Any]:
    """Return the options of `plan` that earlier calls to a service teach: ``service_time`` and ``history``."""
    if not isinstance(key, str):
        return {}
    try:
        calls = recent_calls(service, key, journal)
    except JournalError:  # the upload itself will say so
        return {}
    options: dict[str, Any] = {"history": calls} if calls["key_value"].notna().any() else {}
    sync = calls[(calls["mode"] == "sync") & calls["codes"].notna() & (calls["seconds"] > 0)]
    if (sync["outcome"] == "applied").sum() >= ENOUGH:
        options["service_time"] = _fitted(sync)
    return options


def plan(
    df: pd.DataFrame,
    *args: Any,
    service: str,
    journal: Where | bool = None,
    **options: Any,
) -> Plan:
    """Plan with what earlier calls to this service have taught, where the caller does not say otherwise."""
    asked = inspect.signature(planning.plan).bind(df, *args, **options).arguments
    if journal is not False and asked.get("service_time") is None:
        taught = learnt(service, asked.get("key", contract.DEFAULT_KEY), None if journal is True else journal)
        if any(asked.get(name) is not None for name in ("inventory", "estimate", "history")):
            taught.pop("history", None)
        asked = taught | {name: value for name, value in asked.items() if value is not None or name not in taught}
    return planning.plan(**asked)


def _fitted(calls: pd.DataFrame) -> ServiceTime:
    """Fit the calls; where the service changed meanwhile, the model starts from the latest by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ServiceChangedWarning)
        return ServiceTime.fit(calls)
