"""The distance of the live era from the last train eras, feature by feature, compared with the distances between train eras."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import DATA_TYPE, VALIDATION, top
from erawise.panel.panel import Panel
from erawise.running.errors import InputError

USUAL_ERAS = 40
"""Number of last train eras that live is compared with, so that the reading stays cheap at any size."""

MIN_ERAS = 2
"""Least number of eras: each is compared with the others."""

BINS = 5
USUAL_HIGH = 0.95
ROUNDED = 1e-6
"""Distances that differ by less are equal in the table on disk."""


def drift(panel: Panel, live: Panel, missing_live: NDArray[np.float64], threads: int = 1) -> pd.DataFrame:
    """Measure the distance of each feature's live values from the last train eras, and the usual distance between eras.

    The distance is the total variation distance of the shares of rows at each fifth of the scale. It is the share of rows, 0..1, that
    would have to change their value to make the two equal. Features are read as stored, without demeaning. A train era is compared with
    the mean shares of the others, and live with the mean of all. Fewer rows give larger distances: an era of n rows whose values aren't
    ranked has distances of the order of sqrt(BINS / n) just by chance.

    Parameters
    ----------
    panel : the prepared train and validation eras; the last `USUAL_ERAS` of train are read.
    live : the prepared live era, with the same features.
    missing_live : (features,) share of the live values that were missing and are filled.
    threads : eras read at the same time; the result doesn't depend on their number.

    Returns
    -------
    DataFrame (features): `feature`, `train_mean`, `live_mean` (on the scale as stored), `distance` (of live), `expected`,
    `usual_p95`, `usual_max` (mean, 95 % quantile and maximum of the train eras' own distances), `eras` (their number) and
    `missing_live`. If live is one more era like the others, its distance is above `usual_max` in at most 1 of `eras` + 1 features.

    Raises
    ------
    InputError
        If live has other features or another type, or there are fewer than two train eras.
    """
    if live.feature_names != panel.feature_names or live.dtype != panel.dtype:
        raise InputError("data/prepared/live: it has other features than data/prepared/panel; run preprocess again")
    kinds = panel.index[DATA_TYPE].iloc[panel.starts[:-1]].to_numpy()
    eras = panel.eras[kinds != VALIDATION][-USUAL_ERAS:]
    if len(eras) < MIN_ERAS:
        raise InputError(f"data/prepared/panel: drift needs at least {MIN_ERAS} train eras and there is {len(eras)}; add eras")
    with ThreadPoolExecutor(threads) as pool:
        shares, means = zip(*pool.map(lambda era: _describe(panel.stored(int(era))), eras), strict=True)
    live_shares, live_mean = _describe(live.stored(int(live.eras[0])))
    total = np.sum(shares, axis=0)
    usual = np.array([_distance(own, (total - own) / (len(eras) - 1)) for own in shares])
    return pd.DataFrame(
        {
            "feature": panel.feature_names,
            "train_mean": np.mean(means, axis=0),
            "live_mean": live_mean,
            "distance": _distance(live_shares, total / len(eras)),
            "expected": usual.mean(axis=0),
            "usual_p95": np.quantile(usual, USUAL_HIGH, axis=0),
            "usual_max": usual.max(axis=0),
            "eras": len(eras),
            "missing_live": missing_live,
        }
    )


def summary(found: pd.DataFrame) -> str:
    """Return the line that reports the drift to a person."""
    beyond, eras = is_beyond(found), int(found["eras"].iloc[0])
    return (
        f"{int(beyond.sum())} of {len(found)} features lie further from the last {eras} train eras in live than any of these eras does "
        f"(by chance: about {len(found) / (eras + 1):.1f}); {found['missing_live'].mean():.2%} of the live values were missing"
    )


def is_beyond(found: pd.DataFrame) -> pd.Series:
    """Return whether each feature's distance is larger in live than in every train era, by more than rounding."""
    return found["distance"] > found["usual_max"] + ROUNDED


def _describe(block: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares (BINS, features) of an era's rows at each fifth of the scale, and the means (features,)."""
    scale = top(str(block.dtype))
    bins = block if block.dtype == np.int8 else np.minimum(block * (BINS / scale), BINS - 1).astype(np.int8)
    shares = np.stack([np.count_nonzero(bins == value, axis=0) for value in range(BINS)]) / len(block)
    return shares, block.mean(axis=0, dtype=np.float64)


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the total variation distances (features,) of two (BINS, features) distributions."""
    return np.abs(a - b).sum(axis=0) / 2
