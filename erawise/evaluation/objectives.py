"""Objectives: one name and one meaning for each score by which something is chosen.

An objective gives a value to each era, and a statistic to the eras:

- `corr`: the mean of CORR;
- `sharpe`: the Sharpe ratio of CORR, mean over standard deviation;
- `bmc`: the mean of BMC, against the benchmark model of `evaluate.benchmark`;
- `mmc`: the mean of MMC, against the meta model, which has to cover every era that is compared;
- `payout`: the mean of the payout of the regime, before factor and clip. MMC is in it only if the meta model covers every era that is
  compared. Else BMC takes the place of MMC in all of them.

Predictions are never compared by different scores: the eras that are compared decide once for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise import predictions
from erawise.base import settings
from erawise.base.schema import ERA, ID, META_MODEL, PREDICTION
from erawise.evaluation.summary import mean_or_sharpe
from erawise.panel.panel import era_slices
from erawise.running.errors import InputError
from erawise.scores import kernels
from erawise.scores.eras import CONSTANT, MIN_COVERAGE, Known, Sums, score_eras
from erawise.scores.kernels import Floats

NAMES: tuple[settings.Objective, ...] = get_args(settings.Objective)
CORR, SHARPE, BMC, MMC, PAYOUT = NAMES

STAND_IN = "payout_bmc"
"""The column of the payout with BMC in place of MMC."""

LABELS = {CORR: "CORR", SHARPE: "Sharpe", BMC: "BMC", MMC: "MMC", PAYOUT: "payout", STAND_IN: "payout (BMC for MMC)"}
"""The names of objectives and columns in sentences."""


@dataclass(frozen=True)
class Objective:
    """A score to choose by.

    Attributes
    ----------
    name : one of `NAMES`.
    column : the column of the table of `score_eras` that has the value of an era.
    weights : the weights of `corr`, `mmc` and `bmc`, whose sum is the value of an era; empty if only tables are compared.
    corr : the name of CORR in sentences, or of the correlation that stands for it.
    """

    name: settings.Objective = "corr"
    column: str = CORR
    weights: Mapping[str, float] = field(default_factory=lambda: {CORR: 1.0})
    corr: str = field(default=LABELS[CORR], compare=False)

    @property
    def statistic(self) -> str:
        """The statistic of the eras: `mean` or `sharpe`."""
        return statistic(self.name)

    @property
    def score(self) -> str:
        """The score of an era in words."""
        return self.corr if self.column == CORR else LABELS[self.column]

    @property
    def label(self) -> str:
        """The objective in words, without its mean."""
        return LABELS[SHARPE] if self.name == SHARPE else self.score

    @property
    def measure(self) -> str:
        """The objective in words, such as `mean CORR`."""
        return self.label if self.name == SHARPE else f"mean {self.label}"

    def figure(self, values: Floats) -> float:
        """Return the objective of the (eras,) values; an era with NaN counts as 0, and no era at all too."""
        return mean_or_sharpe(values, self.statistic) if len(values) else 0.0


BY_CORR = Objective()
"""The objective that needs no predictions of others."""


def statistic(name: str) -> str:
    """Return the statistic of the eras for an objective: `mean` or `sharpe`."""
    return "sharpe" if name == SHARPE else "mean"


@dataclass(frozen=True)
class Coverage:
    """The eras that are compared, and how many of them have each score.

    Attributes
    ----------
    eras : eras with a CORR.
    scores : how many of these have `mmc`, `bmc`, `payout` and `payout_bmc`.
    """

    eras: int
    scores: Mapping[str, int]

    def has_all(self, column: str) -> bool:
        """Return whether every era has a score."""
        return self.scores.get(column, 0) >= self.eras

    def has(self, column: str) -> bool:
        """Return whether an era has a score, or there is no era."""
        return self.scores.get(column, 0) > 0 or not self.eras

    def of(self, column: str) -> str:
        """Return the number of eras with a score, in words."""
        return f"{self.scores.get(column, 0)} of the {self.eras} eras"


def objective(name: settings.Objective, setting: str, coverage: Coverage, sums: Sums | None = None) -> Objective:
    """Return the objective of a name on the eras that are compared.

    Parameters
    ----------
    name : its name.
    setting : the setting or argument that gives the name, for messages.
    coverage : of the eras.
    sums : the weights of the payout and of its stand-in; None if tables are compared, which have both.

    Raises
    ------
    InputError
        If the meta model or the benchmark model doesn't cover the eras that the objective needs, or the regime pays for a score that
        needs features.
    """
    if name == MMC and not coverage.has_all(MMC):
        raise InputError(
            f"{setting}: mmc needs the meta model in every era that is compared, and it covers {coverage.of(MMC)}; "
            "set it to bmc, or to payout, which then has BMC in place of MMC"
        )
    if name == BMC and not coverage.has(BMC):
        raise InputError(
            f"{setting}: bmc needs a benchmark model, and it covers {coverage.of(BMC)} that are compared; "
            "name another one by evaluate.benchmark, or set it to corr"
        )
    if name != PAYOUT:
        return Objective(name) if not needs_others(name) else Objective(name, name, {name: 1.0})
    if not coverage.has_all(PAYOUT) and not coverage.has(STAND_IN):
        raise InputError(
            f"{setting}: payout needs the meta model in every era that is compared, and it covers {coverage.of(PAYOUT)}, or a benchmark "
            f"model in its place, which covers {coverage.of(STAND_IN)}; name a benchmark model by evaluate.benchmark, or set it to corr"
        )
    column = PAYOUT if coverage.has_all(PAYOUT) else STAND_IN
    weights = {} if sums is None else sums[column]
    others = [score for score in weights if score not in (CORR, MMC, BMC)]
    if others:
        raise InputError(
            f"{setting}: the regime of the payout pays for {others[0].upper()}, which needs every feature of an era; "
            "set it to corr, bmc or mmc, or take another payout.regime"
        )
    return Objective(name, column, weights)


def of_tables(
    name: settings.Objective, setting: str, pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], corr: str = LABELS[CORR]
) -> Objective:
    """Return the objective that compares predictions by their tables of scores.

    Parameters
    ----------
    name, setting : see `objective`.
    pairs : two long tables of `score_eras` for each split, the same one twice for predictions of one run. Eras with a CORR in both are
        compared.
    corr : see `Objective`.

    Raises
    ------
    InputError
        See `objective`.
    """
    if not needs_others(name):
        return Objective(name, corr=corr)
    columns = [MMC, BMC, PAYOUT, STAND_IN]
    eras, scores = 0, dict.fromkeys(columns, 0)
    for pair in pairs:
        one, other = (table.reindex(columns=[ERA, CORR, *columns]).groupby(ERA).count().gt(0) for table in pair)
        both = one & other.reindex(one.index, fill_value=False)
        compared = both[both[CORR]]
        eras += len(compared)
        scores = {column: scores[column] + int(compared[column].sum()) for column in columns}
    return objective(name, setting, Coverage(eras, scores))


@dataclass(frozen=True)
class Goal:
    """An objective, and the data of some rows that it is computed from.

    Attributes
    ----------
    objective : the objective.
    target : (rows,), NaN if it is unknown or not to be seen.
    others : the predictions of others by the score that needs them, `mmc` the meta model and `bmc` the benchmark model: (rows,), NaN if
        missing.
    coverage : of the eras that are compared.
    score : the correlation that stands for CORR.
    """

    objective: Objective
    target: Floats
    others: Mapping[str, Floats] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=lambda: Coverage(0, {}))
    score: settings.Score = kernels.NUMERAI

    def of(self, rows: NDArray[np.bool_]) -> "Goal":
        """Return the goal of some rows."""
        return replace(self, target=self.target[rows], others={score: values[rows] for score, values in self.others.items()})


def lines(aim: Goal, setting: str) -> list[str]:
    """Return a line on the score and the eras that choose; no line if it is CORR, which every era has."""
    chosen, coverage = aim.objective, aim.coverage
    if chosen.column == CORR:
        return []
    terms = " + ".join(f"{weight:g} · {score.upper()}" for score, weight in chosen.weights.items())
    formula = f", {terms}," if chosen.name == PAYOUT else ""
    why = f"; the meta model covers {coverage.of(MMC)}" if chosen.column == STAND_IN else ""
    return [f"{setting}: {chosen.label}{formula} in {coverage.of(chosen.column)} of cv{why}"]


def by_corr(target: NDArray, score: settings.Score = kernels.NUMERAI) -> Goal:
    """Return the goal of the mean CORR, or of the score that stands for it, against a (rows,) target."""
    return Goal(BY_CORR, np.asarray(target, np.float64), score=score)


def needs_others(name: settings.Objective) -> bool:
    """Return whether an objective needs the predictions of others."""
    return name not in (CORR, SHARPE)


def others(rows: pd.DataFrame, references: pd.DataFrame, benchmark: str | None) -> dict[str, Floats]:
    """Return the predictions of others for some rows, by the score that needs them: `mmc`, `bmc`.

    Parameters
    ----------
    rows : `id` and `era`.
    references : `id`, `era`, the meta model and the benchmark models.
    benchmark : the benchmark model of BMC, None without any.
    """
    columns = {score: column for score, column in ((MMC, META_MODEL), (BMC, benchmark)) if column is not None and column in references}
    return dict(zip(columns, predictions.along(rows, references, list(columns.values())).T, strict=True))


def goal(
    name: settings.Objective,
    setting: str,
    era: NDArray[np.int64],
    target: Floats,
    others: Mapping[str, Floats],
    sums: Callable[[], Sums],
    score: settings.Score = kernels.NUMERAI,
) -> Goal:
    """Return the goal of an objective on rows of predictions.

    Parameters
    ----------
    name, setting : see `objective`.
    era : (rows,), rows of an era adjacent.
    target : (rows,), NaN in rows that don't choose.
    others : see `Goal`.
    sums : gives the weights of the payout and of its stand-in, none if nothing is paid; it is called for `payout` only.
    score : the correlation that stands for CORR.

    Raises
    ------
    InputError
        See `objective`; and whatever `sums` raises.
    """
    if not needs_others(name):
        return Goal(objective(name, setting, Coverage(0, {})), target, score=score)
    weights = sums() if name == PAYOUT else {}
    if name == PAYOUT and not weights:
        raise InputError(f"{setting}: payout is Numerai's, and data.schema describes another panel; set it to corr, sharpe, bmc or mmc")
    slices = [rows for rows in era_slices(era) if np.isfinite(target[rows]).any()]
    counts = {other: sum(_covers(target[rows], values[rows]) for rows in slices) for other, values in others.items()}
    for column, parts in weights.items():
        counts[column] = min((counts.get(other, 0) for other in parts if other in (MMC, BMC)), default=len(slices))
    coverage = Coverage(len(slices), {MMC: 0, BMC: 0} | counts)
    chosen = objective(name, setting, coverage, weights if name == PAYOUT else None)
    return Goal(chosen, target, {other: others[other] for other in chosen.weights if other in others}, coverage, score)


def _covers(target: Floats, other: Floats) -> bool:
    """Return whether another prediction exists, and varies, in enough of an era's rows with a target."""
    known = np.isfinite(target)
    both = other[known & np.isfinite(other)]
    return bool(len(both) >= MIN_COVERAGE * known.sum() and len(both) and not kernels.is_constant(both))


def by_era(frame: pd.DataFrame, index: pd.DataFrame, aim: Goal) -> tuple[NDArray[np.int64], Floats]:
    """Calculate the value of a prediction in each era that it has, in which the objective can be computed.

    Parameters
    ----------
    frame : `id`, `era`, `prediction`.
    index : `id`, `era` in the order of a panel.
    aim : the goal of the rows of the index.

    Returns
    -------
    The eras, sorted, and the value of each; NaN if the prediction is constant. Eras without the predictions of others are left out.
    """
    rows = np.isfinite(aim.target) & index[ERA].isin(frame[ERA].astype(np.int64)).to_numpy()
    own, own_index = aim.of(rows), index[rows]
    values = pd.DataFrame({PREDICTION: predictions.along(own_index[[ID, ERA]], frame, [PREDICTION])[:, 0]})
    known = Known(own.others.get(MMC), own.others.get(BMC), score=aim.score)
    column, weights = aim.objective.column, aim.objective.weights
    sums = {column: weights} if aim.objective.name == PAYOUT else {}
    scored = score_eras(values, own.target, own_index[ERA].to_numpy(), known, sums=sums)
    kept = scored[scored[column].notna() | scored[CORR].isna() | scored[CONSTANT]]
    return kept[ERA].to_numpy(np.int64), kept[column].to_numpy(np.float64)


@dataclass(frozen=True)
class Era:
    """Predictions of one era, and what blends of them are scored against.

    Attributes
    ----------
    gaussian : (rows, models), gaussianized predictions.
    target : (rows,), not constant.
    others : by score (`mmc`, `bmc`), (rows,) the rows that have the other prediction, and it, gaussianized, in these rows.
    score : the correlation that stands for CORR.
    """

    gaussian: Floats
    target: Floats
    others: Mapping[str, tuple[NDArray[np.bool_], Floats]]
    score: settings.Score = kernels.NUMERAI

    def values(self, blends: Floats, weights: Mapping[str, float]) -> Floats:
        """Return the (p,) values of some blends (rows, p) by the weights of an objective; a constant blend has 0."""
        gaussian, total = kernels.gaussianize(blends), np.zeros(blends.shape[1])
        for score, weight in weights.items():
            if score == CORR:
                found = kernels.correlation(self.score, blends, self.target, self.target.mean(), gaussian)
            else:
                found = self._contribution(score, blends, gaussian)
            total += weight * np.nan_to_num(found)
        return total

    def products(self, weights: Mapping[str, float]) -> Floats:
        """Return the (models,) linear scores of the predictions, which least squares need, see `blending.nonnegative_weights`.

        CORR is replaced by the correlation of the gaussianized prediction of unit variance with the target, without powers. MMC and BMC
        are linear in the gaussianized prediction as they are.
        """
        total = np.zeros(self.gaussian.shape[1])
        centred = self.target - self.target.mean()
        for score, weight in weights.items():
            if score == CORR:
                found = self.gaussian.T @ centred / (len(centred) * centred.std())
            else:
                found = self._contribution(score, self.gaussian, self.gaussian)
            total += weight * np.nan_to_num(found)
        return total

    def _contribution(self, score: str, blends: Floats, gaussian: Floats) -> Floats:
        rows, other = self.others[score]
        own = gaussian if rows.all() else kernels.gaussianize(blends[rows])
        return kernels.contribution(own, other, self.target[rows])


def usable_eras(values: Floats, era: NDArray[np.int64], aim: Goal) -> list[Era]:
    """Return the eras in which blends of predictions can be scored.

    Parameters
    ----------
    values : (rows, models), finite predictions.
    era : (rows,), rows of an era adjacent.
    aim : the goal of the rows; rows without a target are left out, and eras without the predictions of others that it needs.
    """
    known = np.isfinite(aim.target)
    values, era, own = values[known], era[known], aim.of(known)
    found = []
    for rows in era_slices(era):
        target, others = own.target[rows], {score: other[rows] for score, other in own.others.items()}
        if np.ptp(target) > 0 and all(_covers(target, other) for other in others.values()):
            given = {score: np.isfinite(other) for score, other in others.items()}
            ranked = {score: (given[score], kernels.gaussianize(other[given[score]])) for score, other in others.items()}
            found.append(Era(kernels.gaussianize(values[rows]), target, ranked, aim.score))
    return found
