"""Supply-chain data onto Scantrust codes from a DataFrame: estimate, simulate, plan, upload, prove."""

from typing import TYPE_CHECKING, Any

from scmkit import accessor as _accessor  # noqa: F401 - registers df.scm
from scmkit import capacity
from scmkit.core.contract import Assumptions
from scmkit.core.errors import ScmkitError
from scmkit.estimation.estimate import Estimate, estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.stored import history, jobs
from scmkit.panels import panel
from scmkit.planning.plan import Plan
from scmkit.plots import results as _plots  # noqa: F401 - draws results
from scmkit.sandbox import Sandbox
from scmkit.simulation.simulate import Risk, simulate
from scmkit.tables.inventory import count_codes
from scmkit.tables.reading import read_table
from scmkit.uploading.job import UploadJob, upload
from scmkit.uploading.plans import plan
from scmkit.uploading.resume import resume
from scmkit.validation.findings import Findings
from scmkit.validation.validate import validate
from scmkit.widgets import live as _live  # noqa: F401 - shows jobs that run
from scmkit.wire.client import Client, use
from scmkit.wire.limits import Limits

if TYPE_CHECKING:
    from scmkit.widgets.board import TaskBoard
    from scmkit.widgets.explorer import CapacityExplorer

__version__ = "0.1.0"

__all__ = [
    "Assumptions",
    "CapacityExplorer",
    "Client",
    "Estimate",
    "Findings",
    "Limits",
    "Plan",
    "Risk",
    "Sandbox",
    "ScmkitError",
    "ServiceTime",
    "TaskBoard",
    "UploadJob",
    "capacity",
    "count_codes",
    "estimate",
    "history",
    "jobs",
    "panel",
    "plan",
    "read_table",
    "resume",
    "simulate",
    "upload",
    "use",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Load the widgets when they are used: they take ipywidgets along."""
    if name == "CapacityExplorer":
        from scmkit.widgets.explorer import CapacityExplorer

        return CapacityExplorer
    if name == "TaskBoard":
        from scmkit.widgets.board import TaskBoard

        return TaskBoard
    raise AttributeError(f"module 'scmkit' has no attribute {name!r}")
