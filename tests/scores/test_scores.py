"""Scores: equal to numerai-tools, plain loops, exact fractions and values worked out by hand."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools import scoring
from numpy.typing import NDArray
from scipy.integrate import dblquad
from scipy.stats import rankdata

from erawise.base import jit
from erawise.evaluation import significance
from erawise.evaluation.summary import constant_predictions, implied_auc, summarize
from erawise.running.errors import InputError
from erawise.scores import compiled, kernels, loops, plain, projection
from erawise.scores.eras import CONSTANT, ROWS, SCORES, Known, score_eras

SUMS = {"payout": {"corr": 3.0, "mmc": 15.0}, "payout_bmc": {"corr": 3.0, "bmc": 15.0}}
REAL_SERIES = Path(__file__).parents[3] / "shared" / "real" / "era_scores.csv"
FIVE_BINS = np.repeat([0, 0.25, 0.5, 0.75, 1], [1, 4, 10, 4, 1])


def one_era(predictions: Any, target: Any, **given: Any) -> pd.DataFrame:
    """Score one era; the result is indexed by prediction."""
    frame = pd.DataFrame(predictions)
    table = score_eras(frame, np.asarray(target, float), np.ones(len(frame), np.int64), Known(**given), sums=SUMS)
    return table.set_index("prediction")


def with_gaps(values: NDArray, share: float, rng: np.random.Generator) -> NDArray:
    return np.where(rng.random(values.shape) < share, np.nan, values)


def some_target(kind: str, rows: int, rng: np.random.Generator) -> NDArray:
    if kind == "bins":
        return rng.choice([0, 0.25, 0.5, 0.75, 1], rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    if kind == "binary":
        return rng.integers(0, 2, rows).astype(float)
    return rng.random(rows) if kind == "uniform" else rng.normal(size=rows)


@st.composite
def eras(draw: st.DrawFn) -> dict[str, Any]:
    """Draw one era with ties, constants, gaps, or very few rows; predictions as columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, count = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    target = some_target(draw(st.sampled_from(["bins", "binary", "uniform", "normal"])), rows, rng)
    predictions = rng.normal(size=(rows, count)) + target[:, None]
    levels = draw(st.sampled_from([None, 1, 2, 5]))
    if levels:
        predictions[:, 0] = rng.integers(0, levels, rows) / 7
    gaps = st.sampled_from([0.0, 0.0, 0.1, 0.3])
    return {
        "predictions": pd.DataFrame(with_gaps(predictions, draw(gaps), rng), index=[f"n{i:03}" for i in range(rows)]).rename(columns=str),
        "target": with_gaps(target, draw(gaps), rng),
        "meta": with_gaps(rng.normal(size=rows) + predictions[:, 0], draw(gaps), rng),
        "benchmark": with_gaps(rng.normal(size=rows) - predictions[:, -1], draw(gaps), rng),
    }


def official(score: Any, *columns: pd.Series) -> float:
    """Return an official score of the first column; NaN if the official code refuses, or a column is constant over the complete rows."""
    known = pd.concat(columns, axis=1).dropna()
    if len(known) < 0.8 * len(columns[0]) or (known.nunique() < 2).any():
        return np.nan
    return float(score().iloc[0])


@settings(max_examples=60)
@given(eras())
def test_corr_spearman_mmc_and_bmc_equal_numerai_tools(era: dict[str, Any]) -> None:
    predictions = era["predictions"]
    index = predictions.index
    target, meta, benchmark = (pd.Series(era[name], index, name=name) for name in ("target", "meta", "benchmark"))
    table = one_era(predictions, era["target"], meta_model=era["meta"], benchmark=era["benchmark"])
    for name in predictions:
        one = predictions[[name]]
        both = pd.concat([predictions[name], target], axis=1).dropna()
        expected = {
            "corr": official(lambda one=one: scoring.numerai_corr(one, target), predictions[name], target),
            "spearman": official(
                lambda both=both, name=name: pd.Series([scoring.spearman_correlation(both["target"], both[name])]),
                predictions[name],
                target,
            ),
            "mmc": official(lambda one=one: scoring.correlation_contribution(one, meta, target), predictions[name], meta, target),
            "bmc": official(lambda one=one: scoring.correlation_contribution(one, benchmark, target), predictions[name], benchmark, target),
        }
        np.testing.assert_allclose(table.loc[name, list(expected)].to_numpy(float), list(expected.values()), rtol=0, atol=1e-12)
        assert table.loc[name, ROWS] == len(both)


def tied_for_any_prediction(features: pd.DataFrame) -> bool:
    """Return whether two rows have the same residual for any prediction, so that only rounding noise ranks them."""
    design = np.column_stack([features, np.ones(len(features))])
    projector = np.eye(len(design)) - design @ np.linalg.pinv(design, rcond=1e-6)
    return len(np.unique(projector.round(9) + 0.0, axis=0)) < len(design)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 12), st.sampled_from(["float", "collinear", "int8"]), st.booleans())
def test_fnc_and_exposure_equal_the_official_way(seed: int, rows: int, count: int, kind: str, gaps: bool) -> None:
    rng = np.random.default_rng(seed)
    target = some_target("bins", rows, rng)
    features = rng.integers(0, 5, (rows, count)).astype(np.int8) if kind == "int8" else rng.normal(size=(rows, count))
    if kind == "collinear":
        features = np.hstack([features, features[:, :1] * 2, np.full((rows, 1), 0.1)])
    predictions = pd.DataFrame(rng.normal(size=(rows, 2)) + features[:, :1], index=[f"n{i:03}" for i in range(rows)], columns=["a", "b"])
    if gaps:
        predictions.loc[predictions.index[::7], "b"] = np.nan
    known = pd.DataFrame(features, index=predictions.index)
    table = one_era(predictions, target, features=lambda _: features)
    for name in predictions:
        one = predictions[[name]].dropna()
        left = known.loc[one.index]
        spanned = np.linalg.matrix_rank(np.column_stack([left, np.ones(len(left))])) >= len(one)
        if spanned or len(one) < 0.8 * rows or np.ptp(target[predictions[name].notna()]) == 0:
            assert np.isnan(table.loc[name, "fnc"])
        elif not tied_for_any_prediction(left):
            series = pd.Series(target, predictions.index, name="target")
            assert table.loc[name, "fnc"] == pytest.approx(scoring.feature_neutral_corr(one, left, series).iloc[0], abs=1e-10)
        varying = left.loc[:, left.nunique() > 1]
        if len(one) > 1 and len(one) >= 0.8 * rows and varying.shape[1]:
            exposures = varying.corrwith(one[name])
            assert table.loc[name, "exposure_max"] == pytest.approx(exposures.abs().max(), abs=1e-12)
            assert table.loc[name, "exposure_rms"] == pytest.approx(np.sqrt((exposures**2).mean()), abs=1e-12)
        else:
            assert np.isnan(table.loc[name, "exposure_max"])


def slow_ranks(values: list[float]) -> list[float]:
    return [(sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 - 0.5) / len(values) for x in values]


def slow_pearson(a: list[float], b: list[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    cov = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return cov / (sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)) ** 0.5


def slow_corr(prediction: list[float], target: list[float]) -> float:
    quantile = NormalDist().inv_cdf
    mean = sum(target) / len(target)

    def stressed(x: float) -> float:
        return abs(x) ** 1.5 * (1 if x > 0 else -1)

    return slow_pearson([stressed(quantile(r)) for r in slow_ranks(prediction)], [stressed(t - mean) for t in target])


def slow_auc(prediction: NDArray, positive: NDArray) -> float:
    wins = [(x > y) + (x == y) / 2 for x in prediction[positive] for y in prediction[~positive]]
    return float(np.mean(wins))


def test_hand_sized_values() -> None:
    prediction, target = [3.0, 1.0, 4.0, 2.0], [0.5, 0.0, 0.75, 0.75]
    row = one_era({"p": prediction}, target, meta_model=np.array([1.0, 2.0, 3.0, 4.0])).loc["p"]
    # ranks 3 1 4 2 against 2 1 3.5 3.5: covariance 3 of 5 and 4.5
    assert row["spearman"] == pytest.approx(3 / np.sqrt(5 * 4.5))
    assert row["mse"] == pytest.approx((2.5**2 + 1 + 3.25**2 + 1.25**2) / 4)
    assert row["corr"] == pytest.approx(slow_corr(prediction, target), abs=1e-12)
    # signed powers (.1799, -1.2338, 1.2338, -.1799) and (0, -.3536, .125, .125): .56796 / sqrt(3.1092 * .15357)
    assert row["corr"] == pytest.approx(0.82193, abs=1e-5)
    # gaussians: outer 1.150349, inner .318639; p = (i, -o, o, -i), m = (-o, -i, i, o), p.m = 0, so MMC = 4 cov(target, p)
    outer, inner = NormalDist().inv_cdf(0.875), NormalDist().inv_cdf(0.625)
    assert row["mmc"] == pytest.approx(0.75 * outer + (0.5 - 0.75) * inner)
    assert row["meta_corr"] == pytest.approx(0, abs=1e-12)
    assert row["payout"] == pytest.approx(3 * row["corr"] + 15 * row["mmc"])
    assert np.isnan(row["payout_bmc"])
    row = one_era({"p": prediction}, target, benchmark=np.array([1.0, 2.0, 3.0, 4.0])).loc["p"]
    assert row["payout_bmc"] == pytest.approx(3 * row["corr"] + 15 * row["bmc"])
    assert np.isnan(row["payout"])
    # the top value holds half of the rows (positions 2 and 3): wins 4>3, 4>1, 2>1
    assert (row["auc_top"], row["top_share"]) == (0.75, 0.5)
    assert np.isnan(row["auc_above_half"])


def test_plain_loops_agree_on_many_rows() -> None:
    rng = np.random.default_rng(3)
    target, prediction = rng.random(120), np.round(rng.normal(size=120), 1)
    row = one_era({"p": prediction}, target).loc["p"]
    assert row["corr"] == pytest.approx(slow_corr(list(prediction), list(target)), abs=1e-12)
    assert row["auc_above_half"] == pytest.approx(slow_auc(prediction, target > 0.5))
    assert row["auc_top"] == pytest.approx(slow_auc(prediction, target >= np.sort(target)[-24]))
    assert row["top_share"] == 0.2


@pytest.mark.parametrize(
    ("target", "share"),
    [(FIVE_BINS, 0.25), ([0, 0, 0, 1], 0.25), ([0] * 7 + [1] * 3, 0.3), (np.arange(10), 0.2), ([0, 0, 0, 0, 0, 1], 1.0), ([1, 1, 1], 1.0)],
)
def test_top_class_is_cumulated_to_a_fifth_of_the_rows(target: Any, share: float) -> None:
    assert kernels.top_class(np.asarray(target, float)).mean() == pytest.approx(share)


def test_auc_is_absent_where_the_class_is_all_or_the_same() -> None:
    rng = np.random.default_rng(0)
    same = one_era({"p": rng.normal(size=20)}, FIVE_BINS).loc["p"]
    assert np.isfinite(same["auc_top"])
    assert np.isnan(same["auc_above_half"])
    trivial = one_era({"p": rng.normal(size=10)}, [1] + [0] * 9).loc["p"]
    assert np.isnan(trivial["auc_top"])
    assert np.isnan(trivial["top_share"])
    assert np.isfinite(trivial["auc_above_half"])


@pytest.mark.parametrize(("offset", "step"), [(1.0, 2.0**-50), (1e6, 2.0**-30), (0.0, 1e-300), (0.0, 5e-324), (-3e8, 1e-7)])
def test_pearson_is_exact_where_a_column_hardly_varies(offset: float, step: float) -> None:
    rng = np.random.default_rng(1)
    x = offset + step * rng.integers(0, 5, 40)
    y = rng.integers(0, 5, 40)
    exact_x, exact_y = [Fraction(float(v)) for v in x], [Fraction(int(v)) for v in y]
    dx, dy = [v - sum(exact_x) / 40 for v in exact_x], [v - sum(exact_y) / 40 for v in exact_y]
    squared = sum(a * b for a, b in zip(dx, dy, strict=True)) ** 2 / (sum(a * a for a in dx) * sum(b * b for b in dy))
    got = kernels.pearson(x[:, None], y[:, None].astype(np.int8))[0, 0]
    assert got**2 == pytest.approx(float(squared), rel=1e-10)


def test_a_constant_feature_has_no_exposure() -> None:
    rng = np.random.default_rng(2)
    features = np.column_stack([np.full(33, 0.1, np.float32), rng.normal(size=33)]).astype(np.float32)
    exposures = kernels.pearson(rng.normal(size=(33, 1)), features)[0]
    assert np.isnan(exposures[0])
    assert np.isfinite(exposures[1])
    row = one_era({"p": rng.normal(size=33)}, rng.random(33), features=lambda _: features[:, :1]).loc["p"]
    assert np.isnan(row["exposure_max"])
    assert np.isfinite(row["fnc"])


def test_fnc_is_absent_where_nothing_is_left() -> None:
    rng = np.random.default_rng(4)
    target = rng.random(23)
    assert np.isnan(one_era({"p": rng.normal(size=23)}, target, features=lambda _: rng.normal(size=(23, 50))).loc["p", "fnc"])
    halves = np.arange(23) % 2
    table = one_era({"linear": halves, "free": rng.normal(size=23)}, target, features=lambda _: halves[:, None].astype(np.int8))
    assert np.isnan(table.loc["linear", "fnc"])
    assert np.isfinite(table.loc["free", "fnc"])


@pytest.mark.parametrize("rows", [1, 2])
def test_eras_of_one_or_two_rows(rows: int) -> None:
    values = np.arange(rows, dtype=float)
    row = one_era({"p": values}, values, meta_model=values, oracle=values, features=lambda _: np.ones((rows, 50), np.int8)).loc["p"]
    assert row[ROWS] == rows
    if rows == 1:
        assert row[list(SCORES)].isna().all()
    else:
        assert (row["corr"], row["spearman"], row["auc_top"]) == (pytest.approx(1), pytest.approx(1), 1)


def test_a_constant_prediction_has_no_score_and_is_named() -> None:
    rng = np.random.default_rng(5)
    era = np.repeat([1, 2], 30)
    features, meta, target = rng.normal(size=(30, 3)), rng.normal(size=60), rng.random(60)
    frame = pd.DataFrame({"flat": np.full(60, 0.1), "half": np.r_[np.full(30, 0.3), rng.normal(size=30)], "fine": rng.normal(size=60)})
    table = score_eras(frame, target, era, Known(meta, meta, None, lambda _: features), sums=SUMS)
    assert table.loc[table[CONSTANT], list(SCORES)].drop(columns="oracle_corr").isna().all().all()
    assert constant_predictions(table) == {"flat": 2, "half": 1}
    summary = summarize(table, 20)
    assert summary["flat"] == {"eras": 0}
    assert summary["half"]["eras"] == 1
    assert "sharpe" not in summary["half"]["corr"]


def test_a_constant_target_gives_no_score() -> None:
    rng = np.random.default_rng(6)
    row = one_era({"p": rng.normal(size=30)}, np.full(30, 0.1), meta_model=rng.normal(size=30), features=lambda _: rng.normal(size=(30, 2)))
    assert row.loc["p", [name for name in SCORES if not name.startswith("exposure") and name != "meta_corr"]].isna().all()
    assert not row.loc["p", CONSTANT]


def test_coverage_is_counted_against_all_rows_of_the_era() -> None:
    rng = np.random.default_rng(7)
    target, meta = rng.random(10), rng.normal(size=10)
    frame = pd.DataFrame({"eight": rng.normal(size=10), "seven": rng.normal(size=10)})
    frame.iloc[:2, 0] = np.nan
    frame.iloc[:3, 1] = np.nan
    table = one_era(frame, target, meta_model=meta)
    assert table["corr"].notna().tolist() == [True, False]
    assert table["mmc"].notna().tolist() == [True, False]
    meta[5] = np.nan
    assert one_era(frame, target, meta_model=meta)["mmc"].isna().all()


def test_a_gap_in_one_prediction_leaves_the_others_as_they_are() -> None:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.normal(size=(50, 3)), columns=["a", "b", "c"])
    target, meta, features = rng.random(50), rng.normal(size=50), rng.normal(size=(50, 4))
    alone = one_era(frame[["a"]], target, meta_model=meta, features=lambda _: features)
    frame.iloc[:5, 1] = np.nan
    together = one_era(frame, target, meta_model=meta, features=lambda _: features)
    np.testing.assert_allclose(together.loc["a", list(SCORES)].to_numpy(float), alone.loc["a", list(SCORES)].to_numpy(float), atol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_invariances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, meta, features = some_target("bins", 40, rng), rng.normal(size=40), rng.normal(size=(40, 3))
    p = np.round(rng.normal(size=40), 1)
    by_rank = ["corr", "spearman", "mmc", "meta_corr", "auc_top", "fnc"]
    base = one_era({"p": p}, target, meta_model=meta, features=lambda _: features).loc["p"]
    monotone = one_era({"p": np.exp(p) * 3 - 1}, target, meta_model=np.arctan(meta), features=lambda _: features).loc["p"]
    shifted = one_era({"p": p * 2 + 5}, target, meta_model=meta, features=lambda _: features * -3 + 7).loc["p"]
    order = rng.permutation(40)
    mixed = one_era({"p": p[order]}, target[order], meta_model=meta[order], features=lambda _: features[order]).loc["p"]
    np.testing.assert_allclose(monotone[by_rank].to_numpy(float), base[by_rank].to_numpy(float), atol=1e-9)
    columns = [*by_rank, "exposure_max", "exposure_rms"]
    np.testing.assert_allclose(shifted[columns].to_numpy(float), base[columns].to_numpy(float), atol=1e-9)
    np.testing.assert_allclose(mixed[[*columns, "mse"]].to_numpy(float), base[[*columns, "mse"]].to_numpy(float), atol=1e-9)
    opposite = one_era({"p": -p}, target, meta_model=meta).loc["p"]
    assert opposite["corr"] == pytest.approx(-base["corr"], abs=1e-12)
    assert opposite["auc_top"] == pytest.approx(1 - base["auc_top"], abs=1e-12, nan_ok=True)


def test_a_concatenation_has_the_scores_of_its_eras() -> None:
    rng = np.random.default_rng(9)
    sizes = [1, 23, 60, 2]
    era = np.repeat([4, 2, 9, 7], sizes)
    n = len(era)
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    target, meta, bench, oracle, features = (
        rng.random(n),
        rng.normal(size=n),
        rng.normal(size=n),
        rng.normal(size=n),
        rng.normal(size=(n, 30)),
    )
    calls: list[int] = []

    def read(number: int) -> NDArray:
        calls.append(number)
        return features[era == number]

    given: dict[str, Any] = {"meta_model": meta, "benchmark": bench, "oracle": oracle}
    table = score_eras(frame, target, era, Known(features=read, **given), sums=SUMS)
    assert calls == [4, 2, 9, 7]
    assert list(table.columns) == ["era", "prediction", ROWS, CONSTANT, *SCORES]
    assert table["era"].tolist() == [4, 4, 2, 2, 9, 9, 7, 7]
    parts = []
    for number in (4, 2, 9, 7):
        rows = era == number
        known: dict[str, Any] = {name: values[rows] for name, values in given.items()}
        parts.append(score_eras(frame[rows], target[rows], era[rows], Known(features=read, **known), sums=SUMS))
    pd.testing.assert_frame_equal(table, pd.concat(parts, ignore_index=True))


@st.composite
def columns(draw: st.DrawFn) -> NDArray:
    """Draw (p, n) values that are hard to sort: ties, both zeros, the smallest and largest, values that differ in their last bits."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 300))
    special = np.array([0.0, -0.0, 5e-324, -5e-324, 1.0, -1.0, np.nextafter(1.0, 2), 1.7e308, -1.7e308, 0.1])
    kinds = {
        "normal": rng.normal(size=shape),
        "float32": rng.normal(size=shape).astype(np.float32).astype(float),
        "close": 1 + np.ldexp(rng.integers(-500, 500, shape).astype(float), -52),
        "special": rng.choice(special, shape),
        "tied": rng.integers(0, draw(st.integers(1, 9)), shape) / 3,
        "wide": rng.choice([-1, 1], shape) * 10.0 ** rng.integers(-300, 300, shape),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]


@settings(max_examples=100)
@given(columns())
def test_compiled_and_plain_ranks_are_those_of_scipy(values: NDArray) -> None:
    expected = 2 * (rankdata(values, axis=1) - 1)
    halves = np.arange(2.0 * values.shape[1] - 1)
    tables = np.array([halves, -halves])
    for found in (compiled.ranked(values, tables), plain.ranked(values, tables)):
        np.testing.assert_array_equal(found, [expected, -expected])


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 1100), st.integers(1, 3))
def test_compiled_sums_equal_plain_ones(seed: int, rows: int, count: int, predictions: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.integers(-128, 128, (rows, count)).astype(np.int8)
    weights, coefficients = rng.normal(size=(predictions, rows)), rng.normal(size=(predictions, count))
    start, stop = sorted(rng.integers(0, rows + 1, 2).tolist())
    if start == stop:
        start, stop = 0, rows
    part, piece = features[start:stop].astype(np.int64), int(rng.integers(1, rows + 1))
    for loop in (compiled.moments, plain.moments):
        for wanted in (weights, weights[:0]):
            products, sums = loop(features, wanted, start, stop, piece)
            assert len(products) == -(-(stop - start) // piece)
            np.testing.assert_allclose(products.sum(axis=0), wanted[:, start:stop] @ part, rtol=0, atol=1e-12 * 128 * rows)
            np.testing.assert_array_equal(sums, [part.sum(axis=0), np.square(part).sum(axis=0)])
    for loop in (compiled.combinations, plain.combinations):
        np.testing.assert_allclose(loop(features, coefficients, start, stop), coefficients @ part.T, rtol=0, atol=1e-12 * 128 * count)
    whole = compiled.combinations(features, coefficients, 0, rows)
    np.testing.assert_array_equal(compiled.combinations(features, coefficients, start, stop), whole[:, start:stop])


@settings(max_examples=60)
@given(columns(), st.integers(0, 2**32))
def test_compiled_correlations_equal_plain_ones(values: NDArray, seed: int) -> None:
    n = values.shape[1]
    ranks = plain.ranked(values, np.arange(2.0 * n - 1)[None])[0]
    unit = kernels.unit_columns(np.random.default_rng(seed).normal(size=(n, 1)))[:, 0]
    np.testing.assert_allclose(compiled.correlations(ranks, unit), plain.correlations(ranks, unit), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "width"), [(1100, 700), (3000, 300)])
def test_sums_do_not_hang_on_the_threads(rows: int, width: int) -> None:
    rng = np.random.default_rng(rows)
    features, weights = rng.integers(-128, 128, (rows, width)).astype(np.int8), rng.normal(size=(3, rows))
    one, sums = loops.moments(features, weights, 1)
    exact = features.astype(np.int64)
    np.testing.assert_array_equal(sums, [exact.sum(axis=0), np.square(exact).sum(axis=0)])
    combined = loops.combinations(features, weights[:, :width], 1)
    for threads in (2, 3, 50):
        again, counted = loops.moments(features, weights, threads)
        np.testing.assert_array_equal(again, one)
        np.testing.assert_array_equal(counted, sums)
        np.testing.assert_array_equal(loops.combinations(features, weights[:, :width], threads), combined)


@pytest.mark.parametrize("rows", [3, 700, 5000])
def test_gram_matrix_of_integers_is_exact_in_pieces(rows: int) -> None:
    features = np.random.default_rng(rows).integers(-128, 128, (rows, 30)).astype(np.int8)
    features[0] = [-128, 127] * 15
    exact = features.astype(np.int64)
    sums = exact.sum(axis=0)
    expected = (rows * (exact.T @ exact) - np.outer(sums, sums)) / rows
    for block in (projection.IntegerBlock(features), projection.IntegerBlock(features, 3)):
        np.testing.assert_allclose(np.triu(block.gram()), np.triu(expected), rtol=1e-13, atol=1e-9)
    out = np.zeros((30, 30))
    compiled.add_centred_gram((exact.T @ exact % 1000).astype(np.float32), sums.astype(float), rows, out)
    np.testing.assert_allclose(np.triu(out), np.triu(exact.T @ exact % 1000 - np.outer(sums / rows, sums)), rtol=1e-13)


@pytest.mark.parametrize("count", [7, 700])
def test_exposures_of_int8_equal_corrwith(count: int) -> None:
    rng = np.random.default_rng(count)
    features = rng.integers(0, 5, (1000, count)).astype(np.int8)
    features[:, 3] = 2
    predictions = rng.normal(size=(1000, 3)) + features[:, :3] + 1e6
    predictions[:, 2] = 0.1
    found = kernels.exposures(predictions, features)
    expected = [pd.DataFrame(features).drop(columns=3).corrwith(pd.Series(column)) for column in predictions[:, :2].T]
    np.testing.assert_allclose(np.delete(found[:2], 3, axis=1), expected, rtol=0, atol=1e-12)
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 3]).all()
    np.testing.assert_array_equal(kernels.exposures(predictions, features, 2), found)
    np.testing.assert_allclose(kernels.pearson(predictions, features), found, rtol=0, atol=1e-12)


def full_size_eras() -> tuple[pd.DataFrame, NDArray, NDArray, Known]:
    """Draw two eras that are large enough for the compiled loops, and a small one; a prediction with gaps and one with ties."""
    rng = np.random.default_rng(12)
    era = np.repeat([1, 2, 3], [2100, 60, 2300])
    target = some_target("bins", len(era), rng)
    frame = pd.DataFrame(rng.normal(size=(len(era), 3)) + target[:, None], columns=["free", "gaps", "tied"])
    frame["gaps"] = with_gaps(frame["gaps"].to_numpy(), 0.05, rng)
    frame["tied"] = frame["tied"].round(1)
    features = rng.integers(0, 5, (len(era), 260)).astype(np.int8)
    given: dict[str, Any] = {name: rng.normal(size=len(era)) for name in ("meta_model", "benchmark", "oracle")}
    return frame, target, era, Known(**given, features=lambda number: features[era == number])


def test_threads_and_compiled_loops_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, target, era, given = full_size_eras()
    table = score_eras(frame, target, era, given, sums=SUMS)
    pd.testing.assert_frame_equal(score_eras(frame, target, era, given, sums=SUMS, threads=2), table, check_exact=True)
    monkeypatch.setattr(jit, "enabled", lambda: False)
    slow = score_eras(frame, target, era, given, sums=SUMS)
    pd.testing.assert_frame_equal(slow, table, rtol=0, atol=1e-12)
    assert given.features is not None
    assert given.meta_model is not None
    index = [f"n{i:05}" for i in range(len(era))]
    for number in (1, 3):
        rows = era == number
        labels = pd.Index(index)[rows]
        known = pd.Series(target[rows], labels, name="target")
        one = pd.DataFrame({"free": frame["free"].to_numpy()[rows]}, labels)
        meta = pd.Series(given.meta_model[rows], labels, name="meta")
        row = table[(table["era"] == number) & (table["prediction"] == "free")].iloc[0]
        assert row["corr"] == pytest.approx(scoring.numerai_corr(one, known).iloc[0], abs=1e-12)
        assert row["mmc"] == pytest.approx(scoring.correlation_contribution(one, meta, known).iloc[0], abs=1e-12)
        expected = scoring.feature_neutral_corr(one, pd.DataFrame(given.features(number), labels), known).iloc[0]
        assert row["fnc"] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("switch", "rows", "loaded"), [("0", [3000], [False]), ("1", [500, 3000], [False, True])])
def test_numba_is_loaded_where_it_is_wanted_and_pays(switch: str, rows: list[int], loaded: list[bool]) -> None:
    code = f"""
import sys, numpy as np
from erawise.scores import kernels
for rows in {rows}:
    ranks = kernels.uniform_ranks(np.random.default_rng(0).normal(size=(rows, 2)))
    assert (np.sort(ranks[:, 0]) == (np.arange(rows) + .5) / rows).all()
    print('numba' in sys.modules)
"""
    environment = {**os.environ, "ERAWISE_NUMBA": switch}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == [str(one) for one in loaded]


def test_bad_arguments() -> None:
    frame = pd.DataFrame({"p": [1.0, np.inf, 3.0]})
    with pytest.raises(InputError, match=r"prediction 'p': infinite in 1 rows, the first in era 2"):
        score_eras(frame, np.zeros(3), np.array([1, 2, 2]), sums=SUMS)
    with pytest.raises(ValueError, match="adjacent"):
        score_eras(frame, np.zeros(3), np.array([1, 2, 1]), sums=SUMS)
    with pytest.raises(ValueError, match="same number of rows"):
        score_eras(frame, np.zeros(2), np.array([1, 2, 2]), sums=SUMS)


def table_of(**columns: list[float]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    empty = {name: np.full(count, np.nan) for name in SCORES}
    return pd.DataFrame({"era": range(count), "prediction": "p", ROWS: 10, CONSTANT: False, **empty, **columns})


def test_summary_by_hand() -> None:
    nan = np.nan
    table = table_of(
        corr=[0.1, -0.2, 0.05, -0.1, 0.3],
        mmc=[nan, nan, 0.02, 0.02, nan],
        oracle_corr=[0.2, 0.2, nan, 0.1, 0.2],
        exposure_max=[0.1, 0.3, 0.2, nan, nan],
        exposure_rms=[0.1, 0.1, 0.1, 0.1, 0.2],
        auc_top=[0.5, 0.6, nan, nan, nan],
        top_share=[0.2, 0.2, nan, nan, nan],
        mse=[0.25, 0.25, 0.25, 0.25, 0.5],
    )
    std = np.sqrt(sum((x - 0.03) ** 2 for x in (0.1, -0.2, 0.05, -0.1, 0.3)) / 5)
    assert summarize(table, 20) == {
        "p": {
            "corr": {
                "mean": 0.03,
                "std": round(std, 6),
                "sharpe": round(0.03 / std, 6),
                "max_drawdown": 0.25,
                "median": 0.05,
                "iqr": 0.2,
                "positive_share": 0.6,
            },
            "mmc": {"mean": 0.02, "std": 0.0, "max_drawdown": 0.0, "median": 0.02, "iqr": 0.0, "positive_share": 1.0, "eras": 2},
            "exposure": {"max": 0.2, "rms": 0.12},
            "auc": {"top": 0.55, "top_share": 0.2, "top_implied": round(implied_auc(0.03, 0.2), 6)},
            "mse": 0.3,
            "ceiling_share": round(0.025 / 0.175, 6),
            "eras": 5,
        }
    }


def test_summary_at_the_edges() -> None:
    summary = summarize(table_of(corr=[0.0, np.nan, -1e-9], oracle_corr=[0.1, 0.9, -0.2]), 20)["p"]
    assert summary["corr"]["positive_share"] == 0
    assert "ceiling_share" not in summary
    assert str(summary["corr"]["mean"]) == "0.0"
    assert summarize(table_of(corr=[0.1, np.nan], oracle_corr=[0.2, 0.9]), 20)["p"]["ceiling_share"] == 0.5


def test_summary_of_one_era_has_its_scores_and_no_interval() -> None:
    both = pd.concat([table_of(corr=[0.1]), table_of(corr=[0.2]).assign(prediction="q")])
    found = summarize(both, 20)
    assert [found[name]["corr"]["mean"] for name in ("p", "q")] == [0.1, 0.2]
    assert not {"low", "high", "sharpe"} & set(found["p"]["corr"])
    assert summarize(both[:0], 20) == {}


def test_summary_is_json_in_the_order_of_the_columns() -> None:
    rng = np.random.default_rng(10)
    era = np.repeat(np.arange(6), 40)
    frame = pd.DataFrame(rng.normal(size=(240, 3)), columns=["z", "a", "m"])
    target = rng.random(240)
    features = rng.normal(size=(40, 5))
    known: dict[str, Any] = {name: rng.normal(size=240) for name in ("meta_model", "benchmark")}
    table = score_eras(frame, target, era, Known(oracle=target, features=lambda _: features, **known), sums=SUMS)
    summary = summarize(table, 20)
    assert list(summary) == ["z", "a", "m"]
    keys = ["corr", "spearman", "mmc", "bmc", "fnc", "payout", "payout_bmc", "meta_corr", "exposure", "auc", "mse", "ceiling_share", "eras"]
    assert list(summary["z"]) == keys
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    corr = table.loc[table["prediction"] == "a", "corr"]
    assert summary["a"]["corr"]["mean"] == round(float(corr.mean()), 6)
    assert summary["a"]["corr"]["sharpe"] == pytest.approx(scoring.sharpe_ratio(corr.to_numpy()), abs=1e-6)
    bare = summarize(score_eras(frame, target, era, sums=SUMS), 20)["z"]
    assert list(bare) == ["corr", "spearman", "auc", "mse", "eras"]


def test_drawdown_starts_at_the_first_era() -> None:
    assert significance.max_drawdown(np.array([-0.5, 0.1])) == 0
    assert significance.max_drawdown(np.array([0.1, -0.2, 0.05, -0.1, 0.3])) == pytest.approx(0.25)


def test_implied_auc_of_the_reference_case() -> None:
    assert implied_auc(0.03, 0.2) == pytest.approx(0.515, abs=5e-4)
    assert implied_auc(0.0, 0.3) == pytest.approx(0.5, abs=1e-12)
    assert (implied_auc(1.0, 0.2), implied_auc(-1.0, 0.2)) == (1.0, 0.0)


@pytest.mark.parametrize(("correlation", "share"), [(0.03, 0.25), (-0.4, 0.2), (0.8, 0.6)])
def test_implied_auc_by_an_adaptive_double_integral(correlation: float, share: float) -> None:
    normal = NormalDist()
    c = normal.inv_cdf(1 - share)
    spread = np.sqrt(2 * (1 - correlation**2))

    def density(y1: float, y0: float) -> float:
        return normal.pdf(y1) * normal.pdf(y0) * normal.cdf(correlation * (y1 - y0) / spread)

    joint, _ = dblquad(density, -8, c, c, 8, epsabs=1e-9)
    assert implied_auc(correlation, share) == pytest.approx(joint / (share * (1 - share)), abs=1e-7)


@pytest.mark.skipif(not REAL_SERIES.exists(), reason="the real series are not here")
@pytest.mark.parametrize(
    ("model", "mean", "sharpe", "drawdown"),
    [("lgbm_gbdt", 0.0262, 0.81, 0.238), ("lgbm_dart", 0.0278, 0.98, 0.162), ("mlp", 0.0258, 0.89, 0.167)],
)
def test_summary_of_real_series(model: str, mean: float, sharpe: float, drawdown: float) -> None:
    series = pd.read_csv(REAL_SERIES)[model].to_numpy()[-385:]
    corr = summarize(table_of(corr=list(series)), 20)["p"]["corr"]
    assert corr["mean"] == pytest.approx(mean, abs=1e-4)
    assert corr["sharpe"] == pytest.approx(sharpe, abs=0.01)
    assert corr["max_drawdown"] == pytest.approx(drawdown, abs=1e-3)
