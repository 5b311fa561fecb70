"""The public names, and what registers itself: all that `scmkit` loads when one of them is first used."""

from scmkit import capacity
from scmkit.core.contract import Assumptions
from scmkit.core.errors import ScmkitError
from scmkit.estimation.estimate import Estimate
from scmkit.estimation.service_time import ServiceTime
from scmkit.journal.listings import history, jobs
from scmkit.panels import panel
from scmkit.planning.plan import Plan
from scmkit.plots import drawings as _plots  # noqa: F401 - draws results
from scmkit.sandbox import Sandbox
from scmkit.simulation.simulate import Risk, simulate
from scmkit.tables.inventory import count_codes
from scmkit.tables.reading import read_table
from scmkit.uploading.asking import estimate
from scmkit.uploading.job import UploadJob
from scmkit.uploading.plans import plan
from scmkit.uploading.resume import resume
from scmkit.uploading.upload import upload
from scmkit.validation.findings import Findings
from scmkit.validation.mapping import Mapping
from scmkit.validation.validate import validate
from scmkit.widgets import live as _live  # noqa: F401 - shows jobs that run
from scmkit.wire.client import Client, use
from scmkit.wire.limits import Limits

__all__ = [
    "Assumptions",
    "Client",
    "Estimate",
    "Findings",
    "Limits",
    "Mapping",
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
    "panel",
    "plan",
    "read_table",
    "resume",
    "simulate",
    "upload",
    "use",
    "validate",
]
