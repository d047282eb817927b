"""The law of the embedded market: its constants, and the part that is drawn once from the seed.

Every stock has slowly moving loadings on common factors. Features mix loadings with an own part and are binned by era. Weekly
returns come from the factors, from stable non-linear interactions of the bins, and from noise. `docs/market.md` has the equations.
Arrays are feature-major, (features, slots): a slot holds one stock at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from erawise.base.schema import INT8_MIDDLE, META_MODEL

FACTORS = 12
LOADING_MEMORY = 0.985
"""Weekly autocorrelation of a stock's factor loadings."""
OWN_MEMORY = 0.97
"""Weekly autocorrelation of a feature's own part and of the opinions behind the benchmark models."""
FACTOR_SHARE = (0.6, 0.95)
"""Range of the weight of the loadings in a feature."""
FACTORS_A_GROUP = 4
RISKY_SHARE = 0.2
"""Share of the features that mix only the risky factors, with the largest weight."""

PREMIUM = 0.01
"""Length of the vector of mean weekly factor returns."""
VOLATILITY_PREMIUM = -0.4
"""Part of that vector on the first factor, on which volatile stocks have a high loading."""
FACTOR_RISK = 0.08
"""Weekly standard deviation of the return that the factors give a stock."""
RISKY_FACTORS, RISKY_VARIANCE = 4, 0.85
"""Number of the risky factors, the last ones, and their share of the factors' variance. They pay nothing on average."""
REVERSION = 0.98
"""Weekly autocorrelation of the sum of a risky factor's returns: it gives back its past returns."""
BEND = 0.006
"""Weekly standard deviation of the return from features that pay at their extremes or in their middle."""
PAIR = 0.0055
"""Weekly standard deviation of the return from products of two features."""
BENT_SHARE, PAIRED_SHARE = 0.2, 0.12
INTERACTION_MEMORY = 0.957
"""Weekly autocorrelation of the interactions' return, near the square of a feature's."""
NOISE = 0.5
"""Weekly standard deviation of a stock's own return, at the median of volatility and a strength of 1."""
VOLATILITY_SLOPE = 0.03
"""Change of the log of a stock's volatility with its loading on the first factor."""

TARGET_SHARES = (0.05, 0.25, 0.75, 0.95)
"""Cumulated shares at which a target changes to the next of its five values."""
FEATURE_SHARES = (0.2, 0.4, 0.6, 0.8)
SHORT, LONG = 4, 12
"""Weeks that `_20` and `_60` targets sum over."""
MAIN = "ender"
NAMES = {MAIN: (1.0, 1.0), "jasper": (0.89, 1.0), "cyrusd": (0.85, 0.6), "tyler": (0.75, 1.3)}
"""For each target, the share of its noise that it has in common with the main one (as a correlation), and its factor risk."""
LONG_NOISE = 0.24
"""Variance that only the `_60` targets have, per variance of the noise."""

OPINIONS = {
    META_MODEL: (0.65, 0.35, 0.67),
    f"v53_lgbm_{MAIN}20": (0.50, 0.50, 0.71),
    f"v53_lgbm_{MAIN}60": (0.62, 0.45, 0.64),
}
"""Weights of the oracle, of a tilt to random factors, and of an own view, in the models of others."""

TURNOVER = 0.004
"""Share of the stocks that leave in a week, and are replaced."""

LATE_SHARE = 0.04
"""Share of the features that have no data at first: the middle bin in every row."""
LATE_ERAS = (6, 16)
"""Range of the first era with data of such a feature."""
GAP_ERAS = (2, 3, 4)
"""Eras in which one feature is null."""

GROUPS = ("intelligence", "charisma", "strength", "dexterity", "constitution", "wisdom", "agility")

REFERENCE_STOCKS, STRENGTH_EXPONENT = 5_000, 0.3
CALIBRATION_STOCKS = 4_000
YEAR = 52
"""Weeks of a year, over which `data.market.drift` is stated."""


@dataclass(frozen=True)
class Law:
    """The draw that is made once for a market; it holds in every week, unless the market drifts.

    Attributes
    ----------
    groups : (features,) int, the group whose factors a feature mixes, -1 for a feature outside the groups.
    risky : (features,) bool, the features that mix the risky factors in place of their group's.
    mixing : (features, factors), rows of length `FACTOR_SHARE`: the part of the loadings in a feature of variance 1.
    own : (features,), weight of a feature's own part.
    premia : (factors,), mean weekly factor returns.
    bends : (features,), weight of each feature's distance from the middle bin, 1 or -1 at first, 0 for most.
    pairs : (2, pairs) int, the features that are multiplied.
    signs : (pairs,), weight of each product's return, 1 or -1 at first.
    tilts : (opinions, factors), the factors that the models of others lean to.
    first_era : (features,) int, the first era with data.
    gap : int, the feature that is null in `GAP_ERAS`.
    noise : float, weekly standard deviation of a stock's own return, at the median of volatility.
    sample : (features, `CALIBRATION_STOCKS`) int8, the bins of a sample of stocks.
    centre, scale : (2,), mean and std of the sums of bends and of products, over this sample.
    """

    groups: NDArray[np.int64]
    risky: NDArray[np.bool_]
    mixing: NDArray[np.float64]
    own: NDArray[np.float64]
    premia: NDArray[np.float64]
    bends: NDArray[np.float64]
    pairs: NDArray[np.int64]
    signs: NDArray[np.float64]
    tilts: NDArray[np.float64]
    first_era: NDArray[np.int64]
    gap: int
    noise: float
    sample: NDArray[np.int8]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def interactions(self, bins: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return the expected weekly return (stocks,) that the bins (features, stocks) give beyond the factors."""
        sums = (self._sums(bins) - self.centre[:, None]) / self.scale[:, None]
        return BEND * sums[0] + PAIR * sums[1]

    def calibrated(self, rng: np.random.Generator) -> "Law":
        """Return the same law with `centre` and `scale` taken from a sample of stocks."""
        loadings = rng.standard_normal((FACTORS, CALIBRATION_STOCKS))
        own = rng.standard_normal((len(self.own), CALIBRATION_STOCKS))
        values = self.features(loadings, own)
        return replace(self, sample=bins(values, thresholds(values, FEATURE_SHARES)))._scaled()

    def turned(self, kept: float, rng: np.random.Generator) -> "Law":
        """Return the law of the next week in a market that drifts.

        The premia, the weights of the bends and the weights of the products each turn by the same angle towards a random direction. So
        the sizes of all returns stay as they are.

        Parameters
        ----------
        kept : cosine of the angle, see `kept_weekly`.
        rng : draws the directions.
        """
        premia, bends = self.premia.copy(), self.bends.copy()
        premia[:-RISKY_FACTORS] = _turned(premia[:-RISKY_FACTORS], kept, rng)
        bends[bends != 0] = _turned(bends[bends != 0], kept, rng)
        return replace(self, premia=premia, bends=bends, signs=_turned(self.signs, kept, rng))._scaled()

    def _scaled(self) -> "Law":
        sums = self._sums(self.sample)
        return replace(self, centre=sums.mean(axis=1), scale=sums.std(axis=1))

    def features(self, loadings: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the features before binning, (features, stocks), from (factors, stocks) and (features, stocks)."""
        return self.mixing @ loadings + self.own[:, None] * own

    def _sums(self, bins: NDArray[np.int8]) -> NDArray[np.float64]:
        centred = bins.astype(np.float64) - INT8_MIDDLE
        products = centred[self.pairs[0]] * centred[self.pairs[1]]
        return np.stack([self.bends @ np.abs(centred), self.signs @ products])


def draw_law(features: int, strength: float, rng: np.random.Generator) -> Law:
    """Draw a market's law for a number of features; `strength` divides the stocks' own noise."""
    groups = np.arange(features) % (len(GROUPS) + 1)
    groups[groups == len(GROUPS)] = -1
    share = rng.uniform(*FACTOR_SHARE, features)
    risky = np.isin(np.arange(features), rng.permutation(features)[: max(1, round(features * RISKY_SHARE))])
    share[risky] = FACTOR_SHARE[1]
    bent = rng.permutation(features)[: max(1, round(features * BENT_SHARE))]
    bends = np.zeros(features)
    bends[bent] = rng.choice([-1.0, 1.0], len(bent))
    n_pairs = max(1, round(features * PAIRED_SHARE / 2))
    late = rng.permutation(features)[: max(2, round(features * LATE_SHARE))]
    first_era = np.ones(features, np.int64)
    first_era[late] = rng.integers(*LATE_ERAS, len(late), endpoint=True)
    law = Law(
        groups=groups,
        risky=risky,
        mixing=share[:, None] * _mixing(groups, risky, rng),
        own=np.sqrt(1 - share**2),
        premia=PREMIUM * _premia(rng),
        bends=bends,
        pairs=rng.permutation(features)[: 2 * n_pairs].reshape(2, n_pairs),
        signs=rng.choice([-1.0, 1.0], n_pairs),
        tilts=_unit(rng.standard_normal((len(OPINIONS), FACTORS))),
        first_era=first_era,
        gap=int(rng.choice(np.flatnonzero(first_era == 1))),
        noise=NOISE / strength,
        sample=np.zeros((features, 0), np.int8),
        centre=np.zeros(2),
        scale=np.ones(2),
    )
    return law.calibrated(rng)


def strength(stocks: int) -> float:
    """Return the divisor of the stocks' own noise: 1 from `REFERENCE_STOCKS` on, more for fewer stocks, since fewer rows teach less."""
    return max(1.0, (REFERENCE_STOCKS / stocks) ** STRENGTH_EXPONENT)


def kept_weekly(drift: float) -> float:
    """Return the correlation of the laws of two weeks in a row, for a setting `data.market.drift`: 1 without drift.

    A year of `YEAR` such steps leaves a correlation of 1 - `drift` on average: the directions of the steps are independent.
    """
    return (1 - drift) ** (1 / YEAR)


def factor_risks() -> NDArray[np.float64]:
    """Return the weekly standard deviation (factors,) of each factor's return."""
    shares = np.full(FACTORS, (1 - RISKY_VARIANCE) / (FACTORS - RISKY_FACTORS))
    shares[-RISKY_FACTORS:] = RISKY_VARIANCE / RISKY_FACTORS
    return FACTOR_RISK * np.sqrt(shares)


def reverting(levels: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw the factors' returns beyond their premia in a week.

    Parameters
    ----------
    levels : (risky,), the sums of the risky factors' returns so far.

    Returns
    -------
    shocks : (factors,), with the standard deviations `factor_risks`.
    levels : (risky,), after the week.
    """
    risks, drawn = factor_risks(), rng.standard_normal(FACTORS)
    moved = REVERSION * levels + np.sqrt(1 - REVERSION**2) * level_risks() * drawn[-RISKY_FACTORS:]
    return np.append((risks * drawn)[:-RISKY_FACTORS], moved - levels), moved


def level_risks() -> NDArray[np.float64]:
    """Return the standard deviation (risky,) of the sums of the risky factors' returns."""
    return factor_risks()[-RISKY_FACTORS:] / np.sqrt(2 * (1 - REVERSION))


def _premia(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the direction (factors,) of the premia: volatile stocks earn less, risky factors pay nothing, others are random."""
    others = _unit(rng.standard_normal(FACTORS - RISKY_FACTORS - 1))
    return np.concatenate([[VOLATILITY_PREMIUM], np.sqrt(1 - VOLATILITY_PREMIUM**2) * others, np.zeros(RISKY_FACTORS)])


def _mixing(groups: NDArray[np.int64], risky: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw unit rows (features, factors): a feature mixes its group's factors, or as many of its own, or only the risky ones."""
    factors = np.array([rng.permutation(FACTORS)[:FACTORS_A_GROUP] for _ in GROUPS])
    loners = rng.permuted(np.tile(np.arange(FACTORS), (len(groups), 1)), axis=1)[:, :FACTORS_A_GROUP]
    mixed = np.where(groups[:, None] < 0, loners, factors[groups])
    mixing = np.zeros((len(groups), FACTORS))
    np.put_along_axis(mixing, mixed, rng.standard_normal(mixed.shape), axis=1)
    mixing[risky] = 0
    mixing[risky, -RISKY_FACTORS:] = rng.standard_normal((risky.sum(), RISKY_FACTORS))
    return _unit(mixing)


def _turned(weights: NDArray[np.float64], kept: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return weights (n,) of the same length, at an angle with the cosine `kept`. A single weight can't turn, and stays."""
    if len(weights) == 1:
        return weights
    drawn = rng.standard_normal(len(weights))
    across = _unit(drawn - (drawn @ weights) / (weights @ weights) * weights)
    return kept * weights + np.sqrt(1 - kept**2) * np.linalg.norm(weights) * across


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def thresholds(values: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """Return the lower bounds (..., shares) of the bins that follow the lowest share of values (..., n)."""
    positions = [round(values.shape[-1] * share) for share in shares]
    return np.sort(values, axis=-1)[..., positions]


def bins(values: NDArray[np.float64], bounds: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the bin numbers (..., n) of values (..., n): the number of bounds (..., k) that each value reaches."""
    out = np.zeros(values.shape, np.int8)
    for k in range(bounds.shape[-1]):
        out += values >= bounds[..., k, None]
    return out
