"""Intervals and tests of a series of per-era scores, and of the difference of two, when eras overlap.

A target that looks weeks ahead makes the scores of neighbouring eras alike. 300 such eras tell about as much as 25 independent ones
if the target looks 60 days ahead, and as 75 at 20 days. No figure here treats eras as independent.

References
----------
Lazarus, Lewis, Stock & Watson (2018), HAR inference: recommendations for practice, J. Business & Economic Statistics 36(4).
Politis & Romano (1994), The stationary bootstrap, J. American Statistical Association 89(428).
Bailey & López de Prado (2014), The deflated Sharpe ratio, J. Portfolio Management 40(5).
Ledoit & Wolf (2008), Robust performance hypothesis testing with the Sharpe ratio, J. Empirical Finance 15(5).
Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian J. Statistics 6(2).
Bailey, Borwein, López de Prado & Zhu (2017), The probability of backtest overfitting, J. Computational Finance 20(4).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from erawise.base.schema import LEAST_SPANS

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Share of intervals that hold the true value."""

POWER = 0.8
"""Chance to establish a difference with the eras that `eras_to_tell` gives."""

BETTER, WORSE, OPEN = "better", "worse", "can't tell"

REPLICATES = 2000
DECIMALS = 12
"""Decimals of a difference of Sharpe ratios that count; the rest is rounding noise."""

EULER = 0.5772156649015329


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; NaN if it can't be given."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Mean:
    """The mean of a series of per-era scores.

    Attributes
    ----------
    eras : the number of eras that have a score.
    mean : NaN if no era has a score.
    low, high : two-sided 95 % interval; NaN if there are too few eras, or the scores are all equal.
    t_hac : mean over its standard error; Student's t with `degrees` degrees of freedom if the true mean is 0.
    degrees : the number of cosines that estimate the long-run variance.
    effective_eras : see the function of this name; NaN if there is no interval.
    probability_positive : by the same t distribution, used as the belief about the true mean.
    reason : why there is no interval; empty if there is one.
    """

    eras: int
    mean: float
    low: float
    high: float
    t_hac: float
    degrees: int
    effective_eras: float
    probability_positive: float
    reason: str = ""

    @property
    def verdict(self) -> str:
        """`better` if low > 0, `worse` if high < 0, else `can't tell`."""
        return BETTER if self.low > 0 else WORSE if self.high < 0 else OPEN

    @property
    def p_value(self) -> float:
        """The two-sided p-value of a true mean of 0; NaN without an interval."""
        return 2 * min(self.probability_positive, 1 - self.probability_positive)


@dataclass(frozen=True)
class Difference:
    """The paired difference of two series, `a - b`, era by era.

    Attributes
    ----------
    mean, low, high, t_hac, effective_eras : see `Mean`.
    probability_better : that the true mean of the difference is above 0.
    p_value, verdict : see `Mean`.
    eras : the number of eras that have both scores.
    eras_to_tell : eras that would establish a true difference of this mean in 80 % of cases; NaN without an interval.
    sharpe, drawdown : differences of the two series' Sharpe ratios and of their maximum drawdowns, resampled together.
    reason : why the verdict is `can't tell`; else empty.
    """

    mean: float
    low: float
    high: float
    t_hac: float
    probability_better: float
    effective_eras: float
    p_value: float
    verdict: str
    eras: int
    eras_to_tell: float
    sharpe: Estimate
    drawdown: Estimate
    reason: str = ""


def mean(series: Floats, *, overlap: int) -> Mean:
    """Estimate the mean of (eras,) scores and its interval.

    The long-run variance of the series is the mean square of its projections on the first cosines, see `long_run_variance`. The mean
    over its standard error then has Student's t distribution, with as many degrees of freedom as cosines.

    Source: Lazarus et al. (2018), equations 3 and 10.

    Parameters
    ----------
    series : (eras,) in the order of time; eras with NaN, no score, are left out.
    overlap : eras that a target spans, at least 1.
    """
    known = _known(series)
    eras = len(known)
    nothing = Mean(eras, float(known.mean()) if eras else np.nan, np.nan, np.nan, np.nan, 0, np.nan, np.nan)
    if eras < LEAST_SPANS * overlap:
        return replace(nothing, reason=f"{eras} eras; an interval needs {LEAST_SPANS * overlap}, {LEAST_SPANS} spans of a target")
    if known.max() == known.min():
        return replace(nothing, reason="the scores are all equal")
    degrees = cosines(eras, overlap)
    error = float(np.sqrt(long_run_variance(known, degrees) / eras))
    centre, half_width = float(known.mean()), float(stdtrit(degrees, (1 + LEVEL) / 2)) * error
    t_hac = centre / error
    low, high, worth = centre - half_width, centre + half_width, effective_eras(eras, overlap)
    return Mean(eras, centre, low, high, t_hac, degrees, worth, float(stdtr(degrees, t_hac)))


def effective_eras(eras: int, overlap: int) -> float:
    """Return how many independent eras a number of eras is worth: one for each span of a target, at least 1 and never more than there are.

    Parameters
    ----------
    eras : their number, at least 1.
    overlap : eras that a target spans, at least 1.
    """
    return max(1.0, eras / overlap)


def cosines(eras: int, overlap: int) -> int:
    """Return the number of cosines: `0.41 eras^(2/3)`, the rule of Lazarus et al. (2018), but at most a third of the spans, and at least 1.

    The scores of eras that overlap vary less from one span to the next than within it. Faster cosines see less of that variance, and with
    them a test finds too much: with 8 spans of 12 eras, differences in 9 % of equal pairs.
    """
    return max(1, min(int(0.41 * eras ** (2 / 3)), eras // (3 * overlap)))


def long_run_variance(series: Floats, degrees: int) -> float:
    """Calculate the mean square of the projections of (n,) values on the cosines 1..degrees; a constant doesn't change it.

    Projection j is `sqrt(2 / n) sum(x[t] cos(pi j (t - 1/2) / n))`, t = 1..n.
    """
    n = len(series)
    waves = np.cos(np.pi * np.outer(np.arange(1, degrees + 1), np.arange(n) + 0.5) / n)
    return float(np.square(np.sqrt(2 / n) * (waves @ (series - series.mean()))).mean())


def differences(a: Floats, b: Floats, statistic: str = "mean") -> Floats:
    """Return the (eras,) values whose mean is the difference of the means of two series of scores, or of their Sharpe ratios.

    A Sharpe ratio is the mean of `S + z - S (z^2 - 1) / 2`, with the scores `z` in standard deviations from their mean: its value at the
    first order of the delta method. The interval of their mean is the interval of the difference.

    Source: Ledoit & Wolf (2008), section 3.1.

    Parameters
    ----------
    a, b : (eras,) scores of the same eras; eras with NaN in either are NaN.
    statistic : `mean` or `sharpe`.

    Returns
    -------
    All NaN if a Sharpe ratio is asked for and the scores of a series are all equal.
    """
    if statistic == "mean":
        return np.asarray(a, np.float64) - np.asarray(b, np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    out = np.full(len(both), np.nan)
    if both.any():
        out[both] = np.round(_sharpe_values(np.asarray(a)[both]) - _sharpe_values(np.asarray(b)[both]), DECIMALS)
    return out


def _sharpe_values(series: Floats) -> Floats:
    """Return the (eras,) values whose mean is the Sharpe ratio of (eras,) scores."""
    ratio, spread = float(_sharpe(series)), float(series.std())
    z = (series - series.mean()) / (spread or np.nan)
    return ratio + z - ratio * (np.square(z) - 1) / 2


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number, so that with a bound of 5 % any false finding among them has a probability of 5 % at most.

    Source: Holm (1979). The k-th smallest of n is multiplied by n + 1 - k, and is at least as large as the one before. The p-values may
    depend on each other.

    Parameters
    ----------
    p_values : 0..1; NaN for a test that can't be made, which doesn't count and stays NaN.
    """
    values = np.asarray(p_values, np.float64)
    out, order = np.full(len(values), np.nan), [k for k in np.argsort(values, kind="stable") if not np.isnan(values[k])]
    least = 0.0
    for place, k in enumerate(order):
        least = out[k] = max(least, min(1.0, (len(order) - place) * values[k]))
    return [float(value) for value in out]


def verdict_after(verdict: str, adjusted: float) -> str:
    """Return a verdict after an adjustment of its p-value: it stays, or becomes `can't tell`."""
    return verdict if adjusted <= 1 - LEVEL else OPEN


def paired_difference(a: Floats, b: Floats, *, overlap: int, seed: int = 0, statistic: str = "mean") -> Difference:
    """Test whether a is better than b, and estimate the intervals of their paired difference, in mean, Sharpe and drawdown.

    Parameters
    ----------
    a, b : (eras,) scores of the same eras in the order of time; eras with NaN, no score, in either are left out.
    overlap : eras that a target spans, at least 1.
    seed : seed of the bootstrap, for the intervals of Sharpe and drawdown.
    statistic : `mean`, or `sharpe` to test the difference of the Sharpe ratios in place of the means, see `differences`.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"scores of {len(a)} and of {len(b)} eras; both must be of the same eras")
    both = np.isfinite(a) & np.isfinite(b)
    pair = np.array([np.asarray(a, np.float64)[both], np.asarray(b, np.float64)[both]])
    found = mean(differences(pair[0], pair[1], statistic), overlap=overlap)
    ratio, fall = (_resampled(pair, statistic, overlap, seed) for statistic in (_sharpe, max_drawdown))
    if found.reason:
        same = found.eras >= LEAST_SPANS * overlap and bool((pair[0] == pair[1]).all())
        reason = "the scores are the same in every era" if same else found.reason
        return Difference(found.mean, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, OPEN, found.eras, np.nan, ratio, fall, reason)
    return Difference(
        found.mean,
        found.low,
        found.high,
        found.t_hac,
        found.probability_positive,
        found.effective_eras,
        found.p_value,
        found.verdict,
        found.eras,
        eras_to_tell(found),
        ratio,
        fall,
        "" if found.verdict != OPEN else "the interval holds 0",
    )


def eras_to_tell(found: Mean) -> float:
    """Return the number of eras that would establish a true mean of this size in 80 % of cases; NaN without an interval."""
    if not found.t_hac:
        return np.nan
    return float(np.ceil(found.eras * ((ndtri((1 + LEVEL) / 2) + ndtri(POWER)) / found.t_hac) ** 2))


def block_length(series: Floats) -> float:
    """Return the mean length of the blocks for a stationary bootstrap of (n,) values, at least 1.

    Source: Politis & White (2004), with the correction of Patton, Politis & White (2009).
    """
    n = len(series)
    deviation = series - series.mean()
    if not deviation.any():
        return 1.0
    quiet = max(5, int(np.log10(n)))
    longest = int(np.ceil(np.sqrt(n))) + quiet
    lags = np.array([deviation[lag:] @ deviation[: n - lag] for lag in range(min(longest + 1, n))]) / n
    loud = np.abs(lags[1:] / lags[0]) >= 2 * np.sqrt(np.log10(n) / n)
    runs = [lag for lag in range(len(loud) - quiet + 1) if not loud[lag : lag + quiet].any()]
    last = runs[0] if runs else int(np.flatnonzero(loud).max(initial=0)) + 1
    window = min(2 * max(last, 1), len(lags) - 1)
    k = np.arange(1, window + 1)
    weight = np.minimum(1.0, 2 * (1 - k / window))
    spectrum = lags[0] + 2 * (weight @ lags[1 : window + 1])
    slope = 2 * (weight * k @ lags[1 : window + 1])
    length = (slope**2 / spectrum**2) ** (1 / 3) * n ** (1 / 3)
    return float(np.clip(length, 1.0, np.ceil(min(3 * np.sqrt(n), n / 3))))


def deflated_sharpe(series: Floats, trials: Sequence[float] | Floats, *, overlap: int) -> float:
    """Return the probability that the true Sharpe is above the Sharpe that the best of so many trials would have only by luck.

    Source: Bailey & López de Prado (2014), equations 1 and 2, with the effective number of eras in place of their number.

    Parameters
    ----------
    series : (eras,) scores of the trial that was chosen.
    trials : the Sharpe of every trial that was looked at, including the chosen trial.

    Returns
    -------
    0..1, NaN if the mean has no interval.
    """
    found, known = mean(series, overlap=overlap), _known(series)
    if found.reason:
        return np.nan
    standard = (known - known.mean()) / known.std()
    ratio, skew, kurtosis = known.mean() / known.std(), (standard**3).mean(), (standard**4).mean()
    count = len(trials)
    luck = 0.0
    if count > 1:
        spread = float(np.std(trials, ddof=1))
        luck = spread * float((1 - EULER) * ndtri(1 - 1 / count) + EULER * ndtri(1 - 1 / (count * np.e)))
    scale = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    return float(ndtr((ratio - luck) * np.sqrt(max(found.effective_eras - 1, 0.0)) / np.sqrt(scale)))


def overfitting_probability(scores: Floats, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> float:
    """Return how often the best of several trials on some eras is below their median on other eras.

    Source: Bailey et al. (2017), by the Sharpe ratio, for any splits of the eras.

    Parameters
    ----------
    scores : (eras, trials), no NaN.
    inside, outside : (splits, eras), the eras that choose the best trial, and the eras that judge it.

    Returns
    -------
    0..1, NaN with fewer than two trials.
    """
    if scores.shape[1] < 2:
        return np.nan
    chosen, judged = (_sharpes(scores, rows.astype(np.float64)) for rows in (inside, outside))
    picked = np.take_along_axis(judged, chosen.argmax(axis=1)[:, None], axis=1)
    rank = ((judged < picked).sum(axis=1) + (judged <= picked).sum(axis=1) + 1) / 2
    return float((rank <= (scores.shape[1] + 1) / 2).mean())


def _sharpes(scores: Floats, rows: Floats) -> Floats:
    """Return the (splits, trials) Sharpe ratios of (eras, trials) scores over the eras that are 1 in (splits, eras)."""
    count = rows.sum(axis=1, keepdims=True)
    average = rows @ scores / count
    variance = rows @ np.square(scores) / count - average**2
    return average / np.sqrt(np.maximum(variance, np.finfo(float).tiny))


def _known(series: Floats) -> Floats:
    values = np.asarray(series, np.float64)
    return values[np.isfinite(values)]


def _sharpe(series: Floats) -> Floats:
    """Return the (...,) mean over std of (..., eras) scores; NaN if the scores are all equal."""
    spread = series.std(axis=-1)
    return series.mean(axis=-1) / np.where(spread > 0, spread, np.nan)


def max_drawdown(series: Floats) -> Floats:
    """Return the deepest fall (...,) of the cumulative sum of (..., eras) scores below its running maximum; positive, or 0.

    The running maximum starts at the first era, so a loss in only the first era is no drawdown.
    """
    total = np.cumsum(series, axis=-1)
    return (np.maximum.accumulate(total, axis=-1) - total).max(axis=-1)


def _resampled(columns: Floats, statistic: Callable[[Floats], Floats], overlap: int, seed: int) -> Estimate:
    """Bootstrap a statistic of (1, eras) scores, or its difference between the two series of (2, eras), resampled together."""
    eras = columns.shape[1]
    value = float(_first_less_second(statistic(columns))) if eras else np.nan
    if eras < LEAST_SPANS * overlap or not np.isfinite(value):
        return Estimate(value, np.nan, np.nan)
    length = max(2.0 * overlap, *(block_length(column) for column in columns))
    order = stationary_order(eras, length, REPLICATES, np.random.default_rng(seed))
    found = _first_less_second(np.array([statistic(column[order]) for column in columns]))
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _first_less_second(values: Floats) -> Floats:
    """Return the first of (1, ...) values, or the first less the second of (2, ...)."""
    return values[0] - values[1] if len(values) > 1 else values[0]


def stationary_order(eras: int, length: float, replicates: int, rng: np.random.Generator, steps: int | None = None) -> NDArray[np.int64]:
    """Draw the (replicates, steps) positions of a stationary bootstrap: blocks of geometric length, of this mean, that wrap around.

    The default of `steps` is the number of eras.
    """
    steps = eras if steps is None else steps
    step = np.arange(steps)
    begins = rng.random((replicates, steps)) < 1 / length
    begins[:, 0] = True
    begun = np.maximum.accumulate(np.where(begins, step, 0), axis=1)
    starts = np.take_along_axis(rng.integers(0, eras, (replicates, steps)), begun, axis=1)
    return (starts + step - begun) % eras
