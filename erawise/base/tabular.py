"""Tables and arrays on disk: Parquet, CSV and `.npy`."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

# Arrow's own pools reserve a GiB and keep freed memory. pyarrow reads this variable when it is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from erawise.base.files import replacing, require_file
from erawise.running.errors import InputError

pa.set_memory_pool(pa.system_memory_pool())

MAGIC = b"PAR1"
"""The first bytes of a Parquet file."""


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame without its index."""
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), temporary)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file for reading in parts.

    Raises
    ------
    InputError
        If the file is missing, truncated or not Parquet, or `path` is a directory or a dead link.
    """
    require_file(path, f"; join its parts, such as by pandas.read_parquet({str(path)!r}).to_parquet(...)")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
        if start in (MAGIC, b""):
            raise InputError(f"{path}: not a readable Parquet file ({error}); it may be cut short, fetch it again") from None
        raise InputError(
            f"{path}: not a readable Parquet file (it begins with {start!r} instead of {MAGIC!r}); fetch it again, or write it as Parquet"
        ) from None


def refuse_kept_in_metadata(file: pq.ParquetFile, names: Collection[str], path: Path) -> None:
    """Raise `InputError` if a column is only described in pandas' metadata, as pandas writes an index that is a range."""
    described = (file.schema_arrow.pandas_metadata or {}).get("index_columns", [])
    for index in described:
        if isinstance(index, dict) and index.get("name") in names:
            raise InputError(
                f"{path}: {index['name']!r} isn't a column; pandas keeps it in the file's metadata, as the range {index.get('start')} to "
                f"{index.get('stop')}; write it as a column: frame.reset_index().to_parquet(...)"
            )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of a Parquet file that is damaged after its beginning into an `InputError`."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); fetch it again") from None


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column's type is a number, or `null`, the type of a column without any value."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read columns of a Parquet file; an index that pandas has stored is an ordinary column.

    Raises
    ------
    InputError
        If the file is missing, truncated or not Parquet.
    """
    with open_parquet(path) as file, reading(path):
        return file.read(columns=columns).to_pandas(ignore_metadata=True)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table for reading and plotting: no index, six decimals."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")


def write_npy(array: np.ndarray, path: Path) -> None:
    """Write one array, without pickling."""
    # mode w+b: NumPy then writes through Python, whose errors report a full disk
    with replacing(path) as temporary, temporary.open("w+b") as file:
        np.save(file, array, allow_pickle=False)
