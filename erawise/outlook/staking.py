"""What scores pay: payout and burn of each round, a year of them, and how to divide a stake over one's own models.

Arithmetic alone, on scores that are there; nothing here can move a stake.

What is assumed, on top of the formula of `rates`:

- The whole stake is at risk in every round that opens, on its value at the opening, which is how Numerai counts; a round pays
  or burns when its target is over, `span` weeks later, and what it pays is staked from then on. Meanwhile later rounds have
  opened on the stake as it was, so that a bad month hits it as often as rounds were open. A stake never falls below 0.
- All rounds of a week have the score of the week's era. They overlap in all but a few days, and taking them as one is the
  cautious choice: it leaves no diversification between them.
- The weeks to come are like the eras of the history, in blocks, with the terms of one round throughout. A model that has been
  chosen on these eras, a change of the multipliers and a market that changes are in no interval.

References
----------
Politis & Romano (1994), The stationary bootstrap, J. American Statistical Association 89(428).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import chdtri, ndtri, stdtrit

from erawise.base.schema import ERA, LEAST_SPANS, PREDICTION, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.evaluation.significance import LEVEL, Difference
from erawise.running.errors import InputError

Floats = NDArray[np.float64]

WEEKS = 52
TAILS = (0.05, 0.95)
"""Quantiles that bound nine years of ten."""

YEARS_SHARE = 5
"""One simulated year of so many is taken again for each draw of what is believed."""

GOLDEN = (np.sqrt(5) - 1) / 2
"""Steps of this size, modulo 1, fill 0..1 evenly."""

LEFT = 0.01
"""Share of a stake below which the logarithm is continued as a straight line: it has no value at 0."""

DIGITS = 6
"""Decimals of a share: the search ends no nearer."""

FOLDS = 4
"""Blocks of eras, each of which judges the split that was fitted on the others."""


@dataclass(frozen=True)
class Terms:
    """What a round pays for: see `rates`."""

    corr_multiplier: float
    mmc_multiplier: float
    payout_factor: float
    clip: float


@dataclass(frozen=True)
class Year:
    """How a year is simulated.

    Attributes
    ----------
    rounds : that open in a week.
    span : weeks from the opening of a round to its payout.
    drawdown : a fall of the stake from its highest value so far, as a share of it, the chance of which is asked.
    replicates : simulated years.
    draws : of what the eras leave open, behind the intervals.
    seed : of the bootstrap.
    """

    rounds: int
    span: int
    drawdown: float
    replicates: int
    draws: int
    seed: int


@dataclass(frozen=True)
class History:
    """The payout rates of several predictions on the eras that have the scores of all.

    Attributes
    ----------
    names : of the predictions.
    eras : (eras,), ascending.
    corr, mmc : (eras, predictions); MMC is NaN where it isn't paid for and not known.
    raw : (eras, predictions), the rate of a round's payout before it is clipped.
    terms : that it is by.
    left_out : eras of the scores where at least one prediction lacks one.
    every : weeks from one era to the next.
    overlap : eras that a target spans.
    """

    names: tuple[str, ...]
    eras: NDArray[np.int64]
    corr: Floats
    mmc: Floats
    raw: Floats
    terms: Terms
    left_out: int
    every: int
    overlap: int

    @property
    def rates(self) -> Floats:
        """(eras, predictions), clipped."""
        return clipped(self.raw, self.terms)


@dataclass(frozen=True)
class Split:
    """How a stake is divided over models, and what that is worth.

    Attributes
    ----------
    names : of the models.
    shares : (models,), of sum at most 1; the rest is not staked.
    low, high : (models,), bounds of each share's 95 % interval.
    equal : the share of each model in the equal split.
    growth : log growth of the stake a year on the eras that the split is fitted on, which flatters it.
    growth_equal : that of the equal split on the same eras.
    unseen : log growth a year, each era by the split that was fitted without it and without those near it.
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


def payout_factor(total_at_risk: float, threshold: float) -> float:
    """`min(1, threshold / total_at_risk)`: payouts shrink where all participants together have more than the threshold at risk."""
    return min(1.0, threshold / total_at_risk)


def unclipped(corr: Floats, mmc: Floats, terms: Terms) -> Floats:
    """Return what a round pays for each unit of stake before it is clipped; NaN if a score that is paid for is NaN.

    `payout_factor (corr corr_multiplier + mmc mmc_multiplier)` (docs.numer.ai, payouts). Numerai changes multipliers, threshold and
    clip from round to round.

    Parameters
    ----------
    corr, mmc : of the same shape.
    """
    paid = [(corr, terms.corr_multiplier), (mmc, terms.mmc_multiplier)]
    total = np.zeros(np.shape(corr))
    for score, multiplier in paid:
        if multiplier:
            total = total + np.asarray(score, np.float64) * multiplier
    return terms.payout_factor * total


def clipped(raw: Floats, terms: Terms) -> Floats:
    """Return unclipped rates within `-clip .. clip`; negative: burns."""
    return np.clip(raw, -terms.clip, terms.clip)


def history(scores: pd.DataFrame, names: Sequence[str], terms: Terms, days: int) -> History:
    """The rates of predictions on the eras that all of them have scores for.

    Parameters
    ----------
    scores : DataFrame with `era`, `prediction`, `corr` and `mmc`, a row for each era and prediction; NaN where there is no
        score. An era in which a prediction lacks a score that is paid for is left out for all, and counted.
    names : of the predictions.
    days : trading days that the target looks ahead.

    Raises
    ------
    InputError
        If a prediction isn't there, there is none, an era is there twice, a score that is paid for is in no era, or there are too few eras.
    """
    names, known = list(dict.fromkeys(names)), list(dict.fromkeys(scores[PREDICTION]))
    for name in names:
        if name not in known:
            raise InputError(f"models: no prediction with scores is called {name!r}; there are {', '.join(map(str, known))}")
    if not names:
        raise InputError("scores: no prediction has a score in any era; take others, such as --scores cv, or run `dvc repro evaluate`")
    rows = scores[scores[PREDICTION].isin(names)]
    twice = rows[rows.duplicated([ERA, PREDICTION])]
    if len(twice):
        raise InputError(f"scores: era {twice[ERA].iloc[0]} of {twice[PREDICTION].iloc[0]} is there twice; expected one row each")
    tables = {score: rows.pivot(index=ERA, columns=PREDICTION, values=score)[names].sort_index() for score in ("corr", "mmc")}
    corr, mmc = (table.to_numpy(np.float64) for table in tables.values())
    eras = tables["corr"].index.to_numpy(np.int64)
    for score, values, multiplier in (("corr", corr, terms.corr_multiplier), ("mmc", mmc, terms.mmc_multiplier)):
        without = [name for name, column in zip(names, values.T, strict=True) if np.isnan(column).all()]
        if multiplier and without:
            raise InputError(
                f"scores: {without[0]} has no {score.upper()} in any era, and the round pays for it (multiplier {multiplier:g}); "
                "take scores that have it, such as those of validation, or set its multiplier to 0"
            )
    raw = unclipped(corr, mmc, terms)
    both = np.isfinite(raw).all(axis=1)
    overlap = spanned_eras(eras[both], spanned_weeks(days))
    if both.sum() < LEAST_SPANS * overlap:
        raise InputError(
            f"scores: {both.sum()} eras have all scores of {', '.join(names)}; expected {LEAST_SPANS * overlap}, {LEAST_SPANS} spans of "
            "the target, since fewer say nothing of a year; take more eras, or fewer models"
        )
    every = weeks_apart(eras[both])
    return History(tuple(names), eras[both], corr[both], mmc[both], raw[both], terms, int((~both).sum()), every, overlap)


def stakes(weekly: Floats, rounds: int, span: int) -> Floats:
    """What a stake of 1 becomes: `S[t] = S[t-1] + rounds · S[t-span] · weekly[t-span]`, not below 0.

    Parameters
    ----------
    weekly : (weeks, ...), the rate of each round that opens in the week.
    rounds : that open in a week, each on the whole stake.
    span : weeks from the opening of a round to its payout.

    Returns
    -------
    (weeks + span, ...), from the week when the first rounds open, where it is 1, to that when the last ones have paid.
    """
    weeks = len(weekly)
    stake = np.ones((weeks + span, *weekly.shape[1:]))
    for week in range(weeks):
        stake[week + span] = np.maximum(stake[week + span - 1] + rounds * stake[week] * weekly[week], 0.0)
    return stake


def outlook(found: History, year: Year) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a round and a year of rounds bring to a stake on each prediction.

    Years are drawn from the eras by a stationary bootstrap, all predictions by the same one; the rounds of 52 weeks open, and
    the year ends when the last has paid. Deviations from the mean are stretched by what such a bootstrap loses: see `calm`.

    How years differ is one thing, how well these eras know the law that years are drawn from another. What is to be believed
    of the true mean is the t distribution of `significance.mean`, which is that of a normal mean whose spread isn't known
    either: `spread = sqrt(degrees / chi-squared)` times the one that was seen, and `mean + error · spread · normal`. So each
    figure of a year has three forms: with the mean and spread that were seen; `_low` and `_high`, which hold 95 % of what the
    figure would be over those beliefs; and `_all`, over years that each have another law.

    Returns
    -------
    A row for each prediction: `prediction`, `eras`, `corr`, `mmc` (means); for a round `rate` (mean payout for each unit of
    stake) and `burn` (the share of rounds that burn), each with `_low` and `_high`, at either end of the mean's 95 %
    interval, `burn_size` (the mean rate of those, NaN without any) and `clipped` (the share of rounds that the clip cuts); for
    a year `growth` (mean of what a stake of 1 becomes), its `median`, `p05` and `p95`, `loss` (the chance to end below 1) and
    `drawdown` (that of a fall beyond `year.drawdown`), each with `_low`, `_high` and `_all`.
    And a row for each prediction and week: `prediction`, `week`, `p05`, `median`, `p95`, `p05_all`, `p95_all`.
    """
    means = [significance.mean(column, overlap=found.overlap) for column in found.raw.T]
    reach = np.array([0.0 if mean.reason else (mean.high - mean.low) / 2 for mean in means])
    degrees = np.array([max(mean.degrees, 1) for mean in means])
    length = mean_block(found.raw, found.overlap)
    picks, stretch = _picks(found, length, year), 1 / np.sqrt(calm(length, found.overlap))

    def paths(shift: Floats, spread: Floats, years: int) -> Floats:
        """(weeks, years, predictions) stakes, where the mean is moved and deviations from it are stretched."""
        centre = found.raw.mean(axis=0)
        weekly = centre + shift + spread * stretch * (found.raw - centre)[picks[:, :years]]
        return stakes(clipped(weekly, found.terms), year.rounds, year.span)

    seen = paths(np.zeros(len(means)), np.ones(len(means)), year.replicates)
    told = paths(*beliefs(reach, degrees, year.replicates), year.replicates)
    laws = [
        _ending(paths(*law, year.replicates // YEARS_SHARE), year.drawdown)
        for law in zip(*beliefs(reach, degrees, year.draws), strict=True)
    ]
    rounds = [_round(clipped(found.raw + shift, found.terms)) for shift in (0.0, -reach, reach)]
    table: dict[str, Any] = {PREDICTION: list(found.names), "eras": len(found.eras)}
    table |= {"corr": found.corr.mean(axis=0), "mmc": found.mmc.mean(axis=0)}
    for name, (value, at_low, at_high) in _by_name(rounds).items():
        table |= {name: value, f"{name}_low": np.minimum(at_low, at_high), f"{name}_high": np.maximum(at_low, at_high)}
    table |= {"burn_size": _burn_size(found.rates), "clipped": (np.abs(found.raw) > found.terms.clip).mean(axis=0)}
    believed, over_all = _by_name(laws), _ending(told, year.drawdown)
    for name, value in _ending(seen, year.drawdown).items():
        low, high = np.quantile(believed[name], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        table |= {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_all": over_all[name]}
    return pd.DataFrame(table), _bands(found.names, seen, told)


def calm(length: float, overlap: int) -> float:
    """How much of the long-run variance of overlapping eras a stationary bootstrap keeps, which cuts them between its blocks.

    `sum of q^|k| (1 - |k| / overlap) / overlap` with `q = 1 - 1 / length` (Politis & Romano 1994), for the autocorrelations
    `1 - |k| / overlap` that a target gives which spans so many eras.

    Parameters
    ----------
    length : mean length of the blocks, in eras.
    """
    lags = np.arange(1, overlap)
    return float(1 + 2 * ((1 - 1 / length) ** lags * (1 - lags / overlap)).sum()) / overlap


def beliefs(reach: Floats, degrees: NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
    """(count, predictions) shifts of the mean, and its spreads, evenly over what is believed of both.

    Parameters
    ----------
    reach : (predictions,), half the mean's 95 % interval.
    degrees : (predictions,), of freedom of its t distribution.
    """
    place = np.arange(count)[:, None]
    spread = np.sqrt(degrees / chdtri(degrees, (place + 0.5) / count))
    error = reach / stdtrit(degrees, (1 + LEVEL) / 2)
    return error * spread * ndtri((place * GOLDEN + 0.5) % 1), spread


def weeks_apart(eras: NDArray[np.int64]) -> int:
    """Weeks from one era (ascending) to the next: more than 1 where only every n-th week is an era."""
    return max(1, round(float(np.median(np.diff(eras))))) if len(eras) > 1 else 1


def mean_block(columns: Floats, overlap: int) -> float:
    """Mean length of the blocks of a stationary bootstrap of (eras, ...) columns, the same for all of them."""
    return max(2.0 * overlap, *(significance.block_length(column) for column in columns.T))


def split(found: History, year: Year, cap: float) -> Split:
    """Divide a stake over models so that its mean log growth is highest, and say how well that is known.

    The rounds of `span` weeks are open at once on the same stake, so their payouts add before it changes: what is maximised is
    the mean over the eras of `log(1 + sum of the payouts of the rounds open together)`, which is concave in the shares. All
    models share the stake and shares are kept: what one has won or lost is moved to the others.

    The intervals of the shares are those of a stationary bootstrap over eras. The growth on the eras of the fit flatters the
    fit; what it is worth is judged on each of `FOLDS` blocks of eras by the split fitted on the others, less those that a
    target spans beside the block.

    Parameters
    ----------
    cap : the largest share of a model, 0..1.
    """
    together = _together(found, year)
    equal = min(1 / len(found.names), cap)
    shares = _fitted(together, cap)
    length = mean_block(together, found.overlap)
    order = significance.stationary_order(len(together), length, year.draws, np.random.default_rng(year.seed))
    drawn = np.array([_fitted(together[rows], cap) for rows in order])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    flat = np.full(len(found.names), equal)
    fitted, even, unseen = (
        _grown((found.rates * part).sum(axis=1), found.every, year) for part in (shares, flat, _unseen(found, year, cap))
    )
    difference = significance.paired_difference(unseen, even, overlap=found.overlap, seed=year.seed)
    return Split(found.names, shares, low, high, equal, float(fitted.mean()), float(even.mean()), float(unseen.mean()), difference)


def _picks(found: History, length: float, year: Year) -> NDArray[np.int64]:
    """(52, replicates) positions of eras: an era stands for the weeks up to the next."""
    steps = -(-WEEKS // found.every)
    order = significance.stationary_order(len(found.eras), length, year.replicates, np.random.default_rng(year.seed), steps)
    return np.repeat(order, found.every, axis=1)[:, :WEEKS].T


def _round(rate: Floats) -> dict[str, Floats]:
    return {"rate": rate.mean(axis=0), "burn": (rate < 0).mean(axis=0)}


def _burn_size(rate: Floats) -> Floats:
    burns = (rate < 0).sum(axis=0)
    return np.where(burns > 0, np.minimum(rate, 0.0).sum(axis=0) / np.maximum(burns, 1), np.nan)


def _ending(path: Floats, drawdown: float) -> dict[str, Floats]:
    last = path[-1]
    fall = (1 - path / np.maximum.accumulate(path, axis=0)).max(axis=0)
    p05, median, p95 = np.quantile(last, [TAILS[0], 0.5, TAILS[1]], axis=0)
    return {
        "growth": last.mean(axis=0),
        "median": median,
        "p05": p05,
        "p95": p95,
        "loss": (last < 1).mean(axis=0),
        "drawdown": (fall > drawdown).mean(axis=0),
    }


def _by_name(blocks: Sequence[dict[str, Floats]]) -> dict[str, list[Floats]]:
    return {name: [block[name] for block in blocks] for name in blocks[0]}


def _bands(names: Sequence[str], seen: Floats, told: Floats) -> pd.DataFrame:
    p05, median, p95 = np.quantile(seen, [TAILS[0], 0.5, TAILS[1]], axis=1)
    p05_all, p95_all = np.quantile(told, TAILS, axis=1)
    columns = {"p05": p05, "median": median, "p95": p95, "p05_all": p05_all, "p95_all": p95_all}
    weeks = np.arange(len(seen))
    parts = [
        pd.DataFrame({PREDICTION: name, "week": weeks} | {column: values[:, k] for column, values in columns.items()})
        for k, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)


def _together(found: History, year: Year) -> Floats:
    """(eras - overlap + 1, models): what the rounds that are open together from an era on pay for each unit of stake."""
    total = np.cumsum(np.vstack([np.zeros(len(found.names)), found.rates]), axis=0)
    return (total[found.overlap :] - total[: -found.overlap]) * year.rounds * year.span / found.overlap


def _fitted(together: Floats, cap: float) -> Floats:
    """(models,) shares, in 0..cap and of sum at most 1, of the highest mean logarithm of `1 + together @ shares`."""
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


def _unseen(found: History, year: Year, cap: float) -> Floats:
    """(eras, models) shares that each era would have had by the split fitted without it and those near it."""
    together, eras = _together(found, year), len(found.eras)
    place = np.arange(len(together))
    shares = np.empty((eras, len(found.names)))
    for block in np.array_split(np.arange(eras), FOLDS):
        far = (place + 2 * found.overlap - 1 < block[0]) | (place >= block[-1] + 1 + found.overlap)
        shares[block] = _fitted(together[far], cap)
    return shares


def _grown(rate: Floats, every: int, year: Year) -> Floats:
    """(eras,) log growth a year of a stake that goes through the eras in their order, an era's rounds each."""
    path = stakes(np.repeat(rate, every), year.rounds, year.span)
    stake = np.maximum(path[year.span - 1 :], np.finfo(float).tiny)
    return np.diff(np.log(stake)).reshape(len(rate), every).mean(axis=1) * WEEKS
