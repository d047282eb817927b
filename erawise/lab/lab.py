"""A finished run for notebooks: its data, predictions and scores, and models of one's own on its folds.

    run = lab.open_run("path/to/the/repository")
    mine = run.train(kind, settings).predictions
    run.compare(run.score({"mine": mine}), "ensemble")

Everything uses the functions of the stages, so scores are the pipeline's own. Only `Run.score` reads the targets of the validation eras, if
it is asked for validation. No fit, blend or choice of features here can see them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import CV, DATA_TYPE, ERA, ID, LIVE, LIVE_ERA, PREDICTION, SPLIT, VALIDATION, era_name
from erawise.blend import blending, neutralization, risk
from erawise.evaluation import evaluation
from erawise.exploration.exploration import Exploration
from erawise.folds import splits
from erawise.history import comparison
from erawise.lab import library
from erawise.models.shared.protocol import GIB, Kind, Resources, held_by
from erawise.panel import maps
from erawise.panel.panel import FeatureMap, Panel, View, days_ahead
from erawise.regimes import regimes
from erawise.running import paths
from erawise.running.errors import InputError
from erawise.training import jobs, training
from erawise.training.fits import How

PARAMS, DATA = "params.yaml", "data"
NEEDED = (
    PARAMS,
    "data/prepared/panel/features.json",
    "data/prepared/live/features.json",
    "data/explored",
    "data/folds.json",
    "data/features/selected.json",
    "data/members.json",
    "data/scores",
)
"""Files of a finished run."""

COLUMNS = (ID, ERA, SPLIT, PREDICTION)
"""Columns of a table of predictions."""

FINAL = ("ensemble", "neutralized")
"""Predictions that the pipeline makes from its models' predictions."""


def open_run(directory: Path | str = ".") -> "Run":
    """Open the finished run in a checkout of the repository.

    Parameters
    ----------
    directory : of `params.yaml` and `data/`.

    Raises
    ------
    InputError
        If no run was finished there, or `params.yaml` has a mistake.
    """
    top = Path(directory)
    for name in NEEDED:
        if not (top / name).exists():
            raise InputError(f"{top.resolve()}: there is no finished run ({name} is missing); run `make repro` first")
    return Run(top, params.load(top / PARAMS))


@dataclass(frozen=True)
class Run:
    """A finished run; its files are read when they are first needed.

    Predictions are tables with the columns `id`, `era` (a number, null for live), `split` (`cv`, `validation` or `live`) and
    `prediction`, a row for each id and era. Scores are the long table of `scores.eras.score_eras`, a row for each era and
    prediction.

    Attributes
    ----------
    directory : of the run.
    settings : the content of its `params.yaml`.
    """

    directory: Path
    settings: params.Params = field(repr=False)

    @cached_property
    def panel(self) -> Panel:
        """Return the rows of train and validation; `index` has every target, but only in train eras (NaN in validation)."""
        return Panel(self._data("prepared/panel"))

    @cached_property
    def live(self) -> Panel:
        """Return the rows of the live era, without targets."""
        return Panel(self._data("prepared/live"), [])

    @cached_property
    def explored(self) -> Exploration:
        """Return the tables that describe features, eras and targets."""
        names = ("features", "eras", "targets", "stability")
        text = {"dtype": {"feature": str, "name": str}, "keep_default_na": False, "na_values": [""]}
        return Exploration(**{name: pd.read_csv(self._data(f"explored/{name}.csv"), **text) for name in names})

    @property
    def target(self) -> str:
        """Return the main target, which every score is against."""
        return self.settings.data.target

    @property
    def days(self) -> int:
        """Return the trading days that the target looks ahead."""
        return days_ahead(self._data("prepared/panel"), self.target)

    @cached_property
    def plan(self) -> splits.Plan:
        """Return the training, test and purged eras of a model on the main target; `plan.folds` are the folds of `cv`."""
        return self._plan(self.target)

    @cached_property
    def models(self) -> list[str]:
        """Return the names of the models."""
        return list(files.read_json(self._data("members.json"))["models"])

    @property
    def names(self) -> list[str]:
        """Return the names of all predictions: the models, `ensemble` and `neutralized`."""
        return [*self.models, *FINAL]

    def predictions(self, name: str) -> pd.DataFrame:
        """Return one of the run's predictions.

        Raises
        ------
        InputError
            If the run has no prediction of that name.
        """
        if name not in self.names:
            raise InputError(f"the run has no prediction {name!r}; it has {', '.join(self.names)}")
        return tabular.read_parquet(self.directory / paths.prediction(name)).astype({ERA: "Int64"})

    def feature(self, name: str) -> pd.DataFrame:
        """Return a feature's values as a prediction, in every era that has predictions.

        Raises
        ------
        InputError
            If the prepared data has no such feature.
        """
        wanted = ((CV, self.panel, self.plan.train), (VALIDATION, self.panel, self.plan.validation), (LIVE, self.live, self.live.eras))
        return pd.concat([_values(source, eras, name, split) for split, source, eras in wanted], ignore_index=True)

    def scores(self, split: str = CV) -> pd.DataFrame:
        """Return the scores that the run has written, for all predictions; see `score`.

        Raises
        ------
        InputError
            If `split` is neither `cv` nor `validation`.
        """
        _check_split(split)
        return tabular.read_parquet(self._data(f"scores/{split}.parquet"))

    def score(self, made: str | pd.DataFrame | Mapping[str, pd.DataFrame], split: str = CV) -> pd.DataFrame:
        """Score predictions as the pipeline does: CORR, MMC, BMC, FNC, exposure and the others, era by era.

        Parameters
        ----------
        made : the name of one of the run's predictions, a table of predictions, or several tables by name.
        split : `cv`, to choose by, or `validation`, the final check, not to choose by.

        Returns
        -------
        Scores of the eras of the split that any prediction has. NaN if the data can't give a score, or if more than a fifth of the era's
        rows lack a prediction (NaN or no row) or a target.

        Raises
        ------
        InputError
            If `split` is neither `cv` nor `validation`, or a table lacks a column, has no row of the split, an id twice in an era, a row
            that the data doesn't have, an era that is purged or of another split, or an infinite prediction.
        """
        _check_split(split)
        if isinstance(made, str):
            made = {made: self.predictions(made)}
        frames = {PREDICTION: made} if isinstance(made, pd.DataFrame) else dict(made)
        for name, frame in frames.items():
            self._check(name, frame)
            if not (frame[SPLIT] == split).any():
                raise InputError(
                    f"{name}: no row has the split {split!r}; there are {', '.join(map(str, frame[SPLIT].unique())) or 'none'}"
                )
        settings, references = self.settings.evaluate, tabular.read_parquet(self._data("prepared/references.parquet"))
        main = self.panel.equal.get(self.target, self.target)
        benchmark = evaluation.benchmark_column(evaluation.benchmarks(references), settings.benchmark, main, self.days)
        early = evaluation.early_target(main, self.days, self.panel.targets)
        outcomes = evaluation.Outcomes(
            self._targets(split, self.target), references, benchmark, None if early is None else self._targets(split, early)
        )
        regime = regimes.load(self.settings.payout.regimes, self.directory).named(self.settings.payout.regime)
        scores, _ = evaluation.score_split(split, frames, self.panel, outcomes, regime.sums(), self.settings.resources.threads)
        return scores

    def summary(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Summarize scores: a row for each prediction, and the figures of `metrics/*.json` as columns such as `corr.mean`.

        Returns
        -------
        DataFrame; NaN if a prediction lacks a figure that another prediction has.
        """
        return library.summarized(scores, self.days)

    def means(self, scores: pd.DataFrame, metric: str = "corr") -> pd.DataFrame:
        """Return the mean over eras of a score with its 95 % interval, a row for each prediction.

        Returns
        -------
        DataFrame with the columns of `significance.Mean`; with too few eras `low` and `high` are NaN, and `reason` says so. It has no row
        if the scores have none.

        Raises
        ------
        InputError
            If a prediction has an era twice.
        """
        if scores.empty:
            return pd.DataFrame(columns=[each.name for each in fields(library.Interval)], index=pd.Index([], name=PREDICTION))
        twice = scores[scores.duplicated([ERA, PREDICTION])]
        if len(twice):
            raise InputError(f"scores: era {twice[ERA].iloc[0]} of {twice[PREDICTION].iloc[0]!r} is there twice; expected each era once")
        wide = scores.pivot(index=ERA, columns=PREDICTION, values=metric)[scores[PREDICTION].unique()]
        return library.interval(wide, days=self.days)

    def compare(self, scores: pd.DataFrame, against: str, split: str = CV) -> pd.DataFrame:
        """Compare the CORR of predictions with one of the run's own, by their paired difference, era by era.

        Parameters
        ----------
        scores : of the predictions, see `score`.
        against : the name of the run's prediction.
        split : of the scores.

        Returns
        -------
        DataFrame, a row for each prediction: the columns of `comparison.compare`, with the run's prediction as `before`. A verdict is
        `better` or `worse` if the interval of the difference doesn't contain 0, else `can't tell`.

        Raises
        ------
        InputError
            If the run has no prediction of that name.
        """
        own = self.scores(split)
        if against not in set(own[PREDICTION]):
            raise InputError(f"the run has no scores of {against!r}, only of {', '.join(own[PREDICTION].unique())}")
        rows = [
            {"split": split, PREDICTION: f"{name} against {against}", **comparison.pair(own, against, scores, name, self.days)}
            for name in scores[PREDICTION].unique()
        ]
        return pd.DataFrame(comparison.adjusted(rows))

    def train(self, kind: Kind, settings: Any) -> training.Trained:
        """Train a model as the pipeline does: in each purged fold, and on all train eras.

        Parameters
        ----------
        kind : a module of `erawise.models`, or anything else with the functions of `models.protocol.Kind`.
        settings : passed to the kind's functions; its `target` is the target to learn.

        Returns
        -------
        The model that was fitted on all train eras, with `predictions` out of fold (`cv`), of validation and of live.

        Raises
        ------
        InputError
            If the data has no such target, or a fit needs more memory than `resources.memory`.
        """
        training.check_target(self.panel, settings.target, "settings.target")
        data = jobs.TrainingData(self.panel, self.live, self._plan(settings.target), *maps.read(self._data("features")))
        given = self.settings.resources
        with (
            files.scratch(self._data("")) as scratch,
            threadpool_limits(given.threads, user_api="blas"),
        ):
            resources = Resources(given.threads, int(given.memory * GIB), scratch, given.device, held_by(self.panel))
            return training.train(kind, settings, data, self.settings.training.inner_share, How(resources))

    def blend(self, made: Mapping[str, pd.DataFrame], weights: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Blend predictions in each era: ranks, gaussianized, their weighted mean, ranked again.

        Parameters
        ----------
        made : tables of predictions, by name; rows that all tables have are blended.
        weights : by name, of any sum; by default equal.

        Raises
        ------
        InputError
            If a table isn't one of predictions (see `score`), the tables have no row in common, a weight has an unknown name or is below
            0, all weights are 0, or a prediction is NaN or infinite.
        """
        for name, frame in made.items():
            self._check(name, frame)
        rows = predictions.join(dict(made))
        resolved = blending.resolve_weights("equal" if weights is None else dict(weights), list(made))
        return predictions.table(rows, blending.blend(rows[list(made)], rows[ERA].to_numpy(np.int64), resolved))

    def neutralize(self, made: pd.DataFrame, features: str | None = None, proportion: float | None = None) -> pd.DataFrame:
        """Take the part that is linear in some features out of a prediction, era by era.

        Parameters
        ----------
        made : predictions, of every row of each era that they have.
        features : `all`, `riskiest`, or a feature set or group; by default `neutralize.features` of the settings.
        proportion : share of that part, 0..1; by default `neutralize.proportion` of the settings, or if that is `auto`, the pipeline's
            choice.

        Raises
        ------
        InputError
            If the table isn't one of predictions (see `score`) or lacks rows of an era, a prediction is NaN or infinite, there is no
            feature set of that name, or an era has too few rows for the features.
        """
        self._check(PREDICTION, made)
        settings, threads = self.settings.neutralize, self.settings.resources.threads
        method = settings.features if features is None else features
        rows = predictions.join({PREDICTION: made})
        for era, count in rows.groupby(ERA).size().items():
            every = self._of(int(era)).rows(int(era))
            if count != (expected := every.stop - every.start):
                raise InputError(
                    f"{era_name(int(era))}: {count} of {expected} rows have a prediction; neutralization needs all rows of an era"
                )

        of_test = {int(era): number for number, fold in enumerate(self.plan.folds, 1) for era in fold.test}

        def block(era: int) -> NDArray:
            return self._of(era).block(era, risk.within(columns[of_test.get(era, 0)], method, self._of(era).rows(era)))

        with threadpool_limits(threads, user_api="blas"):
            learn = [self.plan.train, *(fold.train for fold in self.plan.folds)]
            columns = [self.panel.columns(names) for names in risk.chosen(self.panel, learn, self.target, method, settings.count)]
            share = self._proportion() if proportion is None else proportion
            neutral = neutralization.neutralize_eras(rows[PREDICTION].to_numpy(), rows[ERA].to_numpy(), block, share, threads)
        return predictions.table(rows, neutral)

    def _proportion(self) -> float:
        """Return the proportion of the settings, or the pipeline's choice if that is `auto`."""
        given = self.settings.neutralize.proportion
        return given if isinstance(given, float) else float(files.read_json(self._data("neutralized_to.json"))["proportion"])

    @cached_property
    def _rows(self) -> pd.DataFrame:
        """Return `id`, `era` and the `split` of predictions, for all rows; `purged` if the row has no predictions."""
        index = pd.concat([self.panel.index[[ID, ERA, DATA_TYPE]], self.live.index[[ID, ERA, DATA_TYPE]]], ignore_index=True)
        plan = self.plan
        of_eras: dict[str, Iterable[int]] = {
            CV: plan.train,
            VALIDATION: plan.validation,
            "purged": plan.validation_purged,
            LIVE: [LIVE_ERA],
        }
        splits_by_era = {int(era): split for split, eras in of_eras.items() for era in eras}
        return index[[ID, ERA]].assign(**{SPLIT: index[ERA].map(splits_by_era)})

    def _check(self, name: str, frame: pd.DataFrame) -> None:
        absent = [column for column in COLUMNS if column not in frame]
        if absent:
            raise InputError(f"{name}: the table lacks the column {absent[0]!r}; predictions have {', '.join(COLUMNS)}")
        rows = frame[[ID, SPLIT]].assign(**{ERA: predictions.numbers(frame[ERA])})
        twice = rows.duplicated([ERA, ID])
        if twice.any():
            first = rows[twice].iloc[0]
            raise InputError(f"{name}: id {first[ID]!r} is there more than once in {era_name(first[ERA])}; leave one row of each")
        known = rows.merge(self._rows, on=[ERA, ID], how="left", suffixes=("", "_known"))[f"{SPLIT}_known"].to_numpy()
        strange = pd.isna(known)
        if strange.any():
            first = rows[strange].iloc[0]
            raise InputError(f"{name}: {int(strange.sum())} rows aren't in the data, such as id {first[ID]!r} in {era_name(first[ERA])}")
        off = known != rows[SPLIT].to_numpy()
        if off.any():
            first, found = rows[off].iloc[0], known[off][0]
            raise InputError(f"{name}: {era_name(first[ERA])} has the split {first[SPLIT]!r} and is {found}; correct it, or leave it out")

    def _of(self, era: int) -> Panel:
        return self.live if era == LIVE_ERA else self.panel

    def _targets(self, split: str, name: str) -> NDArray[np.float64]:
        """Return a target (rows of the panel,) in the train eras, or for validation in the validation eras; NaN elsewhere."""
        if split == CV:
            return self.panel.index[name].to_numpy(np.float64)
        aside = tabular.read_parquet(self._data("prepared/validation_targets.parquet"), [ID, ERA, name])
        return predictions.known_targets(self.panel, aside, name)

    def _plan(self, target: str) -> splits.Plan:
        days = days_ahead(self._data("prepared/panel"), target)
        return splits.from_json(files.read_json(self._data("folds.json")), max(days, self.days))

    def _data(self, name: str) -> Path:
        return self.directory / DATA / name


def _values(panel: Panel, eras: NDArray[np.int64], feature: str, split: str) -> pd.DataFrame:
    view = View(panel, eras, FeatureMap((feature,)))
    rows = panel.index.iloc[view.rows][[ID, ERA]].assign(**{SPLIT: split})
    return predictions.table(rows, view.matrix()[:, 0].astype(np.float64))


def _check_split(split: str) -> None:
    if split not in (CV, VALIDATION):
        raise InputError(f"split: {split!r} has no scores; expected {CV} or {VALIDATION}")
