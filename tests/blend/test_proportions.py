"""The chosen proportion of neutralization: equal to a plain loop over official scores, and without a fold's own test eras."""

import numpy as np
import pandas as pd
import pytest
from numerai_tools import scoring
from numpy.typing import NDArray

from erawise.blend import neutralization, proportions
from erawise.blend.neutralization import Parts
from erawise.blend.proportions import GRID, STAND_IN, Outcomes
from erawise.folds.settings import Split
from erawise.folds.splits import Plan, plan

ROWS, ERAS = 50, 24
SUMS = {STAND_IN: {"corr": 3.0, "bmc": 15.0}}
FOLDS = plan(np.arange(1, ERAS + 1), np.array([ERAS + 20]), 20, Split(method="purged_kfold", folds=2, chunk=4, window=None))
CV = np.repeat(np.arange(ERAS + 1), ROWS) < ERAS


def market(seed: int = 3) -> tuple[Parts, dict[int, NDArray], NDArray, Outcomes]:
    """Return a prediction whose linear part pays in the first half of the train eras and costs in the second, with validation rows."""
    rng = np.random.default_rng(seed)
    era = np.repeat([*FOLDS.train, *FOLDS.validation], ROWS)
    features = {int(number): rng.integers(0, 5, (ROWS, 4)).astype(np.int8) for number in np.unique(era)}
    linear = np.concatenate([block @ np.array([1.0, -1.0, 0.5, 0.2]) for block in features.values()])
    own = rng.normal(size=len(era))
    signal = 0.5 * own + 0.4 * np.where(era <= ERAS // 2, linear, -linear) + rng.normal(size=len(era))
    target = pd.Series(signal).groupby(era).rank(pct=True).to_numpy().round(1)
    target[~CV] = np.nan
    benchmark = 0.5 * own + rng.normal(size=len(era))
    prediction = own + linear + 0.5 * rng.normal(size=len(era))
    parts = neutralization.split_eras(prediction, era, features.__getitem__)
    return parts, features, prediction, Outcomes(target, benchmark, SUMS)


def by_loop(features: dict[int, NDArray], prediction: NDArray, outcomes: Outcomes, eras: NDArray, era: NDArray) -> pd.DataFrame:
    """Return 3 · CORR + 15 · BMC of each proportion in each of some eras, all by the official package."""
    assert outcomes.benchmark is not None
    found = {}
    for number in eras:
        rows = era == number
        gaussian = scoring.gaussian(scoring.tie_kept_rank(pd.DataFrame({"p": prediction[rows]})))
        names = [f"p{k}" for k in range(len(GRID))]
        neutral = [scoring.neutralize(gaussian, pd.DataFrame(features[int(number)]), proportion) for proportion in GRID]
        both = pd.concat(neutral, axis=1).set_axis(names, axis=1)
        target = pd.Series(outcomes.target[rows], name="target")
        bmc = scoring.correlation_contribution(both, pd.Series(outcomes.benchmark[rows], name="b"), target)
        found[number] = 3 * scoring.numerai_corr(both, target) + 15 * bmc
    return pd.DataFrame(found)


def test_the_choice_is_that_of_a_plain_loop_over_official_scores() -> None:
    parts, features, prediction, outcomes = market()
    overall, of_folds, neutral = proportions.choose(parts, CV, outcomes, FOLDS)
    scores = by_loop(features, prediction, outcomes, FOLDS.train, parts.era)
    for found, eras in zip((overall, *of_folds), (FOLDS.train, *(fold.train for fold in FOLDS.folds)), strict=True):
        expected = scores[list(eras)].mean(axis=1).tolist()
        assert list(found.means.values()) == pytest.approx(expected, abs=1e-6)
        assert found.proportion == GRID[int(np.argmax(expected))]
        assert (found.by, found.eras) == ("payout_bmc", len(eras))
    assert [one.proportion for one in of_folds] == [1.0, 0.0], "fold 1 is tested where the linear part pays, and has seen where it costs"
    taken = np.where(np.isin(parts.era, FOLDS.folds[0].test), 1.0, np.where(CV, 0.0, overall.proportion))
    for proportion in np.unique(taken):
        whole = neutralization.neutralize_eras(prediction, parts.era, features.__getitem__, float(proportion))
        np.testing.assert_array_equal(neutral[taken == proportion], whole[taken == proportion])


def test_a_fold_with_features_of_its_own_chooses_by_these_on_its_training_eras() -> None:
    parts, features, prediction, outcomes = market()
    narrow = {number: block[:, :1] for number, block in features.items()}
    own = (features, narrow)

    def learned(fold: int, rows: NDArray[np.bool_]) -> Parts:
        return neutralization.split_eras(prediction[rows], parts.era[rows], own[fold].__getitem__)

    _, of_folds, neutral = proportions.choose(parts, CV, outcomes, FOLDS, learned)
    for fold, found, blocks in zip(FOLDS.folds, of_folds, own, strict=True):
        expected = by_loop(blocks, prediction, outcomes, fold.train, parts.era).mean(axis=1)
        assert list(found.means.values()) == pytest.approx(expected.tolist(), abs=1e-6)
        tested = CV & np.isin(parts.era, fold.test)
        np.testing.assert_array_equal(neutral[tested], parts.without(found.proportion)[tested])


@pytest.mark.parametrize("number", [0, 1])
def test_a_folds_choice_does_not_see_its_own_test_eras(number: int) -> None:
    parts, _, _, outcomes = market()
    _, before, neutral = proportions.choose(parts, CV, outcomes, FOLDS)
    own = np.isin(parts.era, [*FOLDS.folds[number].test, *FOLDS.folds[number].purged])
    assert outcomes.benchmark is not None
    other = Outcomes(np.where(own, 1 - outcomes.target, outcomes.target), np.where(own, -outcomes.benchmark, outcomes.benchmark), SUMS)
    _, after, again = proportions.choose(parts, CV, other, FOLDS)
    assert after[number] == before[number]
    tested = CV & np.isin(parts.era, FOLDS.folds[number].test)
    np.testing.assert_array_equal(again[tested], neutral[tested])
    assert after[1 - number].means != before[1 - number].means


def said(outcomes: Outcomes, parts: Parts, folds: Plan = FOLDS) -> list[str]:
    overall, of_folds, _ = proportions.choose(parts, CV, outcomes, folds)
    return proportions.lines(proportions.content(overall, of_folds, "3 · CORR + 15 · BMC (mine)"))


def test_what_was_chosen_is_said_with_its_means() -> None:
    parts, _, _, outcomes = market()
    (line,) = said(outcomes, parts)
    assert line.startswith("neutralize.proportion: auto has chosen ")
    assert " on cv, and for each fold, without its test eras, 1, 0; by the mean over 24 eras of the payout's stand-in 3 · CORR + 15" in line
    assert proportions.lines(None) == []


@pytest.mark.parametrize("benchmark", [None, np.full(len(CV), np.nan)], ids=["none", "no predictions"])
def test_without_a_benchmark_corr_alone_decides_and_that_is_said(benchmark: NDArray | None) -> None:
    parts, _, _, outcomes = market()
    first, second = said(Outcomes(outcomes.target, benchmark, SUMS), parts)
    assert "; by mean CORR only, over 24 eras: 0: " in first
    assert second == "no era of cv has the payout's stand-in 3 · CORR + 15 · BMC (mine)"


def test_a_fold_decides_by_corr_if_only_its_own_eras_have_a_benchmark() -> None:
    parts, _, _, outcomes = market()
    assert outcomes.benchmark is not None
    late = np.where(parts.era > ERAS // 2, outcomes.benchmark, np.nan)
    lines = said(Outcomes(outcomes.target, late, SUMS), parts)
    assert "by the mean over 12 eras of the payout's stand-in" in lines[0]
    assert lines[1:] == ["neutralize.proportion: by mean CORR only for fold 2"]


def test_a_fold_without_any_prediction_to_learn_from_keeps_the_ensemble_as_it_is() -> None:
    parts, _, _, outcomes = market()
    forward = plan(FOLDS.train, FOLDS.validation, 20, Split(method="walk_forward", folds=2, chunk=12, window=None))
    target = np.where(parts.era > 12, outcomes.target, np.nan)
    overall, of_folds, _ = proportions.choose(parts, CV, Outcomes(target, outcomes.benchmark, SUMS), forward)
    lines = proportions.lines(proportions.content(overall, of_folds, "x"))
    assert of_folds[0] == proportions.Choice(0.0, "corr", 0, {})
    assert lines[-1] == "neutralize.proportion: 0 for fold 1, no training era of which has a prediction"


def test_all_of_the_linear_part_is_no_choice_if_nothing_would_be_left() -> None:
    parts, features, prediction, outcomes = market()
    second = parts.era == 2
    emptied = np.where(second, np.concatenate(list(features.values()))[:, 0], prediction)
    split = neutralization.split_eras(emptied, parts.era, features.__getitem__)
    exact = Parts(split.era, split.gaussian, np.where(second, 0.0, split.left), split.width)
    overall, _, _ = proportions.choose(exact, CV, outcomes, FOLDS)
    assert list(overall.means) == ["0.0", "0.25", "0.5", "0.75"]
