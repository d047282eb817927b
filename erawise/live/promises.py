"""The validation scores of what is handed in, kept by the digest of the models that make it: live rounds are held against them."""

from dataclasses import dataclass

import pandas as pd

from erawise.base import tabular
from erawise.base.schema import ERA, PREDICTION, VALIDATION
from erawise.evaluation import evaluation
from erawise.outlook.monitoring import METRICS
from erawise.running import paths


@dataclass(frozen=True)
class Scores:
    """The validation scores of one prediction.

    Attributes
    ----------
    days : trading days that their target looks ahead.
    table : `era`, `corr`, `mmc`, sorted by era; NaN where an era has no score.
    """

    days: int
    table: pd.DataFrame


def scored(prediction: str) -> Scores:
    """Return the scores of the last `evaluate`."""
    table = tabular.read_parquet(paths.SCORES / f"{VALIDATION}.parquet", [ERA, PREDICTION, *METRICS])
    rows = table[table[PREDICTION] == prediction].sort_values(ERA, ignore_index=True)
    return Scores(evaluation.evaluated(paths.SCORES).days, rows[[ERA, *METRICS]])


def keep(digest: str, scores: Scores) -> None:
    """Keep the scores of models; those that were kept of the same models for a target as far ahead are replaced."""
    paths.PROMISES.mkdir(parents=True, exist_ok=True)
    tabular.write_parquet(scores.table, paths.PROMISES / f"{digest}_{scores.days}.parquet")


def read(digest: str, days: int) -> pd.DataFrame | None:
    """Return the `table` of the scores that were kept of models for a target so many days ahead; None if none were."""
    path = paths.PROMISES / f"{digest}_{days}.parquet"
    return tabular.read_parquet(path, [ERA, *METRICS]) if path.exists() else None
