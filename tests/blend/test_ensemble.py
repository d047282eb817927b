"""Blends and their weights: a plain reference, hand-sized cases, properties and messages."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring
from scipy import optimize

from erawise.blend.blending import blend, blend_fitted, fit_weights, resolve_weights
from erawise.evaluation.objectives import by_corr
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.running.errors import InputError
from erawise.scores import kernels


def test_equal_weights() -> None:
    assert resolve_weights("equal", ["b", "a"]) == {"b": 0.5, "a": 0.5}


def test_given_weights_are_scaled_and_the_rest_is_0() -> None:
    weights = resolve_weights({"c": 3, "a": 1}, ["a", "b", "c"])
    assert weights == {"a": 0.25, "b": 0.0, "c": 0.75}
    assert list(weights) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("weights", "models", "message"),
    [
        ("equal", [], "models: there is no model"),
        ({"x": 1.0}, ["a", "b"], r"ensemble\.weights\.x: no model of that name; models are a, b"),
        ({"a": -1.0}, ["a"], r"ensemble\.weights\.a: a weight must be at least 0"),
        ({"a": float("nan")}, ["a"], r"ensemble\.weights\.a: a weight must be at least 0"),
        ({"a": 0.0}, ["a", "b"], r"ensemble\.weights: at least one weight must be above 0"),
        ({}, ["a"], r"ensemble\.weights: at least one weight must be above 0"),
    ],
)
def test_weights_that_make_no_blend(weights: Any, models: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_weights(weights, models)


def test_blend_by_hand() -> None:
    frame = pd.DataFrame({"a": [10.0, 20.0, 30.0, 40.0], "b": [4.0, 3.0, 1.0, 2.0]})
    era = np.ones(4, np.int64)
    # gaussians -1.15 -.32 .32 1.15 and 1.15 .32 -1.15 -.32: the sums are 0, 0, -.83, .83
    np.testing.assert_allclose(blend(frame, era, {"a": 0.5, "b": 0.5}), [0.5, 0.5, 0.125, 0.875])
    np.testing.assert_allclose(blend(frame, era, {"a": 1.0, "b": 0.0}), [0.125, 0.375, 0.625, 0.875])


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 4), st.booleans())
def test_blend_equals_a_plain_reference(seed: int, rows: int, count: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    era = np.repeat([2, 5, 3], [rows, 1, 12])
    frame = pd.DataFrame(rng.normal(size=(len(era), count))).rename(columns="m{}".format)
    if ties:
        frame = (frame * 2).round()
    weights = dict(zip(frame, rng.random(count), strict=True))
    got = blend(frame, era, weights)
    for number in (2, 5, 3):
        block = frame[era == number].reset_index(drop=True)
        gaussian = scoring.gaussian(scoring.tie_kept_rank(block))
        total = [sum(gaussian.loc[i, name] * weight for name, weight in weights.items()) for i in range(len(block))]
        expected = scoring.tie_kept_rank(pd.Series(total).round(12))
        np.testing.assert_allclose(got[era == number], expected, atol=1e-12)


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_blend_invariances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    era = np.repeat([1, 2], [20, 31])
    frame = pd.DataFrame(rng.normal(size=(51, 2)), columns=["a", "b"])
    weights = {"a": 0.3, "b": 0.7}
    got = blend(frame, era, weights)
    assert ((got > 0) & (got < 1)).all()
    monotone = frame.assign(a=np.exp(frame["a"]), b=frame["b"] * 5 - 3)
    np.testing.assert_allclose(blend(monotone, era, weights), got)
    shifted_by_era = frame.assign(a=frame["a"] + np.where(era == 1, 100, -100))
    np.testing.assert_allclose(blend(shifted_by_era, era, weights), got)
    order = np.concatenate([rng.permutation(20), 20 + rng.permutation(31)])
    np.testing.assert_allclose(blend(frame.iloc[order], era[order], weights), got[order])
    np.testing.assert_allclose(blend(frame, era, {"a": 1.0}), blend(frame[["a"]], era, {"a": 1.0}))


def test_rows_that_are_alike_stay_tied() -> None:
    rng = np.random.default_rng(0)
    half = rng.integers(0, 4, (501, 5)) / 3
    frame = pd.DataFrame(np.vstack([half, half])).rename(columns="m{}".format)
    got = blend(frame, np.ones(1002, np.int64), resolve_weights("equal", list(frame)))
    np.testing.assert_array_equal(got[:501], got[501:])


def test_a_constant_member_says_nothing() -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"flat": np.full(30, 0.5), "a": rng.normal(size=30)})
    era = np.ones(30, np.int64)
    np.testing.assert_allclose(blend(frame, era, {"flat": 0.5, "a": 0.5}), blend(frame, era, {"a": 1.0}))
    assert (blend(frame, era, {"flat": 1.0}) == 0.5).all()


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_member_with_a_gap_is_named(bad: float) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, bad, bad]})
    era = np.array([7, 8, 8])
    with pytest.raises(InputError, match=r"model 'b' has no finite prediction in 2 rows, the first in era 8"):
        blend(frame, era, {"a": 0.5, "b": 0.5})
    np.testing.assert_allclose(blend(frame, era, {"a": 1.0, "b": 0.0}), [0.5, 0.25, 0.75])


def market(seed: int, eras: int = 40, rows: int = 60) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Draw three models: two with their own signals, the first the stronger, and one of noise."""
    rng = np.random.default_rng(seed)
    era = np.repeat(np.arange(1, eras + 1), rows)
    a, b, noise, rest = rng.normal(size=(4, len(era)))
    target = np.clip(np.round(2 + 0.5 * a + 0.25 * b + rest), 0, 4) / 4
    return pd.DataFrame({"a": a + 0.5 * noise, "b": b, "noise": rng.normal(size=len(era))}), era, target


def test_nonnegative_weights_are_those_of_least_squares_on_all_rows() -> None:
    frame, era, target = market(0)
    frame["against"] = -frame["a"] + 0.1 * frame["noise"]
    target[5] = np.nan
    design, outcome = [], []
    for number in np.unique(era):
        rows = (era == number) & np.isfinite(target)
        centred = target[rows] - target[rows].mean()
        design.append(kernels.gaussianize(frame[rows].to_numpy()) / np.sqrt(rows.sum()))
        outcome.append(centred / np.linalg.norm(centred))
    expected = optimize.nnls(np.vstack(design), np.concatenate(outcome))[0]
    found = fit_weights("nnls", frame, era, by_corr(target))
    np.testing.assert_allclose(list(found.values()), expected / expected.sum(), atol=1e-9)
    assert found["a"] > found["b"] > found["noise"]
    assert found["against"] == 0


def test_models_that_are_the_same_share_no_more_than_one() -> None:
    frame, era, target = market(1)
    single = fit_weights("nnls", frame, era, by_corr(target))
    doubled = fit_weights("nnls", frame.assign(again=frame["a"]), era, by_corr(target))
    assert doubled["a"] + doubled["again"] == pytest.approx(single["a"], abs=1e-6)


def test_forward_selection_is_the_plain_one() -> None:
    frame, era, target = market(2, eras=2)
    eras = [era == number for number in np.unique(era)]
    ranked = [{name: kernels.gaussianize(frame.loc[rows, name].to_numpy()) for name in frame} for rows in eras]

    def corrs(taken: list[str]) -> pd.Series:
        """Return the CORR of the blend with each model added."""
        scores = []
        for rows, columns in zip(eras, ranked, strict=True):
            blends = {name: np.sum([columns[one] for one in (*taken, name)], axis=0) for name in frame}
            scores.append(scoring.numerai_corr(pd.DataFrame(blends), pd.Series(target[rows], name="target")))
        return pd.concat(scores, axis=1).mean(axis=1)

    taken: list[str] = []
    best: tuple[float, list[str]] = (0.0, [])
    for _ in range(50):
        added = corrs(taken)
        taken = [*taken, str(added.idxmax())]
        best = max(best, (added.max(), taken), key=lambda found: found[0])
    found = fit_weights("forward", frame, era, by_corr(target))
    assert found == {name: pytest.approx(best[1].count(name) / len(best[1])) for name in frame}


@pytest.mark.parametrize("method", ["nnls", "forward"])
def test_models_of_no_use_have_equal_weights(method: str) -> None:
    frame, era, target = market(3)
    against = -frame[["a", "b"]]
    assert fit_weights(method, against, era, by_corr(target)) == {"a": 0.5, "b": 0.5}
    assert fit_weights(method, against, era, by_corr(np.full(len(era), 0.5))) == {"a": 0.5, "b": 0.5}
    assert fit_weights(method, against, era, by_corr(np.full(len(era), np.nan))) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("method", ["nnls", "forward"])
def test_a_fold_is_blended_without_its_own_eras(method: str) -> None:
    frame, era, target = market(4, eras=60, rows=30)
    plan = splits.plan(np.arange(1, 41), np.arange(41, 61), 20, Split(method="purged_kfold", folds=2, chunk=1, window=None))
    rows = frame.assign(era=era, split=np.where(era <= 40, "cv", "validation"))
    hidden = np.where(era <= 40, target, np.nan)
    weights, blended, of_folds = blend_fitted(method, rows, ["a", "b", "noise"], by_corr(hidden), plan)
    cv = era <= 40
    assert weights == fit_weights(method, frame[cv], era[cv], by_corr(target[cv]))
    np.testing.assert_array_equal(blended[~cv], blend(frame[~cv], era[~cv], weights))
    spoiled = np.where(np.isin(era, plan.folds[0].test) | np.isin(era, plan.folds[0].purged), 1 - hidden, hidden)
    _, again, other = blend_fitted(method, rows, ["a", "b", "noise"], by_corr(spoiled), plan)
    tested = np.isin(era, plan.folds[0].test)
    assert other[0] == of_folds[0]
    assert other[1] != of_folds[1]
    np.testing.assert_array_equal(again[tested], blended[tested])
