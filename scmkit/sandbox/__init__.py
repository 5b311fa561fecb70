"""`Sandbox`: a service on loopback that behaves as the Scantrust SCM API does, for trying out and for tests."""

from __future__ import annotations

import datetime as dt
import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from scmkit.core.arguments import FLAG, FROM_ZERO, NAMES, POSITIVE, Kind, whole
from scmkit.core.errors import ConfigurationError, MissingDependencyError, SettingError
from scmkit.core.paths import expanded
from scmkit.estimation.service_time import ServiceTime
from scmkit.sandbox.world import CODE_COLUMNS, World
from scmkit.tables.arguments import public

if TYPE_CHECKING:
    from scmkit.sandbox.server import ServerThread
    from scmkit.wire.client import Client

__all__ = ["Sandbox"]


@public(
    error=SettingError,
    fields=NAMES.optional(),
    rate=POSITIVE,
    speed=POSITIVE,
    gateway_timeout=POSITIVE,
    latency_s=FROM_ZERO,
    port=whole(0, 65_535),
    task_workers=whole(1, 1_024),
    max_body_bytes=whole(1),
    seed=whole(0),
    task_slash=FLAG,
    task_limit=whole(0).optional(),
    faults=Kind("a dict of faults and probabilities", lambda v: isinstance(v, Mapping)).optional(),
)
class Sandbox:
    """A real HTTP server on 127.0.0.1 that behaves as the Scantrust SCM API is known to behave.

    Parameters
    ----------
    codes : int, DataFrame or path, default 10_000
        How many codes to make up; or an inventory in the shape of a code download, of which only ``extended_id``
        is required; or the path of a CSV of that shape. Every cell becomes text; a blank one is not set.
    fields : iterable of str, optional
        The SCM fields that the campaign defines. Default: every column of the inventory that is not one of the 12
        that every code has. A column that is not named is dropped; a field without a column starts out empty.
    gateway_timeout : float, default 60.0
        Seconds after which the gateway answers 504 to a sync upload; nothing is updated then.
    service_time : ServiceTime, optional
        How long an upload takes. Default: ``ServiceTime.fixed()``.
    rate : float, default 10
        SCM updates per second that a token may make.
    speed : float, default 1.0
        How much faster than ours the sandbox's clock runs. At 60, a call of 30 s takes half a second, and 600
        updates are admitted in any second. Each answer says how long it took on that clock (Server-Timing), so that
        nobody takes a busy machine for a slow service.
    faults : dict of str to float, optional
        What goes wrong, for a rehearsal, and with which probability: ``{"503": 0.02, "reset": 0.01}``.

        Per SCM update, at most one of: ``"429"``, ``"500"``, ``"502"``, ``"503"``, ``"504"`` (also as numbers; the
        call updates nothing), ``"lost"`` (the connection is dropped, and nothing was updated), ``"reset"`` (it is
        dropped, and everything was), ``"garbled"`` (everything was, and the answer cannot be read).

        Per task, at most one of: ``"task_failed"`` (it ends as failed and changes nothing), ``"task_slow"`` (it takes
        ten times as long).
    port : int, default 0
        The port; 0 takes a free one, which a later `start` takes again.
    seed : int, default 0
        Of the service times and the faults.
    latency_s : float, default 0.02
        Seconds that every answer is on its way.
    task_workers : int, default 4
        How many tasks are worked on at a time.
    max_body_bytes : int, default 2_500_000
        A body larger than this is a 413.
    task_slash : bool, default True
        Whether the path of a task ends in a slash, which is not documented: the other spelling is redirected.
    task_limit : int, optional
        The most codes that a task may change: a larger one ends as failed, and changes nothing. Default: no limit.

    Raises
    ------
    ConfigurationError
        An argument or the inventory cannot be used.
    MissingDependencyError
        Starlette or uvicorn is not installed.

    Notes
    -----
    ``with Sandbox() as sandbox`` starts it and stops it. It takes its own tokens only. `codes` and `requests` can
    be asked before, while and after it runs.
    """

    def __init__(
        self,
        codes: int | str | os.PathLike[str] | pd.DataFrame = 10_000,
        fields: Iterable[str] | None = None,
        gateway_timeout: float = 60.0,
        service_time: ServiceTime | None = None,
        rate: float = 10,
        speed: float = 1.0,
        faults: Mapping[int | str, float] | None = None,
        port: int = 0,
        *,
        seed: int = 0,
        latency_s: float = 0.02,
        task_workers: int = 4,
        max_body_bytes: int = 2_500_000,
        task_slash: bool = True,
        task_limit: int | None = None,
    ) -> None:
        _need_server()
        from scmkit.sandbox.server import Service, Settings

        settings = Settings(
            gateway_timeout, service_time or ServiceTime.fixed(), rate, speed, dict(faults or {}), seed, latency_s,
            task_workers, max_body_bytes, task_slash, math.inf if task_limit is None else task_limit,
        )  # fmt: skip
        self.rate, self.speed, self._port = rate, speed, port
        self._world = _world(_inventory(codes), fields)
        self._service = Service(self._world, settings)
        self._thread: ServerThread | None = None
        self.token = self.make_token()

    @property
    def url(self) -> str:
        """The base URL, ``http://127.0.0.1:port``."""
        if not self._port:
            raise ConfigurationError("the sandbox has no URL yet: use `with Sandbox() as sandbox`, or sandbox.start()")
        return f"http://127.0.0.1:{self._port}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The SCM fields that the campaign defines."""
        return self._world.fields

    def start(self) -> Sandbox:
        """Serve, and give the sandbox itself; it accepts connections when this returns."""
        from scmkit.sandbox.server import ServerThread

        if self._thread is None:
            self._thread = ServerThread(self._service, self._port)
            self._port = self._thread.port
        return self

    def stop(self) -> None:
        """Stop serving at once: open calls lose their connection, and what they had not applied is not applied."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def make_token(self, permissions: Iterable[str] | None = None, expires: dt.datetime | None = None) -> str:
        """Make up another token.

        Parameters
        ----------
        permissions : iterable of str, optional
            Out of ``codes_view``, ``scm_bulk_edit``, ``scm_code_edit``, ``product_view``. Default: all.
        expires : datetime, optional
            When it ends; in the past for an expired one. Default: never.
        """
        return self._service.make_token(permissions, math.inf if expires is None else expires.timestamp())

    def client(self, **options: Any) -> Client:
        """Return a client of this sandbox, at its pace; ``options`` are those of `scmkit.Client`."""
        from scmkit.wire.client import Client
        from scmkit.wire.limits import Limits

        options.setdefault("limits", Limits(updates_per_second=self.rate * self.speed, speed=self.speed))
        options.setdefault("token", self.token)
        return Client(self.url, **options)

    def codes(self) -> pd.DataFrame:
        """Return all codes as they are now: the columns of a code download, all text, missing where nothing is set."""
        return pd.DataFrame(self._world.rows(), columns=list(self._world.columns), dtype=object)

    def requests(self) -> pd.DataFrame:
        """Return a line per request received.

        Returns
        -------
        DataFrame
            ``at`` (seconds of arrival since the first start), ``method``, ``path``, ``status`` (missing while the
            call is open, and when its connection was dropped), ``codes_affected`` (of a sync upload that succeeded),
            ``seconds`` until the answer.
        """
        names = ["at", "method", "path", "status", "codes_affected", "seconds"]
        lines = [tuple(getattr(line, name) for name in names) for line in self._service.log.copy()]
        types = {"at": "float64", "status": "Int64", "codes_affected": "Int64", "seconds": "float64"}
        return pd.DataFrame(lines, columns=names, dtype=object).astype(types)

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = f"at {self.url}" if self._thread is not None else "not running"
        return f"<Sandbox {state}: {len(self._world):,} codes, {len(self.fields)} SCM fields, speed {self.speed:g}>"


def _need_server() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingDependencyError.of("starlette and uvicorn", "sandbox", "The sandbox") from None


def _inventory(codes: int | str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    if isinstance(codes, pd.DataFrame):
        return codes
    if isinstance(codes, str | os.PathLike):
        return pd.read_csv(expanded(codes), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if isinstance(codes, bool) or not isinstance(codes, int) or codes < 0:
        raise ConfigurationError(
            f"codes is a DataFrame, the path of a CSV, or how many codes to make up, not {codes!r}"
        )
    from scmkit.sandbox import samples

    return samples.inventory(codes)


def _world(frame: pd.DataFrame, fields: Iterable[str] | None) -> World:
    """Turn an inventory into text, and return the codes that it stands for."""
    frame = frame.rename(columns={"activation_status": "status"})
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names) or "extended_id" not in names:
        raise ConfigurationError("the inventory needs a column extended_id, and each column only once")
    defined = [name for name in names if name not in CODE_COLUMNS] if fields is None else list(fields)
    columns = [name for name in names if name in CODE_COLUMNS or name in defined]
    cells = [_texts(frame.iloc[:, names.index(name)]) for name in columns]
    return World(defined, columns, zip(*cells, strict=True))


def _texts(column: pd.Series) -> list[str | None]:
    return [value if isinstance(value, str) and value else _text(value) for value in column.tolist()]


def _text(value: Any) -> str | None:
    """Return a cell as the text that a code holds; a blank one holds nothing."""
    if pd.isna(value) or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime) and value.time() == dt.time.min:
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)
