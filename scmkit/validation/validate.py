"""What would go wrong, before anything is sent: frame -> Findings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Mapping as Dict
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scmkit.core import contract
from scmkit.core.errors import PlanError, did_you_mean
from scmkit.core.texts import MISSING, TextColumn, columns_of, text_table
from scmkit.tables.arguments import public
from scmkit.tables.inventory import Inventory
from scmkit.validation import rules  # noqa: F401 - they register themselves
from scmkit.validation.findings import Findings, framed
from scmkit.validation.mapping import FIELD_KINDS, MAPPING, Mapping, mapping_of
from scmkit.validation.matching import known_keys
from scmkit.validation.rulebook import RULES, Problem, Table


class Seen(NamedTuple):
    """A table as it is sent, its columns as text, and what was found in it."""

    table: pd.DataFrame
    columns: dict[str, TextColumn]
    findings: Findings
    mapping: Mapping


@public(mapping=MAPPING)
def validate(
    df: pd.DataFrame,
    key: str | Sequence[str] = contract.DEFAULT_KEY,
    fields: Any = None,
    on_conflict: str = "error",
    *,
    inventory: Inventory | None = None,
    sample_fraction: float = 1.0,
    mapping: Mapping | None = None,
    products: pd.DataFrame | None = None,
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
    mapping : Mapping or path, optional
        What the columns are sent as, and what must hold of their values. It says the key, too, and the kinds of fields
        that ``fields`` does not tell. Findings call columns as the table does.
    products : DataFrame, optional
        What ``client.products()`` gave: values of the special field ``product`` are looked up in it.

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
    mapping = mapping_of(df, mapping, key, on_conflict)
    return look_at(df, mapping, fields, inventory, sample_fraction, products).findings


def look_at(
    df: pd.DataFrame, mapping: Mapping, fields: Any, inventory: Inventory | None, sample_fraction: float,
    products: pd.DataFrame | None = None,
) -> Seen:  # fmt: skip
    """Apply a mapping to a table, and say what would go wrong with what it makes of it."""
    head = mapping.sent(df.iloc[:0])
    keys = columns_of(head.columns, mapping.keys)
    if inventory is None and isinstance(fields, pd.DataFrame) and set(keys) <= set(map(str, fields.columns)):
        inventory = fields
    known, held = _known_fields(fields), known_keys(inventory, keys, sample_fraction)
    campaigns = None if products is None else _campaigns(products)
    mapping = mapping.with_kinds(known or {}, map(str, head.columns))

    def found_in(df: pd.DataFrame, asked: Collection[str] = RULES) -> tuple[Table, Findings]:
        sent, nobody = mapping.sent(df), np.zeros(len(df), dtype=bool)
        table = Table(sent, text_table(sent), mapping, known, held, nobody, mapping.new_columns(df), campaigns)
        return table, _findings(table, asked)

    applied = []
    for rule in mapping.fixes:
        findings = found_in(df, [rule])[1]
        df = findings.fixed(df, rule)
        applied.append(findings.frame[findings.frame["fix"].notna()])
    table, findings = found_in(df)
    return Seen(table.frame, table.columns, replace(findings, applied=tuple(applied)), mapping)


def _findings(table: Table, asked: Collection[str]) -> Findings:
    """Ask rules; which rows are superseded is known once all were asked."""
    found: list[tuple[str, str, Problem]] = []
    for name, (severity, check, _) in sorted(RULES.items(), key=lambda each: each[1].compares_rows):
        if name not in asked:
            continue
        problems = [(name, problem.severity or severity, problem) for problem in check(table)]
        errors = [p.row for _, severity, p in problems if severity == "error" and p.row != MISSING]
        table.faulty[errors] = True
        found += problems
    superseded = table.duplicates.superseded & ~table.faulty if asked is RULES else table.faulty
    frame = framed(found, list(table.columns), table.frame.index, table.mapping)
    return Findings(frame, len(table.frame), table.faulty, superseded)


def _campaigns(products: pd.DataFrame) -> dict[str, str]:
    """Return the campaign of each product, by name and number, by the product's SKU."""
    columns = text_table(products, ["sku", "campaign_name", "campaign"])
    return {sku: f"{name} ({number})" for sku, name, number in zip(*(c.take() for c in columns.values()), strict=True)}


def _known_fields(fields: Any) -> dict[str, str | None] | None:
    """Return the campaign's fields with their kind, None where it is not told."""
    if fields is None:
        return None
    special: dict[str, str | None] = dict.fromkeys(contract.SPECIAL_FIELDS)
    if hasattr(fields, "columns"):
        return {str(c): None for c in fields.columns if str(c) not in contract.CODE_COLUMNS} | special
    kinds = {str(name): kind for name, kind in fields.items()} if isinstance(fields, Dict) else {}
    for name, kind in kinds.items():
        if kind not in FIELD_KINDS:
            near = did_you_mean(str(kind), FIELD_KINDS)
            raise PlanError(f"field {name!r} is of kind {kind!r}{near}; a kind is one of {', '.join(FIELD_KINDS)}")
    named = sorted(fields, key=str) if isinstance(fields, AbstractSet) else fields  # a message is the same each time
    return special | (kinds or {str(name): None for name in named})
