"""Files that are there whole or not at all: written under a temporary name, then renamed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Arrow's own pools hold a GiB in reserve, and keep what was freed. This is read where pyarrow isn't imported yet.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from erawise.errors import InputError

pa.set_memory_pool(pa.system_memory_pool())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, file or directory; rename it on success, remove it on failure.

    What a killed run has left under that name is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():
            remove(path)
        temporary.replace(path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(content: Any, path: Path) -> None:
    """Write readable JSON; NaN and infinities are refused, since JSON has none."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises
    ------
    InputError
        If the file is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing") from None
    except ValueError as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); it may be cut short, fetch it again") from None


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
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
