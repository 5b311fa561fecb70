"""What a command's exit code says, for scripts: each kind of end has its own."""

from __future__ import annotations

from enum import IntEnum

import click

from scmkit.core import errors


class Exit(IntEnum):
    """An exit code; 2 is also what a wrong option gets."""

    OK = 0
    ERROR = 1
    USAGE = 2
    FINDINGS = 3
    NOT_FOUND = 4
    NO_TOKEN = 5
    REFUSED = 6
    NETWORK = 7
    PARTLY = 8
    INTERRUPTED = 130


WORDS = {
    Exit.OK: "all is well: every row applied, no error in the table",
    Exit.ERROR: "another error, such as a file or a journal that cannot be used",
    Exit.USAGE: "a wrong option, or nobody said yes: nothing was sent",
    Exit.FINDINGS: "the table has errors: nothing was sent",
    Exit.NOT_FOUND: "a file, column, job or task is not there",
    Exit.NO_TOKEN: "there is no token",
    Exit.REFUSED: "the service refuses the token (401), or it lacks a permission (403)",
    Exit.NETWORK: "the service cannot be reached, or does not answer as it should",
    Exit.PARTLY: "the upload ended, and not every row is applied",
    Exit.INTERRUPTED: "Ctrl-C",
}
HELP = "\b\nExit codes:\n" + "\n".join(f"  {code:<4} {words}" for code, words in WORDS.items())

_KINDS: list[tuple[tuple[type[BaseException], ...], Exit]] = [  # the first that fits
    ((FileNotFoundError, errors.MissingColumnError, errors.UnknownJobError, errors.NotFoundError), Exit.NOT_FOUND),
    ((errors.DestinationError, errors.FileAccessError), Exit.ERROR),
    ((errors.ValidationError, errors.TableError), Exit.FINDINGS),
    ((errors.NoTokenError,), Exit.NO_TOKEN),
    ((errors.AuthenticationError, errors.PermissionDeniedError), Exit.REFUSED),
    ((errors.NotSentError, errors.AnswerLostError, errors.ServiceError, errors.CertificateError), Exit.NETWORK),
    ((KeyboardInterrupt, click.Abort), Exit.INTERRUPTED),
]


class Failed(click.ClickException):
    """The end of a command that did not do what it was to do, as a sentence."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.exit_code = int(code)  # type: ignore[misc]


def code_of(error: BaseException) -> Exit:
    """Return the exit code that an error stands for."""
    return next((code for kinds, code in _KINDS if isinstance(error, kinds)), Exit.ERROR)


def sentence(error: BaseException) -> str:
    """Say an error in words; the operating system's names the file after it."""
    if isinstance(error, KeyboardInterrupt | click.Abort):  # click's own, at a question
        return "interrupted; nothing was sent"
    if isinstance(error, FileNotFoundError) and not isinstance(error, errors.ScmkitError):
        return f"{error.strerror}: {error.filename}"
    return str(error)
