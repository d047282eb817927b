"""The weeks of the embedded market: its stocks, the features, the returns, and the expected target."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from erawise.base.schema import INT8_MIDDLE
from erawise.sources.market.law import (
    FACTORS,
    FEATURE_SHARES,
    GAP_ERAS,
    INTERACTION_MEMORY,
    LOADING_MEMORY,
    LONG,
    LONG_NOISE,
    NAMES,
    OPINIONS,
    OWN_MEMORY,
    RISKY_FACTORS,
    TARGET_SHARES,
    TURNOVER,
    VOLATILITY_SLOPE,
    Law,
    bins,
    factor_risks,
    kept_weekly,
    level_risks,
    reverting,
    thresholds,
)
from erawise.sources.market.settings import Market

AWAY = LONG
"""Weeks for which a slot still gives the returns of a stock that has left, before another stock gets it."""


@dataclass(frozen=True)
class Week:
    """One week of the market.

    Attributes
    ----------
    number : int, from 1.
    rows : (rows,) int, the slots of the stocks in the universe, in the order of the era's rows.
    features : (features, rows) int8.
    null : (features,) bool, features without values in this week.
    returns : (streams, slots), the week's return by target name, then the part that only `_60` targets have.
    oracle : (rows,), expected value of the main target.
    opinions : (opinions, rows), the predictions of others' models, as ranks in 0..1.
    """

    number: int
    rows: NDArray[np.int64]
    features: NDArray[np.int8]
    null: NDArray[np.bool_]
    returns: NDArray[np.float64]
    oracle: NDArray[np.float64]
    opinions: NDArray[np.float64]


class Universe:
    """The state of all slots (stocks inside, loadings, own parts, opinions), and the levels of the risky factors."""

    def __init__(self, stocks: int, features: int, rng: np.random.Generator) -> None:
        self.leavers = max(1, round(TURNOVER * stocks))
        slots = stocks + AWAY * self.leavers
        order = rng.permutation(slots)
        self.inside = order[:stocks]
        self.outside = deque(order[stocks:].reshape(AWAY, self.leavers))
        self.loadings = rng.standard_normal((FACTORS, slots))
        self.own = rng.standard_normal((features, slots))
        self.views = rng.standard_normal((len(OPINIONS), slots))
        self.levels = level_risks() * rng.standard_normal(RISKY_FACTORS)

    def shocks(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the factors' returns (factors,) of this week beyond their premia, and move the levels of the risky ones by them."""
        found, self.levels = reverting(self.levels, rng)
        return found

    def step(self, rng: np.random.Generator) -> None:
        """Move to the next week: the slots move, some stocks leave, and new stocks get the slots that have waited longest."""
        for state, memory in self._states():
            state *= memory
            state += np.sqrt(1 - memory**2) * rng.standard_normal(state.shape)
        leaving = rng.choice(len(self.inside), self.leavers, replace=False)
        entering = self.outside.popleft()
        self.outside.append(self.inside[leaving])
        self.inside[leaving] = entering
        for state, _ in self._states():
            state[:, entering] = rng.standard_normal((len(state), self.leavers))

    def _states(self) -> list[tuple[NDArray[np.float64], float]]:
        return [(self.loadings, LOADING_MEMORY), (self.own, OWN_MEMORY), (self.views, OWN_MEMORY)]


class Generators(NamedTuple):
    """One generator for each use, so that no use shifts the draws of another."""

    law: np.random.Generator
    state: np.random.Generator
    returns: np.random.Generator
    order: np.random.Generator
    unknown: np.random.Generator
    drift: np.random.Generator


def generators(seed: int) -> Generators:
    return Generators(*(np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(len(Generators._fields))))


def simulate(settings: Market, law: Law) -> Iterator[Week]:
    """Yield the weeks of a market without end. Each depends only on the seed and on the weeks before it.

    `law` is the law of the first week. Features don't depend on it, or on the drift.
    """
    rngs = generators(settings.seed)
    kept = kept_weekly(settings.drift)
    universe = Universe(settings.stocks, settings.features, rngs.state)
    for number in count(1):
        yield _week(number, law, universe, rngs, kept)
        universe.step(rngs.state)
        law = law.turned(kept, rngs.drift) if settings.drift else law


def _week(number: int, law: Law, universe: Universe, rngs: Generators, kept: float) -> Week:
    rows = rngs.order.permutation(universe.inside)
    values = law.features(universe.loadings, universe.own)
    binned = bins(values, thresholds(values[:, rows], FEATURE_SHARES))
    interactions = law.interactions(binned)
    loadings = universe.loadings[:, rows]
    oracle = expected_target(law.premia @ loadings, interactions[rows], loadings, volatility(loadings, law.noise), kept)
    features = binned[:, rows]
    features[law.first_era > number] = INT8_MIDDLE
    null = np.zeros(len(features), np.bool_)
    null[law.gap] = number in GAP_ERAS
    return Week(
        number=number,
        rows=rows,
        features=features,
        null=null,
        returns=_returns(law, interactions, universe, rngs.returns),
        oracle=oracle,
        opinions=_opinions(oracle, law.tilts @ loadings, universe.views[:, rows]),
    )


def volatility(loadings: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Return the weekly standard deviation (stocks,) of the stocks' own returns; `noise` is its value at the median."""
    return noise * np.exp(VOLATILITY_SLOPE * loadings[0])


def _returns(law: Law, interactions: NDArray[np.float64], universe: Universe, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the returns (streams, slots) of one week."""
    loadings, shocks = universe.loadings, universe.shocks(rng)
    noise = volatility(loadings, law.noise) * rng.standard_normal((len(NAMES) + 1, loadings.shape[1]))
    expected = law.premia @ loadings + interactions
    surprise = shocks @ loadings
    streams = [
        expected + risk * surprise + common * noise[0] + np.sqrt(1 - common**2) * noise[k]
        for k, (common, risk) in enumerate(NAMES.values())
    ]
    return np.stack([*streams, np.sqrt(LONG_NOISE) * noise[-1]])


def expected_target(
    premium: NDArray[np.float64],
    interactions: NDArray[np.float64],
    loadings: NDArray[np.float64],
    own: NDArray[np.float64],
    kept: float = 1.0,
) -> NDArray[np.float64]:
    """Return the expected value (rows,) of the main target, given the whole state of the week.

    Parameters
    ----------
    premium, interactions : (rows,), this week's expected returns from the factors and from the interactions.
    loadings : (factors, rows).
    own : (rows,), `volatility`.
    kept : the part of the week's law that is expected in the law of the next week, see `law.kept_weekly`.

    Notes
    -----
    The sum of the weeks' returns is taken as normal. The bounds of its bins are taken from a normal with the universe's variance:
    E[target] = 1/4 * sum over the bounds c of Phi((mean - c) / risk).
    """
    mean = premium * _summed_memory(LOADING_MEMORY * kept) + interactions * _summed_memory(INTERACTION_MEMORY * kept)
    factor_variance = np.square(factor_risks()) @ np.square(loadings)
    risk = np.sqrt(LONG * ((1 + LONG_NOISE) * own**2 + factor_variance))
    bounds = ndtri(TARGET_SHARES) * np.sqrt(np.mean(risk**2))
    return ndtr((mean - bounds[:, None]) / risk).mean(axis=0)


def _summed_memory(memory: float) -> float:
    """Return the part of an expected return that is left in each week of a `_60` target, summed over the weeks."""
    return sum(memory**week for week in range(LONG))


def _opinions(oracle: NDArray[np.float64], tilts: NDArray[np.float64], views: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the predictions of others' models, (opinions, rows), as ranks within the week."""
    insight = (oracle - oracle.mean()) / oracle.std()
    weights = np.array(list(OPINIONS.values()))
    mixed = weights[:, :1] * insight + weights[:, 1:2] * tilts + weights[:, 2:] * views
    return (mixed.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") + 0.5) / mixed.shape[1]


def windows(settings: Market, law: Law) -> Iterator[list[Week]]:
    """Yield for each week up to the live one the week, and the next `LONG` - 1 weeks as far as their returns are known by now."""
    last = settings.train_eras + settings.validation_eras
    weeks: deque[Week] = deque()
    for week in islice(simulate(settings, law), last + 1):
        weeks.append(week)
        if len(weeks) == LONG:
            yield _known(weeks, last)
            weeks.popleft()
    while weeks:
        yield _known(weeks, last)
        weeks.popleft()


def _known(weeks: Sequence[Week], last: int) -> list[Week]:
    """Return the first week, and the others that are over. The return of the last era's week isn't known yet."""
    return [week for k, week in enumerate(weeks) if k == 0 or week.number < last]
