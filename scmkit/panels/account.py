"""An account given on the page: an address, and a token that nobody sees again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import traitlets

from scmkit.core import contract
from scmkit.core.errors import ConfigurationError
from scmkit.core.token import Token
from scmkit.wire.client import current_service

_EMPTY, _TAKEN = "made in the Scantrust portal", "taken, and not shown again"


class TokenField(ipywidgets.Password):  # type: ignore[misc]
    """A field whose value is taken out as soon as it arrives, so that no notebook, page or other reader gets it.

    The kernel sends it to nobody: what a browser tells is echoed to all others, this is not.
    """

    value = traitlets.Unicode("").tag(sync=True, echo_update=False)

    def __init__(self, when_entered: Callable[[Any], object], **options: Any) -> None:
        # Not while somebody types: the field is emptied with each value that arrives.
        super().__init__(continuous_update=False, placeholder=_EMPTY, **options)
        self.token: Token | None = None
        self._when_entered, self._entered = when_entered, False
        self.observe(self._take, names="value")
        self.on_msg(self._hear)

    def forget(self) -> None:
        """Forget the token, too."""
        self.token, self.placeholder = None, _EMPTY

    def _take(self, change: Any) -> None:
        if change["new"]:
            self.token, self.value, self.placeholder = Token(change["new"]), "", _TAKEN
            if self._entered:
                self._entered = False
                self._when_entered(self)

    def _hear(self, _: Any, content: Any, buffers: Any) -> None:
        """Note the Enter key; the value comes after it."""
        self._entered = content.get("event") == "submit"


class AccountForm:
    """An address, a token and a button.

    Parameters
    ----------
    when_asked : callable
        Called with the control that was used, when somebody wants this account.
    """

    def __init__(self, when_asked: Callable[[Any], object]) -> None:
        style, layout = {"description_width": "9em"}, {"width": "34em", "max_width": "calc(100% - 4px)"}
        self.address = ipywidgets.Text(
            current_service(), description="Service", continuous_update=False, style=style, layout=layout,
            tooltip=f"Such as {contract.PRODUCTION_URL}, or {contract.STAGING_URL} to try things out",
        )  # fmt: skip
        self.token = TokenField(
            when_asked, description="Token", style=style, layout=layout,
            tooltip="It is sent to this service only, and stands in no file and no log",
        )  # fmt: skip
        self.button = ipywidgets.Button(
            description="Use this account", tooltip="Ask the service whose token this is", layout={"width": "auto"}
        )
        self.button.on_click(when_asked)
        row = ipywidgets.HBox([self.token, self.button], layout={"flex_flow": "row wrap", "align_items": "center"})
        self.box = ipywidgets.VBox([self.address, row], layout={"width": "auto"})

    def asked(self) -> tuple[str, Token]:
        """Return the address and the token that were given."""
        address = self.address.value.strip()
        if not address or self.token.token is None:
            raise ConfigurationError(
                f"the {'token' if address else 'address of the service'} is missing: type it first"
            )
        return address, self.token.token
