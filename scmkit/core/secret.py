"""The User Authorization Token, which shows itself to nobody."""

from __future__ import annotations

from typing import Any

from scmkit.core.errors import ConfigurationError


class Token:
    """A User Authorization Token that shows itself to nobody but the Authorization header."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = str(value).strip()

    def reveal(self) -> str:
        """Return the secret itself."""
        return self.__value

    def checked(self) -> Token:
        """Return the token itself if it can be one; not in ``__init__``, where a traceback would show the argument."""
        if not self.__value or not self.__value.isascii() or not self.__value.isprintable() or " " in self.__value:
            raise ConfigurationError("the token is empty or holds characters that no token has")
        return self

    def __repr__(self) -> str:
        return "Token('***')"

    def __reduce__(self) -> Any:
        raise TypeError("a token is not pickled or copied")
