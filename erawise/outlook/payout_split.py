"""The best division of a stake over one's own models, and its uncertainty."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from erawise.evaluation import significance
from erawise.evaluation.significance import LEVEL, Difference
from erawise.outlook.staking import WEEKS, Floats, History, Terms, Year, grown, mean_block

LEFT = 0.01
"""Share of a stake below which a straight line continues the logarithm, which has no value at 0."""

DIGITS = 6
"""Decimals of a share: the search isn't more exact."""

FOLDS = 4
"""Blocks of eras; each judges the split that was fitted on the other blocks."""


@dataclass(frozen=True)
class Split:
    """The division of a stake over models, and its worth.

    Attributes
    ----------
    names : of the models.
    shares : (models,), their sum at most 1; the rest is not staked.
    low, high : (models,), bounds of each share's 95 % interval.
    equal : the share of each model in the equal split.
    growth : log growth of the stake a year on the eras of the fit, which is too high.
    growth_equal : log growth of the equal split on the same eras.
    unseen : log growth a year; in each era, the split is fitted without that era and the eras near it.
    difference : `unseen` less `growth_equal`, as log growth a year, era by era.
    """

    names: tuple[str, ...]
    shares: Floats
    low: Floats
    high: Floats
    equal: float
    growth: float
    growth_equal: float
    unseen: float
    difference: Difference


def split(found: History, year: Year, cap: float) -> Split:
    """Divide a stake over models so that its mean log growth is highest, with intervals and a test on unseen eras.

    Rounds that are open at once overlap, so their payouts add up before the stake changes. So the maximum is of the mean over eras of
    `log(1 + sum of the payouts of the rounds open together)`, which is concave in the shares. All models share the stake, and shares are
    constant: a model's win or loss is spread over all. Stakes by round are compound.

    The intervals of the shares come from a stationary bootstrap over eras. The growth on the eras of the fit is too high. So the
    split is also judged on unseen eras: on each of `FOLDS` blocks, by a split that is fitted on the others. Of these, eras within a
    target's span of the block are left out.

    Parameters
    ----------
    cap : the largest share of a model, 0..1.
    """
    together = _together(found)
    equal = min(1 / len(found.names), cap)
    shares = _fitted(together, cap)
    length = mean_block(together, found.overlap)
    order = significance.stationary_order(len(together), length, year.draws, np.random.default_rng(year.seed))
    drawn = np.array([_fitted(together[rows], cap) for rows in order])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    flat = np.full(len(found.names), equal)
    fitted, even, unseen = (
        _grown((found.rates * part).sum(axis=1), found.every, found.terms) for part in (shares, flat, _unseen(found, cap))
    )
    difference = significance.paired_difference(unseen, even, overlap=found.overlap, seed=year.seed)
    return Split(found.names, shares, low, high, equal, float(fitted.mean()), float(even.mean()), float(unseen.mean()), difference)


def _together(found: History) -> Floats:
    """Return (eras - overlap + 1, models): the payout, for each unit of stake, of the rounds open together from an era on."""
    total = np.cumsum(np.vstack([np.zeros(len(found.names)), found.rates]), axis=0)
    return (total[found.overlap :] - total[: -found.overlap]) * found.terms.exposure / found.overlap


def _fitted(together: Floats, cap: float) -> Floats:
    """Return (models,) shares, in 0..cap and of sum at most 1, with the highest mean logarithm of `1 + together @ shares`."""
    models = together.shape[1]

    def loss(shares: Floats) -> tuple[float, Floats]:
        left = 1 + together @ shares
        safe = np.maximum(left, LEFT)
        value = np.log(safe) + (left - safe) / LEFT
        return -float(value.mean()), -(together / safe[:, None]).mean(axis=0)

    start = np.full(models, min(1 / models, cap))
    room = {"type": "ineq", "fun": lambda shares: 1 - shares.sum(), "jac": lambda shares: -np.ones(models)}
    options = {"ftol": 1e-10, "maxiter": 200}
    found = minimize(loss, start, jac=True, method="SLSQP", bounds=[(0.0, cap)] * models, constraints=[room], options=options)
    shares = np.clip(found.x, 0.0, cap)
    return np.round(shares / max(shares.sum(), 1.0), DIGITS)


def _unseen(found: History, cap: float) -> Floats:
    """Return (eras, models) shares; in each era, by the split that is fitted without that era and the eras near it."""
    together, eras = _together(found), len(found.eras)
    place = np.arange(len(together))
    shares = np.empty((eras, len(found.names)))
    for block in np.array_split(np.arange(eras), FOLDS):
        far = (place + 2 * found.overlap - 1 < block[0]) | (place >= block[-1] + 1 + found.overlap)
        shares[block] = _fitted(together[far], cap)
    return shares


def _grown(rate: Floats, every: int, terms: Terms) -> Floats:
    """Return the (eras,) log growth a year of a stake that goes through the rounds of the eras in their order."""
    stake = np.maximum(grown(np.repeat(rate, every), terms, "compound"), np.finfo(float).tiny)
    return np.diff(np.log(stake)).reshape(len(rate), every).mean(axis=1) * WEEKS
