"""Paths as people write them, and files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scmkit.core.errors import DestinationError, MissingFileError, did_you_mean


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` as the user's home; where there is no such user, it is a name like any other."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises where there is no such user


def like(path: Path) -> str:
    """Name the file that may have been meant instead of one that is not there."""
    there = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    return did_you_mean(path.name, there)


def existing(path: str | os.PathLike[str]) -> Path:
    """Return a path as `expanded` does, of something that is there."""
    found = expanded(path)
    if not found.exists():
        raise MissingFileError(errno.ENOENT, f"no such file{like(found)}", str(found))
    return found


def check_destination(path: str | os.PathLike[str]) -> Path:
    """Refuse, before there is anything to write, a path at which no file can be written.

    Returns
    -------
    Path
        With ``~`` expanded.

    Raises
    ------
    DestinationError
        It is a folder, its folder is not there, or it may not be written.
    """
    found = expanded(path)
    folder = found.absolute().parent
    if not folder.is_dir():
        raise DestinationError(f"{path}: there is no folder {folder}")
    if found.is_dir():
        raise DestinationError(f"{path} is a folder: a file name is needed")
    if not os.access(found if found.exists() else folder, os.W_OK):
        raise DestinationError(f"{path} may not be written")
    return found


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write beside a file, and put what was written in its place when it is whole; on an error, it stays as it is."""
    path = path.resolve()  # a link stays a link
    if path.exists() and not path.is_file():  # a device, a pipe
        yield path
        return
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield beside
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
