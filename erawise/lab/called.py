"""A way to make out-of-fold predictions, as an audit calls it: found by its name, called on copies, its result checked."""

import importlib
import random
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from erawise.lab import crossvalidation
from erawise.running.errors import InputError, known_names

Function = Callable[[pd.DataFrame, pd.Series, pd.Series], pd.Series]

SEED = 20
"""Seed of the global generators before every call, so that a function which uses them can be repeated."""


def load(name: str) -> Function:
    """Return the function that `module:function` names; the module may be in the current directory.

    Raises
    ------
    InputError
        If there is no such module or function, or the module can't be imported.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise InputError(f"{name}: expected module:function, as in recipes:predict, or a file of predictions that exists")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] and error.name != module:
            raise InputError(f"{name}: {_last_line(error)}") from None
        raise InputError(f"{name}: there is no module {module} in {Path.cwd()} or among the installed ones") from None
    except Exception as error:
        raise InputError(f"{name}: {_last_line(error)}") from None
    found = getattr(loaded, attribute, None)
    if not callable(found):
        kind = "isn't a function" if hasattr(loaded, attribute) else "isn't there"
        own = [each for each, value in vars(loaded).items() if callable(value) and not each.startswith("_")]
        raise InputError(f"{name}: {attribute} {kind} in {loaded.__file__}; it has {known_names(own, attribute)}")
    function: Function = found
    return function


def of_estimator(estimator: Any, splitter: Any) -> Function:
    """Return the function that fits a clone of a scikit-learn estimator in each split and predicts the test rows.

    Parameters
    ----------
    estimator : has `fit` and `predict`; for a classifier, `predict_proba` gives the mean class.
    splitter : has `split(X, y, groups)`; groups are the eras.
    """

    from sklearn.base import clone  # here, since importing erawise doesn't need it

    def out_of_fold(features: pd.DataFrame, target: pd.Series, eras: pd.Series) -> pd.Series:
        out = pd.Series(np.nan, index=features.index)
        for train, test in splitter.split(features, target, groups=eras):
            fitted = clone(estimator).fit(features.iloc[train], target.iloc[train])
            out.iloc[test] = crossvalidation.predict(fitted, features.iloc[test])
        return out

    return out_of_fold


@dataclass
class Recipe:
    """A function with its name and the number of its calls."""

    function: Function
    name: str
    calls: int = field(default=0, init=False)

    def __call__(self, features: pd.DataFrame, target: pd.Series, eras: pd.Series) -> pd.Series:
        """Return the predictions, in the order of the features.

        What the function prints goes to stderr.

        Raises
        ------
        InputError
            If the function fails, or its result isn't a Series of numbers with the index of the features, is all NaN or constant.
        """
        self.calls += 1
        random.seed(SEED)
        np.random.seed(SEED)  # noqa: NPY002 - the global generator is the function's own
        try:
            with redirect_stdout(sys.stderr):
                found = self.function(features.copy(), target.copy(), eras.copy())
        except Exception as error:
            raise InputError(f"{self.name}: {_last_line(error)}") from None
        return self._checked(found, features.index)

    def _checked(self, found: Any, index: pd.Index) -> pd.Series:
        expected = "expected a pandas Series of numbers with the index of the features, NaN in rows without a prediction"
        if not isinstance(found, pd.Series):
            raise InputError(f"{self.name}: it returned {type(found).__module__}.{type(found).__qualname__}; {expected}")
        if not pd.api.types.is_numeric_dtype(found):
            raise InputError(f"{self.name}: it returned a Series of {found.dtype}; {expected}")
        if not found.index.is_unique:
            raise InputError(f"{self.name}: {int(found.index.duplicated().sum())} ids of its Series are there twice; {expected}")
        if not found.index.equals(index):
            missing = int((found.index.get_indexer(index) < 0).sum())
            if missing or len(found) != len(index):
                raise InputError(f"{self.name}: its Series has {len(found)} rows and lacks {missing} of the {len(index)} ids; {expected}")
            found = found.reindex(index)
        out = found.astype(np.float64).replace([np.inf, -np.inf], np.nan)
        if out.isna().all():
            raise InputError(f"{self.name}: it predicted nothing, all is NaN; {expected}")
        if out.nunique() < 2:
            raise InputError(f"{self.name}: all its predictions are {out.dropna().iloc[0]:g}, so that nothing can be told from them")
        return out


def _last_line(error: BaseException) -> str:
    """Return the last line of a traceback, and its place: the innermost line outside of installed libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame for frame in frames if frame.filename != __file__ and "importlib" not in frame.filename and not frame.filename.startswith("<")
    ]
    mine = [frame for frame in own if "site-packages" not in frame.filename] or own
    line = " ".join("".join(traceback.format_exception_only(error)).split())
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    return f"{mine[-1].filename}, line {mine[-1].lineno}, in {mine[-1].name}: {line}" if mine else line
