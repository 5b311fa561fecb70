"""`df.scm`: signposts, one line a method. Stateless, since pandas 3 makes a new accessor at each access."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from scmkit.estimation.estimate import Estimate
    from scmkit.panels.panel import Panel
    from scmkit.planning.plan import Plan
    from scmkit.simulation.simulate import Risk
    from scmkit.uploading.job import UploadJob
    from scmkit.validation.findings import Findings


@functools.cache
def _functions() -> dict[str, Callable[..., Any]]:
    """Load what the methods call, when the first of them is asked for."""
    from scmkit.panels import panel
    from scmkit.simulation import simulate as simulation
    from scmkit.tables.arguments import public
    from scmkit.uploading.asking import estimate
    from scmkit.uploading.plans import plan
    from scmkit.uploading.upload import upload
    from scmkit.validation.validate import validate

    @public(depths=False, options_of=plan)  # before the plan, which may take its time
    def simulate(df: pd.DataFrame, *args: Any, trials: int = 10_000, seed: int | None = None, **options: Any) -> Risk:
        """Plan, then see `scmkit.simulate`."""
        return simulation.simulate(plan(df, *args, **options), trials=trials, seed=seed)

    return {f.__name__: f for f in (validate, estimate, plan, upload, panel, simulate)}


class _Signpost:
    """A method made of a public function: the DataFrame is its first argument, and its help is the function's own."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, accessor: ScmAccessor | None, owner: type) -> Any:
        function = _functions()[self._name]

        @functools.wraps(function)
        def method(self: ScmAccessor, *args: Any, **options: Any) -> Any:
            return function(self.df, *args, **options)

        return method if accessor is None else MethodType(method, accessor)


def _signpost() -> Any:
    return _Signpost()


@pd.api.extensions.register_dataframe_accessor("scm")
class ScmAccessor:
    """The public functions of scmkit, with the DataFrame as their first argument."""

    def __init__(self, df: pd.DataFrame) -> None:
        self.df = df

    validate: Callable[..., Findings] = _signpost()
    estimate: Callable[..., Estimate] = _signpost()
    plan: Callable[..., Plan] = _signpost()
    simulate: Callable[..., Risk] = _signpost()
    upload: Callable[..., UploadJob] = _signpost()
    panel: Callable[..., Panel] = _signpost()
