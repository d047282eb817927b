"""The pickle for Numerai's model upload: its content, and its predictions, also with Numerai's packages."""

import ast
import copy
import importlib.metadata
import importlib.util
import inspect
import json
import pickle
import pickletools
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fitted
import numpy as np
import pandas as pd
import pytest
from closure import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from panels import view, write_panel

from erawise.base import files, schema
from erawise.blend import blending, neutralization
from erawise.commands import upload as command
from erawise.live import pickles, served
from erawise.live.serving import ENSEMBLE, NEUTRALIZED, Neutralization, Pipeline
from erawise.models.lightgbm import model as lightgbm
from erawise.models.lightgbm.settings import LightGBM
from erawise.models.logistic import model as logistic
from erawise.models.logistic.settings import Logistic
from erawise.models.neural_network import model as neural_network
from erawise.models.neural_network.settings import NeuralNetwork
from erawise.models.plugin import model as plugin
from erawise.models.random_forest import model as random_forest
from erawise.models.random_forest.settings import RandomForest
from erawise.models.ridge import model as ridge
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.protocol import GIB, Fitted, Resources
from erawise.models.sklearn import model as sklearn
from erawise.models.sklearn.settings import Sklearn
from erawise.panel.panel import FeatureMap, Panel
from erawise.preparation import derived as derived_features
from erawise.preparation import preparation
from erawise.running import installing, paths
from erawise.running.errors import InputError
from erawise.selection import pca
from erawise.upload import build, delivery, environments, proof, runtime, trial

ERAS, ROWS, LIVE_ROWS, N_FEATURES = 10, 60, 90, 12
NAMES = [f"feature_{k}" for k in range(N_FEATURES)]
DERIVED = ("row_mean", "row_std", "extreme_share")
KEPT = """
class Kept:
    def __init__(self, parts):
        self.parts = parts

    def __getitem__(self, name):
        return self.parts[name]
"""
"""A class of a plug-in's own, of which its model is."""

KINDS: dict[str, Any] = {
    "logistic": (logistic, Logistic(kind="logistic", target="target", l2=1.0, max_iterations=50, max_rows=10**6, seed=1)),
    "ridge": (ridge, Ridge(kind="ridge", target="target", l2=1.0)),
    "lightgbm": (
        lightgbm,
        LightGBM(
            kind="lightgbm",
            target="target",
            trees=12,
            learning_rate=0.1,
            max_depth=4,
            leaves=7,
            feature_share=0.9,
            min_rows_leaf=10,
            l2=0.0,
            early_stopping=None,
            seed=1,
        ),
    ),
    "random_forest": (
        random_forest,
        RandomForest(
            kind="random_forest",
            target="target",
            trees=6,
            max_depth=5,
            feature_share=0.5,
            min_rows_leaf=8,
            row_share=0.7,
            max_rows=10**6,
            seed=1,
        ),
    ),
    "neural_network": (
        neural_network,
        NeuralNetwork(
            kind="neural_network",
            target="target",
            layers=[16, 8],
            dropout=0.0,
            learning_rate=0.01,
            l2=0.0,
            batch_rows=64,
            epochs=3,
            early_stopping=None,
            seed=1,
        ),
    ),
    "sklearn": (
        sklearn,
        Sklearn(
            kind="sklearn",
            target="target",
            estimator="sklearn.ensemble.HistGradientBoostingRegressor",
            settings={"max_iter": 10, "max_leaf_nodes": 5, "min_samples_leaf": 10},
            max_rows=None,
        ),
    ),
    "plugin": (plugin, fitted.plugin(re.sub(r"return (\{.*\})", r"return Kept(\1)", fitted.EXAMPLE) + KEPT)),
}


class World:
    """Raw live rows, the panels prepared of train and of live rows, and models trained on them."""

    def __init__(self, directory: Path, dtype: str, *, demean: bool = False, derived: tuple[str, ...] = (), components: int = 0) -> None:
        self.directory, self.dtype = directory, dtype
        rng = np.random.default_rng(3)
        train, self.live = self._drawn(rng, ERAS * ROWS), self._drawn(rng, LIVE_ROWS)
        self.live.index = pd.Index([f"n{number:012x}" for number in rng.permutation(LIVE_ROWS)], name="id")
        if dtype == "float32":
            self.live.iloc[5, 2] = self.live.iloc[70, 0] = np.nan
        era = np.repeat(np.arange(1, ERAS + 1), ROWS)
        values = train.to_numpy()
        signal = values[:, 0] - values[:, 1] + 0.5 * values[:, 2] * values[:, 3] + values.std() * rng.normal(size=len(values))
        target = np.searchsorted(np.quantile(signal, [0.05, 0.25, 0.75, 0.95]), signal) / 4
        extra = derived_features.derive(values, derived, schema.top(dtype))
        means = np.stack([values[era == number].mean(axis=0, dtype=np.float64) for number in range(1, ERAS + 1)]).astype(np.float32)
        self.panel = write_panel(
            directory / "train",
            values,
            {"target": target, "other": 1 - target},
            era,
            derived=dict(zip(derived, extra.T, strict=True)),
            era_means=means if demean else None,
        )
        # the live panel that is prepared with the training data; `prepare_live` needs nothing else
        self.like = write_panel(
            directory / "like",
            values[:2],
            {},
            np.array([-1, -1]),
            derived=dict(zip(derived, extra[:2].T, strict=True)),
            era_means=means[:1] if demean else None,
        )
        everything = FeatureMap(self.panel.names)
        self.features = (
            FeatureMap(self.panel.names, *pca.fit(view(self.panel), components))
            if components
            else FeatureMap(tuple(everything.columns[k] for k in range(len(self.panel.names)) if k != 5))
        )

    def _drawn(self, rng: np.random.Generator, rows: int) -> pd.DataFrame:
        values = rng.integers(0, 5, (rows, N_FEATURES))
        return pd.DataFrame(values.astype(np.int8) if self.dtype == "int8" else (values / 4).astype(np.float32), columns=NAMES)

    def fitted(self, name: str, target: str = "target", seed: int = 1) -> Fitted:
        kind, given = KINDS[name]
        changed = given.model_copy(update={"target": target} | ({"seed": seed} if hasattr(given, "seed") else {}))
        seen = view(self.panel, target=target)
        seen = type(seen)(self.panel, self.panel.eras, self.features, target)
        model: Fitted = kind.fit(changed, seen, None, None, Resources(1, 8 * GIB, self.directory / "scratch"))
        return model

    def pipeline(self, kinds: tuple[str, ...] = tuple(KINDS), **changed: Any) -> Pipeline:
        given: dict[str, Any] = {
            "models": {name: [self.fitted(name)] for name in kinds},
            "features": self.features,
            "weights": {name: float(number) for number, name in enumerate(kinds, 1)},
            "neutralization": Neutralization(("feature_3", "feature_0", "feature_5"), "riskiest", 1.0),
        }
        return Pipeline(**(given | changed))

    def expected(self, pipeline: Pipeline, name: str, live: pd.DataFrame) -> pd.Series:
        """Return the pipeline's own prediction of live rows, by id."""
        raw, prepared = self.directory / "live.parquet", self.directory / "prepared"
        live.assign(era="X", data_type="live").to_parquet(raw)
        files.remove(prepared)
        prepared.mkdir()
        preparation.prepare_live(raw, prepared, self.like)
        return pipeline.predict(Panel(prepared, []), [name]).set_index("id")[name]

    def function(self, pipeline: Pipeline, name: str) -> Callable[..., pd.DataFrame]:
        """Build the pickle, and return the function in it."""
        path = self.directory / f"{name}.pkl"
        build.write(build.content(pipeline, name, self.like), path, 50)
        function: Callable[..., pd.DataFrame] = pickle.loads(path.read_bytes())
        return function

    def check(self, pipeline: Pipeline, name: str, live: pd.DataFrame | None = None) -> NDArray[np.float64]:
        """Check that the pickle's prediction equals the pipeline's."""
        rows = self.live if live is None else live
        found = self.function(pipeline, name)(rows, pd.DataFrame(index=rows.index))
        assert found.columns.tolist() == ["prediction"]
        pd.testing.assert_index_equal(found.index, rows.index)
        wanted = self.expected(pipeline, name, rows).loc[rows.index].to_numpy()
        np.testing.assert_allclose(found["prediction"], wanted, rtol=0, atol=1e-9)
        return wanted


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("int8"), "int8")


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("float32"), "float32")


@pytest.fixture(scope="module")
def trained(world: World) -> Pipeline:
    return world.pipeline()


# ---- the pipeline's predictions


@pytest.mark.parametrize("name", [*KINDS, ENSEMBLE, NEUTRALIZED])
@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_each_prediction_is_the_pipelines(name: str, dtype: str, world: World, floats: World, trained: Pipeline) -> None:
    used = world if dtype == "int8" else floats
    pipeline = trained if dtype == "int8" else floats.pipeline((name,) if name in KINDS else ("ridge", "neural_network", "lightgbm"))
    assert np.ptp(used.check(pipeline, name)) > 0.01


@pytest.mark.parametrize("method", ["riskiest", "all", "none", "wisdom"])
@pytest.mark.parametrize("proportion", [1.0, 0.4])
def test_each_way_to_neutralize(method: str, proportion: float, world: World, trained: Pipeline) -> None:
    features = {"riskiest": tuple(NAMES[::-1]), "all": tuple(NAMES), "none": (), "wisdom": ("feature_5", "feature_2")}[method]
    pipeline = Pipeline(trained.models, trained.features, trained.weights, Neutralization(features, method, proportion))
    values = world.check(pipeline, NEUTRALIZED)
    live = world.live[list(features)].to_numpy(float)
    assert not features or proportion < 1 or np.abs(np.corrcoef(live.T, values)[-1, :-1]).max() < 1e-9
    world.check(pipeline, NEUTRALIZED, world.live.iloc[: 4 * N_FEATURES - 9])  # so few rows that `riskiest` is capped


def test_members_and_models_without_weight(world: World, trained: Pipeline) -> None:
    members = [world.fitted("lightgbm", target, seed) for target in ("target", "other") for seed in (1, 2)]
    pipeline = Pipeline(
        {**trained.models, "many": members}, trained.features, {"ridge": 0.3, "logistic": 0.0, "many": 0.7}, trained.neutralization
    )
    for name in ("many", ENSEMBLE, NEUTRALIZED):
        world.check(pipeline, name)
    assert set(build.content(pipeline, ENSEMBLE, world.like)["models"]) == {"ridge", "many"}


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize(
    "changes", [{"components": 4}, {"demean": True, "derived": DERIVED}, {"demean": True}, {"derived": DERIVED[1:]}], ids=str
)
def test_what_is_made_of_the_features(dtype: str, changes: dict[str, Any], tmp_path: Path) -> None:
    made = World(tmp_path, dtype, **changes)
    pipeline = made.pipeline(("ridge", "lightgbm", "neural_network", "random_forest"))
    for name in ("ridge", "lightgbm", "neural_network", "random_forest", NEUTRALIZED):
        made.check(pipeline, name)


def test_derived_features_can_be_what_is_neutralized_to_and_alone_what_is_seen(tmp_path: Path) -> None:
    made = World(tmp_path, "int8", derived=DERIVED)
    made.features = FeatureMap(DERIVED)
    pipeline = made.pipeline(("ridge", "lightgbm"), neutralization=Neutralization(("row_mean", "feature_2"), "riskiest", 0.5))
    for name in ("ridge", NEUTRALIZED):
        made.check(pipeline, name)


def test_constant_predictions_and_ties(world: World, trained: Pipeline) -> None:
    empty = trained.models["ridge"][0]
    constant = type(empty)(empty.mean, empty.std, np.zeros_like(empty.coefficients), 0.25)  # type: ignore[attr-defined,call-arg]
    alone = Pipeline({"ridge": [constant]}, trained.features, {"ridge": 1.0}, trained.neutralization)
    assert np.unique(world.check(alone, "ridge")).tolist() == [0.25]
    for name in (ENSEMBLE, NEUTRALIZED):
        assert np.unique(world.check(alone, name)).tolist() == [0.5]
    one_column = world.live.assign(**dict.fromkeys(NAMES[1:], np.int8(1)))
    for name in trained.models:
        assert len(np.unique(world.check(trained, name, one_column).round(12))) <= 5
    for name in (ENSEMBLE, NEUTRALIZED):
        world.check(Pipeline(trained.models, trained.features, trained.weights, Neutralization((), "none", 1.0)), name, one_column)


# ---- inputs


def test_rows_come_in_any_order_and_other_columns_are_ignored(world: World, trained: Pipeline) -> None:
    plain = world.function(trained, NEUTRALIZED)(world.live, pd.DataFrame())
    wide = world.live.assign(era="X", data_type="live", other=np.nan, feature_99=np.int8(1)).sample(frac=1, random_state=1)
    found = world.function(trained, NEUTRALIZED)(wide[wide.columns[::-1]], pd.DataFrame())
    pd.testing.assert_frame_equal(found, plain.loc[wide.index])
    assert not np.array_equal(found.index, plain.index)


def test_missing_values_are_the_middle_bin_whatever_their_type(world: World, trained: Pipeline) -> None:
    live = world.live.astype(np.float32)
    live.loc[live.index[::3], "feature_0"] = np.nan
    live.loc[live.index[1], NAMES] = np.nan
    function = world.function(trained, NEUTRALIZED)
    wanted = function(live, live)
    world.check(trained, NEUTRALIZED, live)
    middle = live.fillna(2).astype(np.int8)
    for given_live in (middle, live.astype("Int8"), live.astype(np.float64), live.astype("int8[pyarrow]"), live.fillna(2).astype(np.int64)):
        pd.testing.assert_frame_equal(function(given_live, given_live), wanted)


def test_only_what_is_needed_must_be_there(world: World, trained: Pipeline) -> None:
    alone = world.function(trained, "ridge")
    without = world.live.drop(columns="feature_5")
    pd.testing.assert_frame_equal(alone(without, without), alone(world.live, without))
    with pytest.raises(ValueError, match=r"feature 'feature_5' is missing \(1 of the 12 that are needed\)"):
        world.function(trained, NEUTRALIZED)(without, without)


def repeated(live: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([live, live[["feature_2"]]], axis=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda live: live.drop(columns=NAMES[3:6]), r"feature 'feature_3' is missing \(3 of the 12 that are needed\)"),
        (lambda live: live.iloc[:0], "there are no rows"),
        (lambda live: pd.concat([live, live.iloc[:1]]), "id 'n[0-9a-f]+' is there more than once"),
        (repeated, "feature 'feature_2' is there more than once"),
        (lambda live: live.assign(feature_1="a"), "feature 'feature_1' is of type"),
        (lambda live: live.assign(feature_1=True), "feature 'feature_1' is of type bool"),
        (lambda live: live.assign(feature_1=np.inf), "feature 'feature_1' holds an infinite value"),
        (lambda live: live.assign(feature_1=0.25), "feature 'feature_1' isn't all small whole numbers"),
        (lambda live: live.assign(feature_1=500), "feature 'feature_1' isn't all small whole numbers"),
        (lambda live: live.iloc[:4], "there are 4 rows, and 3 features and a constant span them"),
    ],
)
def test_bad_live_data_is_named(change: Callable[[pd.DataFrame], pd.DataFrame], message: str, world: World, trained: Pipeline) -> None:
    named = Pipeline(
        trained.models, trained.features, trained.weights, Neutralization(("feature_3", "feature_0", "feature_5"), "wisdom", 1.0)
    )
    live = change(world.live)
    with pytest.raises(ValueError, match=f"live_features: .*{message}"):
        world.function(named, NEUTRALIZED)(live, live)


def test_a_prediction_of_which_nothing_is_left_is_an_error(world: World, trained: Pipeline) -> None:
    live = world.live.assign(**dict.fromkeys(NAMES[1:], np.int8(1)), feature_0=np.int8(0))
    live.iloc[:30, 0] = 4
    alone = Pipeline({"ridge": trained.models["ridge"]}, trained.features, {"ridge": 1.0}, Neutralization(("feature_0",), "wisdom", 1.0))
    with pytest.raises(ValueError, match="the prediction is a linear function of the 1 features"):
        world.function(alone, NEUTRALIZED)(live, live)
    with pytest.raises(InputError, match="the prediction is a linear function of the 1 features"):
        world.expected(alone, NEUTRALIZED, live)


# ---- the parts, compared with the library's


@settings(max_examples=60)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 4), st.integers(0, 2**31))
def test_blends_are_those_of_the_ensemble_to_the_bit(values: list[int], models: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = {f"m{k}": rng.permutation(np.array(values, np.float64)) for k in range(models)}
    weights = {name: float(weight) for name, weight in zip(found, rng.random(models) + 0.1, strict=True)}
    wanted = blending.blend(pd.DataFrame(found), np.zeros(len(values), np.int64), weights)
    np.testing.assert_array_equal(runtime.blend(found, weights), wanted)


@settings(max_examples=40)
@given(st.integers(6, 80), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.integers(0, 2**31))
def test_neutralization_is_that_of_the_library(rows: int, k: int, proportion: float, collinear: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 5, (rows, k)).astype(np.int8)
    if collinear:
        features[:, -1] = 4 - features[:, 0]
    blended = runtime.ranks(rng.normal(size=rows))
    names = [f"f{number}" for number in range(k)]
    content: Any = {"features": names, "dtype": "int8", "demean": False}
    try:
        wanted = neutralization.neutralize_eras(blended, np.zeros(rows, np.int64), lambda _: features, proportion)
    except InputError:
        with pytest.raises(ValueError, match="live_features: "):
            runtime.neutralized(content, features, blended, names, False, proportion)
        return
    np.testing.assert_allclose(runtime.neutralized(content, features, blended, names, False, proportion), wanted, rtol=0, atol=1e-9)


# ---- content of the pickle


def strings(content: Any) -> list[str]:
    """Yield all texts in nested containers."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, Mapping):
        return [text for pair in content.items() for part in pair for text in strings(part)]
    return [text for item in content for text in strings(item)] if isinstance(content, list | tuple) else []


def test_the_pickle_is_a_call_of_eval_on_plain_data_and_the_same_each_time(world: World, trained: Pipeline, tmp_path: Path) -> None:
    content = build.content(trained, NEUTRALIZED, world.like)
    for number in range(2):
        assert build.write(copy.deepcopy(content), tmp_path / f"{number}.pkl", 50) == (tmp_path / f"{number}.pkl").stat().st_size
    pickled = (tmp_path / "0.pkl").read_bytes()
    assert pickled == (tmp_path / "1.pkl").read_bytes()
    operations = [(code.name, argument) for code, argument, _ in pickletools.genops(pickled)]
    names = [name for name, _ in operations]
    assert operations[0] == ("PROTO", 4)
    assert [names.count(name) for name in ("STACK_GLOBAL", "GLOBAL", "INST", "NEWOBJ", "NEWOBJ_EX", "BUILD", "REDUCE")] == [
        1,
        0,
        0,
        0,
        0,
        0,
        1,
    ]
    assert [argument for name, argument in operations[: names.index("STACK_GLOBAL")] if "UNICODE" in name] == ["builtins", "eval"]
    for secret in (str(ROOT), str(Path.home()), str(world.directory), sys.prefix):
        assert secret.encode() not in pickled
    assert not [text for text in strings(content) if "/" in text and "import" not in text and "tree_sizes" not in text]


def test_the_function_has_the_signature_that_numerai_looks_at(world: World, trained: Pipeline) -> None:
    assert list(inspect.signature(world.function(trained, "ridge")).parameters) == ["live_features", "live_benchmark_models"]
    path = world.directory / "ridge.pkl"
    assert callable(pd.read_pickle(path))


def test_the_shipped_text_is_python_3_10_and_imports_nothing_of_ours() -> None:
    tree = ast.parse(build.source(), feature_version=(3, 10))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - sys.stdlib_module_names == {"numpy", "pandas", "scipy", "lightgbm"}


def test_constants_are_those_of_the_library() -> None:
    from erawise.models.shared import common
    from erawise.scores import kernels, projection

    assert runtime.MIDDLE == {"int8": schema.INT8_MIDDLE, "float32": schema.FLOAT_MIDDLE}
    assert {name: schema.top(name) for name in runtime.TOP} == runtime.TOP
    assert (common.CHUNK_ROWS, neural_network.PREDICTED_ROWS) == (runtime.CHUNK_ROWS, runtime.NETWORK_ROWS)
    assert (neutralization.ROWS_A_FEATURE, projection.RCOND, kernels.VANISHED) == (runtime.ROWS_A_FEATURE, runtime.RCOND, runtime.VANISHED)


def test_a_pickle_that_is_too_large_is_not_written(world: World, trained: Pipeline, tmp_path: Path) -> None:
    content = build.content(trained, "lightgbm", world.like)
    with pytest.raises(InputError, match=r"upload\.max_megabytes: the pickle would have 0\.\d MB, more than 0\.001"):
        build.write(content, tmp_path / "x.pkl", 0.001)
    assert not list(tmp_path.iterdir())


def test_an_unknown_prediction_or_a_panel_without_a_feature_is_an_error(world: World, trained: Pipeline) -> None:
    with pytest.raises(InputError, match=r"upload\.prediction: there is no prediction 'x'; there are logistic, ridge"):
        build.content(trained, "x", world.like)
    lacking = Pipeline(trained.models, trained.features, trained.weights, Neutralization(("gone",), "wisdom", 1.0))
    with pytest.raises(InputError, match="the prepared data has no feature 'gone'"):
        build.content(lacking, NEUTRALIZED, world.like)


def test_the_pickle_is_read_where_nothing_of_ours_is(world: World, trained: Pipeline, tmp_path: Path) -> None:
    world.function(trained, NEUTRALIZED)
    world.live.to_parquet(tmp_path / "live.parquet")
    code = (
        "import pickle, sys, pandas\n"
        "with open(sys.argv[1], 'rb') as file: predict = pickle.load(file)\n"
        "live = pandas.read_parquet(sys.argv[2])\n"
        "predict(live, live[[]]).to_parquet(sys.argv[3])\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(loaded & {'erawise', 'stages', 'tensorflow', 'keras', 'numba'})"
    )
    places = [world.directory / f"{NEUTRALIZED}.pkl", tmp_path / "live.parquet", tmp_path / "out.parquet"]
    done = subprocess.run([sys.executable, "-I", "-c", code, *places], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "set()\n"
    wanted = world.expected(trained, NEUTRALIZED, world.live)
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "out.parquet")["prediction"], wanted.loc[world.live.index], rtol=0, atol=1e-9)


# ---- the proof


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Use this environment's own Python in place of one with Numerai's packages."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def ship(path: Path, body: str) -> Path:
    """Write a pickle whose function of two arguments has a body."""
    source = f"def predict(live_features, live_benchmark_models):\n    {body}\n"

    class Call:
        def __reduce__(self) -> Any:
            return eval, ("[space := {}, exec(source, space), space['predict']][-1]", {"source": source})

    path.write_bytes(pickle.dumps(Call(), 4))
    return path


def test_a_run_is_confined(here: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = tmp_path / "live.parquet"
    world.live.to_parquet(live)
    cores = "import os; return live_features.assign(prediction=float(len(os.sched_getaffinity(0))))[['prediction']]"
    found = proof.run(here, ship(tmp_path / "x.pkl", cores), live, None)
    assert found.predictions["prediction"].unique().tolist() == [1.0]
    assert 50e6 < found.peak_bytes < 2e9
    assert found.seconds < 60
    with pytest.raises(InputError, match=r"x\.pkl: it fails in 4 GiB of memory with Numerai's packages: .*a model runs without a network"):
        proof.run(here, ship(tmp_path / "x.pkl", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')"), live, None)
    with pytest.raises(InputError, match=r"it fails in 4 GiB .*MemoryError"):
        proof.run(here, ship(tmp_path / "x.pkl", "import numpy; return numpy.ones(5 * 2**29)"), live, None)
    monkeypatch.setattr(proof, "SECONDS", 4)
    with pytest.raises(InputError, match=r"x\.pkl: it takes more than 4 s"):
        proof.run(here, ship(tmp_path / "x.pkl", "import time; time.sleep(60)"), live, None)


def test_a_difference_is_found() -> None:
    wanted = pd.DataFrame({"id": ["a", "b", "c"], "prediction": [0.1, 0.5, 0.9]})
    found = wanted.set_index("id").loc[["c", "a", "b"]]
    assert proof.difference(found, wanted) == 0
    assert proof.difference(found + 5e-7, wanted) == pytest.approx(5e-7)
    for broken, message in (
        (found + 2e-6, "differ from the pipeline's by up to 2e-06, more than 1e-06; don't upload it"),
        (found * np.nan, "differ from the pipeline's by up to nan"),
        (found.iloc[:2], "gives 2 rows, and not the 3 ids"),
        (found.rename(index={"a": "x"}), "gives 3 rows, and not the 3 ids"),
        (found.rename(columns={"prediction": "p"}), "gives ['p'] by 'id'"),
        (found.rename_axis(None), "gives ['prediction'] by None"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            proof.difference(broken, wanted)


def test_predictions_that_are_close_in_another_order_are_found() -> None:
    wanted = pd.DataFrame({"id": ["a", "b", "c", "d"], "prediction": [0.1, 0.5, 0.5 + 1e-7, 0.5 + 1e-7]})
    found = wanted.set_index("id")
    assert proof.ranks(found["prediction"].to_numpy()).tolist() == [0, 1, 2, 2]
    tied = found.assign(prediction=[0.1, 0.5, 0.5 + 1e-7, 0.5 + 1e-7 - 1e-12])
    assert proof.difference(tied, wanted) == pytest.approx(1e-12, rel=0.01)
    for moved in ([0.1, 0.5 + 2e-7, 0.5 + 1e-7, 0.5 + 1e-7], [0.1, 0.5, 0.5, 0.5], [0.1, 0.5, 0.5 + 1e-7, 0.5 + 2e-7]):
        with pytest.raises(InputError, match=r"^upload: the pickle ranks \d of 4 rows otherwise than the pipeline; don't upload it$"):
            proof.difference(found.assign(prediction=moved), wanted)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 6), max_size=30), st.integers(0, 2**31))
def test_ranks_are_those_of_plain_counting_whatever_the_last_bits(values: list[int], seed: int) -> None:
    near = np.array(values, float) + np.random.default_rng(seed).uniform(-1e-10, 1e-10, len(values))
    assert proof.ranks(near).tolist() == [sorted(set(values)).index(value) for value in values]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty cache of environments, and uv that fetches no Python."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    return tmp_path / "erawise" / "numerai"


HERE = ".".join(map(str, sys.version_info[:2]))


def test_an_environment_is_set_up_once_and_again_when_it_is_not_whole(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version("threadpoolctl")
    monkeypatch.setattr(environments, "PINS", {HERE: {"threadpoolctl": version}})
    python = environments.interpreters([HERE])[HERE]
    code = "import importlib.metadata as m, sys; print(*sys.version_info[:2], *(f'{one.name}=={one.version}' for one in m.distributions()))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*HERE.split("."), f"threadpoolctl=={version}"]
    with monkeypatch.context() as nothing_runs:
        nothing_runs.delattr(environments, "_run")
        assert environments.interpreters([HERE]) == {HERE: python}
        (cache / HERE / environments.COMPLETE).write_text("[")
        with pytest.raises(NameError):
            environments.interpreters([HERE])


def test_what_an_environment_lacks_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "PINS", {"3.98": {}, HERE: {"numpy": "0.0.1"}, "3.99": {}})
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("PYENV_ROOT", str(cache))
    monkeypatch.setattr(installing, "configured", str)
    with pytest.raises(InputError) as raised:
        environments.interpreters(["3.98", HERE, "3.99"])
    lacking = "there is no Python {0} here, and uv can't bring it; run `uv python install {0}`, or choose another by --python"
    absent = f"Numerai's packages for Python {HERE} can't be installed (numpy==0.0.1 can't be had); check that pip reaches a package index"
    parts = "; ".join((lacking.format("3.98"), absent, lacking.format("3.99")))
    assert str(raised.value) == f"upload: the check can't be made: {parts}; or skip it with --no-check"
    assert not list(cache.rglob(environments.COMPLETE))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"uv isn't there, .* run `python -m pip install -r requirements-setup\.txt`"):
        environments.interpreters([HERE])


def test_the_pythons_that_can_be_chosen_are_those_whose_packages_are_known() -> None:
    choices = typing.get_args(typing.get_type_hints(command.upload)["python"])[0]
    assert list(typing.get_args(choices)) == [*environments.PINS, delivery.EVERY]
    assert environments.NEWEST == "3.13"
    assert all(set(pins) == set(trial.PACKAGES) for pins in environments.PINS.values())


def test_the_documented_packages_are_those_of_the_check() -> None:
    text = (ROOT / "docs/upload.md").read_text(encoding="utf-8")
    table = text.partition("<!-- pins -->\n")[2].partition("<!-- end of pins -->")[0]
    head, _, *lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()]
    assert {python: dict(zip(head[1:], versions, strict=True)) for python, *versions in lines} == environments.PINS
    assert environments.COMMIT in text
    assert f"checked on Python {environments.NEWEST}\n" in text
    assert f"the last {pickles.LOG_LINES} lines" in text


def lacking_pythons() -> list[str]:
    """Return the Pythons that are neither here nor can be fetched."""
    try:
        environments.interpreters(environments.PINS)
    except InputError as problem:
        lacking = re.findall(r"there is no Python (\S+) here", str(problem))
        if not lacking:
            raise
        return lacking
    return []


def test_the_command_builds_and_proves_with_numerais_packages_on_every_python(
    world: World, trained: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, upload_to = tmp_path / "raw", tmp_path / "upload"
    raw.mkdir()
    world.live.assign(era="X", data_type="live").to_parquet(raw / "live.parquet")
    world.live[[]].assign(benchmark=0.5).to_parquet(raw / "live_benchmark_models.parquet")
    files.write_json({"models": list(trained.models)}, tmp_path / "members.json")
    for name, value in {
        "PARAMS": ROOT / "params.yaml",
        "RAW": raw,
        "LIVE": world.directory / "like",
        "MEMBERS": tmp_path / "members.json",
        "UPLOAD": upload_to,
    }.items():
        monkeypatch.setattr(paths, name, value)
    found = served.Served(trained, Panel(world.directory / "like", []), {}, {})
    monkeypatch.setattr(served, "read", lambda p, names: found)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    upload_to.mkdir()
    lacking = lacking_pythons()
    pins = {python: pins for python, pins in environments.PINS.items() if python not in lacking}
    monkeypatch.setattr(environments, "PINS", pins)
    delivery.deliver(raw / "live.parquet", None, 0, delivery.EVERY, check=True)
    checked = json.loads((upload_to / "check.json").read_text())
    assert checked["prediction"] == NEUTRALIZED
    assert checked["rows"] == LIVE_ROWS
    assert checked["pickle"]["bytes"] == (upload_to / f"{NEUTRALIZED}.pkl").stat().st_size
    assert list(checked["pythons"]) == list(pins)
    for python, ran in checked["pythons"].items():
        assert ran["largest_difference"] <= 1e-9
        assert ran["versions"].pop("python").startswith(f"{python}.")
        assert ran["versions"] == pins[python]
    said = capsys.readouterr().out
    assert re.findall(r"packages of Python (\S+) on 90 rows of .*: the same ranks as the pipeline", said) == list(pins)
    assert not list(tmp_path.rglob("*.partial"))
    if lacking:
        pytest.skip(f"proven on {', '.join(pins)}; this machine has no Python {', '.join(lacking)}, and uv can't bring it")
