"""The verdicts of `erawise cadence` on markets whose law is known: on many that stay as they are, and on many that drift.

`python -m benchmarks.cadence` prints how often each interval of retraining is found better or worse than never, once Holm has adjusted the
verdicts; `--write docs/howto/retrain.md` puts the table into the page. The markets have no risky factors. These revert, and with them a
fresh model is truly worse, since it has learned their last run: the answer without drift would not be "can't tell".
"""

import argparse
import multiprocessing
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import measure
from erawise.base import files, tabular
from erawise.base.schema import ERA, ID, purge_weeks
from erawise.evaluation import evaluation
from erawise.folds import splits
from erawise.lab import cadence
from erawise.lab.cadence import Timeline
from erawise.models.ridge import model as ridge
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import FeatureMap, Panel
from erawise.predictions import along
from erawise.preparation import preparation
from erawise.regimes import regimes
from erawise.scores.eras import Known, score_eras
from erawise.sources.market import law, source
from erawise.sources.market.settings import Market
from erawise.training.fits import Fits, How
from erawise.training.jobs import TrainingData

TARGET, DAYS = "target_ender_20", 20
ERAS, STOCKS, FEATURES = 1_000, 100, 40
WINDOW = 300
"""Weeks that each fit learns from: all fits have as much data, and only its age differs."""
DRIFTS = (0.0, 0.2)
SEEDS = 100
INTERVALS = (None, 52, 13)
MODEL = Ridge(kind="ridge", target=TARGET, l2=3000.0)
OTHER_RISK = law.FACTOR_RISK * np.sqrt(1 - law.RISKY_VARIANCE)
"""Weekly standard deviation of the return that the factors which aren't risky give a stock."""


def remove_risky_factors() -> None:
    """Take the returns of the risky factors from the markets that this process draws; the other returns stay as large as they are."""
    law.FACTOR_RISK, law.RISKY_VARIANCE = OTHER_RISK, 0.0


def bend(raw: Path) -> None:
    """Add to each feature its distance from the middle bin, which a linear model needs to find what isn't linear in the market."""
    names = files.read_json(raw / "features.json")["feature_sets"]["all"]
    for part in ("train", "validation", "live"):
        frame = pd.read_parquet(raw / f"{part}.parquet")
        bent = (frame[names] - 2).abs().fillna(1).add_suffix("_bent").astype(np.int8)
        tabular.write_parquet(pd.concat([frame.reset_index(), bent.reset_index(drop=True)], axis=1), raw / f"{part}.parquet")
    content = files.read_json(raw / "features.json")
    content["feature_sets"]["all"] = [*names, *(f"{name}_bent" for name in names)]
    files.write_json(content, raw / "features.json")


def verdicts(size: Market, directory: Path) -> pd.DataFrame:
    """Return the comparison of the intervals on one market, by the scores that it has."""
    raw, prepared = directory / "raw", directory / "prepared"
    raw.mkdir()
    prepared.mkdir()
    source.write(size, raw)
    bend(raw)
    preparation.prepare(raw, prepared, preparation.Wanted("all", TARGET, every=1, demean=False, derived=[]))
    panel = Panel(prepared / "panel", [TARGET])
    eras = panel.eras[: size.train_eras]
    time = Timeline.of(eras, purge_weeks(DAYS), window=WINDOW)
    plan = splits.Plan(time.weeks, [], time.train, time.tested, time.purged)
    features = FeatureMap(tuple(panel.names))
    data = TrainingData(panel, None, plan, [], features)
    values = cadence.predict(Fits(ridge, MODEL, data, How(Resources(1, GIB, directory))), time, INTERVALS, features, None)
    rows = panel.row_numbers(time.tested)
    references = tabular.read_parquet(prepared / "references.parquet")
    benchmark = evaluation.benchmark_of(prepared / "panel", references, None, TARGET)
    [other] = along(panel.index.iloc[rows][[ID, ERA]], references, [str(benchmark)]).T
    sums = regimes.load(str(measure.ROOT / "erawise/regimes/regimes.yaml")).named(None).sums()
    target = panel.index[TARGET].to_numpy(np.float64)[rows]
    scores = score_eras(values, target, panel.row_eras[rows], Known(benchmark=other), sums=sums)
    return cadence.compare(scores, DAYS)


def one(task: tuple[float, int]) -> pd.DataFrame:
    """Return the comparison for a drift and a seed."""
    drift, seed = task
    remove_risky_factors()
    size = Market(seed=seed, train_eras=ERAS, validation_eras=20, stocks=STOCKS, features=FEATURES, drift=drift)
    with tempfile.TemporaryDirectory() as directory:
        return verdicts(size, Path(directory)).assign(drift=drift, seed=seed)


def table(found: pd.DataFrame) -> str:
    """Return a line for each drift, score and interval: the verdicts of all seeds, and the mean difference."""
    lines = ["| drift | score | retrained | better | worse | can't tell | mean difference |", "|---:|---|---|---:|---:|---:|---:|"]
    for (drift, score, name), rows in found.groupby(["drift", "score", "prediction"], sort=False):
        counts = rows["verdict_holm"].value_counts()
        told = " | ".join(str(int(counts.get(verdict, 0))) for verdict in ("better", "worse", "can't tell"))
        lines.append(f"| {drift:g} | {score} | {name} | {told} | {rows['difference'].mean():+.4f} |")
    any_found = found.assign(found=found["verdict_holm"] != "can't tell").groupby(["drift", "score", "seed"])["found"].any()
    rates = any_found.groupby(["drift", "score"]).sum()
    sentences = [f"drift {drift:g}, by {score}: {count}" for (drift, score), count in rates.items()]
    return "\n".join(
        [*lines, "", f"Markets of {found['seed'].nunique()} in which any interval is found to differ: {'; '.join(sentences)}."]
    )


def compared(seeds: int, drifts: Sequence[float], processes: int) -> pd.DataFrame:
    """Return the comparisons for all drifts and seeds."""
    tasks = [(drift, seed) for drift in drifts for seed in range(1, seeds + 1)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pd.concat(pool.map(one, tasks, chunksize=1), ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, help="page whose block is replaced")
    given = parser.parse_args()
    text = table(compared(given.seeds, DRIFTS, given.processes))
    size = f"{ERAS} eras of {STOCKS} stocks and {FEATURES} features, each also bent at its middle, no risky factors"
    intro = f"{size}; a target of {DAYS} days; a ridge on the last {WINDOW} weeks; the second half predicted:"
    measure.publish({"cadence": f"{intro}\n\n{text}"}, given.write or Path(), write=given.write is not None)


if __name__ == "__main__":
    main()
