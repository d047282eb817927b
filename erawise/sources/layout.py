"""The files of a Numerai data version: their names, and the check of their content."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, ID
from erawise.base.settings import Score
from erawise.running.errors import InputError

FEATURES = "features.json"
ROWS = ("train.parquet", "validation.parquet", "live.parquet")
REQUIRED = (FEATURES, *ROWS)
OPTIONAL = (
    "meta_model.parquet",
    "train_benchmark_models.parquet",
    "validation_benchmark_models.parquet",
    "live_benchmark_models.parquet",
)
MARKET = ("oracle.parquet",)
"""Files of the embedded market that Numerai doesn't have."""
ERAS = "eras.csv"
"""The file with the number of each era, and its label in the user's files, of a panel that a schema describes."""
PANEL = "panel"
"""The key of `features.json` that a panel of another layout than Numerai's has, see `own_panel`."""


@dataclass(frozen=True)
class OwnPanel:
    """A panel that isn't Numerai's.

    Attributes
    ----------
    days : trading days that every target looks ahead, 5 an era.
    score : the correlation that stands for CORR.
    """

    days: int
    score: Score


def check_all(directory: Path) -> None:
    """Check every file of the layout that a directory has.

    Raises
    ------
    InputError
        If a required file is missing, or a file cannot be read or used.
    """
    missing = [name for name in REQUIRED if name not in present(directory)]
    if missing:
        raise InputError(f"{directory}: {', '.join(missing)} missing; a directory in Numerai's layout has {', '.join(REQUIRED)}")
    for name in present(directory):
        check(directory / name)


def present(directory: Path) -> list[str]:
    """Return the names of the layout that a directory has, also of directories and dead links, which `check` refuses."""
    return [name for name in (*REQUIRED, *OPTIONAL, *MARKET) if os.path.lexists(directory / name)]


def rows(directory: Path) -> int:
    """Return the number of rows in the train, validation and live files of a directory."""
    count = 0
    for name in ROWS:
        with tabular.open_parquet(directory / name) as file:
            count += file.metadata.num_rows
    return count


def check(path: Path, name: str | None = None) -> None:
    """Check that a file of the layout can be read and has the content for its name, or for `name` if it has another.

    Of a Parquet file only the footer is read. It is at the file's end, so that a file that was cut off is found without its rows.

    Raises
    ------
    InputError
        If the file is unreadable, or lacks keys or columns.
    """
    try:
        if (name or path.name) == FEATURES:
            feature_sets(path)
        else:
            _check_table(path, name or path.name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def feature_sets(path: Path) -> dict[str, list[str]]:
    """Return the feature sets of a `features.json`."""
    return read_features(path)[0]


def read_features(path: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the feature sets and the targets of a `features.json`.

    Raises
    ------
    InputError
        If the file has other content.
    """
    content = files.read_json(path)
    try:
        sets, targets = content["feature_sets"], content["targets"]
        lists = [*sets.values(), targets]
    except (KeyError, TypeError, AttributeError):
        lists = []
    if len(lists) < 2 or not all(isinstance(names, list) for names in lists):
        raise InputError(f'{path}: expected {{"feature_sets": {{name: [feature, ...]}}, "targets": [name, ...]}}; fetch it again')
    return {name: [str(feature) for feature in members] for name, members in sets.items()}, [str(name) for name in targets]


def own_panel(path: Path) -> OwnPanel | None:
    """Return what a schema says of a panel that isn't Numerai's, from a `features.json`; None for Numerai's."""
    found = files.read_json(path).get(PANEL)
    return None if found is None else OwnPanel(**found)


def named_eras(directory: Path, eras: Collection[int]) -> list[str]:
    """Return a line with the user's labels of the first and the last of some eras; none if the directory has no labels of them."""
    path = directory / ERAS
    if not path.is_file() or not len(eras):
        return []
    labels, first, last = pd.read_csv(path, index_col=ERA, dtype={"label": str})["label"], min(eras), max(eras)
    known = {first, last} <= set(labels.index)
    return [f"eras {first} to {last} are {labels[first]} to {labels[last]}; {path} names the others"] if known else []


def _check_table(path: Path, name: str) -> None:
    wanted = (ID, ERA, DATA_TYPE) if name in ROWS else (ID,)
    with tabular.open_parquet(path) as file:
        missing = [name for name in wanted if name not in file.schema_arrow.names]
        tabular.refuse_kept_in_metadata(file, missing, path)
    if missing:
        raise InputError(f"{path}: {' and '.join(missing)} missing among its columns; Numerai's layout has {', '.join(wanted)} there")
