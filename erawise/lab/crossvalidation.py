"""The project's folds and scores for scikit-learn: splitters for `cv=`, and a scorer for `scoring=`.

    scores = cross_val_score(model, X, y, groups=era, cv=PurgedKFold(weeks=16), scoring=era_corr_scorer)

`weeks` is the purge: 16 for a target of 60 days, 8 for one of 20.

This module doesn't import scikit-learn.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from erawise.base.schema import ERA
from erawise.evaluation.summary import mean_or_sharpe
from erawise.folds import splits
from erawise.lab import frames
from erawise.running.errors import InputError
from erawise.scores.eras import score_eras

Rows = NDArray[np.int64]

KEPT = 4
"""Splits that the scorer remembers; a search inside a search needs two."""


class _Memory:
    """The eras of the last splits: for each part of a split, found by the target of its rows.

    scikit-learn gives `groups` to a splitter, and not to a scorer. So the splitters here note the eras of each part, with a digest of
    its target. The scorer looks for the digest of its own target; other rows have another one, and get no eras.
    """

    def __init__(self) -> None:
        self.splits: list[tuple[NDArray[np.int16], dict[bytes, splits.Eras]]] = []

    def note(self, era: NDArray[np.int64], y: Any, folds: Sequence[splits.Fold]) -> None:
        """Note the parts of a split; nothing if the target isn't a column of numbers."""
        target = _target(y)
        if target is not None and len(target) == len(era):
            parts = {_digest(target[np.isin(era, part)]): part for fold in folds for part in (fold.train, fold.test)}
            self.add(era.astype(np.int16), parts)

    def add(self, era: NDArray[np.int16], parts: dict[bytes, splits.Eras]) -> None:
        """Add a split as the last one, in place of an equal one."""
        others = [(other, known) for other, known in self.splits if known.keys() != parts.keys()]
        self.splits = [*others, (era, parts)][-KEPT:]

    def find(self, y: Any) -> NDArray[np.int64] | None:
        """Return the eras of rows by their target; None if no split has such a part."""
        target = _target(y)
        key = None if target is None else _digest(target)
        for era, parts in reversed(self.splits):
            if key in parts:
                self.add(era, parts)
                return era[np.isin(era, parts[key])].astype(np.int64)
        return None


_MEMORY = _Memory()


class _Splitter:
    """Folds over the eras of the rows."""

    def split(self, X: Any, y: Any = None, groups: ArrayLike | None = None) -> Iterator[tuple[Rows, Rows]]:
        """Yield the positions of the training rows and of the test rows of each fold.

        Parameters
        ----------
        X : not used.
        y : (rows,) target; `era_corr_scorer` finds the eras of a test block by it.
        groups : (rows,) numbers of weeks, such as 12, "0012" or "era12".

        Raises
        ------
        InputError
            If there are no groups, or too few eras.
        """
        era = _eras(groups)
        folds = self._folds(np.unique(era))
        _MEMORY.note(era, y, folds)
        for fold in folds:
            yield np.flatnonzero(np.isin(era, fold.train)), np.flatnonzero(np.isin(era, fold.test))

    def get_n_splits(self, X: Any = None, y: Any = None, groups: ArrayLike | None = None) -> int:
        """Return the number of folds."""
        return len(self._folds(np.unique(_eras(groups))))

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        raise NotImplementedError


@dataclass(frozen=True)
class PurgedKFold(_Splitter):
    """A splitter with each of `folds` contiguous blocks of eras as test, purged by `weeks` on both sides.

    Source: López de Prado (2018), Advances in Financial Machine Learning, chapter 7; see `splits.purged_kfold`.

    Parameters
    ----------
    folds : the number of blocks.
    weeks : eras within so many weeks of a test era are in no training part: 16 for a target of 60 days, 8 for one of 20.

    Examples
    --------
    >>> import erawise, numpy as np
    >>> era = np.arange(1, 101)
    >>> [(len(train), len(test)) for train, test in erawise.PurgedKFold(4, weeks=8).split(era, groups=era)]
    [(67, 25), (59, 25), (59, 25), (67, 25)]
    """

    folds: int = 5
    weeks: int = field(kw_only=True)

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.purged_kfold(eras, self.folds, self.weeks)


@dataclass(frozen=True)
class WalkForward(_Splitter):
    """A splitter with test blocks of `chunk` weeks, trained on the past: see `splits.walk_forward`.

    Parameters
    ----------
    chunk : weeks of a test block; the first block is no test.
    weeks : the last weeks before a test block that are in no training part: 16 for a target of 60 days, 8 for one of 20.
    window : weeks of the past to train on; None for all of it.

    Examples
    --------
    >>> import erawise, numpy as np
    >>> era = np.arange(1, 101)
    >>> [(len(train), len(test)) for train, test in erawise.WalkForward(25, weeks=8).split(era, groups=era)]
    [(17, 25), (42, 25), (67, 25)]
    """

    chunk: int
    weeks: int
    window: int | None = None

    def _folds(self, eras: splits.Eras) -> Sequence[splits.Fold]:
        return splits.walk_forward(eras, self.chunk, self.weeks, self.window)


@dataclass(frozen=True)
class CombinatorialPurged(_Splitter):
    """A splitter with every choice of `tested` out of `blocks` blocks of eras as test, purged by `weeks`: see `splits.combinatorial`.

    Examples
    --------
    >>> import erawise, numpy as np
    >>> era = np.arange(1, 101)
    >>> erawise.CombinatorialPurged(5, tested=2, weeks=8).get_n_splits(groups=era)
    10
    """

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

    The eras of the rows to score come from the first of these that there is:

    - `era`, by the rows' index: the index of X, or of y if X has none;
    - an index level named `era` of X or of y, or a column of this name in X;
    - `groups`, if the rows are a part of a split by a splitter of this module.

    scikit-learn turns an error of a scorer into NaN and a warning, unless the search has `error_score="raise"`.

    Parameters
    ----------
    era : eras by the index of the rows, or None.
    statistic : `mean` or `sharpe` (ddof 0).

    Examples
    --------
    >>> import erawise, numpy as np, pandas as pd
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> era, X = np.repeat(np.arange(1, 101), 20), rng.normal(size=(2000, 3))
    >>> y = X[:, 0] + rng.normal(size=2000)
    >>> cv = erawise.PurgedKFold(4, weeks=16)
    >>> cross_val_score(Ridge(), X, y, groups=era, cv=cv, scoring=erawise.era_corr_scorer).round(2)
    array([0.62, 0.66, 0.63, 0.67])
    """

    era: pd.Series | None = None
    statistic: Literal["mean", "sharpe"] = "mean"

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the score of a fitted estimator.

        Raises
        ------
        InputError
            If the eras of the rows are unknown.
        """
        era = _found_eras(X, y) if self.era is None else _given_eras(self.era, X, y)
        order = np.argsort(era, kind="stable")
        predicted = pd.DataFrame({"prediction": predict(estimator, X)[order]})
        table = score_eras(predicted, np.asarray(y, np.float64)[order], era[order])
        return mean_or_sharpe(table["corr"].to_numpy(np.float64), self.statistic)

    def __deepcopy__(self, memo: dict[int, Any]) -> "EraCorr":
        """Return the scorer itself, which can't change."""
        return self

    def __reduce__(self) -> tuple[Callable[..., "EraCorr"], tuple[Any, ...]]:
        """Give the splits that the scorer remembers to a worker process."""
        return _in_worker, (self.era, self.statistic, [] if self.era is not None else _MEMORY.splits)


era_corr_scorer = EraCorr()
"""A scorer for `scoring=`: the mean CORR over the eras of the test rows, see `EraCorr`."""


def _in_worker(era: pd.Series | None, statistic: Literal["mean", "sharpe"], noted: list[tuple[Any, Any]]) -> EraCorr:
    for split in noted:
        _MEMORY.add(*split)
    return EraCorr(era, statistic)


def _given_eras(era: pd.Series, X: Any, y: Any) -> NDArray[np.int64]:
    rows = X if hasattr(X, "index") else y
    if not hasattr(rows, "index"):
        raise InputError("EraCorr: neither X nor y has an index, so the eras of the rows are unknown; give one of them as pandas")
    absent = ~rows.index.isin(era.index)
    if absent.any():
        raise InputError(f"EraCorr: era has no row {rows.index[absent][0]!r}; it must have every row of X, by the same index")
    return frames.eras(era.loc[rows.index]).numbers


def _found_eras(X: Any, y: Any) -> NDArray[np.int64]:
    for rows in (X, y):
        index = frames.index_of(rows)
        if index is not None and ERA in index.names:
            return frames.eras(index.get_level_values(ERA).to_numpy()).numbers
    if ERA in getattr(X, "columns", ()):
        return frames.eras(X[ERA]).numbers
    found = _MEMORY.find(y)
    if found is None:
        raise InputError(
            "era_corr_scorer: the eras of the test rows are unknown; split by a splitter of erawise, such as cv=PurgedKFold(weeks=16) with "
            "groups=era, or give X or y an index level named era, such as X.set_index(era.rename('era'), append=True)"
        )
    return found


def _target(y: Any) -> NDArray[np.float64] | None:
    """Return the target as numbers; None if it isn't a column of numbers."""
    try:
        found = np.asarray(y, np.float64)
    except (TypeError, ValueError):
        return None
    return found if found.ndim == 1 else None


def _digest(target: NDArray[np.float64]) -> bytes:
    return hashlib.sha256(target.tobytes()).digest()


def predict(estimator: Any, X: Any) -> NDArray[np.float64]:
    """Predict the (rows,) values of an estimator; for a classifier the mean of its classes, weighted by their probabilities."""
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(X) @ estimator.classes_, np.float64)
    return np.asarray(estimator.predict(X), np.float64)


def _eras(groups: ArrayLike | None) -> NDArray[np.int64]:
    if groups is None:
        raise InputError("groups: the era number of each row is needed; give it to fit, as groups=")
    return frames.eras(groups, "groups").numbers
