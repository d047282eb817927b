"""One era's features from disk: from the mapped matrix as the panel reads it, and from Parquet. `python -m benchmarks.reading`

Both are read warm, from the page cache, so that decoding and copying count, and not the disk.
"""

import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import measure
from erawise.base import tabular
from erawise.panel import blocks
from erawise.panel import panel as prepared
from erawise.panel.panel import Panel

ERAS, ROWS, FEATURES = 40, 5_000, 2_376
GROUP_ROWS = 50_000
CHOSEN = 705
ERA = 17
MUST = 30


def write(directory: Path) -> None:
    """Write the same rows as a prepared directory and as Parquet."""
    rng = np.random.default_rng(1)
    names = [f"feature_{k}" for k in range(FEATURES)]
    era = np.repeat(np.arange(ERAS), ROWS)
    matrix = rng.integers(0, 5, (len(era), FEATURES), np.int8)
    ((chunk, _),) = prepared.chunks(np.arange(ERAS))
    features = f"{prepared.FEATURES}/{chunk}"
    tabular.write_npy(matrix, directory / features)
    tabular.write_npy(np.empty((0, FEATURES), np.float32), directory / "era_means.npy")
    index = {"id": [f"n{row}" for row in range(len(era))], "era": era, "data_type": ["train"] * len(era)}
    pq.write_table(pa.table(index), directory / "index.parquet")
    digests = [f"{blocks.digest(matrix[k * ROWS : (k + 1) * ROWS]):016x}" for k in range(ERAS)]
    stored = {name: {"bytes": (directory / name).stat().st_size, "eras": []} for name in (features, "era_means.npy")}
    stored[features]["eras"] = digests
    content = {"features": names, "derived": [], "feature_sets": {"all": names}, "targets": [], "stored": stored}
    (directory / "features.json").write_text(json.dumps(content), encoding="utf-8")
    columns = {"era": pa.array(era)} | {name: pa.array(column) for name, column in zip(names, np.ascontiguousarray(matrix.T), strict=True)}
    pq.write_table(pa.table(columns), directory / "features.parquet", row_group_size=GROUP_ROWS)


def from_parquet(path: Path, names: list[str]) -> NDArray[np.int8]:
    """Read the era's features through pandas, with a filter on the era."""
    frame = pq.read_table(path, columns=names, filters=[("era", "=", ERA)]).to_pandas()
    found: NDArray[np.int8] = frame.to_numpy()
    return found


def from_matrix(panels: Iterator[Panel], columns: NDArray[np.int64] | None) -> NDArray:
    """Read the era's features from the next panel. Mapped ones are copied, since nothing would be read otherwise."""
    block = next(panels).block(ERA, columns)
    return np.array(block) if columns is None else block


def difference(a: NDArray, b: NDArray) -> float:
    return float(np.abs(a.astype(np.int16) - b).max())


def rows() -> list[measure.Row]:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        write(directory)
        known = Panel(directory)
        some = np.sort(np.random.default_rng(2).choice(FEATURES, CHOSEN, replace=False))
        return [compare(directory, known, columns, first) for columns in (None, some) for first in (True, False)]


def compare(directory: Path, known: Panel, columns: NDArray[np.int64] | None, first: bool) -> measure.Row:
    """Measure some columns as a line: a panel's first reading of the era, which checks its digest, or a later one."""
    names = list(known.names) if columns is None else [known.names[k] for k in columns]
    panels = iter([Panel(directory) for _ in range(measure.REPEATS + 1)]) if first else itertools.repeat(known)
    return measure.row(
        f"one era of {ROWS:,} × {len(names):,} of {FEATURES:,} int8 features, {'first' if first else 'later'} reading",
        lambda: from_parquet(directory / "features.parquet", names),
        lambda: from_matrix(panels, columns),
        must=MUST,
        agreement=measure.Agreement(difference, 0),
        note=f"row groups of {GROUP_ROWS:,}; both from the page cache; a first reading reads all {FEATURES:,} features for their digest",
    )


if __name__ == "__main__":
    print(measure.table(rows()))
