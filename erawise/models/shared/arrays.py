"""Named arrays in one file: the same bytes for the same arrays, and nothing to unpickle."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from erawise.base import files
from erawise.running.errors import InputError

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_archive(entries: Mapping[str, bytes], path: Path) -> None:
    """Write an uncompressed zip whose bytes depend only on the names and contents of its entries."""
    with files.replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name, _ZIP_EPOCH)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)


def save_arrays(arrays: Mapping[str, NDArray], path: Path) -> None:
    """Write arrays as an npz file, in their order."""
    write_archive({f"{name}.npy": encoded(array) for name, array in arrays.items()}, path)


def load_arrays(path: Path, layout: Mapping[str, tuple[type[np.generic], int]]) -> dict[str, NDArray]:
    """Read the arrays of an npz file and check their types.

    Parameters
    ----------
    path : the file.
    layout : type and number of dimensions of each array to read.

    Raises
    ------
    InputError
        If the file is missing, is no npz file or holds a pickle; or if an array is missing, is of another type, or has NaN or infinities.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: np.asarray(content[name]) for name in layout}
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; train the model again") from None
    except Exception as error:  # a file from elsewhere can make the zip and npy parsers raise anything
        raise InputError(f"{path}: not a readable file of arrays ({error}); train the model again") from None
    for name, (dtype, ndim) in layout.items():
        array = arrays[name]
        if array.dtype != np.dtype(dtype) or array.ndim != ndim:
            raise broken(path, f"{name} is {array.dtype} of {array.ndim} dimensions, not {np.dtype(dtype)} of {ndim}")
        if not np.isfinite(array).all():
            raise broken(path, f"{name} has NaN or infinities")
    return arrays


def broken(path: Path, reason: str) -> InputError:
    """Return the error for a saved model that no fit can have written."""
    return InputError(f"{path}: not a model that can be used: {reason}; train the model again")


def encoded(array: NDArray) -> bytes:
    """Return an array as the bytes of an npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
