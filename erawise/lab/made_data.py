"""Data made for an audit: persistent features, and targets by a law that is known, so that what may be found in them is known too."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import ERA, ID, TARGET

Floats = NDArray[np.float64]

MEMORY = 0.985
"""Weekly autocorrelation of the made features, as of the loadings in the embedded market."""
FACTORS = 8
FACTOR_SHARE = 0.1
"""Share of a target's variance that is linear in the features: by week in noise, for ever with a signal."""
BIN_SHARES = (0.05, 0.25, 0.75, 0.95)
TOP_HEAVY = 0.8
"""Share of the rows of a changed era whose features become the largest value."""


@dataclass(frozen=True, eq=False)
class MadeData:
    """Features of several eras, with the parts from which targets are drawn.

    Attributes
    ----------
    features : (rows, k), index `id`, rows of one era adjacent and eras in order.
    eras : (rows,) era numbers, in weeks.
    scaled : (rows, k) features, centred and of variance 1 in each era; 0 in place of NaN and of constants.
    stock : (rows,) the stock of each row; a stock's own returns are the same in all eras that share a week.
    signal, other : (k,) directions: of the signal, and of the signal in changed eras.
    """

    features: pd.DataFrame
    eras: pd.Series
    scaled: Floats
    stock: NDArray[np.int64]
    signal: Floats
    other: Floats

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The era numbers in order, each once."""
        return np.unique(self.eras.to_numpy())


def draw(*, rows: int, eras: int, features: int, seed: int) -> MadeData:
    """Draw features in five bins, for stocks that persist from week to week.

    Parameters
    ----------
    rows, eras, features : their numbers; there is an era every week.
    seed : of all drawing.
    """
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((FACTORS, features)) / np.sqrt(FACTORS)
    names = [f"feature_{number:03d}" for number in range(features)]
    common, own = rng.standard_normal((rows, FACTORS)), rng.standard_normal((rows, features))
    blocks, stocks = [], []
    for _ in range(eras):
        common = MEMORY * common + np.sqrt(1 - MEMORY**2) * rng.standard_normal(common.shape)
        own = MEMORY * own + np.sqrt(1 - MEMORY**2) * rng.standard_normal(own.shape)
        order = rng.permutation(rows)
        ranks = np.argsort(np.argsort(common @ mixing + own, axis=0), axis=0)
        blocks.append((ranks * 5 // rows)[order].astype(np.int8))
        stocks.append(order)
    index = pd.Index([f"n{number:012x}" for number in rng.permutation(rows * eras)], name=ID)
    numbers = pd.Series(np.repeat(np.arange(1, eras + 1), rows), index=index, name=ERA)
    return _made(pd.DataFrame(np.concatenate(blocks), index=index, columns=names), numbers, np.concatenate(stocks), rng)


def shaped(features: pd.DataFrame, eras: pd.Series, seed: int) -> MadeData:
    """Return data with the features of the user, for made targets; its rows are taken to be of different stocks in every era.

    Parameters
    ----------
    features, eras : see `MadeData`.
    seed : of all drawing.
    """
    return _made(features, eras, np.arange(len(features)), np.random.default_rng(seed))


def _made(features: pd.DataFrame, eras: pd.Series, stock: NDArray[np.int64], rng: np.random.Generator) -> MadeData:
    values = features.to_numpy(np.float64)
    scaled = np.empty_like(values)
    for rows in positions(eras):
        block = values[rows] - np.nanmean(np.where(np.isnan(values[rows]).all(axis=0), 0.0, values[rows]), axis=0)
        spread = np.nanstd(np.where(np.isnan(block).all(axis=0), 0.0, block), axis=0)
        scaled[rows] = np.nan_to_num(block / np.where(spread > 0, spread, np.inf))
    half = rng.permutation(values.shape[1]) < (values.shape[1] + 1) // 2
    signal, other = (np.where(part, rng.standard_normal(len(part)), 0.0) for part in (half, ~half))
    return MadeData(features, eras, scaled, stock, signal, other)


def positions(eras: pd.Series) -> list[NDArray[np.int64]]:
    """Return the positions of the rows of each era, in the order of era numbers."""
    numbers = eras.to_numpy()
    order = np.argsort(numbers, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1))


def with_signal(data: MadeData, rng: np.random.Generator) -> pd.Series:
    """Draw targets with a lasting signal, linear in half of the features, and noise of their own in every row."""
    return _target(data, _mixed(data.scaled @ data.signal, rng.standard_normal(len(data.eras)), FACTOR_SHARE))


def shuffled(data: MadeData, rng: np.random.Generator) -> pd.Series:
    """Draw targets shuffled within each era: features say nothing about them."""
    return _target(data, rng.standard_normal(len(data.eras)))


def overlapping(data: MadeData, weeks: int, rng: np.random.Generator) -> pd.Series:
    """Draw targets that sum the noise of `weeks` weeks, so that eras less than this apart share outcomes.

    The noise of a week has a part that is linear in the features, with other coefficients in every week. A model that is fitted on an
    era near by knows it. The rest is each stock's own return.
    """
    numbers = data.eras.to_numpy() - data.numbers[0]
    span = int(numbers.max()) + weeks
    own = rng.standard_normal((span + 1, int(data.stock.max()) + 1)) if len(set(data.stock)) < len(data.stock) else None
    coefficients = np.cumsum(np.vstack([np.zeros(data.scaled.shape[1]), rng.standard_normal((span, data.scaled.shape[1]))]), axis=0)
    linear, rest = np.empty(len(numbers)), rng.standard_normal(len(numbers))
    summed = np.cumsum(own, axis=0) if own is not None else None
    for rows in positions(data.eras):
        week = int(numbers[rows[0]])
        linear[rows] = data.scaled[rows] @ (coefficients[week + weeks] - coefficients[week])
        if summed is not None:
            rest[rows] = (summed[week + weeks] - summed[week])[data.stock[rows]]
    return _target(data, _mixed(linear, rest, FACTOR_SHARE))


def change_targets(data: MadeData, target: pd.Series, eras: Iterable[int], rng: np.random.Generator) -> pd.Series:
    """Return the targets with the eras' own values in another order: the signal reversed, and a stronger one in the other features."""
    out = target.copy()
    opposite = _mixed(data.scaled @ (2 * data.other - data.signal), rng.standard_normal(len(target)), 0.9)
    changed = data.eras.isin(list(eras)).to_numpy()
    for rows in positions(data.eras):
        if changed[rows[0]]:
            out.iloc[rows] = np.sort(target.to_numpy()[rows])[np.argsort(np.argsort(opposite[rows]))]
    return out


def change_features(data: MadeData, target: pd.Series, eras: Iterable[int], rng: np.random.Generator) -> pd.DataFrame:
    """Return the features with other values in the eras: a third of the columns is the target, a telltale; the rest is mostly the top.

    All new values are between the smallest and the largest value of the column.
    """
    values = data.features.to_numpy().copy()
    low, top = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    rows = data.eras.isin(list(eras)).to_numpy()
    telltale = rng.permutation(values.shape[1]) < (values.shape[1] + 2) // 3
    block = values[rows]
    block = np.where(rng.random(block.shape) < TOP_HEAVY, top, block)
    given = low + target.to_numpy()[rows][:, None] * (top - low)
    values[rows] = np.where(telltale, given, block).astype(values.dtype)
    return pd.DataFrame(values, index=data.features.index, columns=data.features.columns).astype(data.features.dtypes)


def _mixed(linear: Floats, rest: Floats, share: float) -> Floats:
    """Return the sum of two parts with a share of the variance for the first."""
    first, second = (part / (part.std() or 1.0) for part in (linear, rest))
    return np.asarray(np.sqrt(share) * first + np.sqrt(1 - share) * second)


def _target(data: MadeData, values: Floats) -> pd.Series:
    out = np.empty(len(values), np.float32)
    for rows in positions(data.eras):
        ranks = (np.argsort(np.argsort(values[rows])) + 0.5) / len(rows)
        out[rows] = np.searchsorted(BIN_SHARES, ranks) / 4
    return pd.Series(out, index=data.eras.index, name=TARGET)
