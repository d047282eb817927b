"""Tables behind the pictures of what drives the models, and of what the predictions are exposed to."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from erawise.base.schema import ERA, PREDICTION, SPLIT, spanned_eras, spanned_weeks
from erawise.charts.tables import Table
from erawise.evaluation import significance
from erawise.explanation.explained import Explanation
from erawise.panel import groups

SWARM_FEATURES = 10
DOTS, FEWEST_DOTS = 3000, 20
"""Dots of a whole picture, and of one feature at least."""

LEADING = 20
MAX_STEPS, MAX_PERIODS = 200, 60
BEFORE, AFTER = "ensemble", "neutralized"


def shap_beeswarm(found: Mapping[str, Explanation]) -> Table:
    """Return the contributions of the leading features of each model, row by row.

    They are in standard deviations of the model's predictions, so that models can be compared; 0 throughout where these are constant.

    Returns
    -------
    Table with `model`, `rank`, `feature`, `era`, `value`, `level` (of the value between the least and the largest shown, 0..1; 0.5 where
    they are the same) and `contribution`.
    """
    shown = max(FEWEST_DOTS, DOTS // (SWARM_FEATURES * len(found)))
    frame = pd.concat([_swarm(one, model, shown) for model, one in found.items()], ignore_index=True)
    typical = pd.DataFrame([_first(one, model) for model, one in found.items()])
    most = typical.loc[typical["contribution"].idxmax()]
    if not most["contribution"] > 0:
        return Table(frame, "Nothing drives the predictions: they are constant")
    headline = f"{most['feature']} moves {most['model']} by {most['contribution']:.2f} standard deviations of its predictions"
    if len(found) > 1:
        common = set.intersection(*(set(one.shap["feature"].head(SWARM_FEATURES)) for one in found.values()))
        count = min(SWARM_FEATURES, *(len(one.shap) for one in found.values()))
        headline += f"; {len(common) or 'none'} of the {count} leading features {'are' if len(common) > 1 else 'is'} common to all models"
    return Table(frame, headline)


def shap_share(found: Mapping[str, Explanation]) -> pd.DataFrame:
    """Return the share of all contributions, by absolute size, that the leading features hold.

    Returns
    -------
    DataFrame with `model`, `features` (how many of the leading ones; at most `MAX_STEPS` numbers of a model, all up to `LEADING` among
    them), `share` (what these hold) and `leading` (what `LEADING` hold, or all where there are fewer; the same in every row).
    """
    return pd.concat([_cumulative(one, model) for model, one in found.items()], ignore_index=True)


def permutation(found: Mapping[str, Explanation], days: int) -> pd.DataFrame:
    """Return what each model's CORR loses when one of its leading features is shuffled within each era, in validation eras.

    Parameters
    ----------
    days : trading days that the main target looks ahead.

    Returns
    -------
    DataFrame with `model`, `rank`, `feature`, `drop` (mean over eras), `low` and `high` (its 95 % interval, NaN where it can't be given)
    and `eras`; empty where no validation era has a target and a CORR.
    """
    frame = pd.concat([_drops(one, model, days) for model, one in found.items()], ignore_index=True)
    return frame.iloc[:0] if frame["drop"].isna().all() else frame


def exposure_time(exposure: pd.DataFrame) -> Table:
    """Return the largest exposure to a feature over time, before and after neutralization, to all features and to each group.

    More than `MAX_PERIODS` eras of a split are shown as means of adjacent ones.

    Parameters
    ----------
    exposure : `split`, `era`, `prediction`, `group`, `max_abs`, see `evaluation.score_split`.

    Returns
    -------
    Table with `split`, `prediction`, `group` (`all` first), `era` (the last of the period), `max_abs` (its mean), `eras` (in it) and
    `mean` (over all eras of both splits).
    """
    rows = exposure[exposure[PREDICTION].isin([BEFORE, AFTER])]
    rows = rows.assign(mean=rows.groupby([PREDICTION, "group"])["max_abs"].transform("mean"))
    ordered = rows.sort_values("group", key=lambda name: name != groups.ALL, kind="stable")
    keys = [SPLIT, PREDICTION, "group"]
    pieces = [_periods(group, dict(zip(keys, names, strict=True))) for names, group in ordered.groupby(keys, sort=False)]
    columns = [*keys, ERA, "max_abs", "eras", "mean"]
    frame = pd.concat(pieces, ignore_index=True)[columns] if pieces else pd.DataFrame(columns=columns)
    means = rows[rows["group"] == groups.ALL].groupby(PREDICTION)["mean"].first()
    if len(means) < 2:
        return Table(frame.iloc[:0], "Nothing to show: no era has an exposure of the ensemble and of the neutralized one")
    word = "lowers" if means[AFTER] < means[BEFORE] else "does not lower"
    change = f"{means[BEFORE]:.2f} before, {means[AFTER]:.2f} after, mean over eras"
    return Table(frame, f"Neutralization {word} the largest exposure to a feature: {change}")


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


def _first(one: Explanation, model: str) -> dict[str, object]:
    contribution = one.shap["mean_abs"].iloc[0] / one.sample.std if one.sample.std > 0 else 0.0
    return {"model": model, "feature": one.shap["feature"].iloc[0], "contribution": contribution}


def _cumulative(one: Explanation, model: str) -> pd.DataFrame:
    held = np.minimum(one.shap["share"].cumsum().to_numpy(), 1.0)
    later = np.linspace(min(LEADING, len(held)), len(held), MAX_STEPS - LEADING).round().astype(int)
    numbers = np.unique([*range(1, min(LEADING, len(held)) + 1), *later])
    leading = held[min(LEADING, len(held)) - 1]
    return pd.DataFrame({"model": model, "features": numbers, "share": held[numbers - 1], "leading": leading})


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
