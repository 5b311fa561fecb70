"""Supply-chain data onto Scantrust codes from a DataFrame: estimate, simulate, plan, upload, prove."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scmkit import accessor as _accessor  # noqa: F401 - registers df.scm
from scmkit.core import results as _results

if TYPE_CHECKING:
    from scmkit.api import *  # noqa: F403
    from scmkit.widgets.board import TaskBoard as TaskBoard
    from scmkit.widgets.explorer import CapacityExplorer as CapacityExplorer

__version__ = "0.1.0"
_WIDGETS = {"CapacityExplorer": "scmkit.widgets.explorer", "TaskBoard": "scmkit.widgets.board"}  # need ipywidgets


def __getattr__(name: str) -> Any:
    """Load what is public at its first use: until then, scmkit costs little more than pandas."""
    if name in _WIDGETS:
        return getattr(import_module(_WIDGETS[name]), name)
    public = _public()
    if name == "__all__":
        return sorted([*public, *_WIDGETS])
    if name in public:
        return public[name]
    raise AttributeError(f"module 'scmkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


def _public() -> dict[str, Any]:
    """Load all rooms, and return what is public of them; nothing as long as they are being loaded."""
    names = vars(import_module("scmkit.api"))  # `from scmkit import api` would ask `__getattr__` for it
    return {name: names[name] for name in names.get("__all__", ())}


_results.load_rooms.append(_public)
