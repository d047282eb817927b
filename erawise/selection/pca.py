"""Second moments of the features, accumulated era by era, and their principal components."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from erawise.panel.panel import View

EXACT_IN_FLOAT32 = 2**24
"""Integers up to this are exact in float32."""


def moments(view: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the mean (features,) and the covariance (features, features), ddof 0, of all rows, in one pass.

    Sums are in float64 and about the first row, so that a large common offset costs no precision. An era's products are computed in
    float32 if that is exact, as for the few small integers of int8 features, else in float64.
    """
    size = len(view.names)
    total, products, count = np.zeros(size), np.zeros((size, size)), 0
    origin: NDArray[np.float64] | None = None
    for block in view.blocks():
        origin = block[0].astype(np.float64) if origin is None else origin
        values = _centred(block, origin)
        total += values.sum(axis=0, dtype=np.float64)
        products += values.T @ values
        count += len(values)
    if origin is None:
        return total, products
    mean = total / count
    return origin + mean, products / count - np.outer(mean, mean)


def _centred(block: NDArray, origin: NDArray[np.float64]) -> NDArray:
    """Subtract the origin from a block: in float32 if it holds the sums of all products as exact integers, else in float64."""
    if block.dtype == np.int8:
        values = block - origin.astype(np.float32)
        largest = max(values.max(), -values.min())
        if largest**2 * len(values) < EXACT_IN_FLOAT32:
            return values
    return block - origin


def correlation(view: View) -> NDArray[np.float64]:
    """Return the correlation matrix of the features over all rows; a constant feature has correlations of 0."""
    return _standardised(view)[2]


def _standardised(view: View) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean, the inverse of the std (0 for a constant), (features,) each, and the correlation matrix."""
    mean, covariance = moments(view)
    std = np.sqrt(np.maximum(np.diag(covariance), 0))
    inverse = np.divide(1, std, out=np.zeros_like(std), where=std > 1e-12)
    return mean, inverse, covariance * np.outer(inverse, inverse)


def fit(view: View, components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the principal components of the standardised features.

    Returns
    -------
    mean : (features,).
    vectors : (features, components), by falling variance, scaled so that each column of `(x - mean) @ vectors` has unit
        variance. The entry of largest magnitude in each is positive. A component without variance is 0.
    """
    mean, inverse, correlations = _standardised(view)
    size = len(mean)
    values, vectors = eigh(correlations, subset_by_index=(size - components, size - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    signs = np.sign(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(components)])
    scale = np.divide(signs, np.sqrt(np.maximum(values, 0)), out=np.zeros(components), where=values > 1e-10)
    return mean, inverse[:, None] * vectors * scale
