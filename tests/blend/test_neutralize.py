"""Neutralization: equal to numerai-tools, and what it promises for a submission."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring
from numpy.typing import NDArray

from erawise.blend.neutralization import cap, neutralize_block, neutralize_eras, riskiest
from erawise.running.errors import InputError
from erawise.scores import projection
from erawise.scores.kernels import pearson


def blocks(features: NDArray, era: NDArray) -> "dict[int, NDArray]":
    return {int(number): features[era == number] for number in np.unique(era)}


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    rows=st.integers(1, 60),
    count=st.integers(1, 60),
    predictions=st.integers(1, 4),
    proportion=st.floats(0, 1),
    collinear=st.booleans(),
)
def test_a_block_equals_numerai_tools(seed: int, rows: int, count: int, predictions: int, proportion: float, collinear: bool) -> None:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 5, (rows, count)).astype(np.int8)
    if collinear:
        features = np.hstack([features, features[:, ::-1], np.full((rows, 1), 2, np.int8)])
    values = rng.normal(size=(rows, predictions))
    got = neutralize_block(values, features, proportion)
    if rows == 1:
        assert np.isnan(got).all()
    else:
        expected = scoring.neutralize(pd.DataFrame(values), pd.DataFrame(features), proportion)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)


def difficult(rows: int, count: int, rng: np.random.Generator) -> dict[str, NDArray]:
    """Draw features whose rank is hard to find, or too hard for a Gram matrix alone."""
    integers = rng.integers(0, 5, (rows, count)).astype(np.int8)
    normal = rng.normal(size=(rows, count))
    mixed = normal @ rng.normal(size=(count, 3))
    return {
        "sparse int8": np.where(rng.random((rows, count)) < 1.5 / rows, 3, 2).astype(np.int8),
        "wide int8": rng.integers(-128, 128, (rows, count)).astype(np.int8),
        "int8 sums": np.hstack([integers, (integers[:, :1] + integers[:, -1:]).astype(np.int8)]),
        "constants": np.full((rows, count), 3, np.int8),
        "float32": rng.random((rows, count)).astype(np.float32),
        "float32 sums": np.hstack([normal, mixed]).astype(np.float32),
        "float64 sums": np.hstack([normal, mixed]),
        "nearly collinear": np.hstack([normal, normal + 10.0 ** -rng.integers(2, 14) * rng.normal(size=(rows, count))]),
        "far from 0": normal + 10.0 ** rng.integers(1, 9),
        "scales apart": normal * 10.0 ** rng.integers(-6, 6, count),
        "int64": rng.integers(0, 5, (rows, count)),
    }


@pytest.mark.parametrize("kind", sorted(difficult(2, 1, np.random.default_rng(0))))
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), rows=st.integers(2, 80), count=st.integers(1, 60), proportion=st.sampled_from([1.0, 0.4]))
def test_difficult_features_have_the_residuals_of_numerai_tools(kind: str, seed: int, rows: int, count: int, proportion: float) -> None:
    rng = np.random.default_rng(seed)
    features = difficult(rows, count, rng)[kind]
    values = rng.normal(size=(rows, 2))
    expected = scoring.neutralize(pd.DataFrame(values), pd.DataFrame(features), proportion)
    np.testing.assert_allclose(neutralize_block(values, features, proportion), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("predictions", [1, 4])
def test_a_large_block_equals_numerai_tools_and_needs_no_decomposition(predictions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(predictions)
    features = rng.integers(0, 5, (2500, 280)).astype(np.int8)
    features[:, 200:220] = features[:, :20]
    features[:, 230] = 1
    features[:, 240] = 0
    features[7, 240] = 1
    values = rng.normal(size=(2500, predictions)) + features[:, :1]
    expected = scoring.neutralize(pd.DataFrame(values), pd.DataFrame(features))
    monkeypatch.setattr(projection, "_decomposed", None)
    got = neutralize_block(values, features, 1.0)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(neutralize_block(values, features, 1.0, threads=2), got, rtol=0, atol=1e-13)
    np.testing.assert_allclose(neutralize_block(values, features.astype(np.float32), 1.0), got, rtol=0, atol=1e-10)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), rows=st.integers(3, 80), kind=st.sampled_from(["int8", "float"]))
def test_the_smallest_singular_value_is_estimated_within_the_margin(seed: int, rows: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, rows - 2)) * 10.0 ** rng.integers(-2, 2, rows - 2) + 5
    if kind == "int8":
        features = rng.integers(0, 5, (rows, max(1, rows // 2))).astype(np.int8)
    block = projection.block_of(features)
    factor = projection._factorize(block)
    if factor is not None and factor.rank == features.shape[1]:
        truth = np.linalg.svd(np.column_stack([features, np.ones(rows)]), compute_uv=False).min()
        assert truth * (1 - 1e-6) <= projection._smallest_singular_value(block, factor) <= projection.MARGIN * truth


def test_the_rank_counts_the_constant_and_no_copy() -> None:
    rng = np.random.default_rng(5)
    independent = rng.integers(0, 5, (60, 10)).astype(np.int8)
    features = np.hstack([independent, independent[:, ::-1], np.full((60, 3), 2, np.int8)])
    for block in (features, features.astype(np.float64)):
        assert projection.residuals(rng.normal(size=(1, 60)), projection.block_of(block), 1.0)[1] == 11
    tall = rng.integers(0, 5, (8, 30)).astype(np.int8)
    residual, rank = projection.residuals(rng.normal(size=(2, 8)), projection.block_of(tall), 1.0)
    assert rank == 8
    assert np.abs(residual).max() < 1e-12


@pytest.mark.parametrize("scale", [1, 2.5])
def test_a_few_copies_are_told_without_a_pass_over_all_features(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    features = rng.integers(0, 5, (300, 80)).astype(np.int8)
    features[:, 77], features[:, 78], features[:, 79] = features[:, 3], 4 - features[:, 5], features[:, 3]
    block = features if scale == 1 else features * scale
    kind = type(projection.block_of(block))
    combined, combine = [], kind.combine

    def counting(self: projection.Block, coefficients: NDArray) -> NDArray:
        combined.append(len(coefficients))
        return combine(self, coefficients)

    monkeypatch.setattr(kind, "combine", counting)
    values = rng.normal(size=(300, 2))
    expected = scoring.neutralize(pd.DataFrame(values), pd.DataFrame(features * scale), 1.0)
    np.testing.assert_allclose(neutralize_block(values, block, 1.0), expected, rtol=0, atol=1e-10)
    assert set(combined) <= {2}


@pytest.mark.parametrize("rows", [2, 150, 301])
def test_features_that_span_the_era_leave_nothing_and_need_no_decomposition(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(rows)
    features, values = rng.integers(-128, 128, (rows, 800)).astype(np.int8), rng.normal(size=(rows, 2))
    expected = scoring.neutralize(pd.DataFrame(values), pd.DataFrame(features), 0.7)
    monkeypatch.setattr(projection, "_factorize", None)
    for block in (features, features.astype(np.float32), features * 10.0):
        np.testing.assert_allclose(neutralize_block(values, block, 0.7), expected, rtol=0, atol=1e-10)
    features[1] = features[0]
    assert not projection._span(projection.block_of(features))


def test_a_block_by_hand() -> None:
    feature = np.array([[0], [1], [2], [3]], np.int8)
    prediction = np.array([[1.0], [0.0], [4.0], [3.0]])
    # slope 1, intercept .5: fit .5 1.5 2.5 3.5
    np.testing.assert_allclose(neutralize_block(prediction, feature, 1.0)[:, 0], [0.5, -1.5, 1.5, -0.5], atol=1e-12)
    np.testing.assert_allclose(neutralize_block(prediction, feature, 0.5)[:, 0], [0.75, -0.75, 2.75, 1.25], atol=1e-12)
    np.testing.assert_array_equal(neutralize_block(prediction, feature, 0.0), prediction)


def test_a_constant_prediction_is_nan_and_spoils_no_other() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4))
    values = np.column_stack([np.full(30, 0.1), rng.normal(size=30)])
    got = neutralize_block(values, features, 1.0)
    assert np.isnan(got[:, 0]).all()
    np.testing.assert_allclose(got[:, 1:], neutralize_block(values[:, 1:], features, 1.0), atol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_eras_are_orthogonal_within_bounds_and_independent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    era = np.repeat([3, 1, 8], [23, 60, 41])
    features = rng.integers(0, 5, (len(era), 5)).astype(np.int8)
    features[:23, 2] = 4
    predictions = rng.normal(size=len(era)) + features[:, 0]
    read = blocks(features, era)
    got = neutralize_eras(predictions, era, read.__getitem__, 1.0)
    for number in (3, 1, 8):
        rows = era == number
        exposures = pearson(got[rows, None], read[number])
        assert np.nanmax(np.abs(exposures)) < 1e-10
        assert (got[rows].min(), got[rows].max()) == (0, 1)
        gaussian = scoring.gaussian(scoring.tie_kept_rank(pd.DataFrame({"p": predictions[rows]})))
        expected = scoring.min_max_normalize(scoring.neutralize(gaussian, pd.DataFrame(read[number])))["p"]
        np.testing.assert_allclose(got[rows], expected, atol=1e-10)
        np.testing.assert_array_equal(neutralize_eras(predictions[rows], era[rows], read.__getitem__, 1.0), got[rows])
    np.testing.assert_allclose(neutralize_eras(np.exp(predictions), era, read.__getitem__, 1.0), got, atol=1e-12)


def test_a_proportion_leaves_its_share_of_the_exposure() -> None:
    rng = np.random.default_rng(1)
    era = np.ones(500, np.int64)
    features = rng.integers(0, 5, (500, 3)).astype(np.int8)
    predictions = rng.normal(size=500) + features.sum(axis=1)
    exposed = [
        np.abs(pearson(neutralize_eras(predictions, era, lambda _: features, share)[:, None], features)).max() for share in (0, 0.5, 0.9, 1)
    ]
    assert exposed[0] > exposed[1] > exposed[2] > exposed[3]
    assert exposed[3] < 1e-12


def test_a_constant_era_stays_constant() -> None:
    era = np.repeat([1, 2], 10)
    predictions = np.r_[np.full(10, 0.7), np.arange(10)]
    features = np.tile([0, 1], 10)[:, None]
    got = neutralize_eras(predictions, era, blocks(features, era).__getitem__, 1.0)
    assert (got[:10] == 0.5).all()
    assert got[10:].std() > 0


def test_features_that_span_an_era_are_refused() -> None:
    rng = np.random.default_rng(2)
    era = np.repeat([5, 6], [60, 23])
    features = rng.integers(0, 5, (83, 22))
    with pytest.raises(InputError, match=r"neutralize\.features: era 6 has 23 rows, which 22 features .* riskiest \(features for"):
        neutralize_eras(rng.normal(size=83), era, blocks(features, era).__getitem__, 1.0)
    neutralize_eras(rng.normal(size=83), era, blocks(features[:, :21], era).__getitem__, 1.0)


def test_a_linear_prediction_is_refused() -> None:
    era = np.full(40, 7)
    feature = np.tile([0, 1], 20)[:, None]
    with pytest.raises(InputError, match=r"neutralize\.features: in era 7 the prediction is a linear function of the 1 features"):
        neutralize_eras(feature[:, 0] * 3.0, era, lambda _: feature, 1.0)
    assert set(neutralize_eras(feature[:, 0] * 3.0, era, lambda _: feature, 0.9)) == {0, 1}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_missing_prediction_is_refused(bad: float) -> None:
    with pytest.raises(InputError, match="era 4: the prediction to neutralize is missing or infinite"):
        neutralize_eras(np.array([1.0, bad, 2.0]), np.full(3, 4), lambda _: np.zeros((3, 1)), 1.0)


def test_riskiest_by_hand() -> None:
    nan = np.nan
    correlations = np.array([[0.1, 0.0, nan, 0.3, nan], [0.1, 0.2, 0.5, -0.3, nan], [0.1, 0.1, 0.1, 0.0, nan], [0.1, 0.1, nan, nan, nan]])
    # std: 0, .0707, .2, .2449, none
    assert riskiest(correlations, 3).tolist() == [3, 2, 1]
    assert riskiest(correlations, 9).tolist() == [3, 2, 1, 0, 4]


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_riskiest_equals_nanstd(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    correlations = rng.normal(size=(10, 8)) * rng.random(8)
    correlations[rng.random((10, 8)) < 0.2] = np.nan
    correlations[:2] = rng.normal(size=(2, 8))
    expected = sorted(range(8), key=lambda k: -np.nanstd(correlations[:, k]))[:count]
    assert riskiest(correlations, count).tolist() == expected


def test_ties_of_risk_go_by_position() -> None:
    column = np.array([0.1, -0.2, 0.3])
    assert riskiest(np.column_stack([column, column * 2, column, column * 2]), 3).tolist() == [1, 3, 0]


@pytest.mark.parametrize(("count", "rows", "expected"), [(20, 500, 20), (20, 79, 19), (20, 23, 5), (20, 3, 0), (1, 400, 1)])
def test_cap(count: int, rows: int, expected: int) -> None:
    assert cap(count, rows) == expected
