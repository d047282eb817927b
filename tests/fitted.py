"""Small models of every kind, fitted on rows with a planted signal."""

import hashlib
import importlib
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from closure import ROOT
from numpy.typing import NDArray
from panels import view, write_panel

from erawise.models.lightgbm.settings import LightGBM
from erawise.models.logistic.settings import Logistic
from erawise.models.neural_network.settings import NeuralNetwork
from erawise.models.plugin.settings import Plugin
from erawise.models.random_forest.settings import RandomForest
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.protocol import GIB, Resources
from erawise.models.sklearn.settings import Sklearn
from erawise.panel.panel import Panel, View

KINDS = ("logistic", "ridge", "lightgbm", "random_forest", "neural_network", "sklearn")
EXPLAINED = tuple(kind for kind in KINDS if kind != "sklearn")
"""The kinds with SHAP values."""
N_FEATURES, CONSTANT = 10, 5
TRAIN, INNER, TEST = range(1, 13), range(13, 17), range(17, 25)

SETTINGS: dict[str, Any] = {
    "logistic": Logistic(kind="logistic", target="target", l2=10.0, max_iterations=200, max_rows=1500, seed=1),
    "ridge": Ridge(kind="ridge", target="target", l2=10.0),
    "lightgbm": LightGBM(
        kind="lightgbm",
        target="target",
        trees=150,
        learning_rate=0.05,
        max_depth=4,
        leaves=12,
        feature_share=0.5,
        min_rows_leaf=20,
        l2=0.0,
        early_stopping=15,
        seed=1,
    ),
    "random_forest": RandomForest(
        kind="random_forest",
        target="target",
        trees=20,
        max_depth=6,
        feature_share=0.4,
        min_rows_leaf=10,
        row_share=0.5,
        max_rows=1500,
        seed=1,
    ),
    "neural_network": NeuralNetwork(
        kind="neural_network",
        target="target",
        layers=[16, 8],
        dropout=0.1,
        learning_rate=0.01,
        l2=0.0001,
        batch_rows=128,
        epochs=12,
        early_stopping=3,
        seed=1,
    ),
    "sklearn": Sklearn(
        kind="sklearn",
        target="target",
        estimator="sklearn.ensemble.HistGradientBoostingRegressor",
        settings={"max_iter": 60, "max_leaf_nodes": 12, "min_samples_leaf": 10},
        max_rows=1500,
        seed=1,
    ),
}


EXAMPLE = re.findall(r"^```python\n(.*?)^```$", (ROOT / "plugins/README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
"""The plug-in of the page on plug-ins."""


def plugin(text: str = EXAMPLE, **values: Any) -> Plugin:
    """Return the settings of a plug-in, bound to a source."""
    made = Plugin.model_validate({"kind": "plugin", "plugin": "mine", "target": "target", "settings": {"l2": 1.0}} | values)
    made._text, made._digest = text, hashlib.sha256(text.encode()).hexdigest()
    return made


def changed(kind: str, **values: Any) -> Any:
    return SETTINGS[kind].model_copy(update=values)


def module(kind: str) -> Any:
    return importlib.import_module(f"erawise.models.{kind}.model")


def fit(kind: str, train: View, inner: View | None, rounds: int | None = None, **values: Any) -> Any:
    kind_module, settings = module(kind), changed(kind, **values)
    with tempfile.TemporaryDirectory() as scratch:
        resources = Resources(1, 8 * GIB, Path(scratch))
        return kind_module.fit(settings, train, inner if kind_module.stops_early(settings) else None, rounds, resources)


def planted(rng: np.random.Generator, eras: int = 24, rows: int = 150) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int64]]:
    """Draw features of five bins, one of them constant, and a target in five bins with a linear and a product part."""
    x = rng.integers(0, 5, (eras * rows, N_FEATURES)).astype(np.int8)
    x[:, CONSTANT] = 2
    z = (x - 2.0) / np.sqrt(2)
    signal = 0.5 * z[:, 0] - 0.4 * z[:, 1] + 0.4 * z[:, 2] * z[:, 3] + rng.standard_normal(len(x))
    era = np.repeat(np.arange(1, eras + 1), rows)
    bounds = np.quantile(signal, [0.05, 0.25, 0.75, 0.95])
    return x, (np.searchsorted(bounds, signal) / 4).astype(np.float32), era


def write_planted(directory: Path, dtype: str) -> Panel:
    x, target, era = planted(np.random.default_rng(0))
    shuffled = np.random.default_rng(1).permutation(target)
    features = x if dtype == "int8" else (x / 4).astype(np.float32)
    return write_panel(directory, features, {"target": target, "shuffled": shuffled}, era)


def fit_all(directory: Path) -> None:
    """Save a model of each kind with SHAP values that stops early, if it can, and one of three rounds."""
    panel = write_planted(directory / "panel", "int8")
    for kind in EXPLAINED:
        for name, inner in (("stopped", view(panel, INNER)), ("counted", None)):
            (directory / kind / name).mkdir(parents=True)
            fit(kind, view(panel, TRAIN), inner, 3).save(directory / kind / name)
