"""Payouts of scores: payout and burn of each round, and of a year of rounds under the terms of a regime.

This is only arithmetic on scores; it can't move a stake. Assumptions, in addition to the formula of `unclipped`:

- Under a regime of whole stakes, every round that opens puts the whole stake at risk, by its value at the opening. The round pays or burns
  when its target is over, and its payout is staked from then on. Until then, later rounds open on the old stake, so a bad month counts
  once for each open round. A stake never falls below 0.
- A regime of stakes by round divides the stake evenly over the rounds that are open at once. Each round that opens adds a position; see
  `positions`.
- All rounds of a week have the score of the week's era. They differ in only a few days, and to take them as one is cautious: it allows no
  diversification between them.
- Future weeks are like the eras of the history, in blocks, under the same terms. The intervals don't contain the choice of a model on
  these eras, a change of the multipliers, or a change of the market.

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
"""For each draw of the posterior, one of so many simulated years is used."""

AT_ONCE = 4096
"""Years that are simulated at once: so many fit into a processor's cache."""

GOLDEN = (np.sqrt(5) - 1) / 2
"""Steps of this size, modulo 1, fill 0..1 evenly."""


@dataclass(frozen=True)
class Terms:
    """The terms of a round's payout, and of the stake on it.

    Attributes
    ----------
    multipliers : of each column of scores that pays; see `unclipped`.
    payout_factor, clip : see `unclipped`.
    per_week : rounds that open in a week.
    weeks : from the opening of a round to its payout.
    concurrent : rounds that are open at once, each on its own stake; None: each is on the whole stake.
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
    """Settings of the simulation of a year.

    Attributes
    ----------
    mode : of stakes by round.
    drawdown : a fall of the stake, as a share of its highest value so far; its probability is computed.
    replicates : simulated years.
    draws : of mean and spread, for the intervals.
    seed : of the bootstrap.
    """

    mode: Mode
    drawdown: float
    replicates: int
    draws: int
    seed: int


@dataclass(frozen=True)
class History:
    """The payout rates of several predictions, on the eras in which all of them have scores.

    Attributes
    ----------
    names : of the predictions.
    eras : (eras,), ascending.
    scores : (eras, predictions) for each column of scores.
    terms : of the payout.
    left_out : number of eras in which a prediction lacks a score.
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
        """Return the (eras, predictions) payout rates of a round before they are clipped."""
        return unclipped(self.scores, self.terms)

    @property
    def rates(self) -> Floats:
        """Return the (eras, predictions) clipped payout rates."""
        return clipped(self.raw, self.terms)

    def under(self, terms: Terms) -> "History":
        """Return the same scores under other terms."""
        return replace(self, terms=terms)


def terms_of(regime: Regime, total_at_risk: float) -> Terms:
    """Return the terms of a regime for scores of eras.

    Parameters
    ----------
    total_at_risk : NMR at risk in a round, on which the factor of some regimes depends.

    Raises
    ------
    InputError
        If the regime pays for a score that no era has.
    """
    return Terms(regime.multipliers(), regime.factor.for_total(total_at_risk), regime.clip, regime.per_week, regime.weeks, regime.positions)


def unclipped(scores: Mapping[str, Floats], terms: Terms) -> Floats:
    """Return a round's payout for each unit of stake before it is clipped; NaN if a score that is paid for is NaN.

    `payout_factor · sum of score · multiplier` (docs.numer.ai, payouts).
    """
    paid = [np.asarray(scores[name], np.float64) * multiplier for name, multiplier in terms.multipliers.items() if multiplier]
    return terms.payout_factor * sum(paid[1:], paid[0])


def clipped(raw: Floats, terms: Terms) -> Floats:
    """Clip rates to `-clip .. clip`; negative rates are burns."""
    return np.clip(raw, -terms.clip, terms.clip)


def history(
    scores: pd.DataFrame, names: Sequence[str], terms: Terms, days: int, also: Sequence[Terms] = (), today: date | None = None
) -> History:
    """Return the payout rates of predictions on the eras in which all of them have scores.

    Parameters
    ----------
    scores : DataFrame with `era`, `prediction` and columns of scores, a row for each era and prediction; NaN without a score. An era in
        which a prediction lacks a score that is paid for is left out for all, and counted.
    names : of the predictions.
    days : trading days that the target looks ahead.
    also : other terms, whose scores the eras must have too.
    today : the day from which new eras are counted; None: the current day.

    Raises
    ------
    InputError
        If there is no prediction, one is missing, an era is there twice, a score that is paid for is in no era, or there are too few eras.
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
                "take scores that have it, by another --scores or by --stand-in, or name the other predictions by --models"
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
    """Raise `InputError` if there are too few eras for a year, with the number needed and the day when there will be enough."""
    needed = LEAST_SPANS * overlap
    if eras < needed:
        weeks = (needed - eras) * every
        raise InputError(
            f"scores: {eras} eras have all scores of {', '.join(names)} (MMC needs a meta model); a year needs {needed}, "
            f"{LEAST_SPANS} spans of a target of {overlap} era{'s' * (overlap > 1)}; with an era every {'' if every == 1 else f'{every} '}"
            f"week{'s' * (every > 1)} there are enough about {today + timedelta(weeks=weeks)}; until then take --stand-in, or fewer models"
        )


def stakes(weekly: Floats, rounds: int, span: int) -> Floats:
    """Return the growth of a stake of 1: `S[t] = S[t-1] + rounds · S[t-span] · weekly[t-span]`, not below 0.

    Parameters
    ----------
    weekly : (weeks, ...), the rate of each round that opens in the week.
    rounds : that open in a week, each on the whole stake.
    span : weeks from the opening of a round to its payout.

    Returns
    -------
    (weeks + span, ...), from the week in which the first rounds open, with 1, to the week in which the last rounds have paid.
    """
    weeks = len(weekly)
    stake = np.ones((weeks + span, *weekly.shape[1:]))
    for week in range(weeks):
        stake[week + span] = np.maximum(stake[week + span - 1] + rounds * stake[week] * weekly[week], 0.0)
    return stake


def positions(rates: Floats, concurrent: int, mode: Mode) -> Floats:
    """Return the growth of a deposit of 1 that is staked by round, `1 / concurrent` on each, from the first round on.

    Each round opens a position: the first ones from idle NMR, later ones from the claim of the round that has just settled and from idle
    NMR. It is `payout_contract.Strategy` with one model, for many years at once. Debt is left out: the participant has the same without it.

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
    """Return (weeks + 1, ...) the value of a stake of 1 when the rounds of each week, with these rates, have paid; the first is 1."""
    if terms.concurrent is None:
        return stakes(weekly, terms.per_week, terms.weeks)[terms.weeks - 1 :]
    value = positions(np.repeat(weekly, terms.per_week, axis=0), terms.concurrent, mode)
    return np.concatenate([np.ones((1, *weekly.shape[1:])), value[terms.per_week - 1 :: terms.per_week]])


def outlook(found: History, year: Year) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the results of a round and of a year of rounds for a stake on each prediction.

    Years are drawn from the eras by one stationary bootstrap for all predictions. Rounds open in 52 weeks, and the year ends when the last
    has paid. Deviations from the mean are stretched, since such a bootstrap loses variance: see `variance_kept`.

    Years differ by chance, and also because the eras leave mean and spread uncertain. The true mean has the t distribution of
    `significance.mean`, as a normal mean of unknown spread has. So the spread is drawn as `sqrt(degrees / chi-squared)` times the observed
    one, and the mean as `mean + error · spread · normal`. Each figure of a year has three forms:

    - with the observed mean and spread,
    - `_low` and `_high`: the 95 % interval of the figure over draws of mean and spread,
    - `_all`: over years that each have another draw.

    Returns
    -------
    A row for each prediction: `prediction`, `eras`, the mean of each score, and

    - for a round: `rate` (mean payout for each unit of stake) and `burn` (share of rounds that burn), each with `_low` and `_high` at the
        ends of the mean's 95 % interval; `burn_size` (mean rate of burns, NaN without any); `clipped` (share of rounds that are clipped);
    - for a year: `growth` (mean value of a stake of 1 at its end), `median`, `p05` and `p95` of that value, `loss` (probability to end
        below 1) and `drawdown` (probability of a fall of more than `year.drawdown`), each with `_low`, `_high` and `_all`.

    And a row for each prediction and week: `prediction`, `week`, `p05`, `median`, `p95`, `p05_all`, `p95_all`.
    """
    law = Law(found, year)
    raw, terms = law.raw, found.terms
    seen = grown(law.weeks(np.zeros(len(found.names)), np.ones(len(found.names)), year.replicates), terms, year.mode)
    drawn = grown(law.drawn_weeks(), terms, year.mode)
    years = year.replicates // YEARS_SHARE
    parts = max(1, year.draws * years * len(found.names) // AT_ONCE)
    laws = [
        _ending(grown(law.weeks(shift[:, None], spread[:, None], years), terms, year.mode), year.drawdown)
        for shift, spread in zip(
            *(np.array_split(one, parts) for one in posterior_draws(law.half_width, law.degrees, year.draws)), strict=True
        )
    ]
    rounds = [_round(clipped(raw + shift, terms)) for shift in (0.0, -law.half_width, law.half_width)]
    table: dict[str, Any] = {PREDICTION: list(found.names), "eras": len(found.eras)}
    table |= {score: values.mean(axis=0) for score, values in found.scores.items()}
    for name, (value, at_low, at_high) in _by_name(rounds).items():
        table |= {name: value, f"{name}_low": np.minimum(at_low, at_high), f"{name}_high": np.maximum(at_low, at_high)}
    table |= {"burn_size": _burn_size(found.rates), "clipped": (np.abs(raw) > terms.clip).mean(axis=0)}
    posterior, over_all = _by_name(laws), _ending(drawn, year.drawdown)
    for name, value in _ending(seen, year.drawdown).items():
        low, high = np.quantile(np.concatenate(posterior[name]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        table |= {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_all": over_all[name]}
    return pd.DataFrame(table), _bands(found.names, seen, drawn, terms.weeks - 1)


def under_each(found: History, regimes: Mapping[str, Terms], year: Year) -> pd.DataFrame:
    """Return the results of the same eras under several terms, over years that each have another draw of mean and spread; see `outlook`.

    Returns
    -------
    A row for each regime, mode of staking and prediction: `regime`, `mode` (empty for whole stakes), `prediction`, `rate`, `burn`, and for
    a year `median`, `p05`, `p95`, `loss` and `drawdown`.
    """
    parts = []
    for name, terms in regimes.items():
        law = Law(found.under(terms), year)
        weekly = law.drawn_weeks()
        modes: tuple[Mode, ...] = ("constant", "compound") if terms.concurrent else (year.mode,)
        for mode in modes:
            ending = _ending(grown(weekly, terms, mode), year.drawdown)
            kept = {key: ending[key] for key in ("median", "p05", "p95", "loss", "drawdown")}
            label = {"regime": name, "mode": mode if terms.concurrent else "", PREDICTION: list(found.names)}
            parts.append(pd.DataFrame(label | _round(found.under(terms).rates) | kept))
    return pd.concat(parts, ignore_index=True)


def modes(found: History, year: Year) -> pd.DataFrame:
    """Compare constant and compound stakes by round in the same years, which each have another draw of mean and spread; see `outlook`.

    Returns
    -------
    A row for each prediction: `prediction`, `constant` and `compound` (median value of a deposit of 1 after a year), `compound_better`
    (share of years in which compound ends higher), and `idle`: the NMR in addition to the stakes, as a share of them, that keeps every
    stake constant in 95 % of the years.
    """
    weekly, concurrent = Law(found, year).drawn_weeks(), found.terms.concurrent or 1
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
    """The distribution from which years are drawn, with the uncertainty of its mean and spread.

    Attributes
    ----------
    raw : (eras, predictions), the rates before they are clipped.
    half_width : (predictions,), half the width of the mean rate's 95 % interval.
    degrees : (predictions,), degrees of freedom of its t distribution.
    """

    def __init__(self, found: History, year: Year) -> None:
        self.raw, self._terms, self._years = found.raw, found.terms, year.replicates
        means = [significance.mean(column, overlap=found.overlap) for column in self.raw.T]
        self.half_width = np.array([0.0 if mean.reason else (mean.high - mean.low) / 2 for mean in means])
        self.degrees = np.array([max(mean.degrees, 1) for mean in means])
        length = mean_block(self.raw, found.overlap)
        self._picks, self._stretch = _picks(found, length, year), 1 / np.sqrt(variance_kept(length, found.overlap))

    def weeks(self, shift: Floats, spread: Floats, years: int) -> Floats:
        """Return (weeks, ..., years, predictions) rates with a shifted mean and stretched deviations from it.

        Parameters
        ----------
        shift, spread : (..., years or 1, predictions), or (predictions,).
        """
        centre = self.raw.mean(axis=0)
        deviation = (self.raw - centre)[self._picks[:, :years]]
        weeks, *rest = deviation.shape
        deviation = deviation.reshape(weeks, *[1] * (shift.ndim - 2), *rest)
        return clipped(centre + shift + spread * self._stretch * deviation, self._terms)

    def drawn_weeks(self) -> Floats:
        """Return (weeks, years, predictions) rates of years that each have another draw of mean and spread."""
        return self.weeks(*posterior_draws(self.half_width, self.degrees, self._years), self._years)


def variance_kept(length: float, overlap: int) -> float:
    """Return the share of overlapping eras' long-run variance that a stationary bootstrap keeps; it cuts eras apart between blocks.

    `sum of q^|k| (1 - |k| / overlap) / overlap` with `q = 1 - 1 / length` (Politis & Romano 1994). The autocorrelations of a target that
    spans `overlap` eras are `1 - |k| / overlap`.

    Parameters
    ----------
    length : mean length of the blocks, in eras.
    """
    lags = np.arange(1, overlap)
    return float(1 + 2 * ((1 - 1 / length) ** lags * (1 - lags / overlap)).sum()) / overlap


def posterior_draws(half_width: Floats, degrees: NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
    """Return (count, predictions) shifts of the mean and factors of the spread, evenly over the posterior of both.

    Parameters
    ----------
    half_width : (predictions,), half the width of the mean's 95 % interval.
    degrees : (predictions,), degrees of freedom of its t distribution.
    """
    place = np.arange(count)[:, None]
    spread = np.sqrt(degrees / chdtri(degrees, (place + 0.5) / count))
    error = half_width / stdtrit(degrees, (1 + LEVEL) / 2)
    return error * spread * ndtri((place * GOLDEN + 0.5) % 1), spread


def weeks_apart(eras: NDArray[np.int64]) -> int:
    """Return the weeks from one era to the next (eras ascending): more than 1 if only every n-th week is an era."""
    return max(1, round(float(np.median(np.diff(eras))))) if len(eras) > 1 else 1


def mean_block(columns: Floats, overlap: int) -> float:
    """Return the mean block length, in eras, of a stationary bootstrap of (eras, ...) columns, the same for all columns."""
    return max(2.0 * overlap, *(significance.block_length(column) for column in columns.T))


def _picks(found: History, length: float, year: Year) -> NDArray[np.int64]:
    """Return (52, replicates) positions of eras; an era stands for the weeks until the next era."""
    steps = -(-WEEKS // found.every)
    order = significance.stationary_order(len(found.eras), length, year.replicates, np.random.default_rng(year.seed), steps)
    return np.repeat(order, found.every, axis=1)[:, :WEEKS].T


def _round(rate: Floats) -> dict[str, Floats]:
    return {"rate": rate.mean(axis=0), "burn": (rate < 0).mean(axis=0)}


def _burn_size(rate: Floats) -> Floats:
    burns = (rate < 0).sum(axis=0)
    return np.where(burns > 0, np.minimum(rate, 0.0).sum(axis=0) / np.maximum(burns, 1), np.nan)


def _ending(path: Floats, drawdown: float) -> dict[str, Floats]:
    """Return figures (..., predictions) of stakes (weeks, ..., years, predictions)."""
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


def _bands(names: Sequence[str], seen: Floats, drawn: Floats, wait: int) -> pd.DataFrame:
    """Return quantiles by week; the first round may pay after `wait` weeks."""
    seen, drawn = (np.concatenate([np.ones((wait, *path.shape[1:])), path]) for path in (seen, drawn))
    p05, median, p95 = np.quantile(seen, [TAILS[0], 0.5, TAILS[1]], axis=1)
    p05_all, p95_all = np.quantile(drawn, TAILS, axis=1)
    columns = {"p05": p05, "median": median, "p95": p95, "p05_all": p05_all, "p95_all": p95_all}
    weeks = np.arange(len(seen))
    parts = [
        pd.DataFrame({PREDICTION: name, "week": weeks} | {column: values[:, k] for column, values in columns.items()})
        for k, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)
