"""`scmkit doctor`: whether all is there that an upload needs, a line each; nothing is sent but questions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import scmkit
from scmkit.cli.exits import Exit, code_of, sentence
from scmkit.core import contract
from scmkit.core.display import plural
from scmkit.core.errors import NotFoundError, ScmkitError
from scmkit.journal import journal as journals
from scmkit.wire.client import Client
from scmkit.wire.credentials import CERTIFICATE_FILES, default_url, token_without_asking

LIBRARIES = ("pandas", "numpy", "scipy", "matplotlib", "requests", "urllib3", "msgspec", "ipywidgets")
# From which on a clock is wrong: a read-back asks for the codes that were updated since the upload began.
CLOCK_S = 30.0
TOKENLESS = "none: set SCANTRUST_UAT_TOKEN, or store one in the keyring; the portal makes one"


@dataclass(frozen=True)
class Check:
    """What was looked at, and how it is; ``code`` is what the command ends with because of it."""

    name: str
    words: str
    code: Exit = Exit.OK


def checks(base_url: str | None, journal: Path | None) -> Iterator[Check]:
    """Look at one thing after the other."""
    yield Check("scmkit", f"{scmkit.__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}")
    yield Check("libraries", ", ".join(f"{name} {_version(name) or 'is missing'}" for name in LIBRARIES))
    yield from _extras()
    yield _journal(journal)
    yield from _way_out()
    yield from _service(base_url)


def _version(name: str) -> str | None:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return None


def _extras() -> Iterator[Check]:
    """Say which extras are installed; none is needed for an upload from CSV."""
    try:
        needed = importlib.metadata.requires("scmkit") or []
    except importlib.metadata.PackageNotFoundError:
        return
    extras: dict[str, list[str]] = {}
    for line in needed:
        if found := re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", line):
            extras.setdefault(found[2], []).append(found[1])
    for extra, names in extras.items():
        if extra not in ("all", "test", "dev"):
            missing = [name for name in names if _version(name) is None]
            way = f"without {', '.join(missing)}: pip install 'scmkit[{extra}]' brings it"
            yield Check(f"extra {extra}", way if missing else ", ".join(names))


def _journal(path: Path | None) -> Check:
    """Say where the journal is, and whether it can be used."""
    found = journals.place(path)
    try:
        with journals.existing(path) as book:
            if book is not None:
                ((count,),) = book.query("select count(*) from jobs")
                return Check("journal", f"{found}: {plural(count, 'upload')}")
    except (ScmkitError, OSError) as error:
        return Check("journal", sentence(error), code_of(error))
    folder = next(folder for folder in found.parents if folder.exists())
    if not os.access(folder, os.W_OK):
        return Check("journal", f"{found}: {folder} may not be written", Exit.ERROR)
    return Check("journal", f"{found}: the first upload makes it")


def _way_out() -> Iterator[Check]:
    """Say what stands between this machine and the service, as the environment names it."""
    if proxy := urllib.request.getproxies().get("https"):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        yield Check("proxy", f"{parts.hostname}:{parts.port or 80}")  # neither user nor password
    for name in CERTIFICATE_FILES:
        if file := os.environ.get(name):
            there = Path(file).expanduser().exists()
            yield Check("certificates", f"{file}, by {name}{'' if there else ': no such file'}",
                        Exit.OK if there else Exit.NOT_FOUND)  # fmt: skip


def _service(base_url: str | None) -> Iterator[Check]:
    """Ask the service who we are; without a token, too, it answers something."""
    url = (base_url or default_url()).rstrip("/")
    try:
        token = token_without_asking(url)
        with Client(url, token or "none") as client:
            yield from _answer(client)
            if token is None:
                yield Check("token", TOKENLESS, Exit.NO_TOKEN)
            else:
                from_variable = os.environ.get("SCANTRUST_UAT_TOKEN")
                yield Check("token", "in SCANTRUST_UAT_TOKEN" if from_variable else "in the keyring")
                yield from _account(client)
    except (ScmkitError, OSError) as error:
        yield Check("service", sentence(error), code_of(error))


def _answer(client: Client) -> Iterator[Check]:
    began = time.monotonic()
    status, headers, _ = client.transport.ask("GET", contract.ME_PATH, None, None)
    seconds = time.monotonic() - began
    reached = f"{client.base_url} answered {status} in {seconds:.2f} s"
    yield Check("service", reached, Exit.NETWORK if status >= 500 else Exit.OK)
    with suppress(ValueError, TypeError):
        yield clock(parsedate_to_datetime(headers.get("Date", "")))


def clock(theirs: datetime) -> Check:
    """Compare this computer's clock with what an answer was dated."""
    ahead = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
    if abs(ahead) < CLOCK_S:
        return Check("clock", "as the service's, within a few seconds")
    way = "ahead of" if ahead > 0 else "behind"
    words = f"{abs(ahead):,.0f} s {way} the service's: set it, or reading back misses what was just updated"
    return Check("clock", words, Exit.ERROR)


def _account(client: Client) -> Iterator[Check]:
    try:
        me = client.me()
    except NotFoundError:
        yield Check("account", "the service does not tell")
        return
    except ScmkitError as error:
        yield Check("account", sentence(error), code_of(error))
        return
    yield Check("account", str(me.get("email") or "the service does not tell"))
    yield _permissions(me.get("permissions"))


def _permissions(held: Any) -> Check:
    needed = ", ".join(contract.UPLOAD_PERMISSIONS)
    if not isinstance(held, list):
        return Check("permissions", f"the service does not tell; an upload needs {needed}")
    if missing := [name for name in contract.UPLOAD_PERMISSIONS if name not in held]:
        return Check("permissions", f"an upload also needs {', '.join(missing)}", Exit.REFUSED)
    return Check("permissions", f"all that an upload needs: {needed}")
