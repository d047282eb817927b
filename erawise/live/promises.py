"""The validation scores of predictions that are handed in, by horizon and digest of their models; live scores are compared with them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from erawise import predictions
from erawise.base import files, tabular
from erawise.base.schema import ERA, HORIZONS, ID, META_MODEL, PREDICTION, SPLIT, VALIDATION
from erawise.evaluation import evaluation
from erawise.outlook.monitoring import METRICS
from erawise.panel.panel import DESCRIPTION
from erawise.running import paths
from erawise.scores.eras import Known, score_eras


@dataclass(frozen=True)
class Scores:
    """The validation scores of one prediction.

    Attributes
    ----------
    tables : `era`, `corr`, `mmc`, sorted by era, by the trading days that a target looks ahead; NaN for an era without a score.
    """

    tables: Mapping[int, pd.DataFrame]


def scored(name: str, table: pd.DataFrame, threads: int) -> Scores:
    """Return the scores of the last `evaluate`, and the scores against the same target of the other horizon, if the data has it.

    Parameters
    ----------
    name : of the prediction.
    table : the prediction that was scored: `id`, `era`, `split`, `prediction`.
    threads : of the scoring; the results don't depend on them.
    """
    found = evaluation.evaluated(paths.SCORES)
    every = tabular.read_parquet(paths.SCORES / f"{VALIDATION}.parquet", [ERA, PREDICTION, *METRICS])
    tables = {found.days: every[every[PREDICTION] == name]}
    targets = files.read_json(paths.PANEL / DESCRIPTION)["targets"]
    for days in HORIZONS.values():
        target = evaluation.sibling(found.equal or found.target, days, targets)
        if days != found.days and target is not None:
            tables[days] = _against(target, table[table[SPLIT] == VALIDATION], threads)
    return Scores({days: one.sort_values(ERA, ignore_index=True)[[ERA, *METRICS]] for days, one in tables.items()})


def _against(target: str, table: pd.DataFrame, threads: int) -> pd.DataFrame:
    """Score a prediction of the validation eras against a target; return a row for each era."""
    rows = tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, target])
    rows = rows[rows[ERA].isin(table[ERA].astype(np.int64))]
    values = pd.DataFrame({PREDICTION: predictions.along(rows, table, [PREDICTION])[:, 0]})
    with tabular.open_parquet(paths.REFERENCES) as file:
        known = META_MODEL in file.schema_arrow.names
    others = tabular.read_parquet(paths.REFERENCES, [ID, ERA, META_MODEL]) if known else None
    meta_model = None if others is None else predictions.along(rows, others, [META_MODEL])[:, 0]
    era, outcome = rows[ERA].to_numpy(np.int64), rows[target].to_numpy(np.float64)
    return score_eras(values, outcome, era, Known(meta_model), threads=threads)


def keep(digest: str, scores: Scores) -> None:
    """Keep the scores of models; earlier scores of the same models and horizon are replaced."""
    paths.PROMISES.mkdir(parents=True, exist_ok=True)
    for days, table in scores.tables.items():
        tabular.write_parquet(table, paths.PROMISES / f"{digest}_{days}.parquet")


def read(digest: str, days: int) -> pd.DataFrame | None:
    """Return the kept scores of models for a target so many days ahead: `era`, `corr`, `mmc`; None if there are none."""
    path = paths.PROMISES / f"{digest}_{days}.parquet"
    return tabular.read_parquet(path, [ERA, *METRICS]) if path.exists() else None
