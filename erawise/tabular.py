"""Tables and arrays on disk: Parquet, CSV and `.npy`."""

import os
from pathlib import Path

# Arrow's own pools hold a GiB in reserve, and keep what was freed. This is read where pyarrow isn't imported yet.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from erawise.errors import InputError
from erawise.files import replacing

pa.set_memory_pool(pa.system_memory_pool())


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame without its index."""
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), temporary)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file for reading in parts.

    Raises
    ------
    InputError
        If the file is missing, truncated or no Parquet.
    """
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}); it may be cut short, fetch it again") from None


def read_parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read columns of a Parquet file, with an index stored by pandas as an ordinary column.

    Raises
    ------
    InputError
        If the file is missing, truncated or no Parquet.
    """
    with open_parquet(path) as file:
        try:
            return file.read(columns=columns).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: cannot be read to its end ({error}); fetch it again") from None


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table for reading and plotting: no index, six decimals."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")


def write_npy(array: np.ndarray, path: Path) -> None:
    """Write one array, without pickling."""
    # into a file that isn't open for writing alone NumPy writes through Python, whose errors tell of a full disk
    with replacing(path) as temporary, temporary.open("w+b") as file:
        np.save(file, array, allow_pickle=False)
