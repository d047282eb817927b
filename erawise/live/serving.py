"""The stored pipeline, which predicts new rows: models, blend and neutralization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise.base import files
from erawise.base.schema import ID, LIVE, PREDICTION
from erawise.blend import blending, neutralization, risk
from erawise.models.shared import stored
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
    """

    models: Mapping[str, Sequence[Fitted]]
    features: FeatureMap
    weights: Mapping[str, float]
    neutralization: Neutralization

    @property
    def predictions(self) -> tuple[str, ...]:
        """Return the names of all predictions."""
        return (*self.models, ENSEMBLE, NEUTRALIZED)

    def predict(self, panel: Panel, names: Sequence[str], threads: int = 1) -> pd.DataFrame:
        """Predict every row of a panel.

        Parameters
        ----------
        panel : prepared rows, of one or more eras.
        names : of `predictions`.
        threads : that read features; the results don't depend on them.

        Returns
        -------
        DataFrame (rows, 1 + names), `id` and a column for each name, in the panel's order.

        Raises
        ------
        InputError
            If there is no prediction of a name, or the panel lacks a feature.
        """
        unknown = [name for name in names if name not in self.predictions]
        if unknown:
            raise InputError(f"there is no prediction {unknown[0]!r}; there are {', '.join(self.predictions)}")
        blends = bool({ENSEMBLE, NEUTRALIZED} & set(names))
        used = [name for name in self.models if name in names or (blends and self.weights.get(name, 0) > 0)]
        with threadpool_limits(threads, user_api="blas"):
            parts = {name: [training.predict(one, panel, panel.eras, self.features, LIVE) for one in self.models[name]] for name in used}
            out = pd.DataFrame({name: training.blended(found)[PREDICTION].to_numpy() for name, found in parts.items()})
            if blends:
                weights = {name: self.weights[name] for name in used if self.weights.get(name, 0) > 0}
                out[ENSEMBLE] = blending.blend(out, panel.row_eras, weights)
            if NEUTRALIZED in names:
                out[NEUTRALIZED] = self._neutralized(out[ENSEMBLE].to_numpy(), panel, threads)
        return pd.concat([panel.index[[ID]].reset_index(drop=True), out[list(names)]], axis=1)

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
    return Pipeline({name: stored.load(path) for name, path in models.items()}, final, files.read_json(weights), neutralization)
