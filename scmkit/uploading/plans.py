"""From a table to a plan, with what earlier calls to the service have taught."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

from scmkit.core import contract
from scmkit.core.arguments import JOURNAL, TEXT, whole
from scmkit.core.errors import JournalError, PlanError, ServiceChangedWarning
from scmkit.estimation.estimate import Estimate, codes_per_row
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.answers import Answer, remembered
from scmkit.journal.listings import Where, WhereIfAny, recent_calls
from scmkit.planning.load import Terms, load_of
from scmkit.planning.plan import WORKERS, Plan, make_plan
from scmkit.tables.arguments import FIELDS_OR_TRUE, public
from scmkit.tables.inventory import Counts, Inventory, count_codes
from scmkit.uploading.asking import ASK, BUDGET, fields_asked
from scmkit.uploading.asking import estimate as estimate_codes
from scmkit.validation.mapping import MAPPING, Mapping, mapping_of
from scmkit.validation.validate import look_at
from scmkit.wire.client import Client, current_service, default_client

ENOUGH = 20  # completed sync calls of one kind from which a plan learns by itself


@public(journal=JOURNAL, service=TEXT.optional(), ask=ASK, budget=whole(1), fields=FIELDS_OR_TRUE, mapping=MAPPING)
def plan(
    df: pd.DataFrame,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    mode: str = "auto",
    estimate: Estimate | None = None,
    inventory: Inventory | None = None,
    service_time: ServiceTime | None = None,
    risk: float = 0.01,
    *,
    fields: Any = None,
    on_conflict: str = "error",
    errors: str = "raise",
    sample_fraction: float = 1.0,
    history: pd.DataFrame | None = None,
    default: int | tuple[int, int] | None = None,
    batch: int | None = None,
    workers: int = WORKERS,
    timeout_s: float = contract.GATEWAY_TIMEOUT_S,
    assumptions: contract.Assumptions = contract.ASSUMPTIONS,
    journal: WhereIfAny = None,
    service: str | None = None,
    ask: Client | bool | None = None,
    budget: int = BUDGET,
    client: Client | None = None,
    mapping: Mapping | None = None,
    products: pd.DataFrame | None = None,
    file: str = "",
) -> Plan:
    """Plan the calls that bring a table's values onto the codes.

    Parameters
    ----------
    df : DataFrame
        A row per key value; every column that is not a key is an SCM field. Missing cells are left out,
        ``""`` clears a field.
    key : str or list of str, default "extended_id"
        What selects the codes. Several columns must all hold (async calls only).
    mode : {"auto", "sync", "async"}
        ``auto`` takes what is predicted to end first within the bearable risk.
    estimate : Estimate, optional
        What is known about the codes; made from ``inventory`` or ``default`` when not given.
    inventory : DataFrame or path, optional
        All codes, one a line, in the shape of a code download.
    service_time : ServiceTime, optional
        Seconds per call. Default: fitted to the calls that the journal knows of this service, where there are at
        least 20, else the documented prior; the summary says which.
    risk : float, default 0.01
        The timeout risk that a sync call may have, at the upper estimate of its codes.
    fields : list, dict, inventory or True, optional
        The campaign's fields; see `validate`. True: the service is asked which fields the campaign of the first row's
        codes defines, and a name that is not among them is a warning.
    on_conflict : {"error", "last", "first"}
        Which of several rows with one key and different values counts.
    errors : {"raise", "reject"}
        Whether findings of severity ``error`` forbid the plan, or only leave their rows out; what is about the table
        as a whole, such as keys of which hardly any is in the inventory, is then a warning.
    sample_fraction, history, default : see `estimate`
        What else is known about the codes per key value.
    batch : int, optional
        With ``mode="sync"``: so many rows a call, whatever the risk.
    workers : int, default 8
        Calls that are under way at a time.
    timeout_s : float, default 60
        Seconds after which the gateway cuts a sync call [seed].
    journal : path or False, optional
        Where earlier calls are looked up, of which ``service_time`` and ``history`` are made when they are not given;
        False for nowhere. Default: ``SCMKIT_JOURNAL``, else the user's own file.
    service : str, optional
        The URL of the service whose calls these are. Default: that of ``client``, or of the present one.
    client : Client, optional
        Who is asked about fields. Default: the one of `use`, or of the environment.
    file : str
        The name of the file that the table came from, for the report.
    ask, budget : see `estimate`
        The service is asked how many codes the key values select whose number decides something.
    mapping : Mapping or path, optional
        What the columns are sent as, and what must hold of their values; see `validate`.
    products : DataFrame, optional
        What ``client.products()`` gave; see `validate`.

    Returns
    -------
    Plan
        Covers every valid row exactly once.

    Raises
    ------
    MissingColumnError, ValidationError, PlanError
    """
    if batch is not None and mode != "sync":
        raise PlanError(f"batch is 1 row or more, with mode='sync', not {batch!r} with mode={mode!r}")
    mapping = mapping_of(df, mapping, key, on_conflict)
    keys = list(mapping.keys)
    if mode == "sync" and len(keys) > 1:
        raise PlanError(f"a sync call has one key; {keys} need mode='async' or 'auto'")
    if service_time is None and journal is not False:
        service_time, earlier = learnt(service or (client.base_url if client else current_service()), keys, journal)
        history = earlier if inventory is None and estimate is None and history is None else history
    counted = None if inventory is None else Counts(count_codes(inventory, keys))
    defined = fields_asked(client or default_client(), mapping.sent(df), keys) if fields is True else fields
    fields = None if fields is True else fields  # what the first codes tell is a warning, since others may differ
    seen = look_at(df, mapping, fields, counted, sample_fraction, products)
    if errors == "raise" or seen.findings.hopeless:
        seen.findings.raise_for_errors()
    load = load_of(seen, defined, inventory, file)
    service_time = service_time or ServiceTime.documented()
    codes = counted if sample_fraction == 1 else inventory  # of a sample, more is looked at than its keys
    known = estimate or estimate_codes(
        seen.table, keys, codes, sample_fraction, history, default, ask=ask, budget=budget, service_time=service_time,
        risk=risk, timeout_s=timeout_s, assumptions=assumptions, journal=journal,
    )  # fmt: skip
    terms = Terms(
        estimate=known, row_codes=codes_per_row(known, load.keys, len(df)),
        service_time=service_time, risk=risk, timeout_s=timeout_s, workers=workers,
        mode=mode, assumptions=assumptions,
    )  # fmt: skip
    return make_plan(load, terms, batch)


def learnt(service: str, keys: Sequence[str], journal: Where = None) -> tuple[ServiceTime | None, Any]:
    """Return what earlier calls to a service teach: its seconds, if they were enough, and a history of codes."""
    if len(keys) > 1:
        return None, None
    try:
        calls = recent_calls(service, keys[0], journal)
        counted = _counted(remembered(service, keys, journal), keys[0])
    except JournalError:  # the upload itself will say so
        return None, None
    earlier = pd.concat([calls[list(counted)], counted]) if len(counted) else calls
    history = earlier if earlier["key_value"].notna().any() else None
    sync = calls[(calls["mode"] == "sync") & calls["codes"].notna() & (calls["seconds"] > 0)]
    return _fitted(sync) if (sync["outcome"] == "applied").sum() >= ENOUGH else None, history


def _counted(answers: Sequence[Answer], key: str) -> pd.DataFrame:
    """Return the answers about a key as lines of a history; one that was cut off is no count."""
    lines = [(key, a.value[0], a.codes, pd.Timestamp(a.at, unit="s", tz="UTC")) for a in answers if not a.cut]
    frame = pd.DataFrame(lines, columns=["key", "key_value", "codes_affected", "at"])
    return frame.astype({"codes_affected": "Int64", "at": "datetime64[us, UTC]"})


def _fitted(calls: pd.DataFrame) -> ServiceTime:
    """Fit the calls; where the service changed meanwhile, the model starts from the latest by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ServiceChangedWarning)
        return ServiceTime.fit(calls)
