"""Splitters and the scorer in scikit-learn's own searches."""

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, cross_val_score

import erawise
from erawise.folds import splits
from erawise.lab.crossvalidation import CombinatorialPurged, EraCorr, PurgedKFold, WalkForward
from erawise.running.errors import InputError
from erawise.scores import kernels

ERAS, ROWS, FEATURES = 48, 40, 6


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    rng = np.random.default_rng(0)
    index = [f"n{k:05d}" for k in rng.permutation(ERAS * ROWS)]
    X = pd.DataFrame(rng.normal(size=(ERAS * ROWS, FEATURES)), index)
    y = pd.Series(np.clip(np.round(X[0] * 0.3 + rng.normal(size=len(X)) + 2), 0, 4) / 4, index)
    era = pd.Series(np.repeat(np.arange(1, ERAS + 1), ROWS), index)
    order = rng.permutation(len(X))
    return X.iloc[order], y.iloc[order], era


SPLITTERS: list[tuple[Any, list[splits.Fold]]] = [
    (PurgedKFold(4, weeks=4), splits.purged_kfold(np.arange(1, ERAS + 1), 4, 4)),
    (WalkForward(12, weeks=4), splits.walk_forward(np.arange(1, ERAS + 1), 12, 4)),
    (WalkForward(12, weeks=4, window=6), splits.walk_forward(np.arange(1, ERAS + 1), 12, 4, 6)),
    (CombinatorialPurged(6, tested=2, weeks=2), splits.combinatorial(np.arange(1, ERAS + 1), 6, 2, 2)),
]


@pytest.mark.parametrize(("splitter", "folds"), SPLITTERS, ids=lambda value: str(value)[:40])
def test_rows_are_split_as_their_eras_are(splitter: Any, folds: list[splits.Fold], data: tuple) -> None:
    X, y, era = data
    groups = era.loc[X.index].to_numpy()
    assert splitter.get_n_splits(X, y, groups) == len(folds)
    for (train, test), fold in zip(splitter.split(X, y, groups), folds, strict=True):
        assert np.unique(groups[train]).tolist() == fold.train.tolist()
        assert np.unique(groups[test]).tolist() == fold.test.tolist()
        assert len(train) == ROWS * len(fold.train)


@pytest.mark.parametrize(("splitter", "folds"), SPLITTERS, ids=lambda value: str(value)[:40])
def test_a_search_of_scikit_learn_takes_them_as_they_are(splitter: Any, folds: list[splits.Fold], data: tuple) -> None:
    X, y, era = data
    groups = era.loc[X.index]
    search = RandomizedSearchCV(Ridge(), {"alpha": np.logspace(-1, 6, 20)}, n_iter=2, cv=splitter, scoring=EraCorr(era), random_state=0)
    search.fit(X, y, groups=groups)
    assert search.n_splits_ == len(folds)
    fold = folds[0]
    train, test = (X[groups.isin(part).to_numpy()] for part in (fold.train, fold.test))
    model = Ridge(**search.cv_results_["params"][0]).fit(train, y[train.index])
    predicted = pd.Series(model.predict(test), test.index)
    expected = []
    for _, rows in predicted.groupby(groups[test.index]):
        target = y[rows.index].to_numpy()
        expected.append(kernels.numerai_corr(kernels.gaussianize(rows.to_numpy()[:, None]), target - target.mean())[0])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_classifier_is_scored_by_its_probabilities_and_arrays_take_the_index_of_y(data: tuple) -> None:
    X, y, era = data
    groups = era.loc[X.index]
    high = (y > 0.5).astype(int)
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=PurgedKFold(3, weeks=4), scoring=EraCorr(era, "sharpe"))
    assert search.fit(X, high, groups=groups).best_score_ > 0.5
    scores = cross_val_score(Ridge(), X.to_numpy(), y, groups=groups, cv=PurgedKFold(3, weeks=4), scoring=EraCorr(era))
    assert (scores > 0.1).all()


def test_what_is_missing_is_said(data: tuple) -> None:
    X, y, era = data
    with pytest.raises(InputError, match="groups: the era number of each row is needed"):
        PurgedKFold(3, weeks=4).get_n_splits(X, y)
    with pytest.raises(InputError, match="neither X nor y has an index"):
        EraCorr(era)(Ridge().fit(X, y), X.to_numpy(), y.to_numpy())


def expected(*data: Any) -> list[float]:
    """Return the mean CORR of each of 5 purged folds, in plain loops."""
    X, y, era = (part.to_numpy() for part in (data[0], data[1], data[2].loc[data[0].index]))
    found = []
    for fold in splits.purged_kfold(np.unique(era), 5, 4):
        train = np.isin(era, fold.train)
        fitted = Ridge().fit(X[train], y[train])
        rows = [era == number for number in fold.test]
        targets = [y[own] - y[own].mean() for own in rows]
        gaussian = [kernels.gaussianize(fitted.predict(X[own])[:, None]) for own in rows]
        found.append(np.mean([kernels.numerai_corr(*each)[0] for each in zip(gaussian, targets, strict=True)]))
    return found


FORMS: dict[str, Any] = {
    "pandas, with ids": lambda X, y, era: (X, y, era.loc[X.index]),
    "pandas, numbered": lambda X, y, era: (X.reset_index(drop=True), y.reset_index(drop=True), era.loc[X.index].reset_index(drop=True)),
    "numpy": lambda X, y, era: (X.to_numpy(), y.to_numpy(), era.loc[X.index].to_numpy()),
    "names of eras": lambda X, y, era: (X.to_numpy(), y.to_numpy(), [f"era{number}" for number in era.loc[X.index]]),
    "index level": lambda X, y, era: (X.set_index(era.loc[X.index].rename("era"), append=True), y, era.loc[X.index]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_call_of_a_notebook_scores_by_era(form: str, data: tuple) -> None:
    X, y, era = FORMS[form](*data)
    model, cv = Ridge(), erawise.PurgedKFold(weeks=4)
    found = cross_val_score(model, X, y, groups=era, cv=cv, scoring=erawise.era_corr_scorer)
    assert found == pytest.approx(expected(*data), abs=1e-12)
    search = RandomizedSearchCV(
        model, {"alpha": [1.0]}, n_iter=1, cv=cv, scoring=erawise.era_corr_scorer, error_score="raise", return_train_score=True
    )
    search.fit(X, y, groups=era)
    assert search.best_score_ == pytest.approx(found.mean(), abs=1e-12)
    assert search.cv_results_["mean_train_score"][0] > 0.1


def test_worker_processes_and_a_search_inside_a_search_find_the_eras(data: tuple, tmp_path: Path, commands: Path) -> None:
    X, y, era = (part.to_numpy() for part in (data[0], data[1], data[2].loc[data[0].index]))
    cv = erawise.WalkForward(12, weeks=4)
    expected = cross_val_score(Ridge(), X, y, groups=era, cv=cv, scoring=erawise.era_corr_scorer, error_score="raise")
    scorer = pickle.dumps(erawise.era_corr_scorer)
    code = "import pickle, sys; from erawise.lab import crossvalidation as c; pickle.load(sys.stdin.buffer); print(len(c._MEMORY.splits))"
    (tmp_path / "worker.py").write_text(code)
    command, environment = [str(commands / "python"), "worker.py"], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, input=scorer, capture_output=True, check=True)
    assert int(done.stdout) >= 1
    search = GridSearchCV(
        Ridge(), {"alpha": [1.0]}, cv=erawise.PurgedKFold(2, weeks=1), scoring=erawise.era_corr_scorer, error_score="raise"
    )
    scores = []
    for train, test in cv.split(X, y, era):
        search.fit(X[train], y[train], groups=era[train])
        scores.append(erawise.era_corr_scorer(search, X[test], y[test]))
    assert scores == pytest.approx(expected)


def test_a_split_from_elsewhere_needs_eras_in_the_index(data: tuple) -> None:
    X, y, era = data
    call = {"cv": KFold(3), "scoring": erawise.era_corr_scorer, "error_score": "raise"}
    with pytest.raises(InputError, match="the eras of the test rows are unknown; split by a splitter of erawise"):
        cross_val_score(Ridge(), X, y, **call)
    assert (cross_val_score(Ridge(), X.set_index(era.loc[X.index].rename("era"), append=True), y, **call) > 0.1).all()
    with pytest.raises(InputError, match="EraCorr: era has no row 'n"):
        cross_val_score(Ridge(), X, y, **call | {"scoring": EraCorr(era.iloc[:-1])})
    with pytest.raises(InputError, match="groups: missing in 1 rows"):
        next(erawise.PurgedKFold(weeks=4).split(X, y, era.astype(float).replace(1, np.nan).drop_duplicates()))
