"""params.yaml: what is in it is accepted, and what isn't right is named with its path."""

from pathlib import Path
from typing import Any

import pytest
from closure import ROOT
from ruamel.yaml import YAML

from erawise import params
from erawise.errors import InputError


def content() -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "params.yaml").read_text())


def load(tmp_path: Path, settings: Any) -> params.Params:
    path = tmp_path / "params.yaml"
    with path.open("w") as file:
        YAML(typ="safe").dump(settings, file)
    return params.load(path)


def test_the_committed_params_are_valid() -> None:
    assert params.load(ROOT / "params.yaml").data.source == "market"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data.sauce", 1, "data.sauce: unknown key"),
        ("models.lightgbm.tress", 5, "models.lightgbm.tress: unknown key"),
        ("models.lightgbm.trees", "many", "models.lightgbm.trees: Input should be a valid integer (it is 'many')"),
        ("models.lightgbm.trees", 10.0, "models.lightgbm.trees: Input should be a valid integer (it is 10.0)"),
        ("models.lightgbm.learning_rate", 0, "models.lightgbm.learning_rate: Input should be greater than 0 (it is 0)"),
        ("models.lightgbm.kind", "xgboost", "models.lightgbm: kind is xgboost; expected one of 'logistic', 'ridge'"),
        ("models.ridge", {"target": "target", "l2": 1.0}, "models.ridge: the key kind is missing"),
        ("models", {"my-model": {"kind": "ridge", "target": "target", "l2": 1.0}}, "models.my-model: a name has letters, digits"),
        ("neutralize.proportion", 1.5, "neutralize.proportion: Input should be less than or equal to 1 (it is 1.5)"),
        ("preprocess.demean", "yes", "preprocess.demean: Input should be a valid boolean (it is 'yes')"),
        ("ensemble.weights", {"lightbgm": 1.0}, "ensemble.weights.lightbgm: no model of that name"),
        ("ensemble.weights", {"lightgbm": 0.0}, "ensemble.weights: at least one weight must be above 0"),
        ("plot.model_a", "nobody", "plot.model_a: no prediction is called 'nobody'"),
        ("models", {}, "models: at least 1 is needed"),
        ("preprocess.derived", ["row_mean", "row_mean"], "preprocess.derived: a derived feature is there more than once"),
        ("models.lightgbm.leaves", 200_000, "models.lightgbm.leaves: "),
        ("models.ridge.target", 5, "models.ridge.target: Input should be a valid string"),
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
    with pytest.raises(InputError, match=r"models\.ensemble: the name is taken"):
        load(tmp_path, settings)


def test_yaml_1_2_numbers_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("learning_rate: 0.02", "learning_rate: 2e-2"))
    model = params.load(path).models["lightgbm"]
    assert isinstance(model, params.LightGBM)
    assert model.learning_rate == 0.02


def test_no_yaml_at_all(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("data: [")
    with pytest.raises(InputError, match="not readable as YAML"):
        params.load(tmp_path / "params.yaml")
    with pytest.raises(InputError, match="missing"):
        params.load(tmp_path / "nothing.yaml")
