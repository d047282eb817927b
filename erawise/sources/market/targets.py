"""The targets of the embedded market: binned sums of the returns of the weeks that follow."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from erawise.sources.market.law import LONG, MAIN, NAMES, SHORT, TARGET_SHARES, bins, thresholds
from erawise.sources.market.weeks import Week

UNKNOWN_SHARE = 0.02
"""Share of the rows whose last target's values are unknown."""


def targets(window: Sequence[Week], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return the targets of the first week's rows, from the returns of all weeks of the window.

    Parameters
    ----------
    window : at most `LONG` weeks in a row.
    rng : draws the rows with unknown values.

    Returns
    -------
    dict of name to (rows,) float32 in {0, .25, .5, .75, 1}; NaN throughout if the window is too short for the horizon.
    """
    rows = window[0].rows
    unknown = rng.random(len(rows)) < UNKNOWN_SHARE
    short = _summed(window, SHORT, rows)
    long = _summed(window, LONG, rows)
    long = long[:-1] + long[-1]
    named = {f"target_{name}_20": _scored(short[k]) for k, name in enumerate(NAMES)}
    named |= {f"target_{name}_60": _scored(long[k]) for k, name in enumerate(NAMES)}
    last = list(NAMES)[-1]
    for name in (f"target_{last}_20", f"target_{last}_60"):
        named[name][unknown] = np.nan
    return {"target": named[f"target_{MAIN}_60"], **named}


def _summed(window: Sequence[Week], weeks: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    if len(window) < weeks:
        return np.full((len(window[0].returns), len(rows)), np.nan)
    return np.sum([week.returns[:, rows] for week in window[:weeks]], axis=0)


def _scored(returns: NDArray[np.float64]) -> NDArray[np.float32]:
    if np.isnan(returns).any():
        return returns.astype(np.float32)
    return (bins(returns, thresholds(returns, TARGET_SHARES)) / 4).astype(np.float32)
