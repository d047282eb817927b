"""All comparisons, one part after the other, each in a separate process: `make bench`.

`python -m benchmarks.run` prints the table, puts it into docs/speed.md, and writes benchmarks/results.json and the picture of the cost
by size.
`--only PART ...` runs some parts and keeps the earlier lines of the others.
"""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from benchmarks import measure
from erawise.base import files, tabular

PARTS = ("scores", "reading", "prediction", "training", "network", "whole_job")
RESULTS = measure.ROOT / "benchmarks" / "results.json"
PAGE = measure.ROOT / "docs" / "speed.md"
SCALING = measure.ROOT / "docs" / "scaling.svg"


def run_part(part: str) -> list[measure.Row]:
    """Measure one part in a separate process."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.json"
        subprocess.run([sys.executable, "-m", "benchmarks.run", "--part", part, "--out", path], cwd=measure.ROOT, check=True)
        return [as_row(found) for found in files.read_json(path)]


def as_row(found: dict[str, object]) -> measure.Row:
    """Read a row from its JSON; derived values are computed again."""
    given = {field.name for field in fields(measure.Row) if field.init}
    return measure.Row(**{name: value for name, value in found.items() if name in given})  # type: ignore[arg-type]


def scaling_figure(table: pd.DataFrame) -> Figure:
    """Draw seconds by size from `scores.scaling`, one line per dimension; a slope of 1 is linear."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, rows in table.groupby("dimension", sort=False):
        relative = rows["size"] / rows["size"].iloc[0]
        axes.loglog(relative, rows["seconds"] / rows["seconds"].iloc[0], marker="o", label=f"{name}, from {rows['size'].iloc[0]:,}")
    longest = (table["size"] / table.groupby("dimension")["size"].transform("min")).max()
    axes.loglog([1, longest], [1, longest], color="0.7", linestyle="--", label="linear")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(2))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("size, as a multiple of the smallest")
    axes.set_ylabel("time, as a multiple of the smallest's")
    axes.set_title("All scores of all predictions: time against size", loc="left")
    axes.legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*PARTS, "scaling"], help="parts to run")
    parser.add_argument("--part", choices=PARTS, help="run this part here, for --out")
    parser.add_argument("--out", type=Path, help="file for the rows of --part")
    given = parser.parse_args()
    if given.part:
        found = importlib.import_module(f"benchmarks.{given.part}").rows()
        files.write_json([asdict(row) for row in found], given.out)
        return
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.exists() and given.only else []
    wanted = given.only or [*PARTS, "scaling"]
    rows: dict[str, list[measure.Row]] = {part: [as_row(found) for found in before if found["part"] == part] for part in PARTS}
    for part in wanted:
        if part in PARTS:
            rows[part] = run_part(part)
            print(measure.table(rows[part]), flush=True)
    results = [{"part": part, **asdict(row)} for part in PARTS for row in rows[part]]
    files.write_json({"machine": measure.machine(), "results": results}, RESULTS)
    if "scaling" in wanted:
        found = importlib.import_module("benchmarks.scores").scaling()
        tabular.write_csv(found, SCALING.with_suffix(".csv"))
        scaling_figure(found).savefig(SCALING, metadata={"Date": None})
    table = measure.table([row for part in PARTS for row in rows[part]])
    measure.put(PAGE, "comparisons", f"Machine: {measure.machine()['cpu']}, {measure.machine()['cores']} cores.\n\n{table}")
    print(table)


if __name__ == "__main__":
    main()
