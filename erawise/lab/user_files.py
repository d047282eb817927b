"""The user's files as an audit reads them: data in Numerai's layout, and a file of predictions."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base.schema import ERA, ID, LIVE_ERA, is_target
from erawise.lab.auditing import LEAST_FEATURES
from erawise.models.predictions import prediction_files
from erawise.panel import rawfiles
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
        If there is no such file, it has too few columns of features, or all its rows are live.
    """
    path = directory / PARTS[0]
    if not path.is_file():
        raise InputError(f"{directory}: there is no {PARTS[0]}; expected a directory in Numerai's layout")
    file = rawfiles.open_file(path, (ID, ERA))
    rng = np.random.default_rng(seed)
    known = [name for name in file.schema_arrow.names if name not in (*rawfiles.KEYS, "__index_level_0__") and not is_target(name)]
    if len(known) < LEAST_FEATURES:
        raise InputError(f"{path}: it has {len(known)} columns of features; an audit needs at least {LEAST_FEATURES}")
    chosen = sorted(rng.choice(known, min(features, len(known)), replace=False).tolist())
    era = rawfiles.read_eras(file, path)
    known_eras = np.unique(era[era != LIVE_ERA])
    if not len(known_eras):
        raise InputError(f"{path}: all its rows are of the live era; expected train rows")
    picked = rng.permutation(np.flatnonzero(np.isin(era, known_eras[-eras:])))
    picked = picked[pd.Series(era[picked]).groupby(era[picked]).cumcount().to_numpy() < rows]
    picked = picked[np.argsort(era[picked], kind="stable")]
    index = _index(rawfiles.read_ids(file, path), picked)
    return _frame(file, path, chosen, picked, index), pd.Series(era[picked], index, name=ERA)


def read_targets(directory: Path, ids: pd.Index) -> tuple[pd.Series, pd.DataFrame]:
    """Return the eras and all targets of some rows of the user's data, without live rows.

    Parameters
    ----------
    directory : has `train.parquet` or `validation.parquet` in Numerai's layout, or both.
    ids : of the rows; ids that the data lacks are left out.

    Returns
    -------
    Series (rows,) and DataFrame (rows, targets), both by id
        A target is NaN if it is unknown.

    Raises
    ------
    InputError
        If there is neither file, or not any of the ids is there in an era other than the live one.
    """
    paths = [directory / name for name in PARTS if (directory / name).is_file()]
    parts, eras = [], []
    for path in paths:
        file = rawfiles.open_file(path, (ID, ERA))
        known, era = rawfiles.read_ids(file, path), rawfiles.read_eras(file, path)
        wanted = pc.is_in(known, pa.array(ids, known.type)).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(wanted & (era != LIVE_ERA))
        parts.append(_frame(file, path, filter(is_target, file.schema_arrow.names), rows, _index(known, rows)))
        eras.append(pd.Series(era[rows], parts[-1].index, name=ERA))
    if not paths:
        raise InputError(f"{directory}: there is no {' or '.join(PARTS)}; expected a directory in Numerai's layout")
    if not any(map(len, parts)):
        names = " or ".join(path.name for path in paths)
        raise InputError(f"{directory}: not any of the {len(ids)} ids of the predictions is in an era of {names}; live rows don't count")
    return pd.concat(eras), pd.concat(parts)


def read_all_targets(directory: Path) -> pd.DataFrame:
    """Return all targets of the train rows, without ids."""
    path = directory / PARTS[0]
    file = rawfiles.open_file(path, ())
    return _frame(file, path, filter(is_target, file.schema_arrow.names))


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


def _index(ids: pa.Array, rows: NDArray[np.int64]) -> pd.Index:
    return pd.Index(ids.take(pa.array(rows)).to_pandas(), name=ID)


def _frame(
    file: pq.ParquetFile, path: Path, names: Iterable[str], rows: NDArray[np.int64] | None = None, index: pd.Index | None = None
) -> pd.DataFrame:
    """Return columns of some rows under their index; of all rows if none are named."""
    columns = {name: rawfiles.column(file, name, path) for name in names}
    taken = {name: (values if rows is None else values.take(pa.array(rows))).to_numpy(False) for name, values in columns.items()}
    return pd.DataFrame(taken, index)
