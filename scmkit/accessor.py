"""`df.scm`: signposts, one line a method. Stateless, since pandas 3 makes a new accessor at each access."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pandas as pd

from scmkit import panels
from scmkit.estimation import estimate as estimation
from scmkit.planning.plan import Plan
from scmkit.simulation import simulate as simulation
from scmkit.tables.arguments import public
from scmkit.uploading import job as uploading
from scmkit.uploading import plans
from scmkit.validation import validate as validation
from scmkit.validation.findings import Findings


def _signpost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method of a public function: the DataFrame is its first argument, and its help is the function's own."""

    @functools.wraps(function)
    def method(self: ScmAccessor, *args: Any, **options: Any) -> Any:
        return function(self._df, *args, **options)

    return method


@pd.api.extensions.register_dataframe_accessor("scm")
class ScmAccessor:
    """The public functions of scmkit, with the DataFrame as their first argument."""

    def __init__(self, df: pd.DataFrame) -> None:
        self._df = df

    validate: Callable[..., Findings] = _signpost(validation.validate)
    estimate: Callable[..., estimation.Estimate] = _signpost(estimation.estimate)
    plan: Callable[..., Plan] = _signpost(plans.plan)
    upload: Callable[..., uploading.UploadJob] = _signpost(uploading.upload)

    panel: Callable[..., Any] = _signpost(panels.panel)

    @public(depths=False, options_of=plans.plan)  # before the plan, which may take its time
    def simulate(self, *args: Any, trials: int = 10_000, seed: int | None = None, **options: Any) -> simulation.Risk:
        """Plan, then see `scmkit.simulate`."""
        return simulation.simulate(self.plan(*args, **options), trials=trials, seed=seed)
