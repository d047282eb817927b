"""The drivers of a model: contributions that add up and equal other methods' results, and the loss if a feature is shuffled."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from fitted import CONSTANT, EXPLAINED, fit, module, write_planted
from numpy.typing import NDArray
from panels import view, write_panel
from scipy.special import expit
from sklearn.ensemble import RandomForestRegressor

from erawise.explanation import explained, explanation
from erawise.explanation.settings import Explain
from erawise.folds import splits
from erawise.models.neural_network import gradients
from erawise.models.random_forest import contributions as forest_contributions
from erawise.models.random_forest import model as random_forest
from erawise.models.shared.protocol import Attribution
from erawise.panel import groups
from erawise.panel.panel import FeatureMap, Panel
from erawise.running.errors import InputError

TRAIN, UNSEEN = range(1, 13), range(13, 25)
ROUNDS = 8
SETTINGS = Explain(rows=600, eras=6, background=40, points=50, top_features=5, permuted_eras=12, permuted_rows=100, seed=1)


@pytest.fixture(scope="module", params=["int8", "float32"])
def panel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return write_planted(tmp_path_factory.mktemp("panel") / request.param, request.param)


@pytest.fixture(scope="module")
def int8_panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return write_planted(tmp_path_factory.mktemp("panel") / "int8", "int8")


@pytest.fixture(scope="module")
def fitted(int8_panel: Panel) -> Callable[[str], Any]:
    """Fit a model of a kind for a few rounds on the panel of int8, when a test first asks for it."""
    return cache(lambda kind: fit(kind, view(int8_panel, TRAIN), None, ROUNDS))


def plan(unseen: range = UNSEEN) -> splits.Plan:
    eras = np.array(unseen, np.int64)
    return splits.Plan(8, [], np.array(TRAIN, np.int64), eras, eras[:0])


def explain(models: list[Any], panel: Panel, **changes: Any) -> explained.Explanation:
    settings = SETTINGS.model_copy(update=changes)
    data = explanation.Evidence(panel, FeatureMap(panel.names), plan(), "target")
    return explanation.explain(models, data, settings, 2)


def rows(panel: Panel) -> NDArray:
    return view(panel, range(13, 16)).matrix()


# ---- contributions, kind by kind


@pytest.mark.parametrize("kind", EXPLAINED)
def test_contributions_add_up_to_the_prediction_whatever_the_threads(kind: str, panel: Panel, tmp_path: Path) -> None:
    model, x = fit(kind, view(panel, TRAIN), None, ROUNDS), rows(panel)
    model.save(tmp_path)
    found = module(kind).load(tmp_path).attribution(x, x[::10], 2)
    contributions = found.contributions(x)
    assert contributions.shape == x.shape
    assert contributions.dtype == np.float64
    np.testing.assert_allclose(found.base + contributions.sum(axis=1), found.predict(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(expit(found.predict(x)) if kind == "logistic" else found.predict(x), model.predict(x), rtol=0, atol=1e-12)
    assert (found.unit == "log-odds") == (kind == "logistic")
    np.testing.assert_array_equal(model.attribution(x, x[::10], 1).contributions(x), contributions)
    assert np.ptp(contributions[:, 0]) > 0
    assert np.abs(contributions[:, CONSTANT]).max() < 1e-12


@pytest.mark.parametrize("kind", EXPLAINED)
def test_rows_are_explained_one_by_one(kind: str, int8_panel: Panel, fitted: Callable[[str], Any]) -> None:
    x = rows(int8_panel)
    found = fitted(kind).attribution(x, x[::10], 2)
    pieces = np.concatenate([found.contributions(x[:7]), found.contributions(x[7:8]), found.contributions(x[8:60])])
    np.testing.assert_allclose(pieces, found.contributions(x[:60]), rtol=0, atol=1e-13)


def test_boosted_trees_are_explained_as_shap_does(int8_panel: Panel) -> None:
    shap = pytest.importorskip("shap")
    model, x = fit("lightgbm", view(int8_panel, TRAIN), None, 60), rows(int8_panel)
    oracle = shap.TreeExplainer(model._booster)
    found = model.attribution(x, x[:1], 1)
    np.testing.assert_allclose(found.contributions(x), oracle.shap_values(x.astype(np.float32)), rtol=0, atol=1e-10)
    assert found.base == pytest.approx(float(np.ravel(oracle.expected_value)[0]), abs=1e-10)


def test_a_forest_is_explained_as_shap_does(panel: Panel) -> None:
    shap = pytest.importorskip("shap")
    x, train = rows(panel), view(panel, TRAIN)
    fitted = RandomForestRegressor(15, max_depth=6, min_samples_leaf=10, max_samples=0.5, random_state=1).fit(train.matrix(), train.target)
    oracle = shap.TreeExplainer(fitted)
    found = random_forest._as_arrays(fitted.estimators_, fitted.feature_importances_).attribution(x, x[:1], 2)
    np.testing.assert_allclose(found.contributions(x), oracle.shap_values(x.astype(np.float32)), rtol=0, atol=1e-10)
    assert found.base == pytest.approx(float(np.ravel(oracle.expected_value)[0]), abs=1e-12)


def test_a_forest_is_explained_the_same_without_a_compiler_and_in_any_blocks(int8_panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = fit("random_forest", view(int8_panel, TRAIN), None, trees=5, max_depth=12, min_rows_leaf=2), rows(int8_panel)

    def explained(least_nodes: int) -> NDArray:
        monkeypatch.setattr(forest_contributions, "MIN_NODES", least_nodes)
        found = model.attribution(x, x[:1], 1)
        whole = found.contributions(x)
        np.testing.assert_array_equal(np.concatenate([found.contributions(part) for part in (x[:7], x[7:8], x[8:])]), whole)
        np.testing.assert_allclose(whole.sum(axis=1) + found.base, model.predict(x), rtol=0, atol=1e-12)
        return whole

    with monkeypatch.context() as patch:  # a small forest imports no compiled loops
        patch.delattr("erawise.models.random_forest.nodes_compiled", raising=False)
        patch.setitem(sys.modules, "erawise.models.random_forest.nodes_compiled", None)
        plain = explained(len(model.left) + 1)
    np.testing.assert_allclose(explained(0), plain, rtol=0, atol=1e-13)


def test_a_forest_by_hand() -> None:
    # a stump whose left leaf has three rows of four, and a tree that is a leaf: the mean halves the stump's part
    forest = random_forest.Forest(
        node_counts=np.array([3, 1], np.int32),
        left=np.array([1, -1, -1, -1], np.int32),
        right=np.array([2, -1, -1, -1], np.int32),
        feature=np.array([1, 0, 0, 0], np.int32),
        threshold=np.array([3.0, 0, 0, 0]),
        value=np.array([0.25, 0.0, 1.0, 0.5]),
        cover=np.array([40, 30, 10, 40], np.int32),
        feature_importance=np.array([0.0, 3.0]),
    )
    found = forest.attribution(np.zeros((1, 2), np.int8), np.zeros((1, 2), np.int8), 1)
    assert found.base == 0.375
    np.testing.assert_allclose(found.contributions(np.array([[9, 3], [0, 4]], np.int8)), [[0, -0.125], [0, 0.375]], rtol=0, atol=1e-15)
    gain, split = forest.tree_importance()
    assert (gain.tolist(), split.tolist()) == ([0, 1], [0, 1])


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
def test_a_linear_model_is_explained_as_shap_does(kind: str, panel: Panel) -> None:
    shap = pytest.importorskip("shap")
    model, x = fit(kind, view(panel, TRAIN), None), rows(panel).astype(np.float64)
    weights, constant = model._weights()
    oracle = shap.LinearExplainer((weights, constant), shap.maskers.Independent(x, max_samples=len(x)))
    np.testing.assert_allclose(model.attribution(x, x[:1], 1).contributions(x), oracle.shap_values(x), rtol=0, atol=1e-12)


def test_a_network_that_adds_up_functions_of_one_feature_has_its_exact_shapley_values() -> None:
    rng = np.random.default_rng(4)
    slope, bias, weight = rng.normal(size=(3, 5))
    x, others = rng.integers(0, 5, (40, 5)), rng.integers(0, 5, (30, 5))
    layers = [(np.diag(slope), bias), (weight[:, None], np.array([0.3]))]

    def parts(values: NDArray) -> NDArray[np.float64]:
        return weight * np.maximum(slope * values + bias, 0)

    base, contributions = gradients.expected(layers, others, 1)
    np.testing.assert_allclose(contributions(x), parts(x) - parts(others).mean(axis=0), rtol=0, atol=1e-12)
    assert base == pytest.approx(0.3 + parts(others).sum(axis=1).mean(), abs=1e-12)


def slow_expected_gradients(model: Any, x: NDArray, others: NDArray, points: int) -> NDArray[np.float64]:
    """Compute the formula as it is written, with TensorFlow's gradients."""
    from erawise.models.neural_network.engine import tf

    total = np.zeros(x.shape)
    for number in range(points):
        share = (number + 0.5) / points
        between = share * x[:, None, :] + (1 - share) * others[None]
        with tf.GradientTape() as tape:
            inputs = tf.constant(between.reshape(-1, x.shape[1]), tf.float32)
            tape.watch(inputs)
            output = model(inputs, training=False)
        slopes = tape.gradient(output, inputs).numpy().reshape(between.shape)
        total += ((x[:, None, :] - others[None]) * slopes).mean(axis=1)
    return total / points


def test_a_network_has_the_expected_gradients_of_the_formula(int8_panel: Panel, fitted: Callable[[str], Any]) -> None:
    network, x = fitted("neural_network"), rows(int8_panel)
    contributions = network.attribution(x, x[::20], 1).contributions(x[:8])
    slow = slow_expected_gradients(network.model, x[:8].astype(float), x[::20].astype(float), 50)
    assert np.abs(contributions - slow).max() < 0.01 * network.predict(x).std()


def test_a_network_is_explained_as_shap_does(int8_panel: Panel, fitted: Callable[[str], Any]) -> None:
    shap = pytest.importorskip("shap")
    network, x = fitted("neural_network"), rows(int8_panel)
    others = x[::10]
    contributions = network.attribution(x, others, 1).contributions(x[:6])
    oracle = shap.GradientExplainer(network.model, others.astype(np.float32))
    drawn = np.asarray(oracle.shap_values(x[:6].astype(np.float32), nsamples=4000, rseed=1)).reshape(contributions.shape)
    assert np.abs(contributions - drawn).max() < 0.1 * network.predict(x).std()
    assert np.corrcoef(contributions.ravel(), drawn.ravel())[0, 1] > 0.998


def test_without_contributions_features_are_ordered_by_what_shuffling_them_changes(int8_panel: Panel) -> None:
    x = rows(int8_panel)
    model = fit("sklearn", view(int8_panel, TRAIN), None)
    assert explanation.attribute([model], x, x[:5], 1) is None
    found = explanation.changed([model, model], x, seed=1)
    assert set(np.argsort(found.mean_abs)[-4:]) == {0, 1, 2, 3}, "the planted features"
    assert found.mean_abs[CONSTANT] == 0
    assert np.isnan(found.direction).all()


# ---- several variants


def test_members_are_averaged_each_with_the_same_spread(int8_panel: Panel) -> None:
    x = rows(int8_panel)
    models = [fit("lightgbm", view(int8_panel, TRAIN), None, 30, seed=seed) for seed in (1, 2)]
    models.append(fit("lightgbm", view(int8_panel, TRAIN), None, 3))
    found = explanation.attribute(models, x, x[:5], 1)
    assert found is not None
    standardised = [(p - p.mean()) / p.std() for p in (model.predict(x) for model in models)]
    np.testing.assert_allclose(found.predict(x), np.mean(standardised, axis=0), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.base + found.contributions(x).sum(axis=1), found.predict(x), rtol=0, atol=1e-9)
    single = [model.attribution(x, x[:5], 1).contributions(x) / model.predict(x).std() for model in models]
    np.testing.assert_allclose(found.contributions(x), np.mean(single, axis=0), rtol=0, atol=1e-9)
    assert found.unit == explanation.BLEND_UNIT


def test_a_member_that_is_constant_adds_nothing(int8_panel: Panel) -> None:
    x = rows(int8_panel)
    good, constant = (
        fit("lightgbm", view(int8_panel, TRAIN), None, 30),
        fit("lightgbm", view(int8_panel, TRAIN), None, 3, min_rows_leaf=10**6),
    )
    assert np.ptp(constant.predict(x)) == 0
    found = explanation.attribute([good, constant], x, x[:5], 1)
    assert found is not None
    np.testing.assert_allclose(
        found.contributions(x), good.attribution(x, x[:5], 1).contributions(x) / good.predict(x).std() / 2, rtol=0, atol=1e-12
    )


def test_a_model_with_seeds_is_explained_whole(int8_panel: Panel) -> None:
    models = [fit("lightgbm", view(int8_panel, TRAIN), None, 40, seed=seed) for seed in (1, 2)]
    found = explain(models, int8_panel)
    assert set(found.shap["feature"].head(2)) == {"feature_0", "feature_1"}
    assert found.sample.members == 2
    assert found.importance["gain"].sum() == pytest.approx(1)
    assert found.permutation.groupby("feature")["drop"].mean().max() > 0.02


# ---- the whole explanation


@pytest.mark.parametrize("kind", EXPLAINED)
def test_the_planted_features_drive_the_model(kind: str, int8_panel: Panel) -> None:
    found = explain([fit(kind, view(int8_panel, TRAIN), None, 12)], int8_panel)
    shap = found.shap.set_index("feature")
    assert found.shap["mean_abs"].is_monotonic_decreasing
    assert shap["share"].sum() == pytest.approx(1)
    assert {"feature_0", "feature_1"} <= set(found.shap["feature"].head(4))
    assert shap.loc["feature_0", "direction"] > 0.8
    assert shap.loc["feature_1", "direction"] < -0.8
    assert np.isnan(shap.loc[f"feature_{CONSTANT}", "direction"])
    assert shap.loc[f"feature_{CONSTANT}", "mean_abs"] < 1e-12
    drops = found.permutation.groupby("feature")["drop"].mean()
    assert drops["feature_0"] > 0.05
    assert found.permutation.groupby("feature", sort=False)["era"].apply(list).tolist() == [list(UNSEEN)] * 5
    assert list(dict.fromkeys(found.permutation["feature"])) == found.shap["feature"].head(5).tolist()
    has_trees = kind in ("lightgbm", "random_forest")
    assert found.importance[["gain", "split"]].notna().all(axis=None) == has_trees
    assert found.importance["split"].sum() == pytest.approx(1 if has_trees else 0)


def test_points_are_the_contributions_of_a_few_rows(int8_panel: Panel) -> None:
    model = fit("ridge", view(int8_panel, TRAIN), None)
    found = explain([model], int8_panel, top_features=3)
    assert found.points.columns.tolist() == ["rank", "feature", "era", "value", "shap"]
    assert found.points.groupby("rank").size().tolist() == [50, 50, 50]
    assert set(found.points["era"]) <= set(found.sample.eras)
    assert found.sample.rows == 600
    first = found.points[found.points["rank"] == 1]
    assert first["feature"].unique().tolist() == [found.shap["feature"].iloc[0]]
    weights, _ = model._weights()
    slope = np.polyfit(first["value"], first["shap"], 1)[0]
    assert slope == pytest.approx(weights[int(first["feature"].iloc[0].split("_")[1])])


def test_the_sample_has_every_era_and_every_level_of_the_prediction(int8_panel: Panel) -> None:
    model = SimpleNamespace(predict=lambda x: x[:, 0] + x[:, 1] / 10)
    seen = view(int8_panel, [13, 17, 24], None)
    x, era = explanation.draw([model], seen, 75, 3)
    assert np.unique(era, return_counts=True)[1].tolist() == [25, 25, 25]
    for number, block in zip((13, 17, 24), seen.blocks(), strict=True):
        runs = np.array_split(np.sort(model.predict(block)), 25)
        for value, run in zip(np.sort(model.predict(x[era == number])), runs, strict=True):
            assert run[0] <= value <= run[-1]
    again, _ = explanation.draw([model], seen, 75, 3)
    np.testing.assert_array_equal(x, again)
    assert not np.array_equal(x, explanation.draw([model], seen, 75, 4)[0])
    assert len(explanation.draw([model], seen, 10**6, 3)[0]) == seen.n_rows


def test_blocks_of_few_rows_give_what_one_block_gives(int8_panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fit("lightgbm", view(int8_panel, TRAIN), None, 40)
    whole = explain([model], int8_panel)
    monkeypatch.setattr(explanation, "BLOCK_BYTES", 1000)
    assert len(list(explanation._blocks(np.zeros((600, 10))))) > 50
    pieces = explain([model], int8_panel)
    pd.testing.assert_frame_equal(pieces.shap, whole.shap, check_exact=False, rtol=1e-12)
    pd.testing.assert_frame_equal(pieces.points, whole.points)


def test_moments_equal_those_of_numpy() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(3, 1, (200, 4))
    x[:, 2] = 7.0
    values = np.column_stack([2 * x[:, 0], rng.normal(size=200), rng.normal(size=200), np.full(200, 0.1)])
    found = SimpleNamespace(contributions=lambda block: values[np.searchsorted(x[:, 0], block[:, 0])])
    values, x = values[np.argsort(x[:, 0])], x[np.argsort(x[:, 0])]
    moments, kept = explanation.summarized(Attribution("", 0.0, found.contributions, lambda block: block[:, 0]), x, np.array([3, 8, 199]))
    np.testing.assert_allclose(moments.mean_abs, np.abs(values).mean(axis=0))
    assert moments.direction[0] == pytest.approx(1)
    assert moments.direction[1] == pytest.approx(np.corrcoef(x[:, 1], values[:, 1])[0, 1])
    assert np.isnan(moments.direction[2:]).all()
    np.testing.assert_array_equal(kept, values[[3, 8, 199]])


def test_shuffling_costs_what_the_feature_was_worth(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    era = np.repeat(np.arange(1, 5), 400)
    x = rng.integers(0, 5, (1600, 3)).astype(np.int8)
    panel = write_panel(tmp_path, x, {"target": x[:, 0] / 4}, era)
    model = SimpleNamespace(predict=lambda block: block[:, 0].astype(float))
    drops = explanation.permutation([model], view(panel), np.array([0, 2]), 10**6, 1, 2)
    assert drops["feature"].tolist() == ["feature_0"] * 4 + ["feature_2"] * 4
    assert drops["era"].tolist() == [1, 2, 3, 4] * 2
    assert drops.loc[drops["feature"] == "feature_2", "drop"].tolist() == [0.0] * 4
    assert drops.loc[drops["feature"] == "feature_0", "drop"].between(0.8, 1.2).all()
    assert drops.equals(explanation.permutation([model], view(panel), np.array([0, 2]), 10**6, 1, 1))
    few = explanation.permutation([model], view(panel), np.array([0]), 50, 1, 1)
    assert not few["drop"].equals(drops["drop"][:4])
    constant = SimpleNamespace(predict=lambda block: np.zeros(len(block)))
    assert explanation.permutation([constant], view(panel), np.array([0]), 50, 1, 1)["drop"].isna().all()


def test_eras_without_most_targets_are_not_shuffled_in(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    era = np.repeat(np.arange(1, 25), 50)
    target = rng.integers(0, 5, len(era)) / 4
    target[(era == 20) & (np.arange(len(era)) % 2 == 0)] = np.nan
    target[era > 22] = np.nan
    panel = write_panel(tmp_path, rng.integers(0, 5, (len(era), 4)).astype(np.int8), {"target": target}, era)
    found = explain([fit("ridge", view(panel, TRAIN), None)], panel)
    assert found.sample.permuted_eras == [13, 14, 15, 16, 17, 18, 19, 21, 22]
    assert found.sample.eras == [13, 15, 17, 20, 22, 24]


def test_without_a_validation_era_the_train_eras_are_explained_and_nothing_is_shuffled(int8_panel: Panel) -> None:
    model = fit("ridge", view(int8_panel, TRAIN), None)
    data = explanation.Evidence(int8_panel, FeatureMap(int8_panel.names), plan(range(13, 13)), "target")
    found = explanation.explain([model], data, SETTINGS, 1)
    assert found.sample.eras == [1, 3, 5, 8, 10, 12]
    assert found.permutation.empty
    assert found.permutation.columns.tolist() == ["feature", "era", "drop"]
    assert found.sample.split == "train"
    _, trained, lost = explanation.report("m", found)
    assert "these are eras that it was trained on" in trained
    assert "no feature was shuffled" in lost


def test_a_model_of_other_features_is_refused(int8_panel: Panel) -> None:
    model = fit("ridge", view(int8_panel, TRAIN), None)
    data = explanation.Evidence(int8_panel, FeatureMap(int8_panel.names[:4]), plan(), "target")
    with pytest.raises(InputError, match="fitted on 10 features and is given 4; train it again"):
        explanation.explain([model], data, SETTINGS, 1)


def test_a_constant_model_has_no_contributions(int8_panel: Panel) -> None:
    found = explain([fit("lightgbm", view(int8_panel, TRAIN), None, 3, min_rows_leaf=10**6)], int8_panel)
    assert (found.shap[["mean_abs", "share"]] == 0).all(axis=None)
    assert found.shap["direction"].isna().all()
    assert found.permutation["drop"].isna().all()
    assert found.sample.std == 0


ELSEWHERE = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {tests!r} + "/explanation"]
from test_explanation import write_all
from erawise.panel.panel import Panel
write_all(Panel(Path({panel!r})), Path(sys.argv[1]))
print(hash("a seed of hashes"))
"""


def write_all(panel: Panel, directory: Path) -> None:
    """Fit a model of every kind, one of them a blend, and write their explanations."""
    for kind in EXPLAINED:
        changes = [{"seed": seed} for seed in (1, 2)] if kind == "lightgbm" else [{}]
        models = [fit(kind, view(panel, TRAIN), None, 4, **change) for change in changes]
        (directory / kind).mkdir(parents=True)
        explained.write(explain(models, panel, permuted_eras=3), directory / kind)


def test_two_processes_write_the_same_bytes(tmp_path: Path, commands: Path) -> None:
    """Compare with a process of another hash seed: a fork of one that has drawn its own, or else a new one."""
    panel, program = write_planted(tmp_path / "panel", "int8"), tmp_path / "program.py"
    program.write_text(ELSEWHERE.format(tests=str(ROOT / "tests"), panel=str(tmp_path / "panel")))
    environment, python = os.environ | {"PYTHONPATH": str(ROOT)}, str(commands / "python")
    if (seed := os.environ.get("PYTHONHASHSEED", "random")) != "random":
        environment, python = environment | {"PYTHONHASHSEED": "98" if seed == "97" else "97"}, sys.executable
    command = [python, str(program), str(tmp_path / "there")]
    told = subprocess.run(command, env=environment, check=True, timeout=300, stdout=subprocess.PIPE, text=True).stdout.split()
    assert told[-1] != str(hash("a seed of hashes"))
    write_all(panel, tmp_path / "here")
    digests = []
    for directory in (tmp_path / "here", tmp_path / "there"):
        found = sorted(path for path in directory.rglob("*") if path.is_file())
        digests.append({path.relative_to(directory): hashlib.sha256(path.read_bytes()).hexdigest() for path in found})
    assert len(digests[0]) == 5 * len(EXPLAINED)
    assert digests[0] == digests[1]


# ---- on disk


@pytest.fixture(scope="module")
def found(int8_panel: Panel) -> explained.Explanation:
    return explain([fit("ridge", view(int8_panel, TRAIN), None)], int8_panel)


def test_what_is_written_is_read_again(found: explained.Explanation, tmp_path: Path) -> None:
    explained.write(found, tmp_path)
    again = explained.read(tmp_path)
    assert again.sample == found.sample
    pd.testing.assert_frame_equal(again.shap, found.shap, check_exact=False, rtol=1e-5)
    pd.testing.assert_frame_equal(again.points, found.points)
    pd.testing.assert_frame_equal(again.permutation, found.permutation, check_exact=False, atol=1e-6)
    assert (tmp_path / explained.SHAP).read_text().splitlines()[0] == "feature,group,mean_abs,share,direction"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("shap.csv", None, "the file is missing"),
        ("shap.csv", "feature,share\na,1\n", "not what explaining a model has written"),
        ("permutation.csv", "a\n1\n", "explain it again"),
        ("sample.json", json.dumps({"unit": "x"}), "not what explaining a model has written"),
        ("points.parquet", "x", "not a readable Parquet file"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    found: explained.Explanation, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    explained.write(found, tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        explained.read(tmp_path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- groups


def test_groups_are_the_sets_that_are_no_sizes() -> None:
    sets = {"small": ["a"], "wisdom": ["b", "c"], "all": ["a", "b", "c", "d"], "faith": ["c", "a"], "v3_equivalent_features": ["d"]}
    assert list(groups.groups(sets)) == ["wisdom", "faith"]
    assert groups.first_group(["a", "b", "c", "d", "row_mean"], sets) == ["faith", "wisdom", "wisdom", "none", "none"]
    found = {name: places.tolist() for name, places in groups.columns(["c", "d"], sets).items()}
    assert found == {"wisdom": [0], "faith": [0], "all": [0, 1]}
    assert groups.columns(["d"], sets).keys() == {"all"}
