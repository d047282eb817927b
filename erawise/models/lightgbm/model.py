"""Gradient-boosted trees: LightGBM on binned features, int8 or float32, read from files that are written once."""

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from erawise.base import files
from erawise.base.schema import INT8_TOP
from erawise.models.lightgbm import binary, text
from erawise.models.lightgbm.binned import BIN_SAMPLE_ROWS, Files, Store, parts
from erawise.models.lightgbm.settings import LightGBM as Settings
from erawise.models.shared import arrays, common
from erawise.models.shared.protocol import GIB, PREDICTION_UNIT, Attribution, Portable, Resources
from erawise.panel.panel import View
from erawise.running.errors import InputError

# LightGBM reads this on import. Otherwise its threads spin while they wait, and are many times slower on busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
with common.collector_waiting():
    import lightgbm

# Warnings when datasets are joined: there is no raw data to keep, and no categorical feature.
warnings.filterwarnings("ignore", "Cannot add features from|Resetting categorical features", UserWarning)

FILE = "model.txt"
INNER, SCORE = "inner", "mean_correlation"
FLOAT_BINS = 255

MIN_WALKS = 2**20
"""Least rows times trees of a block for our own prediction: to compile it takes as long as LightGBM needs for many such blocks."""

ROW_BYTES = 48
"""Memory for each row in addition to its features: label, score, gradient, hessian, the rows of the leaves, and working copies."""

LOADED = 1.05
"""Memory of joined files, relative to their size: LightGBM keeps the codes at 4 bits a value."""

HISTOGRAM_BYTES = 16
"""Memory for each bin of each leaf."""


class Leafy(Protocol):
    """Settings of trees."""

    @property
    def leaves(self) -> int:
        """The most leaves of a tree."""


@dataclass(frozen=True)
class Trees:
    """Boosted trees, kept as LightGBM's text.

    Parameters
    ----------
    text : the model.
    rounds : trees that early stopping found best, or that were asked for; None for a model from a file.
    threads : threads that predict; their number changes no bit.
    """

    text: str
    rounds: int | None = None
    threads: int = 1

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.text)

    @cached_property
    def _predicting(self) -> Callable[[NDArray, int], NDArray[np.float64]] | None:
        """Our own prediction, equal to LightGBM's bit by bit; None if it doesn't support the model."""
        from erawise.models.lightgbm.scorer import Scorer

        try:
            return Scorer.from_text(self.text).predict
        except ValueError:
            return None

    def __reduce__(self) -> tuple[type["Trees"], tuple[str, int | None, int]]:
        return Trees, (self.text, self.rounds, self.threads)

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features).

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        if len(x) * self._booster.num_trees() >= MIN_WALKS and self._predicting is not None:
            return self._predicting(x, self.threads)
        return common.predict_in_chunks(self._booster.predict, x, self._booster.num_feature())

    def importance(self) -> NDArray[np.float64]:
        """Return the (features,) share of each feature in the gain of all splits."""
        return _gain_shares(self._booster)

    def tree_importance(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the (features,) share of each feature in the gain of all splits, and in their number."""
        return self.importance(), common.shares(self._booster.feature_importance("split"))

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> Attribution:
        """Return LightGBM's own exact TreeSHAP values, by the rows of the fit that took each path.

        Source: Lundberg, Erion & Lee (2018), Consistent individualized feature attribution for tree ensembles, algorithm 2.
        """
        booster = self._booster

        def explained(x: NDArray) -> NDArray[np.float64]:
            found: NDArray[np.float64] = booster.predict(x, pred_contrib=True, num_threads=threads)
            return found

        base = float(explained(sample[:1])[0, -1])
        return Attribution(PREDICTION_UNIT, base, lambda x: explained(x)[:, :-1], self.predict)

    def portable(self) -> Portable:
        """Return LightGBM's text."""
        return "trees", {"text": self.text}

    def save(self, directory: Path) -> None:
        """Write `model.txt` into the directory."""
        with files.replacing(directory / FILE) as temporary:
            temporary.write_text(self.text, encoding="utf-8", newline="\n")


def stops_early(settings: Settings) -> bool:
    return settings.early_stopping is not None


def steps(settings: Settings) -> tuple[int, str]:
    return settings.trees, "trees"


def load(directory: Path) -> Trees:
    """Read a model that `save` has written.

    Raises
    ------
    InputError
        If the file is missing, is no LightGBM model, or could lead a prediction out of its arrays or into a cycle.
    """
    path = directory / FILE
    try:
        content = path.read_text(encoding="utf-8")
        reason = text.why_broken(content)
        if reason:
            raise arrays.broken(path, reason)
        model = Trees(content)
        model.importance()  # LightGBM parses the text here, so that its refusal names the file
        return model
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; train the model again") from None
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise arrays.broken(path, str(error)) from None


def needs(settings: Leafy, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
    """Return the bytes that each fit needs, from its binned features if they are already written.

    Raises
    ------
    InputError
        If one has no row, or needs more memory than it may have.
    """
    return _planned(settings, folds, resources)[0]


def prepare(settings: Leafy, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
    """Write the missing binned features of all fits in one pass; models on the same rows share them.

    Parameters
    ----------
    settings : settings of the trees to fit.
    folds : for each fit its training rows, and the inner slice on which it stops.

    Returns
    -------
    How many of the fits may run at once.

    Raises
    ------
    InputError
        If one has no row, or needs more memory than it may have; or if the disk hasn't the space.
    """
    needed, missing = _planned(settings, folds, resources)
    at_once = resources.side_by_side(needed)
    _store(resources).write(missing)
    return at_once


def fit(settings: Settings, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Trees:
    """Fit boosted trees on the squared error.

    With `inner` and early stopping, up to `settings.trees` trees are grown; the trees up to the best mean per-era correlation on
    `inner` are kept. Otherwise there are `rounds` trees, or `settings.trees` if `rounds` is None. With too few rows for a split the
    model is a constant.

    Raises
    ------
    InputError
        If `train` has no row, or the fit needs more memory than it may have.
    """
    options = {
        **_options(settings.learning_rate, settings.leaves, settings.seed, resources),
        "max_depth": settings.max_depth,
        "feature_fraction": settings.feature_share,
        "min_data_in_leaf": settings.min_rows_leaf,
        "lambda_l2": settings.l2,
    }
    common.require_rows(train, settings.target)
    if inner is None or settings.early_stopping is None:
        trees = settings.trees if rounds is None else rounds
        booster = _boost(options, train, None, trees, resources)
    else:
        common.require_rows(inner, settings.target)
        booster = _boost(options, train, inner, settings.trees, resources, settings.early_stopping)
        trees = max(booster.best_iteration, 1)
        if booster.best_score[INNER][SCORE] <= 0:
            return Trees(booster.model_to_string(num_iteration=trees, importance_type="gain"), None, resources.threads)
    return Trees(booster.model_to_string(num_iteration=trees, importance_type="gain"), trees, resources.threads)


def importance_of_first(
    train: View, *, trees: int, learning_rate: float, leaves: int, seed: int, resources: Resources
) -> NDArray[np.float64]:
    """Return the (features,) share of each feature in the gain of a first model, for choosing features; all 0 without a split.

    Every tree may use every feature. The other options are LightGBM's defaults.
    """
    if not train.n_rows:
        raise InputError("data.target: it has no value in the eras to select features on; choose another target")
    options = _options(learning_rate, leaves, seed, resources)
    return _gain_shares(_boost(options, train, None, trees, resources))


def required_bytes(sizes: Sequence[int], rows: int, features: int, leaves: int, bins: int) -> int:
    """Return the peak memory of a fit on files of these sizes and on so many rows, without the process itself.

    LightGBM loads each file with a second buffer. The first file keeps its buffer; another file has it until it is joined.
    """
    loading = 3 * max(sizes, default=0)
    return int(sum(sizes) * LOADED) + loading + rows * ROW_BYTES + leaves * features * bins * HISTOGRAM_BYTES


def _planned(settings: Leafy, folds: Sequence[tuple[View, View | None]], resources: Resources) -> tuple[list[int], list[binary.Source]]:
    """Return the bytes that each fit needs, and the binned features that don't exist yet."""
    for view in (view for fold in folds for view in fold if view is not None):
        common.require_rows(view, str(view.target_name))
    found, missing = _store(resources).plan(folds)
    return [_require(own, *fold, settings.leaves, resources) for own, fold in zip(found, folds, strict=True)], missing


def _require(own: Files, train: View, inner: View | None, leaves: int, resources: Resources) -> int:
    """Check that a fit has the memory that it needs, and return how much it needs."""
    rows, features = train.n_rows + (0 if inner is None else inner.n_rows), len(train.names)
    needed = required_bytes(own.sizes, rows, features, leaves, _bins(train.dtype))
    resources.require(needed, f"LightGBM on {rows:,} rows and {features:,} features")
    return needed


def _options(learning_rate: float, leaves: int, seed: int, resources: Resources) -> dict[str, Any]:
    return {
        "objective": "regression",
        "metric": "None",
        "learning_rate": learning_rate,
        "num_leaves": leaves,
        "seed": seed,
        "num_threads": resources.threads,
        "device_type": resources.device,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }


def _of_dataset(dtype: np.dtype) -> dict[str, Any]:
    """Return the options of a dataset, which are the same for all models on it."""
    return {
        "max_bin": _bins(dtype),
        "bin_construct_sample_cnt": BIN_SAMPLE_ROWS,
        "enable_bundle": False,
        "is_enable_sparse": False,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def _bins(dtype: np.dtype) -> int:
    return INT8_TOP + 1 if dtype == np.int8 else FLOAT_BINS


def _store(resources: Resources) -> Store:
    made_by = repr((lightgbm.__version__, _of_dataset(np.dtype(np.int8)), _of_dataset(np.dtype(np.float32))))
    return Store(resources.scratch, resources.threads, _layout, made_by)


def _layout(sample: NDArray, first: int) -> binary.Layout:
    """Return LightGBM's layout of a sample (rows, features), with its bins; `first` is the number of the first feature."""
    names = [f"column_{first + k}" for k in range(sample.shape[1])]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sample"
        lightgbm.Dataset(sample, params=_of_dataset(sample.dtype), feature_name=names).construct().save_binary(path)
        return binary.learn(path.read_bytes(), sample)


def _boost(
    options: dict[str, Any], train: View, inner: View | None, trees: int, resources: Resources, patience: int = 0
) -> lightgbm.Booster:
    store = _store(resources)
    [own], missing = store.plan([(train, inner)])
    needed = _require(own, train, inner, options["num_leaves"], resources)
    store.write(missing)
    common.give_back()
    try:
        return _grow(options, own, train, inner, trees, patience, resources)
    except lightgbm.basic.LightGBMError as error:
        if resources.device != "cpu":
            raise InputError(f"resources.device: LightGBM can't grow trees on {resources.device!r} ({error}); set it to cpu") from None
        if "bad_alloc" in str(error):
            raise InputError(f"LightGBM was given less memory than the {needed / GIB:.2f} GiB that it needs; free some") from None
        raise InputError(f"LightGBM: {error}; remove {resources.scratch} if its files may be damaged, and run again") from None


def _grow(
    options: dict[str, Any], own: Files, train: View, inner: View | None, trees: int, patience: int, resources: Resources
) -> lightgbm.Booster:
    shape = {**options, **_of_dataset(train.dtype)}
    data = _load(own.train, train, shape)

    def count(_: lightgbm.callback.CallbackEnv) -> None:
        resources.step()

    if inner is None or own.inner is None:
        return lightgbm.train(options, data, trees, callbacks=[count], keep_training_booster=True)
    score = common.EraCorrelation.from_view(inner)

    def mean_correlation(prediction: NDArray, _: lightgbm.Dataset) -> tuple[str, float, bool]:
        return SCORE, score(prediction), True

    def note(state: lightgbm.callback.CallbackEnv) -> None:
        resources.log(state.iteration + 1, next(value for _, name, value, _ in state.evaluation_result_list if name == SCORE))

    return lightgbm.train(
        options,
        data,
        trees,
        valid_sets=[_load(own.inner, inner, shape, data)],
        valid_names=[INNER],
        feval=mean_correlation,
        callbacks=[count, note, lightgbm.early_stopping(patience, first_metric_only=True, verbose=False)],
        keep_training_booster=True,
    )


def _load(directory: Path, view: View, shape: dict[str, Any], reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    """Load a dataset from its files: LightGBM copies the features of each to the first file, without their second buffer."""
    first, *others = parts(directory)
    data = lightgbm.Dataset(first, view.target, reference=reference, params=shape).construct()
    for path in others:
        data.add_features_from(lightgbm.Dataset(path, params=shape).construct())
    common.give_back()
    return data


def _gain_shares(booster: lightgbm.Booster) -> NDArray[np.float64]:
    return common.shares(booster.feature_importance("gain"))
