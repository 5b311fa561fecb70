"""Whose account at which service: the token and the base URL, from arguments, environment, keyring or prompt."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from urllib.parse import urlsplit

from scmkit.core import contract
from scmkit.core.errors import ConfigurationError, NoTokenError
from scmkit.core.paths import expanded
from scmkit.core.secret import Token

CERTIFICATE_FILES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")  # the variables of `requests` and of OpenSSL


def default_url() -> str:
    """Return the base URL that the environment names, else that of production."""
    return os.environ.get("SCANTRUST_BASE_URL") or contract.PRODUCTION_URL


def find_token(token: Token | None, base_url: str) -> Token:
    """Look for a token; no variable holds it as text, since a traceback may show variables."""
    found = token or token_without_asking(base_url) or _from_prompt(base_url)
    if found is not None:
        return found.checked()
    raise NoTokenError(
        "no token: set SCANTRUST_UAT_TOKEN, store one in the keyring (service 'scmkit', user name "
        f"{base_url!r}), or pass Client(token=...). Without an account: scmkit.Sandbox().client()"
    )


def token_without_asking(base_url: str) -> Token | None:
    """Return the token of the environment or the keyring."""
    return as_token(os.environ.get("SCANTRUST_UAT_TOKEN")) or _from_keyring(base_url)


def as_token(text: str | None) -> Token | None:
    """Return a token that shows itself to nobody; None where there is no text."""
    return Token(text) if text else None


def _from_keyring(base_url: str) -> Token | None:
    try:
        import keyring

        return as_token(keyring.get_password("scmkit", base_url))
    except Exception:  # noqa: BLE001 - not installed, no backend, locked: all mean that there is none
        return None


def _from_prompt(base_url: str) -> Token | None:
    if not (sys.stdin is not None and sys.stdin.isatty()) and "ipykernel" not in sys.modules:
        return None
    from getpass import getpass

    try:
        return as_token(getpass(f"Scantrust token for {base_url}: "))
    except Exception:  # noqa: BLE001 - a kernel without a frontend cannot ask (StdinNotImplementedError), nor can a closed input
        return None


def certificates(ca_file: str | os.PathLike[str] | None) -> str | None:
    """Return the file of certificates to trust: as given, else as the environment names it; None for the built-in ones.

    A company's proxy that reads what goes through it signs with a certificate of its own; its users have it in a file,
    and name that in a variable, for `curl`, `requests` and others alike.
    """
    named = [("", ca_file), *((name, os.environ.get(name)) for name in CERTIFICATE_FILES)]
    name, chosen = next(((name, file) for name, file in named if file), ("", None))
    if chosen is None:
        return None
    found = expanded(chosen)
    if not found.exists():
        who = f", which {name} names" if name else ""
        raise ConfigurationError(f"there is no file of certificates at {str(found)!r}{who}")
    return str(found)


def checked_url(url: str, *, whole: bool = False) -> str:
    """Refuse what could send the token astray: no TLS, user info, line breaks, a query."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"the URL cannot be used: {error}") from None
    if re.search(r"[\s\x00-\x1f\\]", url) or "@" in parts.netloc:
        raise ConfigurationError("the URL must not hold user names, blanks or line breaks")
    if not host or parts.scheme not in ("https", "http") or (not whole and (parts.query or parts.fragment)):
        raise ConfigurationError(f"a URL like {contract.PRODUCTION_URL} is needed, not {url!r}")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigurationError(f"{url!r} would send the token in clear text: use https (http only on loopback)")
    return url if whole else url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
