"""Supply-chain data onto Scantrust codes from a DataFrame: estimate, simulate, plan, upload, prove."""

from typing import TYPE_CHECKING, Any

from scmkit import accessor as _accessor  # noqa: F401 - registers df.scm
from scmkit import capacity
from scmkit.core.contract import Assumptions
from scmkit.core.errors import ScmkitError
from scmkit.estimation.estimation import Estimate, estimate
from scmkit.estimation.latency import ServiceTime
from scmkit.journal.records import history, jobs
from scmkit.panels import panel
from scmkit.planning.planning import Plan
from scmkit.plots import plots as _plots  # noqa: F401 - draws results
from scmkit.sandbox import Sandbox
from scmkit.simulation.simulation import Risk, simulate
from scmkit.tables.inventory import count_codes
from scmkit.tables.tables import read_table
from scmkit.uploading.resuming import resume
from scmkit.uploading.uploading import UploadJob, plan, upload
from scmkit.validation.validation import Findings, validate
from scmkit.widgets import live as _live  # noqa: F401 - shows jobs that run
from scmkit.wire.client import Client, Limits, use

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
