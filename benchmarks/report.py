"""The report's size and the seconds to write it: `python -m benchmarks.report` prints a table by number of models.

The run of the workspace, as `make repro` leaves it, is stretched to the eras of Numerai's v5.2 and to more models.
"""

import dataclasses
import time

import numpy as np
import pandas as pd

from erawise import params
from erawise.base.schema import CV, VALIDATION
from erawise.charts import explained_tables
from erawise.report import gathering, page
from erawise.report.content import Content
from erawise.running import paths

ERAS = {CV: (1, 574), VALIDATION: (583, 620)}
"""First era and number of eras of each split."""

MODELS = (5, 10, 20, 30)


def stretched(found: Content, count: int) -> Content:
    """Return the run with `models` models, all like its first one, over `ERAS`, with random scores."""
    rng = np.random.default_rng(0)
    first = found.models[0]
    models = [f"model_{number}" for number in range(count)]
    names = [*models, "ensemble", "neutralized"]
    scores = {split: _scores(names, *ERAS[split], rng) for split in ERAS}
    of_models = {key: table for key, table in found.tables.items() if "model" in table and "/" not in key}
    copies = {key: pd.concat([table[table["model"] == first].assign(model=name) for name in models]) for key, table in of_models.items()}
    shown = max(explained_tables.FEWEST_DOTS, explained_tables.DOTS // (explained_tables.SWARM_FEATURES * count))
    copies["shap_beeswarm"] = copies["shap_beeswarm"].groupby(["model", "rank"]).head(shown)
    return dataclasses.replace(
        found,
        models=models,
        scores=scores,
        yardsticks=found.yardsticks.iloc[:0],
        metrics={split: dict.fromkeys(names, found.metrics[split]["ensemble"]) for split in ERAS},
        similarity=pd.DataFrame(rng.uniform(0, 1, (len(names), len(names))), names, names),
        tables={**found.tables, **copies},
    )


def _scores(names: list[str], first: int, eras: int, rng: np.random.Generator) -> pd.DataFrame:
    era = np.arange(first, first + eras)
    return pd.concat([pd.DataFrame({"era": era, "prediction": name, "corr": rng.normal(0.02, 0.03, eras)}) for name in names])


def main() -> None:
    found = gathering.content(params.load(paths.PARAMS))
    print(f"| models | predictions | eras | MB | s |\n|{'---:|' * 5}")
    for count in MODELS:
        content = stretched(found, count)
        start = time.perf_counter()
        size = len(page.written(content).encode("utf-8")) / 1e6
        eras = sum(number for _, number in ERAS.values())
        print(f"| {count} | {count + 2} | {eras:,} | {size:.1f} | {time.perf_counter() - start:.0f} |")


if __name__ == "__main__":
    main()
