"""`df.scm`: signposts, one line a method. Stateless, since pandas 3 makes a new accessor at each access."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scmkit import estimation, planning, simulation, uploading, validation


@pd.api.extensions.register_dataframe_accessor("scm")
class ScmAccessor:
    """The public functions of scmkit, with the DataFrame as their first argument."""

    def __init__(self, df: pd.DataFrame) -> None:
        self._df = df

    def validate(self, *args: Any, **options: Any) -> validation.Findings:
        """See `scmkit.validate`."""
        return validation.validate(self._df, *args, **options)

    def estimate(self, *args: Any, **options: Any) -> estimation.Estimate:
        """See `scmkit.estimate`."""
        return estimation.estimate(self._df, *args, **options)

    def plan(self, *args: Any, **options: Any) -> planning.Plan:
        """See `scmkit.plan`."""
        return uploading.plan(self._df, *args, **options)

    def simulate(self, *args: Any, trials: int = 10_000, seed: int | None = None, **options: Any) -> simulation.Risk:
        """Plan, then see `scmkit.simulate`."""
        return simulation.simulate(self.plan(*args, **options), trials=trials, seed=seed)

    def upload(self, *args: Any, **options: Any) -> uploading.UploadJob:
        """See `scmkit.upload`."""
        return uploading.upload(self._df, *args, **options)
