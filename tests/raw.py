"""Small raw files in Numerai's layout."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from erawise.base import files


def frame(eras: Sequence[int], rows: int, features: int, data_type: str, seed: int, *, dtype: str = "int8") -> pd.DataFrame:
    """Draw rows in Numerai's layout with a target that the first feature helps to predict, and `id` as a column."""
    rng = np.random.default_rng(seed)
    size = len(eras) * rows
    values = rng.integers(0, 5, (size, features))
    table = pd.DataFrame({f"feature_{k}": values[:, k].astype(np.int8) for k in range(features)})
    if dtype == "float32":
        table = (table / 4).astype(np.float32)
    era = np.repeat(np.asarray(eras), rows)
    labels = ["X"] * size if data_type == "live" else [f"{number:04d}" for number in era]
    table.insert(0, "id", [f"n{seed:02d}{number:013x}" for number in range(size)])
    table.insert(1, "era", labels)
    table.insert(2, "data_type", data_type)
    if data_type != "live":
        signal = values[:, 0] / 2 + rng.normal(size=size)
        for name, noise in (("target", 0.0), ("target_other_20", 0.0), ("target_other_60", 1.0)):
            noisy = pd.Series(signal + noise * rng.normal(size=size))
            table[name] = (noisy.groupby(era).rank(pct=True) * 4.999).astype(int).to_numpy(np.float32) / 4
    return table


def write(
    directory: Path,
    *,
    train: Sequence[int] = range(1, 61),
    validation: Sequence[int] = range(61, 91),
    rows: int = 40,
    features: int = 8,
    dtype: str = "int8",
) -> dict[str, pd.DataFrame]:
    """Write a whole data version and return its frames, so that a test can change one and write it again."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = _drawn(tuple(train), tuple(validation), rows, features, dtype)
    for name, (_, stored) in drawn.items():
        (directory / f"{name}.parquet").write_bytes(stored)
    names = [f"feature_{k}" for k in range(features)]
    content = {
        "feature_sets": {"small": names[:4], "all": names, "wisdom": names[2:6]},
        "targets": ["target", "target_other_20", "target_other_60"],
    }
    files.write_json(content, directory / "features.json")
    return {name: table.copy() for name, (table, _) in drawn.items()}


@cache
def _drawn(
    train: tuple[int, ...], validation: tuple[int, ...], rows: int, features: int, dtype: str
) -> dict[str, tuple[pd.DataFrame, bytes]]:
    """Return each frame and its file."""
    frames = {
        "train": frame(train, rows, features, "train", 1, dtype=dtype),
        "validation": frame(validation, rows, features, "validation", 2, dtype=dtype),
        "live": frame([0], rows, features, "live", 3, dtype=dtype),
    }
    return {name: (table, table.set_index("id").to_parquet()) for name, table in frames.items()}
