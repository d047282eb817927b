"""Any regressor with scikit-learn's `fit` and `predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise.base.threads import one_of_blas
from erawise.models.shared import arrays, common, objects
from erawise.models.shared.protocol import Portable, Resources
from erawise.models.sklearn import estimators, portable
from erawise.models.sklearn.settings import Sklearn as Settings
from erawise.panel.panel import View
from erawise.running.errors import InputError

FILE = "model.skops"

prepare = common.nothing_to_prepare
stops_early, steps = common.never_stops_early, common.whole_fit
needs = common.needs_of_matrix


@dataclass(frozen=True)
class Estimator(common.Opaque):
    """A fitted estimator.

    Parameters
    ----------
    path : the path of its class.
    fitted : the estimator.
    n_features : features that it was fitted on.
    """

    path: str
    fitted: Any
    n_features: int

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features), which the estimator is given as float64.

        Raises
        ------
        InputError
            If `x` has another number of features, or the predictions aren't a finite number a row.
        """
        with one_of_blas():
            return common.predict_in_chunks(self._predict, x, self.n_features)

    def _predict(self, rows: NDArray) -> NDArray[np.float64]:
        return common.checked(self.path, self.fitted.predict(rows.astype(np.float64)), len(rows))

    def importance(self) -> NDArray[np.float64]:
        """Return the (features,) shares by the estimator's own measure; NaN if it has none."""
        found = portable.own_importance(self.fitted)
        return super().importance() if found is None or found.shape != (self.n_features,) else common.shares(np.abs(found))

    def portable(self) -> Portable:
        """Return the model as arrays.

        Raises
        ------
        InputError
            If it is not a sum of features, trees or dense layers.
        """
        found = portable.of_estimator(self.fitted, self.n_features)
        if found is None:
            raise InputError(
                f"{self.path} can't be uploaded: Numerai has another version of its package, and only linear models, trees, their sums "
                "and multi-layer perceptrons are known without it; choose one of these, or write a plug-in with save and load"
            )
        return found

    def save(self, directory: Path) -> None:
        """Write `model.skops` into the directory."""
        objects.save(self.fitted, directory / FILE, {"estimator": self.path, "features": self.n_features})


def fit(settings: Settings, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Estimator:
    """Fit on at most `max_rows` rows as float32, the same share of every era; `inner` and `rounds` are ignored.

    Raises
    ------
    InputError
        If there is no row, the memory doesn't suffice, or the estimator can't be made or fitted.
    """
    common.require_rows(train, settings.target)
    common.require_matrix(settings.max_rows, train, resources)
    estimator = estimators.made(settings.estimator, settings.settings, settings.seed, resources.threads)
    x, target = common.draw(train, settings.max_rows or train.n_rows, settings.seed)
    with threadpool_limits(resources.threads):
        try:
            estimator.fit(x.astype(np.float32, copy=False), target.astype(np.float64))
        except Exception as error:  # of any type: the class may be anyone's
            raise InputError(f"{settings.estimator} can't be fitted with these settings: {estimators.line(error)}") from error
    if estimators.JOBS in getattr(estimator, "get_params", dict)():
        estimator.set_params(**{estimators.JOBS: 1})  # the sum of what several threads predict depends on which ends first
    found = Estimator(settings.estimator, estimator, len(train.names))
    found.predict(x[:1])
    resources.step()
    return found


def load(directory: Path) -> Estimator:
    """Read a model that `save` has written; only types of scikit-learn, numpy, scipy and the estimator's own package are made.

    Raises
    ------
    InputError
        If the file is missing or broken, or holds a type of another package.
    """
    path = directory / FILE
    about = objects.read_about(path)
    try:
        name, n_features = str(about["estimator"]), int(about["features"])
    except (KeyError, TypeError, ValueError):
        raise arrays.broken(path, "it doesn't name the estimator and its number of features") from None
    fitted = objects.load(path, [name.partition(".")[0]])
    if not callable(getattr(fitted, "predict", None)):
        raise arrays.broken(path, "it has no predict")
    return Estimator(name, fitted, n_features)
