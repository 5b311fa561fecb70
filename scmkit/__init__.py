"""Supply-chain data onto Scantrust codes from a DataFrame: estimate, simulate, plan, upload, prove."""

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

__version__ = "0.1.0"

__all__ = [
    "Assumptions",
    "Client",
    "Estimate",
    "Findings",
    "Limits",
    "Plan",
    "Risk",
    "Sandbox",
    "ScmkitError",
    "ServiceTime",
    "UploadJob",
    "capacity",
    "count_codes",
    "estimate",
    "history",
    "jobs",
    "plan",
    "read_table",
    "resume",
    "simulate",
    "upload",
    "use",
    "validate",
]
