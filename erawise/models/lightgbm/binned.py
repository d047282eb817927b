"""Binned features in directories of files, written once and shared by every fit on the same features and rows."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from erawise.base import files
from erawise.models.lightgbm import binary, packing
from erawise.panel.panel import View, era_slices
from erawise.running.errors import InputError

BIN_SAMPLE_ROWS = 20_000
"""Rows from which LightGBM finds the bins; they need 8 bytes of memory a value."""

FEW_VALUES_ROWS = 5_000
"""Rows for int8 features, which have a bin for each of their few values."""

BIN_SAMPLE_ERAS = 100
"""Eras, evenly spread, from which these rows come."""


LOCK = ".lock"

_CODE = tuple(Path(module.__file__ or "") for module in (binary, packing))


@dataclass(frozen=True)
class Files:
    """The files that a fit reads.

    Attributes
    ----------
    train, inner : directories of its training rows and of its inner slice; `inner` is None without one.
    sizes : bytes of each file in them, or that each will have.
    """

    train: Path
    inner: Path | None
    sizes: list[int]


def parts(directory: Path) -> list[Path]:
    """Return the files of a dataset, in the order of its features."""
    return sorted(directory.iterdir())


@dataclass(frozen=True)
class Store:
    """A directory of binned features.

    Parameters
    ----------
    directory : the directory, which exists as long as models need it.
    threads : threads that write the files.
    layout_of : gives LightGBM's layout of a sample (rows, features) and the position of its first feature among all.
    made_by : LightGBM's version and options, on which the files also depend.
    """

    directory: Path
    threads: int
    layout_of: Callable[[NDArray, int], binary.Layout]
    made_by: str

    def plan(self, folds: Sequence[tuple[View, View | None]]) -> tuple[list[Files], list[binary.Source]]:
        """Return the files that some fits read, and the datasets that don't exist yet.

        Parameters
        ----------
        folds : training rows, and the rows that are binned like them, or None.

        Raises
        ------
        InputError
            If LightGBM's format isn't the known format.
        """
        found: list[Files] = []
        missing: dict[Path, binary.Source] = {}
        for train, inner in folds:
            paths = self._path(train, train), None if inner is None else self._path(train, inner)
            wanted = [(path, view) for path, view in zip(paths, (train, inner), strict=True) if path is not None and view is not None]
            absent = any(not path.exists() for path, _ in wanted)
            layouts = self._layouts(train) if absent else []
            sizes: list[int] = []
            for path, view in wanted:
                if path.exists():
                    sizes += [file.stat().st_size for file in parts(path)]
                else:
                    sizes += [layout.size(view.n_rows) for layout in layouts]
                    missing[path] = (path, layouts, view.n_rows, _blocks(view))
            found.append(Files(*paths, sizes))
        return found, list(missing.values())

    def write(self, sources: Sequence[binary.Source]) -> None:
        """Write the datasets that `plan` found missing, in one pass over the eras; wait for another process that writes them.

        Raises
        ------
        InputError
            If the disk hasn't the space.
        """
        if not sources:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        with files.lock_file(self.directory / LOCK):
            missing = [source for source in sources if not source[0].exists()]
            self._require_space(sum(layout.size(rows) for _, layouts, rows, _ in missing for layout in layouts))
            binary.write(missing, self.threads)

    def _require_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.directory).free
        if needed > free:
            raise InputError(
                f"{self.directory}: the binned features need {needed / 1e9:.2f} GB of disk and {free / 1e9:.2f} GB are free; "
                "free some, or choose fewer features or eras (data.feature_set, preprocess.every)"
            )

    def _path(self, train: View, view: View) -> Path:
        return self.directory / _digest(self.made_by, train, view)

    def _layouts(self, train: View) -> list[binary.Layout]:
        """Return the layouts of a fit's files, from a sample of its training rows."""
        sample = _sample(train)
        starts = range(0, sample.shape[1], binary.PART)
        try:
            return [self.layout_of(np.ascontiguousarray(sample[:, start : start + binary.PART]), start) for start in starts]
        except binary.FormatError as error:
            raise InputError(
                f"LightGBM's binary file has a format that erawise doesn't know: {error}; install the versions of requirements.txt"
            ) from None


def _digest(made_by: str, *views: View) -> str:
    """Return the digest of everything that a file depends on: features, rows, their eras' prepared data, and code."""
    digest = hashlib.sha256(repr((made_by, BIN_SAMPLE_ROWS, FEW_VALUES_ROWS, BIN_SAMPLE_ERAS, binary.PART)).encode())
    for path in _CODE:
        digest.update(path.read_bytes())
    for view in views:
        panel, columns = view.panel, view.features.columns
        digest.update(repr((columns, panel.columns(columns).tolist(), panel.n_matrix, str(panel.dtype))).encode())
        for part in (view.features.mean, view.features.components):
            digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
        for rows in era_slices(view.era):
            era = int(view.era[rows.start])
            digest.update(repr(panel.feature_digests(era)).encode())
            digest.update((view.rows[rows] - panel.rows(era).start).tobytes())
    return digest.hexdigest()[:32]


def _sample(view: View) -> NDArray:
    """Pick rows that are evenly spread over eras and over the rows of each era."""
    eras = np.unique(view.era)
    few = View(view.panel, eras[:: max(1, -(-len(eras) // BIN_SAMPLE_ERAS))], view.features)
    most = (FEW_VALUES_ROWS if view.dtype == np.int8 else BIN_SAMPLE_ROWS) // len(era_slices(few.era))
    return np.concatenate([block[:: -(-len(block) // most)] for block in few.blocks()])


def _blocks(view: View) -> Iterator[tuple[int, NDArray]]:
    for rows, block in zip(era_slices(view.era), view.blocks(), strict=True):
        yield int(view.era[rows.start]), block
