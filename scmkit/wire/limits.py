"""How fast and how long a client may."""

from __future__ import annotations

from dataclasses import dataclass

from scmkit.core import contract
from scmkit.core.arguments import POSITIVE, public, whole
from scmkit.core.errors import SettingError


@public(
    error=SettingError,
    updates_per_second=POSITIVE,
    connect_s=POSITIVE,
    read_s=POSITIVE,
    deadline_s=POSITIVE,
    answer_bytes=whole(1),
    file_bytes=whole(1),
    speed=POSITIVE,
)
@dataclass(frozen=True)
class Limits:
    """How fast and how long a client may.

    Parameters
    ----------
    updates_per_second : float, default 10
        SCM updates per second that the service allows [doc].
    connect_s, read_s, deadline_s : float
        Seconds to connect, between two pieces of an answer, and for the whole exchange. 75 s to read lets the
        60 s gateway answer first.
    answer_bytes : int, default 64 MiB
        A JSON answer larger than this is not read.
    file_bytes : int, default 8 GiB
        A code download larger than this is not read.
    speed : float, default 1
        How much faster than ours the service's clock runs; other than 1 only for a sandbox.
    """

    updates_per_second: float = contract.UPDATES_PER_SECOND
    connect_s: float = 5.0
    read_s: float = 75.0
    deadline_s: float = 90.0
    answer_bytes: int = 64 << 20
    file_bytes: int = 8 << 30
    speed: float = 1.0
