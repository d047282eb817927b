"""The selected features on disk: one map per fold, and the final model's."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.panel.panel import FeatureMap


def write(maps: list[FeatureMap], directory: Path) -> None:
    """Write one map per fold, and the final model's as the last, into an existing directory."""
    projected = maps[0].components is not None
    content = {"folds": [list(m.columns) for m in maps[:-1]], "final": list(maps[-1].columns), "projected": projected}
    files.write_json(content, directory / "selected.json")
    for k, m in enumerate(maps):
        if m.mean is not None and m.components is not None:
            tabular.write_npy(np.vstack([m.mean, m.components.T]), directory / f"projection_{k}.npy")


def read(directory: Path) -> tuple[list[FeatureMap], FeatureMap]:
    """Read the maps of the folds, and the final model's."""
    content = files.read_json(directory / "selected.json")
    columns: list[Any] = [*content["folds"], content["final"]]
    maps = [FeatureMap(tuple(names), *_projection(directory, k, content["projected"])) for k, names in enumerate(columns)]
    return maps[:-1], maps[-1]


def _projection(directory: Path, k: int, projected: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    if not projected:
        return None, None
    stacked = np.load(directory / f"projection_{k}.npy", allow_pickle=False)
    return stacked[0], stacked[1:].T
