"""One era's features, prepared for what all predictions of the era need of them: exposures and least-squares residuals.

What numerai-tools does by a singular value decomposition of the features is done by a Cholesky decomposition of their
Gram matrix and refinement with residuals taken straight from the features. It is trusted only where it can be told that
both drop the same directions: the features that are kept are far from linear dependence, and those that are left out
depend on them exactly. Elsewhere, as with features that are nearly but not exactly collinear, the decomposition of
numerai-tools is what is done.
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
"""A feature is tried as a linear function of others where its squared distance from them is below this share of the largest."""

EXACT = 1e-11
"""It is one where this share of the smallest singular value of the others, and no more, is left of it."""

CONVERGED, MAX_REFINEMENTS = 1e-10, 5
"""A refinement that changes a residual by less than this share of the prediction is the last."""

EXACT_IN_FLOAT32 = 2**24 - 1
"""Sums of integers up to here are exact in float32."""

CHUNK_VALUES = 2**17
"""Values of int8 features that are widened to float64 at a time: they stay in the second cache."""

START_VECTORS, INVERSE_ITERATIONS = 3, 4


class Block(Protocol):
    """Features (n, k) of an era, centred: `X = (features - means) / scales`, constant features 0.

    Attributes
    ----------
    features : (n, k), as they came.
    rows, width : n and k.
    means, scales : (k,); `scales` are positive.
    lengths : (k,), the length of each column of X; 0 where constant, and nowhere else.
    """

    features: NDArray
    rows: int
    width: int
    means: Floats
    scales: Floats
    lengths: Floats

    def correlate(self, values: Floats) -> Floats:
        """(q, k) products of (q, n) with the columns of X."""

    def combine(self, coefficients: Floats) -> Floats:
        """(q, n) sums of the columns of X, weighted by (q, k)."""

    def gram(self) -> Floats:
        """(k, k) products of the columns of X with each other; the upper triangle, row-major."""


class IntegerBlock:
    """A `Block` over int8 features as they are: sums of integers are exact, and no float copy of them is kept."""

    def __init__(self, features: NDArray[np.int8], threads: int = 1) -> None:
        self.features, self.threads = np.ascontiguousarray(features), threads
        self.rows, self.width = features.shape
        self._sums, self._squares = loops.square_sums(self.features, threads)
        self.means = self._sums / self.rows
        self.scales = np.ones(self.width)
        self.lengths = np.sqrt((self.rows * self._squares - self._sums**2) / self.rows)

    def correlate(self, values: Floats) -> Floats:
        return loops.products(self.features, values, self.threads) - np.outer(values.sum(axis=1), self.means)

    def combine(self, coefficients: Floats) -> Floats:
        out = np.empty((len(coefficients), self.rows))
        weights = np.ascontiguousarray(coefficients.T)
        chunk = min(max(CHUNK_VALUES // self.width, 1), self.rows)
        widened = np.empty((chunk, self.width))
        for rows in _chunks(self.rows, chunk):
            part = widened[: rows.stop - rows.start]
            np.copyto(part, self.features[rows])
            out[:, rows] = (part @ weights).T
        return out - (self.means @ weights)[:, None]

    def gram(self) -> Floats:
        low, high = int(self.features.min()), int(self.features.max())
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
    """A `Block` over features of any type, kept as standardised float64 columns."""

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
    """Features (n, k) of an era, n >= 1, finite, as a `Block`."""
    return IntegerBlock(features, threads) if features.dtype == np.int8 else FloatBlock(features)


def exposures(units: Floats, block: Block) -> Floats:
    """(q, k) Pearson correlations of (q, n) centred predictions of length 1 with features; NaN where one is constant."""
    lengths = np.where(block.lengths > 0, block.lengths, np.nan)
    return np.clip(block.correlate(units) / lengths, -1.0, 1.0)


def residuals(predictions: Floats, block: Block, proportion: float) -> tuple[Floats, int]:
    """Predictions less `proportion` of their least-squares fit to the features and a constant (numerai-tools' `neutralize`).

    Parameters
    ----------
    predictions : (q, n) float64, finite.
    block : the features; may be collinear or constant.
    proportion : share of the fit to take out, 0..1.

    Returns
    -------
    (q, n) residuals, and the rank of the features with the constant.
    """
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
    """Features of which none is a linear function of the others.

    Attributes
    ----------
    order : (r,) their positions, with those of constant features anywhere among them.
    lower : (r, r) column-major, its lower triangle L such that `L L'` is their Gram matrix, constant features taken as
        orthogonal to all.
    rank : how many of them vary.
    dropped : (d,) positions of the features that vary and are taken for linear functions of them.
    guess : (d, r) by which ones.
    """

    order: NDArray[np.int64]
    lower: Floats
    rank: int
    dropped: NDArray[np.int64]
    guess: Floats

    def solve(self, products: Floats) -> Floats:
        """(q, k) coefficients of all features, 0 where not in `order`, from their (q, k) products."""
        out = np.zeros(products.shape)
        if len(self.order):
            out[:, self.order] = lapack.dpotrs(self.lower, products[:, self.order].T, lower=1)[0].T
        return out


def _refined(centred: Floats, block: Block, factor: _Factor) -> Floats | None:
    """Residuals of (q, n) centred predictions; None where refinement doesn't converge."""
    left = centred - block.combine(factor.solve(block.correlate(centred)))
    bound = CONVERGED * np.linalg.norm(centred, axis=1)
    for _ in range(MAX_REFINEMENTS):
        step = block.combine(factor.solve(block.correlate(left)))
        left -= step
        if (np.linalg.norm(step, axis=1) <= bound).all():
            return left - left.mean(axis=1, keepdims=True)
    return None


def _decomposed(predictions: Floats, block: Block, proportion: float) -> tuple[Floats, int]:
    """`residuals` by the singular value decomposition of numerai-tools."""
    design = np.ones((block.rows, block.width + 1))
    design[:, :-1] = block.features
    coefficients, _, rank, _ = np.linalg.lstsq(design, predictions.T, rcond=RCOND)
    return predictions - proportion * (design @ coefficients).T, int(rank)


def _factorize(block: Block) -> _Factor | None:
    """The features that count, decomposed; None where it can't be told for certain which do."""
    gram = block.gram()
    largest = float(np.diag(gram).max(initial=0.0))
    factor = _whole(gram, block, largest) or _pivoted(gram, block, largest)
    return factor if _trusted(block, factor) else None


def _whole(gram: Floats, block: Block, largest: float) -> _Factor | None:
    """All features; None where one that varies may depend on others."""
    varying = block.lengths > 0
    if not 0 < varying.sum() < block.rows:
        return None
    constant = np.flatnonzero(~varying)
    gram[constant, constant] = largest
    lower, failed = lapack.dpotrf(gram.T, lower=1, clean=0)
    gram[constant, constant] = 0.0
    if failed or (np.square(np.diag(lower)) <= DEPENDENT * largest).any():
        return None
    nothing = np.empty(0, np.int64)
    return _Factor(np.arange(block.width), lower, int(varying.sum()), nothing, np.empty((0, block.width)))


def _pivoted(gram: Floats, block: Block, largest: float) -> _Factor:
    """Each time the feature that is farthest from those before it, until no distance is left."""
    if not largest:
        nothing = np.empty(0, np.int64)
        return _Factor(nothing, np.empty((0, 0)), 0, nothing, np.empty((0, 0)))
    lower, pivots, rank, _ = lapack.dpstrf(gram.T, tol=DEPENDENT * largest, lower=1)
    order = pivots.astype(np.int64) - 1
    vary = np.flatnonzero(block.lengths[order[rank:]] > 0) + rank
    kept = np.asfortranarray(lower[:rank, :rank])
    guess = lapack.dtrtrs(kept, lower[vary, :rank].T, lower=1, trans=1)[0].T
    return _Factor(order[:rank], kept, int(rank), order[vary], guess)


def _trusted(block: Block, factor: _Factor) -> bool:
    """Whether numerai-tools would keep the span of exactly these features.

    A singular value of all features with a constant is at least one of those kept, of the same place.
    """
    smallest = _smallest_singular_value(block, factor)
    squares = np.square(block.lengths * block.scales).sum() + block.rows * (1 + np.square(block.means).sum())
    if not smallest > MARGIN * RCOND * np.sqrt(squares):
        return False
    return factor.rank + 1 == block.rows or not len(factor.dropped) or _depend(block, factor, EXACT * smallest)


def _depend(block: Block, factor: _Factor, bound: float) -> bool:
    """Whether no more than `bound` is left of any dropped feature once those kept are taken out."""
    which = np.arange(len(factor.dropped))
    coefficients = np.zeros((len(which), block.width))
    coefficients[which, factor.dropped] = 1.0
    coefficients[:, factor.order] = -factor.guess
    for _ in range(2):
        left = block.combine(coefficients)
        if (np.linalg.norm(left, axis=1) * block.scales[factor.dropped]).max() <= bound:
            return True
        coefficients -= factor.solve(block.correlate(left))
    return False


def _smallest_singular_value(block: Block, factor: _Factor) -> float:
    """An estimate, not below the truth, for the features kept with a constant, neither centred nor scaled.

    By inverse iteration on `D'D`, with `D = [X, 1] [[scales, 0], [means', 1]]`.
    """
    order = factor.order
    vary, scales, means = block.lengths[order] > 0, block.scales[order], block.means[order]
    vectors = np.random.default_rng(0).standard_normal((START_VECTORS, len(order) + 1))
    products = np.zeros((min(START_VECTORS, len(order) + 1), block.width))
    for _ in range(INVERSE_ITERATIONS):
        vectors = np.linalg.qr(vectors.T)[0].T
        products[:, order] = np.where(vary, (vectors[:, :-1] - np.outer(vectors[:, -1], means)) / scales, 0.0)
        coefficients = factor.solve(products)[:, order] / scales
        vectors = np.column_stack([coefficients, vectors[:, -1] / block.rows - coefficients @ means])
    return float(1 / np.sqrt(np.linalg.norm(vectors, axis=1).max()))


def _chunks(rows: int, size: int) -> Iterator[slice]:
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
