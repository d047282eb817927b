"""False alarms and power of the tests of `erawise.evaluation.significance`.

The simulated pairs of per-era scores have a difference with the autocorrelation of real ones, and no true mean. A test at 5 % should
find a difference in 5 % of them. `python -m benchmarks.significance` prints the tables. `--write` puts them into docs/significance.md.
`--series FILE` (a CSV with a column per model and a row per era) adds the verdicts on real series.
"""

import argparse
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from benchmarks import measure
from erawise.evaluation import significance

Floats = NDArray[np.float64]

PAGE = measure.ROOT / "docs" / "significance.md"
AUTOCORRELATIONS = {4: (0.73, 0.49, 0.28, 0.06), 12: tuple(1 - lag / 12 for lag in range(1, 12))}
"""Autocorrelations of per-era CORR at lags 1, 2, ..., by the weeks of the target: at four of real scores, at twelve the weeks shared."""

PAIRS, OVERLAP = 1000, 4
ERAS = {4: (60, 150, 300, 600), 12: (100, 150, 300, 600)}
SPREAD, TRUE_DIFFERENCE = 0.0092, 0.003
"""Standard deviation of the difference of two real models by era, and a true mean that matters."""

LEVEL = 0.05


def correlated(count: int, eras: int, seed: int, overlap: int = OVERLAP) -> Floats:
    """Draw (count, eras) normal series of mean 0 and variance 1 with the autocorrelations of a target of so many weeks."""
    lags = np.zeros(eras)
    lags[: len(AUTOCORRELATIONS[overlap]) + 1] = [1, *AUTOCORRELATIONS[overlap]]
    distance = np.abs(np.subtract.outer(np.arange(eras), np.arange(eras)))
    drawn: Floats = np.random.default_rng(seed).standard_normal((count, eras)) @ np.linalg.cholesky(lags[distance]).T
    return drawn


def ours(series: Floats, overlap: int) -> NDArray[np.bool_]:
    """Return (count,) whether the interval of a series of differences leaves 0 out, so that the verdict isn't "can't tell"."""
    found = [significance.mean(one, overlap=overlap) for one in series]
    return np.array([mean.low > 0 or mean.high < 0 for mean in found])


def independent(series: Floats, _: int) -> NDArray[np.bool_]:
    """Apply the paired t test, which assumes independent eras."""
    found: NDArray[np.bool_] = stats.ttest_1samp(series, 0, axis=1).pvalue < LEVEL
    return found


def newey_west(series: Floats, _: int) -> NDArray[np.bool_]:
    """Apply the usual Newey-West t test: Bartlett weights up to `4 (n / 100)^(2/9)` lags, normal critical values."""
    eras = series.shape[1]
    deviation = series - series.mean(axis=1, keepdims=True)
    lags = int(4 * (eras / 100) ** (2 / 9))
    variance = np.square(deviation).mean(axis=1)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (deviation[:, lag:] * deviation[:, :-lag]).sum(axis=1) / eras
    found: NDArray[np.bool_] = np.abs(series.mean(axis=1)) > stats.norm.ppf(1 - LEVEL / 2) * np.sqrt(variance / eras)
    return found


TESTS: dict[str, Callable[[Floats, int], NDArray[np.bool_]]] = {
    "equal-weighted cosine (ours)": ours,
    "Newey–West, normal critical values": newey_west,
    "paired t, eras independent": independent,
}


def false_alarms(pairs: int) -> str:
    """Return the share of pairs without a true difference in which each test finds one, by the number of eras."""
    tables = []
    for overlap, numbers in ERAS.items():
        drawn = [correlated(pairs, eras, eras, overlap) for eras in numbers]
        head = f"| test at 5 %, a target of {5 * overlap} days | " + " | ".join(f"{eras} eras" for eras in numbers) + " |"
        lines = [head, "|---|" + "---:|" * len(numbers)]
        for name, test in TESTS.items():
            lines.append(f"| {name} | " + " | ".join(f"{test(series, overlap).mean():.1%}" for series in drawn) + " |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def power(pairs: int) -> str:
    """Return the share of pairs with a true difference in which it is found, with the right sign."""
    cells = []
    for eras in ERAS[OVERLAP]:
        series = TRUE_DIFFERENCE + SPREAD * correlated(pairs, eras, eras + 1)
        cells.append(f"{np.mean([significance.mean(one, overlap=OVERLAP).low > 0 for one in series]):.0%}")
    head = "| true difference | " + " | ".join(f"{eras} eras" for eras in ERAS[OVERLAP]) + " |"
    return "\n".join([head, "|---|" + "---:|" * len(ERAS[OVERLAP]), f"| {TRUE_DIFFERENCE} | " + " | ".join(cells) + " |"])


def real(path: Path) -> str:
    """Return the verdicts on every pair of the series in a file, and the t of independent eras."""
    frame = pd.read_csv(path).select_dtypes("number")
    lines = [
        "| pair | eras | difference | 95 % interval | t, eras independent | t | verdict |",
        "|---|---:|---:|---|---:|---:|---|",
    ]
    for a, b in combinations(frame.columns, 2):
        pair = frame[[a, b]].dropna()
        found = significance.paired_difference(pair[a].to_numpy(), pair[b].to_numpy(), overlap=OVERLAP)
        naive = stats.ttest_rel(pair[a], pair[b]).statistic
        lines.append(
            f"| {a} less {b} | {found.eras} | {found.mean:+.4f} | {found.low:+.4f} … {found.high:+.4f} | {naive:.2f} | {found.t_hac:.2f} "
            f"| {found.verdict} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--series", type=Path, help="CSV of real per-era scores")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/significance.md")
    given = parser.parse_args()
    tables = {"false alarms": false_alarms(given.pairs), "power": power(given.pairs)}
    if given.series is not None:
        tables["real"] = real(given.series)
    measure.publish(tables, PAGE, write=given.write)


if __name__ == "__main__":
    main()
