"""The project's folds and scores as scikit-learn takes them: splitters for `cv=`, and a scorer for `scoring=`.

    search = RandomizedSearchCV(model, space, cv=PurgedKFold(4, weeks=8), scoring=EraCorr(era))
    search.fit(X, y, groups=era)

Nothing here needs scikit-learn.
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
        X, y : not looked at.
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
        """How many folds there are."""
        return len(self._folds(np.unique(_eras(groups))))

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        raise NotImplementedError


@dataclass(frozen=True)
class PurgedKFold(_Splitter):
    """Each of `folds` contiguous blocks of eras once the test, without the eras within `weeks` of it: see `splits.purged_kfold`."""

    folds: int
    weeks: int

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.purged_kfold(eras, self.folds, self.weeks)


@dataclass(frozen=True)
class WalkForward(_Splitter):
    """Test blocks of `chunk` weeks, trained on the past or on the last `window` weeks of it: see `splits.walk_forward`."""

    chunk: int
    weeks: int
    window: int | None = None

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.walk_forward(eras, self.chunk, self.weeks, self.window)


@dataclass(frozen=True)
class CombinatorialPurged(_Splitter):
    """Every choice of `tested` of `blocks` blocks of eras as the test: see `splits.combinatorial`."""

    blocks: int
    tested: int
    weeks: int

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.combinatorial(eras, self.blocks, self.tested, self.weeks)


@dataclass(frozen=True, eq=False)
class EraCorr:
    """A scorer: mean or Sharpe over eras of the CORR of what an estimator predicts.

    A classifier's prediction is the mean of its classes, weighted by their probabilities. An era in which the prediction is
    constant has found nothing: 0.

    Parameters
    ----------
    era : era numbers by the index of the rows; X, or y where X has no index, says which rows it is asked for.
    statistic : `mean` or `sharpe` (ddof 0).
    """

    era: pd.Series
    statistic: Literal["mean", "sharpe"] = "mean"

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        rows = X if hasattr(X, "index") else y
        if not hasattr(rows, "index"):
            raise InputError("EraCorr: neither X nor y has an index, so that the era of a row can't be told; give one of them as pandas")
        era = self.era.loc[rows.index].to_numpy(np.int64)
        order = np.argsort(era, kind="stable")
        predicted = pd.DataFrame({"prediction": _predict(estimator, X)[order]})
        table = score_eras(predicted, np.asarray(y, np.float64)[order], era[order])
        return mean_or_sharpe(table["corr"].to_numpy(np.float64), self.statistic)


def _predict(estimator: Any, X: Any) -> NDArray[np.float64]:
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(X) @ estimator.classes_, np.float64)
    return np.asarray(estimator.predict(X), np.float64)


def _eras(groups: ArrayLike | None) -> NDArray[np.int64]:
    if groups is None:
        raise InputError("groups: the era number of each row is needed; give it to fit, as groups=")
    return np.asarray(groups, np.int64)
