"""params.yaml: its settings are accepted, and wrong ones are named with their path."""

import re
from pathlib import Path
from typing import Any

import pytest
from closure import ROOT
from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML
from workspace import command

from erawise import params
from erawise.models.lightgbm.settings import LightGBM
from erawise.running.errors import InputError


def content() -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "params.yaml").read_text())


def load(tmp_path: Path, settings: Any) -> params.Params:
    path = tmp_path / "params.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(settings, file)
    return params.load(path)


def test_every_kind_has_a_space_to_look_in(tmp_path: Path) -> None:
    settings = content()
    del settings["spaces"]["ridge"]
    with pytest.raises(InputError, match=r"spaces\.ridge: the key is missing"):
        load(tmp_path, settings)


@pytest.mark.parametrize(("section", "key", "values"), [("tuning", "models", ["ridge"]), ("preprocess", "derived", ["row_mean"])])
def test_an_experiment_can_set_a_list_and_take_it_back(tmp_path: Path, section: str, key: str, values: list[str]) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    for change in (values, []):
        with modify_yaml(path) as settings:
            settings[section][key] = change
    assert params.load(path) == params.load(ROOT / "params.yaml")


def test_a_model_of_several_targets_and_seeds_is_one_for_each_pair(tmp_path: Path) -> None:
    settings = content()
    del settings["models"]["lightgbm"]["target"], settings["models"]["lightgbm"]["seed"]
    settings["models"]["lightgbm"] |= {"targets": ["target", "target_jasper_20"], "seeds": [1, 5]}
    variants: dict[str, Any] = dict(load(tmp_path, settings).models["lightgbm"].variants)
    assert list(variants) == ["target_1", "target_5", "target_jasper_20_1", "target_jasper_20_5"]
    assert [(variant.target, variant.seed) for variant in variants.values()] == [
        ("target", 1),
        ("target", 5),
        ("target_jasper_20", 1),
        ("target_jasper_20", 5),
    ]
    assert variants["target_5"].variants == {"target_5": variants["target_5"]}
    assert variants["target_1"] == params.load(ROOT / "params.yaml").models["lightgbm"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ["a"]}, "models.ridge: give either target or targets, not both"),
        ({"target": None}, "models.ridge: give either target or targets, not both"),
        ({"target": None, "targets": []}, "models.ridge: targets: expected at least one, each once"),
        ({"target": None, "targets": ["a", "a"]}, "models.ridge: targets: expected at least one, each once"),
        ({"seeds": [1]}, "models.ridge.seeds: unknown key"),
    ],
)
def test_a_model_has_one_target_or_a_list(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    settings = content()
    ridge = settings["models"]["ridge"] | changes
    settings["models"]["ridge"] = {key: value for key, value in ridge.items() if value is not None}
    with pytest.raises(InputError, match=re.escape(message)):
        load(tmp_path, settings)


def test_a_model_to_tune_needs_a_space_of_its_kind(tmp_path: Path) -> None:
    settings = content()
    settings["tuning"]["models"] = ["ridge"]
    settings["spaces"]["ridge"] = {}
    with pytest.raises(InputError, match=r"spaces\.ridge: ridge is to be tuned, and its kind has no setting"):
        load(tmp_path, settings)


def test_the_committed_params_are_valid() -> None:
    assert params.load(ROOT / "params.yaml").data.source == "market"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.sauce", 1, "data.sauce: unknown key; did you mean source?"),
        ("data.local.path", "", "data.local.path: expected the name of a directory"),
        ("data.local.path", "  ", "data.local.path: expected the name of a directory"),
        ("data.local.path", None, "data.local.path: expected the name of a directory"),
        ("data.local.path", 5, "data.local.path: Input should be a valid string (it is 5)"),
        ("models.lightgbm.tress", 5, "models.lightgbm.tress: unknown key; did you mean trees?"),
        ("data.market.seeds", 1, "data.market.seeds: unknown key; did you mean seed?"),
        ("dat", 1, "dat: unknown key; did you mean data?"),
        ("data.source", "lokal", "(it is 'lokal'); did you mean local?"),
        ("models.lightgbm.trees", "many", "models.lightgbm.trees: Input should be a valid integer (it is 'many')"),
        ("models.lightgbm.trees", 10.0, "models.lightgbm.trees: Input should be a valid integer (it is 10.0)"),
        ("models.lightgbm.learning_rate", 0, "models.lightgbm.learning_rate: Input should be greater than 0 (it is 0)"),
        ("models.lightgbm.kind", "xgboost", "models.lightgbm: kind is xgboost; expected one of 'logistic', 'ridge'"),
        ("models.lightgbm.kind", "lightgmb", "; did you mean lightgbm?"),
        ("models.ridge", {"target": "target", "l2": 1.0}, "models.ridge: the key kind is missing"),
        ("models", {"my-model": {"kind": "ridge", "target": "target", "l2": 1.0}}, "models.my-model: a name has letters, digits"),
        ("neutralize.proportion", 1.5, "neutralize.proportion: Input should be less than or equal to 1 (it is 1.5)"),
        ("preprocess.demean", "yes", "preprocess.demean: Input should be a valid boolean (it is 'yes')"),
        ("ensemble.weights", {"lightbgm": 1.0}, "random_forest, ridge; did you mean lightgbm?"),
        ("ensemble.weights", {"lightgbm": 0.0}, "ensemble.weights: at least one weight must be above 0"),
        ("plot.model_a", "nobody", "plot.model_a: no prediction is called 'nobody'"),
        ("submit.models", {"mine": "nobody"}, "submit.models.mine: no prediction is called 'nobody'"),
        ("submit.models", {"../mine": "ensemble"}, "submit.models: '../mine' can't be a model's name on Numerai"),
        ("submit.min_earlier_corr", 2.0, "submit.min_earlier_corr: Input should be less than or equal to 1"),
        ("explain.rows", 0, "explain.rows: Input should be greater than or equal to 1 (it is 0)"),
        ("explain.points", 2000, "explain.points: Input should be less than or equal to 1000 (it is 2000)"),
        ("explain.permuted_rows", 1, "explain.permuted_rows: Input should be greater than or equal to 2 (it is 1)"),
        ("final.refit", ["ridge", "ridge"], "final.refit: a model is there more than once"),
        ("final", {"refit": ["ridge"], "retrain_every": 4}, "final: refit: with retrain_every every model is fitted again"),
        ("final.retrain_every", 0, "final.retrain_every: Input should be greater than or equal to 1 (it is 0)"),
        ("data.holdout", 0, "data.holdout: Input should be greater than or equal to 1 (it is 0)"),
        ("data.holdout", "oficial", "data.holdout: Input should be 'official' (it is 'oficial'); did you mean official?"),
        ("upload.prediction", "nobody", "upload.prediction: no prediction is called 'nobody'"),
        ("upload.max_megabytes", 0.0, "upload.max_megabytes: Input should be greater than 0"),
        ("models", {}, "models: at least 1 is needed"),
        ("preprocess.derived", ["row_mean", "row_mean"], "preprocess.derived: a derived feature is there more than once"),
        ("models.lightgbm.leaves", 200_000, "models.lightgbm.leaves: "),
        ("models.ridge.target", 5, "models.ridge.target: Input should be a valid string"),
        ("tuning.models", ["lightbgm"], "tuning.models: no model is called 'lightbgm'; there are lightgbm, logistic"),
        ("spaces.xgboost", {}, "spaces.xgboost: not a kind of model; kinds are logistic, ridge"),
        ("spaces.ridge.seed", {"choices": [1]}, "spaces.ridge.seed: not a setting to tune; there are l2"),
        ("spaces.ridge.l2", {"low": 1.0, "high": 0.1, "log": False}, "spaces.ridge.l2: low is 1.0 and high 0.1"),
        ("spaces.ridge.l2", {"low": 0.0, "high": 0.1, "log": True}, "on a log scale it must be above 0"),
        ("spaces.ridge.l2", {"low": -1.0, "high": 1.0, "log": False}, "spaces.ridge.l2: -1.0 isn't allowed"),
        ("spaces.lightgbm.leaves", {"choices": [7, "many"]}, "spaces.lightgbm.leaves: 'many' isn't allowed"),
        (
            "spaces.lightgbm.leaves",
            {"low": 7.5, "high": 9, "log": False},
            "spaces.lightgbm.leaves: 7.5 isn't allowed",
        ),
        ("tuning.halving", 1, "tuning.halving: Input should be greater than or equal to 2"),
        ("evaluate.min_corr", float("nan"), "evaluate.min_corr: Input should be a finite number"),
    ],
)
def test_a_wrong_setting_is_named_with_its_path(tmp_path: Path, path: str, value: Any, message: str) -> None:
    settings = content()
    *parents, last = path.split(".")
    section = settings
    for name in parents:
        section = section[name]
    section[last] = value
    with pytest.raises(InputError) as caught:
        load(tmp_path, settings)
    assert message in str(caught.value)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    settings = content()
    del settings["split"]["folds"]
    with pytest.raises(InputError, match=r"split\.folds: the key is missing"):
        load(tmp_path, settings)


def test_a_model_may_not_take_a_name_of_the_pipeline(tmp_path: Path) -> None:
    settings = content()
    settings["models"]["ensemble"] = settings["models"]["ridge"]
    with pytest.raises(InputError, match=r"models\.ensemble: the pipeline uses this name"):
        load(tmp_path, settings)


def test_yaml_1_2_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("learning_rate: 0.03", "learning_rate: 3e-2"))
    model = params.load(path).models["lightgbm"]
    assert isinstance(model, LightGBM)
    assert model.learning_rate == 0.03


def test_no_yaml_at_all(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("data: [")
    with pytest.raises(InputError, match="not readable as YAML"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(InputError, match="missing"):
        params.load(tmp_path / "nothing.yaml")


def test_a_byte_order_mark_is_no_part_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(), encoding="utf-8-sig")
    assert params.load(tmp_path / "params.yaml") == params.load(ROOT / "params.yaml")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(), encoding="utf-16")
    with pytest.raises(InputError, match=r"params\.yaml: its text is UTF-16; save it as UTF-8"):
        params.load(tmp_path / "params.yaml")


def test_the_check_says_that_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    settings = content()
    settings["data"]["local"]["path"] = "mine"
    load(tmp_path, settings)
    with pytest.raises(SystemExit, match="1"):
        command("check")
    assert "data.local.path: there is no directory mine" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    command("check")
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("params.yaml: all is well: ")
    assert "lightgbm" in line
    assert line.endswith("data.local.path mine")
