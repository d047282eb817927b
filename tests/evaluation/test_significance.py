"""Intervals and verdicts: by hand, by their calibration on series like the real ones, and on the real ones if present."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from erawise.base.schema import spanned_eras
from erawise.evaluation import significance
from erawise.evaluation.significance import BETTER, OPEN, WORSE, paired_difference
from erawise.folds import splits

REAL = ROOT.parent / "shared" / "real" / "era_scores.csv"
AUTOCORRELATIONS = (0.73, 0.49, 0.28, 0.06)


def like_real(count: int, eras: int, seed: int) -> NDArray[np.float64]:
    """Draw (count, eras) normal series of mean 0 and variance 1 with the autocorrelations of real per-era scores."""
    lags = np.zeros(eras)
    lags[: len(AUTOCORRELATIONS) + 1] = [1, *AUTOCORRELATIONS]
    distance = np.abs(np.subtract.outer(np.arange(eras), np.arange(eras)))
    return np.random.default_rng(seed).standard_normal((count, eras)) @ np.linalg.cholesky(lags[distance]).T


def test_the_mean_by_hand() -> None:
    series = np.arange(8.0)
    found = significance.mean(series, overlap=1)
    # 0.41 * 8^(2/3) = 1.64: one cosine
    projection = np.sqrt(2 / 8) * sum(x * np.cos(np.pi * (t - 0.5) / 8) for t, x in enumerate(series, 1))
    error = abs(projection) / np.sqrt(8)
    reach = stats.t.ppf(0.975, 1) * error
    assert (found.eras, found.degrees, found.reason) == (8, 1, "")
    np.testing.assert_allclose([found.mean, found.low, found.high], [3.5, 3.5 - reach, 3.5 + reach])
    np.testing.assert_allclose(found.t_hac, 3.5 / error)
    np.testing.assert_allclose(found.probability_positive, stats.t.cdf(3.5 / error, 1))
    assert found.effective_eras == 8


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32), eras=st.integers(40, 200), shift=st.floats(-10, 10), scale=st.floats(1e-3, 1e3))
def test_shift_scale_and_sign_carry_over(seed: int, eras: int, shift: float, scale: float) -> None:
    series = np.random.default_rng(seed).normal(size=eras)
    plain = significance.mean(series, overlap=4)
    moved = significance.mean(shift + scale * series, overlap=4)
    np.testing.assert_allclose([moved.low, moved.high], shift + scale * np.array([plain.low, plain.high]), rtol=1e-9, atol=1e-9)
    turned = paired_difference(np.zeros(eras), series, overlap=4)
    np.testing.assert_allclose([turned.low, turned.high], [-plain.high, -plain.low])
    np.testing.assert_allclose(turned.probability_better, 1 - plain.probability_positive, atol=1e-12)
    assert turned.verdict == (BETTER if turned.low > 0 else WORSE if turned.high < 0 else OPEN)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use few replicates for Sharpe and drawdown, on which no verdict depends."""
    monkeypatch.setattr(significance, "REPLICATES", 10)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("eras", [60, 300])
def test_false_alarms_are_as_many_as_promised_where_eras_overlap(eras: int) -> None:
    series = like_real(1000, eras, eras)
    found = [paired_difference(one, np.zeros(eras), overlap=4) for one in series]
    alarms = np.mean([difference.verdict != OPEN for difference in found])
    independent = np.mean(np.abs(stats.ttest_1samp(series, 0, axis=1).statistic) > stats.t.ppf(0.975, eras - 1))
    assert 0.03 <= alarms <= 0.07
    assert independent > 0.25
    better = np.mean([difference.verdict == BETTER for difference in found])
    assert 0.3 < better / alarms < 0.7


@pytest.mark.usefixtures("quick")
def test_a_real_difference_is_found_and_eras_to_tell_keeps_its_promise() -> None:
    series = 0.4 + like_real(400, 300, 5)
    needed = np.median([significance.eras_to_tell(significance.mean(one, overlap=4)) for one in series])
    assert 100 < needed < 250
    longer = 0.4 + like_real(400, int(needed), 6)
    power = np.mean([paired_difference(one, np.zeros(int(needed)), overlap=4).verdict == BETTER for one in longer])
    assert 0.7 < power < 0.9


def test_effective_eras_are_what_overlapping_scores_are_worth_and_never_more_than_the_eras() -> None:
    assert significance.effective_eras(300, 4) == pytest.approx(300 / (1 + 2 * sum(AUTOCORRELATIONS)), rel=0.05)
    assert [significance.effective_eras(*each) for each in ((288, 12), (300, 1), (1, 1), (5, 12))] == [24, 300, 1, 1]
    back_and_forth = 0.02 * (-1.0) ** np.arange(120) + np.random.default_rng(0).normal(size=120) / 1000
    assert significance.mean(back_and_forth, overlap=1).effective_eras == 120


def test_too_few_eras_equal_scores_and_missing_ones_give_no_number() -> None:
    rng = np.random.default_rng(0)
    few = paired_difference(rng.normal(size=31), rng.normal(size=31), overlap=4)
    assert (few.verdict, few.eras) == (OPEN, 31)
    assert "31 eras" in few.reason
    assert "32" in few.reason
    assert np.isnan([few.low, few.high, few.t_hac, few.probability_better, few.sharpe.low, few.drawdown.high, few.eras_to_tell]).all()
    one = rng.normal(size=64)
    same = paired_difference(one, one, overlap=4)
    assert (same.verdict, same.mean, same.reason) == (OPEN, 0.0, "the scores are the same in every era")
    assert paired_difference(np.ones(64), np.zeros(64), overlap=4).reason == "the scores are all equal"
    holes = one.copy()
    holes[[3, 40]] = np.nan
    assert significance.mean(holes, overlap=4) == significance.mean(np.delete(one, [3, 40]), overlap=4)
    nothing = significance.mean(np.full(50, np.nan), overlap=4)
    assert nothing.eras == 0
    assert np.isnan(nothing.mean)
    with pytest.raises(ValueError, match="scores of 31 and of 30 eras"):
        paired_difference(np.zeros(31), np.zeros(30), overlap=4)


def test_sharpe_and_drawdown_hold_the_truth_about_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "REPLICATES", 500)  # as many pairs: each end moves by a few hundredths of the interval
    series = like_real(200, 300, 2)
    pairs = [(1.0 + one, other) for one, other in zip(series[::2], series[1::2], strict=True)]
    found = [paired_difference(*pair, overlap=4) for pair in pairs]
    assert 0.86 < np.mean([one.sharpe.low < 1.0 < one.sharpe.high for one in found]) < 1.0
    for (better, worse), one in zip(pairs[:20], found, strict=False):
        assert one.drawdown.value == pytest.approx(significance.max_drawdown(better) - significance.max_drawdown(worse))
        assert one.drawdown.low < one.drawdown.high


def test_resampling_is_seeded_in_blocks_and_pairs_stay_together() -> None:
    order = significance.stationary_order(500, 10.0, 400, np.random.default_rng(0))
    assert order.shape == (400, 500)
    assert ((order >= 0) & (order < 500)).all()
    follows = (np.diff(order, axis=1) % 500) == 1
    assert follows.mean() == pytest.approx(0.9, abs=0.01)
    counts = np.bincount(order.ravel(), minlength=500)
    assert counts.std() / counts.mean() < 0.2
    a, b = like_real(2, 200, 3)
    assert paired_difference(a, b, overlap=4, seed=1) == paired_difference(a, b, overlap=4, seed=1)
    assert paired_difference(a, b, overlap=4, seed=1).sharpe != paired_difference(a, b, overlap=4, seed=2).sharpe
    alike = paired_difference(a, a + 1e-12, overlap=4).sharpe
    assert abs(alike.high) < 1e-9


def test_block_length_grows_with_the_overlap() -> None:
    rng = np.random.default_rng(4)
    independent = np.median([significance.block_length(rng.normal(size=300)) for _ in range(50)])
    overlapping = np.median([significance.block_length(one) for one in like_real(50, 300, 4)])
    assert independent < 4 < 7 < overlapping < 20
    assert significance.block_length(np.ones(100)) == 1.0


def test_the_deflated_sharpe_by_hand_and_by_luck() -> None:
    series = 0.05 + np.random.default_rng(7).normal(size=400)
    found = significance.mean(series, overlap=1)
    ratio = series.mean() / series.std()
    skew, kurtosis = stats.skew(series), stats.kurtosis(series, fisher=False)
    scale = np.sqrt(1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2)
    alone = stats.norm.cdf(ratio * np.sqrt(found.effective_eras - 1) / scale)
    assert significance.deflated_sharpe(series, [ratio], overlap=1) == pytest.approx(alone)
    trials = np.random.default_rng(8).normal(0, 0.05, 50)
    expected = (1 - np.euler_gamma) * stats.norm.ppf(1 - 1 / 50) + np.euler_gamma * stats.norm.ppf(1 - 1 / (50 * np.e))
    luck = trials.std(ddof=1) * expected
    deflated = stats.norm.cdf((ratio - luck) * np.sqrt(found.effective_eras - 1) / scale)
    assert significance.deflated_sharpe(series, trials, overlap=1) == pytest.approx(deflated)
    assert deflated < alone
    assert np.isnan(significance.deflated_sharpe(series[:5], trials, overlap=4))


@pytest.mark.parametrize(
    ("eras", "expected"),
    [([], 8), ([5], 8), ([5, 5, 5], 8), ([5, 6, 6, 7], 8), ([5, 9, 13], 2), ([1, 20], 1)],
    ids=["none", "one", "one of several predictions", "weekly", "every fourth", "far apart"],
)
def test_a_target_spans_as_many_eras_as_lie_in_its_weeks(eras: list[int], expected: int) -> None:
    assert spanned_eras(np.array(eras, np.int64), 8) == expected


def halves(eras: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    folds = splits.combinatorial(np.arange(eras), blocks, blocks // 2, 0)
    inside, outside = (np.array([np.isin(np.arange(eras), getattr(fold, part)) for fold in folds]) for part in ("train", "test"))
    return inside, outside


def test_the_best_of_noise_is_overfitted_and_a_better_one_is_not() -> None:
    rng = np.random.default_rng(9)
    noise, cut = rng.normal(size=(160, 20)), halves(160, 8)
    found = [significance.overfitting_probability(rng.normal(size=(160, 20)), *cut) for _ in range(40)]
    assert 0.35 < np.mean(found) < 0.65
    noise[:, 3] += 1
    assert significance.overfitting_probability(noise, *cut) == 0
    assert np.isnan(significance.overfitting_probability(noise[:, :1], *cut))


def test_overfitting_probability_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(10)
    scores = rng.normal(size=(37, 5)) + np.linspace(0, 0.4, 5)
    parts = np.array_split(np.arange(37), 6)
    below = []
    for half in combinations(range(6), 3):
        inside = np.concatenate([parts[k] for k in half])
        outside = np.setdiff1d(np.arange(37), inside)
        ratios = [scores[rows].mean(axis=0) / scores[rows].std(axis=0) for rows in (inside, outside)]
        rank = stats.rankdata(ratios[1])[ratios[0].argmax()]
        below.append(rank <= 3)
    assert significance.overfitting_probability(scores, *halves(37, 6)) == pytest.approx(np.mean(below))


@pytest.mark.skipif(not REAL.exists(), reason="the real series are not part of the repository")
def test_dart_is_not_established_against_gbdt_on_the_real_series() -> None:
    real = pd.read_csv(REAL)
    found = paired_difference(real["lgbm_dart"].to_numpy(), real["lgbm_gbdt"].to_numpy(), overlap=4)
    assert found.verdict == OPEN
    assert 1.5 < found.t_hac < 2.1
    assert found.effective_eras == len(real) / 4
