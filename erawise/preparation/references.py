"""The predictions of others in raw files: the meta model, the benchmark models, and the embedded market's oracle."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base.schema import ERA, ID, META_MODEL, ORACLE, TARGET, era_name, is_feature
from erawise.panel import rawfiles
from erawise.panel.panel import Index, era_slices
from erawise.panel.rawfiles import INDEX, KEYS, UNNAMED
from erawise.preparation.matrix import Counts
from erawise.running.errors import InputError
from erawise.sources import layout

FILES = {
    "train_benchmark_models.parquet": None,
    "validation_benchmark_models.parquet": None,
    "meta_model.parquet": META_MODEL,
    "oracle.parquet": ORACLE,
}
"""The files of others' predictions, and the only column to read of each; None for the columns of all benchmark models."""

FEW = 0.8
"""Least share of the possible rows that match; a file with fewer hardly belongs to the data. CORR needs the same share."""

MANY = 10
"""Possible rows from which on a file without any match certainly belongs to other data."""

Found = dict[str, NDArray[np.float32]]
"""(rows of the matrix,) by the name of a prediction."""


def prediction_columns(schema: pa.Schema, known: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the columns of a file of benchmark models that are predictions, and the columns that are left out.

    A prediction is a column of floats, or one without any value. Left out are keys, targets, features, the meta model, the oracle, and an
    index that pandas wrote. Case and surrounding spaces of names don't count.

    Parameters
    ----------
    known : names of features and targets, in addition to names that begin as Numerai's do.
    """
    others = {META_MODEL, ORACLE, *INDEX, *(name.strip().lower() for name in (*KEYS, *known))}

    def is_prediction(name: str) -> bool:
        kind, plain = schema.field(name).type, name.strip().lower()
        numeric = pa.types.is_floating(kind) or pa.types.is_null(kind)
        return numeric and plain not in others and not plain.startswith((TARGET, *UNNAMED)) and not is_feature(plain)

    names = [name for name in schema.names if name not in KEYS]
    chosen = [name for name in names if is_prediction(name)]
    return chosen, [name for name in names if name not in chosen]


def read(raw: Path, index: Index, counts: Counts) -> Found:
    """Return the predictions of others: the meta model and the oracle first, then the benchmark models. Rows without one are NaN.

    Parameters
    ----------
    raw : files in Numerai's layout.
    index : the rows of the matrix.
    counts : gets notes on columns that are left out, and warnings of files that hardly fit the data.

    Raises
    ------
    InputError
        If a file is broken, has no predictions or no id of the data, or two files have predictions of one row.
    """
    found: Found = {}
    sets, targets = layout.read_features(raw / layout.FEATURES)
    known = frozenset(targets).union(*sets.values())
    present = layout.present(raw)
    taken = np.zeros(len(index.era), bool)
    for name, single in FILES.items():
        if name in present:
            file, names = _open(raw / name, single, known, counts)
            if not file.metadata.num_rows:
                counts.warnings.append(f"{raw / name}: there are no rows")
                continue
            _add_predictions(raw / name, file, names, index, np.zeros_like(taken) if single else taken, found, counts)
    order = [name for name in (META_MODEL, ORACLE) if name in found]
    rest = [name for name in found if name not in order]
    if rest:
        counts.notes.append(f"benchmark models: {', '.join(rest)}")
    return {name: found[name] for name in (*order, *rest)}


def _open(path: Path, single: str | None, known: Collection[str], counts: Counts) -> tuple[pq.ParquetFile, list[str]]:
    """Open a file of predictions, and choose its columns: the single one, or all columns of benchmark models."""
    file = rawfiles.open_file(path, [ID, ERA, *([single] if single else [])])
    schema = file.schema_arrow
    names, ignored = prediction_columns(schema, known)
    if single:
        names, ignored = [single], [name for name in schema.names if name not in (*KEYS, single)]
    if not names:
        raise InputError(f"{path}: expected the columns {ID!r}, {ERA!r} and at least one of predictions; it has {', '.join(schema.names)}")
    rawfiles.require_printable(names, path)
    if ignored:
        counts.notes.append(f"{path.name}: left out {', '.join(map(repr, ignored))}, which is no prediction; taken {', '.join(names)}")
    return file, names


def _add_predictions(
    path: Path,
    file: pq.ParquetFile,
    names: Sequence[str],
    index: Index,
    taken: NDArray[np.bool_],
    found: Found,
    counts: Counts,
) -> None:
    """Add a file's columns to `found` in the matrix's row order, and mark its rows in `taken`."""
    era, ids = rawfiles.read_eras(file, path), rawfiles.read_ids(file, path)
    order = rawfiles.sort_rows(era, ids, path)
    position = _positions(era[order], ids.take(pa.array(order)), index)
    _check_matches(path, era, int((position >= 0).sum()), index, counts)
    rows, position = order[position >= 0], position[position >= 0]
    if taken[position].any():
        row = rows[int(np.argmax(taken[position]))]
        raise InputError(
            f"{path}: id {ids[int(row)].as_py()!r} of {era_name(int(era[row]))} is in another file of benchmark models too; remove one"
        )
    taken[position] = True
    for name in names:
        values = found.setdefault(name, np.full(len(index.era), np.nan, np.float32))
        values[position] = rawfiles.read_floats(file, name, path)[rows]


def _check_matches(path: Path, era: NDArray[np.int64], matches: int, index: Index, counts: Counts) -> None:
    """Check how many of a file's rows the data has too, in the eras that both have; warn if there are few.

    The file isn't at fault for rows that the data leaves out. So the possible matches are the smaller number of rows of both.

    Raises
    ------
    InputError
        If there are rows in common eras, and the data has not any of their ids.
    """
    common = np.intersect1d(era, index.era)
    rows = int(np.isin(era, common).sum())
    possible = min(rows, int(np.isin(index.era, common).sum()))
    if not possible:
        counts.warnings.append(f"{path}: it has no era that is prepared, so that nothing of it is used")
    elif not matches and possible >= MANY:
        raise InputError(
            f"{path}: not one of its {rows:,} rows in the {len(common)} eras that the data has too has an id of the data; "
            "fetch both from the same data version"
        )
    elif matches < FEW * possible:
        counts.warnings.append(
            f"{path}: {matches:,} of its {rows:,} rows in the {len(common)} eras that the data has too have an id of the data; "
            "fetch both from the same data version"
        )


def _positions(era: NDArray[np.int64], ids: pa.Array, index: Index) -> NDArray[np.int64]:
    """Return the positions (rows,) in the index of rows that are sorted by era; -1 for a row that the index lacks."""
    position = np.full(len(era), -1, np.int64)
    starts = {int(index.era[start]): k for k, start in enumerate(index.starts[:-1])}
    for rows in era_slices(era):
        k = starts.get(int(era[rows.start]))
        if k is not None:
            start, stop = int(index.starts[k]), int(index.starts[k + 1])
            found = pc.index_in(ids[rows], value_set=index.ids[start:stop])
            position[rows] = found.cast(pa.int64()).fill_null(-1 - start).to_numpy() + start
    return position
