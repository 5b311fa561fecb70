"""The notebook as a cockpit: widgets over what the functions do, made of ipywidgets alone.

Nothing here is loaded before it is used: `import scmkit` needs no ipywidgets.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scmkit.arguments import JOURNAL, TABLE, public

if TYPE_CHECKING:
    import pandas as pd

    from scmkit.widgets.panels import Panel

_CLASSES = {"Panel": "panels", "TaskBoard": "board", "CapacityExplorer": "explorer"}


@public(depths=False, df=TABLE.optional(), journal=JOURNAL)
def panel(df: pd.DataFrame | None = None, **options: Any) -> Panel:
    """Upload step by step on one surface: table, key, fields, findings, estimate, plan, submit, result.

    Parameters
    ----------
    df : DataFrame, optional
        The table; by default one that is chosen on the surface, from the notebook or from a file.
    **options
        Of `scmkit.widgets.Panel`.

    Returns
    -------
    Panel
        Shows itself in a notebook; ``.job`` is the upload once there is one.
    """
    from scmkit.widgets.panels import Panel

    return Panel(df, **options)


def __getattr__(name: str) -> Any:
    if name not in _CLASSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_CLASSES[name]}"), name)
