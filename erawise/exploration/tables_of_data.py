"""The tables of an exploration: of the features, the eras, the targets, and how stable the features' scores are."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import DATA_TYPE, ERA
from erawise.panel.panel import Panel
from erawise.scores import kernels

LAGS = (1, 8, 16)
"""Weeks between two compared eras: neighbours, and eras beyond the overlap of 20- and of 60-day targets."""

MAX_BINS = 20
"""A target with more values than this has no bins."""

MIN_FEATURES = 3
"""Least number of features with a score in both eras; with fewer, no correlation is computed."""

VANISHED = 1e-12
"""A variance below this share of the mean square is rounding noise."""

PIECE_ROWS = 2**16
"""Target rows that are held as float64 at a time."""


@dataclass(frozen=True)
class EraFeatures:
    """The statistics of one pass over the eras: (eras, features) each, `corr` NaN in validation eras and for constants."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    constant: NDArray[np.bool_]
    corr: NDArray[np.float64]


def data_types(panel: Panel) -> NDArray:
    """Return the data type of each era."""
    return panel.index[DATA_TYPE].iloc[panel.starts[:-1]].to_numpy()


def describe_features(panel: Panel, blocks: EraFeatures, missing_share: NDArray[np.float64]) -> pd.DataFrame:
    """Return `Exploration.features`."""
    weights = np.diff(panel.starts)[:, None] / panel.n_rows
    mean = (weights * blocks.mean).sum(axis=0)
    variance = (weights * (blocks.variance + np.square(blocks.mean - mean))).sum(axis=0)
    scored = ~np.isnan(blocks.corr)
    corr_mean = _mean_where(blocks.corr, scored)
    return pd.DataFrame(
        {
            "feature": panel.feature_names,
            "mean": mean,
            "std": np.sqrt(variance),
            "missing_share": missing_share,
            "constant_share": blocks.constant.mean(axis=0),
            "corr_mean": corr_mean,
            "corr_std": np.sqrt(_mean_where(np.square(blocks.corr - corr_mean), scored)),
            "sign_stability": _mean_where(np.sign(blocks.corr) == np.sign(corr_mean), scored),
            "scored_eras": scored.sum(axis=0),
        }
    )


def _mean_where(values: NDArray, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the means (columns,) of (rows, columns) over the rows that count; NaN if there are no such rows."""
    count = where.sum(axis=0)
    sums = np.where(where, values, 0).sum(axis=0)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)


def describe_eras(
    panel: Panel,
    target: NDArray[np.float64],
    train: NDArray[np.bool_],
    unique_ids: NDArray[np.int64],
    constant: NDArray[np.bool_],
) -> pd.DataFrame:
    """Return `Exploration.eras`, from the target (rows,), and by era: whether it is of train, its ids and its constant features."""
    starts = panel.starts[:-1]
    known = ~np.isnan(target)
    count = np.add.reduceat(known.astype(np.int64), starts)
    rows = np.diff(panel.starts)
    divisor = np.maximum(count, 1)
    table = pd.DataFrame(
        {
            ERA: panel.eras,
            DATA_TYPE: data_types(panel),
            "rows": rows,
            "unique_ids": unique_ids,
            "constant_features": constant.sum(axis=1),
            "target_missing": pd.Series(rows - count, dtype="Int64").where(train),
            "target_mean": np.where(train, np.add.reduceat(np.where(known, target, 0), starts) / divisor, np.nan),
        }
    )
    for value in _bins(target[known]):
        share = np.add.reduceat((target == value).astype(np.int64), starts) / divisor
        table[f"share_{value:g}"] = np.where(train, share, np.nan)
    return table


def _bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    bins = np.unique(values)
    return bins if len(bins) <= MAX_BINS else bins[:0]


def present_targets(panel: Panel) -> list[str]:
    """Return the targets that the panel was opened with."""
    return [name for name in panel.targets if name in panel.index]


def correlate_targets(panel: Panel, train: NDArray[np.bool_]) -> pd.DataFrame:
    """Return `Exploration.targets`: Pearson of each pair over the rows with both, from sums about .5 over pieces of the rows."""
    names = present_targets(panel)
    columns = [panel.index[name].to_numpy() for name in names]
    rows = np.flatnonzero(np.repeat(train, np.diff(panel.starts)))
    count, sums, squares, products = np.zeros((4, len(names), len(names)))
    for start in range(0, len(rows), PIECE_ROWS):
        values = np.column_stack([column[rows[start : start + PIECE_ROWS]] for column in columns]).astype(np.float64) - 0.5
        known = (~np.isnan(values)).astype(np.float64)
        values = np.nan_to_num(values)
        count += known.T @ known
        sums += values.T @ known
        squares += np.square(values).T @ known
        products += values.T @ values
    variance = count * squares - np.square(sums)
    variance[variance <= VANISHED * count * squares] = np.nan
    variance[count < 2] = np.nan
    correlations = np.clip((count * products - sums * sums.T) / np.sqrt(variance * variance.T), -1, 1)
    table = pd.DataFrame(correlations, columns=names)
    table.insert(0, "name", names)
    return table


def correlate_eras(eras: NDArray[np.int64], corr: NDArray[np.float64]) -> pd.DataFrame:
    """Return `Exploration.stability`, from the train eras and the features' scores in them."""
    position = {int(era): k for k, era in enumerate(eras)}
    found = [
        (era, lag, *_correlate(corr[k], corr[position[era + lag]]))
        for lag in _lags(eras)
        for era, k in position.items()
        if era + lag in position
    ]
    return pd.DataFrame(found, columns=[ERA, "lag", "features", "correlation"])


def _lags(eras: NDArray[np.int64]) -> list[int]:
    """Return `LAGS` in weeks, rounded up to multiples of the eras' spacing."""
    if len(eras) < 2:
        return []
    step = int(np.diff(eras).min())
    return sorted({-(-lag // step) * step for lag in LAGS})


def _correlate(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[int, float]:
    both = ~np.isnan(a) & ~np.isnan(b)
    if both.sum() < MIN_FEATURES:
        return int(both.sum()), np.nan
    return int(both.sum()), float(kernels.feature_correlations(a[both][:, None], b[both])[0])
