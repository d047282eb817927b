"""A linear model of standardised features, as logistic and ridge regression share it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise.models import arrays, common

FILE = "linear.npz"
_LAYOUT: dict[str, tuple[type[np.generic], int]] = {
    "mean": (np.float64, 1),
    "std": (np.float64, 1),
    "coefficients": (np.float64, 1),
    "intercept": (np.float64, 0),
}


@dataclass(frozen=True)
class Linear:
    """`intercept + z @ coefficients` with `z` the features standardised by `mean` and `std`.

    Parameters
    ----------
    mean, std : (features,) float64 of the training rows; a feature of std 0 is constant there and plays no part.
    coefficients : (features,) float64, for the standardised features.
    intercept : float.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float

    @property
    def rounds(self) -> int | None:
        return None

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features).

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        weights = self.coefficients * common.inverse(self.std)
        constant = self.intercept - float(self.mean @ weights)
        with threadpool_limits(1, user_api="blas"):
            return common.predict_in_chunks(lambda chunk: chunk.astype(np.float64) @ weights + constant, x, len(self.mean))

    def importance(self) -> NDArray[np.float64]:
        """(features,) share of each feature in the sum of the absolute coefficients."""
        return common.shares(np.abs(self.coefficients))

    def save(self, directory: Path) -> None:
        """Write `linear.npz` into the directory."""
        content = {name: np.asarray(getattr(self, name), np.float64) for name in _LAYOUT}
        arrays.save_arrays(content, directory / FILE)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` has written.

        Raises
        ------
        InputError
            If the file is missing or broken, or its arrays don't fit together.
        """
        path = directory / FILE
        content = arrays.load_arrays(path, _LAYOUT)
        mean, std, coefficients = content["mean"], content["std"], content["coefficients"]
        if not len(mean) == len(std) == len(coefficients):
            raise arrays.broken(path, "its arrays differ in length")
        if (std < 0).any():
            raise arrays.broken(path, "a std is below 0")
        return cls(mean, std, coefficients, float(content["intercept"]))
