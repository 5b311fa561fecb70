"""Supply-chain data onto Scantrust codes from a DataFrame: estimate, simulate, plan, upload, prove."""

from typing import TYPE_CHECKING, Any

from scmkit import accessor as _accessor  # noqa: F401 - registers df.scm
from scmkit import capacity
from scmkit.client import Client, Limits, use
from scmkit.contract import Assumptions
from scmkit.errors import ScmkitError
from scmkit.estimation import Estimate, count_codes, estimate
from scmkit.latency import ServiceTime
from scmkit.planning import Plan
from scmkit.records import history, jobs
from scmkit.resuming import resume
from scmkit.sandbox import Sandbox
from scmkit.simulation import Risk, simulate
from scmkit.tables import read_table
from scmkit.uploading import UploadJob, plan, upload
from scmkit.validation import Findings, validate
from scmkit.widgets import panel

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
    if name in ("CapacityExplorer", "TaskBoard"):
        from scmkit import widgets

        return getattr(widgets, name)
    raise AttributeError(f"module 'scmkit' has no attribute {name!r}")
