"""Small panels on disk, as the stage preprocess writes them."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.panel import blocks
from erawise.panel.panel import DERIVED, FEATURES, FeatureMap, Panel, View, chunks


def write_panel(
    directory: Path,
    features: NDArray,
    targets: Mapping[str, NDArray],
    era: NDArray,
    *,
    names: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    data_type: str = "train",
    derived: Mapping[str, NDArray] | None = None,
    era_means: NDArray[np.float32] | None = None,
    feature_sets: Mapping[str, Sequence[str]] | None = None,
) -> Panel:
    """Write the files of a prepared directory and open it.

    Parameters
    ----------
    directory : made if it is missing.
    features : (rows, features) int8 or float32, in eras that ascend.
    targets : name to (rows,) values, which may be NaN.
    era : (rows,) era numbers, ascending.
    names : names of the features; by default `feature_0`, `feature_1`, ...
    ids : ids of the rows; by default `n000000`, `n000001`, ...
    derived : name to (rows,) values of the derived features.
    era_means : (eras, features), if demeaning is on.
    feature_sets : by default only `all`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    names = [f"feature_{k}" for k in range(features.shape[1])] if names is None else list(names)
    ids = [f"n{row:06d}" for row in range(len(features))] if ids is None else list(ids)
    columns = {} if derived is None else dict(derived)
    era = np.asarray(era, np.int64)
    write_chunks(directory / FEATURES, features, era)
    if columns:
        write_chunks(directory / DERIVED, np.column_stack(list(columns.values())).astype(np.float32), era)
    tabular.write_npy(np.empty((0, len(names)), np.float32) if era_means is None else era_means, directory / "era_means.npy")
    index = pd.DataFrame({"id": ids, "era": era, "data_type": data_type})
    for name, values in targets.items():
        index[name] = np.asarray(values, np.float32)
    tabular.write_parquet(index, directory / "index.parquet")
    sets = {"all": names} if feature_sets is None else {name: list(members) for name, members in feature_sets.items()}
    content = {"features": names, "derived": list(columns), "feature_sets": sets, "targets": list(targets)}
    content["set_sizes"] = {name: len(members) for name, members in sets.items()}
    files.write_json(content, directory / "features.json")
    record(directory)
    return Panel(directory)


def record(directory: Path) -> None:
    """Record in `features.json` the arrays of a prepared directory as they are now."""
    content = files.read_json(directory / "features.json")
    era = tabular.read_parquet(directory / "index.parquet", ["era"])["era"].fillna(-1).to_numpy()
    eras, starts = np.unique(era, return_index=True)
    content["stored"] = {}
    for name in (FEATURES, DERIVED) if content["derived"] else (FEATURES,):
        for chunk, span in chunks(eras):
            path = directory / name / chunk
            edges = [*(starts[span] - starts[span.start]).tolist(), len(array := np.ascontiguousarray(np.load(path)))]
            digests = [f"{blocks.digest(array[a:b]):016x}" for a, b in itertools.pairwise(edges)]
            content["stored"][f"{name}/{chunk}"] = {"bytes": path.stat().st_size, "eras": digests}
    means = np.load(directory / "era_means.npy")
    stored = {"bytes": (directory / "era_means.npy").stat().st_size, "eras": [f"{blocks.digest(row):016x}" for row in means]}
    content["stored"]["era_means.npy"] = stored
    files.write_json(content, directory / "features.json")


def write_chunks(directory: Path, array: NDArray, era: NDArray[np.int64]) -> None:
    """Write an array with a row for each of `era` (rows,), ascending, into a directory of chunks."""
    eras, starts = np.unique(era, return_index=True)
    edges = [*starts.tolist(), len(era)]
    for name, span in chunks(eras):
        tabular.write_npy(np.ascontiguousarray(array[edges[span.start] : edges[span.stop]]), directory / name)


def read_chunks(directory: Path) -> NDArray:
    """Read the whole array of a directory of chunks."""
    return np.concatenate([np.load(path) for path in sorted(directory.iterdir())])


def matrix_of(panel: Panel) -> NDArray:
    """Return a panel's whole matrix (rows, features)."""
    return np.concatenate([panel.stored(era) for era in panel.eras])


def view(panel: Panel, eras: Sequence[int] | None = None, target: str | None = "target") -> View:
    """Return a view of some eras of a panel, by default all, through all of its columns."""
    return View(panel, panel.eras if eras is None else eras, FeatureMap(panel.names), target)
