"""Size, time and memory of the pickle for Numerai's model upload, with Numerai's packages of each Python on one core.

`python -m benchmarks.upload` prints the table. `--write` puts it into docs/upload.md. The first line is the checkout's own prediction
by `erawise upload --python all`. The others are models of the full size on random data: LightGBM, a linear model and a network. The
difference is from the same function with the packages of this environment. Differences, seconds and memory are the largest of all Pythons.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd

from benchmarks import measure
from erawise.base import files
from erawise.models.shared import arrays
from erawise.upload import build, delivery, environments, proof, runtime

PAGE = measure.ROOT / "docs" / "upload.md"
ROWS, FIT_ROWS, FEATURES, TREES, UNITS = 7_000, 5_000, 3_555, 4_000, 256
NEUTRALIZED_TO = (50, FEATURES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/upload.md")
    given = parser.parse_args()
    lines = ["| | pickle | rows | largest difference | seconds | memory |", "|---|---:|---:|---:|---:|---:|", _own()]
    with tempfile.TemporaryDirectory() as directory:
        lines += _full_size(Path(directory))
    measure.publish({"upload": "\n".join(lines)}, PAGE, write=given.write)


def _own() -> str:
    command = [sys.executable, "-m", "erawise", "upload", "--python", delivery.EVERY]
    subprocess.run(command, cwd=measure.ROOT, check=True, stdout=subprocess.DEVNULL)
    found = files.read_json(measure.ROOT / "data" / "upload" / delivery.CHECK)
    ran = [(one["largest_difference"], one["seconds"], one["peak_megabytes"] * build.MEGABYTE) for one in found["pythons"].values()]
    return _line(f"this checkout's `{found['prediction']}`", found["pickle"]["bytes"], found["rows"], ran)


def _full_size(directory: Path) -> list[str]:
    rng = np.random.default_rng(1)
    names = [f"feature_{k}" for k in range(FEATURES)]
    ids = pd.Index([f"n{k:015x}" for k in range(ROWS)], name="id")
    live = pd.DataFrame(rng.integers(0, 5, (ROWS, FEATURES), dtype=np.int8), columns=names, index=ids)
    live.to_parquet(directory / "live.parquet")
    models: dict[str, list[tuple[str, dict[str, str | bytes]]]] = {"lightgbm": [("trees", {"text": _trees(rng)})]}
    models |= {"ridge": [("linear", _linear(rng))], "network": [("network", _network(rng))]}
    lines = []
    for count in NEUTRALIZED_TO:
        content: runtime.Content = {
            "features": names,
            "dtype": "int8",
            "demean": False,
            "columns": names,
            "projection": None,
            "models": models,
            "weights": dict.fromkeys(models, 1 / len(models)),
            "neutralization": {"features": names[:count], "capped": False, "proportion": 1.0},
        }
        path = directory / "model.pkl"
        size = build.write(content, path, np.inf)
        here = pickle.loads(path.read_bytes())(live, live[[]]).reset_index()
        ran = []
        for python in environments.interpreters(environments.PINS).values():
            found = proof.run(python, path, directory / "live.parquet", None)
            ran.append((proof.difference(found.predictions, here), found.seconds, found.peak_bytes))
        what = f"{FEATURES:,} features; LightGBM of {TREES:,} trees, ridge and a network of {UNITS}, neutralized to {count:,}"
        lines.append(_line(what, size, ROWS, ran))
    return lines


def _trees(rng: np.random.Generator) -> str:
    features = rng.integers(0, 5, (FIT_ROWS, FEATURES), dtype=np.int8)
    data = lightgbm.Dataset(features.astype(np.float32), rng.normal(size=FIT_ROWS), params={"max_bin": 5, "verbosity": -1})
    options = {
        "num_leaves": 31,
        "max_depth": 5,
        "feature_fraction": 0.1,
        "learning_rate": 0.01,
        "seed": 1,
        "num_threads": 1,
        "verbosity": -1,
    }
    return str(lightgbm.train(options, data, TREES).model_to_string())


def _linear(rng: np.random.Generator) -> dict[str, str | bytes]:
    return {"weights": arrays.encoded(rng.normal(size=FEATURES)), "constant": arrays.encoded(np.array(0.5))}


def _network(rng: np.random.Generator) -> dict[str, str | bytes]:
    parts = {
        "weights_0": rng.normal(size=(FEATURES, UNITS)) / np.sqrt(FEATURES),
        "bias_0": rng.normal(size=UNITS),
        "weights_1": rng.normal(size=(UNITS, 1)),
        "bias_1": np.zeros(1),
    }
    return {name: arrays.encoded(part) for name, part in parts.items()}


def _line(what: str, size: int, rows: int, ran: Sequence[tuple[float, float, float]]) -> str:
    """Return a line of the table from the difference, seconds and bytes of memory on each Python."""
    difference, seconds, peak = (max(values) for values in zip(*ran, strict=True))
    cells = [what, f"{size / build.MEGABYTE:.1f} MB", f"{rows:,}", f"{difference:.0e}", f"{seconds:.1f}", f"{peak / 2**30:.2f} GiB"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
