"""The user's files as an audit reads them: data in Numerai's layout, and a file of predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from erawise.base.schema import DATA_TYPE, ERA, ID, is_target
from erawise.lab import frames
from erawise.lab.auditing import LEAST_FEATURES
from erawise.models.predictions import prediction_files
from erawise.running.errors import InputError

PARTS = "train.parquet", "validation.parquet"


def read_shape(directory: Path, *, rows: int, eras: int, features: int, seed: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return features and eras of a part of the user's data: the last train eras, random rows of each, random features.

    Parameters
    ----------
    directory : has `train.parquet` in Numerai's layout.
    rows, eras, features : at most so many.
    seed : of the choice.

    Raises
    ------
    InputError
        If there is no such file, or it has no columns of features.
    """
    path = directory / PARTS[0]
    if not path.is_file():
        raise InputError(f"{directory}: there is no {PARTS[0]}; expected a directory in Numerai's layout")
    names = _columns(path)
    rng = np.random.default_rng(seed)
    known = [name for name in names if name not in (ID, ERA, DATA_TYPE, "__index_level_0__") and not is_target(name)]
    if len(known) < LEAST_FEATURES:
        raise InputError(f"{path}: it has {len(known)} columns of features; an audit needs at least {LEAST_FEATURES}")
    chosen = sorted(rng.choice(known, min(features, len(known)), replace=False).tolist())
    labels = pq.read_table(path, columns=[ERA]).column(0).unique().to_pylist()
    last = sorted(labels, key=lambda label: frames.era_number(label, str(path)))[-eras:]
    frame = _by_id(pq.read_table(path, columns=[ID, ERA, *chosen], filters=[(ERA, "in", last)]), path)
    frame = frame.iloc[rng.permutation(len(frame))].groupby(ERA, sort=False).head(rows)
    numbers = frame[ERA].map(lambda label: frames.era_number(label, str(path))).astype(np.int64)
    order = np.argsort(numbers.to_numpy(), kind="stable")
    return frame[chosen].iloc[order], numbers.iloc[order]


def read_targets(directory: Path, ids: pd.Index) -> tuple[pd.Series, pd.DataFrame]:
    """Return the eras and all targets of some rows of the user's data.

    Raises
    ------
    InputError
        If no file of the data has targets, or not any of the ids.
    """
    paths = [directory / name for name in PARTS if (directory / name).is_file()]
    parts = []
    for path in paths:
        targets = [name for name in _columns(path) if is_target(name)]
        table = pq.read_table(path, columns=[ID, ERA, *targets])
        frame = _by_id(table, path)
        parts.append(frame[frame.index.isin(ids)])
    if not parts:
        raise InputError(f"{directory}: there is no {' or '.join(PARTS)}; expected a directory in Numerai's layout")
    whole = pd.concat(parts)
    if whole.empty:
        raise InputError(f"{directory}: not any of the {len(ids)} ids of the predictions is in {' and '.join(path.name for path in paths)}")
    eras = whole[ERA].map(lambda label: frames.era_number(label, str(directory))).astype(np.int64)
    return eras, whole.drop(columns=ERA)


def read_all_targets(directory: Path) -> pd.DataFrame:
    """Return all targets of the train rows, without ids."""
    path = directory / PARTS[0]
    return pq.read_table(path, columns=[name for name in _columns(path) if is_target(name)]).to_pandas(ignore_metadata=True)


def read_predictions(path: Path, column: str | None) -> pd.Series:
    """Return the predictions of a Parquet or CSV file, by id.

    Parameters
    ----------
    path : of the file; `id` is a column or the index.
    column : of the predictions; None if there is only one column of numbers.

    Raises
    ------
    InputError
        If the file can't be read, has no ids or ids twice, or not one column of predictions.
    """
    found = prediction_files.open_predictions(path, [column] if column else [], "--column").single("--column")
    [chosen] = found.names
    rows = found.read()
    values = pd.Series(rows.values[chosen], pd.Index(rows.ids.to_pandas(), name=ID)).dropna()
    if values.index.has_duplicates:
        raise InputError(f"{path}: {int(values.index.duplicated().sum())} ids are there twice; expected each id once")
    if values.nunique() < 2:
        raise InputError(f"{path}: {chosen} has {values.nunique()} different values; expected predictions")
    return values


def equal_targets(targets: pd.DataFrame, main: str) -> Sequence[str]:
    """Return the names of the other targets that equal the main one, value by value."""
    return [name for name in targets.columns if name != main and targets[name].equals(targets[main])]


def _columns(path: Path) -> list[str]:
    try:
        return list(pq.read_schema(path).names)
    except pa.ArrowInvalid:
        raise InputError(f"{path}: it can't be read as Parquet; fetch it anew") from None


def _by_id(table: pa.Table, path: Path) -> pd.DataFrame:
    frame = table.to_pandas()
    frame = frame.set_index(ID) if ID in frame else frame
    if frame.index.name != ID:
        raise InputError(f"{path}: there is no column {ID}")
    return frame
