"""The explanation of one model on disk: tables that the stages `explain` write, and from which the pictures are drawn."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from erawise.base import files, tabular
from erawise.running.errors import InputError

SHAP, POINTS, PERMUTATION, IMPORTANCE, SAMPLE = "shap.csv", "points.parquet", "permutation.csv", "importance.csv", "sample.json"


@dataclass(frozen=True)
class Sample:
    """The rows and eras that were explained.

    Attributes
    ----------
    unit : of the contributions: `prediction`, `log-odds`, or the standard deviations of the predictions of several variants.
    base : the value that the contributions of a row are added to.
    std : standard deviation of the predictions of the sample, in `unit`.
    members, rows : the number of the model's variants, and of the rows that were explained.
    split : `validation`, or `train` if the purge has left no validation era.
    eras : the eras of these rows, with the same number of rows each.
    permuted_eras : the eras in which features were shuffled.
    """

    unit: str
    base: float
    std: float
    members: int
    rows: int
    split: str
    eras: list[int]
    permuted_eras: list[int]


@dataclass(frozen=True)
class Explanation:
    """The contributions of the features to one model.

    Attributes
    ----------
    shap : `feature`, `group`, `mean_abs`, `share`, `direction`, the largest mean first, ties in the features' order. These are the
        mean absolute contribution over the sample, its share of the sum, and the correlation of the feature's value with its
        contribution, NaN if one of the two is constant. If the kind of model has no contributions, all three are NaN, and the
        features are in the order of the change of the predictions when each is shuffled.
    points : `rank` (from 1), `feature`, `era`, `value`, `shap` of the leading features, in the same rows for all; empty without
        contributions.
    permutation : `feature`, `era`, `drop` of the leading features: how far CORR falls if the feature is shuffled within the era, NaN
        if the predictions are constant.
    importance : `feature`, `gain`, `split`, shares of the sums over the trees; NaN if the kind has no trees.
    sample : the rows and eras that were explained.
    """

    shap: pd.DataFrame
    points: pd.DataFrame
    permutation: pd.DataFrame
    importance: pd.DataFrame
    sample: Sample


def write(found: Explanation, directory: Path) -> None:
    """Write the tables into an existing directory; contributions, which can be small, with six digits."""
    with files.replacing(directory / SHAP) as temporary:
        found.shap.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
    tabular.write_parquet(found.points, directory / POINTS)
    tabular.write_csv(found.permutation, directory / PERMUTATION)
    tabular.write_csv(found.importance, directory / IMPORTANCE)
    files.write_json(asdict(found.sample), directory / SAMPLE)


def read(directory: Path) -> Explanation:
    """Read an explanation that `write` has written.

    Raises
    ------
    InputError
        If a file is missing, or isn't as `write` writes it.
    """
    path = directory / SAMPLE
    try:
        sample = Sample(**files.read_json(path))
    except TypeError as error:
        raise _broken(path, str(error)) from None
    return Explanation(
        _csv(directory / SHAP, ["feature", "group", "mean_abs", "share", "direction"]),
        tabular.read_parquet(directory / POINTS),
        _csv(directory / PERMUTATION, ["feature", "era", "drop"]),
        _csv(directory / IMPORTANCE, ["feature", "gain", "split"]),
        sample,
    )


def _csv(path: Path, columns: list[str]) -> pd.DataFrame:
    texts = {name: str for name in columns if name in ("feature", "group")}
    try:
        return pd.read_csv(path, usecols=columns, dtype=texts, keep_default_na=False, na_values={name: [""] for name in columns[1:]})
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; explain the model again, with dvc repro") from None
    except ValueError as error:
        raise _broken(path, str(error)) from None


def _broken(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: not what explaining a model has written ({reason}); explain it again, with dvc repro")
