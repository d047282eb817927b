"""Tests by influence: a part of the data is changed that predictions can't depend on without a leak, and they must stay as they are.

Such a test has no chance in it: a function that can be repeated gives the same predictions unless it has used what was changed. Only
differences within an era count, so that another level or scale of an era's predictions is no change.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.lab import made_data, verdicts
from erawise.lab.called import Recipe
from erawise.lab.made_data import MadeData
from erawise.lab.verdicts import AuditTest

TARGETS, FEATURES, PURGE, FUTURE = "targets of tested eras", "features of tested eras", "purge", "future"
NAMES = TARGETS, FEATURES, PURGE, FUTURE

TOLERANCE = 1e-6
"""Largest change, in standard deviations of an era's predictions, that is rounding."""
UNSTEADY = 1e-2
"""Change between two calls with the same data above which no influence can be told."""
PROBED = (0.9, 0.45, 0.15)
"""Places among the predicted eras, as shares, of the eras whose targets are changed alone."""
EDGES = 4
"""Largest number of edges of test blocks at which the purge is tested."""

Eras = NDArray[np.int64]


@dataclass
class Prober:
    """A function under audit with its predictions on unchanged data.

    Parameters
    ----------
    recipe, data, target : the function and its data.
    weeks : that a target spans.
    seed : of the changes.
    """

    recipe: Recipe
    data: MadeData
    target: pd.Series
    weeks: int
    seed: int
    base: pd.Series = field(init=False)
    predicted: Eras = field(init=False)
    tolerance: float = field(init=False)

    def __post_init__(self) -> None:
        self.base = self._call(self.data.features, self.target)
        self.predicted = np.unique(self.data.eras[self.base.notna()].to_numpy())
        self.tolerance = 0.0
        self.tolerance = max(TOLERANCE, 10 * max(self.moves(self.data.features, self.target).values()))

    @property
    def is_steady(self) -> bool:
        """True if two calls with the same data give the same predictions, but for rounding."""
        return self.tolerance <= 10 * UNSTEADY

    def after_targets(self, eras: Iterable[int]) -> dict[int, float]:
        """Change the targets of some eras; return the largest change of a prediction in each predicted era."""
        return self.moves(self.data.features, made_data.change_targets(self.data, self.target, eras, np.random.default_rng(self.seed)))

    def after_features(self, eras: Iterable[int]) -> dict[int, float]:
        """Change the features of some eras; return the largest change of a prediction in each predicted era."""
        return self.moves(made_data.change_features(self.data, self.target, eras, np.random.default_rng(self.seed)), self.target)

    def after_both(self, eras: Eras) -> dict[int, float]:
        """Change targets and features of some eras; return the largest change of a prediction in each predicted era."""
        rng = np.random.default_rng(self.seed)
        target = made_data.change_targets(self.data, self.target, eras, rng)
        return self.moves(made_data.change_features(self.data, self.target, eras, rng), target)

    def moves(self, features: pd.DataFrame, target: pd.Series) -> dict[int, float]:
        """Return the largest change of a prediction in each predicted era, in standard deviations of the era's predictions."""
        after = self._call(features, target)
        difference = (after - self.base).abs()
        difference[after.isna() != self.base.isna()] = np.inf
        return {int(era): float(most) for era, most in difference.groupby(self.data.eras).max().items() if np.isfinite(most) or most > 0}

    def around(self, era: int) -> Eras:
        """Return the eras that share a week of outcome with an era, with itself."""
        numbers = self.data.numbers
        return numbers[np.abs(numbers - era) < self.weeks]

    def _call(self, features: pd.DataFrame, target: pd.Series) -> pd.Series:
        found = self.recipe(features, target, self.data.eras)
        grouped = found.groupby(self.data.eras)
        spread = grouped.transform("std", ddof=0)
        return (found - grouped.transform("mean")) / spread.where(spread > 0, 1.0)


@dataclass(frozen=True)
class Probe:
    """The answer to a change of the targets of one era: the run of predicted eras around it that stayed, and the nearest that moved."""

    era: int
    run: Eras
    moved: dict[int, float]


def audit(prober: Prober, walks_forward: bool | None) -> list[AuditTest]:
    """Make the tests by influence.

    Parameters
    ----------
    prober : the function on its data.
    walks_forward : whether predictions use the past only; None to take it from the first eras, which then have no predictions.
    """
    if not prober.is_steady:
        reason = "two calls with the same data give other predictions; fix the function's seed"
        return [verdicts.not_tested(name, reason) for name in NAMES]
    probes = [_probe(prober, era) for era in _places(prober.predicted, PROBED)]
    return [_targets(prober, probes), _features(prober, probes), _purge(prober, probes), _future(prober, walks_forward)]


def _places(eras: Eras, shares: Iterable[float]) -> list[int]:
    return sorted({int(eras[int(share * len(eras))]) for share in shares}, reverse=True)


def _probe(prober: Prober, era: int) -> Probe:
    moves = prober.after_targets([era])
    moved = {other: most for other, most in moves.items() if most > prober.tolerance}
    before, after = (max((m for m in moved if m <= era), default=-1), min((m for m in moved if m >= era), default=np.inf))
    run = prober.predicted[(prober.predicted > before) & (prober.predicted < after)]
    return Probe(era, run, moved)


def _targets(prober: Prober, probes: list[Probe]) -> AuditTest:
    """Test whether predictions of an era depend on its own target, or on others of its test block."""
    found = [(probe.moved[probe.era], probe.era) for probe in probes if probe.era in probe.moved]
    for probe in probes:
        if not found and len(probe.run):
            centre = int(probe.run[len(probe.run) // 2])
            found += _beyond(prober, prober.after_targets(np.intersect1d(probe.run, prober.around(centre))), centre)
    stays = "predictions don't depend on the targets of the eras that are tested with them"
    return _judged(prober, TARGETS, found, stays, "its own target and its neighbours' change")


def _features(prober: Prober, probes: list[Probe]) -> AuditTest:
    """Test whether predictions of an era depend on the features of eras that are tested after it."""
    found: list[tuple[float, int]] = []
    for probe in probes:
        own = probe.run if len(probe.run) else prober.around(probe.era)
        era = int(own[min(len(own) // 3, max(0, len(own) - 2))])
        later = own[(own > era) & (own < era + prober.weeks)]
        if not found and len(later):
            found += _beyond(prober, prober.after_features(later), era)
    stays = "predictions don't depend on the features of other eras of the test"
    return _judged(prober, FEATURES, found, stays, "the features of later test eras change")


def _purge(prober: Prober, probes: list[Probe]) -> AuditTest:
    """Test whether predictions depend on targets of eras that share weeks of outcome, at the edges of test blocks."""
    worst: tuple[int, int, float] | None = None
    for probe in probes:
        near = [(abs(era - probe.era), era, most) for era, most in probe.moved.items() if 0 < abs(era - probe.era) < prober.weeks]
        worst = min([*near, *([worst] if worst else [])], default=None)
    for era, side in _edges(prober, probes)[:EDGES]:
        worst = worst or _nearest(prober, era, side)
    stays = f"no prediction depends on targets less than {prober.weeks} weeks away, at the edges of its test block"
    if worst is None:
        return _judged(prober, PURGE, [], stays, "")
    distance, era, most = worst
    changed = f"a target {distance} weeks away changes, and targets share weeks of outcome up to {prober.weeks - 1} weeks away"
    return _judged(prober, PURGE, [(most, era)], stays, changed)


def _edges(prober: Prober, probes: list[Probe]) -> list[tuple[int, int]]:
    """Return eras at the edge of a test block, each with the side on which training eras may be near: -1 before, 1 after."""
    edges = [(int(prober.predicted[0]), -1)] if prober.predicted[0] > prober.data.numbers[0] else []
    for probe in probes:
        edges += [(min((era for era in probe.moved if era > probe.era), default=0), -1)]
        edges += [(max((era for era in probe.moved if era < probe.era), default=0), 1)]
    if prober.predicted[-1] < prober.data.numbers[-1]:
        edges.append((int(prober.predicted[-1]), 1))
    return [edge for edge in dict.fromkeys(edges) if edge[0]]


def _nearest(prober: Prober, era: int, side: int) -> tuple[int, int, float] | None:
    """Return the weeks to the nearest target that moves the predictions of an era, the era, and the change; None if none does."""
    numbers = prober.data.numbers
    reach = [int(distance) for distance in range(1, prober.weeks) if era + side * distance in numbers]
    if not reach:
        return None
    found = _beyond(prober, prober.after_targets([era + side * distance for distance in reach]), era)
    if not found:
        return None
    low, high, most = 0, len(reach) - 1, found[0][0]
    while low < high:
        middle = (low + high) // 2
        nearer = _beyond(prober, prober.after_targets([era + side * distance for distance in reach[: middle + 1]]), era)
        low, high, most = (low, middle, nearer[0][0]) if nearer else (middle + 1, high, most)
    return reach[low], era, most


def _future(prober: Prober, walks_forward: bool | None) -> AuditTest:
    """Test whether predictions up to an era move when everything after it changes."""
    claims = prober.predicted[0] > prober.data.numbers[0] if walks_forward is None else walks_forward
    if not claims:
        return verdicts.not_tested(FUTURE, "the first eras are predicted too, as k-fold does, so that later eras may be used")
    last = int(prober.predicted[len(prober.predicted) // 2])
    moves = prober.after_both(prober.data.numbers[prober.data.numbers > last])
    found = [(most, era) for era, most in moves.items() if era <= last and most > prober.tolerance]
    return _judged(prober, FUTURE, found, f"predictions up to era {last} stay when all later eras change", f"eras after {last} change")


def _judged(prober: Prober, name: str, found: list[tuple[float, int]], stays: str, changed: str) -> AuditTest:
    """Test the largest change of predictions, each with its era; `stays` is said if there is none, and `changed` names its cause."""
    if not found:
        return verdicts.by_change(name, 0.0, prober.tolerance, stays)
    most, era = max(found)
    return verdicts.by_change(name, most, prober.tolerance, f"predictions of era {era} move by {most:.2g} std when {changed}")


def _beyond(prober: Prober, moves: dict[int, float], era: int) -> list[tuple[float, int]]:
    """Return the change of the predictions of an era, if it is more than rounding."""
    return [(moves[era], era)] if moves.get(era, 0.0) > prober.tolerance else []
