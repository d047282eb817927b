"""The stages in a temporary directory: their files on disk, files that the project did not make, and bad input."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fitted
import numpy as np
import pandas as pd
import pytest
import raw
from closure import ROOT
from ruamel.yaml import YAML
from workspace import MODELS, WHOLE, Workspace

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, VALIDATION, named_horizon
from erawise.charts import figures, marks
from erawise.explanation import explained
from erawise.folds import splits
from erawise.history import tracking
from erawise.live import served
from erawise.running import paths, runner
from erawise.running.errors import InputError
from erawise.scores.eras import score_eras

STANDING = "main: target, which equals target_other_20, 20 trading days (early); pays: 60 days since round 1343, not these scores"

REAL = ROOT.parent / "shared" / "real"


@contextmanager
def unwritten(*_: object) -> Iterator[Callable[..., None]]:
    """Make each picture in this process without layout and file, which take most of the time of `plot`."""
    yield lambda path, chart, table, *arguments: chart(table, *arguments)


@pytest.fixture
def pictures_are_unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "drawing", unwritten)
    monkeypatch.setattr(marks, "lay_out", lambda figure: None)


@pytest.fixture
def ledger(workspace: Workspace) -> Path:
    return workspace.directory / "ledger.jsonl"


def test_every_prediction_has_every_id_once(finished: Workspace) -> None:
    expected = {"cv": 60 * 40, "validation": 22 * 40, "live": 40}
    for name in (*(f"models/{model}" for model in MODELS), "ensemble", "neutralized"):
        table = finished.predictions(name)
        assert table.columns.tolist() == ["id", "era", "split", "prediction"]
        assert table.groupby("split").size().to_dict() == expected
        assert not table.duplicated("id").any()
        assert table.loc[table["split"] == "live", "era"].isna().all()
        assert table["prediction"].notna().all()
    for name in ("ensemble", "neutralized"):
        assert finished.predictions(name)["prediction"].between(0, 1).all()


def test_the_planted_signal_is_found_and_the_first_validation_weeks_are_purged(finished: Workspace) -> None:
    assert finished.metrics("cv")["ridge"]["corr"]["mean"] > 0.3
    assert finished.metrics("validation")["ridge"]["corr"]["mean"] > 0.3
    validation = finished.predictions("ensemble").query("split == 'validation'")
    assert validation["era"].min() == 69
    assert finished.metrics("validation")["ensemble"]["eras"] == 22


def test_scores_that_the_data_cannot_give_are_absent(finished: Workspace) -> None:
    for block in (finished.metrics("cv")["ridge"], finished.metrics("validation")["ridge"]):
        assert not {"mmc", "bmc", "payout", "payout_bmc", "early", "ceiling_share", "meta_corr"} & set(block)
        assert {"corr", "spearman", "fnc", "exposure", "auc", "mse", "eras"} <= set(block)
    assert finished.metrics("cv")["diagnostics"]["passes"] in (0, 1)
    assert finished.metrics("cv")["regime"] == {"atomic_ender60": {"corr": 3.0, "mmc": 15.0}}
    found = json.loads((finished.directory / "data/scores/evaluated.json").read_text())
    assert (found["target"], found["days"], found["benchmark"], found["benchmarks"]) == ("target", 20, None, [])
    assert set(found["predictions"]) == {*MODELS, "ensemble", "neutralized"}
    assert found["absent"]["cv"] == {
        "mmc": "the data has no meta_model.parquet",
        "meta_corr": "the data has no meta_model.parquet",
        "payout": "no era has all scores that it is made of",
        "payout_bmc": "no era has all scores that it is made of",
        "bmc": "the data has no benchmark models",
        "ceiling_share": "the best possible predictor is known for the embedded market only",
    }


def test_the_benchmark_and_the_reasons_of_absent_scores_are_said(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    path = workspace.directory / "data/prepared/references.parquet"
    references = pd.read_parquet(path)
    path.unlink()
    validation = references["era"] > 60
    few = references["id"].str.endswith(("1", "2", "3"))
    b_one = np.where(validation, np.arange(len(references)), np.nan)
    references.assign(numerai_meta_model=np.where(validation & few, 0.5, np.nan), b_one=b_one, b_two=0.5).to_parquet(path)
    workspace.run("evaluate")
    said = capsys.readouterr().out
    assert "BMC is against b_one, chosen of b_one, b_two for a target of 20 trading days\n" in said
    assert "cv: no mmc: meta_model.parquet has no predictions of these eras\n" in said
    assert re.search(r"validation: no mmc: meta_model.parquet has predictions of at most \d\d% of an era's rows; a score needs 80%\n", said)
    assert "cv: no bmc: the benchmark model b_one has no predictions of these eras\n" in said
    assert "validation: no bmc" not in said
    workspace.change(lambda content: content["evaluate"].update(benchmark="b_two"))
    meta_model = np.where((references["era"] > 60) & (references["era"] < 72), np.arange(len(references)), np.nan)
    references.assign(numerai_meta_model=meta_model, b_one=b_one, b_two=0.5).to_parquet(path)
    workspace.run("evaluate")
    said = capsys.readouterr().out
    assert "BMC is against b_two, as evaluate.benchmark says\n" in said
    assert "validation: no bmc: the benchmark model b_two is constant in each of these eras\n" in said
    assert re.search(r"validation: payout in only \d of 22 eras: the other eras lack the predictions of others\n", said)
    path.unlink()
    references.head(0).to_parquet(path)


def test_the_payout_is_that_of_the_regime_which_the_settings_name(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.run("evaluate")
    assert "atomic_ender60 pays for scores of 60 trading days, and these are of 20: no round pays so\n" in capsys.readouterr().out
    workspace.change(lambda content: content["payout"].update(regime="corr_mmc_2026"))
    workspace.run("evaluate")
    said = capsys.readouterr().out
    assert "payout: of corr_mmc_2026, 0.75 · CORR + 2.25 · MMC before its factor and clip; stand-in" in said
    assert "no round pays so" not in said
    assert workspace.metrics("validation")["regime"] == {"corr_mmc_2026": {"corr": 0.75, "mmc": 2.25}}
    workspace.change(lambda content: content["payout"].update(regime="weekly_tc"))
    assert "regime weekly_tc: each participant chose the multiplier of tc" in workspace.failure("evaluate", capsys)


def test_looks_are_counted_by_what_was_looked_at(
    workspace: Workspace, ledger: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    logged: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tracking, "log_run", lambda *given: logged.append(given))

    def lines() -> int:
        return len(ledger.read_text().splitlines())

    def looks() -> str:
        workspace.run("evaluate")
        said = re.findall(r"validation: look (\d+) at", capfd.readouterr().out)
        return f"look {' and '.join(said)} on {lines()} lines"

    assert looks() == "look 1 on 1 lines"
    workspace.run("evaluate --quiet")
    assert capfd.readouterr().out == ""
    assert lines() == 1
    workspace.change(lambda content: content["tracking"].update(wandb="offline"))
    assert looks() == "look 1 on 2 lines"
    [(mode, directory, _, settings, scores, curves)] = logged
    assert (mode, directory, settings["tracking"]["wandb"]) == ("offline", workspace.directory, "offline")
    for split in (CV, VALIDATION):
        assert scores[split]["ensemble"]["corr"]["mean"] == workspace.metrics(split)["ensemble"]["corr"]["mean"]
    assert set(curves) == {"lightgbm/fold_1", "lightgbm/fold_2"}
    workspace.change(lambda content: content["tracking"].update(wandb="disabled"))
    workspace.change(lambda content: content["neutralize"].update(proportion=0.5))
    workspace.run("neutralize")
    assert looks() == "look 2 on 3 lines"
    assert len(logged) == 1
    workspace.run("history")
    assert capfd.readouterr().out.endswith(f"\n\n{STANDING}\n")


def test_a_ledger_that_cannot_be_written_is_a_warning(
    workspace: Workspace, ledger: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Workspace, "follow", staticmethod(runner._start))
    monkeypatch.setattr(sys, "executable", str(commands / "python"))
    ledger.mkdir()
    workspace.run("evaluate")
    error = capfd.readouterr().err
    assert "warning: erawise history --record ended with 1; run it again" in error


def test_neutralized_predictions_are_orthogonal_to_the_features(finished: Workspace) -> None:
    names = json.loads((finished.directory / "data/neutralized_to.json").read_text())["features"]
    assert len(names) == 5
    validation = pd.read_parquet(finished.directory / "files" / "validation.parquet")
    table = finished.predictions("neutralized").query("split == 'validation'").join(validation[names], on="id")
    assert table["era"].nunique() > 10
    for _, rows in table.groupby("era"):
        assert np.abs(np.corrcoef(rows[names].T, rows["prediction"])[-1, :-1]).max() < 1e-9


def test_a_folds_features_and_proportion_do_not_see_its_own_test_eras(workspace: Workspace) -> None:
    workspace.change(lambda content: content["neutralize"].update(proportion="auto", count=3))
    folds = splits.from_json(files.read_json(workspace.directory / "data/folds.json"), 20).folds
    index = workspace.directory / "data/prepared/panel/index.parquet"
    table = pd.read_parquet(index)

    def neutralized(unseen: Sequence[int]) -> pd.DataFrame:
        own = table["era"].isin(unseen)
        shuffled = table["target"].where(~own, table["target"].sample(frac=1, random_state=1).to_numpy())
        tabular.write_parquet(table.assign(target=shuffled), index)
        workspace.run("neutralize")
        return workspace.predictions("neutralized").query("split == 'cv'")

    before = neutralized([])
    for fold in folds:
        after = neutralized([*fold.test, *fold.purged])
        tested = after["era"].isin(fold.test)
        pd.testing.assert_frame_equal(after[tested], before[tested])
        assert not after[~tested].equals(before[~tested])


def test_a_chosen_proportion_is_said_and_stored(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.change(lambda content: content["neutralize"].update(proportion="auto"))
    workspace.run("neutralize")
    said = capsys.readouterr().out
    assert re.search(
        r"neutralize\.proportion: auto has chosen [\d.]+ on cv, and for each fold, without its test eras, [\d.]+, [\d.]+; by mean", said
    )
    assert "no era of cv has the payout's stand-in 3 · CORR + 15 · BMC (atomic_ender60; BMC against no benchmark model)\n" in said
    stored = json.loads((workspace.directory / "data/neutralized_to.json").read_text())
    assert stored["proportion"] == stored["chosen"]["overall"]["proportion"]
    assert len(stored["chosen"]["folds"]) == 2


CHECKED = "data/source.json"
"""What `download` declares so that `check` comes before it; it isn't read."""
BY_CHOICE = {("tune", "data/prepared/references.parquet"), ("ensemble", "data/prepared/references.parquet"), ("tune", "data/local")}
"""Data that a stage reads only if its objective needs the predictions of others, or a model is made of a file of one's own."""


def declared_data(stage: str) -> list[str]:
    """Return the data that dvc.yaml lets a stage read."""
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    name, _, model = stage.partition(" ")
    entry = stages[name].get("do", stages[name])
    found = [dep.replace("${key}", model).replace("${item}", model) for dep in entry["deps"] if dep.startswith("data/")]
    return [dep for dep in found if dep != CHECKED and (name, dep) not in BY_CHOICE]


@contextmanager
def undrawn(*_: object) -> Iterator[Callable[..., None]]:
    """Draw nothing: it takes long, and reads no data."""
    yield lambda *_: None


@pytest.mark.parametrize("stage", WHOLE[1:])
def test_a_stage_reads_all_data_that_it_declares_and_no_other(
    finished: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(figures, "drawing", undrawn)
    shutil.copyfile(finished.directory / "params.yaml", tmp_path / "params.yaml")
    workspace = Workspace(tmp_path)
    workspace.change(lambda content: content["neutralize"].update(proportion="auto"))
    names = declared_data(stage)
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(finished.directory / name)
    workspace.run(stage)
    for name in names:
        (tmp_path / name).unlink()
        with pytest.raises((SystemExit, FileNotFoundError)):
            workspace.run(stage)
        (tmp_path / name).symlink_to(finished.directory / name)


def test_nothing_partial_is_left(finished: Workspace) -> None:
    assert not list(finished.directory.rglob("*.partial"))


def test_a_model_on_a_longer_horizon_is_purged_for_it(workspace: Workspace) -> None:
    workspace.change(lambda content: content["models"]["ridge"].update(target="target_other_60"))
    workspace.run("train ridge", "ensemble", "neutralize", "evaluate")
    assert workspace.predictions("models/ridge").query("split == 'validation'")["era"].min() == 77
    assert workspace.predictions("ensemble").query("split == 'validation'")["era"].min() == 77
    assert {name: workspace.metrics("validation")[name]["eras"] for name in ("ridge", "lightgbm", "ensemble")} == {
        "ridge": 14,
        "lightgbm": 22,
        "ensemble": 14,
    }


def test_retrained_models_predict_the_final_check_and_what_is_handed_in(
    finished: Workspace, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.change(lambda content: content["final"].update(refit=[], retrain_every=8))
    workspace.run("split", *(f"train {name}" for name in MODELS), "ensemble", "neutralize", "evaluate")
    assert "ridge: validation is predicted by 4 models, fitted one after the other, whose last training era lies 9 to 16 weeks before" in (
        capsys.readouterr().out
    )
    before, after = (place.predictions("models/ridge").query("split != 'live'") for place in (finished, workspace))
    same = before["era"] <= 72
    pd.testing.assert_frame_equal(before[same], after[same])
    assert not (before.loc[~same, "prediction"] == after.loc[~same, "prediction"]).any()
    settings = params.load(workspace.directory / "params.yaml")
    monkeypatch.chdir(workspace.directory)
    found = served.read(settings, ["neutralized"])
    assert "fitted on the eras 1 to 90" in capsys.readouterr().out
    live = found.pipeline.predict(found.live, ["neutralized"])["neutralized"]
    given = workspace.predictions("neutralized").query("split == 'live'")["prediction"]
    np.testing.assert_allclose(live, given, rtol=0, atol=1e-9)
    shutil.rmtree("data/models/ridge/served")
    with pytest.raises(InputError, match=r"data/models/ridge/served: there is no final model, and final\.retrain_every asks for it"):
        served.read(settings, ["neutralized"])


def test_data_that_went_backwards_stops_a_run_that_retrains(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.change(lambda content: content["final"].update(refit=[], retrain_every=8))
    workspace.run("split")
    aside = workspace.directory / "data/prepared/validation_targets.parquet"
    table, folds = pd.read_parquet(aside), workspace.directory / "data/folds.json"
    before = folds.read_bytes()
    changed = table.assign(target=table["target"].where(~table["era"].isin([70, 88]), 1 - table["target"]))
    tabular.write_parquet(changed, aside)
    error = workspace.failure("split", capsys)
    assert "data: eras that were there in the last run are with other values: 70, 88; " in error
    assert "if the change is meant, remove " in error
    assert folds.read_bytes() == before
    (workspace.directory / "data/fits/eras.json").unlink()
    workspace.run("split")


def test_a_constant_prediction_has_no_scores_and_is_named(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.change(lambda content: content["models"]["lightgbm"].update(min_rows_leaf=100_000))
    workspace.run("train lightgbm", "ensemble", "neutralize", "evaluate", "plot")
    assert workspace.metrics("cv")["lightgbm"] == {"eras": 0}
    assert workspace.metrics("cv")["ensemble"]["corr"]["mean"] == workspace.metrics("cv")["ridge"]["corr"]["mean"]
    assert "lightgbm: the prediction is constant in 60 eras" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["pca", "none"])
def test_the_other_ways_to_select(workspace: Workspace, pictures_are_unwritten: None, method: str) -> None:
    workspace.change(lambda content: content["select_features"].update(method=method, components=3))
    workspace.run("select_features", "train ridge", "train lightgbm", "ensemble", "evaluate")
    assert workspace.metrics("cv")["ridge"]["corr"]["mean"] > 0.1
    workspace.run("explain ridge", "explain lightgbm", *(["plot"] if method == "pca" else []))
    shap = explained.read(workspace.directory / "data/explained/ridge").shap
    assert len(shap) == (3 if method == "pca" else 8)
    assert set(shap["group"]) == ({"none"} if method == "pca" else {"none", "wisdom"})


def test_demeaned_and_derived_features_go_through(workspace: Workspace, pictures_are_unwritten: None) -> None:
    workspace.change(lambda content: content["preprocess"].update(demean=True, derived=["row_mean", "extreme_share"]))
    workspace.change(lambda content: content["tuning"].update(models=[]))
    workspace.run(*WHOLE[1:])
    assert workspace.metrics("cv")["ridge"]["corr"]["mean"] > 0.3


@pytest.mark.parametrize("features", ["none", "wisdom", "all"])
def test_the_other_choices_of_what_to_neutralize(workspace: Workspace, features: str) -> None:
    workspace.change(lambda content: content["neutralize"].update(features=features))
    workspace.run("neutralize")
    assert (workspace.predictions("neutralized").groupby(["split", "era"])["prediction"].nunique() > 1).all(), "they have scores"


def test_what_models_that_are_gone_have_left_is_removed(workspace: Workspace) -> None:
    workspace.change(lambda content: content["tuning"].update(models=[]))
    workspace.change(lambda content: content["models"].pop("lightgbm"))
    workspace.change(lambda content: content["final"].update(refit=["ridge"]))
    workspace.run("check", "ensemble", "evaluate")
    for name in ("models", "explained", "final"):
        assert [path.name for path in (workspace.directory / "data" / name).iterdir()] == ["ridge"]
    assert set(workspace.metrics("cv")) == {"ridge", "ensemble", "neutralized", "diagnostics", "regime"}


@pytest.mark.parametrize(
    ("stage", "change", "message"),
    [
        ("split", lambda c: c["split"].update(folds=100), "split.folds: 100 folds need at least 100 train eras, and there are 60"),
        ("split", lambda c: c["split"].update(fold=2), "split.fold: unknown key"),
        ("preprocess", lambda c: c["data"].update(target="target_x"), "data.target: 'target_x' is no target of"),
        ("preprocess", lambda c: c["data"].update(feature_set="x"), "data.feature_set: 'x' is no feature set of"),
        ("train ridge", lambda c: c["models"]["ridge"].update(target="x"), "models.ridge.target: the data has no target 'x'"),
        ("train ridge", lambda c: c["models"]["ridge"].update(target="target_x_40"), "models.ridge.target: the data has no target"),
        ("train ridge", lambda c: c["models"]["ridge"].update(l2="big"), "models.ridge.l2: Input should be a valid number"),
        ("neutralize", lambda c: c["neutralize"].update(features="x"), "neutralize.features: 'x' is neither none, all or riskiest"),
        ("evaluate", lambda c: c["evaluate"].update(benchmark="x"), "evaluate.benchmark: the data has no benchmark model 'x'; it has none"),
        ("download", lambda c: c["data"].update(local={"path": "nowhere"}), "nowhere: no such directory"),
    ],
)
def test_bad_settings_are_named_and_leave_the_outs_as_they_were(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], stage: str, change: Callable[[Any], object], message: str
) -> None:
    before = {path: path.read_bytes() for path in (workspace.directory / "data").rglob("*") if path.is_file()}
    workspace.change(change)
    error = workspace.failure(stage, capsys)
    assert error.startswith("error: ")
    assert message in error
    assert {path: path.read_bytes() for path in (workspace.directory / "data").rglob("*") if path.is_file()} == before


def test_explore_stops_on_an_era_without_a_target(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    train = pd.read_parquet(workspace.directory / "files" / "train.parquet")
    train.loc[train["era"] == "0013", ["target", "target_other_20"]] = np.nan
    train.to_parquet(workspace.directory / "files" / "train.parquet")
    workspace.run("download", "preprocess")
    assert "13" in workspace.failure("explore", capsys)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "data/explored/checked.json: the file is missing; run explore, which checks the data before anything is split"),
        ('{"passed": false}', "data/explored/checked.json: it doesn't say that the data has passed its checks; run explore again"),
        ("[]", "data/explored/checked.json: it doesn't say that the data has passed its checks; run explore again"),
        ("{", "data/explored/checked.json: not a readable JSON file"),
    ],
)
def test_nothing_is_split_that_was_not_checked(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    checked = workspace.directory / "data/explored/checked.json"
    checked.unlink()
    if content is not None:
        checked.write_text(content)
    before = (workspace.directory / "data/folds.json").read_bytes()
    assert message in workspace.failure("split", capsys)
    assert (workspace.directory / "data/folds.json").read_bytes() == before


def test_eras_that_are_not_weeks_apart_are_told_even_quietly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw.write(tmp_path / "files", train=range(1, 241, 4), validation=range(241, 361, 4))
    workspace = Workspace(tmp_path, tmp_path / "files")
    workspace.run("download", "preprocess --quiet", "explore --quiet", "split --quiet")
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[2].partition(": ")[0].strip() for line in said] == [
        "data/raw/train.parquet",
        "data/raw/validation.parquet",
        "train eras",
        "validation eras",
    ]
    for line in said:
        assert line.startswith("warning: ")
        assert "neighbouring eras are usually 4 apart, and 1 was expected" in line
    folds = files.read_json(tmp_path / "data/folds.json")["horizons"]["20"]["folds"]
    assert [len(fold["purged"]) for fold in folds] == [2, 2]


@pytest.mark.parametrize(
    ("target", "setting", "days", "source"),
    [
        ("target", None, 20, "it equals target_other_20, value by value"),
        ("target_2", None, 20, "it equals target_other_20, value by value"),
        ("target_3", 60, 60, "the settings say so"),
        ("target_other_20", 60, 20, "its name ends so"),
        ("target_other_60", None, 60, "its name ends so"),
    ],
)
def test_split_says_how_far_the_main_target_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, setting: int | None, days: int, source: str
) -> None:
    frames = raw.write(tmp_path / "files")
    for name in ("train", "validation"):
        changed = frames[name].rename(columns={"target": target} if target in ("target_2", "target_3") else {})
        if setting is not None:
            changed["target_other_20"] = changed["target_other_20"].sample(frac=1, random_state=1).to_numpy()
        changed.set_index("id").to_parquet(tmp_path / "files" / f"{name}.parquet")
    workspace = Workspace(tmp_path, tmp_path / "files")
    workspace.change(lambda content: content["data"].update(target=target, target_horizon=setting))
    workspace.run("download", "preprocess", "explore")
    if not named_horizon(target):
        assert f"{target}: looks {days} trading days ahead: {source}" in capsys.readouterr().out
    workspace.run("split")
    said = capsys.readouterr().out
    assert f"{target}: looks {days} trading days ahead: {source}" in said
    horizons = files.read_json(tmp_path / "data/folds.json")["horizons"]
    assert {name: plan["weeks"] for name, plan in horizons.items()} == {"20": 8, "60": 16}
    assert "60 days: cv: a purge of 16 weeks is 16 eras on each side; a target spans 12 eras, which overlap; an interval needs 96" in said
    assert (
        "20 days: validation: a purge of 8 weeks is 8 eras on each side; a target spans 4 eras, which overlap; an interval needs 32" in said
    )


def test_a_bare_target_of_60_days_goes_through_every_stage_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = raw.write(tmp_path / "files", train=range(1, 121), validation=range(121, 151))
    for name in ("train", "validation"):
        changed = frames[name].assign(target=frames[name]["target_other_60"])
        changed.set_index("id").to_parquet(tmp_path / "files" / f"{name}.parquet")
        benchmarks = changed[["id", "era"]].assign(x_other20=0.25 * changed["feature_1"], x_other60=0.25 * changed["feature_0"])
        benchmarks.astype({"x_other20": "float32", "x_other60": "float32"}).to_parquet(
            tmp_path / "files" / f"{name}_benchmark_models.parquet"
        )
    workspace = Workspace(tmp_path, tmp_path / "files")

    def one_model(content: Any) -> None:
        content["models"] = {"ridge": content["models"]["ridge"]}
        content["tuning"]["models"], content["final"]["refit"] = [], []
        content["select_features"]["method"] = "none"

    workspace.change(one_model)
    workspace.run("check", "download", "preprocess", "explore", "split", "select_features", "tune", "train ridge", "ensemble", "neutralize")
    plan = files.read_json(tmp_path / "data/folds.json")["horizons"]["60"]
    assert (
        sorted(workspace.predictions("models/ridge").query("split == 'validation'")["era"].unique())
        == plan["validation"]
        == [*range(137, 151)]
    )
    capsys.readouterr()
    workspace.run("evaluate", "show --md")
    said = capsys.readouterr().out
    found = files.read_json(tmp_path / "data/scores/evaluated.json")
    assert (found["days"], found["equal"], found["early"], found["benchmark"]) == (60, "target_other_60", "target_other_20", "x_other60")
    assert "an interval needs 96 eras, and there are 120" in said
    early = "early: target_other_20, 20 days, one more figure; pays: 60 days since round 1343, the same"
    assert said.count(f"main: target, which equals target_other_60, 60 trading days; {early}\n") == 2
    assert said.count("payout: of atomic_ender60, 3 · CORR + 15 · MMC before its factor and clip; stand-in (payout_bmc), also for") == 2
    assert said.count("| max drawdown | CORR20, early |") == 2
    ridge = workspace.predictions("models/ridge").query("split == 'cv'").set_index("id")
    rows = frames["train"].set_index("id").assign(prediction=ridge["prediction"])
    at_20 = score_eras(rows[["prediction"]], rows["target_other_20"].to_numpy(), rows["era"].astype(int).to_numpy())["corr"].mean()
    assert workspace.metrics("cv")["ridge"]["early"] == {"mean": pytest.approx(at_20, abs=1e-6), "eras": 120}
    assert {"low", "high"} <= set(workspace.metrics("cv")["ridge"]["corr"])
    assert not {"low", "high"} & set(workspace.metrics("validation")["ridge"]["corr"])


def test_features_without_groups_go_through_every_stage_that_looks_for_them(workspace: Workspace, pictures_are_unwritten: None) -> None:
    content = files.read_json(workspace.directory / "files/features.json")
    files.write_json({**content, "feature_sets": {"all": content["feature_sets"]["all"]}}, workspace.directory / "files/features.json")
    workspace.run("download", "preprocess", "explore", "split", "select_features", "explain ridge")
    workspace.run("neutralize", "evaluate", "plot")
    assert workspace.metrics("cv")["ridge"]["corr"]["mean"] > 0.3


@pytest.mark.skipif(not REAL.is_dir(), reason="the real sample is not part of the repository")
def test_the_real_sample_goes_through(tmp_path: Path, capsys: pytest.CaptureFixture[str], pictures_are_unwritten: None) -> None:
    workspace = Workspace(tmp_path, REAL)
    workspace.change(lambda content: content["tuning"].update(trials=1))
    workspace.run(*WHOLE)
    data = json.loads((tmp_path / "metrics/data.json").read_text())
    assert data["validation"] == {"rows": 556, "eras": 12, "unresolved_rows": 2705, "dropped_rows": 0}
    for split, eras in (("cv", 120), ("validation", 4)):
        block = workspace.metrics(split)["neutralized"]
        assert block["eras"] == eras
        assert not {"fnc", "mmc", "bmc"} & set(block)
    workspace.change(lambda content: content["neutralize"].update(count=20))
    workspace.run("neutralize")
    assert (
        "neutralize.count: capped at a quarter of the rows in 125 of 125 eras, at 5 in the smallest, of 23 rows" in capsys.readouterr().out
    )


def test_a_model_of_several_targets_and_seeds_is_their_blend(workspace: Workspace, pictures_are_unwritten: None) -> None:
    single = workspace.predictions("models/lightgbm")
    own = files.read_json(workspace.directory / "data/tuning/lightgbm.json")["settings"]

    def several(content: Any) -> None:
        kept = {key: value for key, value in content["models"]["lightgbm"].items() if key != "seed"}
        content["models"]["lightgbm"] = {**kept, **own, "seeds": [1, 2]}
        content["tuning"]["models"] = []

    workspace.change(several)
    workspace.run("tune", "train lightgbm", "ensemble", "neutralize", "evaluate")
    blended = workspace.predictions("models/lightgbm")
    assert blended[["id", "era", "split"]].equals(single[["id", "era", "split"]])
    assert blended["prediction"].between(0, 1).all()
    directory = workspace.directory / "data/models/lightgbm"
    assert sorted(path.name for path in directory.iterdir()) == ["importance.csv", "model.json", "target_1", "target_2"]
    second = [(directory / name / "model.txt").read_text() for name in ("target_1", "target_2")]
    assert second[0] != second[1]
    assert list(blended.columns[-2:]) == ["seed_1", "seed_2"]
    assert list(single.columns) == ["id", "era", "split", "prediction"]
    _check_seeds(workspace, blended)
    workspace.run("explain lightgbm", "plot")
    found = explained.read(workspace.directory / "data/explained/lightgbm")
    assert found.sample.members == 2
    assert found.sample.unit == "standard deviations of each variant"
    assert found.shap["feature"].iloc[0] == "feature_0"


def _check_seeds(workspace: Workspace, blended: pd.DataFrame) -> None:
    """Check the standard deviation between two seeds against scores of each, for both splits, and that only the model has it."""
    targets = [pd.read_parquet(workspace.directory / path) for path in (paths.PANEL / "index.parquet", paths.VALIDATION_TARGETS)]
    target = pd.concat(targets).dropna(subset=["target"])[["id", "era", "target"]]
    for split in (CV, VALIDATION):
        rows = blended[blended["split"] == split].astype({"era": "int64"}).merge(target, on=["id", "era"]).sort_values("era", kind="stable")
        scored = score_eras(rows[["seed_1", "seed_2"]].astype(np.float64), rows["target"].to_numpy(), rows["era"].to_numpy())
        means = scored.groupby("prediction")["corr"].mean()
        metrics = workspace.metrics(split)
        assert metrics["lightgbm"]["seeds"] == 2
        assert metrics["lightgbm"]["corr"]["seed_std"] == pytest.approx(abs(means["seed_1"] - means["seed_2"]) / np.sqrt(2), abs=2e-6)
        assert metrics["lightgbm"]["corr"]["seed_std"] > 0
        assert "seed_std" not in metrics["ridge"]["corr"]
        scores = pd.read_parquet(workspace.directory / f"data/scores/{split}.parquet")
        assert not scores["prediction"].str.contains("/").any()


def test_a_search_for_a_model_of_several_seeds_knows_how_far_they_differ(workspace: Workspace) -> None:
    def several(content: Any) -> None:
        kept = {key: value for key, value in content["models"]["lightgbm"].items() if key != "seed"}
        content["models"]["lightgbm"] = {**kept, "seeds": [1, 2]}
        content["tuning"].update(models=["lightgbm"], trials=1)

    workspace.change(several)
    workspace.run("tune")
    path = workspace.directory / "data/tuning/lightgbm.json"
    first = path.read_bytes()
    assert files.read_json(path)["seed_std"] > 0
    path.unlink()
    workspace.run("tune")
    assert path.read_bytes() == first


def test_a_model_is_explained_in_eras_that_it_was_not_trained_on(finished: Workspace) -> None:
    for name in MODELS:
        found = explained.read(finished.directory / "data/explained" / name)
        assert found.sample.eras[0] == 69
        assert min(found.sample.permuted_eras) == 69
        assert found.shap["feature"].iloc[0] == "feature_0"
        groups = found.shap.set_index("feature")["group"]
        assert {groups.get(f"feature_{k}", group) for k, group in ((2, "wisdom"), (5, "wisdom"))} == {"wisdom"}
        assert groups["feature_0"] == "none"
        assert found.permutation.groupby("feature")["drop"].mean()["feature_0"] > 0.1
        assert set(found.points["value"]) <= {0, 1, 2, 3, 4}
    assert pd.read_csv(finished.directory / "data/explained/lightgbm/importance.csv")["gain"].iloc[0] > 0.3


def test_missing_values_are_explained_as_the_middle_that_the_models_see(workspace: Workspace) -> None:
    path = workspace.directory / "files" / "validation.parquet"
    table = pd.read_parquet(path)
    table["feature_0"] = table["feature_0"].astype("Int8").mask(np.arange(len(table)) % 2 == 0)
    table.to_parquet(path)
    before = explained.read(workspace.directory / "data/explained/ridge").points
    workspace.run("download", "preprocess", "explain ridge")
    after = explained.read(workspace.directory / "data/explained/ridge").points
    shares = [(found.loc[found["feature"] == "feature_0", "value"] == 2).mean() for found in (before, after)]
    assert shares[0] < 0.35
    assert shares[1] > 0.45
    assert after[["value", "shap"]].notna().all(axis=None)


def test_a_model_that_was_not_trained_cannot_be_explained(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace.directory / "data/models/lightgbm/model.txt").unlink()
    error = workspace.failure("explain lightgbm", capsys)
    assert error.startswith("error: models.lightgbm: data/models/lightgbm/model.txt: the file is missing; train the model again")
    assert error.count("\n") == 1
    assert workspace.failure("explain nobody", capsys).startswith("error: models: params.yaml has no model 'nobody'")


@pytest.mark.parametrize(
    ("weights", "expected"), [("equal", {"lightgbm": 0.5, "ridge": 0.5}), ({"lightgbm": 1, "ridge": 3}, {"lightgbm": 0.25, "ridge": 0.75})]
)
def test_weights_are_given(workspace: Workspace, weights: Any, expected: dict[str, float]) -> None:
    workspace.change(lambda content: content["ensemble"].update(weights=weights))
    workspace.run("ensemble", "evaluate")
    assert files.read_json(workspace.directory / "data/weights.json") == expected
    assert workspace.metrics("cv")["ensemble"]["corr"]["mean"] > 0.3


def test_weights_are_fitted_on_cv(finished: Workspace, workspace: Workspace) -> None:
    workspace.change(lambda content: content["ensemble"].update(weights="forward"))
    workspace.run("ensemble", "evaluate")
    assert params.load(finished.directory / "params.yaml").ensemble.weights == "nnls"
    for place in (finished, workspace):  # by nnls, and by the forward selection
        assert sum(files.read_json(place.directory / "data/weights.json").values()) == pytest.approx(1)
        assert place.metrics("cv")["ensemble"]["corr"]["mean"] > 0.3


def test_trials_and_weights_are_chosen_by_the_objective_of_the_settings(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Give the benchmark model the predictions of lightgbm in the eras of cv, so that only ridge adds to it."""
    path = workspace.directory / "data/prepared/references.parquet"
    references = pd.read_parquet(path)[["id", "era"]]
    known = workspace.predictions("models/lightgbm").query("split == 'cv'").set_index("id")["prediction"]
    references.assign(x_lgbm=references["id"].map(known), numerai_meta_model=np.nan).to_parquet(path)
    workspace.change(lambda content: content["evaluate"].update(benchmark="x_lgbm"))
    workspace.change(lambda content: content["tuning"].update(models=["ridge"], objective="payout", trials=1))
    workspace.change(lambda content: content["ensemble"].update(weights="forward", objective="bmc"))
    capsys.readouterr()
    workspace.run("tune", "ensemble")
    said = capsys.readouterr().out
    told = "payout (BMC for MMC), 3 · CORR + 15 · BMC, in 60 of the 60 eras of cv; the meta model covers 0 of the 60 eras\n"
    assert f"ridge: tuning.objective: {told}" in said
    assert "ensemble.objective: BMC in 60 of the 60 eras of cv\n" in said
    assert files.read_json(workspace.directory / "data/tuning/ridge.json")["by"] == "payout"
    assert files.read_json(workspace.directory / "data/weights.json")["ridge"] > 0.9
    workspace.change(lambda content: [content[section].update(objective="mmc") for section in ("tuning", "ensemble")])
    for setting, stage in (("tuning.objective", "tune"), ("ensemble.objective", "ensemble")):
        error = workspace.failure(stage, capsys)
        assert f"{setting}: mmc needs the meta model in every era that is compared, and it covers 0 of the 60 eras; set it to" in error
        assert error.count("\n") == 1


def test_what_a_search_has_found_is_what_is_trained(workspace: Workspace) -> None:
    tuning = workspace.directory / "data/tuning/ridge.json"
    assert files.read_json(tuning)["trials"] == 2
    files.write_json({"settings": {"l2": 1e6}}, tuning)
    workspace.run("train ridge")
    tuned = workspace.predictions("models/ridge")
    files.write_json({}, tuning)
    workspace.run("train ridge")
    assert not workspace.predictions("models/ridge").equals(tuned)
    workspace.change(lambda content: content["models"]["ridge"].update(l2=1e6))
    workspace.run("train ridge")
    assert workspace.predictions("models/ridge").equals(tuned)


def test_the_trials_of_an_experiment_elsewhere_are_kept_in_the_main_checkout(workspace: Workspace, finished: Workspace) -> None:
    elsewhere = workspace.directory / ".dvc/tmp/exps/standalone/one"
    elsewhere.mkdir(parents=True)
    shutil.rmtree(workspace.directory / "data/studies")
    shutil.copytree(workspace.directory / "data", elsewhere / "data")
    (elsewhere / "data/tuning/_searched.json").unlink()
    experiment = Workspace(elsewhere, workspace.directory / "files")
    experiment.change(lambda content: content["tuning"].update(models=["ridge"]))
    experiment.run("tune")
    assert (workspace.directory / "data/studies/ridge.db").exists()
    assert not (elsewhere / "data/studies").exists()


def test_trials_are_taken_up_by_other_threads_and_devices_and_when_settings_return(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def tried() -> str:
        capsys.readouterr()
        workspace.run("tune")
        return capsys.readouterr().out

    before = (workspace.directory / "data/tuning/ridge.json").read_bytes()
    workspace.change(lambda content: content["resources"].update(threads=content["resources"]["threads"] + 1, device="gpu"))
    assert "trial 1" not in tried()
    workspace.change(lambda content: content["spaces"]["ridge"]["l2"].update(high=9e9))
    said = tried()
    assert "ridge: 1 earlier search with other settings, data or code is kept in data/studies/ridge.db" in said
    assert "trial 1 of 2" in said
    workspace.change(lambda content: content["spaces"]["ridge"]["l2"].update(high=1e6))
    assert "trial 1" not in tried()
    assert (workspace.directory / "data/tuning/ridge.json").read_bytes() == before


def test_an_estimator_and_a_plug_in_go_through_all_stages(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], pictures_are_unwritten: None
) -> None:
    own, data = workspace.directory / "plugins/mine.py", workspace.directory / "data"
    own.parent.mkdir()
    own.write_text(fitted.EXAMPLE)

    def own_models(content: Any) -> None:
        estimator = {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "settings": {"max_iter": 5}}
        content["models"] = {
            "hist": {"kind": "sklearn", "target": "target", **estimator},
            "mine": {"kind": "plugin", "plugin": "mine", "target": "target", "settings": {"l2": 1.0}},
        }
        content["spaces"]["plugin"] = {"settings": {"choices": [{"l2": 0.1}, {"l2": 10.0}]}}
        content["tuning"].update(models=["mine"], trials=2)
        content["final"].update(refit=["mine"])
        content["upload"].update(prediction="ensemble")

    workspace.change(own_models)
    workspace.run("tune", *(f"{stage} {name}" for stage in ("train", "explain") for name in ("hist", "mine")), "refit mine")
    said = capsys.readouterr().out
    workspace.run("check", "ensemble", "neutralize", "evaluate", "copy_scores", "plot", "upload --no-check")
    found = files.read_json(data / "tuning/mine.json")
    assert found["file"]["path"] == "plugins/mine.py"
    assert found["trials"] == 2
    assert files.read_json(data / "tuning/hist.json") == {}
    assert "mine: feature_0 drives it most: shuffling it changes the predictions most; its kind has no SHAP values" in said
    tables = {
        name: pd.read_csv(workspace.directory / f"plots/tables/{name}.csv") for name in ("importance", "permutation", "shap_beeswarm")
    }
    assert set(tables["importance"]["model"]) == {"hist"}, "a plug-in's importance isn't known"
    assert set(tables["permutation"]["model"]) == {"hist", "mine"}
    assert tables["shap_beeswarm"].empty
    assert set(files.read_json(data / "scores/cv.json")) >= {"hist", "mine"}
    own.write_text(fitted.EXAMPLE + "\n")
    assert "models.mine: plugins/mine.py: has changed since `tune`; run `dvc repro`" in workspace.failure("train mine", capsys)
    assert "models.mine: plugins/mine.py: it has changed since data/models/mine was fitted" in workspace.failure("explain mine", capsys)
    own.write_text("def fit(x, y): return 1")
    assert "models.mine: plugins/mine.py: fit can't be called as fit(x, y, era, settings, seed)" in workspace.failure("tune", capsys)
