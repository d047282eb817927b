"""Gradient-boosted trees: LightGBM on the features as they are, int8 or float32."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from erawise import files, params
from erawise.errors import InputError
from erawise.models import arrays, common, lightgbm_text
from erawise.models.early import EraCorrelation
from erawise.panel import View, era_slices
from erawise.schema import INT8_TOP

FILE = "model.txt"
FLOAT_BINS = 255
BIN_SAMPLE_ROWS = 20_000
"""Rows from which LightGBM finds the bins: what costs memory is 8 bytes a value of this sample."""


@dataclass(frozen=True)
class Trees:
    """Boosted trees, held as LightGBM's text.

    Parameters
    ----------
    text : the model.
    rounds : trees that early stopping found best, or that were asked for; None for a model from a file.
    """

    text: str
    rounds: int | None = None
    _booster: lightgbm.Booster = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_booster", lightgbm.Booster(model_str=self.text))

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features).

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        return common.predict_in_chunks(self._booster.predict, x, self._booster.num_feature())

    def importance(self) -> NDArray[np.float64]:
        """(features,) share of each feature in the gain of all splits."""
        return _gain_shares(self._booster)

    def save(self, directory: Path) -> None:
        """Write `model.txt` into the directory."""
        with files.replacing(directory / FILE) as temporary:
            temporary.write_text(self.text, encoding="utf-8", newline="\n")


def uses_rounds() -> bool:
    return True


def load(directory: Path) -> Trees:
    """Read what `save` has written.

    Raises
    ------
    InputError
        If the file is missing, is no LightGBM model, or could lead a prediction out of its arrays or into a cycle.
    """
    path = directory / FILE
    try:
        text = path.read_text(encoding="utf-8")
        reason = lightgbm_text.why_broken(text)
        if reason:
            raise arrays.broken(path, reason)
        return Trees(text)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; train the model again") from None
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise arrays.broken(path, str(error)) from None


def fit(settings: params.LightGBM, train: View, inner: View | None, rounds: int | None, threads: int) -> Trees:
    """Boost trees on the squared error.

    With `inner`, up to `settings.trees` of them, and those up to the best mean per-era correlation on `inner` stay;
    without it `rounds`, or `settings.trees` where that is None. Rows too few for a split give a constant.

    Raises
    ------
    InputError
        If `train` has no row.
    """
    common.require_rows(train, settings.target)
    options = {
        **_options(settings.learning_rate, settings.leaves, settings.seed, threads),
        "max_depth": settings.max_depth,
        "feature_fraction": settings.feature_share,
        "min_data_in_leaf": settings.min_rows_leaf,
        "lambda_l2": settings.l2,
    }
    if inner is None:
        trees = settings.trees if rounds is None else rounds
        booster = lightgbm.train(options, _dataset(train, options), trees)
    else:
        booster = _train_until_best(options, train, inner, settings.trees, settings.early_stopping)
        trees = max(booster.best_iteration, 1)
    return Trees(booster.model_to_string(num_iteration=trees, importance_type="gain"), trees)


def importance_of_first(train: View, *, trees: int, learning_rate: float, leaves: int, seed: int, threads: int) -> NDArray[np.float64]:
    """Share of each feature in the gain of a first model, (features,): what features can be chosen by.

    Every tree may use every feature; the other options are LightGBM's own. All 0 where there is no split.
    """
    options = _options(learning_rate, leaves, seed, threads)
    return _gain_shares(lightgbm.train(options, _dataset(train, options), trees))


def _options(learning_rate: float, leaves: int, seed: int, threads: int) -> dict[str, Any]:
    return {
        "objective": "regression",
        "metric": "None",
        "learning_rate": learning_rate,
        "num_leaves": leaves,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_col_wise": True,
        "bin_construct_sample_cnt": BIN_SAMPLE_ROWS,
        "enable_bundle": False,
        "verbosity": -1,
    }


def _train_until_best(options: dict[str, Any], train: View, inner: View, trees: int, patience: int) -> lightgbm.Booster:
    score = EraCorrelation.of(inner)

    def mean_correlation(prediction: NDArray, _: lightgbm.Dataset) -> tuple[str, float, bool]:
        return "mean_correlation", score(prediction), True

    data = _dataset(train, options)
    return lightgbm.train(
        options,
        data,
        trees,
        valid_sets=[_dataset(inner, options, reference=data)],
        feval=mean_correlation,
        callbacks=[lightgbm.early_stopping(patience, first_metric_only=True, verbose=False)],
    )


def _dataset(view: View, options: dict[str, Any], reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
    """A dataset built from Arrow columns: LightGBM would copy an int8 matrix to floats as a whole."""
    columns = _columns(view)
    bins = INT8_TOP + 1 if columns.dtype == np.int8 else FLOAT_BINS
    names = [f"column_{k}" for k in range(len(columns))]
    table = pa.Table.from_arrays([pa.array(column) for column in columns], names)
    return lightgbm.Dataset(table, view.target, reference=reference, params={**options, "max_bin": bins})


def _columns(view: View) -> NDArray:
    """The features as (features, rows), each in one piece."""
    out: NDArray | None = None
    for rows, block in zip(era_slices(view.era), view.blocks(), strict=True):
        if out is None:
            out = np.empty((block.shape[1], view.n_rows), block.dtype)
        out[:, rows] = block.T
    return np.empty((len(view.names), 0), np.float32) if out is None else out


def _gain_shares(booster: lightgbm.Booster) -> NDArray[np.float64]:
    return common.shares(booster.feature_importance("gain"))
