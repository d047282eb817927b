"""The embedded market: files in Numerai's layout, drawn from a seed by a law that is known.

Every stock has slowly moving loadings on common factors; features mix loadings with an own part and are binned by era; weekly
returns come from the factors, from stable non-linear interactions of the bins, and from noise. `docs/market.md` has the equations.
Arrays are feature-major, (features, slots): a slot holds one stock at a time.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from erawise.base import files
from erawise.base.schema import DATA_TYPE, ERA, ID, INT8_MIDDLE, META_MODEL, ORACLE
from erawise.running.progress import SILENT, Progress
from erawise.sources.market.settings import Market

FACTORS = 12
LOADING_MEMORY = 0.985
"""Weekly autocorrelation of a stock's factor loadings."""
OWN_MEMORY = 0.97
"""Weekly autocorrelation of a feature's own part and of the opinions behind the benchmark models."""
FACTOR_SHARE = (0.6, 0.95)
"""Range of the weight of the loadings in a feature."""
FACTORS_A_GROUP = 4

PREMIUM = 0.0105
"""Length of the vector of mean weekly factor returns."""
VOLATILITY_PREMIUM = -0.5
"""Part of that vector on the first factor, the one that stocks are more volatile with."""
FACTOR_RISK = 0.075
"""Weekly standard deviation of the return that the factors give a stock."""
BEND = 0.009
"""Weekly standard deviation of the return from features that pay at their extremes or in their middle."""
PAIR = 0.007
"""Weekly standard deviation of the return from products of two features."""
BENT_SHARE, PAIRED_SHARE = 0.2, 0.12
INTERACTION_MEMORY = 0.957
"""Weekly autocorrelation of the interactions' return, near the square of a feature's."""
NOISE = 0.5
"""Weekly standard deviation of a stock's own return, at the median of volatility."""
VOLATILITY_SLOPE = 0.1
"""Change of the log of a stock's volatility with its loading on the first factor."""

TARGET_SHARES = (0.05, 0.25, 0.75, 0.95)
"""Cumulated shares at which a target goes to the next of its five values."""
FEATURE_SHARES = (0.2, 0.4, 0.6, 0.8)
SHORT, LONG = 4, 12
"""Weeks that `_20` and `_60` targets sum over."""
MAIN = "ender"
NAMES = {MAIN: (1.0, 1.0), "jasper": (0.89, 1.0), "cyrusd": (0.85, 0.6), "tyler": (0.75, 1.3)}
"""For each target, the share of its noise that it has in common with the main one (as a correlation), and its factor risk."""
LONG_NOISE = 0.24
"""Variance that only the `_60` targets have, per variance of the noise."""
UNKNOWN_SHARE = 0.02
"""Share of the rows whose last target's values are unknown."""

OPINIONS = {
    META_MODEL: (0.65, 0.35, 0.67),
    "v52_lgbm_ender20": (0.62, 0.45, 0.64),
    "v52_lgbm_cyrusd20": (0.58, 0.25, 0.78),
    "v52_lgbm_ender60": (0.50, 0.50, 0.71),
}
"""Weights of the oracle, of a tilt to factors that pays nothing in particular, and of an own view, in the models of others."""

TURNOVER = 0.004
"""Share of the stocks that leave in a week, and are replaced."""
AWAY = LONG
"""Weeks that a slot is kept for the returns of the stock that has left, before another stock takes it."""

META_MODEL_DELAY = 0.15
"""Share of the validation eras, the first ones, without a meta model."""

LATE_SHARE = 0.04
"""Share of the features that have no data at first: the middle bin in every row."""
LATE_ERAS = (6, 16)
"""Range of the first era with data of such a feature."""
GAP_ERAS = (2, 3, 4)
"""Eras in which one feature is null."""

GROUPS = ("intelligence", "charisma", "strength", "dexterity", "constitution", "wisdom", "agility")
RISKY_GROUP = "serenity"
"""The group of the features with the largest factor part: the riskiest."""
RISKY_SHARE = 0.2
SMALL_SHARE, MEDIUM_SHARE = 0.2, 0.5

REFERENCE_STOCKS, STRENGTH_EXPONENT = 5_000, 0.3

ROW_GROUP = 50_000
CALIBRATION_STOCKS = 4_000

ADJECTIVES = (
    "ample ashen bold brisk calm candid civic coastal crisp deft dusky eager early earnest fabled faint fertile fleet formal frosty gentle "
    "gilded glad grand hardy hazy honest humble idle inland ivory jolly keen kindred lavish level lively loyal lucid mellow mild modest "
    "narrow nimble noble northern opal open patient placid plain polar proud quick quiet rapid regal rustic sandy serene silent sleek "
    "smooth solar sober spare steady stern stout subtle sunny supple swift tame tender thrifty tidal timely tranquil urban useful vast "
    "velvet verdant vivid warm wary western whole wild willing windy wise worthy young zesty"
)
NOUNS = (
    "acorn anchor arbor badger basin beacon birch bramble breeze brook canyon cedar cinder cliff clover comet coral cove crane creek delta "
    "dune eagle ember falcon fern field fjord forest garnet glacier glen grove harbor hazel heron hill inlet island jasmine juniper kelp "
    "lagoon lantern larch lark ledge lichen lily linden lynx maple marsh meadow mesa mill moor moss nettle oak oasis orchard osprey otter "
    "pebble pine plain pond poplar prairie quail quarry raven reed reef ridge river rowan sage shore sparrow spring spruce stone stream "
    "summit swallow thicket thistle tide trail valley walnut willow wren yarrow"
)


@dataclass(frozen=True)
class Law:
    """What is drawn once for a market and holds in every week.

    Attributes
    ----------
    groups : (features,) int, the group whose factors a feature mixes, -1 for a feature outside the groups.
    mixing : (features, factors), rows of length `FACTOR_SHARE`: the loadings' part in a feature of variance 1.
    own : (features,), weight of a feature's own part.
    premia : (factors,), mean weekly factor returns.
    bends : (features,), weight of each feature's distance from the middle bin.
    pairs : (2, pairs) int, the features that are multiplied.
    signs : (pairs,), the sign of each product's return.
    tilts : (opinions, factors), the factors that the models of others lean to.
    first_era : (features,) int, the first era with data.
    gap : int, the feature that is null in `GAP_ERAS`.
    strength : float, factor of all expected returns.
    centre, scale : (2,), mean and std of the sums of bends and of products, over a sample of stocks.
    """

    groups: NDArray[np.int64]
    mixing: NDArray[np.float64]
    own: NDArray[np.float64]
    premia: NDArray[np.float64]
    bends: NDArray[np.float64]
    pairs: NDArray[np.int64]
    signs: NDArray[np.float64]
    tilts: NDArray[np.float64]
    first_era: NDArray[np.int64]
    gap: int
    strength: float
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def interactions(self, bins: NDArray[np.int8]) -> NDArray[np.float64]:
        """Expected weekly return (stocks,) that the bins (features, stocks) give beyond the factors."""
        sums = (self._sums(bins) - self.centre[:, None]) / self.scale[:, None]
        return self.strength * (BEND * sums[0] + PAIR * sums[1])

    def calibrated(self, rng: np.random.Generator) -> "Law":
        """The same law with `centre` and `scale` taken from a sample of stocks."""
        loadings = rng.standard_normal((FACTORS, CALIBRATION_STOCKS))
        own = rng.standard_normal((len(self.own), CALIBRATION_STOCKS))
        values = self.features(loadings, own)
        sums = self._sums(bins(values, thresholds(values, FEATURE_SHARES)))
        return replace(self, centre=sums.mean(axis=1), scale=sums.std(axis=1))

    def features(self, loadings: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Features before binning, (features, stocks), from (factors, stocks) and (features, stocks)."""
        return self.mixing @ loadings + self.own[:, None] * own

    def _sums(self, bins: NDArray[np.int8]) -> NDArray[np.float64]:
        centred = bins.astype(np.float64) - INT8_MIDDLE
        products = centred[self.pairs[0]] * centred[self.pairs[1]]
        return np.stack([self.bends @ np.abs(centred), self.signs @ products])


def draw_law(features: int, strength: float, rng: np.random.Generator) -> Law:
    """Draw a market's law for a number of features."""
    groups = np.arange(features) % (len(GROUPS) + 1)
    groups[groups == len(GROUPS)] = -1
    share = rng.uniform(*FACTOR_SHARE, features)
    bent = rng.permutation(features)[: max(1, round(features * BENT_SHARE))]
    bends = np.zeros(features)
    bends[bent] = rng.choice([-1.0, 1.0], len(bent))
    n_pairs = max(1, round(features * PAIRED_SHARE / 2))
    late = rng.permutation(features)[: max(2, round(features * LATE_SHARE))]
    first_era = np.ones(features, np.int64)
    first_era[late] = rng.integers(*LATE_ERAS, len(late), endpoint=True)
    law = Law(
        groups=groups,
        mixing=share[:, None] * _mixing(groups, rng),
        own=np.sqrt(1 - share**2),
        premia=strength * PREMIUM * _premia(rng),
        bends=bends,
        pairs=rng.permutation(features)[: 2 * n_pairs].reshape(2, n_pairs),
        signs=rng.choice([-1.0, 1.0], n_pairs),
        tilts=_unit(rng.standard_normal((len(OPINIONS), FACTORS))),
        first_era=first_era,
        gap=int(rng.choice(np.flatnonzero(first_era == 1))),
        strength=strength,
        centre=np.zeros(2),
        scale=np.ones(2),
    )
    return law.calibrated(rng)


def strength(stocks: int) -> float:
    """Factor of all expected returns: 1 from `REFERENCE_STOCKS` on, more with fewer stocks, since their rows teach less."""
    return max(1.0, (REFERENCE_STOCKS / stocks) ** STRENGTH_EXPONENT)


def _premia(rng: np.random.Generator) -> NDArray[np.float64]:
    """Direction (factors,) of the premia: volatile stocks earn less, the other factors pay what the seed says."""
    others = _unit(rng.standard_normal(FACTORS - 1))
    return np.append(VOLATILITY_PREMIUM, np.sqrt(1 - VOLATILITY_PREMIUM**2) * others)


def _mixing(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit rows (features, factors): a feature mixes its group's factors, one outside the groups as many of its own."""
    factors = np.array([rng.permutation(FACTORS)[:FACTORS_A_GROUP] for _ in GROUPS])
    loners = rng.permuted(np.tile(np.arange(FACTORS), (len(groups), 1)), axis=1)[:, :FACTORS_A_GROUP]
    mixed = np.where(groups[:, None] < 0, loners, factors[groups])
    mixing = np.zeros((len(groups), FACTORS))
    np.put_along_axis(mixing, mixed, rng.standard_normal(mixed.shape), axis=1)
    return _unit(mixing)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def thresholds(values: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """Lower bounds (..., shares) of the bins that follow the lowest share of values (..., n)."""
    positions = [round(values.shape[-1] * share) for share in shares]
    return np.sort(values, axis=-1)[..., positions]


def bins(values: NDArray[np.float64], bounds: NDArray[np.float64]) -> NDArray[np.int8]:
    """Bin numbers (..., n) of values (..., n): how many of the bounds (..., k) each value reaches."""
    out = np.zeros(values.shape, np.int8)
    for k in range(bounds.shape[-1]):
        out += values >= bounds[..., k, None]
    return out


@dataclass(frozen=True)
class Week:
    """One week of the market.

    Attributes
    ----------
    number : int, from 1.
    rows : (rows,) int, the slots of the stocks in the universe, in the order of the era's rows.
    features : (features, rows) int8.
    null : (features,) bool, features without values in this week.
    returns : (streams, slots), the week's return by target name, then what only `_60` targets have.
    oracle : (rows,), expected value of the main target.
    opinions : (opinions, rows), the models of others, as ranks in 0..1.
    """

    number: int
    rows: NDArray[np.int64]
    features: NDArray[np.int8]
    null: NDArray[np.bool_]
    returns: NDArray[np.float64]
    oracle: NDArray[np.float64]
    opinions: NDArray[np.float64]


class Universe:
    """The state of all slots: who is in, loadings, own parts and opinions."""

    def __init__(self, stocks: int, features: int, rng: np.random.Generator) -> None:
        self.leavers = max(1, round(TURNOVER * stocks))
        slots = stocks + AWAY * self.leavers
        order = rng.permutation(slots)
        self.inside = order[:stocks]
        self.outside = deque(order[stocks:].reshape(AWAY, self.leavers))
        self.loadings = rng.standard_normal((FACTORS, slots))
        self.own = rng.standard_normal((features, slots))
        self.views = rng.standard_normal((len(OPINIONS), slots))

    def step(self, rng: np.random.Generator) -> None:
        """Go to the next week: the slots move, some stocks leave, and new ones take the slots that have waited longest."""
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


class _Generators(NamedTuple):
    """One generator for each use, so that no use shifts the draws of another."""

    law: np.random.Generator
    state: np.random.Generator
    returns: np.random.Generator
    order: np.random.Generator
    unknown: np.random.Generator


def _generators(seed: int) -> _Generators:
    return _Generators(*(np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(len(_Generators._fields))))


def simulate(settings: Market, law: Law) -> Iterator[Week]:
    """Yield the weeks of a market without end; each depends on the seed and on the weeks before it alone."""
    rngs = _generators(settings.seed)
    universe = Universe(settings.stocks, settings.features, rngs.state)
    for number in count(1):
        yield _week(number, law, universe, rngs)
        universe.step(rngs.state)


def _week(number: int, law: Law, universe: Universe, rngs: _Generators) -> Week:
    rows = rngs.order.permutation(universe.inside)
    values = law.features(universe.loadings, universe.own)
    binned = bins(values, thresholds(values[:, rows], FEATURE_SHARES))
    interactions = law.interactions(binned)
    oracle = expected_target(law.premia @ universe.loadings[:, rows], interactions[rows], universe.loadings[:, rows])
    features = binned[:, rows]
    features[law.first_era > number] = INT8_MIDDLE
    null = np.zeros(len(features), np.bool_)
    null[law.gap] = number in GAP_ERAS
    return Week(
        number=number,
        rows=rows,
        features=features,
        null=null,
        returns=_returns(law.premia, interactions, universe.loadings, rngs.returns),
        oracle=oracle,
        opinions=_opinions(oracle, law.tilts @ universe.loadings[:, rows], universe.views[:, rows]),
    )


def volatility(loadings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weekly standard deviation (stocks,) of the stocks' own returns."""
    return NOISE * np.exp(VOLATILITY_SLOPE * loadings[0])


def _returns(
    premia: NDArray[np.float64], interactions: NDArray[np.float64], loadings: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Returns (streams, slots) of one week."""
    shocks = FACTOR_RISK / np.sqrt(FACTORS) * rng.standard_normal(FACTORS)
    noise = volatility(loadings) * rng.standard_normal((len(NAMES) + 1, loadings.shape[1]))
    expected = premia @ loadings + interactions
    surprise = shocks @ loadings
    streams = [
        expected + risk * surprise + common * noise[0] + np.sqrt(1 - common**2) * noise[k]
        for k, (common, risk) in enumerate(NAMES.values())
    ]
    return np.stack([*streams, np.sqrt(LONG_NOISE) * noise[-1]])


def expected_target(premium: NDArray[np.float64], interactions: NDArray[np.float64], loadings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected value (rows,) of the main target, given everything that the week's state says.

    Parameters
    ----------
    premium, interactions : (rows,), this week's expected returns from the factors and from the interactions.
    loadings : (factors, rows).

    Notes
    -----
    The sum of the weeks' returns is taken as normal, and its bins' bounds as those of a normal with the universe's variance:
    E[target] = 1/4 * sum over the bounds c of Phi((mean - c) / risk).
    """
    mean = premium * _reach(LOADING_MEMORY) + interactions * _reach(INTERACTION_MEMORY)
    factor_variance = FACTOR_RISK**2 / FACTORS * np.square(loadings).sum(axis=0)
    risk = np.sqrt(SHORT * (volatility(loadings) ** 2 + factor_variance))
    bounds = ndtri(TARGET_SHARES) * np.sqrt(np.mean(risk**2))
    return ndtr((mean - bounds[:, None]) / risk).mean(axis=0)


def _reach(memory: float) -> float:
    """Sum over the weeks of a `_20` target of what is left of an expected return."""
    return sum(memory**week for week in range(SHORT))


def _opinions(oracle: NDArray[np.float64], tilts: NDArray[np.float64], views: NDArray[np.float64]) -> NDArray[np.float64]:
    """The models of others, (opinions, rows), as ranks within the week."""
    insight = (oracle - oracle.mean()) / oracle.std()
    weights = np.array(list(OPINIONS.values()))
    mixed = weights[:, :1] * insight + weights[:, 1:2] * tilts + weights[:, 2:] * views
    return (mixed.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable") + 0.5) / mixed.shape[1]


def targets(window: Sequence[Week], rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Targets of the first week's rows, from its returns and those of the weeks that follow.

    Parameters
    ----------
    window : at most `LONG` weeks in a row.
    rng : draws which values are unknown.

    Returns
    -------
    dict of name to (rows,) float32 in {0, .25, .5, .75, 1}; NaN throughout where the window is too short for the horizon.
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
    return {"target": named[f"target_{MAIN}_20"], **named}


def _summed(window: Sequence[Week], weeks: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    if len(window) < weeks:
        return np.full((len(window[0].returns), len(rows)), np.nan)
    return np.sum([week.returns[:, rows] for week in window[:weeks]], axis=0)


def _scored(returns: NDArray[np.float64]) -> NDArray[np.float32]:
    if np.isnan(returns).any():
        return returns.astype(np.float32)
    return (bins(returns, thresholds(returns, TARGET_SHARES)) / 4).astype(np.float32)


def feature_names(number: int) -> list[str]:
    """Names of the features in column order."""
    adjectives, nouns = ADJECTIVES.split(), NOUNS.split()
    names = []
    for k in range(number):
        turn, place = divmod(k, len(adjectives) * len(nouns))
        step, noun = divmod(place, len(nouns))
        name = f"feature_{adjectives[(step + noun) % len(adjectives)]}_{nouns[noun]}"
        names.append(f"{name}_{turn}" if turn else name)
    return names


def feature_sets(law: Law, names: Sequence[str]) -> dict[str, list[str]]:
    """The feature sets, and groups: these overlap, and some features are in none.

    Every third feature of a group is in the next group too. The riskiest group is that of the features with the largest
    weight of the loadings, whatever their other groups.
    """
    order = np.arange(len(names))
    neighbour = np.where((law.groups >= 0) & (order % 3 == 0), (law.groups + 1) % len(GROUPS), law.groups)
    riskiest = np.argsort(law.own, kind="stable")[: round(RISKY_SHARE * len(names))]
    members = {
        "small": order[: round(SMALL_SHARE * len(names))],
        "medium": order[: round(MEDIUM_SHARE * len(names))],
        "all": order,
        **{group: np.flatnonzero((law.groups == k) | (neighbour == k)) for k, group in enumerate(GROUPS)},
        RISKY_GROUP: np.sort(riskiest),
    }
    return {key: [names[k] for k in columns] for key, columns in members.items()}


def row_ids(first: int, rows: int, seed: int) -> pa.Array:
    """Ids of rows `first` to `first + rows - 1` of a market: "n" and 15 hexadecimal digits.

    The row number is mixed by steps that can be undone, so that no two rows of a market share an id.
    """
    mask = np.uint64(2**60 - 1)
    mixed = np.arange(first, first + rows, dtype=np.uint64)
    for key in np.random.SeedSequence([seed, 60]).generate_state(3, np.uint64):
        mixed = (mixed * (key | np.uint64(1)) + (key >> np.uint64(7))) & mask
        mixed ^= mixed >> np.uint64(31)
    digits = (mixed[:, None] >> np.arange(56, -4, -4, dtype=np.uint64)) & np.uint64(15)
    text = np.full((rows, 16), ord("n"), np.uint8)
    text[:, 1:] = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
    return pa.array(text.view("S16")[:, 0].astype("U16"), pa.string())


class Tables:
    """Parquet files that grow by an era at a time, in row groups of a bounded size."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[pa.Table]] = {}

    def add(self, name: str, table: pa.Table) -> None:
        """Append rows to the file `name`.parquet."""
        waiting = self._waiting.setdefault(name, [])
        if waiting and sum(len(part) for part in waiting) + len(table) > ROW_GROUP:
            self._flush(name)
        waiting.append(table)

    def finish(self) -> None:
        """Write what is waiting; the files are complete once the stack is closed."""
        for name in self._waiting:
            self._flush(name)

    def _flush(self, name: str) -> None:
        table = pa.concat_tables(self._waiting[name])
        self._waiting[name].clear()
        if name not in self._writers:
            path = self._stack.enter_context(files.replacing(self._directory / f"{name}.parquet"))
            self._writers[name] = self._stack.enter_context(pq.ParquetWriter(path, table.schema))
        self._writers[name].write_table(table, row_group_size=ROW_GROUP)


def write(settings: Market, directory: Path, progress: Progress = SILENT) -> None:
    """Write the files of a Numerai data version into an existing empty directory.

    The same settings give the same bytes. An era's features depend neither on the number of eras nor on what follows.

    Parameters
    ----------
    settings : the market's size and seed.
    directory : receives `features.json`, `train`, `validation` and `live.parquet`, the benchmark models of each,
        `meta_model.parquet` for the validation eras but the first ones, and `oracle.parquet` for all rows.
    progress : told of each era.
    """
    law = draw_law(settings.features, strength(settings.stocks), _generators(settings.seed).law)
    unknown = _generators(settings.seed).unknown
    names = feature_names(settings.features)
    with ExitStack() as stack, progress.counting(settings.train_eras + settings.validation_eras + 1, "eras") as drawn:
        tables = Tables(directory, stack)
        for window in windows(settings, law):
            named = targets(window, unknown)
            _add_week(tables, window[0], names, named, settings)
            drawn.done()
        tables.finish()
    files.write_json({"feature_sets": feature_sets(law, names), "targets": list(named)}, directory / "features.json")


def windows(settings: Market, law: Law) -> Iterator[list[Week]]:
    """For each week up to the live one: the week, then those of the `LONG` - 1 next ones whose returns are known by now."""
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
    """The first week, and the others that are over: the return of the last era's week isn't known yet."""
    return [week for k, week in enumerate(weeks) if k == 0 or week.number < last]


def _add_week(tables: Tables, week: Week, names: list[str], named: dict[str, NDArray[np.float32]], settings: Market) -> None:
    part, era, data_type = _place(week.number, settings)
    rows = len(week.rows)
    keys = {
        ID: row_ids((week.number - 1) * rows, rows, settings.seed),
        ERA: pa.array([era] * rows),
        DATA_TYPE: pa.array([data_type] * rows),
    }
    columns = {name: pa.array(bins, mask=np.full(rows, null)) for name, bins, null in zip(names, week.features, week.null, strict=True)}
    opinions = dict(zip(OPINIONS, week.opinions.astype(np.float32), strict=True))
    meta_model = opinions.pop(META_MODEL)
    known = {} if part == "live" else {name: pa.array(values, from_pandas=True) for name, values in named.items()}
    tables.add(part, pa.table({**keys, **columns, **known}))
    tables.add(f"{part}_benchmark_models", pa.table({ID: keys[ID], ERA: keys[ERA], **opinions}))
    tables.add("oracle", pa.table({ID: keys[ID], ERA: keys[ERA], ORACLE: week.oracle.astype(np.float32)}))
    if part == "validation" and week.number - settings.train_eras > META_MODEL_DELAY * settings.validation_eras:
        tables.add("meta_model", pa.table({**keys, META_MODEL: meta_model}))


def _place(number: int, settings: Market) -> tuple[str, str, str]:
    """The file, `era` and `data_type` of a week."""
    last = settings.train_eras + settings.validation_eras
    if number > last:
        return "live", "X", "live"
    era = f"{number:04d}"
    if number <= settings.train_eras:
        return "train", era, "train"
    return "validation", era, "validation" if number <= last - SHORT else "test"
