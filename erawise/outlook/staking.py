"""Payouts of scores: payout and burn of each round, and a year of them under the terms of a regime.

Arithmetic alone, on scores that are there; nothing here can move a stake.

What is assumed, on top of the formula of `unclipped`:

- A regime of whole stakes puts the whole stake at risk in every round that opens, on its value at the opening; a round pays or burns
  when its target is over, and what it pays is staked from then on. Meanwhile later rounds have opened on the stake as it was, so that a
  bad month hits it as often as rounds were open. A stake never falls below 0.
- A regime of stakes by round divides the stake evenly over the rounds that are open at once, one position more with each round that
  opens; see `positions`.
- All rounds of a week have the score of the week's era. They overlap in all but a few days, and taking them as one is the
  cautious choice: it leaves no diversification between them.
- The weeks to come are like the eras of the history, in blocks, with the terms of one round throughout. A model that has been
  chosen on these eras, a change of the multipliers and a market that changes are in no interval.

References
----------
Politis & Romano (1994), The stationary bootstrap, J. American Statistical Association 89(428).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import chdtri, ndtri, stdtrit

from erawise.base.schema import ERA, LEAST_SPANS, PREDICTION, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.evaluation.significance import LEVEL
from erawise.outlook.payout_contract import Mode
from erawise.regimes.regimes import Regime
from erawise.running.errors import InputError, known_names

Floats = NDArray[np.float64]

WEEKS = 52
TAILS = (0.05, 0.95)
"""Quantiles that bound nine years of ten."""

YEARS_SHARE = 5
"""One simulated year of so many is taken again for each draw of what is believed."""

AT_ONCE = 4096
"""Years that are simulated side by side: as many as stay in a processor's cache."""

GOLDEN = (np.sqrt(5) - 1) / 2
"""Steps of this size, modulo 1, fill 0..1 evenly."""


@dataclass(frozen=True)
class Terms:
    """What a round pays for, and what is staked on it.

    Attributes
    ----------
    multipliers : of each column of scores that pays; see `unclipped`.
    payout_factor, clip : see `unclipped`.
    per_week : rounds that open in a week.
    weeks : from the opening of a round to its payout.
    concurrent : rounds that are open at once, each on a stake of its own; None: each is on the whole stake.
    """

    multipliers: Mapping[str, float]
    payout_factor: float
    clip: float
    per_week: int
    weeks: int
    concurrent: int | None = None

    @property
    def exposure(self) -> float:
        """Return how many times the stake is at risk at once."""
        return float(self.per_week * self.weeks) if self.concurrent is None else 1.0


@dataclass(frozen=True)
class Year:
    """How a year is simulated.

    Attributes
    ----------
    mode : of stakes by round.
    drawdown : a fall of the stake from its highest value so far, as a share of it, the chance of which is asked.
    replicates : simulated years.
    draws : of what the eras leave open, behind the intervals.
    seed : of the bootstrap.
    """

    mode: Mode
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
    scores : (eras, predictions) of each column of scores.
    terms : that the rates are by.
    left_out : eras of the scores where at least one prediction lacks one.
    every : weeks from one era to the next.
    overlap : eras that a target spans.
    """

    names: tuple[str, ...]
    eras: NDArray[np.int64]
    scores: Mapping[str, Floats]
    terms: Terms
    left_out: int
    every: int
    overlap: int

    @property
    def raw(self) -> Floats:
        """Return (eras, predictions), the rate of a round's payout before it is clipped."""
        return unclipped(self.scores, self.terms)

    @property
    def rates(self) -> Floats:
        """Return (eras, predictions), clipped."""
        return clipped(self.raw, self.terms)

    def under(self, terms: Terms) -> "History":
        """Return the same scores under other terms."""
        return replace(self, terms=terms)


def terms_of(regime: Regime, total_at_risk: float) -> Terms:
    """Return the terms of a regime, as scores of eras are paid by it.

    Parameters
    ----------
    total_at_risk : NMR at risk in a round, which the factor of some regimes depends on.

    Raises
    ------
    InputError
        If it pays for a score that isn't among those of eras.
    """
    return Terms(regime.multipliers(), regime.factor.at(total_at_risk), regime.clip, regime.per_week, regime.weeks, regime.positions)


def unclipped(scores: Mapping[str, Floats], terms: Terms) -> Floats:
    """Return what a round pays for each unit of stake before it is clipped; NaN if a score that is paid for is NaN.

    `payout_factor · sum of score · multiplier` (docs.numer.ai, payouts).
    """
    paid = [np.asarray(scores[name], np.float64) * multiplier for name, multiplier in terms.multipliers.items() if multiplier]
    return terms.payout_factor * sum(paid[1:], paid[0])


def clipped(raw: Floats, terms: Terms) -> Floats:
    """Return unclipped rates within `-clip .. clip`; negative: burns."""
    return np.clip(raw, -terms.clip, terms.clip)


def history(
    scores: pd.DataFrame, names: Sequence[str], terms: Terms, days: int, also: Sequence[Terms] = (), today: date | None = None
) -> History:
    """Return the rates of predictions on the eras that all of them have scores for.

    Parameters
    ----------
    scores : DataFrame with `era`, `prediction` and columns of scores, a row for each era and prediction; NaN where there is no
        score. An era in which a prediction lacks a score that is paid for is left out for all, and counted.
    names : of the predictions.
    days : trading days that the target looks ahead.
    also : other terms, whose scores the eras must have as well.
    today : the day from which new eras are counted; None: the true one.

    Raises
    ------
    InputError
        If a prediction isn't there, there is none, an era is there twice, a score that is paid for is in no era, or there are too few eras.
    """
    names, known = list(dict.fromkeys(names)), list(dict.fromkeys(scores[PREDICTION]))
    for name in names:
        if name not in known:
            raise InputError(f"models: no prediction with scores is called {name!r}; there are {known_names(known, name)}")
    if not names:
        raise InputError("scores: no prediction has a score in any era; take others, such as --scores cv, or run `dvc repro evaluate`")
    rows = scores[scores[PREDICTION].isin(names)]
    twice = rows[rows.duplicated([ERA, PREDICTION])]
    if len(twice):
        raise InputError(f"scores: era {twice[ERA].iloc[0]} of {twice[PREDICTION].iloc[0]} is there twice; expected one row each")
    paid = {score: weight for one in (*also, terms) for score, weight in one.multipliers.items() if weight}
    for score, weight in paid.items():
        without = [name for name in names if score not in rows or rows.loc[rows[PREDICTION] == name, score].isna().all()]
        if without:
            raise InputError(
                f"scores: {without[0]} has no {score.upper()} in any era, and the round pays for it (multiplier {weight:g}); "
                "take scores that have it, such as those of validation, or --stand-in"
            )
    tables = {score: rows.pivot(index=ERA, columns=PREDICTION, values=score)[names].sort_index() for score in paid}
    eras = next(iter(tables.values())).index.to_numpy(np.int64)
    values = {score: table.to_numpy(np.float64) for score, table in tables.items()}
    both = np.all([np.isfinite(column).all(axis=1) for column in values.values()], axis=0)
    overlap, every = spanned_eras(eras[both], spanned_weeks(days)), weeks_apart(eras[both])
    _require_enough(int(both.sum()), names, overlap, weeks_apart(eras), today or date.today())
    return History(
        tuple(names), eras[both], {score: column[both] for score, column in values.items()}, terms, int((~both).sum()), every, overlap
    )


def _require_enough(eras: int, names: Sequence[str], overlap: int, every: int, today: date) -> None:
    """Raise `InputError` if eras are too few for a year, with the number that it takes and the day when there are as many."""
    needed = LEAST_SPANS * overlap
    if eras < needed:
        weeks = (needed - eras) * every
        raise InputError(
            f"scores: {eras} eras have all scores of {', '.join(names)} (MMC only where there is a meta model); a year needs {needed}, "
            f"{LEAST_SPANS} spans of a target of {overlap} era{'s' * (overlap > 1)}; with an era every {'' if every == 1 else f'{every} '}"
            f"week{'s' * (every > 1)} there are enough about {today + timedelta(weeks=weeks)}; until then take --stand-in, or fewer models"
        )


def stakes(weekly: Floats, rounds: int, span: int) -> Floats:
    """Return what a stake of 1 becomes: `S[t] = S[t-1] + rounds · S[t-span] · weekly[t-span]`, not below 0.

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


def positions(rates: Floats, concurrent: int, mode: Mode) -> Floats:
    """Return what a deposit of 1 becomes that is staked by round, `1 / concurrent` on each, from the first round on.

    One position opens a round, first from idle NMR, then from the claim of the round that has settled meanwhile and from idle NMR. It is
    `payout_contract.Strategy` with one model, for many years at once. Debt is left out: it changes nothing of what the participant has.

    Parameters
    ----------
    rates : (rounds, ...), of the rounds in the order of their opening, each at least -1.
    concurrent : rounds that are open at once.

    Returns
    -------
    (rounds, ...), after each settlement.
    """
    size, rounds = 1 / concurrent, len(rates)
    staked, value = np.empty((concurrent, *rates.shape[1:])), np.empty(rates.shape)
    idle, total = np.ones(rates.shape[1:]), np.ones(rates.shape[1:])
    claim: Floats = np.zeros(rates.shape[1:])
    for opening in range(rounds + concurrent):
        place = opening % concurrent
        if opening >= concurrent:
            gain = staked[place] * rates[opening - concurrent]
            claim = staked[place] + gain
            total = total + gain
            value[opening - concurrent] = total
        if opening < rounds:
            available = idle + claim
            wanted = np.maximum(claim, size) if mode == "compound" else size
            staked[place] = np.minimum(wanted, available)
            idle = available - staked[place]
    return value


def grown(weekly: Floats, terms: Terms, mode: Mode) -> Floats:
    """Return (weeks + 1, ...) what a stake of 1 has become when the rounds of each week, of these rates, have paid; 1 first."""
    if terms.concurrent is None:
        return stakes(weekly, terms.per_week, terms.weeks)[terms.weeks - 1 :]
    value = positions(np.repeat(weekly, terms.per_week, axis=0), terms.concurrent, mode)
    return np.concatenate([np.ones((1, *weekly.shape[1:])), value[terms.per_week - 1 :: terms.per_week]])


def outlook(found: History, year: Year) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a round and a year of rounds bring to a stake on each prediction.

    Years are drawn from the eras by a stationary bootstrap, all predictions by the same one; the rounds of 52 weeks open, and
    the year ends when the last has paid. Deviations from the mean are stretched by what such a bootstrap loses: see `calm`.

    How years differ is one thing, how well these eras know the law that years are drawn from another. What is to be believed
    of the true mean is the t distribution of `significance.mean`, which is that of a normal mean whose spread isn't known
    either: `spread = sqrt(degrees / chi-squared)` times the one that was seen, and `mean + error · spread · normal`. So each
    figure of a year has three forms: with the mean and spread that were seen; `_low` and `_high`, which hold 95 % of what the
    figure would be over those beliefs; and `_all`, over years that each have another law.

    Returns
    -------
    A row for each prediction: `prediction`, `eras`, then the mean of each score; for a round `rate` (mean payout for each unit of
    stake) and `burn` (the share of rounds that burn), each with `_low` and `_high`, at either end of the mean's 95 %
    interval, `burn_size` (the mean rate of those, NaN without any) and `clipped` (the share of rounds that the clip cuts); for
    a year `growth` (mean of what a stake of 1 becomes), its `median`, `p05` and `p95`, `loss` (the chance to end below 1) and
    `drawdown` (that of a fall beyond `year.drawdown`), each with `_low`, `_high` and `_all`.
    And a row for each prediction and week: `prediction`, `week`, `p05`, `median`, `p95`, `p05_all`, `p95_all`.
    """
    law = Law(found, year)
    raw, terms = law.raw, found.terms
    seen = grown(law.weeks(np.zeros(len(found.names)), np.ones(len(found.names)), year.replicates), terms, year.mode)
    told = grown(law.believed(), terms, year.mode)
    years = year.replicates // YEARS_SHARE
    parts = max(1, year.draws * years * len(found.names) // AT_ONCE)
    laws = [
        _ending(grown(law.weeks(shift[:, None], spread[:, None], years), terms, year.mode), year.drawdown)
        for shift, spread in zip(*(np.array_split(one, parts) for one in beliefs(law.reach, law.degrees, year.draws)), strict=True)
    ]
    rounds = [_round(clipped(raw + shift, terms)) for shift in (0.0, -law.reach, law.reach)]
    table: dict[str, Any] = {PREDICTION: list(found.names), "eras": len(found.eras)}
    table |= {score: values.mean(axis=0) for score, values in found.scores.items()}
    for name, (value, at_low, at_high) in _by_name(rounds).items():
        table |= {name: value, f"{name}_low": np.minimum(at_low, at_high), f"{name}_high": np.maximum(at_low, at_high)}
    table |= {"burn_size": _burn_size(found.rates), "clipped": (np.abs(raw) > terms.clip).mean(axis=0)}
    believed, over_all = _by_name(laws), _ending(told, year.drawdown)
    for name, value in _ending(seen, year.drawdown).items():
        low, high = np.quantile(np.concatenate(believed[name]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        table |= {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_all": over_all[name]}
    return pd.DataFrame(table), _bands(found.names, seen, told, terms.weeks - 1)


def under_each(found: History, regimes: Mapping[str, Terms], year: Year) -> pd.DataFrame:
    """Return what the same eras would bring under several terms, over years that each have another law; see `outlook`.

    Returns
    -------
    A row for each of the terms, mode of staking and prediction: `regime`, `mode` (empty for whole stakes), `prediction`, `rate`, `burn`,
    and of a year `median`, `p05`, `p95`, `loss` and `drawdown`.
    """
    parts = []
    for name, terms in regimes.items():
        law = Law(found.under(terms), year)
        weekly = law.believed()
        modes: tuple[Mode, ...] = ("constant", "compound") if terms.concurrent else (year.mode,)
        for mode in modes:
            ending = _ending(grown(weekly, terms, mode), year.drawdown)
            kept = {key: ending[key] for key in ("median", "p05", "p95", "loss", "drawdown")}
            label = {"regime": name, "mode": mode if terms.concurrent else "", PREDICTION: list(found.names)}
            parts.append(pd.DataFrame(label | _round(found.under(terms).rates) | kept))
    return pd.concat(parts, ignore_index=True)


def modes(found: History, year: Year) -> pd.DataFrame:
    """Return constant and compound stakes by round in the same years, which each have another law; see `outlook`.

    Returns
    -------
    A row for each prediction: `prediction`, `constant` and `compound` (median of what a deposit of 1 becomes), `compound_better` (the
    share of years in which compound ends higher), and `idle`, the NMR beside the stakes, as a share of them, that tops every constant
    stake up in 95 % of the years.
    """
    weekly, concurrent = Law(found, year).believed(), found.terms.concurrent or 1
    constant, compound = (grown(weekly, found.terms, mode)[-1] for mode in ("constant", "compound"))
    settled = np.repeat(weekly, found.terms.per_week, axis=0)[: -concurrent or None]
    short = -np.minimum(np.cumsum(settled, axis=0).min(axis=0), 0.0) / concurrent
    return pd.DataFrame(
        {
            PREDICTION: list(found.names),
            "constant": np.median(constant, axis=0),
            "compound": np.median(compound, axis=0),
            "compound_better": (compound > constant).mean(axis=0),
            "idle": np.quantile(short, LEVEL, axis=0),
        }
    )


class Law:
    """The law that years are drawn from, and how far the eras leave it open.

    Attributes
    ----------
    raw : (eras, predictions), the rates before they are clipped.
    reach : (predictions,), half the 95 % interval of the mean rate.
    degrees : (predictions,), of freedom of its t distribution.
    """

    def __init__(self, found: History, year: Year) -> None:
        self.raw, self._terms, self._years = found.raw, found.terms, year.replicates
        means = [significance.mean(column, overlap=found.overlap) for column in self.raw.T]
        self.reach = np.array([0.0 if mean.reason else (mean.high - mean.low) / 2 for mean in means])
        self.degrees = np.array([max(mean.degrees, 1) for mean in means])
        length = mean_block(self.raw, found.overlap)
        self._picks, self._stretch = _picks(found, length, year), 1 / np.sqrt(calm(length, found.overlap))

    def weeks(self, shift: Floats, spread: Floats, years: int) -> Floats:
        """Return (weeks, ..., years, predictions) rates, of which the mean is moved and deviations from it are stretched.

        Parameters
        ----------
        shift, spread : (..., years or 1, predictions), or (predictions,).
        """
        centre = self.raw.mean(axis=0)
        deviation = (self.raw - centre)[self._picks[:, :years]]
        weeks, *rest = deviation.shape
        deviation = deviation.reshape(weeks, *[1] * (shift.ndim - 2), *rest)
        return clipped(centre + shift + spread * self._stretch * deviation, self._terms)

    def believed(self) -> Floats:
        """Return (weeks, years, predictions) rates of years that each have another law."""
        return self.weeks(*beliefs(self.reach, self.degrees, self._years), self._years)


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
    """Return figures of (weeks, ..., years, predictions) stakes, each (..., predictions)."""
    last = path[-1]
    fall = (1 - path / np.maximum.accumulate(path, axis=0)).max(axis=0)
    p05, median, p95 = np.quantile(last, [TAILS[0], 0.5, TAILS[1]], axis=-2)
    return {
        "growth": last.mean(axis=-2),
        "median": median,
        "p05": p05,
        "p95": p95,
        "loss": (last < 1).mean(axis=-2),
        "drawdown": (fall > drawdown).mean(axis=-2),
    }


def _by_name(blocks: Sequence[dict[str, Floats]]) -> dict[str, list[Floats]]:
    return {name: [block[name] for block in blocks] for name in blocks[0]}


def _bands(names: Sequence[str], seen: Floats, told: Floats, wait: int) -> pd.DataFrame:
    """Return quantiles by week; `wait` weeks pass before the first in which a round may pay."""
    seen, told = (np.concatenate([np.ones((wait, *path.shape[1:])), path]) for path in (seen, told))
    p05, median, p95 = np.quantile(seen, [TAILS[0], 0.5, TAILS[1]], axis=1)
    p05_all, p95_all = np.quantile(told, TAILS, axis=1)
    columns = {"p05": p05, "median": median, "p95": p95, "p05_all": p05_all, "p95_all": p95_all}
    weeks = np.arange(len(seen))
    parts = [
        pd.DataFrame({PREDICTION: name, "week": weeks} | {column: values[:, k] for column, values in columns.items()})
        for k, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)
