"""`Panel`: an upload step by step on one surface.

What stands on it is in `State`, which is frozen. The controls, each with what it chooses, are in `sections`; what they
choose is found out by `Work` on threads of its own, and each change of the state is shown.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from dataclasses import replace
from typing import Any

import ipywidgets
import pandas as pd

from scmkit.core import display
from scmkit.core.arguments import JOURNAL
from scmkit.core.display import Html, escape
from scmkit.core.errors import PlanError
from scmkit.core.paths import expanded
from scmkit.journal.listings import WhereIfAny
from scmkit.panels import sections, words
from scmkit.panels.parts import Control
from scmkit.panels.work import Work
from scmkit.planning.plan import Plan
from scmkit.steps.choices import Choices, Source
from scmkit.tables.arguments import TABLE, public
from scmkit.uploading.job import UploadJob
from scmkit.validation.findings import Findings
from scmkit.validation.mapping import MAPPING, Mapping
from scmkit.widgets.surface import Surface, caused_by, guarded
from scmkit.widgets.worker import SPACING_S
from scmkit.wire.client import Client


@public(depths=False, df=TABLE.optional(), journal=JOURNAL, mapping=MAPPING)
class Panel(Surface):
    """Upload step by step: table, service and codes, key and fields, findings, plan, upload.

    Parameters
    ----------
    df : DataFrame, optional
        The table; by default one that is chosen on the surface.
    client : Client, optional
        Default: the one given to `scmkit.use`, else one from the environment, else one that is given on the surface.
    journal : path or False, optional
        See `scmkit.upload`.
    inventory : DataFrame or path, optional
        All codes, one a line.
    max_mb : float, default 50
        Larger files are not read.
    mapping : Mapping or path, optional
        What was chosen before, for a table like this one.

    Attributes
    ----------
    controls : dict of str to widget
        What can be used, by name, such as ``panel.controls["key"]`` or ``panel.controls["sandbox"]``.
    shown : dict of str to ipywidgets.HTML
        What is said, by name: each section's heading under its title, and what stands below it.
    """

    def __init__(
        self,
        df: pd.DataFrame | None = None,
        client: Client | None = None,
        journal: WhereIfAny = None,
        inventory: pd.DataFrame | str | os.PathLike[str] | None = None,
        max_mb: float = 50,
        mapping: Mapping | None = None,
    ) -> None:
        super().__init__("panel")
        self._panel_work = Work(self._work, self.fail, self.refresh, client, journal, max_mb)
        self._lock, self._showing = threading.RLock(), False
        self._result: Any = None
        self._build()
        if mapping is not None and len(mapping.keys) > 1:
            raise PlanError(
                f"a panel takes one key, and this mapping has {' and '.join(mapping.keys)}: see scmkit.plan"
            )
        self._panel_work.change(choices=Choices(base=mapping))
        self._begin(df, inventory)

    # What Python can ask and do

    @property
    def choices(self) -> Choices:
        """What has been chosen."""
        return self._panel_work.state.choices

    @property
    def findings(self) -> Findings | None:
        """What was found in the table as it is chosen now; None while it is being looked at."""
        fresh = self._panel_work.state.fresh
        return None if fresh is None else fresh.findings

    @property
    def plan(self) -> Plan | None:
        """The calls that an upload would make; None while there is no plan."""
        return self._panel_work.state.plan

    @property
    def job(self) -> UploadJob | None:
        """The last upload."""
        sent = self._panel_work.state.sent
        return None if sent is None else sent.job

    @property
    def sandbox(self) -> Any:
        """The panel's own `Sandbox`, while there is one."""
        return self._panel_work.sandbox

    @property
    def code(self) -> str:
        """The lines of Python that do the same."""
        return self._panel_work.state.python

    def choose(self, **chosen: Any) -> None:
        """Choose by Python what the controls choose: any of the attributes of `Choices`."""
        self._panel_work.choose(lambda before: replace(before, **chosen))

    def submit(self) -> UploadJob:
        """Upload what is planned now, without the question.

        Raises
        ------
        PlanError
            If something is missing; the message says what.
        """
        return self._panel_work.submit()

    def wait(self, timeout: float = 60.0) -> Panel:
        """Wait until the panel has nothing to do, and its upload has ended.

        Raises
        ------
        TimeoutError
            It goes on all the same.
        """
        end = time.monotonic() + timeout
        while not (self._panel_work.at_rest() and self._view.idle()):
            if time.monotonic() > end:
                doing = "; ".join(self._panel_work.state.doing.values())
                raise TimeoutError(f"the panel is still at work after {timeout:g} s: {doing}")
            time.sleep(0.01)
        return self

    def close(self) -> None:
        """Stop all work, the panel's own sandbox and an upload to it included, and take the widgets away.

        A running upload to a service goes on.
        """
        super().close()
        self._panel_work.close()

    # Beginnings

    def _build(self) -> None:
        self._sections, code, busy = sections.sections(), sections.code(), sections.busy()
        groups = [*self._sections, code]
        self._showing_all: list[Any] = [*groups, busy]
        parts = {name: part for group in groups for name, part in group.parts.items()}
        used = {name: part for name, part in parts.items() if isinstance(part, Control)}
        self.controls = {name: part.widget for name, part in used.items()}
        said = {name: part.widget for name, part in parts.items() if name not in used}
        self.shown = {section.title: section.heading for section in self._sections} | said
        title = '<div style="font-size:1.3em;font-weight:600">Upload to Scantrust, step by step</div>'
        self._lay_out(ipywidgets.HTML(title), *(s.box for s in self._sections), busy.widget, code.box)
        for part in used.values():
            part.listen(functools.partial(self._hear, part))

    def _begin(self, df: pd.DataFrame | None, inventory: pd.DataFrame | str | os.PathLike[str] | None) -> None:
        """Start with what the caller gave; the first view comes before any work."""
        work = self._panel_work
        work.find_offers()
        table = None if df is None else work.known(df, "df")
        codes = work.known(inventory, "inventory") if isinstance(inventory, pd.DataFrame) else None
        if inventory is not None and codes is None:
            path = expanded(inventory)
            codes = work.offer(Source(path.name, f"scmkit.read_table({str(path)!r})", path=path))
        self.show()
        work.do("service", "looking for an account", work.look_again)
        for source, role in ((codes, "codes"), (table, "table")):
            if source is not None:
                work.open(source, role)

    @guarded
    def _hear(self, control: Control, event: Any) -> None:
        """Do what a control stands for, unless it was the panel itself that has changed it."""
        with self._lock:  # another thread waits here until the showing has ended
            if self._showing:
                return
        self.succeed()
        control.used(self._panel_work, *((event.new,) if hasattr(event, "new") else ()))

    # Showing

    def refresh(self) -> None:
        """Show the present state soon; may be called from any thread."""
        self._view.do("show", self.show, spacing_s=SPACING_S)

    def show(self) -> None:
        """Set all widgets to the present state; what does not differ is not sent."""
        with self._lock:
            self._showing = True
            try:
                self._show()
            finally:
                self._showing = False

    def _show(self) -> None:
        state = self._panel_work.state
        if state.sent is not None:
            state = replace(state, progress=state.sent.job.progress())
        for each in self._showing_all:
            each.show(state)
        self._follow()

    def _follow(self) -> None:
        """Look again soon while an upload runs, and at its result when it has ended."""
        work, state = self._panel_work, self._panel_work.state
        if state.running:
            self.refresh()
        elif state.sent is not None and state.result is None:
            with caused_by(self.controls["upload"]):
                work.do("conclude", "looking at the result", work.conclude)
        elif state.result is not self._result:
            self._result = state.result
            self._view.do("keep", self.keep, after_s=SPACING_S)

    # Without widgets

    def __repr__(self) -> str:
        return "\n".join(
            ["<Panel: upload step by step>", *(f"{name}: {stands}" for name, stands in self._story().items())]
        )

    def static(self) -> Html:
        """Show what was chosen and what became of it; this is what a saved notebook keeps."""
        ended = self._panel_work.state.result
        bodies = [words.result(ended)] if ended else []
        code = Html(f"<details><summary>The same in Python</summary><pre>{escape(self.code)}</pre></details>")
        return display.card("Upload step by step", self._story(), *bodies, code)

    def without_kernel(self) -> Html:
        """Say where to look: at this moment nothing has been chosen yet."""
        return Html("<div>Upload step by step: run this cell for the panel. What became of it stands below.</div>")

    def _story(self) -> dict[str, object]:
        """Say in a line for each section how it stands."""
        return {section.title: section.stands(self._panel_work.state).words for section in self._sections}
