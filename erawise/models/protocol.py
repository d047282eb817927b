"""What every kind of model offers, so that training is written once."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from erawise.panel import View


class Fitted(Protocol):
    """A fitted model."""

    @property
    def rounds(self) -> int | None:
        """Trees or epochs that early stopping found best; None where the kind has none, or no score was above 0."""

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features), int8 or float32, in the order of the features it was fitted on."""

    def importance(self) -> NDArray[np.float64]:
        """(features,) share of each feature in the model, at least 0, of sum 1 (all 0 where the model uses none)."""

    def save(self, directory: Path) -> None:
        """Write the model into an existing directory: the same bytes for the same model, and nothing to unpickle."""


class Kind(Protocol):
    """A module of `erawise.models`."""

    def fit(self, settings: Any, train: View, inner: View | None, rounds: int | None, threads: int) -> Fitted:
        """Fit on `train`.

        With `inner`, kinds that have rounds stop by its mean per-era correlation; without it they run for `rounds`.
        Kinds without rounds ignore both.
        """

    def uses_rounds(self) -> bool:
        """Whether the kind stops early, and so needs an inner slice in each fold."""
