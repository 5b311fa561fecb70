"""The table that a command is about: read, renamed, mended and planned as its options say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click
import pandas as pd

from scmkit.cli.output import Output
from scmkit.core import contract
from scmkit.core.display import plural
from scmkit.core.errors import MissingColumnError, ValidationError
from scmkit.planning.plan import Plan
from scmkit.tables import writing
from scmkit.tables.inventory import columns_in
from scmkit.tables.reading import read_table
from scmkit.uploading import plans
from scmkit.validation.findings import DUPLICATE_RULES, Findings
from scmkit.validation.mapping import Mapping
from scmkit.validation.validate import validate

ALL = "all"  # rules


@dataclass(frozen=True)
class Source:
    """A table, and what the options say about it; `scmkit.cli.commands.TABLE` has their words."""

    table: Path
    keys: tuple[str, ...]
    inventory: Path | None
    mapping: Path | None
    on_conflict: str
    renamed: tuple[str, ...]
    pad_to: tuple[str, ...]
    sheet: str | None
    header: int | None
    encoding: str | None
    delimiter: str | None
    fixes: tuple[str, ...]
    findings: Path | None

    @classmethod
    def of(cls, options: dict[str, Any]) -> Source:
        """Take its options out of all those of a command."""
        source = cls(**{field.name: options.pop(field.name) for field in fields(cls)})
        if source.findings is not None:
            writing.check(source.findings)
        return source

    @property
    def _new_names(self) -> dict[str, str]:
        return dict(_pair("--map", told, "COLUMN=FIELD, such as 'Lot no.=lot_number'") for told in self.renamed)

    def read(self, out: Output) -> pd.DataFrame:
        """Read the table, and do to it what was asked for."""
        names = self._new_names
        widths = dict(_pair("--pad-to", told, "COLUMN=WIDTH, such as lot_number=6", int) for told in self.pad_to)
        in_file = {new: old for old, new in names.items()}
        df = read_table(
            self.table, sheet=self.sheet, header=self.header, encoding=self.encoding, delimiter=self.delimiter,
            pad_to={in_file.get(name, name): width for name, width in widths.items()},
        )  # fmt: skip
        for old, new in names.items():
            if old not in df.columns:
                raise MissingColumnError.of(old, df.columns, "--map: column")
            if new in df.columns and new not in names:
                raise click.BadParameter(f"the table has a column {new!r} already", param_hint="--map")
        return self._fixed(df.rename(columns=names), out) if self.fixes else df.rename(columns=names)

    def known(self) -> dict[str, Any]:
        """Return the options of Python; the campaign's fields are known if the inventory is a code download."""
        keys = [self._new_names.get(key, key) for key in self.keys]
        return {
            "key": keys[0] if len(keys) == 1 else keys,
            "inventory": self.inventory,
            "fields": None if self.inventory is None else contract.fields_in(columns_in(self.inventory)),
            "on_conflict": self.on_conflict,
            "mapping": self.mapping,
        }

    def validated(self, df: pd.DataFrame) -> Findings:
        """Return what is wrong with the table, and write it where that was asked for."""
        found = validate(df, **self.known())
        self._note(found)
        return found

    def planned(self, df: pd.DataFrame, **options: Any) -> Plan:
        """Return the calls, and write what validation found where that was asked for."""
        with self._noted():
            made = plans.plan(df, file=self.table.name, **self.known(), **options)
        self._note(made.findings)
        return made

    def _fixed(self, df: pd.DataFrame, out: Output) -> pd.DataFrame:
        known = self.known()
        if self.mapping is not None:  # whose own fixes come after these
            known["mapping"] = replace(Mapping.load(self.mapping), fixes=())
        found = validate(df, **known)
        rules = None if ALL in self.fixes else list(self.fixes)
        fixed = found.fixed(df, rules)
        chosen = found.frame["rule"].isin(self.fixes) | (rules is None)
        cells = found.frame[chosen & found.frame["fix"].notna()].drop_duplicates(["row", "column"])
        cells = cells[~cells["rule"].isin(DUPLICATE_RULES)]
        out.facts["fixed"] = {"cells": len(cells), "rows_dropped": len(df) - len(fixed)}
        dropped = f", {plural(len(df) - len(fixed), 'row')} dropped" if len(fixed) < len(df) else ""
        out.say(f"fixed: {plural(len(cells), 'cell')}{dropped}; the file itself stays as it is")
        return fixed

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except ValidationError as error:
            self._note(error.findings)
            raise

    def _note(self, found: Findings | None) -> None:
        if self.findings is not None and found is not None:
            writing.write_cells(found.for_people(), self.findings)


def _pair(option: str, told: str, form: str, kind: type = str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``; a name may hold a sign of equality."""
    name, _, value = told.rpartition("=")
    name, value = name.strip(), value.strip()
    if not (name and value) or (kind is int and not (value.isascii() and value.isdigit())):
        raise click.BadParameter(f"{told!r} is not {form}", param_hint=option)
    return name, kind(value)
