"""What the panel knows at a moment: plain, frozen data, and what follows from it at once. No widgets here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from scmkit.core.display import Html
from scmkit.planning.plan import Plan
from scmkit.simulation.simulate import Risk
from scmkit.steps import choices as steps
from scmkit.steps.choices import Choices, Service, Source
from scmkit.uploading.asking import cost
from scmkit.uploading.job import UploadJob
from scmkit.uploading.progress import Progress
from scmkit.validation.findings import Findings

NO_HTML = Html("")


@dataclass(frozen=True, eq=False)
class Checked:
    """What follows from the choices.

    Attributes
    ----------
    table : DataFrame
        What is sent.
    changes : DataFrame
        The cells that the fixes changed.
    fixable : dict of str to int
        How many cells each of the ready fixes would mend.
    plan : Plan or None
        None as long as it is being made, or where findings forbid it.
    picture : Html
        Of the risk.
    """

    choices: Choices
    table: pd.DataFrame
    findings: Findings
    changes: pd.DataFrame
    fixable: Mapping[str, int]
    plan: Plan | None = None
    risk: Risk | None = None
    picture: Html = NO_HTML
    ways: pd.DataFrame | None = None

    @cached_property
    def limit(self) -> float:
        """The codes that a sync call of the plan may hold."""
        made = self.plan
        return 0.0 if made is None else made.service_time.max_codes(made.risk, made.timeout_s)

    @cached_property
    def cost(self) -> tuple[int, float]:
        """How many questions about codes are open, and about how many seconds of the service's they take."""
        if self.plan is None or self.plan.unique_key:  # a code more or less decides nothing
            return 0, 0.0
        return cost(self.plan.estimate, self.limit)


@dataclass(frozen=True, eq=False)
class Question:
    """What somebody is asked before anything is sent. A yes sends exactly this."""

    checked: Checked
    plan: Plan
    service: Service
    words: str


@dataclass(frozen=True, eq=False)
class Sent:
    """An upload, and what was uploaded to where."""

    job: UploadJob
    checked: Checked
    plan: Plan
    service: Service


@dataclass(frozen=True, eq=False)
class Result:
    """What came of an upload."""

    job: UploadJob
    to_look_at: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True, eq=False)
class State:
    """Everything that the panel shows.

    Attributes
    ----------
    offers : tuple of Source
        The tables that can be chosen.
    files : Html
        What was read back or written last.
    mapping_file : Html
        The mapping that was saved last.
    doing : dict
        What is being done, by name, in words.
    progress : Progress or None
        Of the upload, at the moment of the showing.
    """

    choices: Choices = field(default_factory=Choices)
    offers: tuple[Source, ...] = ()
    service: Service | None = None
    checked: Checked | None = None
    asked: Question | None = None
    sent: Sent | None = None
    result: Result | None = None
    files: Html = NO_HTML
    mapping_file: Html = NO_HTML
    doing: Mapping[str, str] = field(default_factory=dict)
    progress: Progress | None = None
    journal: object = None

    @property
    def fresh(self) -> Checked | None:
        """What follows from the choices, unless they have changed since."""
        checked = self.checked
        return checked if checked is not None and checked.choices.basis == self.choices.basis else None

    @property
    def seen(self) -> Checked:
        """The same, for the sections that are open only where it is known."""
        assert self.fresh is not None  # noqa: S101 - said above
        return self.fresh

    @property
    def is_fine(self) -> bool:
        """Whether the table has been looked at, and can be sent."""
        return self.fresh is not None and steps.is_fine(self.choices, self.fresh.findings)

    @property
    def plan(self) -> Plan | None:
        """The calls that an upload would make."""
        return self.fresh.plan if self.fresh is not None and self.fresh.choices == self.choices else None

    @property
    def running(self) -> bool:
        """Whether an upload is under way."""
        return self.sent is not None and not self.sent.job.done()

    @property
    def on_sandbox(self) -> bool:
        """Whether uploads go to the panel's own sandbox."""
        return self.service is not None and self.service.sandbox

    @property
    def why_not(self) -> str:
        """Why nothing can be uploaded now; empty when it can."""
        if why := steps.trouble(self.choices):
            return why
        if self.service is None:
            return "choose a service in section 2 first"
        if self.fresh is not None and not self.is_fine:
            return "there are errors: fix them, or choose to leave these rows out (section 4)"
        if self.plan is None:
            return "the plan is not ready yet"
        if not len(self.plan):
            return "no row is left to send"
        return "an upload is running" if self.running or "submit" in self.doing else ""

    @property
    def python(self) -> str:
        """The lines of Python that do the same."""
        return steps.python(self.choices, self.service, self.journal)
