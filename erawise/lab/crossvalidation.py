"""The project's folds and scores for scikit-learn: splitters for `cv=`, and a scorer for `scoring=`.

    search = RandomizedSearchCV(model, space, cv=PurgedKFold(4, weeks=16), scoring=EraCorr(era))
    search.fit(X, y, groups=era)

`weeks` is the purge: 16 for a target of 60 days, 8 for one of 20.

This module doesn't import scikit-learn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from erawise.evaluation.summary import mean_or_sharpe
from erawise.folds import splits
from erawise.running.errors import InputError
from erawise.scores.eras import score_eras

Rows = NDArray[np.int64]


class _Splitter:
    """Folds over the eras of the rows."""

    def split(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Iterator[tuple[Rows, Rows]]:
        """Yield the positions of the training rows and of the test rows of each fold.

        Parameters
        ----------
        X, y : not used.
        groups : (rows,) era numbers, in weeks.

        Raises
        ------
        InputError
            If there are no groups, or too few eras.
        """
        era = _eras(groups)
        for fold in self._folds(np.unique(era)):
            yield np.flatnonzero(np.isin(era, fold.train)), np.flatnonzero(np.isin(era, fold.test))

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Return the number of folds."""
        return len(self._folds(np.unique(_eras(groups))))

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        raise NotImplementedError


@dataclass(frozen=True)
class PurgedKFold(_Splitter):
    """A splitter with each of `folds` contiguous blocks of eras as test, purged by `weeks`: see `splits.purged_kfold`."""

    folds: int
    weeks: int

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.purged_kfold(eras, self.folds, self.weeks)


@dataclass(frozen=True)
class WalkForward(_Splitter):
    """A splitter with test blocks of `chunk` weeks, trained on the past or its last `window` weeks: see `splits.walk_forward`."""

    chunk: int
    weeks: int
    window: int | None = None

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.walk_forward(eras, self.chunk, self.weeks, self.window)


@dataclass(frozen=True)
class CombinatorialPurged(_Splitter):
    """A splitter with every choice of `tested` out of `blocks` blocks of eras as test: see `splits.combinatorial`."""

    blocks: int
    tested: int
    weeks: int

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.combinatorial(eras, self.blocks, self.tested, self.weeks)


@dataclass(frozen=True, eq=False)
class EraCorr:
    """A scorer: mean or Sharpe over eras of the CORR of an estimator's predictions.

    A classifier's prediction is the mean of its classes, weighted by their probabilities. An era with a constant prediction has a CORR
    of 0.

    Parameters
    ----------
    era : era numbers by the index of the rows; the rows to score are in the index of X, or of y if X has none.
    statistic : `mean` or `sharpe` (ddof 0).
    """

    era: pd.Series
    statistic: Literal["mean", "sharpe"] = "mean"

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        rows = X if hasattr(X, "index") else y
        if not hasattr(rows, "index"):
            raise InputError("EraCorr: neither X nor y has an index, so the eras of the rows are unknown; give one of them as pandas")
        era = self.era.loc[rows.index].to_numpy(np.int64)
        order = np.argsort(era, kind="stable")
        predicted = pd.DataFrame({"prediction": predict(estimator, X)[order]})
        table = score_eras(predicted, np.asarray(y, np.float64)[order], era[order])
        return mean_or_sharpe(table["corr"].to_numpy(np.float64), self.statistic)


def predict(estimator: Any, X: Any) -> NDArray[np.float64]:
    """Predict the (rows,) values of an estimator; for a classifier the mean of its classes, weighted by their probabilities."""
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(X) @ estimator.classes_, np.float64)
    return np.asarray(estimator.predict(X), np.float64)


def _eras(groups: ArrayLike | None) -> NDArray[np.int64]:
    if groups is None:
        raise InputError("groups: the era number of each row is needed; give it to fit, as groups=")
    return np.asarray(groups, np.int64)
