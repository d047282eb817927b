"""The embedded market compared with the public record of real results: `python -m benchmarks.market --write docs/market.md`.

It draws markets of ten seeds with 5,000 rows an era. On the train eras of each it trains a standard LightGBM and a ridge regression.
They are scored on the validation eras that the purge leaves, for targets of 60 and of 20 days. Then the pipeline of the committed
`params.yaml` runs on markets of other seeds, to see if the order of the predictions is due to the seed or to the market.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from benchmarks import measure
from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, DATA_TYPE, META_MODEL, ORACLE, TRAIN, VALIDATION
from erawise.blend import neutralization
from erawise.evaluation import evaluation, significance
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.history import comparison
from erawise.models.lightgbm import model as lightgbm
from erawise.models.lightgbm.settings import LightGBM
from erawise.models.ridge import model as ridge
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.protocol import GIB, Fitted, Resources
from erawise.panel.panel import FeatureMap, Panel, View, era_slices
from erawise.preparation import preparation
from erawise.running import paths
from erawise.scores import kernels
from erawise.sources.market import law, source
from erawise.sources.market.settings import Market

PARAMS = Path("params.yaml")
BEFORE_TRAINING = ("download", "preprocess", "explore", "split", "select_features", "tune")
AFTER_TRAINING = ("ensemble", "neutralize", "evaluate")
TARGET = "target"
TARGETS = {f"target_{law.MAIN}_60": 60, f"target_{law.MAIN}_20": 20}
"""The targets of the table, with their trading days. The first one equals `target`."""
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
ENSEMBLE, NEUTRALIZED = BLENDS = "ensemble", "neutralized"
PAID = {"corr": 3.0, "bmc": 15.0}
"""Scores and their multipliers: today's payout, with BMC in place of MMC, which train eras don't have."""
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
    "RISKY_FACTORS": "factors that are risky, pay nothing and revert",
    "RISKY_VARIANCE": "their share of the variance of the return from the factors",
    "REVERSION": "weekly autocorrelation of the sum of a risky factor's returns",
    "RISKY_SHARE": "share of the features that mix them and no other factor",
    "BEND": "weekly std of the return from distances to the middle bin",
    "PAIR": "weekly std of the return from products",
    "BENT_SHARE": "share of the features whose distance to the middle bin pays",
    "PAIRED_SHARE": "share of the features that are multiplied in pairs",
    "NOISE": "weekly std of a stock's own return, at the median of volatility and strength 1",
    "VOLATILITY_SLOPE": "log of a stock's volatility by its loading on the first factor",
    "NAMES": "targets: correlation of their noise with the main one's, factor risk",
    "LONG_NOISE": "variance that only the 60-day targets have, per variance of the noise",
    "TURNOVER": "share of the stocks replaced in a week",
    "REFERENCE_STOCKS": "stocks at which the strength is 1",
    "STRENGTH_EXPONENT": "power by which the strength grows with fewer stocks",
}


@dataclass(frozen=True)
class Drawn:
    """A market, prepared: the panel, `TARGETS` of all rows, and the references in the panel's row order; a scratch directory."""

    scratch: Path
    panel: Panel
    targets: dict[str, NDArray[np.float64]]
    meta_model: NDArray[np.float64]
    oracle: NDArray[np.float64]
    target_correlations: dict[str, float]
    train_eras: NDArray[np.int64]
    validation_eras: NDArray[np.int64]


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
    targets = {name: panel.index[name].to_numpy(np.float64).copy() for name in TARGETS}
    for name, known in tabular.read_parquet(prepared / "validation_targets.parquet", list(TARGETS)).items():
        targets[str(name)][validation] = known
    references = tabular.read_parquet(prepared / "references.parquet", [META_MODEL, ORACLE])
    train_rows = panel.index[panel.index[DATA_TYPE] == TRAIN]
    correlations = {name: float(train_rows[f"target_{name}"].corr(train_rows["target_ender_20"])) for name in REAL_TARGETS}
    train_eras, validation_eras = (np.unique(panel.row_eras[rows]) for rows in (~validation, validation))
    meta_model, oracle = (references[name].to_numpy() for name in (META_MODEL, ORACLE))
    return Drawn(prepared.parent / "scratch", panel, targets, meta_model, oracle, correlations, train_eras, validation_eras)


def corr(prediction: NDArray, target: NDArray) -> float:
    """Return the CORR of one era."""
    return float(kernels.numerai_corr(kernels.gaussianize(prediction[:, None]), target - target.mean())[0])


def series(prediction: NDArray, target: NDArray, era: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the CORR (eras,) of the eras that have a prediction."""
    slices = [rows for rows in era_slices(era) if not np.isnan(prediction[rows]).any()]
    return np.array([corr(prediction[rows], target[rows]) for rows in slices])


def figures(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute `FIGURES` for a series of CORR."""
    mean, std = scores.mean(), scores.std()
    return np.array([mean, std, mean / std, float(significance.max_drawdown(scores)), lag1(scores)])


def lag1(series: NDArray[np.float64]) -> float:
    """Compute the autocorrelation of a series of CORR at lag 1."""
    deviation = series - series.mean()
    return float(deviation[:-1] @ deviation[1:] / (deviation @ deviation))


def riskiest(view: View) -> NDArray[np.int64]:
    """Return the features whose correlation with the target varies most over the train eras."""
    rows = zip(view.blocks(), era_slices(view.era), strict=True)
    return neutralization.riskiest(np.array([kernels.feature_correlations(block, view.target[part]) for block, part in rows]), RISKIEST)


Table = dict[str, NDArray[np.float64]]
"""The `FIGURES` of each prediction."""


def strong_market(size: Market, threads: int) -> tuple[dict[str, Table], dict[str, float]]:
    """Compute the figures on the validation eras of one market for each of `TARGETS`, and the correlations of its targets."""
    with drawn(size) as drawing:
        return {name: _strong_target(drawing, name, days, threads) for name, days in TARGETS.items()}, drawing.target_correlations


def _strong_target(drawing: Drawn, name: str, days: int, threads: int) -> Table:
    """Fit the models to a target, and score every row of the table on it."""
    plan = splits.plan(drawing.train_eras, drawing.validation_eras, days, Split(method="purged_kfold", folds=4, chunk=1, window=None))
    features = FeatureMap(drawing.panel.names)
    train, test = View(drawing.panel, plan.train, features, name), View(drawing.panel, plan.validation, features)
    resources = Resources(threads, 8 * GIB, drawing.scratch)
    boosting, linear = BOOSTING.model_copy(update={"target": name}), LINEAR.model_copy(update={"target": name})
    boosted = _predictions(lightgbm.fit(boosting, train, None, boosting.trees, resources), test)
    columns = {
        BOOSTED: boosted,
        NEUTRAL: _neutral(boosted, test, riskiest(train)),
        ALL_NEUTRAL: _neutral(boosted, test, np.arange(len(features.columns))),
        RIDGE: _predictions(ridge.fit(linear, train, None, None, resources), test),
        META: drawing.meta_model[test.rows],
        ORACLE_ROW: drawing.oracle[test.rows],
    }
    return {column: figures(series(values, drawing.targets[name][test.rows], test.era)) for column, values in columns.items()}


def _predictions(model: Fitted, view: View) -> NDArray[np.float64]:
    return np.concatenate([model.predict(block) for block in view.blocks()])


def _neutral(prediction: NDArray[np.float64], view: View, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    blocks = dict(zip(np.unique(view.era).tolist(), view.blocks(), strict=True))
    return neutralization.neutralize_eras(prediction, view.era, lambda era: blocks[era][:, columns], 1.0)


@dataclass(frozen=True)
class Order:
    """The results of the default run on one market.

    Attributes
    ----------
    paid, corr : by split and prediction, the mean of `PAID`, and of CORR; the oracle's CORR is on cv only.
    proportion : of the linear part that `neutralize` took out.
    better : predictions that the report would name in place of the neutralized ensemble: out of fold their mean CORR is higher, with a
        95 % interval above 0, and so is their Sharpe.
    """

    paid: dict[str, dict[str, float]]
    corr: dict[str, dict[str, float]]
    proportion: float
    better: list[str]


def default_run(seed: int) -> Order:
    """Run the default pipeline on the market of a seed."""
    with tempfile.TemporaryDirectory() as scratch:
        yaml = YAML()
        content = yaml.load(PARAMS.read_text(encoding="utf-8"))
        content["data"]["market"]["seed"] = seed
        content["payout"]["regimes"] = str(Path.cwd() / content["payout"]["regimes"])
        with (Path(scratch) / PARAMS).open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
        for stage in (*BEFORE_TRAINING, *(f"train {name}" for name in content["models"]), *AFTER_TRAINING):
            _run_stage(stage, Path(scratch))
        found = {split: files.read_json(Path(scratch) / "metrics" / f"{split}.json") for split in (CV, VALIDATION)}
        proportion = files.read_json(Path(scratch) / paths.NEUTRALIZED_TO)["proportion"]
        scores = tabular.read_parquet(Path(scratch) / paths.SCORES / f"{CV}.parquet")
        days = evaluation.evaluated(Path(scratch) / paths.SCORES).days
    blocks = {split: evaluation.blocks(metrics) for split, metrics in found.items()}
    corr = {split: {name: block["corr"]["mean"] for name, block in named.items()} for split, named in blocks.items()}
    paid = {
        split: {name: sum(weight * block[score]["mean"] for score, weight in PAID.items()) for name, block in named.items()}
        for split, named in blocks.items()
    }
    best = max(corr[CV], key=lambda name: corr[CV][name])
    corr[CV][ORACLE_ROW] = corr[CV][best] / blocks[CV][best]["ceiling_share"]
    sharpe = {name: block["corr"]["sharpe"] for name, block in blocks[CV].items()}
    others = [name for name in blocks[CV] if name != NEUTRALIZED]
    rows = comparison.adjusted([comparison.pair(scores, NEUTRALIZED, scores, name, days) for name in others])
    told = {name: row["verdict_holm"] for name, row in zip(others, rows, strict=True)}
    better = [name for name in others if sharpe[name] > sharpe[NEUTRALIZED] and told[name] == significance.BETTER]
    return Order(paid, corr, float(proportion), better)


def _run_stage(stage: str, directory: Path) -> None:
    command = [sys.executable, "-m", *f"stages.{stage}".split()]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)


def strong_table(size: Market, results: list[tuple[dict[str, Table], dict[str, float]]]) -> str:
    """Return the market's figures and the real record, as Markdown."""
    lines = [
        f"{len(results)} seeds, {size.stocks:,} rows an era, {size.train_eras} train and {size.validation_eras} validation eras, "
        f"{size.features} features; CORR per era on the validation eras after the purge, means over the seeds:",
    ]
    for name, days in TARGETS.items():
        tables = [tables[name] for tables, _ in results]
        means = {row: np.mean([table[row] for table in tables], axis=0) for row in tables[0]}
        lines += ["", *_figures_table(f"embedded market, {name}", {row: tuple(values) for row, values in means.items()})]
        lines += ["", *(f"- {days} days: {text}" for text in _statements(tables, means))]
    lines += [
        "",
        *_figures_table("public record, real data, 20-day targets", REAL),
        "",
        _row("correlation with ender_20", "embedded market", "real (v5.2)"),
        _row(*["---"] * 3),
        *[_row(name, f"{np.mean([found[name] for _, found in results]):.3f}", f"{real:.3f}") for name, real in REAL_TARGETS.items()],
    ]
    return "\n".join(lines)


def _figures_table(head: str, rows: Mapping[str, tuple[float | None, ...]]) -> list[str]:
    return [
        _row(head, *FIGURES),
        _row(*["---"] * (len(FIGURES) + 1)),
        *[_row(name, *(_digits(k, value) for k, value in enumerate(values))) for name, values in rows.items()],
    ]


def _statements(tables: list[Table], means: Table) -> list[str]:
    mean, std, sharpe, drawdown = range(4)
    count = len(tables)
    learned = (BOOSTED, NEUTRAL, ALL_NEUTRAL, RIDGE)
    linear = sum(0 < table[RIDGE][mean] < table[BOOSTED][mean] for table in tables)
    below = sum(max(table[name][mean] for name in (*learned, META)) < table[ORACLE_ROW][mean] for table in tables)
    raw, neutral = means[BOOSTED], means[NEUTRAL]
    share = raw[mean] / means[ORACLE_ROW][mean]
    return [
        f"ridge is positive and below LightGBM in {linear} of {count} seeds.",
        f"no prediction reaches the oracle in {below} of {count} seeds; LightGBM has {share:.0%} of its mean CORR.",
        f"neutral to the riskiest features, LightGBM's Sharpe goes from {raw[sharpe]:.2f} to {neutral[sharpe]:.2f}, "
        f"the std of its CORR falls by {1 - neutral[std] / raw[std]:.0%}, its max drawdown by {1 - neutral[drawdown] / raw[drawdown]:.0%}.",
    ]


def order_table(size: Market, results: dict[int, Order]) -> str:
    """Return the predictions' stand-in payout in the default run, seed by seed, as Markdown."""
    names = list(next(iter(results.values())).paid[CV])
    lines = [
        f"The pipeline with the committed `params.yaml` ({size.stocks:,} rows an era, {size.train_eras} train eras, {size.features} "
        f"features, strength {law.strength(size.stocks):.2f}), on markets of other seeds: mean out-of-fold 3 · CORR + 15 · BMC of each "
        "prediction, the best in bold; the proportion that `neutralize` chose; the mean CORR of the ensemble and of the oracle.",
        "",
        _row("seed", *names, "proportion", "ensemble's CORR", "oracle's CORR"),
        _row(*["---"] * (len(names) + 4)),
        *[
            _row(
                str(seed),
                *_bold({name: found.paid[CV][name] for name in names}),
                f"{found.proportion:g}",
                *(f"{found.corr[CV][name]:.4f}" for name in (ENSEMBLE, ORACLE_ROW)),
            )
            for seed, found in results.items()
        ],
        "",
        *(f"- {text}" for text in _choices(list(results.values()))),
    ]
    return "\n".join(lines)


def _bold(values: dict[str, float]) -> list[str]:
    best = max(values.values())
    return [f"**{value:.3f}**" if value == best else f"{value:.3f}" for value in values.values()]


def _choices(results: list[Order]) -> list[str]:
    """Describe how often a blend is the best prediction, by score and split."""
    found = []
    for split in (CV, VALIDATION):
        for score, tables in (("3 · CORR + 15 · BMC", [one.paid for one in results]), ("CORR", [one.corr for one in results])):
            named = [{name: value for name, value in table[split].items() if name != ORACLE_ROW} for table in tables]
            best = [max(values, key=lambda name: values[name]) for values in named]
            blends = sum(name in BLENDS for name in best)
            found.append(f"{split}, by {score}: a blend is the best of all in {blends} of {len(best)} seeds ({_counted(best)}).")
    others, advised = [name for one in results for name in one.better], sum(bool(one.better) for one in results)
    told = f" ({_counted(others)})" if others else ""
    return [*found, f"by the report's rule: it would name another prediction in {advised} of {len(results)} seeds{told}."]


def _counted(names: list[str]) -> str:
    order = sorted(set(names), key=lambda name: -names.count(name))
    return ", ".join(f"{name} in {names.count(name)}" for name in order)


def constants_table() -> str:
    """Return the law's constants as Markdown."""
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
        sizes = [Market(seed=seed, stocks=options.stocks, features=options.features, drift=0.0, **eras) for seed in seeds]
        results = []
        for size in sizes:
            results.append(strong_market(size, options.threads))
            print(size.seed, {name: round(float(values[0]), 4) for name, values in results[-1][0][next(iter(TARGETS))].items()}, flush=True)
        blocks["figures"] = strong_table(sizes[0], results)
    if options.part != "large":
        settings = params.load(PARAMS)
        orders = {}
        for seed in seeds:
            orders[seed] = default_run(seed)
            print(seed, {name: round(value, 3) for name, value in orders[seed].paid[CV].items()}, flush=True)
        blocks["order"] = order_table(settings.data.market, orders)
    for block, text in blocks.items():
        print(f"\n{text}")
        if options.write:
            measure.put(options.write, block, text)


if __name__ == "__main__":
    main()
