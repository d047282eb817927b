"""Tables of the drivers of the models, and of the predictions' exposures."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from erawise.base.schema import ERA, PREDICTION, SPLIT, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.explanation.explained import Explanation
from erawise.panel import groups

SWARM_FEATURES = 10
DOTS, FEWEST_DOTS = 3000, 20
"""Dots of a whole picture, and of one feature at least."""

SWARM = ["model", "rank", "feature", "era", "value", "level", "contribution"]

LEADING = 20
MAX_PERIODS = 60
BEFORE, AFTER = "ensemble", "neutralized"


def shap_beeswarm(found: Mapping[str, Explanation]) -> pd.DataFrame:
    """Return the contributions of the leading features of each model, row by row.

    They are in standard deviations of the model's predictions, so that models can be compared; 0 throughout if these are constant.
    A model of a kind without contributions has no rows.

    Returns
    -------
    DataFrame with `model`, `rank`, `feature`, `era`, `value`, `level` (of the value between the least and the largest shown, 0..1; 0.5 if
    they are the same) and `contribution`.
    """
    shown = max(FEWEST_DOTS, DOTS // (SWARM_FEATURES * len(found)))
    pieces = [_swarm(one, model, shown) for model, one in found.items() if len(one.points)]
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=SWARM)


def permutation(found: Mapping[str, Explanation], days: int) -> pd.DataFrame:
    """Return the loss of each model's CORR when one of its leading features is shuffled within each era, in validation eras.

    Parameters
    ----------
    days : trading days that the main target looks ahead.

    Returns
    -------
    DataFrame with `model`, `rank`, `feature`, `drop` (mean over eras), `low` and `high` (its 95 % interval, NaN if it can't be given)
    and `eras`; empty if no validation era has a target and a CORR.
    """
    frame = pd.concat([_drops(one, model, days) for model, one in found.items()], ignore_index=True)
    return frame.iloc[:0] if frame["drop"].isna().all() else frame


def exposure_time(exposure: pd.DataFrame) -> pd.DataFrame:
    """Return the largest exposure to a feature over time, before and after neutralization, to all features and to each group.

    More than `MAX_PERIODS` eras of a split are shown as means of adjacent ones.

    Parameters
    ----------
    exposure : `split`, `era`, `prediction`, `group`, `max_abs`, see `evaluation.score_split`.

    Returns
    -------
    DataFrame with `split`, `prediction`, `group` (`all` first), `era` (the last of the period), `max_abs` (its mean), `eras` (in it) and
    `mean` (over all eras of both splits); empty unless there are exposures before and after.
    """
    rows = exposure[exposure[PREDICTION].isin([BEFORE, AFTER])]
    rows = rows.assign(mean=rows.groupby([PREDICTION, "group"])["max_abs"].transform("mean"))
    ordered = rows.sort_values("group", key=lambda name: name != groups.ALL, kind="stable")
    keys = [SPLIT, PREDICTION, "group"]
    pieces = [_periods(group, dict(zip(keys, names, strict=True))) for names, group in ordered.groupby(keys, sort=False)]
    columns = [*keys, ERA, "max_abs", "eras", "mean"]
    frame = pd.concat(pieces, ignore_index=True)[columns] if pieces else pd.DataFrame(columns=columns)
    return frame if frame[PREDICTION].nunique() == 2 else frame.iloc[:0]


def _swarm(one: Explanation, model: str, shown: int) -> pd.DataFrame:
    frame = one.points[one.points["rank"] <= SWARM_FEATURES].reset_index(drop=True)
    place = frame.groupby("rank").cumcount()
    rows = int(place.max()) + 1
    kept = np.unique(np.linspace(0, rows - 1, min(rows, shown)).round().astype(int))
    frame = frame[place.isin(kept)].reset_index(drop=True)
    values = frame.groupby("rank")["value"]
    low, high = values.transform("min"), values.transform("max")
    level = ((frame["value"] - low) / (high - low).where(high > low)).fillna(0.5)
    contribution = frame["shap"] / one.sample.std if one.sample.std > 0 else 0.0
    frame = frame.drop(columns="shap").assign(level=level, contribution=contribution)
    frame.insert(0, "model", model)
    return frame


def _drops(one: Explanation, model: str, days: int) -> pd.DataFrame:
    eras = np.unique(one.permutation[ERA].to_numpy(np.int64))
    overlap = spanned_eras(eras, spanned_weeks(days))
    rows = []
    for rank, (feature, group) in enumerate(one.permutation.groupby("feature", sort=False), 1):
        mean = significance.mean(group.sort_values(ERA)["drop"].to_numpy(np.float64), overlap=overlap)
        found = {"drop": mean.mean, "low": mean.low, "high": mean.high, "eras": mean.eras}
        rows.append({"model": model, "rank": rank, "feature": feature, **found})
    return pd.DataFrame(rows, columns=["model", "rank", "feature", "drop", "low", "high", "eras"])


def _periods(group: pd.DataFrame, names: dict[str, object]) -> pd.DataFrame:
    ordered = group.sort_values(ERA)
    width = -(-len(ordered) // MAX_PERIODS)
    period = np.arange(len(ordered)) // width
    found = ordered.groupby(period).agg(era=(ERA, "last"), max_abs=("max_abs", "mean"), eras=(ERA, "size"), mean=("mean", "first"))
    return found.assign(**names).reset_index(drop=True)
