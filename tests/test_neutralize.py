"""Neutralization against numerai-tools, and what it promises for a submission."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring
from numpy.typing import NDArray

from erawise.errors import InputError
from erawise.neutralize import cap, neutralize_block, neutralize_eras, riskiest
from erawise.scores.kernels import pearson


def blocks(features: NDArray, era: NDArray) -> "dict[int, NDArray]":
    return {int(number): features[era == number] for number in np.unique(era)}


@settings(max_examples=100, deadline=None)
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
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


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


@settings(max_examples=30, deadline=None)
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
        np.testing.assert_allclose(got[rows], expected, atol=1e-9)
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
    with pytest.raises(InputError, match=r"neutralize\.features: era 6 has 23 rows, which 22 features .* riskiest, which takes"):
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


@settings(max_examples=50, deadline=None)
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
