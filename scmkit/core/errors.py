"""The errors of scmkit. Each derives from the builtin that people would catch, too.

ScmkitError
├── TableError (ValueError)              a file that cannot be read without damage
│   ├── MissingFileError (FileNotFoundError) no such file
│   ├── FileAccessError (OSError)            a file that the operating system does not let us use
│   └── DestinationError (OSError)           a path at which no file can be written
├── MissingColumnError (KeyError)        a column that the table does not have
├── ValidationError (ValueError)         findings that forbid sending; ``.findings``
├── PlanError (ValueError)               arguments or data from which no plan can be made
│   └── ArgumentError (TypeError)            an argument that is not what is needed there
├── ConfigurationError (ValueError)      an unusable base URL, certificates that are not there
│   ├── NoTokenError                         no token is to be had
│   ├── CertificateError                     the service's certificate is not trusted
│   └── SettingError (TypeError)             an argument of a client or a sandbox that is not what is needed there
├── MissingDependencyError (ImportError) an extra that is not installed
├── JournalError (OSError)               a journal that cannot be used; it is left untouched
│   ├── MissingJournalError (FileNotFoundError) no journal where somebody says that there is one
│   └── UnknownJobError (LookupError)        a job that the journal does not know
├── UnsettledError (RuntimeError)        an earlier job may still change the same codes
├── NotSentError (ConnectionError)       nothing reached the service
├── AnswerLostError (ConnectionError)    sent, and no evidence of what happened
└── ServiceError                         the service answered, but not with success; ``.status``, ``.detail``
    ├── BadRequestError (ValueError)         400
    ├── AuthenticationError (PermissionError)  401
    ├── PermissionDeniedError (PermissionError)  403
    ├── NotFoundError (LookupError)          404
    ├── TooLargeError (ValueError)           413
    ├── ThrottledError                       429; ``.retry_after_s``
    ├── GatewayTimeoutError (TimeoutError)   504: nothing was updated
    ├── UnavailableError                     500, 502, 503
    ├── RedirectError                        3xx that is not followed
    └── UnreadableAnswerError (ValueError)   a 200 that is not what the contract says
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from scmkit.core.contract import UPLOAD_PERMISSIONS

LONGEST_NAME = 200  # characters of a name that a message repeats


class ScmkitError(Exception):
    """The root of all errors that scmkit raises on purpose."""


class TableError(ScmkitError, ValueError):
    """A file cannot be read without damaging its values."""


class MissingFileError(FileNotFoundError, TableError):
    """There is no such file."""

    def __str__(self) -> str:
        return f"{self.strerror}: {self.filename}"


class FileAccessError(OSError, TableError):
    """The operating system does not let us use a file."""


class DestinationError(OSError, TableError):
    """No file can be written at this path."""


class MissingColumnError(ScmkitError, KeyError):
    """A column that was asked for does not exist."""

    def __str__(self) -> str:
        # KeyError shows repr(message); a sentence should read as one.
        return str(self.args[0]) if self.args else ""

    @classmethod
    def of(cls, name: object, columns: Iterable[object], role: str = "column") -> "MissingColumnError":
        """Name what is missing, the nearest column and the ones there are."""
        names = [str(c) for c in columns]
        asked = str(name)[:LONGEST_NAME]
        return cls(f"{role} {asked!r} is not in the table{did_you_mean(asked, names)}; {listed(names)}")


class ValidationError(ScmkitError, ValueError):
    """The table has findings of severity ``error``; nothing was sent.

    Attributes
    ----------
    findings : Findings
        What was found, a line each.
    """

    def __init__(self, message: str, findings: Any = None) -> None:
        super().__init__(message)
        self.findings = findings


class PlanError(ScmkitError, ValueError):
    """No plan can be made from these arguments or this data."""


class ArgumentError(PlanError, TypeError):
    """An argument is not what is needed there."""


class ConfigurationError(ScmkitError, ValueError):
    """The client cannot be set up: no token, or an unusable base URL."""


class NoTokenError(ConfigurationError):
    """There is no token, neither in the environment nor in the keyring, and nobody to ask."""


class CertificateError(ConfigurationError):
    """The certificate of a service is not trusted, so nothing was sent to it."""


class SettingError(ConfigurationError, TypeError):
    """An argument of a client, of its settings or of a sandbox is not what is needed there."""


class MissingDependencyError(ScmkitError, ImportError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> "MissingDependencyError":
        """Say what it is for and how to get it."""
        return cls(f"{purpose} needs {package}: pip install 'scmkit[{extra}]'")


class JournalError(ScmkitError, OSError):
    """The journal cannot be used; it is left as it is."""


class MissingJournalError(JournalError, FileNotFoundError):
    """No journal is at this path, and none was made there."""


class UnknownJobError(JournalError, LookupError):
    """A journal does not know this job."""


class UnsettledError(ScmkitError, RuntimeError):
    """An earlier job that nobody works on may still change the same fields of the same codes; nothing was sent."""


class ClusteredSampleWarning(UserWarning):
    """A sample of codes was drawn in bundles, and says less than as many codes drawn one by one."""


class ServiceChangedWarning(UserWarning):
    """The service became faster or slower: what was learnt about it is out of date."""


class NotSentError(ScmkitError, ConnectionError):
    """No connection: nothing reached the service."""


class AnswerLostError(ScmkitError, ConnectionError):
    """The call went out, and there is no evidence of what became of it."""


class ServiceError(ScmkitError):
    """The service answered with something other than success.

    Attributes
    ----------
    status : int
        The HTTP status.
    detail : str
        The service's own words, shortened.
    body : object
        The decoded JSON of the answer, or None.
    server_s : float or None
        Seconds of the service's clock that it took; only a sandbox says so.
    """

    hint = ""
    server_s: float | None = None

    def __init__(self, status: int, detail: str = "", *, where: str = "", body: object = None) -> None:
        detail = in_a_line(detail)
        words = f": {detail.rstrip('.')}" if detail else ""
        hint = f". {self.hint}" if self.hint else ""
        super().__init__(f"{where or 'the service'} answered {status}{words}{hint}")
        self.status, self.detail, self.where, self.body = status, detail, where, body

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.status, self.detail, self.where, self.body)


def _rebuild(kind: type[ServiceError], status: int, detail: str, where: str, body: object) -> ServiceError:
    return kind(status, detail, where=where, body=body)


class BadRequestError(ServiceError, ValueError):
    """400: the service cannot read the body."""


class AuthenticationError(ServiceError, PermissionError):
    """401: the token is missing, wrong or expired."""

    hint = "Check SCANTRUST_UAT_TOKEN: the token may be wrong or expired; the portal makes a new one"


class PermissionDeniedError(ServiceError, PermissionError):
    """403: the token lacks a permission."""

    hint = f"An SCM upload needs the permissions {', '.join(UPLOAD_PERMISSIONS)}"


class NotFoundError(ServiceError, LookupError):
    """404: no such endpoint, task or document."""


class TooLargeError(ServiceError, ValueError):
    """413: the body is larger than the service takes."""


class ThrottledError(ServiceError):
    """429: too many calls; ``retry_after_s`` is what the answer asked for, or None."""

    retry_after_s: float | None = None


class GatewayTimeoutError(ServiceError, TimeoutError):
    """504: the call took longer than the gateway waits, and no code was updated."""

    hint = "Too many codes for one sync call: send fewer, or upload asynchronously"


class UnavailableError(ServiceError):
    """500, 502, 503: the service failed; it is unknown whether it had applied the call."""

    retry_after_s: float | None = None


class RedirectError(ServiceError):
    """3xx that is not followed: a redirected POST loses its body, and elsewhere the token would leave the host."""

    hint = "Uploads are never followed elsewhere, questions only on the same host and port: check the base URL"


class UnreadableAnswerError(ServiceError, ValueError):
    """A 200 whose body is not what the contract says: it is unknown whether the call was applied."""


BY_STATUS: dict[int, type[ServiceError]] = {
    400: BadRequestError, 401: AuthenticationError, 403: PermissionDeniedError, 404: NotFoundError,
    413: TooLargeError, 429: ThrottledError, 500: UnavailableError, 502: UnavailableError,
    503: UnavailableError, 504: GatewayTimeoutError,
}  # fmt: skip


def in_a_line(text: str) -> str:
    """Make what a service says harmless: whatever is no visible character, as a terminal's escapes, becomes a blank."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the nearest known name, or nothing."""
    near = nearest(name, known)
    return f" (did you mean {near!r}?)" if near is not None else ""


def nearest(name: str, known: Iterable[str], close: float = 0.6) -> str | None:
    """Find the known name that is most like ``name``, disregarding case, blanks and punctuation; at least so close."""
    by_letters = {letters_of(k): k for k in known}
    found = difflib.get_close_matches(letters_of(name), list(by_letters), n=1, cutoff=close)
    return by_letters[found[0]] if found else None


def letters_of(text: str) -> str:
    """Return the letters and digits of a name, in which its case, blanks and punctuation play no part."""
    return "".join(c for c in text.casefold() if c.isalnum())


def listed(names: Sequence[str], most: int = 12) -> str:
    """Say which columns there are, shortened."""
    if not names:
        return "it has no columns"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "it has " + ", ".join(name[:LONGEST_NAME] for name in names[:most]) + more
