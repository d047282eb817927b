"""The stored pipeline, which predicts new rows: models, blend and neutralization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise.base import files
from erawise.base.schema import ID, LIVE, PREDICTION
from erawise.blend import blending, neutralization, risk
from erawise.models.shared import kinds, stored
from erawise.models.shared.by_id import ById
from erawise.models.shared.protocol import Fitted
from erawise.panel import maps
from erawise.panel.panel import FeatureMap, Panel
from erawise.running.errors import InputError
from erawise.training import training

ENSEMBLE, NEUTRALIZED = "ensemble", "neutralized"


@dataclass(frozen=True)
class Neutralization:
    """The part that is taken out of the ensemble: linear in some features, see `risk.chosen`."""

    features: tuple[str, ...]
    method: str
    proportion: float


@dataclass(frozen=True)
class Pipeline:
    """The steps from prepared rows to a prediction.

    Parameters
    ----------
    models : the fitted variants of each model, by its name.
    features : that every model is given.
    weights : of the models in the ensemble.
    neutralization : of the ensemble.
    given : the models that are files of predictions, by name.
    """

    models: Mapping[str, Sequence[Fitted]]
    features: FeatureMap
    weights: Mapping[str, float]
    neutralization: Neutralization
    given: Mapping[str, ById] = field(default_factory=dict)

    @property
    def predictions(self) -> tuple[str, ...]:
        """Return the names of all predictions."""
        return (*self.models, *self.given, ENSEMBLE, NEUTRALIZED)

    def predict(self, panel: Panel, names: Sequence[str], threads: int = 1) -> pd.DataFrame:
        """Predict every row of a panel.

        Parameters
        ----------
        panel : prepared rows, of one or more eras.
        names : of `predictions`.
        threads : that read features; the results don't depend on them.

        Returns
        -------
        DataFrame (rows, 1 + names), `id` and a column for each name, in the panel's order. A model that is a file without these rows has
        NaN, and the others are blended, see `require`.

        Raises
        ------
        InputError
            If there is no prediction of a name, or the panel lacks a feature.
        """
        unknown = [name for name in names if name not in self.predictions]
        if unknown:
            raise InputError(f"there is no prediction {unknown[0]!r}; there are {', '.join(self.predictions)}")
        blends, used = bool({ENSEMBLE, NEUTRALIZED} & set(names)), self._used(names)
        with threadpool_limits(threads, user_api="blas"):
            out = pd.DataFrame({name: self._of_model(name, panel) for name in used})
            if blends:
                weights = {name: self.weights[name] for name in used if self.weights.get(name, 0) > 0}
                out[ENSEMBLE] = blending.blend_covered(out, panel.row_eras, weights)
            if NEUTRALIZED in names:
                out[NEUTRALIZED] = self._neutralized(out[ENSEMBLE].to_numpy(), panel, threads)
        return pd.concat([panel.index[[ID]].reset_index(drop=True), out[list(names)]], axis=1)

    def require(self, ids: Sequence[str], names: Sequence[str]) -> None:
        """Raise `InputError` if a file of predictions that one of the names needs lacks some ids of live rows."""
        for name in self._used(names):
            if name in self.given:
                self.given[name].require(ids, name)

    def _used(self, names: Sequence[str]) -> list[str]:
        """Return the models that some predictions need, in the order in which the stages blend them."""
        blends = bool({ENSEMBLE, NEUTRALIZED} & set(names))
        known = sorted((*self.models, *self.given)) if self.given else self.models
        return [name for name in known if name in names or (blends and self.weights.get(name, 0) > 0)]

    def _of_model(self, name: str, panel: Panel) -> NDArray[np.float64]:
        if name in self.given:
            return self.given[name].of(panel.index[ID].tolist())
        parts = [training.predict(one, panel, panel.eras, self.features, LIVE) for one in self.models[name]]
        return training.blended(parts)[PREDICTION].to_numpy(np.float64)

    def _neutralized(self, values: NDArray[np.float64], panel: Panel, threads: int) -> NDArray[np.float64]:
        columns = panel.columns(self.neutralization.features)

        def features(era: int) -> NDArray:
            return panel.block(era, risk.within(columns, self.neutralization.method, panel.rows(era)))

        return neutralization.neutralize_eras(values, panel.row_eras, features, self.neutralization.proportion, threads)


def read(models: Mapping[str, Path], features: Path, weights: Path, neutralized_to: Path) -> Pipeline:
    """Read the pipeline that the stages have stored.

    Parameters
    ----------
    models : the directory of each model, by its name.
    features : directory of the selected features.
    weights, neutralized_to : files of the ensemble's weights, and of its neutralization.

    Raises
    ------
    InputError
        If a file is missing or broken.
    """
    content = files.read_json(neutralized_to)
    try:
        neutralization = Neutralization(tuple(content["features"]), str(content["method"]), float(content["proportion"]))
    except (KeyError, TypeError):
        raise InputError(f"{neutralized_to}: features, method or proportion is missing; run neutralize again") from None
    _, final = maps.read(features)
    given = {name: ById.load(path / stored.SERVED) for name, path in models.items() if stored.describe(path).kind == kinds.GIVEN}
    fitted = {name: stored.load(path) for name, path in models.items() if name not in given}
    return Pipeline(fitted, final, files.read_json(weights), neutralization, given)
