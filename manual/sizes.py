"""The table of docs/real-run.md: disk, memory and minutes by feature set, from the measured figures of docs/scale.md.

`python -m manual.sizes` writes it again; the page shows the formula.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from erawise.base import files

ROOT = Path(__file__).parents[1]
PAGE = "docs/real-run.md"
MEASURED = "docs/scale.md"
RESULTS = "benchmarks/results.json"
BLOCK = "sizes"

FEATURES = {"small": 42, "medium": 780, "all": 3555}
"""Features of the sets of Numerai's data v5.3."""

TRAIN_ROWS, ROWS = 2_750_000, 6_860_000
"""Rows of v5.3: of the train eras, and of all."""

FILE_GB, REST_GB = 9.3, 0.3
"""Size of the two large files of v5.3, and an estimate of the part that every set needs: ids, targets, meta model, benchmark models."""

DISK_MATRICES, REST_GIB = 2.4, 1.5
"""Disk space as a multiple of the matrix, and an estimate of the rest: index, targets, predictions, scores."""

TREES = 2000
WHOLE_FITS = 4
"""Four folds that train on three quarters of the eras, and the final fit."""

STREAMED = ("preprocess", "explore")
"""Stages whose time follows the bytes of the matrix; more cores don't help them."""

SHARED = ("neutralize", "evaluate")
"""Stages whose time follows the bytes of the matrix, shared among the cores."""

BY_ROW = ("ensemble", "plot")
"""Stages whose time and memory follow the rows."""

FITTED = ("select_features", "train lightgbm")
"""Stages whose time and memory follow the values that they are trained on."""

GROWN = re.compile(r"LightGBM, (\d+) trees, after that, ([\d,]+) x (\d+)")
FIRST = "LightGBM up to the first tree, after that"
GIB = 2**30


@dataclass(frozen=True)
class Measured:
    """Sizes of the measured run, and seconds and GiB of each of its stages."""

    train_rows: int
    rows: int
    features: int
    seconds: dict[str, float]
    memory: dict[str, float]


def measured(root: Path) -> Measured:
    """Read the block "full size" of docs/scale.md."""
    text = (root / MEASURED).read_text(encoding="utf-8").partition("<!-- full size -->")[2].partition("<!-- end")[0]
    rows, features = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) rows of ([\d,]+) int8", text)[0])
    eras, era_rows = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) train eras of\s+([\d,]+) rows", text)[0])
    stages = re.findall(r"^\| ([a-z_ ]+) \| ([\d.,]+) \| [\d,]+ \| ([\d.]+) GiB", text, re.MULTILINE)
    seconds = {stage: float(value.replace(",", "")) for stage, value, _ in stages}
    return Measured(eras * era_rows, rows, features, seconds, {stage: float(memory) for stage, _, memory in stages})


def tree_seconds(root: Path) -> float:
    """Return the seconds of a tree for each value that it is trained on, from the measured fit of benchmarks/training.py."""
    results = {str(row["name"]): float(row["ours"]) for row in files.read_json(root / RESULTS)["results"]}
    name, grown = next((name, found) for name in results if (found := GROWN.match(name)))
    first = next(seconds for other, seconds in results.items() if other.startswith(FIRST))
    trees, rows, features = (int(number.replace(",", "")) for number in grown.groups())
    return (results[name] - first) / (trees - 1) / (rows * features)


def table(root: Path) -> str:
    """Return the table of docs/real-run.md."""
    run, tree = measured(root), tree_seconds(root)
    lines = [
        "| feature set | features | matrix | download | disk | memory | minutes, 2 cores | minutes, 8 cores, at best |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, features in FEATURES.items():
        matrix = ROWS * features / GIB
        ratio = ROWS * features / (run.rows * run.features)
        trained = TRAIN_ROWS * features / (run.train_rows * run.features)
        by_row = ROWS / run.rows
        one = ratio * sum(run.seconds[stage] for stage in STREAMED) + by_row * sum(run.seconds[stage] for stage in BY_ROW)
        shared = ratio * sum(run.seconds[stage] for stage in SHARED) + trained * sum(run.seconds[stage] for stage in FITTED)
        shared += TREES * WHOLE_FITS * tree * TRAIN_ROWS * features
        memory = max([run.memory[stage] * by_row for stage in BY_ROW] + [run.memory[stage] * trained for stage in FITTED])
        cells = (
            f"{matrix:.1f} GiB",
            f"{FILE_GB * features / FEATURES['all'] + REST_GB:.1f} GB",
            f"{DISK_MATRICES * matrix + REST_GIB:.0f} GiB",
            f"{memory:.1f} GiB",
            f"{(one + shared) / 60:,.0f}",
            f"{(one + shared / 4) / 60:,.0f}",
        )
        lines.append(f"| `{name}` | {features:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Write the table into docs/real-run.md."""
    measure.put(ROOT / PAGE, BLOCK, table(ROOT))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
