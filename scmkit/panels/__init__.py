"""The panel: an upload step by step, by mouse, made of ipywidgets alone.

Nothing here is loaded before it is used: `import scmkit` needs no ipywidgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scmkit.core.arguments import JOURNAL
from scmkit.tables.arguments import TABLE, public

if TYPE_CHECKING:
    import pandas as pd

    from scmkit.panels.panel import Panel


@public(depths=False, df=TABLE.optional(), journal=JOURNAL)
def panel(df: pd.DataFrame | None = None, **options: Any) -> Panel:
    """Upload step by step on one surface: table, key, fields, findings, estimate, plan, submit, result.

    Parameters
    ----------
    df : DataFrame, optional
        The table; by default one that is chosen on the surface, from the notebook or from a file.
    **options
        Of `scmkit.panels.panel.Panel`.

    Returns
    -------
    Panel
        Shows itself in a notebook; ``.job`` is the upload once there is one.
    """
    from scmkit.panels.panel import Panel

    return Panel(df, **options)
