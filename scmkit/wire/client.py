"""`Client`: one method an endpoint, one exchange a method. No retries here: what to do next is decided above."""

from __future__ import annotations

import hashlib
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from scmkit.core import contract, results
from scmkit.core.arguments import CLIENT, FLAG, FROM_ZERO, PATH, TEXT, Kind, public, whole
from scmkit.core.errors import ConfigurationError, SettingError, UnavailableError
from scmkit.core.secret import Token
from scmkit.core.values import AsyncAnswer, Product, Products, SyncAnswer, Task
from scmkit.wire import answers, downloads
from scmkit.wire.credentials import as_token, certificates, checked_url, default_url, find_token, token_without_asking
from scmkit.wire.limits import Limits
from scmkit.wire.order import JobOrder
from scmkit.wire.pacing import HEADROOM
from scmkit.wire.turns import Turnstile, place_of, state_folder


def _is_json(value: Any) -> bool:
    return bool(answers.encode(value))  # what cannot be written raises, and is not of any kind


_TASK_ID = Kind("the id of a task", lambda v: isinstance(v, str | int) and not isinstance(v, bool))
_VALUES = Kind("a dict that JSON can hold", lambda v: isinstance(v, Mapping) and _is_json(v))
_CONSTRAINTS = Kind(f"{_VALUES.words}, or the body as bytes", lambda v: isinstance(v, bytes) or _VALUES.accepts(v))
_ITEMS = Kind(
    "a list of dicts that JSON can hold, or the body as bytes",
    lambda v: isinstance(v, bytes) or (isinstance(v, Sequence) and all(map(_VALUES.accepts, v))),
)


@public(error=SettingError)
class Client:
    """A connection to the Scantrust API, or to anything that speaks its contract.

    Parameters
    ----------
    base_url : str, optional
        ``https://…``; plain ``http`` only on loopback. Default: ``SCANTRUST_BASE_URL``, else production.
    token : str or Token, optional
        Default: ``SCANTRUST_UAT_TOKEN``, then the keyring (service "scmkit", the base URL as user name), then a
        hidden prompt where one is possible.
    limits : Limits, optional
        Rates and timeouts.
    ca_file : path, optional
        Certificates to trust instead of the built-in ones. Default: the file that ``REQUESTS_CA_BUNDLE`` or
        ``SSL_CERT_FILE`` names, as behind a company's proxy. Verification cannot be switched off.
    assumptions : Assumptions, optional
        What is not documented, see `scmkit.core.contract`.

    Raises
    ------
    ConfigurationError
        No token is to be had, or the URL cannot be used.
    """

    def __init__(
        self,
        base_url: str | None = None,
        token: str | Token | None = None,
        *,
        limits: Limits | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        assumptions: contract.Assumptions = contract.ASSUMPTIONS,
    ) -> None:
        from scmkit.wire.transport import Transport  # which loads requests

        token = as_token(token) if isinstance(token, str) else token  # from here on no traceback shows it
        self.base_url = checked_url(base_url or default_url())
        self.limits = limits or Limits()
        self.assumptions = assumptions
        self.order = JobOrder()  # of this client's jobs
        self.known_fields: dict[tuple[str, ...], list[str] | None] = {}  # by the key of a table, as the service said
        trusted = certificates(ca_file) if self.base_url.startswith("https:") else None
        self._token = find_token(token, self.base_url)
        self.transport = Transport(self.base_url, self._token, self.limits, trusted)
        self.turns = Turnstile(self._pace_file(), 1 / (self.limits.updates_per_second * HEADROOM))
        _clients.add(self)

    @property
    def reached(self) -> bool:
        """Whether the service has answered anything."""
        return self.transport.reached

    def me(self) -> dict[str, Any]:
        """Ask who the token belongs to; an error says that the token does not work."""
        return self._object(contract.ME_PATH)

    @public(items=_ITEMS, data_key=TEXT, in_turn=FLAG, depths=False)
    def upload_sync(
        self,
        items: Sequence[Mapping[str, Any]] | bytes,
        data_key: str = contract.DEFAULT_KEY,
        *,
        in_turn: bool = False,
    ) -> SyncAnswer:
        """Make one sync call, when it is its turn.

        Parameters
        ----------
        items : list of mapping, or bytes
            Each with the key and the fields to set; or the whole body as JSON.
        data_key : str, default "extended_id"
            What selects the codes.
        in_turn : bool, default False
            The caller has waited for its turn already (``turns.wait()``).

        Returns
        -------
        SyncAnswer

        Raises
        ------
        GatewayTimeoutError
            After about 60 s; nothing was updated.
        ServiceError, NotSentError, AnswerLostError
        """
        body = items if isinstance(items, bytes) else answers.encode({"data_key": data_key, "items": list(items)})
        if not in_turn:
            self.turns.wait()
        answer, server_s = self._ask("POST", contract.SYNC_PATH, body)
        return answers.sync_answer(answer, server_s)

    @public(constraints=_CONSTRAINTS, scm_data=_VALUES.optional(), in_turn=FLAG, depths=False)
    def upload_async(
        self,
        constraints: Mapping[str, Any] | bytes,
        scm_data: Mapping[str, Any] | None = None,
        *,
        in_turn: bool = False,
    ) -> AsyncAnswer:
        """Make one async call, when it is its turn: every code that all constraints select gets the same values.

        Parameters
        ----------
        constraints : mapping of str to a value or a list of values, or bytes
            What selects the codes; or the whole body as JSON.
        scm_data : mapping of str to str
            The fields to set.
        in_turn : bool, default False
            The caller has waited for its turn already (``turns.wait()``).

        Returns
        -------
        AsyncAnswer
            With the ``task_id`` to follow up.
        """
        body = constraints
        if not isinstance(body, bytes):
            body = answers.encode({"constraints": constraints, "scm_data": scm_data or {}})
        if not in_turn:
            self.turns.wait()
        return answers.async_answer(self._ask("POST", contract.ASYNC_PATH, body)[0])

    @public(task_id=_TASK_ID, depths=False)
    def task(self, task_id: str) -> Task:
        """Ask for the state of a task."""
        path = self.assumptions.task_path.format(id=answers.segment(task_id))
        return answers.task(self._object(path), str(task_id))

    @public(to=PATH.optional(), wait_s=FROM_ZERO, sleep=Kind("a function", callable), depths=False)
    def download_codes(
        self,
        to: str | os.PathLike[str] | None = None,
        *,
        wait_s: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        **filters: Any,
    ) -> Path:
        """Download codes with all their fields as a CSV file, ready for `count_codes` and `read_table`.

        Parameters
        ----------
        to : path, optional
            Where to write it; a private temporary file when not given.
        wait_s : float, default 600
            Seconds to wait until the service has made the document.
        **filters
            ``campaign``, ``workorder``, ``products``, ``brands``, ``updated_at="from,to"``, ``status``,
            ``serial_number``, ``extended_id``, any ``scm_<field>``. A list is given as repeated filters.

        Returns
        -------
        Path
            Of the CSV: a line per code, the columns of `scmkit.core.contract.CODE_COLUMNS`, then the SCM fields.
        """
        return self.transport.fetch(self._link(wait_s, sleep, filters), to)

    @public(most=whole(0).optional(), wait_s=FROM_ZERO, sleep=Kind("a function", callable), depths=False)
    def count(
        self,
        most: int | None = None,
        *,
        wait_s: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        **filters: Any,
    ) -> int:
        """Count the codes that filters select, such as ``scm_lot_number="L42"``; nothing is kept of the download.

        Parameters
        ----------
        most : int, optional
            The download is cut off where there are more codes than this, and ``most + 1`` is returned.
        wait_s, **filters
            See `download_codes`.

        Returns
        -------
        int

        Raises
        ------
        UnreadableAnswerError
            The download is no CSV of codes, or holds other codes than those that were asked for.
        """
        with self.transport.stream(self._link(wait_s, sleep, filters)) as pieces:
            return downloads.count(pieces, filters, most)

    @public(extended_id=TEXT.optional(), depths=False)
    def fields(self, campaign: int | str | None = None, extended_id: str | None = None, **filters: Any) -> list[str]:
        """Ask which SCM fields a campaign defines: they stand in the header of a download, of which no more is read.

        Parameters
        ----------
        campaign : int or str, optional
            The campaign's number.
        extended_id : str, optional
            A code of the campaign: the smallest download.
        **filters
            Others, see `download_codes`.

        Returns
        -------
        list of str
            In the order of the download.

        Raises
        ------
        NotFoundError
            No code is selected.
        """
        asked = {"campaign": campaign, "extended_id": extended_id}
        filters |= {name: value for name, value in asked.items() if value is not None}
        with self.transport.stream(self._link(600.0, time.sleep, filters)) as pieces:
            return downloads.fields(pieces)

    def products(self) -> Any:
        """List the products: which values of ``product`` there are, in which campaign, and how many codes they have.

        Returns
        -------
        DataFrame
            ``sku``, ``name``, ``campaign`` (its number), ``campaign_name``, and how many codes there are: ``codes``,
            ``active``, ``blacklisted`` (missing where the service does not say).
        """
        found: list[Product] = []
        while True:
            page = self._object(contract.PRODUCTS_PATH, {"limit": contract.PAGE, "offset": len(found)})
            products, total = answers.products(page)
            if products and products[0] in found:
                raise UnavailableError(200, "it lists the same products again and again", where=contract.PRODUCTS_PATH)
            found += products
            if not products or len(found) >= total:
                return results.tabulate(Products(tuple(found)))

    def close(self) -> None:
        """Close all connections."""
        self.transport.session.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url} token=***>"

    def __reduce__(self) -> Any:
        raise TypeError("a client is not pickled or copied: it holds a token")

    def start_in_child(self) -> None:
        """Share nothing with the process that this one was forked from."""
        _inherited.append(self.order)  # SQLite closes nothing that another process has opened
        self.order = JobOrder()
        self.transport.open()

    def _pace_file(self) -> Path:
        """Return the file of all who upload to this service with this token, whatever their client and journal."""
        who = f"{place_of(self.base_url)} {hashlib.sha256(self._token.reveal().encode()).hexdigest()}"
        return state_folder() / f"pace-{hashlib.sha256(who.encode()).hexdigest()[:16]}"

    def _link(self, wait_s: float, sleep: Callable[[float], None], filters: Mapping[str, Any]) -> str:
        """Have a document made of the codes that filters select, and return where it is."""
        key = answers.document_key(self._object(contract.DOWNLOAD_PATH, filters))
        self._await_document(key, wait_s, sleep)
        path = contract.LINK_PATH.format(key=key)
        link = checked_url(answers.text_in(self._object(path), self.assumptions.link_field, path), whole=True)
        if self.base_url.startswith("https:") and not link.startswith("https:"):
            raise ConfigurationError("the service gave a download link without https, which is not fetched")
        return link

    def _object(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return answers.mapping(self._ask("GET", path, params=params)[0], path)

    def _ask(
        self, method: str, path: str, body: bytes | None = None, params: Mapping[str, Any] | None = None
    ) -> tuple[Any, float | None]:
        """Make one exchange and decode its JSON; anything else than a success that can be read is an error.

        Returns
        -------
        answer, server_s
            The seconds are those of a sandbox's clock.
        """
        status, headers, content = self.transport.ask(method, path, body, params)
        if 200 <= status < 300:
            with suppress(*answers.UNREADABLE):
                return answers.decode(content), answers.server_s(headers)
        error = answers.error(status, headers, content, f"{method} {path}", self._token)
        del headers, content  # some repeat the request, and a traceback may show variables
        raise error

    def _await_document(self, key: str, wait_s: float, sleep: Callable[[float], None]) -> None:
        path, pause, waited = contract.DOCUMENT_PATH.format(key=key), 0.25 / self.limits.speed, 0.0
        while True:
            document = self._object(path)
            state = str(document.get("state") or document.get("status") or "").lower()
            if state in self.assumptions.document_ready:
                return
            if state in self.assumptions.document_failed:
                raise UnavailableError(200, f"the document ended as {state!r}", where=path)
            if waited >= wait_s:
                raise UnavailableError(200, f"the document is still {state!r} after {wait_s:g} s", where=path)
            sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, 10.0)


_inherited: list[JobOrder] = []
_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _start_in_child() -> None:
    for client in list(_clients):
        client.start_in_child()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_start_in_child)


_default: Client | None = None


@public(error=SettingError, client=Kind("None or a Client, such as sandbox.client()", CLIENT.optional().accepts))
def use(client: Client | None) -> None:
    """Make this client the one that `upload` takes when it is given none."""
    global _default  # the one global of scmkit, set by the user alone
    _default = client


def chosen_client() -> Client | None:
    """Return the client of `use`, if there is one."""
    return _default


def default_client() -> Client:
    """Return the client of `use`, or a new one from the environment."""
    return _default if _default is not None else Client()


def ready_client() -> Client | None:
    """Return the client that `default_client` would give, or None where only a question to the user could get one."""
    if _default is not None:
        return _default
    token = token_without_asking(current_service())
    return None if token is None else Client(token=token)


def current_service() -> str:
    """Return the base URL of the client that `default_client` would give, without making one."""
    if _default is not None:
        return _default.base_url
    return default_url().rstrip("/")
