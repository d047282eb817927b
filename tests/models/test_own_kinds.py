"""Models of scikit-learn's interface and of plug-ins: refusals, storage, and the same predictions without this package."""

import os
import pickle
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closure import ROOT
from fitted import EXAMPLE, TEST, TRAIN, fit, plugin, write_planted
from numpy.typing import NDArray
from panels import view

from erawise.base import files
from erawise.models.plugin import model as plugins
from erawise.models.shared import arrays, common, objects
from erawise.models.shared.protocol import GIB, Resources, require_complete
from erawise.models.sklearn import estimators
from erawise.models.sklearn import model as sklearn
from erawise.models.sklearn.settings import Sklearn
from erawise.panel.panel import Panel
from erawise.running.errors import InputError
from erawise.upload import runtime

RESOURCES = Resources(1, GIB, Path("scratch"))


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    return write_planted(tmp_path_factory.mktemp("panel") / "int8", "int8")


def entry(estimator: str, settings: dict[str, Any] | None = None, **values: Any) -> Sklearn:
    return Sklearn(kind="sklearn", target="target", estimator=estimator, settings=settings or {}, **values)


def shipped(model: Any) -> tuple[str, dict[str, Any]]:
    name, parts = model.portable()
    return name, {key: part if isinstance(part, str) else arrays.encoded(part) for key, part in parts.items()}


def predicted_elsewhere(model: Any, x: NDArray) -> NDArray[np.float64]:
    """Return the predictions of the code that is uploaded."""
    name, parts = shipped(model)
    return runtime.MEMBERS[name](parts, x)


# ---- estimators


@pytest.mark.parametrize(
    ("estimator", "settings", "message"),
    [
        ("sklearn.ensemble.HistGradientBoosting", {}, "sklearn.ensemble has no such class HistGradientBoosting; it has .*did you mean"),
        ("sklearn.nowhere.Ridge", {}, "sklearn.nowhere can't be imported"),
        (
            "sklearn.linear_model.Ridge",
            {"alfa": 1.0},
            r"settings\.alfa: sklearn\.linear_model\.Ridge has no such setting; .*did you mean alpha\?",
        ),
        ("sklearn.linear_model.Ridge", {"alpha": -1.0}, "settings: sklearn.linear_model.Ridge refuses them: The 'alpha' parameter"),
        ("sklearn.linear_model.Ridge", {"random_state": 1}, r"settings\.random_state: the model's seed is used for it"),
        ("sklearn.linear_model.LogisticRegression", {}, "is a classifier; expected a regressor"),
        ("sklearn.cluster.KMeans", {}, "is a clusterer; expected a regressor"),
        ("sklearn.preprocessing.StandardScaler", {}, "has no predict; expected a regressor"),
    ],
)
def test_an_estimator_that_cannot_be_used_is_named_before_it_is_fitted(estimator: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        entry(estimator, settings).require_usable()


@pytest.mark.parametrize(("path", "message"), [("Ridge", "expected the path of a class"), ("nolib.Ridge", "there is no package nolib")])
def test_a_path_that_leads_nowhere_is_an_error_of_the_settings(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        entry(path)


def test_seed_and_threads_are_set_where_the_estimator_accepts_them() -> None:
    forest = estimators.made("sklearn.ensemble.RandomForestRegressor", {"n_estimators": 3}, 5, 2).get_params()
    assert (forest["random_state"], forest["n_jobs"], forest["n_estimators"]) == (5, 2, 3)
    assert estimators.made("sklearn.linear_model.Ridge", {}, 5, 2).get_params()["random_state"] == 5
    assert [variant.seed for variant in entry("sklearn.linear_model.Ridge", seeds=[1, 2]).variants.values()] == [1, 2]
    assert entry("sklearn.linear_model.Ridge").seed == 0


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("linear_model.Ridge", {"alpha": 5.0}),
        ("tree.DecisionTreeRegressor", {"max_depth": 4}),
        ("ensemble.ExtraTreesRegressor", {"n_estimators": 4, "max_depth": 5, "n_jobs": 2}),
        ("ensemble.GradientBoostingRegressor", {"n_estimators": 5}),
        ("ensemble.HistGradientBoostingRegressor", {"max_iter": 8, "min_samples_leaf": 5}),
        ("neural_network.MLPRegressor", {"hidden_layer_sizes": [8, 4], "max_iter": 300, "tol": 0.1}),
    ],
)
def test_what_is_made_of_features_trees_or_layers_predicts_the_same_as_arrays(name: str, settings: dict[str, Any], panel: Panel) -> None:
    model = sklearn.fit(entry(f"sklearn.{name}", settings, max_rows=600), view(panel, TRAIN), None, None, RESOURCES)
    x = view(panel, TEST).matrix()
    np.testing.assert_allclose(predicted_elsewhere(model, x), model.predict(x), rtol=0, atol=1e-6)
    assert np.ptp(model.predict(x)) > 0.01
    assert np.isfinite(model.importance()).all() or "MLP" in name


def test_an_estimator_that_only_its_package_can_predict_cannot_be_uploaded(panel: Panel) -> None:
    model = sklearn.fit(entry("sklearn.neighbors.KNeighborsRegressor", max_rows=300), view(panel, TRAIN), None, None, RESOURCES)
    assert np.isnan(model.importance()).all()
    with pytest.raises(InputError, match=r"sklearn\.neighbors\.KNeighborsRegressor can't be uploaded: Numerai has another version"):
        model.portable()


def test_a_fit_that_fails_or_predicts_what_is_no_number_is_one_line(panel: Panel) -> None:
    with pytest.raises(
        InputError, match=r"sklearn\.ensemble\.HistGradientBoostingRegressor can't be fitted with these settings: categorical_features"
    ):
        sklearn.fit(
            entry("sklearn.ensemble.HistGradientBoostingRegressor", {"categorical_features": ["a"]}),
            view(panel),
            None,
            None,
            RESOURCES,
        )
    with pytest.raises(InputError, match=r"x gave predictions of shape \(3, 1\); expected \(3,\), one for each row"):
        common.checked("x", np.zeros((3, 1)), 3)
    with pytest.raises(InputError, match="x gave 2 predictions of 3 that are NaN or infinite"):
        common.checked("x", [np.nan, 1, np.inf], 3)
    with pytest.raises(InputError, match="x gave dict, not numbers"):
        common.checked("x", {}, 3)


def test_memory_counts_the_rows_and_their_copies(panel: Panel) -> None:
    train = view(panel, TRAIN)
    [needed] = sklearn.needs(entry("sklearn.linear_model.Ridge", max_rows=100), [(train, None)], RESOURCES)
    assert needed == 100 * 10 * (1 + 4 + 8) + train.n_rows * 64
    with pytest.raises(InputError, match=r"1,800 rows of 10 features, as they are and as floats \(max_rows\) need"):
        sklearn.needs(entry("sklearn.linear_model.Ridge"), [(train, None)], Resources(1, 2**20, Path("scratch")))


STORED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from fitted import TRAIN, fit
from panels import view
from erawise.panel.panel import Panel
fit("sklearn", view(Panel(Path({panel!r})), TRAIN), None).save(Path(sys.argv[1]))
print(hash("a seed of hashes"))
"""


def test_two_processes_save_the_same_bytes(tmp_path: Path, commands: Path) -> None:
    """Compare with a fork of a process that has drawn its own seed of hashes."""
    panel, program = write_planted(tmp_path / "panel", "int8"), tmp_path / "program.py"
    program.write_text(STORED.format(tests=str(ROOT / "tests"), panel=str(tmp_path / "panel")))
    here, there = (tmp_path / name for name in ("here", "there"))
    here.mkdir()
    there.mkdir()
    command = [str(commands / "python"), str(program), str(there)]
    told = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "PYTHONHASHSEED" in os.environ or told != f"{hash('a seed of hashes')}\n"
    fit("sklearn", view(panel, TRAIN), None).save(here)
    assert (here / sklearn.FILE).read_bytes() == (there / sklearn.FILE).read_bytes()


class Foreign:
    """A class of no package that a model may be of."""


def test_a_file_with_a_type_of_another_package_is_refused(tmp_path: Path) -> None:
    objects.save({"a": Foreign()}, tmp_path / "model.skops", {"estimator": "sklearn.svm.SVR", "features": 1})
    with pytest.raises(InputError, match=r"model\.skops: .* it holds .*Foreign, which isn't of numpy, scipy, sklearn"):
        sklearn.load(tmp_path)
    with zipfile.ZipFile(tmp_path / "model.skops") as content:
        assert {entry.date_time for entry in content.infolist()} == {(1980, 1, 1, 0, 0, 0)}


# ---- plug-ins


def run(text: str, panel: Panel, **values: Any) -> plugins.PluginModel:
    settings = plugin(text, **values)
    settings.require_usable()
    return plugins.fit(settings, view(panel, TRAIN), None, None, RESOURCES)


STORING = """
import json

class Mean:
    def __init__(self, value):
        self.value = value

def fit(x, y, era, settings, seed):
    return Mean(float(y.mean()))

def predict(model, x):
    return model.value + x[:, 0]
"""
SAVING = """
def save(model, directory):
    (directory / "mean.json").write_text(json.dumps(model.value))

def load(directory):
    return Mean(json.loads((directory / "mean.json").read_text()))
"""


@pytest.mark.parametrize("text", [EXAMPLE, STORING, STORING + SAVING], ids=["the page's", "a class", "save and load"])
def test_a_plug_in_is_fitted_stored_and_read(text: str, panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_complete(plugins)
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "plugins/mine.py"
    own.parent.mkdir()
    own.write_text(text)
    settings = plugin(text).made_of(Path("plugins/mine.py"), files.digest(own))
    model = plugins.fit(settings, view(panel, TRAIN), None, None, RESOURCES)
    x = view(panel, TEST).matrix()
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        model.save(tmp_path / place)
    read = plugins.load(tmp_path / "one")
    for other in (read, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
    assert files.digest(*sorted((tmp_path / "one").rglob("*.*"))) == files.digest(*sorted((tmp_path / "two").rglob("*.*")))
    np.testing.assert_array_equal(predicted_elsewhere(model, x), model.predict(x))
    assert np.isnan(model.importance()).all()
    assert model.predict(x[:0]).shape == (0,)
    plugin(text + "\n").require_usable()  # another version, whose classes have the same names
    np.testing.assert_array_equal(predicted_elsewhere(model, x), model.predict(x))
    own.write_text(text + "\n")
    with pytest.raises(
        InputError, match=r"^plugins/mine\.py: it has changed since .*one was fitted; run `dvc repro`, or restore the file$"
    ):
        plugins.load(tmp_path / "one")


def test_the_page_s_plug_in_learns_and_weighs_eras_alike(panel: Panel) -> None:
    test = view(panel, TEST)
    assert common.EraCorrelation.from_view(test)(run(EXAMPLE, panel).predict(test.matrix())) > 0.4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def predict(model, x)", "def forecast(model, x)", r"it has no function predict\(model, x\); plugins/README\.md has an example"),
        ("(x, y, era, settings, seed)", "(x, y)", r"fit can't be called as fit\(x, y, era, settings, seed\): too many positional"),
        ("import numpy", "import numpi", r"plugins/mine\.py, line 3: ModuleNotFoundError: No module named 'numpi'"),
        ("return {", "return {{", r"plugins/mine\.py, line \d+: SyntaxError: "),
        ('settings["l2"]', 'settings["l1"]', r"^plugins/mine\.py, line 11, in fit: KeyError: 'l1'$"),
        ("return (x - ", "return 0 / 0 + (x - ", r"^plugins/mine\.py, line 16, in predict: ZeroDivisionError: division by zero$"),
        (
            '@ model["weights"]',
            '@ model["weights"][:, None]',
            r"^plugins/mine\.py: predict gave predictions of shape \(100, 1\); expected \(100,\)",
        ),
        ('@ model["weights"]', '@ model["weights"] * np.nan', r"^plugins/mine\.py: predict gave 100 predictions of 100 that are NaN"),
        ("return (x - ", "x += 1; return (x - ", r"^plugins/mine\.py, line 16, in predict: ValueError: output array is read-only$"),
        (
            'return {"mean"',
            'return {"f": lambda: 1, "mean"',
            r"plugins/mine\.py: the model of fit can't be stored without a pickle: .*<lambda>.*; write save\(model, directory\)",
        ),
    ],
)
def test_a_plug_in_that_fails_is_one_line_with_its_place(old: str, new: str, message: str, panel: Panel) -> None:
    assert old in EXAMPLE
    with pytest.raises(InputError, match=message) as caught:
        run(EXAMPLE.replace(old, new), panel)
    assert "\n" not in str(caught.value)


def test_save_and_load_must_fit_together(panel: Panel) -> None:
    with pytest.raises(InputError, match=r"it has no function load\(directory\)"):
        run(STORING + SAVING.partition("def load")[0], panel)
    with pytest.raises(InputError, match="its model predicts otherwise after it was stored and read; check save, load and predict"):
        run(STORING + re.sub(r"Mean\(json.*", "Mean(0.0)", SAVING), panel)


def test_an_object_of_a_package_of_another_version_is_not_uploaded(panel: Panel) -> None:
    text = """
from sklearn.linear_model import Ridge

def fit(x, y, era, settings, seed):
    return Ridge().fit(x, y)

def predict(model, x):
    return model.predict(x)
"""
    model = run(text, panel)
    with pytest.raises(InputError, match=r"plugins/mine\.py: its model holds an object of sklearn\.linear_model\._ridge, of which Numerai"):
        model.portable()
