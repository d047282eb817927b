"""Objectives: one meaning in tables, searches and blends; noise, power, and data that lacks what an objective needs."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from erawise.base.settings import Objective as Name
from erawise.blend.blending import fit_weights
from erawise.blend.settings import Ensemble
from erawise.evaluation import objectives, significance
from erawise.evaluation.objectives import BMC, CORR, MMC, PAYOUT, SHARPE, STAND_IN, Coverage
from erawise.evaluation.significance import BETTER, OPEN, WORSE
from erawise.history import comparison
from erawise.regimes import regimes
from erawise.running.errors import InputError
from erawise.scores.eras import Known, score_eras
from erawise.tuning import search
from erawise.tuning.settings import Tuning

REGIME = regimes.load().named("atomic_ender60")
NAMES = get_args(Name)
ROWS = 80


def panel(seed: int, eras: int = 24) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Draw the rows of some eras: two models with the same CORR, of which `new` alone adds to the meta model and to the benchmark."""
    rng = np.random.default_rng(seed)
    known, fresh, noise, other = rng.normal(size=(4, eras * ROWS))
    target = np.clip(np.round(2 + 0.6 * known + 0.6 * fresh + rng.normal(size=eras * ROWS)), 0, 4) / 4
    index = pd.DataFrame({"id": [f"n{k}" for k in range(eras * ROWS)], "era": np.repeat(np.arange(1, eras + 1), ROWS)})
    columns = {"same": known + 0.02 * noise, "new": fresh + 0.02 * other, "meta_model": known, "benchmark": known + 0.3 * noise}
    return index.assign(target=target), columns


def others(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {MMC: columns["meta_model"].copy(), BMC: columns["benchmark"].copy()}


def aim(name: Name, index: pd.DataFrame, given: dict[str, np.ndarray]) -> objectives.Goal:
    return objectives.goal(name, "tuning.objective", index["era"].to_numpy(), index["target"].to_numpy(), given, REGIME.sums)


def table(index: pd.DataFrame, columns: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> pd.DataFrame:
    known = Known(given.get(MMC), given.get(BMC))
    models = pd.DataFrame({name: columns[name] for name in ("same", "new")})
    return score_eras(models, index["target"].to_numpy(), index["era"].to_numpy(), known, sums=REGIME.sums())


def series(eras: np.ndarray, **scores: np.ndarray) -> pd.DataFrame:
    """Return the table of one prediction, `m`."""
    sums = {"payout": 3 * scores["corr"] + 15 * scores["mmc"], "payout_bmc": 3 * scores["corr"] + 15 * scores["bmc"]}
    return pd.DataFrame({"era": eras, "prediction": "m", **scores, **sums})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gaps", ["whole", "rows", "eras"])
def test_tables_searches_and_blends_mean_the_same_by_a_name(name: Name, gaps: str) -> None:
    index, columns = panel(1, 6)
    given = others(columns)
    if gaps == "rows":
        for values in given.values():
            values[::9] = np.nan
    elif gaps == "eras":
        given[BMC][:ROWS] = np.nan
    goal = aim(name, index, given)
    scored = table(index, columns, given)
    by = objectives.of_tables(name, "--score", [(scored, scored)])
    assert (by.name, by.column, by.statistic) == (goal.objective.name, goal.objective.column, goal.objective.statistic)
    expected = scored.pivot(index="era", columns="prediction", values=by.column)[["same", "new"]].dropna()
    assert len(expected) == (5 if gaps == "eras" and name == BMC else 6)
    for model in ("same", "new"):
        frame = index.assign(prediction=columns[model])[["id", "era", "prediction"]]
        eras, values = objectives.by_era(frame, index, goal)
        assert eras.tolist() == expected.index.tolist()
        np.testing.assert_allclose(values, expected[model], atol=1e-12)
    blends = np.column_stack([columns["same"], columns["new"]])
    found = [era.values(blends[rows], goal.objective.weights) for era, rows in _usable(blends, index, goal)]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def _usable(blends: np.ndarray, index: pd.DataFrame, goal: objectives.Goal) -> list[tuple[objectives.Era, np.ndarray]]:
    eras = objectives.usable_eras(blends, index["era"].to_numpy(), goal)
    first = 6 - len(eras)
    return [(era, (index["era"] == first + k).to_numpy()) for k, era in enumerate(eras, 1)]


def test_mmc_pays_only_if_the_meta_model_covers_every_era_that_is_compared() -> None:
    index, columns = panel(2, 6)
    given = others(columns)
    assert aim(PAYOUT, index, given).objective.weights == {CORR: 3.0, MMC: 15.0}
    given[MMC][:ROWS] = np.nan
    stand_in = aim(PAYOUT, index, given)
    assert (stand_in.objective.column, stand_in.objective.weights) == (STAND_IN, {CORR: 3.0, BMC: 15.0})
    assert set(stand_in.others) == {BMC}
    assert objectives.lines(stand_in, "tuning.objective") == [
        "tuning.objective: payout (BMC for MMC), 3 · CORR + 15 · BMC, in 6 of the 6 eras of cv; the meta model covers 5 of the 6 eras"
    ]
    assert objectives.lines(aim(SHARPE, index, {}), "x") == []
    one, other = table(index, columns, others(columns)), table(index, columns, given)
    assert objectives.of_tables(PAYOUT, "--score", [(one, one)]).column == PAYOUT
    assert objectives.of_tables(PAYOUT, "--score", [(one, one), (one, other)]).column == STAND_IN
    later = one[one["era"] > 1]
    assert objectives.of_tables(PAYOUT, "--score", [(later, other)]).column == PAYOUT, "era 1 isn't compared"
    assert objectives.of_tables(PAYOUT, "--score", [(one.drop(columns=STAND_IN), one)]).column == PAYOUT


@pytest.mark.parametrize(
    ("name", "mmc", "bmc", "message"),
    [
        (
            MMC,
            0,
            6,
            "x: mmc needs the meta model in every era that is compared, and it covers 0 of the 6 eras; set it to bmc",
        ),
        (MMC, 5, 6, "and it covers 5 of the 6 eras; set it to bmc, or to payout, which then has BMC in place of MMC"),
        (
            BMC,
            6,
            0,
            "x: bmc needs a benchmark model, and it covers 0 of the 6 eras that are compared; name another one by",
        ),
        (PAYOUT, 5, 0, "which covers 0 of the 6 eras; name a benchmark model by evaluate.benchmark, or set it to corr"),
    ],
)
def test_data_that_lacks_what_an_objective_needs_is_one_line(name: Name, mmc: int, bmc: int, message: str) -> None:
    index, columns = panel(3, 6)
    given = others(columns)
    given[MMC][mmc * ROWS :] = np.nan
    given[BMC][bmc * ROWS :] = np.nan
    scored = table(index, columns, given)
    for call in (
        lambda: objectives.goal(name, "x", index["era"].to_numpy(), index["target"].to_numpy(), given, REGIME.sums),
        lambda: objectives.of_tables(name, "x", [(scored, scored)]),
        lambda: objectives.objective(name, "x", Coverage(6, {MMC: mmc, BMC: bmc, PAYOUT: mmc, STAND_IN: bmc})),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_data_without_the_predictions_of_others_and_regimes_that_pay_for_features_are_refused() -> None:
    index, columns = panel(4, 6)
    with pytest.raises(InputError, match="it covers 0 of the 6 eras"):
        aim(MMC, index, {})
    with pytest.raises(InputError, match="x: the regime of the payout pays for FNC, which needs every feature"):
        objectives.goal(
            PAYOUT, "x", index["era"].to_numpy(), index["target"].to_numpy(), others(columns), lambda: {PAYOUT: {"fnc": 1.0}, STAND_IN: {}}
        )
    with pytest.raises(ValueError, match="least squares, by which weights: nnls fits, can't raise a Sharpe ratio; set weights to forward"):
        Ensemble(weights="nnls", objective="sharpe")
    assert Ensemble(weights="forward", objective="sharpe").objective == SHARPE


@pytest.mark.parametrize("method", ["nnls", "forward"])
def test_weights_are_fitted_by_the_objective(method: str) -> None:
    index, columns = panel(5)
    models = pd.DataFrame({name: columns[name] for name in ("same", "new")})
    for name in (CORR, MMC, BMC, PAYOUT):
        found = fit_weights(method, models, index["era"].to_numpy(), aim(name, index, others(columns)))
        if name == CORR:
            assert found["new"] == pytest.approx(0.5, abs=0.1)
        elif name == PAYOUT:
            assert 0.6 < found["new"] < 0.95
        else:
            assert found["new"] > 0.8


def test_least_squares_of_mmc_are_those_of_the_target_without_the_meta_model() -> None:
    index, columns = panel(6, 4)
    goal = aim(MMC, index, others(columns))
    models = pd.DataFrame({name: columns[name] for name in ("same", "new")})
    eras = objectives.usable_eras(models.to_numpy(), index["era"].to_numpy(), goal)
    design, outcome = [], []
    for era in eras:
        _, meta = era.others[MMC]
        scaled = 4 * (era.target - era.target.mean())
        design.append(era.gaussian / np.sqrt(ROWS))
        outcome.append((scaled - meta * (meta @ scaled) / (meta @ meta)) / np.sqrt(ROWS))
    best = np.linalg.lstsq(np.vstack(design), np.concatenate(outcome), rcond=None)[0]
    found = list(fit_weights("nnls", models, index["era"].to_numpy(), goal).values())
    np.testing.assert_allclose(found, np.maximum(best, 0) / np.maximum(best, 0).sum(), atol=0.02)


def test_forward_selection_by_sharpe_takes_the_steady_model() -> None:
    rng = np.random.default_rng(7)
    index, columns = panel(7)
    noise = rng.normal(size=(2, len(index)))
    tides = np.repeat(np.where(np.arange(24) % 2, 3.0, -1.0), ROWS)
    models = pd.DataFrame({"steady": columns["same"] + 2 * noise[0], "wild": tides * columns["new"] + noise[1]})
    weights = {name: fit_weights("forward", models, index["era"].to_numpy(), aim(name, index, {})) for name in (CORR, SHARPE)}
    assert weights[SHARPE]["steady"] > weights[CORR]["steady"] + 0.1


def test_equal_predictions_have_a_winner_at_the_nominal_rate_at_most() -> None:
    """Draw two equal runs of four models, whose scores overlap in time, and compare them by every objective."""
    rng, eras, overlap, models, draws = np.random.default_rng(8), 144, 4, 4, 250
    found = {name: np.zeros(2) for name in NAMES}
    for _ in range(draws):
        drawn = rng.normal(size=(3, 2 * models, eras + overlap - 1))
        smooth = np.sum([drawn[..., k : k + eras] for k in range(overlap)], axis=0)
        corr, mmc, bmc = 0.02 + 0.015 * smooth[0], 0.005 + 0.005 * smooth[1], 0.005 + 0.005 * smooth[2]
        values = {CORR: corr, SHARPE: corr, MMC: mmc, BMC: bmc, PAYOUT: 3 * corr + 15 * mmc}
        for name, scores in values.items():
            by = objectives.statistic(name)
            tests = [significance.mean(significance.differences(scores[k], scores[models + k], by), overlap=overlap) for k in range(models)]
            verdicts = [test.verdict for test in tests]
            adjusted = map(significance.verdict_after, verdicts, significance.holm([test.p_value for test in tests]))
            found[name] += [sum(verdict != OPEN for verdict in verdicts) / models, any(verdict != OPEN for verdict in adjusted)]
    for name, (alone, any_of_them) in found.items():
        assert alone / draws < 0.075, name
        assert any_of_them / draws < 0.075, name


def runs(seed: int) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Draw two runs: the later one has more MMC, and no more CORR."""
    rng, eras = np.random.default_rng(seed), np.arange(1, 161)
    corr, mmc, bmc = 0.02 + 0.02 * rng.normal(size=160), 0.004 + 0.006 * rng.normal(size=160), 0.003 + 0.006 * rng.normal(size=160)
    before = {"corr": corr, "mmc": mmc, "bmc": bmc}
    noise, gain = 0.01 * rng.normal(size=(2, 160)), 0.003 + 0.004 * rng.normal(size=160)
    after = {"corr": corr + noise[0], "mmc": mmc + gain, "bmc": bmc + noise[1]}
    return {"cv": series(eras, **before)}, {"cv": series(eras, **after)}


def test_a_gain_of_mmc_alone_is_found_by_mmc_and_payout_and_not_by_corr() -> None:
    found: dict[str, list[str]] = {name: [] for name in NAMES}
    for seed in range(4):
        before, after = runs(seed)
        for name in NAMES:
            by = objectives.of_tables(name, "--score", [(before["cv"], after["cv"])])
            found[name].append(comparison.compare(before, after, 20, by=by)["verdict_holm"].iloc[0])
    for name in (MMC, PAYOUT):
        assert found[name].count(BETTER) == 4, name
    for name in (CORR, SHARPE, BMC):
        assert found[name].count(BETTER) <= 1, name


@pytest.mark.parametrize(("name", "best"), [(CORR, 1), (SHARPE, 2), (PAYOUT, 3)])
def test_a_search_chooses_the_trial_that_is_best_by_the_objective(name: Name, best: int) -> None:
    """Give trials the scores that `by_era` would return, which is all that a search knows of an objective."""
    rng, eras = np.random.default_rng(9), np.arange(1, 161)
    noise = 0.01 * rng.normal(size=160)
    corr = {0: 0.02 + noise, 1: 0.03 + 4 * noise, 2: 0.025 + 0.2 * noise, 3: 0.02 + noise}
    mmc = {0: 0.0 * noise, 1: 0.0 * noise, 2: 0.0 * noise, 3: 0.01 + 0.1 * noise}
    values = {number: 3 * corr[number] + 15 * mmc[number] if name == PAYOUT else corr[number] for number in corr}
    default, *trials = [search.Trial({"x": number} if number else {}, [(eras, values[number])]) for number in corr]
    given = {"method": "tpe", "trials": 3, "objective": name, "penalty": 0.0, "halving": None, "batch": 1, "seed": 1, "models": []}
    content = search.result(search.Found(default, trials, 0), Tuning.model_validate(given), 4)
    assert (content["settings"], content["by"]) == ({"x": best}, name)
    assert content["against_default"]["verdict_holm"] == BETTER
    assert f"x {best}: {objectives.LABELS[name]} +" in search.sentence(content)


def test_sharpe_ratios_are_compared_by_values_whose_mean_they_are() -> None:
    rng = np.random.default_rng(10)
    a, b = rng.normal(0.03, 0.02, 200), rng.normal(0.01, 0.02, 200)
    b[3] = np.nan
    known = np.isfinite(b)
    found = significance.differences(a, b, "sharpe")
    assert np.isnan(found[3])
    assert np.nanmean(found) == pytest.approx(a[known].mean() / a[known].std() - b[known].mean() / b[known].std())
    assert significance.paired_difference(a, b, overlap=4, statistic="sharpe").verdict == BETTER
    assert significance.paired_difference(b, a, overlap=4, statistic="sharpe").verdict == WORSE
    scaled = significance.paired_difference(a, 3 * a, overlap=4, statistic="sharpe")
    assert (scaled.mean, scaled.verdict) == (0, OPEN)
    assert np.isnan(significance.differences(a, np.ones(200), "sharpe")).all()


def test_holm_by_hand() -> None:
    nan = float("nan")
    assert significance.holm([0.01, 0.04, 0.03, nan]) == pytest.approx([0.03, 0.06, 0.06, nan], nan_ok=True)
    assert significance.holm([0.5, 0.9]) == [1.0, 1.0]
    assert significance.holm([]) == []
    assert [significance.verdict_after(BETTER, p) for p in (0.05, 0.051, nan)] == [BETTER, OPEN, OPEN]
