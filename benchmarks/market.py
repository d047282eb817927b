"""What the embedded market is like, beside the public record of real results: `python -m benchmarks.market --write docs/market.md`.

Draws markets of ten seeds with 5,000 rows an era, trains a standard LightGBM and a ridge regression on the train eras of each, and
scores them on the validation eras that the purge leaves. Then runs the pipeline of the committed `params.yaml` on markets of other
seeds, to see whether the order of the models is the seed's or the market's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from benchmarks import measure
from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, META_MODEL, ORACLE, TRAIN, VALIDATION
from erawise.blend import neutralization
from erawise.evaluation import evaluation, significance
from erawise.folds import splits
from erawise.models.lightgbm import model as lightgbm
from erawise.models.lightgbm.settings import LightGBM
from erawise.models.ridge import model as ridge
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.protocol import GIB, Fitted, Resources
from erawise.panel.panel import FeatureMap, Panel, View, era_slices
from erawise.preparation import preparation
from erawise.scores import kernels
from erawise.sources.market import law, source
from erawise.sources.market.settings import Market

PARAMS = Path("params.yaml")
BEFORE_TRAINING = ("download", "preprocess", "explore", "split", "select_features", "members", "tune")
AFTER_TRAINING = ("ensemble", "neutralize", "evaluate")
TARGET, DAYS = "target", 20
RISKIEST = 20
BOOSTING = LightGBM(
    kind="lightgbm",
    target=TARGET,
    trees=500,
    learning_rate=0.03,
    max_depth=5,
    leaves=31,
    feature_share=0.1,
    min_rows_leaf=20,
    l2=0.0,
    early_stopping=100,
    seed=1,
)
LINEAR = Ridge(kind="ridge", target=TARGET, l2=1000.0)
FIGURES = ("mean", "std", "sharpe", "max drawdown", "lag-1")
BOOSTED, NEUTRAL, ALL_NEUTRAL, RIDGE, META, ORACLE_ROW = (
    "LightGBM",
    f"LightGBM, neutral to the {RISKIEST} riskiest features",
    "LightGBM, neutral to all features",
    "ridge",
    "meta model",
    "oracle",
)
REAL = {
    "LightGBM, official notebook, v5.0 medium, cyrusd": (0.0292, 0.0220, 1.33, 0.033, None),
    "LightGBM, official notebook, v5.2 small, ender": (0.0126, 0.0147, 0.86, 0.032, None),
    "LightGBM gbdt, numerai-benchmark, v4, nomi": (0.0262, 0.0321, 0.81, 0.238, 0.74),
    "LightGBM dart, numerai-benchmark, v4, nomi": (0.0278, 0.0284, 0.98, 0.162, 0.73),
    "dart, neutral to the FNCv3 features": (0.0215, 0.0182, 1.18, 0.115, 0.65),
    "dart, neutral to all features": (0.0181, 0.0148, 1.22, 0.054, 0.58),
    "factor momentum (linear)": (0.0080, 0.0275, 0.29, 0.788, None),
}
REAL_TARGETS = {"jasper_20": 0.795, "cyrusd_20": 0.757, "tyler_20": 0.660, "ender_60": 0.464}
CONSTANTS = {
    "FACTORS": "factors of a stock",
    "LOADING_MEMORY": "weekly autocorrelation of loadings",
    "OWN_MEMORY": "weekly autocorrelation of a feature's own part",
    "FACTOR_SHARE": "weight of the loadings in a feature, range",
    "PREMIUM": "length of the vector of mean weekly factor returns",
    "VOLATILITY_PREMIUM": "part of it on the first factor",
    "FACTOR_RISK": "weekly std of the return from the factors",
    "BEND": "weekly std of the return from distances to the middle bin",
    "PAIR": "weekly std of the return from products",
    "BENT_SHARE": "share of the features whose distance to the middle bin pays",
    "PAIRED_SHARE": "share of the features that are multiplied in pairs",
    "NOISE": "weekly std of a stock's own return, at the median of volatility",
    "VOLATILITY_SLOPE": "log of a stock's volatility by its loading on the first factor",
    "NAMES": "targets: correlation of their noise with the main one's, factor risk",
    "LONG_NOISE": "variance that only the 60-day targets have, per variance of the noise",
    "TURNOVER": "share of the stocks replaced in a week",
    "REFERENCE_STOCKS": "stocks at which the strength is 1",
    "STRENGTH_EXPONENT": "power by which the strength grows with fewer stocks",
}


@dataclass(frozen=True)
class Drawn:
    """A market, prepared: the panel, the target of all rows, and the references in the panel's row order; a scratch directory."""

    scratch: Path
    panel: Panel
    live: Panel
    target: NDArray[np.float64]
    meta_model: NDArray[np.float64]
    oracle: NDArray[np.float64]
    target_correlations: dict[str, float]
    plan: splits.Plan


@contextmanager
def drawn(size: Market) -> Iterator[Drawn]:
    """Write and prepare a market in a temporary directory."""
    with tempfile.TemporaryDirectory() as scratch:
        raw, prepared = Path(scratch) / "raw", Path(scratch) / "prepared"
        raw.mkdir()
        prepared.mkdir()
        source.write(size, raw)
        preparation.prepare(raw, prepared, preparation.Wanted("all", TARGET, every=1, demean=False, derived=[]))
        yield _read(prepared)


def _read(prepared: Path) -> Drawn:
    panel = Panel(prepared / "panel")
    validation = panel.index[DATA_TYPE].to_numpy() == VALIDATION
    target = panel.index[TARGET].to_numpy(np.float64).copy()
    target[validation] = tabular.read_parquet(prepared / "validation_targets.parquet", [TARGET])[TARGET]
    references = tabular.read_parquet(prepared / "references.parquet", [META_MODEL, ORACLE])
    train_rows = panel.index[panel.index[DATA_TYPE] == TRAIN]
    correlations = {name: float(train_rows[f"target_{name}"].corr(train_rows["target_ender_20"])) for name in REAL_TARGETS}
    train_eras, validation_eras = (np.unique(panel.row_eras[rows]) for rows in (~validation, validation))
    plan = splits.plan(train_eras, validation_eras, DAYS, method="purged_kfold", folds=4, chunk=1, window=None)
    live = Panel(prepared / "live", [])
    meta_model, oracle = (references[name].to_numpy() for name in (META_MODEL, ORACLE))
    return Drawn(prepared.parent / "scratch", panel, live, target, meta_model, oracle, correlations, plan)


def corr(prediction: NDArray, target: NDArray) -> float:
    """CORR of one era."""
    return float(kernels.numerai_corr(kernels.gaussianize(prediction[:, None]), target - target.mean())[0])


def series(prediction: NDArray, target: NDArray, era: NDArray[np.int64]) -> NDArray[np.float64]:
    """CORR (eras,) of the eras that have a prediction."""
    slices = [rows for rows in era_slices(era) if not np.isnan(prediction[rows]).any()]
    return np.array([corr(prediction[rows], target[rows]) for rows in slices])


def figures(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """`FIGURES` of a series of CORR."""
    mean, std = scores.mean(), scores.std()
    return np.array([mean, std, mean / std, float(significance.max_drawdown(scores)), lag1(scores)])


def lag1(series: NDArray[np.float64]) -> float:
    """Autocorrelation of a series of CORR at lag 1."""
    deviation = series - series.mean()
    return float(deviation[:-1] @ deviation[1:] / (deviation @ deviation))


def riskiest(view: View) -> NDArray[np.int64]:
    """The features whose correlation with the target varies most over the train eras."""
    rows = zip(view.blocks(), era_slices(view.era), strict=True)
    return neutralization.riskiest(np.array([kernels.feature_correlations(block, view.target[part]) for block, part in rows]), RISKIEST)


def strong_market(size: Market, threads: int) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Figures of every row of the table on the validation eras of one market, and the correlations of its targets."""
    with drawn(size) as drawing:
        features = FeatureMap(drawing.panel.names)
        train = View(drawing.panel, drawing.plan.train, features, TARGET)
        test = View(drawing.panel, drawing.plan.validation, features)
        target = drawing.target[test.rows]
        resources = Resources(threads, 8 * GIB, drawing.scratch)
        boosted = _predictions(lightgbm.fit(BOOSTING, train, None, BOOSTING.trees, resources), test)
        risky = riskiest(train)
        columns = {
            BOOSTED: boosted,
            NEUTRAL: _neutral(boosted, test, risky),
            ALL_NEUTRAL: _neutral(boosted, test, np.arange(len(features.columns))),
            RIDGE: _predictions(ridge.fit(LINEAR, train, None, None, resources), test),
            META: drawing.meta_model[test.rows],
            ORACLE_ROW: drawing.oracle[test.rows],
        }
        return {name: figures(series(values, target, test.era)) for name, values in columns.items()}, drawing.target_correlations


def _predictions(model: Fitted, view: View) -> NDArray[np.float64]:
    return np.concatenate([model.predict(block) for block in view.blocks()])


def _neutral(prediction: NDArray[np.float64], view: View, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    blocks = dict(zip(np.unique(view.era).tolist(), view.blocks(), strict=True))
    return neutralization.neutralize_eras(prediction, view.era, lambda era: blocks[era][:, columns], 1.0)


def default_run(seed: int) -> dict[str, float]:
    """Mean out-of-fold CORR of every prediction of the default pipeline on the market of a seed, and the oracle's on the same eras."""
    with tempfile.TemporaryDirectory() as scratch:
        yaml = YAML()
        content = yaml.load(PARAMS.read_text(encoding="utf-8"))
        content["data"]["market"]["seed"] = seed
        with (Path(scratch) / PARAMS).open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
        for stage in (*BEFORE_TRAINING, *(f"train {name}" for name in content["models"]), *AFTER_TRAINING):
            _run_stage(stage, Path(scratch))
        metrics = files.read_json(Path(scratch) / "metrics" / "cv.json")
    means = {name: block["corr"]["mean"] for name, block in evaluation.blocks(metrics).items()}
    best = max(means, key=lambda name: means[name])
    return {**means, ORACLE_ROW: means[best] / metrics[best]["ceiling_share"]}


def _run_stage(stage: str, directory: Path) -> None:
    command = [sys.executable, "-m", *f"stages.{stage}".split()]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)


def strong_table(size: Market, results: list[tuple[dict[str, NDArray[np.float64]], dict[str, float]]]) -> str:
    """The market beside the real record, as Markdown."""
    tables = [table for table, _ in results]
    means = {name: np.mean([table[name] for table in tables], axis=0) for name in tables[0]}
    lines = [
        f"{len(tables)} seeds, {size.stocks:,} rows an era, {size.train_eras} train and {size.validation_eras} validation eras, "
        f"{size.features} features; CORR per era on the validation eras after the purge, means over the seeds:",
        "",
        _row("embedded market", *FIGURES),
        _row(*["---"] * 6),
        *[_row(name, *(_digits(k, value) for k, value in enumerate(values))) for name, values in means.items()],
        "",
        _row("public record, real data", *FIGURES),
        _row(*["---"] * 6),
        *[_row(name, *(_digits(k, value) for k, value in enumerate(values))) for name, values in REAL.items()],
        "",
        *_statements(tables, means),
        "",
        _row("correlation with ender_20", "embedded market", "real (v5.2)"),
        _row(*["---"] * 3),
        *[_row(name, f"{np.mean([found[name] for _, found in results]):.3f}", f"{real:.3f}") for name, real in REAL_TARGETS.items()],
    ]
    return "\n".join(lines)


def _statements(tables: list[dict[str, NDArray[np.float64]]], means: dict[str, NDArray[np.float64]]) -> list[str]:
    mean, std, sharpe, drawdown = range(4)
    count = len(tables)
    learned = (BOOSTED, NEUTRAL, ALL_NEUTRAL, RIDGE)
    linear = sum(0 < table[RIDGE][mean] < table[BOOSTED][mean] for table in tables)
    below = sum(max(table[name][mean] for name in (*learned, META)) < table[ORACLE_ROW][mean] for table in tables)
    raw, neutral = means[BOOSTED], means[NEUTRAL]
    share = raw[mean] / means[ORACLE_ROW][mean]
    return [
        f"- Ridge is positive and below LightGBM in {linear} of {count} seeds.",
        f"- No prediction reaches the oracle in {below} of {count} seeds; LightGBM has {share:.0%} of its mean CORR.",
        f"- Neutral to the riskiest features, LightGBM's Sharpe goes from {raw[sharpe]:.2f} to {neutral[sharpe]:.2f}, "
        f"the std of its CORR falls by {1 - neutral[std] / raw[std]:.0%}, its max drawdown by {1 - neutral[drawdown] / raw[drawdown]:.0%}.",
    ]


def order_table(size: Market, results: dict[int, dict[str, float]]) -> str:
    """The predictions' out-of-fold CORR in the default run, seed by seed, as Markdown."""
    names = list(next(iter(results.values())))
    models = [name for name in names if name not in ("ensemble", "neutralized", ORACLE_ROW)]
    best = [max(models, key=lambda name: found[name]) for found in results.values()]
    worst = [min(models, key=lambda name: found[name]) for found in results.values()]
    lines = [
        f"The pipeline with the committed `params.yaml` ({size.stocks:,} rows an era, {size.train_eras} train eras, {size.features} "
        f"features, strength {law.strength(size.stocks):.2f}), on markets of other seeds: mean out-of-fold CORR.",
        "",
        _row("seed", *names),
        _row(*["---"] * (len(names) + 1)),
        *[_row(str(seed), *(f"{found[name]:.4f}" for name in names)) for seed, found in results.items()],
        "",
        f"- Best model: {_counted(best)}. Worst model: {_counted(worst)}.",
    ]
    return "\n".join(lines)


def _counted(names: list[str]) -> str:
    order = sorted(set(names), key=lambda name: -names.count(name))
    return ", ".join(f"{name} in {names.count(name)} of {len(names)} seeds" for name in order)


def constants_table() -> str:
    """The law's constants, as Markdown."""
    rows = [_row(meaning, f"`{name}`", str(getattr(law, name))) for name, meaning in CONSTANTS.items()]
    return "\n".join([_row("constant", "name in `erawise/sources/market/law.py`", "value"), _row(*["---"] * 3), *rows])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _digits(k: int, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if k < 2 else f"{value:.2f}" if k == 2 else f"{value:.3f}" if k == 3 else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many markets, from seed 1")
    parser.add_argument("--stocks", type=int, default=5000, help="rows an era of the large markets")
    parser.add_argument("--train-eras", type=int, default=150)
    parser.add_argument("--validation-eras", type=int, default=100)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--part", choices=("large", "order"), help="only one of the two tables")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into the marked blocks of this file")
    options = parser.parse_args()
    seeds = range(1, options.seeds + 1)
    blocks = {"constants": constants_table()}
    if options.part != "order":
        eras = {"train_eras": options.train_eras, "validation_eras": options.validation_eras}
        sizes = [Market(seed=seed, stocks=options.stocks, features=options.features, **eras) for seed in seeds]
        results = []
        for size in sizes:
            results.append(strong_market(size, options.threads))
            print(size.seed, {name: round(float(values[0]), 4) for name, values in results[-1][0].items()}, flush=True)
        blocks["figures"] = strong_table(sizes[0], results)
    if options.part != "large":
        settings = params.load(PARAMS)
        orders = {}
        for seed in seeds:
            orders[seed] = default_run(seed)
            print(seed, {name: round(value, 4) for name, value in orders[seed].items()}, flush=True)
        blocks["order"] = order_table(settings.data.market, orders)
    for block, text in blocks.items():
        print(f"\n{text}")
        if options.write:
            measure.put(options.write, block, text)


if __name__ == "__main__":
    main()
