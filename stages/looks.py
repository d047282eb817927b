"""How often the validation eras were looked at, for the commands that say so."""

import numpy as np

from erawise import ledger, params, significance, tabular
from erawise.schema import ERA, PREDICTION, VALIDATION, horizon, spanned_weeks
from stages import paths, record


def at(p: params.Params, prediction: str) -> tuple[int, float]:
    """The looks on record in this checkout, and the probability that a prediction's Sharpe is above what luck shows in so many.

    It is 0 where there is no record or no score, and NaN where the eras are too few to tell.
    """
    entries, scores = record.looked_at(p.data.target), paths.SCORES / f"{VALIDATION}.parquet"
    if not entries or not scores.exists():
        return 0, np.nan
    table = tabular.read_parquet(scores, [ERA, PREDICTION, "corr"])
    own = table.loc[table[PREDICTION] == prediction, "corr"].to_numpy()
    overlap = significance.spanned_eras(table[ERA].to_numpy(), spanned_weeks(horizon(p.data.target, p.data.target_horizon)))
    return len(entries), ledger.deflated(entries, prediction, own, overlap)
