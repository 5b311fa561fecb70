"""What would go wrong, before anything is sent: frame -> Findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.errors import PlanError, did_you_mean
from scmkit.core.texts import MISSING, columns_of, text_table
from scmkit.tables.arguments import public
from scmkit.tables.inventory import Inventory
from scmkit.validation import rules  # noqa: F401 - they register themselves
from scmkit.validation.findings import Findings, framed
from scmkit.validation.matching import known_keys
from scmkit.validation.table import RULES, Problem, Table

FIELD_KINDS = ("text", "date", "logistic_unit")


@public()
def validate(
    df: pd.DataFrame,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    fields: Any = None,
    on_conflict: str = "error",
    *,
    inventory: Inventory | None = None,
    sample_fraction: float = 1.0,
) -> Findings:
    """Say what would go wrong with a table, before anything is sent.

    Parameters
    ----------
    df : DataFrame
        A row per key value; every column that is not a key is an SCM field. It is not changed.
    key : str or list of str, default "extended_id"
        What selects the codes.
    fields : iterable of str, dict of str to str, or inventory, optional
        The campaign's fields: names; or names with their kind, ``"text"``, ``"date"`` or ``"logistic_unit"``; or a
        code download, whose columns beyond `contract.CODE_COLUMNS` they are. The special fields always exist. A
        field without a kind is a date when its name holds the word ``date``.
    on_conflict : {"error", "last", "first"}
        Which of several rows with one key and different cells counts. It replaces the others whole: a cell that it
        lacks is not sent, even where another row has it. Equal rows are merged in any case, into the first. A row
        that cannot be sent, because it has an error or no value, never counts for another one.
    inventory : DataFrame or path, optional
        In which the key values are looked up. Default: ``fields``, where that is an inventory. Key values that it lacks
        are warnings, since it may be a part of the codes; where hardly any is there, it is an error.
    sample_fraction : float, default 1.0
        Below 1, the inventory is a random sample: then only key values that it holds in another spelling are found.

    Returns
    -------
    Findings
        A line per problem; `scmkit.validation.rules` says what is checked. At most one row per key is neither
        rejected nor superseded.

    Raises
    ------
    MissingColumnError
        If the key is not a column, or a column is there twice.
    PlanError
        If an argument makes no sense.
    """
    keys = columns_of(df, key)
    if inventory is None and isinstance(fields, pd.DataFrame) and set(keys) <= set(map(str, fields.columns)):
        inventory = fields
    held = known_keys(inventory, keys, sample_fraction)
    table = Table(
        df, text_table(df), tuple(keys), _known_fields(fields), on_conflict, held, np.zeros(len(df), dtype=bool)
    )
    found: list[tuple[str, str, Problem]] = []
    for name, (severity, check, _) in sorted(RULES.items(), key=lambda each: each[1].compares_rows):
        problems = [(name, problem.severity or severity, problem) for problem in check(table)]
        errors = [p.row for _, severity, p in problems if severity == "error" and p.row != MISSING]
        table.faulty[errors] = True
        found += problems
    superseded = table.duplicates.superseded & ~table.faulty
    return Findings(framed(found, list(table.columns), df.index), len(df), table.faulty, superseded)


def _known_fields(fields: Any) -> dict[str, str | None] | None:
    """Return the campaign's fields with their kind, None where it is not told."""
    if fields is None:
        return None
    special: dict[str, str | None] = dict.fromkeys(contract.SPECIAL_FIELDS)
    if hasattr(fields, "columns"):
        return {str(c): None for c in fields.columns if str(c) not in contract.CODE_COLUMNS} | special
    kinds = {str(name): kind for name, kind in fields.items()} if isinstance(fields, Mapping) else {}
    for name, kind in kinds.items():
        if kind not in FIELD_KINDS:
            near = did_you_mean(str(kind), FIELD_KINDS)
            raise PlanError(f"field {name!r} is of kind {kind!r}{near}; a kind is one of {', '.join(FIELD_KINDS)}")
    named = sorted(fields, key=str) if isinstance(fields, AbstractSet) else fields  # a message is the same each time
    return special | (kinds or {str(name): None for name in named})
