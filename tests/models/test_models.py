"""The kinds of models: learning, saving, and files that they refuse to load."""

import functools
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from fitted import (
    CONSTANT,
    EXPLAINED,
    INNER,
    KINDS,
    N_FEATURES,
    SETTINGS,
    TEST,
    TRAIN,
    changed,
    fit,
    fit_all,
    module,
    planted,
    write_planted,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import view, write_panel
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as RidgeOracle
from threadpoolctl import threadpool_limits

from erawise.models.lightgbm import model as lightgbm
from erawise.models.lightgbm.text import why_broken
from erawise.models.logistic import model as logistic
from erawise.models.random_forest import model as random_forest
from erawise.models.ridge import model as ridge
from erawise.models.shared import arrays, common, stored
from erawise.models.shared.protocol import GIB, Resources, require_complete
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["int8", "float32"])
def panel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return write_planted(tmp_path_factory.mktemp("panel") / request.param, request.param)


@pytest.fixture(scope="module")
def int8_panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return write_planted(tmp_path_factory.mktemp("panel") / "int8", "int8")


Fits = Callable[..., Any]


@pytest.fixture(scope="module")
def fits(int8_panel: Panel) -> Fits:
    """Return `fits(kind, rounds)`, a model that tests share and don't change; without `rounds`, of one that stops early if it can."""

    @functools.cache
    def fitted(kind: str, rounds: int | None = None) -> Any:
        return fit(kind, view(int8_panel, TRAIN), view(int8_panel, INNER) if rounds is None else None, rounds)

    return fitted


def small_panel(directory: Path, rows: int = 23, eras: int = 4) -> Panel:
    x, target, era = planted(np.random.default_rng(3), eras, rows)
    return write_panel(directory, x, {"target": target}, era)


# ---- every kind


@pytest.mark.parametrize("kind", KINDS)
def test_learns_and_survives_saving(kind: str, panel: Panel, fits: Fits, tmp_path: Path) -> None:
    test = view(panel, TEST)
    fitted = fits(kind) if panel.dtype == "int8" else fit(kind, view(panel, TRAIN), view(panel, INNER))
    x = test.matrix()
    prediction = fitted.predict(x)
    assert prediction.dtype == np.float64
    assert prediction.shape == (test.n_rows,)
    assert common.EraCorrelation.from_view(test)(prediction) > 0.4
    fitted.save(tmp_path)
    loaded = module(kind).load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(x), prediction)
    np.testing.assert_array_equal(loaded.importance(), fitted.importance())
    assert not any(_holds_pickle(path) for path in tmp_path.iterdir())


def test_a_kind_that_lacks_a_part_is_told_so_before_it_is_fitted() -> None:
    for kind in KINDS:
        require_complete(module(kind))
    lacking = ModuleType("erawise.models.momentum.model")
    vars(lacking).update(fit=ridge.fit, load=ridge.load, prepare=ridge.prepare, steps=ridge.steps)
    with pytest.raises(
        InputError, match=r"^erawise\.models\.momentum\.model: the kind of model lacks `needs`, `stops_early`; erawise/models"
    ):
        require_complete(lacking)


@pytest.mark.parametrize("kind", KINDS)
def test_learns_nothing_from_a_shuffled_target(kind: str, int8_panel: Panel) -> None:
    fitted = fit(kind, view(int8_panel, TRAIN, "shuffled"), view(int8_panel, INNER, "shuffled"))
    test = view(int8_panel, TEST, "shuffled")
    assert abs(common.EraCorrelation.from_view(test)(fitted.predict(test.matrix()))) < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_importance_finds_the_planted_features(kind: str, fits: Fits) -> None:
    importance = fits(kind).importance()
    assert importance.shape == (N_FEATURES,)
    assert importance.min() >= 0
    assert importance.sum() == pytest.approx(1)
    assert importance[CONSTANT] == 0
    assert importance[[0, 1]].min() > importance[[4, 6, 7, 8, 9]].max()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_predicted_one_by_one(kind: str, int8_panel: Panel, fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = fits(kind)
    x = view(int8_panel, TEST).matrix()
    whole = fitted.predict(x)
    monkeypatch.setattr(common.chunks, "__defaults__", (97,))
    np.testing.assert_allclose(fitted.predict(x), whole, rtol=0, atol=1e-6)
    assert fitted.predict(x[:0]).shape == (0,)


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_a_fit_sets_its_own_number_of_threads_of_blas(kind: str, tmp_path: Path) -> None:
    """Fit on so many features that a matrix product of several threads has other last bits."""
    rng = np.random.default_rng(5)
    x, target, era = rng.integers(0, 5, (1502, 501)).astype(np.int8), rng.random(1502), np.repeat([1, 2], 751)
    train = view(write_panel(tmp_path, x, {"target": target}, era), range(1, 3))
    wide = (x - x.mean(axis=0, dtype=np.float64)) / 2
    grams, predictions = [], []
    for threads in (1, 3):
        with threadpool_limits(threads, user_api="blas"):
            grams.append(wide.T @ wide)
            predictions.append(fit(kind, train, None).predict(x))
    assert (grams[0] != grams[1]).any()
    np.testing.assert_array_equal(*predictions)


@pytest.mark.parametrize("kind", KINDS)
def test_another_number_of_features_is_refused(kind: str, fits: Fits) -> None:
    with pytest.raises(InputError, match="fitted on 10 features and is given 9"):
        fits(kind).predict(np.zeros((3, 9), np.int8))


@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_and_constant_features_give_finite_predictions(kind: str, tmp_path: Path) -> None:
    panel = small_panel(tmp_path / "panel")
    few = {"min_rows_leaf": 1000} if "min_rows_leaf" in type(SETTINGS[kind]).model_fields else {}
    fitted = fit(kind, view(panel, [1, 2, 3]), view(panel, [4]), **few)
    prediction = fitted.predict(view(panel).matrix())
    assert np.isfinite(prediction).all()
    if few:
        assert np.ptp(prediction) == 0
        assert fitted.importance().sum() == 0
    constant = write_panel(tmp_path / "constant", np.full((92, 3), 2, np.int8), {"target": panel.index["target"]}, panel.row_eras)
    fitted = fit(kind, view(constant, [1, 2, 3]), view(constant, [4]))
    fitted.save(tmp_path)
    assert np.ptp(module(kind).load(tmp_path).predict(view(constant).matrix())) < 1e-6
    assert fitted.importance().tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_no_row_is_an_error_that_names_the_target(kind: str, tmp_path: Path) -> None:
    panel = write_panel(tmp_path, np.zeros((4, 2), np.int8), {"target": np.full(4, np.nan)}, np.array([1, 1, 2, 2]))
    with pytest.raises(InputError, match="'target' has no value in the eras to fit on"):
        fit(kind, view(panel), None, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_loading_refuses_what_is_missing_or_broken(kind: str, fits: Fits, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the file is missing"):
        module(kind).load(tmp_path)
    fits(kind, 2).save(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=f"{path.name}: .*train the model again"):
        module(kind).load(tmp_path)


PROCESS = """
import gc, json, sys
from pathlib import Path
from erawise.models.neural_network import engine
from sklearn.base import BaseEstimator
found = {
    "collects": gc.isenabled(),
    "wrapper": issubclass(engine.keras.wrappers.SKLearnRegressor, BaseEstimator),
    "backend": engine.keras.backend.backend(),
}
print(json.dumps(found))
import fitted
fitted.fit_all(Path(sys.argv[1]))
"""
"""Code that imports the network's engine first, and then fits kinds."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """Fit kinds in a directory in another process; return the directory and how the process ended."""
    top = tmp_path_factory.mktemp("process")
    search = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": search, "KERAS_BACKEND": "numpy"}
    command = [sys.executable, "-c", PROCESS, str(top)]
    return top, subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_two_processes_save_the_same_bytes_and_keep_quiet(process: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path) -> None:
    top, ended = process
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert os.environ.get("PYTHONHASHSEED") != "1"
    fit_all(tmp_path)
    theirs, ours = (
        {
            str(path.relative_to(place)): hashlib.md5(path.read_bytes()).hexdigest()
            for kind in EXPLAINED
            for path in place.glob(f"{kind}/*/*")
        }
        for place in (top, tmp_path)
    )
    assert len(ours) == 2 * len(EXPLAINED)
    assert theirs == ours
    assert len(set(ours.values())) == 2 * len(EXPLAINED) - 3


def test_the_import_hides_nothing_and_settles_the_backend(process: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    found = json.loads(process[1].stdout.splitlines()[0])
    assert found == {"collects": True, "wrapper": True, "backend": "tensorflow"}


def _holds_pickle(path: Path) -> bool:
    contents = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            contents = [archive.read(name) for name in archive.namelist()]
    return any(content[:1] == b"\x80" or b"'descr': '|O'" in content for content in contents)


# ---- early stopping


def slow_mean_correlation(prediction: NDArray, target: NDArray, era: NDArray) -> float:
    values = []
    for number in np.unique(era):
        rows = era == number
        if np.ptp(target[rows]) == 0:
            continue
        flat = np.ptp(prediction[rows]) == 0
        values.append(0.0 if flat else np.corrcoef(prediction[rows], target[rows])[0, 1])
    return float(np.mean(values)) if values else 0.0


@settings(max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.floats(-5, 5))
def test_mean_era_correlation_equals_a_plain_loop(sizes: list[int], seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    era = np.repeat(np.arange(len(sizes)), sizes)
    target = rng.integers(0, 3, len(era)) / 2
    prediction = rng.integers(0, 3, len(era)) / 7 + offset
    assert common.EraCorrelation(target, era)(prediction) == pytest.approx(slow_mean_correlation(prediction, target, era), abs=1e-9)


def test_mean_era_correlation_by_hand() -> None:
    era = np.array([1, 1, 1, 2, 2, 2, 3, 3])
    target = np.array([0, 0.5, 1, 0, 0.5, 1, 0.5, 0.5])
    prediction = np.array([1, 2, 3, 3, 3, 3, 1, 2.0])
    assert common.EraCorrelation(target, era)(prediction) == pytest.approx((1 + 0) / 2)


@pytest.mark.parametrize("kind", ["lightgbm", "neural_network"])
def test_the_inner_slice_decides_on_the_rounds(kind: str, int8_panel: Panel, tmp_path: Path) -> None:
    train, inner = view(int8_panel, TRAIN), view(int8_panel, INNER)
    score, x = common.EraCorrelation.from_view(inner), inner.matrix()
    scores: dict[int, float] = {}
    stopped = module(kind).fit(SETTINGS[kind], train, inner, None, Resources(1, 8 * GIB, tmp_path, log=scores.__setitem__))
    assert 1 < stopped.rounds < (SETTINGS[kind].trees if kind == "lightgbm" else SETTINGS[kind].epochs)
    assert stopped.rounds == max(scores, key=scores.__getitem__)
    again = fit(kind, train, None, stopped.rounds)
    assert again.rounds == stopped.rounds
    np.testing.assert_allclose(again.predict(x), stopped.predict(x), rtol=0, atol=1e-9)
    for rounds, model in ((stopped.rounds, stopped), (2, fit(kind, train, None, 2))):
        assert score(model.predict(x)) == pytest.approx(scores[rounds], abs=1e-6), "the scores that decide are those of the models"


@pytest.mark.parametrize("kind", ["lightgbm", "neural_network"])
def test_an_inner_slice_without_the_signal_stops_soon(kind: str, int8_panel: Panel) -> None:
    told = fit(kind, view(int8_panel, TRAIN), view(int8_panel, INNER), learning_rate=0.02)
    misled = fit(kind, view(int8_panel, TRAIN), view(int8_panel, INNER, "shuffled"), learning_rate=0.02)
    assert misled.rounds is None or misled.rounds < told.rounds


@pytest.mark.parametrize(("kind", "most"), [("lightgbm", "trees"), ("neural_network", "epochs")])
def test_without_early_stopping_a_model_runs_to_its_end(kind: str, most: str, int8_panel: Panel, tmp_path: Path) -> None:
    settings = changed(kind, early_stopping=None, **{most: 4})
    assert not module(kind).stops_early(settings)
    whole = module(kind).fit(settings, view(int8_panel, TRAIN), view(int8_panel, INNER), None, Resources(1, 8 * GIB, tmp_path))
    assert whole.rounds == 4
    x = view(int8_panel, INNER).matrix()
    np.testing.assert_array_equal(whole.predict(x), fit(kind, view(int8_panel, TRAIN), None, 4).predict(x))


# ---- linear models


def standardised(x: NDArray) -> NDArray[np.float64]:
    std = x.std(axis=0, dtype=np.float64)
    return np.where(std > 0, (x - x.mean(axis=0, dtype=np.float64)) / np.where(std > 0, std, 1), 0)


@pytest.mark.parametrize("l2", [0.0, 1e-3, 1000.0])
def test_ridge_equals_scikit_learn(l2: float, panel: Panel) -> None:
    train = view(panel, TRAIN)
    fitted = fit("ridge", train, None, l2=l2)
    z = standardised(train.matrix())
    oracle = RidgeOracle(alpha=max(l2, 1e-12)).fit(z, train.target.astype(np.float64))
    np.testing.assert_allclose(fitted.coefficients, oracle.coef_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(fitted.predict(train.matrix()), oracle.predict(z), rtol=0, atol=1e-10)


@settings(max_examples=30)
@given(st.integers(1, 8), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_symmetric_solution_equals_least_squares(n: int, rows: int, seed: int, doubled: bool) -> None:
    half = np.random.default_rng(seed).standard_normal((rows, n))
    half = np.hstack([half, half]) if doubled else half
    right = half.T @ half @ np.ones(half.shape[1])
    expected = np.linalg.pinv(half, rcond=1e-7) @ half @ np.ones(half.shape[1])
    found = ridge.solve_symmetric(half.T @ half, right)
    np.testing.assert_allclose(half @ found, half @ expected, atol=1e-5)


def test_ridge_without_penalty_shares_between_doubled_features(tmp_path: Path) -> None:
    x, target, era = planted(np.random.default_rng(5), 4, 60)
    panel = write_panel(tmp_path, np.hstack([x[:, :2], x[:, :2]]), {"target": target}, era)
    coefficients = fit("ridge", view(panel), None, l2=0.0).coefficients
    np.testing.assert_allclose(coefficients[:2], coefficients[2:], atol=1e-9)


def test_logistic_equals_scikit_learn_in_double_precision(panel: Panel) -> None:
    train = view(panel, TRAIN)
    fitted = fit("logistic", train, None, max_rows=10**6)
    z = standardised(train.matrix())
    oracle = LogisticRegression(C=1 / SETTINGS["logistic"].l2, tol=1e-10, max_iter=1000).fit(z, train.target > 0.5)
    np.testing.assert_allclose(fitted.predict(train.matrix()), oracle.predict_proba(z)[:, 1], rtol=0, atol=2e-4)


def test_logistic_needs_two_classes(tmp_path: Path) -> None:
    panel = write_panel(tmp_path, np.zeros((6, 2), np.int8), {"target": np.full(6, 0.5)}, np.repeat([1, 2], 3))
    with pytest.raises(InputError, match="all 6 rows to fit on are on one"):
        fit("logistic", view(panel), None)


@pytest.mark.parametrize("kind", ["logistic", "random_forest"])
def test_max_rows_that_leave_no_row_are_refused(kind: str, tmp_path: Path) -> None:
    panel = small_panel(tmp_path)
    with pytest.raises(InputError, match="max_rows: 3 of 92 rows"):
        fit(kind, view(panel), None, max_rows=3)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.floats(-1e3, 1e3))
def test_standardisation_equals_numpy(sizes: list[int], seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    blocks = [np.column_stack([rng.integers(0, 5, n) + offset, np.full(n, offset / 3)]) for n in sizes]
    mean, std = common.standardisation(blocks, 2)
    whole = np.concatenate(blocks)
    np.testing.assert_allclose(mean, whole.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(std[0], whole.std(axis=0)[0], atol=1e-9)
    assert std[1] == 0


# ---- LightGBM


def test_first_importance_is_the_gain_of_a_plain_model(int8_panel: Panel, tmp_path: Path) -> None:
    train, resources = view(int8_panel, TRAIN), Resources(1, 8 * GIB, tmp_path)
    importance = lightgbm.importance_of_first(train, trees=30, learning_rate=0.05, leaves=8, seed=1, resources=resources)
    plain = changed("lightgbm", leaves=8, feature_share=1.0, max_depth=-1)
    from_text = lightgbm.fit(plain, train, None, 30, resources).importance()  # a model's text has six digits of a gain
    np.testing.assert_allclose(importance, from_text, rtol=1e-5)
    assert importance.sum() == pytest.approx(1)
    assert importance[[0, 1]].min() > importance[[4, 6, 7, 8, 9]].max()


def test_int8_and_float32_features_give_the_same_trees(int8_panel: Panel, tmp_path: Path) -> None:
    x = view(int8_panel).matrix()
    as_float = write_panel(tmp_path, x.astype(np.float32), {"target": int8_panel.index["target"]}, int8_panel.row_eras)
    a, b = (fit("lightgbm", view(panel, TRAIN), None, 20) for panel in (int8_panel, as_float))
    np.testing.assert_allclose(a.predict(x), b.predict(x), rtol=0, atol=1e-12)


def test_the_model_text_tells_nothing_of_the_place(int8_panel: Panel, tmp_path: Path) -> None:
    fit("lightgbm", view(int8_panel, TRAIN), view(int8_panel, INNER)).save(tmp_path)
    text = (tmp_path / lightgbm.FILE).read_text()
    assert str(tmp_path) not in text
    assert "[data: ]" in text
    assert "[valid: ]" in text


def test_projected_features_are_taken_as_floats(int8_panel: Panel) -> None:
    rng = np.random.default_rng(0)
    names = int8_panel.names[:4]
    feature_map = FeatureMap(names, np.full(4, 2.0), rng.standard_normal((4, 3)))
    train, test = (View(int8_panel, eras, feature_map, "target") for eras in (TRAIN, TEST))
    for kind in ("ridge", "lightgbm"):
        assert common.EraCorrelation.from_view(test)(fit(kind, train, None, 40).predict(test.matrix())) > 0.1


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        (r"left_child=\S+", "left_child=77", "outside of the tree"),
        (r"left_child=\S+", "left_child=0", "not after its parent"),
        (r"right_child=\S+", "right_child=-99", "outside of the tree"),
        (r"split_feature=\S+", "split_feature=10", "a feature that the model doesn't have"),
        (r"threshold=\S+", "threshold=nan", "not finite"),
        (r"leaf_value=\S+", "leaf_value=", "too few, too many"),
        (r"leaf_value=\S+", "leaf_value=x", "unreadable"),
        (r"decision_type=\S+", "decision_type=1", "categorical"),
        (r"num_leaves=\d+", "num_leaves=3", "too few, too many"),
        (r"num_cat=0", "num_cat=1", "of another kind"),
        (r"objective=regression", "objective=binary", "its objective is 'binary'"),
        (r"max_feature_idx=9", "max_feature_idx=99", "features don't add up"),
        (r"Tree=1\n", "Tree=2\n", "tree 1 is missing or out of order"),
        (r"end of trees", "", "cut short"),
    ],
)
def test_a_tampered_model_text_is_refused(pattern: str, replacement: str, reason: str, int8_panel: Panel, tmp_path: Path) -> None:
    path = tmp_path / lightgbm.FILE
    fit("lightgbm", view(int8_panel, TRAIN), None, 3).save(tmp_path)
    text = path.read_text()
    changed_text = re.sub(pattern, replacement, text, count=1)
    assert changed_text != text
    path.write_text(_with_true_sizes(changed_text))
    with pytest.raises(InputError, match=reason):
        lightgbm.load(tmp_path)


def _with_true_sizes(text: str) -> str:
    trees = re.findall(r"Tree=\d+\n.*?\n\n\n(?=Tree|end of trees)", text, re.DOTALL)
    sizes = " ".join(str(len(tree)) for tree in trees)
    return re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", text)


def test_a_model_text_cut_anywhere_is_refused(int8_panel: Panel) -> None:
    text = fit("lightgbm", view(int8_panel, TRAIN), None, 3).text
    assert why_broken(text) is None
    for length in range(0, text.index("end of parameters"), 37):
        assert why_broken(text[:length])


# ---- forests


def test_forest_predicts_as_scikit_learn_does_to_the_bit(panel: Panel) -> None:
    train, x = view(panel, TRAIN), view(panel, TEST).matrix()
    fitted = fit("random_forest", train, None, max_rows=10**6)
    s = SETTINGS["random_forest"]
    oracle = RandomForestRegressor(
        s.trees,
        max_depth=s.max_depth,
        max_features=s.feature_share,
        min_samples_leaf=s.min_rows_leaf,
        max_samples=s.row_share,
        random_state=s.seed,
    ).fit(train.matrix(), train.target)
    np.testing.assert_array_equal(fitted.predict(x), oracle.predict(x))
    np.testing.assert_allclose(fitted.importance(), oracle.feature_importances_, rtol=1e-12)


def test_a_forest_by_hand() -> None:
    stump = random_forest.Forest(
        node_counts=np.array([3, 1], np.int32),
        left=np.array([1, -1, -1, -1], np.int32),
        right=np.array([2, -1, -1, -1], np.int32),
        feature=np.array([1, 0, 0, 0], np.int32),
        threshold=np.array([3.0, 0, 0, 0]),
        value=np.array([0.5, 0.0, 1.0, 0.25]),
        cover=np.array([20, 10, 10, 20], np.int32),
        feature_importance=np.array([0.0, 3.0]),
    )
    np.testing.assert_array_equal(stump.predict(np.array([[9, 3], [0, 4]], np.int8)), [0.125, 0.625])
    assert stump.importance().tolist() == [0, 1]


def _inner_node(content: dict[str, NDArray]) -> int:
    return int(np.flatnonzero(content["left"] != -1)[1])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("left", 10_000, "outside of its tree"),
        ("right", -7, "outside of its tree"),
        ("left", 0, "not after its parent"),
        ("right", -1, "outside of its tree"),
        ("feature", N_FEATURES, "a feature that the model doesn't have"),
        ("feature", -1, "a feature that the model doesn't have"),
        ("threshold", np.nan, "NaN or infinities"),
        ("value", np.inf, "NaN or infinities"),
    ],
)
def test_a_tampered_forest_is_refused(name: str, value: float, reason: str, int8_panel: Panel, tmp_path: Path) -> None:
    content = _saved_forest(int8_panel, tmp_path)
    content[name][_inner_node(content)] = value
    arrays.save_arrays(content, tmp_path / random_forest.FILE)
    with pytest.raises(InputError, match=reason):
        random_forest.load(tmp_path)


def test_a_forest_of_other_shapes_is_refused(int8_panel: Panel, tmp_path: Path) -> None:
    content = _saved_forest(int8_panel, tmp_path)
    wrong: list[tuple[dict[str, NDArray], str]] = [
        ({"node_counts": content["node_counts"][:-1]}, "don't add up"),
        ({"node_counts": np.array([0, len(content["left"])], np.int32)}, "don't add up"),
        ({"value": content["value"][:-1]}, "differ in length"),
        ({"cover": content["cover"][:-1]}, "differ in length"),
        ({"cover": content["cover"] * 0}, "the rows of its nodes don't add up"),
        ({"cover": np.arange(1, len(content["left"]) + 1, dtype=np.int32)}, "the rows of its nodes don't add up"),
        ({"left": content["left"].astype(np.int64)}, "left is int64 of 1 dimensions, not int32 of 1"),
        ({"value": content["value"][:, None]}, "value is float64 of 2 dimensions"),
        ({"feature_importance": -content["feature_importance"]}, "below 0"),
    ]
    for change, reason in wrong:
        arrays.save_arrays({**content, **change}, tmp_path / random_forest.FILE)
        with pytest.raises(InputError, match=reason):
            random_forest.load(tmp_path)


def _saved_forest(panel: Panel, directory: Path) -> dict[str, NDArray]:
    fit("random_forest", view(panel, TRAIN), None, trees=3).save(directory)
    with np.load(directory / random_forest.FILE) as content:
        return {name: content[name] for name in content.files}


# ---- files of arrays


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    written: dict[str, NDArray] = {"a": np.arange(6, dtype=np.int32), "b": np.asfortranarray(np.eye(3)), "c": np.array(1.5)}
    arrays.save_arrays(written, tmp_path / "x.npz")
    read = arrays.load_arrays(tmp_path / "x.npz", {"a": (np.int32, 1), "b": (np.float64, 2), "c": (np.float64, 0)})
    for name, array in written.items():
        np.testing.assert_array_equal(read[name], array)
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("how", ["object array", "bare pickle", "bare npy", "text", "empty"])
def test_pickles_and_other_files_are_refused(how: str, tmp_path: Path) -> None:
    path = tmp_path / "linear.npz"
    if how == "object array":
        np.savez(path, **{name: np.array([{"a": 1}], dtype=object) for name in ("mean", "std", "coefficients", "intercept")})  # type: ignore[arg-type]
    elif how == "bare pickle":
        path.write_bytes(b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00]\x94K\x01a.")
    elif how == "bare npy":
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(3))
        path.write_bytes(buffer.getvalue())
    else:
        path.write_text("mean" if how == "text" else "")
    with pytest.raises(InputError, match=r"linear\.npz: not a readable file of arrays"):
        ridge.load(tmp_path)
    with pytest.raises(InputError, match=r"linear\.npz"):
        logistic.load(tmp_path)


def test_a_linear_model_whose_arrays_differ_is_refused(int8_panel: Panel, tmp_path: Path) -> None:
    fitted = fit("ridge", view(int8_panel, TRAIN), None)
    content = {name: np.asarray(getattr(fitted, name)) for name in ("mean", "std", "coefficients", "intercept")}
    for change, reason in (({"std": fitted.std[:-1]}, "differ in length"), ({"std": -fitted.std}, "below 0")):
        arrays.save_arrays({**content, **change}, tmp_path / "linear.npz")
        with pytest.raises(InputError, match=reason):
            ridge.load(tmp_path)


# ---- networks


def test_a_saved_network_holds_no_date_and_no_address(fits: Fits, tmp_path: Path) -> None:
    fits("neural_network", 2).save(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert set(json.loads(archive.read("metadata.json"))) == {"keras_version"}
        numbers = _values_of("shared_object_id", json.loads(archive.read("config.json")))
    assert numbers
    assert max(numbers) <= len(numbers)


def _values_of(key: str, content: Any) -> list[int]:
    if isinstance(content, list):
        return [value for item in content for value in _values_of(key, item)]
    if not isinstance(content, dict):
        return []
    own = [content[key]] if key in content else []
    return own + [value for item in content.values() for value in _values_of(key, item)]


def test_a_network_with_code_in_it_is_refused(tmp_path: Path) -> None:
    network = module("neural_network")
    inputs = network.keras.Input((3,), name="features")
    outputs = network.keras.layers.Lambda(lambda x: x[:, :1], output_shape=(1,))(inputs)
    network.keras.Model(inputs, outputs).save(tmp_path / network.FILE)
    with pytest.raises(InputError, match=r"model\.keras: not a model that can be used"):
        network.load(tmp_path)


@pytest.mark.parametrize("layers", [[("dense_1", 2, None)], [("dense_1", 4, "tanh"), ("prediction", 1, None)], [("dense_1", 1, "relu")]])
@pytest.mark.parametrize("first", ["standardise", "other"])
def test_a_network_of_other_layers_is_refused(layers: list[tuple[str, int, str | None]], first: str, tmp_path: Path) -> None:
    network = module("neural_network")
    inputs = network.keras.Input((3,), name="features")
    hidden = network.keras.layers.Rescaling([1.0] * 3, [0.0] * 3, name=first)(inputs)
    for name, units, activation in layers:
        hidden = network.keras.layers.Dense(units, activation=activation, name=name)(hidden)
    network.keras.Model(inputs, hidden).save(tmp_path / network.FILE)
    with pytest.raises(InputError, match=r"model\.keras: not a model that can be used"):
        network.load(tmp_path)


def test_a_learning_rate_that_diverges_is_an_error(int8_panel: Panel) -> None:
    with pytest.raises(InputError, match="learning_rate 1e\\+30: the network's weights grew without bound in epoch"):
        fit("neural_network", view(int8_panel, TRAIN), view(int8_panel, INNER), learning_rate=1e30)


@pytest.mark.parametrize("kind", ["gone", "common", "stored", "ridge.more", "", "../ridge"])
def test_a_stored_model_of_a_kind_that_is_none_is_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"kind": kind, "members": [{"directory": ".", "rounds": None}], "eras": [1, 2]}))
    with pytest.raises(InputError, match=rf"model.json: the model is of the kind '{re.escape(kind)}', and there are lightgbm, logistic, "):
        stored.load(tmp_path)


def test_a_stored_model_whose_library_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"kind": "lightgbm", "members": [], "eras": [1, 2]}))
    monkeypatch.delitem(sys.modules, "erawise.models.lightgbm.model")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(InputError, match=r"a model of the kind lightgbm needs lightgbm, which isn't installed; run `make"):
        stored.load(tmp_path)
