"""Contributions of the features to a network's prediction: expected gradients, in float64.

An expected gradient is a mean of (x - x') times the gradient at a point between x' and x. The mean is over rows x' of a background and
over these points. Expected gradients are SHAP values in the sense of Aumann and Shapley.

Source: Erion, Janizek, Sturmfels, Lundberg & Lee (2021), Improving performance of deep learning models with axiomatic attribution priors
and expected gradients, Nature Machine Intelligence 3, equation 4.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Floats = NDArray[np.float64]
Layer = tuple[Floats, Floats]
"""Weights (inputs, units) and biases (units,)."""

STEPS = 8
"""Equal steps from x' to x. The gradient of a step is its mean slope, ReLU by ReLU, so that the contributions add up to the rounding of
float64 for any number of steps. More steps change the shares by a few thousandths, see the tests."""

BLOCK_BYTES = 2**20
"""Gradients that each thread holds at a time: they stay in the cache."""


def expected(layers: Sequence[Layer], background: NDArray, threads: int) -> tuple[float, Callable[[NDArray], Floats]]:
    """Return the mean prediction of the background, and a function that gives the (rows, features) contributions to it.

    Parameters
    ----------
    layers : two dense layers or more, ReLU between them, one unit at the end.
    background : (some rows, features), at least one row, with which each row is compared.
    threads : threads that work on rows side by side; the result doesn't depend on their number.
    """
    others = background.astype(np.float64)
    (weights, bias), rest = layers[0], layers[1:]
    first = others @ weights + bias
    base = float(_forward(first, rest).mean())
    rows = max(1, BLOCK_BYTES // (len(others) * max(weights.shape) * others.itemsize))

    def of_block(block: NDArray) -> Floats:
        x = block.astype(np.float64)
        # up to the first ReLU the network is linear, so that points between needn't be multiplied by the weights
        slopes = _mean_slopes(x @ weights + bias, first, rest)
        gradients = (slopes.reshape(-1, slopes.shape[-1]) @ weights.T).reshape(len(x), *others.shape)
        total: Floats = x * gradients.mean(axis=1) - np.einsum("nkf,kf->nf", gradients, others) / len(others)
        return total

    def explained(x: NDArray) -> Floats:
        blocks = [x[start : start + rows] for start in range(0, len(x), rows)]
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            return np.concatenate([np.empty((0, others.shape[1])), *pool.map(of_block, blocks)])

    return base, explained


def _mean_slopes(x: Floats, others: Floats, rest: Sequence[Layer]) -> Floats:
    """Return the (n, k, units) mean slopes of the output by the first layer's sums, from (k, units) of others to (n, units) of rows."""
    total = np.zeros((len(x), *others.shape))
    flat = total.reshape(-1, total.shape[-1])
    step = (x[:, None, :] - others[None]).reshape(flat.shape) / STEPS
    here = _sums(np.tile(others, (len(x), 1)), rest)
    for _ in range(STEPS):
        there = _sums(here[0] + step, rest)
        flat += _slopes(here, there, rest)
        here = there
    total /= STEPS
    return total


def _sums(first: Floats, rest: Sequence[Layer]) -> list[Floats]:
    """Return the inputs of each ReLU, (n, units) each, from the inputs of the first."""
    found = [first]
    for weights, bias in rest[:-1]:
        found.append(np.maximum(found[-1], 0.0) @ weights + bias)
    return found


def _slopes(here: Sequence[Floats], there: Sequence[Floats], rest: Sequence[Layer]) -> Floats:
    """Return the slopes (n, units) of the output by the first layer's sums, between two points near each other."""
    slopes = np.broadcast_to(rest[-1][0][:, 0], here[-1].shape)
    for number in range(len(here) - 1, -1, -1):
        slopes = slopes * _of_relu(here[number], there[number])
        if number:
            slopes = slopes @ rest[number - 1][0].T
    return slopes


def _of_relu(here: Floats, there: Floats) -> Floats:
    """Return the mean slope of the ReLU between two inputs: 0 or 1, or a value between if it bends on the way."""
    low, high = np.minimum(here, there), np.maximum(here, there)
    slopes = (high > 0).astype(np.float64)
    np.divide(high, high - low, out=slopes, where=(low < 0) & (high > 0))
    return slopes


def _forward(sums: Floats, rest: Sequence[Layer]) -> Floats:
    """Return the (n,) output from the first layer's sums."""
    for weights, bias in rest:
        sums = np.maximum(sums, 0.0) @ weights + bias
    return sums[:, 0]
