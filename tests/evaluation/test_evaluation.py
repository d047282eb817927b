"""Predictions joined and laid along rows, scored by split, and summed up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numerai_tools import scoring
from panels import write_panel

from erawise import predictions
from erawise.base import files
from erawise.base.schema import LIVE_ERA
from erawise.evaluation import evaluation, summary
from erawise.history import overview
from erawise.panel.panel import Panel
from erawise.running import terminal
from erawise.running.errors import InputError
from erawise.scores.eras import SCORES

RNG = np.random.default_rng(5)
UNUSED = [name for name in SCORES if name not in ("corr", "mmc", "bmc")]


def table(rows: list[tuple[str, int | None, str, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["id", "era", "split", "prediction"])
    return frame.astype({"era": "Int64"})


def test_join_keeps_what_all_have_and_sorts() -> None:
    a = table([("b", 2, "cv", 0.2), ("a", 2, "cv", 0.1), ("x", None, "live", 0.3), ("v", 9, "validation", 0.4)])
    b = table([("a", 2, "cv", 0.5), ("b", 2, "cv", 0.6), ("x", None, "live", 0.7)])
    joined = predictions.join({"one": a, "two": b})
    assert joined.to_dict("list") == {
        "id": ["a", "b", "x"],
        "era": [2, 2, LIVE_ERA],
        "split": ["cv", "cv", "live"],
        "one": [0.1, 0.2, 0.3],
        "two": [0.5, 0.6, 0.7],
    }
    stored = predictions.table(joined, joined["one"].to_numpy())
    assert stored["era"].isna().tolist() == [False, False, True]


def test_join_without_common_rows() -> None:
    with pytest.raises(InputError, match="one, two have no row in common"):
        predictions.join({"one": table([("a", 2, "cv", 0.1)]), "two": table([("b", 2, "cv", 0.1)])})


def test_along_matches_by_era_and_id() -> None:
    rows = pd.DataFrame({"id": ["a", "b", "a"], "era": [1, 1, 2]})
    found = predictions.along(rows, table([("a", 2, "cv", 0.2), ("a", 1, "cv", 0.1)]), ["prediction"])[:, 0]
    assert found[[0, 2]].tolist() == [0.1, 0.2]
    assert np.isnan(found[1])


def test_along_rows_of_any_order_gives_the_same() -> None:
    rows = pd.DataFrame({"id": ["a", "b", "a", "x"], "era": [1, 1, 2, LIVE_ERA]})
    frame = table([("a", 1, "cv", 0.1), ("b", 1, "cv", np.nan), ("a", 2, "cv", 0.3), ("x", None, "live", 0.4)]).assign(more=range(4))
    expected = [[0.1, 0], [np.nan, 1], [0.3, 2], [0.4, 3]]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        np.testing.assert_array_equal(predictions.along(rows, frame.iloc[order], ["prediction", "more"]), expected)
    assert np.isnan(predictions.along(rows.assign(era=[1, 1, 3, LIVE_ERA]), frame, ["more"])[2, 0]), "the same ids in another era"
    assert np.isnan(predictions.along(rows.assign(id=["a", "c", "a", "x"]), frame, ["more"])[1, 0]), "another id in the same eras"


@pytest.fixture
def panel(tmp_path: Path) -> Panel:
    era = np.repeat(np.arange(1, 13), 40)
    features = RNG.integers(0, 5, (480, 3)).astype(np.int8)
    target = np.where(era <= 8, RNG.integers(0, 5, 480) / 4, np.nan)
    write_panel(tmp_path, features, {"target": target}, era)
    index = pd.read_parquet(tmp_path / "index.parquet")
    index.loc[index["era"] > 8, "data_type"] = "validation"
    index.to_parquet(tmp_path / "index.parquet", index=False)
    return Panel(tmp_path)


def test_known_targets_come_from_the_index_and_from_aside(panel: Panel) -> None:
    rows = panel.index["data_type"] == "validation"
    aside = panel.index.loc[rows, ["id", "era"]].assign(target=np.linspace(0, 1, rows.sum())).sample(frac=1, random_state=2)
    known = predictions.known_targets(panel, aside, "target")
    assert np.array_equal(known[~rows], panel.index.loc[~rows, "target"])
    assert np.allclose(known[rows], np.linspace(0, 1, rows.sum()))


def test_a_split_is_scored_on_the_eras_that_have_predictions(panel: Panel) -> None:
    rows = panel.index[panel.index["era"].between(3, 8)]
    perfect = rows[["id", "era"]].assign(split="cv", prediction=rows["target"] + 0.0)
    partial = perfect[perfect["era"] > 5].assign(prediction=lambda frame: -frame["prediction"])
    frames = {"perfect": perfect.sample(frac=1, random_state=1), "reverse": partial}
    target = panel.index["target"].to_numpy(np.float64)
    references = panel.index[["id", "era"]].assign(some_benchmark=np.float32(0.5))
    outcomes = evaluation.Outcomes(target, references, "some_benchmark")
    scores, exposure = evaluation.score_split("cv", frames, panel, outcomes, {})
    corr = scores.pivot(index="era", columns="prediction", values="corr")
    assert corr.index.tolist() == [3, 4, 5, 6, 7, 8]
    assert (corr["perfect"] > 0.9).all()
    assert corr["reverse"].isna().tolist() == [True] * 3 + [False] * 3
    assert (corr["reverse"].dropna() < -0.9).all()
    assert not [name for name in scores.columns if name.endswith("_all")]
    assert exposure["group"].unique().tolist() == ["all"]
    assert exposure.columns.tolist() == ["split", "era", "prediction", "group", "max_abs", "rms"]
    known = scores.dropna(subset=["exposure_max"])
    assert (
        exposure[["era", "prediction", "max_abs", "rms"]].to_numpy().tolist()
        == known[["era", "prediction", "exposure_max", "exposure_rms"]].to_numpy().tolist()
    )


def test_exposure_by_group_equals_numpy(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    era = np.repeat([1, 2], 60)
    features = rng.integers(0, 5, (120, 6)).astype(np.int8)
    features[:60, 5] = 3
    sets = {"all": [f"feature_{k}" for k in range(6)], "wisdom": ["feature_1", "feature_4", "feature_9"], "faith": ["feature_5"]}
    found = write_panel(tmp_path, features, {"target": rng.integers(0, 5, 120) / 4}, era, feature_sets=sets)
    frame = found.index[["id", "era"]].assign(split="cv", prediction=features[:, 4] + rng.normal(size=120))
    target = found.index["target"].to_numpy(np.float64)
    outcomes = evaluation.Outcomes(target, found.index[["id", "era"]], None)
    _, exposure = evaluation.score_split("cv", {"one": frame}, found, outcomes, {})
    assert exposure[["era", "group"]].to_numpy().tolist() == [[1, "wisdom"], [2, "wisdom"], [2, "faith"], [1, "all"], [2, "all"]]
    for row in exposure.itertuples():
        columns = {"wisdom": [1, 4], "faith": [5], "all": [0, 1, 2, 3, 4] if row.era == 1 else range(6)}[str(row.group)]
        rows = (era == row.era).nonzero()[0]
        prediction = frame["prediction"].to_numpy()[rows]
        corr = np.array([np.corrcoef(features[rows, k], prediction)[0, 1] for k in columns])
        assert row.max_abs == pytest.approx(np.abs(corr).max(), abs=1e-12)
        assert row.rms == pytest.approx(np.sqrt(np.mean(corr**2)), abs=1e-12)


@pytest.mark.parametrize("name", ["fncv3", "fncv3_features"])
@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_fnc_is_also_against_the_set_of_numerais_own(tmp_path: Path, dtype: type, name: str) -> None:
    rng = np.random.default_rng(5)
    era = np.repeat([1, 2, 3], 50)
    features = rng.integers(0, 5, (150, 6)).astype(dtype) / (4 if dtype == np.float32 else 1)
    features = features.astype(dtype)
    names, some = [f"feature_{k}" for k in range(6)], [4, 1, 2]
    target = rng.integers(0, 5, 150) / 4
    sets = {"all": names, name: [names[k] for k in some]}
    found = write_panel(tmp_path / "all", features, {"target": target}, era, feature_sets=sets)
    frame = found.index[["id", "era"]].assign(split="cv", prediction=features.sum(axis=1) + target + rng.normal(size=150))
    outcomes = evaluation.Outcomes(target, found.index[["id", "era"]], None)

    def scored(panel: Panel) -> pd.DataFrame:
        return evaluation.score_split("cv", {"one": frame}, panel, outcomes, {})[0]

    scores = scored(found)
    few = [names[k] for k in some]
    alone = write_panel(tmp_path / "few", np.ascontiguousarray(features[:, some]), {"target": target}, era, names=few)
    assert scores["fncv3"].to_numpy() == pytest.approx(scored(alone)["fnc"].to_numpy(), abs=1e-12)
    for number, rows in enumerate(scores.itertuples()):
        own = slice(50 * number, 50 * number + 50)
        part = pd.DataFrame({"one": frame["prediction"].to_numpy()[own]})
        official = scoring.feature_neutral_corr(
            part, pd.DataFrame(features[own][:, some], columns=few), pd.Series(target[own], name="target")
        )
        assert rows.fncv3 == pytest.approx(official.iloc[0], abs=1e-10)
    assert summary.summarize(scores, 20)["one"]["fncv3"]["mean"] == pytest.approx(scores["fncv3"].mean(), abs=1e-6)
    assert not {"fncv3"} & set(evaluation.absent(scores, outcomes.references, None))
    assert evaluation.absent(scores.assign(fncv3=np.nan), outcomes.references, None)["fncv3"].startswith("no era has a feature")


@pytest.mark.parametrize(
    ("sets", "sizes"),
    [
        ({"all": 6}, {}),
        ({"all": 6, "fncv3": 6}, {}),
        ({"all": 6, "fncv3": 3}, {"fncv3": 4}),
        ({"all": 6, "fncv3": 0}, {"fncv3": 4}),
    ],
    ids=["no such set", "the matrix is the set", "one of its features is not in the matrix", "none of its features is in the matrix"],
)
def test_there_is_no_fnc_of_numerais_own_without_the_set(tmp_path: Path, sets: dict[str, int], sizes: dict[str, int]) -> None:
    rng = np.random.default_rng(6)
    given = {name: [f"feature_{k}" for k in range(count)] for name, count in sets.items()}
    write_panel(
        tmp_path, rng.integers(0, 5, (40, 6)).astype(np.int8), {"target": np.arange(40) % 5 / 4}, np.repeat([1, 2], 20), feature_sets=given
    )
    content = files.read_json(tmp_path / "features.json")
    files.write_json(content | {"set_sizes": content["set_sizes"] | sizes}, tmp_path / "features.json")
    found = Panel(tmp_path)
    frame = found.index[["id", "era"]].assign(split="cv", prediction=rng.normal(size=40))
    outcomes = evaluation.Outcomes(np.arange(40) % 5 / 4, found.index[["id", "era"]], None)
    scores, exposure = evaluation.score_split("cv", {"one": frame}, found, outcomes, {})
    assert "fncv3" not in scores.columns
    assert exposure["group"].unique().tolist() == ["all"]
    assert "fncv3" not in summary.summarize(scores, 20)["one"]


V53 = ["v53_lgbm_ender20", "v53_lgbm_ender60"]
V52 = [f"v52_lgbm_{name}{days}" for days in (20, 60) for name in ("cyrusd", "teager2b", "ender")]


@pytest.mark.parametrize(
    ("columns", "target", "days", "expected"),
    [
        (V53, "target_ender_60", 60, "v53_lgbm_ender60"),
        (V53, "target_ender_20", 20, "v53_lgbm_ender20"),
        (V52, "target_ender_60", 60, "v52_lgbm_ender60"),
        (V52, "target_teager2b_20", 20, "v52_lgbm_teager2b20"),
        (V52, "target_jeremy_60", 60, "v52_lgbm_cyrusd60"),
        (V52, "target", 60, "v52_lgbm_cyrusd60"),
        (V53[:1], "target_ender_60", 60, None),
        (["b_one", "b_two"], "target_ender_60", 60, "b_one"),
        (["model120", *V53[:1], "b_two"], "target", 60, "model120"),
        ([], "target", 20, None),
    ],
)
def test_the_benchmark_is_that_of_the_main_targets_horizon_and_name(
    columns: list[str], target: str, days: int, expected: str | None
) -> None:
    assert evaluation.benchmark_column(columns, None, target, days) == expected


def test_a_benchmark_that_is_named_is_taken_or_missed() -> None:
    references = pd.DataFrame(columns=["id", "era", "numerai_meta_model", "oracle", *V53])
    assert evaluation.benchmarks(references) == V53
    assert evaluation.benchmark_column(V53, V53[0], "target_ender_60", 60) == V53[0]
    with pytest.raises(InputError, match=r"the data has no benchmark model 'x'; it has v53_lgbm_ender20, v53_lgbm_ender60"):
        evaluation.benchmark_column(V53, "x", "target", 20)


def evaluated(days: int, equal: str | None, benchmark: str | None, others: list[str]) -> evaluation.Evaluated:
    pays = evaluation.Pays("atomic_ender60", 60, "3 · CORR + 15 · MMC", "3 · CORR + 15 · BMC")
    early = "target_ender_20" if days == 60 and equal else None
    return evaluation.Evaluated("target", days, equal, early, pays, benchmark, others, {}, {}, {})


PAYOUT = (
    "payout: of atomic_ender60, 3 · CORR + 15 · MMC before its factor and clip; "
    "stand-in (payout_bmc), also for eras without a meta model: 3 · CORR + 15 · BMC"
)


def test_what_is_main_early_and_paid_and_which_benchmark_was_taken_is_said() -> None:
    assert evaluation.lines(evaluated(60, "target_ender_60", V53[1], V53), None) == [
        "main: target, which equals target_ender_60, 60 trading days; early: target_ender_20, 20 days, one more figure; "
        "pays: 60 days since round 1343, the same",
        PAYOUT,
        "BMC is against v53_lgbm_ender60, chosen of v53_lgbm_ender20, v53_lgbm_ender60 for a target of 60 trading days",
    ]
    assert evaluation.lines(evaluated(20, None, V53[1], V53), V53[1]) == [
        "main: target, 20 trading days (early); pays: 60 days since round 1343, not these scores",
        PAYOUT,
        "atomic_ender60 pays for scores of 60 trading days, and these are of 20: no round pays so",
        "BMC is against v53_lgbm_ender60, as evaluate.benchmark says",
    ]
    assert evaluation.lines(evaluated(60, None, None, V53[:1]), None)[2:] == [
        "no BMC: no benchmark model is of 60 trading days; the data has v53_lgbm_ender20: evaluate.benchmark may name one"
    ]


def test_diagnostics_look_at_the_neutralized_ensemble() -> None:
    metrics = {"neutralized": {"corr": {"mean": 0.02}}, "ridge": {"corr": {"mean": 0.5}}}
    assert evaluation.diagnostics(metrics, 0.02) == {"passes": 1}
    assert evaluation.diagnostics(metrics, 0.021) == {"passes": 0}
    assert evaluation.diagnostics({"neutralized": {"eras": 0}}, 0.0) == {}


def test_the_headline_is_of_the_last_prediction_and_of_the_best() -> None:
    def block(corr: float, **eras: int) -> dict:
        figures = {name: {"mean": corr / 2, "eras": count} for name, count in eras.items()}
        return {"corr": {"mean": corr, "sharpe": 1.0, "max_drawdown": 0.5}, **figures}

    metrics = {"ridge": block(0.05, bmc=9, payout_bmc=9), "neutralized": block(0.02, bmc=9, payout_bmc=9, mmc=2, payout=2)}
    own = {"corr": 0.02, "sharpe": 1.0, "bmc": 0.01, "payout": 0.01, "drawdown": 0.5}
    best = {"name": "ridge", "corr": 0.05, "sharpe": 1.0, "bmc": 0.025, "payout": 0.025, "drawdown": 0.5}
    assert evaluation.headline(metrics) == own | {"best": best}
    assert evaluation.headline({"neutralized": block(0.02, mmc=9, payout=9, bmc=9)})["mmc"] == 0.01
    assert evaluation.headline({"neutralized": {"eras": 0}}) == {}


def test_the_overview_of_no_era_has_no_row() -> None:
    assert not overview.sheet({"diagnostics": {}}).rows


def test_the_overview_names_the_regime_and_marks_what_is_early_and_a_stand_in() -> None:
    block = {"corr": {"mean": 0.02}, "early": {"mean": 0.03}, "payout": {"mean": 0.135}, "payout_bmc": {"mean": 0.2}, "eras": 10}
    found = overview.sheet({"ridge": block, "regime": {"atomic_ender60": {"corr": 3.0, "mmc": 15.0}}})
    assert terminal.markdown(found).splitlines() == [
        "| prediction | CORR | CORR20, early | payout (atomic_ender60) | stand-in (atomic_ender60) | eras |",
        "|---|---:|---:|---:|---:|---:|",
        "| ridge | 0.0200 | 0.0300 | 0.1350 | 0.2000 | 10 |",
    ]


@pytest.mark.parametrize(
    ("target", "days", "expected"),
    [
        ("target_ender_60", 60, "target_ender_20"),
        ("target_ender_20", 20, None),
        ("target_jeremy_60", 60, None),
        ("mine", 60, None),
    ],
)
def test_the_early_target_is_the_sibling_of_20_days(target: str, days: int, expected: str | None) -> None:
    assert evaluation.early_target(target, days, ["target", "target_ender_20", "target_ender_60"]) == expected


@pytest.mark.parametrize(
    ("target", "days", "found"),
    [("target_a_60", 20, "target_a_20"), ("target_a_20", 60, "target_a_60"), ("target_b_60", 20, None), ("target", 20, None)],
)
def test_the_sibling_of_a_target_has_its_name_and_another_horizon(target: str, days: int, found: str | None) -> None:
    assert evaluation.sibling(target, days, ["target", "target_a_20", "target_a_60", "target_c_20"]) == found


def test_the_overview_leaves_out_what_no_prediction_has() -> None:
    metrics = {
        "ridge": {"corr": {"mean": 0.0213, "sharpe": 1.234}, "ceiling_share": 0.456, "eras": 10},
        "flat": {"eras": 0},
        "diagnostics": {"passes": 1},
    }
    assert terminal.markdown(overview.sheet(metrics)).splitlines() == [
        "| prediction | CORR | Sharpe | of the ceiling | eras |",
        "|---|---:|---:|---:|---:|",
        "| ridge | 0.0213 | 1.23 | 46% | 10 |",
        "| flat | – | – | – | 0 |",
    ]


def by_era(corr: dict[str, list[float]], mmc_from: int = 1) -> pd.DataFrame:
    """Return scores of eras from 1 on; MMC is half of CORR from one era on, BMC a third of it everywhere."""
    rows = [(era, name, value) for name, values in corr.items() for era, value in enumerate(values, 1)]
    table = pd.DataFrame(rows, columns=["era", "prediction", "corr"])
    return table.assign(mmc=(table["corr"] / 2).where(table["era"] >= mmc_from), bmc=table["corr"] / 3)


def test_parts_are_halves_in_time_and_the_eras_of_the_meta_model() -> None:
    found = summary.parts(by_era({"a": [0.01, 0.03, 0.02, 0.04, 0.06], "b": [0.1, 0.1, 0.0, 0.0, 0.0]}, mmc_from=3))
    assert found["a"]["parts"] == {
        "whole": {"corr": 0.032, "bmc": 0.010667, "sharpe": 1.859962, "eras": 5},
        "first_half": {"corr": 0.02, "bmc": 0.006667, "sharpe": 2.0, "eras": 2},
        "second_half": {"corr": 0.04, "mmc": 0.02, "bmc": 0.013333, "sharpe": 2.44949, "eras": 3},
        "with_meta_model": {"corr": 0.04, "mmc": 0.02, "bmc": 0.013333, "sharpe": 2.44949, "eras": 3},
    }
    assert found["b"]["parts"]["first_half"] == {"corr": 0.1, "bmc": 0.033333, "eras": 2}


def test_parts_hold_only_eras_that_all_predictions_have_and_leave_out_one_with_few() -> None:
    nan = np.nan
    scores = {"a": [0.1, 0.2, 0.3, 0.4, 0.5], "late": [nan, 0.1, 0.2, 0.3, 0.5], "few": [nan, nan, 0.1, 0.2, 0.3], "constant": [nan] * 5}
    table = by_era(scores, mmc_from=9)
    found = summary.parts(table.sample(frac=1, random_state=1))
    assert found.keys() == {"a", "late"}
    assert {part: block["eras"] for part, block in found["a"]["parts"].items()} == {"whole": 4, "first_half": 2, "second_half": 2}
    assert found["a"]["parts"]["whole"]["corr"] == 0.35
    assert found == summary.parts(table[table["prediction"].isin(["a", "late"])])
    assert summary.parts(by_era({"a": [0.1], "b": [0.2]})) == {}


def test_the_easier_half_is_named_and_figures_stand_beside_each_other() -> None:
    found = summary.parts(by_era({"a": [0.01, 0.02, 0.03, 0.04], "b": [0.1, 0.1, 0.0, 0.0]}, mmc_from=2))
    metrics = {name: {"corr": {}, "eras": 4, **block} for name, block in found.items()} | {"diagnostics": {}}
    assert overview.halves(metrics) == (
        "The first half was easier: the mean CORR of all predictions is 0.0575 in the first half and 0.0175 in the second. So compare "
        "predictions within a column, never across. All have the same 4 eras: 2 and 2 are the halves, and 3 have a meta model."
    )
    table = overview.parts(metrics)
    assert [column.heading for column in table.columns][:5] == [
        "prediction",
        "CORR, all eras",
        "CORR, first half",
        "CORR, second half",
        "CORR, with a meta model",
    ]
    assert table.rows[0][:5] == ["a", 0.025, 0.015, 0.035, 0.03]
    assert overview.halves({"a": {"eras": 0}}) == ""


def test_the_spread_of_seeds_stands_beside_the_mean_of_each_score() -> None:
    table = by_era({"own": [0.02, 0.04], "own/seed_1": [0.01, 0.03], "own/seed_5": [0.03, 0.07], "alone": [0.01, 0.02]})
    blocks = summary.summarize(table[table["prediction"].isin(["own", "alone"])].assign(**dict.fromkeys(UNUSED, np.nan)), 20)
    found = summary.with_seeds(blocks, table, {"own": ["own/seed_1", "own/seed_5"]})
    assert found["own"]["seeds"] == 2
    spread = {score: found["own"][score]["seed_std"] for score in ("corr", "mmc", "bmc")}
    assert spread == {"corr": 0.021213, "mmc": 0.010607, "bmc": 0.007071}
    assert found["own"]["corr"]["mean"] == blocks["own"]["corr"]["mean"]
    assert found["alone"] == blocks["alone"]
    assert "seeds" not in blocks["own"]
    assert summary.with_seeds(blocks, table, {}) == blocks


def test_each_seed_is_the_blend_of_its_targets_and_no_other_table_sees_it() -> None:
    era = np.repeat([1, 2], 20)
    values = {(target, seed): RNG.random(40) for target in "ab" for seed in (3, 8)}
    found = predictions.BySeed(era, [3, 8])
    for (_, seed), own in values.items():
        found.add(seed, own)
    blend = predictions.Blend(era)
    for target in "ab":
        blend.add(values[target, 8])
    columns = found.columns()
    assert list(columns) == ["seed_3", "seed_8"]
    assert np.array_equal(columns["seed_8"], blend.values().astype(np.float32))
    alone = predictions.BySeed(era, [3])
    alone.add(3, values["a", 3])
    assert alone.columns() == {}

    frame = table([(f"n{k:02d}", int(e), "cv", v) for k, (e, v) in enumerate(zip(era, values["a", 3], strict=True))]).assign(**columns)
    joined = predictions.join({"one": frame, "two": frame})
    assert list(joined.columns) == ["id", "era", "split", "one", "two"]
    names, tables = predictions.by_seed({"one": frame, "two": frame[["id", "era", "split", "prediction"]]})
    assert names == {"one": ["one/seed_3", "one/seed_8"]}
    assert tables["one/seed_8"]["prediction"].tolist() == columns["seed_8"].astype(np.float64).tolist()
    assert predictions.digest(frame) == predictions.digest(frame[["id", "era", "split", "prediction"]])
