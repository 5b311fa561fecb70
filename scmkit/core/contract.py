"""What is known about the Scantrust SCM API, each fact with its source.

Sources: ``[seed]`` the service's text "Synchronous vs. Asynchronous Uploads"; ``[doc]`` the public developer
portal and help centre; ``[client]`` observed in a public open-source client; ``[assumed]`` not documented
anywhere we know. Everything assumed stands in `Assumptions`, so that one place changes when it proves wrong.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

PRODUCTION_URL = "https://api.scantrust.com"  # [doc]
STAGING_URL = "https://api.staging.scantrust.io"  # [doc]
AUTH_SCHEME = "UAT"  # [doc] "Authorization: UAT <token>"

ME_PATH = "/api/v2/me/"  # [doc]
SYNC_PATH = "/api/v2/scm/upload/"  # [doc]
ASYNC_PATH = "/api/v2/scm/upload/async/"  # [doc]
DOWNLOAD_PATH = "/api/v2/codes/download/"  # [doc]
DOCUMENT_PATH = "/api/v2/documents/{key}/"  # [doc]
LINK_PATH = "/api/v2/documents/{key}/get-download-link/"  # [doc]
PRODUCTS_PATH = "/api/v2/products/"  # [doc]
PAGE = 100  # products in an answer: the documentation shows 20; a service that gives fewer is asked more often

UPLOAD_PERMISSIONS = ("codes_view", "scm_bulk_edit", "scm_code_edit", "product_view")  # [doc]

UPDATES_PER_SECOND = 10.0  # [doc] scope scm_update: sync and async calls together
# Ours: a twentieth below the allowed rate, so that a call which travels up to 5 % of a second slower than the eleventh
# after it still leaves ten in any second at the server.
PACE_HEADROOM = 0.95
OTHER_CALLS_PER_MINUTE = 3000.0  # [doc] every other authenticated call
GATEWAY_TIMEOUT_S = 60.0  # [seed] "about 60 s", then a 504 and no code is updated
SAFE_CODES = 1_000  # [seed] sync is recommended below this many updated codes a call
DANGER_CODES = 20_000  # [seed] above this many codes a sync call is in the timeout danger zone

DEFAULT_KEY = "extended_id"  # [doc]
EXTENDED_ID_LENGTH = (8, 100)  # [doc]
EXTENDED_ID_CHARACTERS = "a-z A-Z 0-9 - _"  # [doc]
EXTENDED_ID = re.compile(r"[A-Za-z0-9_-]{8,100}")  # [doc]

# The columns of a code download that are not SCM fields [doc].
CODE_COLUMNS = (
    "extended_id", "serial_number", "brand", "product", "sku", "status", "blacklist_reason",
    "scm_updated_by", "scm_updated_at", "activated_by", "activated_at", "workorder_id",
)  # fmt: skip
# Fields that every campaign understands without defining them [doc: Special SCM Fields].
SPECIAL_FIELDS = ("product", "activation_status", "blacklist_reason")
# The filters of a code download for keys that are no SCM fields [doc]; those are ``scm_<field>``.
DOWNLOAD_FILTERS = {"extended_id": "extended_id", "serial_number": "serial_number", "product": "products"}
# Under which columns of a code download a special field is read back [assumed].
DOWNLOAD_COLUMNS = {"activation_status": ("status",), "product": ("product", "sku")}


class ActivationStatus(IntEnum):
    """Values of the special field ``activation_status`` [doc]."""

    INACTIVE = 0
    ACTIVE = 1
    BLACKLISTED = 2


class BlacklistReason(IntEnum):
    """Values of the special field ``blacklist_reason`` [doc]; only with status 2 [assumed]."""

    NONE = 0
    COUNTERFEITS_DETECTED = 1
    LOW_QUALITY = 2
    OVERPRINT = 3
    STOLEN = 4
    DAMAGE = 5
    LOST = 6
    MISPRINT = 7
    NOT_SOLD = 8
    WORK_ORDER_CANCELLED = 9
    MAXIMUM_SCAN_COUNT_EXCEEDED = 10


class TaskState(StrEnum):
    """The four states of an asynchronous task [client][doc]; the wire may use other words for them."""

    PENDING = "pending"
    IN_PROGRESS = "in-progress"
    COMPLETE = "complete"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        """Whether the task will not change any more."""
        return self in (TaskState.COMPLETE, TaskState.FAILED)

    @classmethod
    def read(cls, word: str) -> "TaskState | None":
        """Read a state word tolerantly; an unknown word gives None and counts as not finished."""
        return _STATE_WORDS.get(word.strip().lower().replace("_", "-").replace(" ", "-"))


# "running" and "error" are the seed's words; the rest are seen in clients of the same framework.
_STATE_WORDS = {
    "pending": TaskState.PENDING, "queued": TaskState.PENDING,
    "in-progress": TaskState.IN_PROGRESS, "running": TaskState.IN_PROGRESS, "started": TaskState.IN_PROGRESS,
    "complete": TaskState.COMPLETE, "completed": TaskState.COMPLETE, "success": TaskState.COMPLETE,
    "failed": TaskState.FAILED, "error": TaskState.FAILED, "failure": TaskState.FAILED,
}  # fmt: skip


@dataclass(frozen=True)
class Assumptions:
    """What we act on without documentation: every ``[assumed]`` fact, in one configurable place.

    Parameters
    ----------
    unique_keys : tuple of str
        Keys of which one value selects at most one code. Known for ``extended_id``; assumed for
        ``serial_number``.
    max_body_bytes : int
        A body larger than this is not sent; the service's own limit is unknown. 2 MB stays below the
        2.5 MB that the service's web framework allows by default.
    document_ready : tuple of str
        The words with which a document says that it can be fetched.
    document_failed : tuple of str
        The words with which it says that it never will be.
    task_path : str
        Where a task is asked for. The known client asks for another spelling and is redirected [client].
    link_field : str
        The field of the download-link answer that holds the link.
    missing_field_is_discarded : bool
        In a sync answer, a field of ours that is not listed for its key value was discarded.
    parallel_tasks : int
        How many asynchronous tasks the service works on at a time; used for predictions only.
    task_overhead_s : float
        Seconds that a task waits before it starts and until a poll sees its end; for predictions only.
    """

    unique_keys: tuple[str, ...] = ("extended_id", "serial_number")
    max_body_bytes: int = 2_000_000
    document_ready: tuple[str, ...] = ("complete", "completed", "ready", "success", "done")
    document_failed: tuple[str, ...] = ("failed", "error", "failure")
    task_path: str = "/api/v2/scm/tasks/{id}/"
    link_field: str = "link"
    missing_field_is_discarded: bool = True
    parallel_tasks: int = 4
    task_overhead_s: float = 3.0

    def is_unique(self, keys: Iterable[str]) -> bool:
        """Whether one value of these keys together selects at most one code."""
        return any(key in self.unique_keys for key in keys)


ASSUMPTIONS = Assumptions()


def fields_in(columns: Iterable[object]) -> frozenset[str] | None:
    """Return the SCM fields in the header of a code download; None where these are not the columns of one.

    Part of a download, or a list of keys, does not say what it leaves out.
    """
    names = frozenset(str(column) for column in columns)
    return names - set(CODE_COLUMNS) if names.issuperset(CODE_COLUMNS) else None


def filters_of(key: Mapping[str, str]) -> dict[str, str]:
    """Return the filters of a code download that select the codes of a key value, by the names of its columns."""
    return {DOWNLOAD_FILTERS.get(name, f"scm_{name}"): value for name, value in key.items()}
