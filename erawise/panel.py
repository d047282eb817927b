"""The era-sorted table of features, targets and ids on disk, read in blocks of eras.

The matrix stays on disk and is mapped; nothing here holds a float copy of all of it.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise import files
from erawise.errors import InputError
from erawise.schema import DATA_TYPE, ERA, ID, LIVE_ERA


@dataclass(frozen=True)
class FeatureMap:
    """What a model sees of the panel's columns: some of them, and where `components` is given, their projection.

    Parameters
    ----------
    columns : names of panel columns.
    mean : (columns,) float64, subtracted before the projection, or None.
    components : (columns, k) float64, or None for the columns as they are.
    """

    columns: tuple[str, ...]
    mean: NDArray[np.float64] | None = None
    components: NDArray[np.float64] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features that come out."""
        if self.components is None:
            return self.columns
        return tuple(f"component_{k + 1}" for k in range(self.components.shape[1]))

    def apply(self, block: NDArray) -> NDArray:
        """Map (rows, columns) to (rows, features): the block itself, or its projection as float32."""
        if self.components is None or self.mean is None:
            return block
        return ((block - self.mean) @ self.components).astype(np.float32)


class Panel:
    """The prepared rows of one directory, sorted by era, then id.

    Attributes
    ----------
    names : tuple of str, the columns in order: the features of the matrix, then the derived ones.
    n_matrix : int, how many of them are features of the matrix.
    index : DataFrame (rows), `id`, `era` (int64, `LIVE_ERA` for live), `data_type` and the targets that the directory holds.
    eras : (eras,) int64, sorted and unique.
    starts : (eras + 1,) int64, where each era's rows begin.
    """

    def __init__(self, directory: Path, columns: Sequence[str] | None = None) -> None:
        """Open `directory`; `columns` limits which targets of the index are read."""
        content = files.read_json(directory / "features.json")
        self.feature_sets: dict[str, list[str]] = content["feature_sets"]
        self.targets: list[str] = content["targets"]
        self.matrix = _open_array(directory / "features.npy")
        self.derived = _open_array(directory / "derived.npy")
        self.era_means = _open_array(directory / "era_means.npy")
        self.names: tuple[str, ...] = (*content["features"], *content["derived"])
        self.n_matrix = len(content["features"])
        self.index = _read_index(directory / "index.parquet", columns)
        self.row_eras = self.index[ERA].to_numpy(np.int64)
        self.eras, starts = np.unique(self.row_eras, return_index=True)
        self.starts = np.append(starts, len(self.index)).astype(np.int64)
        self._position = {name: k for k, name in enumerate(self.names)}
        self._era_position = {int(era): k for k, era in enumerate(self.eras)}
        if len(self.index) != len(self.matrix):
            raise InputError(
                f"{directory}: features.npy has {len(self.matrix)} rows and index.parquet {len(self.index)}; run preprocess again"
            )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features of the matrix, without the derived ones."""
        return self.names[: self.n_matrix]

    @property
    def n_rows(self) -> int:
        return len(self.index)

    def rows(self, era: int) -> slice:
        """Where an era's rows are.

        Raises
        ------
        KeyError
            If the panel has no such era.
        """
        k = self._era_position[int(era)]
        return slice(int(self.starts[k]), int(self.starts[k + 1]))

    def row_numbers(self, eras: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of all rows of some eras, in the order of `eras`."""
        pieces = [np.arange(rows.start, rows.stop) for rows in map(self.rows, eras)]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def columns(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Positions of columns.

        Raises
        ------
        InputError
            If a name is no column.
        """
        unknown = [name for name in names if name not in self._position]
        if unknown:
            raise InputError(f"the prepared data has no feature {unknown[0]!r}; run preprocess again with a feature set that has it")
        return np.array([self._position[name] for name in names], np.int64)

    def block(self, era: int, columns: NDArray[np.int64] | None = None) -> NDArray:
        """One era's features, (rows, columns): int8 or float32 as stored, float32 where demeaned or derived.

        `columns` are positions in `names`; None takes the features of the matrix.
        """
        rows = self.rows(era)
        wanted = np.arange(self.n_matrix) if columns is None else columns
        from_matrix = wanted < self.n_matrix
        values = np.asarray(self.matrix[rows] if columns is None else self.matrix[rows][:, wanted[from_matrix]])
        if self.era_means.size:
            values = values - self.era_means[self._era_position[int(era)], wanted[from_matrix]]
        if from_matrix.all():
            return values
        block = np.empty((rows.stop - rows.start, len(wanted)), np.float32)
        block[:, from_matrix] = values
        block[:, ~from_matrix] = self.derived[rows][:, wanted[~from_matrix] - self.n_matrix]
        return block


class View:
    """Some eras of a panel, seen through a feature map: what a model is fitted on or predicts.

    Parameters
    ----------
    panel, eras, features : the panel, the eras in the order in which their rows come, and the feature map.
    target : name of the target; rows where it is NaN are left out. None keeps every row, without a target.

    Attributes
    ----------
    rows : (n,) int64, the panel's row numbers.
    target : (n,) float32, empty where no target was asked for.
    era : (n,) int64, the era of each row; rows of an era are adjacent.
    dropped : int, rows left out for their NaN target.
    """

    def __init__(self, panel: Panel, eras: Sequence[int] | NDArray[np.int64], features: FeatureMap, target: str | None = None) -> None:
        self.panel, self.features = panel, features
        self._columns = panel.columns(features.columns)
        rows = panel.row_numbers(eras)
        self.target = np.empty(0, np.float32)
        kept = np.ones(len(rows), bool)
        if target is not None:
            values = _target(panel, target)[rows]
            kept = ~np.isnan(values)
            self.target = values[kept]
        self.rows = rows[kept]
        self.era = panel.row_eras[self.rows]
        self.dropped = int((~kept).sum())

    @property
    def names(self) -> tuple[str, ...]:
        return self.features.names

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    def blocks(self) -> Iterator[NDArray]:
        """One (rows, features) array an era, in order."""
        for rows in era_slices(self.era):
            numbers = self.rows[rows]
            era = int(self.era[rows.start])
            start = self.panel.rows(era).start
            block = self.features.apply(self.panel.block(era, self._columns))
            yield block if len(block) == len(numbers) else block[numbers - start]

    def matrix(self) -> NDArray:
        """All rows at once, (rows, features), int8 or float32."""
        return self._gather(self.n_rows, (slice(0, rows.stop - rows.start) for rows in era_slices(self.era)))

    def sample(self, max_rows: int, rng: np.random.Generator) -> tuple[NDArray, NDArray[np.float32]]:
        """At most `max_rows` rows, drawn without replacement as the same share of every era: features and target."""
        if self.n_rows <= max_rows:
            return self.matrix(), self.target
        share = max_rows / self.n_rows
        slices = era_slices(self.era)
        picks = [np.sort(rng.choice(s.stop - s.start, int(share * (s.stop - s.start)), replace=False)) for s in slices]
        target = np.concatenate([self.target[s][pick] for s, pick in zip(slices, picks, strict=True)])
        return self._gather(len(target), picks), target

    def _gather(self, n_rows: int, picks: Iterable[slice | NDArray[np.int64]]) -> NDArray:
        out: NDArray = np.empty((0, len(self.names)), np.float32)
        filled = 0
        for block, pick in zip(self.blocks(), picks, strict=True):
            chosen = block[pick]
            if not filled:
                out = np.empty((n_rows, chosen.shape[1]), chosen.dtype)
            out[filled : filled + len(chosen)] = chosen
            filled += len(chosen)
        return out


def era_slices(era: NDArray[np.int64]) -> list[slice]:
    """Slices of adjacent rows of the same era."""
    if not len(era):
        return []
    bounds = np.flatnonzero(np.diff(era)) + 1
    edges = [0, *bounds.tolist(), len(era)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def _target(panel: Panel, name: str) -> NDArray[np.float32]:
    if name not in panel.index:
        raise InputError(f"the data has no target {name!r}; its targets are {', '.join(panel.targets)}")
    return panel.index[name].to_numpy(np.float32)


def _open_array(path: Path) -> NDArray:
    """Map an array; one without elements, which can't be mapped, is read."""
    try:
        array = np.lib.format.open_memmap(path, "r") if _elements(path) else np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run preprocess") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable array ({error}); run preprocess again") from None
    return array


def _elements(path: Path) -> int:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file) if version == (1, 0) else np.lib.format.read_array_header_2_0(file)
    return int(np.prod(shape))


def _read_index(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    wanted = None if columns is None else [ID, ERA, DATA_TYPE, *columns]
    present = set(files.open_parquet(path).schema_arrow.names)
    frame = files.read_parquet(path, None if wanted is None else [name for name in wanted if name in present])
    frame[ERA] = frame[ERA].fillna(LIVE_ERA).astype(np.int64)
    return frame
