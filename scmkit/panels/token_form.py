"""A token given on the page, that nobody sees again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import traitlets

from scmkit.core.errors import ConfigurationError
from scmkit.core.secret import Token

_EMPTY, _TAKEN = "made in the Scantrust portal", "taken, and not shown again"


class TokenField(ipywidgets.Password):  # type: ignore[misc]
    """A field whose value is taken out as soon as it arrives, so that no notebook, page or other reader gets it.

    The kernel sends it to nobody: what a browser tells is echoed to all others, this is not.
    """

    value = traitlets.Unicode("").tag(sync=True, echo_update=False)

    def __init__(self, **options: Any) -> None:
        # Not while somebody types: the field is emptied with each value that arrives.
        super().__init__(continuous_update=False, placeholder=_EMPTY, **options)
        self._token: Token | None = None
        self._when_entered, self._entered = list[Callable[[Any], object]](), False
        self.observe(self._take, names="value")
        self.on_msg(self._hear)

    def on_entered(self, callback: Callable[[Any], object]) -> None:
        """Have something called, with the field, when a token arrives after the Enter key."""
        self._when_entered.append(callback)

    def token(self) -> Token:
        """Return what was typed."""
        if self._token is None:
            raise ConfigurationError("the token is missing: type it first")
        return self._token

    def forget(self) -> None:
        """Forget the token, too."""
        self._token, self.placeholder = None, _EMPTY

    def _take(self, change: Any) -> None:
        if change["new"]:
            self._token, self.value, self.placeholder = Token(change["new"]), "", _TAKEN
            if self._entered:
                self._entered = False
                for callback in self._when_entered:
                    callback(self)

    def _hear(self, _: Any, content: Any, buffers: Any) -> None:
        """Note the Enter key; the value comes after it."""
        self._entered = content.get("event") == "submit"
