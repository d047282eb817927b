"""One era's features, prepared once for all predictions of the era: exposures and least-squares residuals.

numerai-tools does a singular value decomposition of the features. Here a Cholesky decomposition of their Gram matrix does the same,
refined with residuals that are computed from the features themselves. It is trusted only if both provably drop the same directions:

- the features that are kept are far from linear dependence;
- the dropped features depend on them exactly.

Otherwise, for example if features are nearly but not exactly collinear, the decomposition of numerai-tools is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from erawise.scores import loops
from erawise.scores.plain import Floats

RCOND = 1e-6
"""Singular values below this share of the largest count as 0 in `neutralize`."""

MARGIN = 4.0
"""The estimate of the smallest singular value is within this factor of the truth."""

DEPENDENT = 1e-10
"""A feature is tested as a linear function of others if its squared distance from them is below this share of the largest."""

EXACT = 1e-11
"""It is a linear function if at most this share of the smallest singular value of the others is left of it."""

CONVERGED, MAX_REFINEMENTS = 1e-10, 5
"""A refinement that changes a residual by less than this share of the prediction is the last."""

EXACT_IN_FLOAT32 = 2**24
"""Integers up to here are exact in float32."""

BLOCK = 96
"""Features that are decomposed at a time."""

START_VECTORS, INVERSE_ITERATIONS = 3, 4

FEW = 8
"""At most one feature in so many counts as few features."""


class Block(Protocol):
    """Features (n, k) of an era, centred: `X = (features - means) / scales`, constant features 0.

    Attributes
    ----------
    features : (n, k), as they were given.
    rows, width : n and k.
    means, scales : (k,); `scales` are positive.
    lengths : (k,), the length of each column of X; 0 only for constant columns.
    """

    features: NDArray
    rows: int
    width: int
    means: Floats
    scales: Floats
    lengths: Floats

    def correlate(self, values: Floats) -> Floats:
        """Return the (q, k) products of (q, n) with the columns of X."""

    def combine(self, coefficients: Floats) -> Floats:
        """Return the (q, n) sums of the columns of X, weighted by (q, k)."""

    def gram(self) -> Floats:
        """Return the (k, k) products of the columns of X with each other; the upper triangle, row-major."""


class IntegerBlock:
    """A `Block` of int8 features: its sums of integers are exact, and it keeps no float copy."""

    def __init__(self, features: NDArray[np.int8], threads: int = 1, weights: Floats | None = None) -> None:
        """Read the features once; in the same pass, `weights` (q, n) are correlated with them into `correlated`."""
        self.features, self.threads = np.ascontiguousarray(features), threads
        self.rows, self.width = features.shape
        wanted = np.empty((0, self.rows)) if weights is None else weights
        products, (sums, squares) = loops.moments(self.features, wanted, threads)
        self._sums = sums
        self.means = sums / self.rows
        self.scales = np.ones(self.width)
        self.lengths = np.sqrt((self.rows * squares - sums**2) / self.rows)
        self.correlated = products - np.outer(wanted.sum(axis=1), self.means)

    def correlate(self, values: Floats) -> Floats:
        products, _ = loops.moments(self.features, values, self.threads)
        return products - np.outer(values.sum(axis=1), self.means)

    def combine(self, coefficients: Floats) -> Floats:
        return loops.combinations(self.features, coefficients, self.threads) - (coefficients @ self.means)[:, None]

    def gram(self) -> Floats:
        low, high = _ends(self.features)
        middle = (low + high) // 2
        largest = max(high - middle, middle - low, 1)
        pieces = list(_chunks(self.rows, EXACT_IN_FLOAT32 // largest**2))
        out = np.zeros((self.width, self.width))
        shifted = self._sums - middle * self.rows
        for number, rows in enumerate(pieces):
            values = np.subtract(self.features[rows], np.float32(middle), dtype=np.float32)
            last = number == len(pieces) - 1
            loops.add_centred_gram(values.T @ values, shifted * float(last), self.rows, out)
        return out


class FloatBlock:
    """A `Block` of features of any type, kept as standardised float64 columns."""

    def __init__(self, features: NDArray) -> None:
        self.features = features
        self.rows, self.width = features.shape
        constant = features.max(axis=0) == features.min(axis=0)
        self.means = features.mean(axis=0, dtype=np.float64)
        self._columns = features - self.means
        largest = np.where(constant, 1.0, np.abs(self._columns).max(axis=0))
        self._columns /= largest
        again = self._columns.mean(axis=0)
        self._columns -= again
        self.means += again * largest
        self._columns[:, constant] = 0.0
        lengths = np.where(constant, 1.0, np.sqrt(np.einsum("ij,ij->j", self._columns, self._columns)))
        self._columns /= lengths
        self.scales = largest * lengths
        self.lengths = np.where(constant, 0.0, 1.0)

    def correlate(self, values: Floats) -> Floats:
        return values @ self._columns

    def combine(self, coefficients: Floats) -> Floats:
        return coefficients @ self._columns.T

    def gram(self) -> Floats:
        return self._columns.T @ self._columns


def block_of(features: NDArray, threads: int = 1) -> Block:
    """Return the features (n, k) of an era, n >= 1, finite, as a `Block`."""
    return IntegerBlock(features, threads) if features.dtype == np.int8 else FloatBlock(features)


def exposures(units: Floats, features: NDArray, threads: int = 1) -> tuple[Floats, Block]:
    """Return the (q, k) Pearson correlations of (q, n) centred predictions of length 1 with features (n, k); NaN if one is constant.

    The second result is the features as a `Block`.
    """
    block: Block
    if features.dtype == np.int8:
        block = integers = IntegerBlock(features, threads, units)
        products = integers.correlated
    else:
        block = FloatBlock(features)
        products = block.correlate(units)
    lengths = np.where(block.lengths > 0, block.lengths, np.nan)
    return np.clip(products / lengths, -1.0, 1.0), block


def residuals(predictions: Floats, block: Block, proportion: float) -> tuple[Floats, int]:
    """Subtract `proportion` of the least-squares fit to the features and a constant from predictions (numerai-tools' `neutralize`).

    Parameters
    ----------
    predictions : (q, n) float64, finite.
    block : the features; may be collinear or constant.
    proportion : share of the fit to take out, 0..1.

    Returns
    -------
    (q, n) residuals, and the rank of the features with the constant.
    """
    if _span(block):
        return (1 - proportion) * predictions, block.rows
    factor = _factorize(block) if block.width else None
    if factor is None:
        return _decomposed(predictions, block, proportion)
    rank = factor.rank + 1
    centred = predictions - predictions.mean(axis=1, keepdims=True)
    left = np.zeros_like(centred) if rank == block.rows else _refined(centred, block, factor)
    if left is None:
        return _decomposed(predictions, block, proportion)
    return (1 - proportion) * predictions + proportion * left, rank


@dataclass(frozen=True)
class _Factor:
    """The decomposition of features that are linearly independent.

    Attributes
    ----------
    order : (m,) positions of features. Features that are aside count as 0 throughout; the other features are kept.
    upper : (m, m), its upper triangle U such that `U'U` is the Gram matrix of the kept features; the features that are aside count
        as orthogonal to all.
    inverses : inverses of the square blocks along the diagonal of U', `BLOCK` features each.
    aside : (m,) whether a feature is aside.
    dropped : (d,) positions of the features that vary and count as linear functions of the kept features.
    guess : (d, m) coefficients of these functions.
    """

    order: NDArray[np.int64]
    upper: Floats
    inverses: list[Floats]
    aside: NDArray[np.bool_]
    dropped: NDArray[np.int64]
    guess: Floats

    @property
    def rank(self) -> int:
        """The number of kept features."""
        return len(self.order) - int(self.aside.sum())

    def solve(self, products: Floats) -> Floats:
        """Return the (q, k) coefficients of all features, 0 if not kept, from their (q, k) products."""
        left = np.where(self.aside, 0.0, products[:, self.order]).T
        blocks = list(zip(_chunks(len(left), BLOCK), self.inverses, strict=True))
        for rows, inverse in blocks:
            left[rows] = inverse @ (left[rows] - self.upper[: rows.start, rows].T @ left[: rows.start])
        for rows, inverse in reversed(blocks):
            left[rows] = inverse.T @ (left[rows] - self.upper[rows, rows.stop :] @ left[rows.stop :])
        out = np.zeros(products.shape)
        out[:, self.order] = left.T
        return out


def _refined(centred: Floats, block: Block, factor: _Factor) -> Floats | None:
    """Return the residuals of (q, n) centred predictions; None if the refinement doesn't converge."""
    left = centred - block.combine(factor.solve(block.correlate(centred)))
    bound = CONVERGED * np.linalg.norm(centred, axis=1)
    for _ in range(MAX_REFINEMENTS):
        step = block.combine(factor.solve(block.correlate(left)))
        left -= step
        if (np.linalg.norm(step, axis=1) <= bound).all():
            return left - left.mean(axis=1, keepdims=True)
    return None


def _decomposed(predictions: Floats, block: Block, proportion: float) -> tuple[Floats, int]:
    """Return the result of `residuals` by the singular value decomposition of numerai-tools."""
    design = np.ones((block.rows, block.width + 1), order="F")
    design[:, :-1] = block.features
    coefficients, _, rank, _ = np.linalg.lstsq(design, predictions.T, rcond=RCOND)
    return predictions - proportion * (design @ coefficients).T, int(rank)


def _span(block: Block) -> bool:
    """Return whether the features (n, k) with a constant certainly have rank n for numerai-tools, so that no residual is left."""
    if not block.rows <= block.width + 1:
        return False
    gram = _row_gram(block.features)
    gram += 1.0
    trace = float(np.trace(gram))
    factor = _in_order(gram, np.ones(block.rows, bool), float(np.diag(gram).max()))
    if factor.aside.any():
        return False
    vectors = np.random.default_rng(0).standard_normal((START_VECTORS, block.rows))
    for _ in range(INVERSE_ITERATIONS):
        vectors = factor.solve(np.linalg.qr(vectors.T)[0].T)
    return float(1 / np.sqrt(np.linalg.norm(vectors, axis=1).max())) > MARGIN * RCOND * np.sqrt(trace)


def _row_gram(features: NDArray) -> Floats:
    """Return the (n, n) products of the rows of features (n, k) with each other; of int8 features they are exact."""
    if features.dtype != np.int8:
        wide = np.asarray(features, np.float64)
        products: Floats = wide @ wide.T
        return products
    largest = max(abs(end) for end in _ends(features))
    out = np.zeros((len(features), len(features)))
    for columns in _chunks(features.shape[1], EXACT_IN_FLOAT32 // max(largest, 1) ** 2):
        part = features[:, columns].astype(np.float32)
        out += part @ part.T
    return out


def _ends(features: NDArray[np.int8]) -> tuple[int, int]:
    return int(features.min()), int(features.max())


def _factorize(block: Block) -> _Factor | None:
    """Return the decomposition of linearly independent features; None if it isn't certain which features these are."""
    gram = block.gram()
    largest = float(np.diag(gram).max(initial=0.0))
    if 0 < (block.lengths > 0).sum() < block.rows:
        factor = _in_order(gram, block.lengths > 0, largest)
        if _trusted(block, factor):
            return factor
        if not len(factor.dropped):
            return None
        gram = block.gram()
    factor = _pivoted(gram, block, largest)
    return factor if _trusted(block, factor) else None


def _in_order(gram: Floats, varying: NDArray[np.bool_], largest: float) -> _Factor:
    """Build the decomposition of the features in their order, in place of the Gram matrix.

    A feature without distance from earlier features is aside.

    This works by blocks, and only with numpy: its BLAS and scipy's BLAS have their own threads, which would slow each other down.
    """
    width = len(gram)
    aside, inverses = np.zeros(width, bool), []
    for rows in _chunks(width, BLOCK):
        gram[rows, rows.start :] -= gram[: rows.start, rows].T @ gram[: rows.start, rows.start :]
        gram[rows, rows], aside[rows] = _upper(gram[rows, rows], largest)
        gram[rows, rows.stop :][aside[rows]] = 0.0
        inverses.append(_inverse(gram[rows, rows], aside[rows]))
        gram[rows, rows.stop :] = inverses[-1] @ gram[rows, rows.stop :]
    dropped = np.flatnonzero(aside & varying)
    products = np.where(np.arange(width)[:, None] < dropped, gram[:, dropped], 0.0)
    for position in np.flatnonzero(aside):
        gram[:position, position] = 0.0
    return _Factor(np.arange(width), gram, inverses, aside, dropped, _guess(gram, products))


def _inverse(upper: Floats, aside: NDArray[np.bool_]) -> Floats:
    """Return the inverse of `U'` for a square U (b, b), without the products of the features that are aside."""
    return np.linalg.inv(np.where(aside & ~np.eye(len(upper), dtype=bool), 0.0, upper).T)


def _guess(upper: Floats, products: Floats) -> Floats:
    """Return the (d, m) solutions of `U x = products` (m, d)."""
    return lapack.dtrtrs(upper.T, products, lower=1, trans=1)[0].T if products.size else np.empty(products.shape[::-1])


def _upper(square: Floats, largest: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the upper triangle U with `U'U = square` (b, b), and which features are aside because they depend on earlier ones."""
    aside: NDArray[np.bool_] = np.zeros(len(square), bool)
    try:
        upper = np.asarray(np.linalg.cholesky(square, upper=True), np.float64)
        if (np.square(np.diag(upper)) > DEPENDENT * largest).all():
            return upper, aside
    except np.linalg.LinAlgError:
        pass
    upper = np.zeros_like(square)
    for k in range(len(square)):
        row = square[k, k:] - upper[:k, k] @ upper[:k, k:]
        if row[0] <= DEPENDENT * largest:
            aside[k] = True
            upper[k, k] = np.sqrt(largest)
        else:
            upper[k, k:] = row / np.sqrt(row[0])
    return upper, aside


def _pivoted(gram: Floats, block: Block, largest: float) -> _Factor:
    """Build the decomposition of the features, each time with the feature farthest from the earlier ones, until no distance is left."""
    rank, order, lower = 0, np.empty(0, np.int64), np.empty((0, 0))
    if largest:
        lower, pivots, rank, _ = lapack.dpstrf(gram.T, tol=DEPENDENT * largest, lower=1)
        order = pivots.astype(np.int64) - 1
    vary = np.flatnonzero(block.lengths[order[rank:]] > 0) + rank
    upper, aside = np.triu(lower[:rank, :rank].T), np.zeros(rank, bool)
    inverses = [_inverse(upper[rows, rows], aside[rows]) for rows in _chunks(rank, BLOCK)]
    return _Factor(order[:rank], upper, inverses, aside, order[vary], _guess(upper, lower[vary, :rank].T))


def _trusted(block: Block, factor: _Factor) -> bool:
    """Return whether numerai-tools would keep the span of exactly these features.

    The i-th singular value of all features with a constant is at least the i-th singular value of the kept features with a constant.
    """
    smallest = _smallest_singular_value(block, factor)
    squares = np.square(block.lengths * block.scales).sum() + block.rows * (1 + np.square(block.means).sum())
    if not smallest > MARGIN * RCOND * np.sqrt(squares):
        return False
    return factor.rank + 1 == block.rows or not len(factor.dropped) or _depend(block, factor, EXACT * smallest)


def _depend(block: Block, factor: _Factor, bound: float) -> bool:
    """Return whether at most `bound` is left of every dropped feature after the kept features are taken out.

    Coefficients that are whole numbers find duplicates, mirrored features and sums of a few features at little cost.
    """
    which = np.arange(len(factor.dropped))
    coefficients = np.zeros((len(which), block.width))
    coefficients[:, factor.order] = -factor.guess
    coefficients[which, factor.dropped] = 1.0

    def small(left: Floats) -> bool:
        return bool((np.linalg.norm(left, axis=1) * block.scales[factor.dropped]).max() <= bound)

    whole = np.rint(coefficients)
    used = np.flatnonzero(whole.any(axis=0))
    if len(used) * FEW <= block.width:
        columns = (block.features[:, used] - block.means[used]) / block.scales[used]
        if small(whole[:, used] @ columns.T):
            return True
    for _ in range(2):
        left = block.combine(coefficients)
        if small(left):
            return True
        coefficients -= factor.solve(block.correlate(left))
    return False


def _smallest_singular_value(block: Block, factor: _Factor) -> float:
    """Estimate the smallest singular value, not below the truth, of the kept features with a constant, neither centred nor scaled.

    The estimate is by inverse iteration on `D'D`, with `D = [X, 1] [[scales, 0], [means', 1]]`.
    """
    order = factor.order
    scales, means = block.scales[order], block.means[order]
    vectors = np.random.default_rng(0).standard_normal((START_VECTORS, len(order) + 1))
    vectors[:, :-1][:, factor.aside] = 0.0
    products = np.zeros((min(START_VECTORS, len(order) + 1), block.width))
    for _ in range(INVERSE_ITERATIONS):
        vectors = np.linalg.qr(vectors.T)[0].T
        products[:, order] = (vectors[:, :-1] - np.outer(vectors[:, -1], means)) / scales
        coefficients = factor.solve(products)[:, order] / scales
        vectors = np.column_stack([coefficients, vectors[:, -1] / block.rows - coefficients @ means])
    return float(1 / np.sqrt(np.linalg.norm(vectors, axis=1).max()))


def _chunks(rows: int, size: int) -> Iterator[slice]:
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
