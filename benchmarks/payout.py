"""The coverage of the intervals of `erawise.outlook.staking`, and the command's output on the embedded market.

Eras are drawn from a law whose years are known, with the overlap of a 60-day target. The intervals are computed from the eras.
`python -m benchmarks.payout` prints the tables. `--write` puts them into docs/payout.md.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import measure
from erawise.outlook import staking
from erawise.outlook.staking import Year
from erawise.regimes import regimes

Floats = NDArray[np.float64]

PAGE = measure.ROOT / "docs" / "payout.md"
ERAS, SPAN, DAYS = (96, 156, 300), 12, 60
HISTORIES, YEARS = 300, 5000
MEAN, SPREAD = 0.117, 0.225
"""Mean and spread of a round's rate: 3 CORR + 15 MMC of the official example model on v5.2, a CORR of .0126 and an MMC of .0053."""

TERMS = replace(staking.terms_of(regimes.load().named(None), 1.0), multipliers={"corr": 1.0})
YEAR = Year("compound", drawdown=0.2, replicates=1000, draws=200, seed=1)


def overlapping(eras: int, count: int, seed: int) -> Floats:
    """Draw (eras, count) rates. Each is the mean of twelve weeks, of which neighbours share eleven."""
    drawn = np.random.default_rng(seed).normal(size=(eras + SPAN - 1, count))
    return MEAN + SPREAD * sum(drawn[week : week + eras] for week in range(SPAN)) / np.sqrt(SPAN)


def truth() -> Floats:
    """Simulate the stakes (weeks, years) of many years of this law."""
    return staking.grown(staking.clipped(overlapping(staking.WEEKS, YEARS, 0), TERMS), TERMS, YEAR.mode)


EXAMPLE = ("lightgbm", "ensemble", "neutralized")
"""Predictions of the example: all seven fill a page with their tables."""


def coverage(histories: int) -> str:
    """Return, by the number of eras, the share of histories whose 95 % interval holds the truth.

    The second table has the share of new years in the band of nine years of ten.
    """
    path = truth()
    fall = (1 - path / np.maximum.accumulate(path, axis=0)).max(axis=0)
    true = {"median": np.median(path[-1]), "loss": (path[-1] < 1).mean(), "drawdown": (fall > YEAR.drawdown).mean()}
    names = {"median": "median of the year", "loss": "chance of a loss", "drawdown": f"chance of a fall by {YEAR.drawdown:.0%}"}
    lines = ["| 95 % interval of the | truth | " + " | ".join(f"{eras} eras" for eras in ERAS) + " |", "|---|---:|" + "---:|" * len(ERAS)]
    tables = [_tables(eras, histories) for eras in ERAS]
    for name, words in names.items():
        held = [((table[f"{name}_low"] <= true[name]) & (table[f"{name}_high"] >= true[name])).mean() for table in tables]
        lines.append(f"| {words} | {true[name]:.2f} | " + " | ".join(f"{share:.0%}" for share in held) + " |")
    lines += ["", "| a new year lies in the band of 9 years of 10 | " + " | ".join(f"{eras} eras" for eras in ERAS) + " |"]
    lines.append("|---|" + "---:|" * len(ERAS))
    for words, suffix in (("as it was seen", ""), ("all told", "_all")):
        inside = [_inside(path[-1], table[f"p05{suffix}"], table[f"p95{suffix}"]) for table in tables]
        lines.append(f"| {words} | " + " | ".join(f"{share:.0%}" for share in inside) + " |")
    return "\n".join(lines)


def example() -> str:
    """Return the command's output on the scores of the checkout."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "erawise", "payout", "--models", *EXAMPLE, "--md", "--out", directory]
        done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, check=True)
    return done.stdout.rpartition("\n\nwritten to ")[0]


def _tables(eras: int, histories: int) -> pd.DataFrame:
    """Return the first table of `payout.outlook` for each history, a row each."""
    place = {"era": np.arange(eras), "prediction": "a", "mmc": np.nan}
    found = [staking.history(pd.DataFrame(place | {"corr": column}), ["a"], TERMS, DAYS) for column in overlapping(eras, histories, eras).T]
    return pd.concat([staking.outlook(one, YEAR)[0] for one in found])


def _inside(ends: Floats, low: pd.Series, high: pd.Series) -> float:
    """Average over the bands the share of the years that end within."""
    ordered = np.sort(ends)
    return float((np.searchsorted(ordered, high, "right") - np.searchsorted(ordered, low)).mean() / len(ends))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=HISTORIES)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/payout.md")
    given = parser.parse_args()
    measure.publish({"coverage": coverage(given.histories), "example": example()}, PAGE, write=given.write)


if __name__ == "__main__":
    main()
