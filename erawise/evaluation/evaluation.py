"""All predictions of a split, scored in one pass over the features."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise import predictions
from erawise.base import files
from erawise.base.schema import ERA, HORIZONS, ID, META_MODEL, ORACLE, PREDICTION, SPLIT, TARGET, spanned_weeks
from erawise.base.settings import Score
from erawise.evaluation import summary
from erawise.evaluation.doubt import OUT_OF_FOLD, doubtful, is_doubtful
from erawise.panel import groups
from erawise.panel.panel import DESCRIPTION as PREPARED
from erawise.panel.panel import Panel, days_ahead
from erawise.running.errors import InputError, known_names
from erawise.running.progress import SILENT, Progress
from erawise.scores.eras import CONSTANT, EARLY_CORR, FNC_V3, MIN_COVERAGE, Groups, Known, Sums, exposure_columns, score_eras

DIAGNOSED = "neutralized"
"""The prediction that the diagnostics look at: the pipeline's last."""

METRICS = {"exposure_max": "exposure", "oracle_corr": "ceiling_share", EARLY_CORR: "early"}
"""Blocks of the summary that have another name than their column in the table of scores."""

NEEDING_OTHERS = ("mmc", "meta_corr", "payout", "bmc", "payout_bmc")
"""Metrics that need the predictions of others."""

DIAGNOSTICS, REGIME = WHOLE_FILE = ("diagnostics", "regime")
"""Keys of a split's metrics that are no prediction: whether the diagnostics pass, and the id of the regime that pays."""

DESCRIPTION = "evaluated.json"
"""The file with the description of the scores, in the same directory, see `Evaluated`."""

LABELS: dict[Score, str] = {"numerai": "CORR", "spearman": "Spearman", "pearson": "Pearson"}
"""The names of the correlations that stand for CORR, as a person reads them."""

EXPLAINED: dict[Score, str] = {
    "numerai": "Numerai's correlation",
    "spearman": "correlation of the ranks of prediction and target",
    "pearson": "correlation of prediction and target",
}
"""The same in words."""

UNPAID = "no payout: data.schema describes a panel that isn't Numerai's, and no regime pays for it"

TOY = "The market is the embedded one, a toy: no score and no payout here says anything of Numerai's."


PAID_DAYS, EARLY_DAYS = 60, 20
"""Horizons in trading days of the scores that Numerai pays for, and of the scores that are known earlier."""

PAID_SINCE = 1343
"""The first round that is paid for `PAID_DAYS`."""


@dataclass(frozen=True)
class Pays:
    """The regime of the payout in the scores.

    Attributes
    ----------
    regime : its id.
    days : trading days that the paid scores look ahead.
    formula : the payout before its factor and clip, in words.
    stand_in : the formula of the payout's stand-in for eras without a meta model.
    """

    regime: str
    days: int
    formula: str
    stand_in: str


@dataclass(frozen=True)
class Evaluated:
    """A description of the tables of scores.

    Attributes
    ----------
    target : the target of the scores.
    days : trading days that it looks ahead.
    equal : the named target that it equals; None if there is none, or the target itself is a named one.
    early : the sibling of the target that looks `EARLY_DAYS` ahead, None if there is none.
    pays : the regime of the payout, None if a schema describes the panel, which no regime pays for.
    benchmark : the benchmark model of BMC, None without any.
    benchmarks : all benchmark models of the data, in their order.
    absent : for each split the scores that no era has, and why.
    partial : for each split the scores that fewer eras have than CORR, and in how many of how many.
    predictions : by name, `predictions.digest` of each prediction that was scored.
    own_score : the correlation that stands for CORR if a schema describes the panel, else None.
    """

    target: str
    days: int
    equal: str | None
    early: str | None
    pays: Pays | None
    benchmark: str | None
    benchmarks: list[str]
    absent: dict[str, dict[str, str]]
    partial: dict[str, dict[str, str]]
    predictions: dict[str, str]
    own_score: Score | None = None


def evaluated(directory: Path) -> Evaluated:
    """Read the description of the scores in a directory.

    Raises
    ------
    InputError
        If it is missing or broken.
    """
    path = directory / DESCRIPTION
    try:
        content = files.read_json(path)
        return Evaluated(**content | {"pays": content["pays"] and Pays(**content["pays"])})
    except (KeyError, TypeError, InputError):
        raise InputError(f"{path}: it doesn't say what was scored; run dvc repro evaluate") from None


def sibling(target: str, days: int, targets: Sequence[str]) -> str | None:
    """Return the target of the same name and another horizon, such as `target_ender_20` of `target_ender_60`.

    Parameters
    ----------
    target : the named target.
    days : trading days that the sibling looks ahead.
    targets : that the data has.

    Returns
    -------
    None if the data has no such target, or `target` doesn't say its own horizon.
    """
    stem = next((target.removesuffix(end) for end in HORIZONS if target.endswith(end)), None)
    end = next(end for end, ahead in HORIZONS.items() if ahead == days)
    return f"{stem}{end}" if stem and f"{stem}{end}" in targets else None


def early_target(target: str, days: int, targets: Sequence[str]) -> str | None:
    """Return the sibling of `EARLY_DAYS` of a main target (by its name) that looks `days` ahead; None if it looks no further itself."""
    return None if days == EARLY_DAYS else sibling(target, EARLY_DAYS, targets)


def blocks(metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the blocks of the predictions in the metrics of a split."""
    return {name: block for name, block in metrics.items() if name not in WHOLE_FILE}


def benchmarks(references: pd.DataFrame) -> list[str]:
    """Return the benchmark models among the predictions of others."""
    return [column for column in references.columns if column not in (ID, ERA, META_MODEL, ORACLE)]


def benchmark_column(columns: Sequence[str], name: str | None, target: str, days: int) -> str | None:
    """Return the benchmark model of BMC.

    Without a name it is the first benchmark of the first kind that the data has:

    1. its name ends like the target's name, such as `v53_lgbm_ender60` for `target_ender_60`;
    2. its name ends in the target's horizon;
    3. its name ends in no horizon.

    Parameters
    ----------
    columns : the benchmark models that the data has.
    name : the setting `evaluate.benchmark`, None to choose.
    target, days : the main target, by the named target that it equals if there is one, and its horizon in trading days.

    Returns
    -------
    None if the data has no benchmark, or only benchmarks of other horizons.

    Raises
    ------
    InputError
        If the data has no benchmark of that name.
    """
    if name is not None and name not in columns:
        raise InputError(f"evaluate.benchmark: the data has no benchmark model {name!r}; it has {known_names(columns, name)}")
    own = target.removeprefix(f"{TARGET}_").replace("_", "")
    ends = {column: re.search(r"(?<!\d)(20|60)$", column) for column in columns}
    alike = [column for column, end in ends.items() if end and int(end[0]) == days]
    named_so = [column for column in alike if column.replace("_", "").endswith(own)]
    return name or next(iter([*named_so, *alike, *(column for column, end in ends.items() if not end)]), None)


def benchmark_of(panel: Path, references: pd.DataFrame, name: str | None, target: str) -> str | None:
    """Return the benchmark model of BMC for a main target of the prepared rows in a directory, see `benchmark_column`."""
    equal = files.read_json(panel / PREPARED).get("equal", {}).get(target, target)
    return benchmark_column(benchmarks(references), name, equal, days_ahead(panel, target))


@dataclass(frozen=True)
class Outcomes:
    """Targets and predictions of others to score against, in the row order of a panel.

    Attributes
    ----------
    target : (rows,), NaN if unknown.
    references : meta model, oracle and benchmark models, NaN or no column if unknown.
    benchmark : the benchmark model of BMC, None without any.
    early : (rows,), the sibling of the target that looks `EARLY_DAYS` ahead, NaN if unknown; None if there is none.
    """

    target: NDArray[np.float64]
    references: pd.DataFrame
    benchmark: str | None
    early: NDArray[np.float64] | None = None

    def reference(self, name: str | None, rows: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Return a reference's predictions of some rows, None if the data has no reference of that name."""
        return self.references[name].to_numpy(np.float64)[rows] if name in self.references else None


def score_split(
    split: str,
    frames: dict[str, pd.DataFrame],
    panel: Panel,
    outcomes: Outcomes,
    sums: Sums,
    threads: int = 1,
    progress: Progress = SILENT,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the predictions of one split.

    Parameters
    ----------
    split : `cv` or `validation`.
    frames : predictions by name, `id`, `era`, `split`, `prediction`.
    panel : its matrix has the features of exposure and FNC.
    outcomes : outcomes of the rows of the panel.
    sums : the weights of the payout, see `score_eras`.
    progress : told of each era that is scored.

    Returns
    -------
    scores : the long table of `score_eras`, over the eras that any prediction has.
    exposures : to each group of features, and to `all`: `split`, `era`, `prediction`, `group`, `max_abs` and `rms`, without the
        eras in which a prediction has none.
    """
    own = {name: frame[frame[SPLIT] == split] for name, frame in frames.items()}
    eras = np.unique(np.concatenate([frame[ERA].to_numpy(np.int64) for frame in own.values()]))
    rows = np.isin(panel.row_eras, eras)
    wanted = panel.index.loc[rows, [ID, ERA]]
    values = {name: predictions.along(wanted, frame, [PREDICTION])[:, 0] for name, frame in own.items()}

    by_group = groups.columns(panel.feature_names, panel.feature_sets)
    meta_model, benchmark, oracle = (outcomes.reference(name, rows) for name in (META_MODEL, outcomes.benchmark, ORACLE))
    early = None if outcomes.early is None else outcomes.early[rows]
    of_numerai = fnc_v3(panel.feature_names, panel.feature_sets, panel.set_sizes)
    known = Known(meta_model, benchmark, oracle, panel.block, by_group, of_numerai, early, panel.score)
    era, target = panel.row_eras[rows], outcomes.target[rows]
    with progress.counting(len(np.unique(era)), "eras", split) as count:
        table = score_eras(pd.DataFrame(values), target, era, known, sums=sums, threads=threads, count=count)
    return table.drop(columns=[column for group in by_group for column in exposure_columns(group)]), _exposure(table, split, by_group)


def fnc_v3(names: Sequence[str], sets: Mapping[str, list[str]], sizes: Mapping[str, int]) -> NDArray[np.int64] | None:
    """Return the positions of the features of Numerai's FNC; None if some of them are missing, or there are no others.

    Parameters
    ----------
    names : of the features.
    sets, sizes : the features of each set that are among them, and the number of all its features.
    """
    name = next((name for name in groups.FNC_V3 if sets.get(name)), None)
    if name is None or len(sets[name]) != sizes.get(name) or set(sets[name]) == set(names):
        return None
    position = {feature: k for k, feature in enumerate(names)}
    return np.array([position[feature] for feature in sets[name]], np.int64)


def _exposure(table: pd.DataFrame, split: str, by_group: Groups) -> pd.DataFrame:
    pieces = []
    for group in by_group:
        largest, typical = exposure_columns(group)
        found = {"split": split, ERA: table[ERA], PREDICTION: table[PREDICTION], "group": group}
        pieces.append(pd.DataFrame(found | {"max_abs": table[largest], "rms": table[typical]}))
    return pd.concat(pieces, ignore_index=True).dropna(subset=["max_abs"], ignore_index=True)


def headline(metrics: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the few figures that stand for a run: the pipeline's last prediction, and `best`, the prediction with the highest CORR.

    Parameters
    ----------
    metrics : the summary of a split by prediction, see `summary.summarize`.

    Returns
    -------
    `corr`, `sharpe`, `mmc`, `payout` and `drawdown` of `DIAGNOSED`; `best` has the same and `name`. If fewer eras have an MMC than a BMC,
    `bmc` takes the place of `mmc`, and `payout` is the payout's stand-in. A figure that the data can't give is absent. A prediction that
    isn't known to be out of fold can't be the best; if the pipeline's last is one, `out_of_fold` is 0.
    """
    own = metrics.get(DIAGNOSED, {})
    eras_of_bmc, eras_of_mmc = (own.get(name, {}).get("eras", 0) for name in ("bmc", "mmc"))
    second, payout = ("bmc", "payout_bmc") if eras_of_bmc > eras_of_mmc else ("mmc", "payout")
    places = {
        "corr": ("corr", "mean"),
        "sharpe": ("corr", "sharpe"),
        second: (second, "mean"),
        "payout": (payout, "mean"),
        "drawdown": ("corr", "max_drawdown"),
    }

    def figures(block: dict[str, Any]) -> dict[str, float]:
        found = {name: block[column][key] for name, (column, key) in places.items() if key in block.get(column, {})}
        return found | ({OUT_OF_FOLD: 0} if is_doubtful(block) else {})

    in_doubt = doubtful(metrics)
    scored = {name: block["corr"]["mean"] for name, block in metrics.items() if "mean" in block.get("corr", {}) and name not in in_doubt}
    if not scored:
        return figures(own)
    best = max(scored, key=lambda name: scored[name])
    return {**figures(own), "best": {"name": best, **figures(metrics[best])}}


def diagnostics(metrics: dict[str, dict[str, Any]], min_corr: float) -> dict[str, int]:
    """Return `passes`, 1 if the neutralized ensemble's mean CORR reaches a bound, else 0; nothing if it has no CORR."""
    mean = metrics.get(DIAGNOSED, {}).get("corr", {}).get("mean")
    return {} if mean is None else {"passes": int(mean >= min_corr)}


def absent(table: pd.DataFrame, references: pd.DataFrame, benchmark: str | None, pays: bool = True) -> dict[str, str]:
    """Return the metrics that no era of a split has, each with the reason.

    Parameters
    ----------
    table : the scores of the split, as `score_split` gives them.
    references : the predictions of others, in all eras.
    benchmark : the benchmark model of BMC, None without any.
    pays : whether a regime pays for the panel; else nobody misses a payout.
    """
    if not len(table):
        return {"scores": "it has no eras"}
    own, others = references[references[ERA].isin(table[ERA])], benchmarks(references)
    meta_model = _unmet(own, META_MODEL, "meta_model.parquet")
    none = f"no benchmark model ({', '.join(others)}) is of its horizon" if others else "the data has no benchmark models"
    against = none if benchmark is None else _unmet(own, benchmark, f"the benchmark model {benchmark}")
    no_features = "no era has a feature that varies, or the features leave nothing of a prediction"
    reasons = {
        "corr": f"no era has a target and a prediction that varies on {MIN_COVERAGE:.0%} of its rows",
        "mmc": meta_model,
        "meta_corr": meta_model,
        "payout": "no era has all scores that it is made of",
        "payout_bmc": "no era has all scores that it is made of",
        "bmc": against,
        "fnc": no_features,
        FNC_V3: no_features,
        "exposure_max": no_features,
        EARLY_CORR: "no era has that target",
        "oracle_corr": "the best possible predictor is known for the embedded market only",
    }
    if not pays:
        del reasons["payout"], reasons["payout_bmc"]
    return {METRICS.get(name, name): reason for name, reason in reasons.items() if name in table and table[name].isna().all()}


def partial(table: pd.DataFrame) -> dict[str, str]:
    """Return the metrics that fewer eras of a split have than CORR, but at least one, each with both counts."""
    columns = ["corr", *(name for name in NEEDING_OTHERS if name in table)]
    eras = table.groupby(ERA)[columns].count().gt(0).sum()
    return {name: f"{eras[name]} of {eras['corr']} eras" for name in columns[1:] if 0 < eras[name] < eras["corr"]}


def _unmet(references: pd.DataFrame, column: str, what: str) -> str:
    """Return the reason why no era has a score against a reference."""
    if column not in references:
        return f"the data has no {what}"
    eras = references.groupby(ERA)[column]
    share = float(eras.apply(lambda values: values.notna().mean()).max())
    if not share > 0:
        return f"{what} has no predictions of these eras"
    if share < MIN_COVERAGE:
        return f"{what} has predictions of at most {share:.0%} of an era's rows; a score needs {MIN_COVERAGE:.0%}"
    if not (eras.nunique() > 1).any():
        return f"{what} is constant in each of these eras"
    return f"in no era do {what} and a prediction that varies cover {MIN_COVERAGE:.0%} of the rows"


def lines(found: Evaluated, named: str | None) -> list[str]:
    """Return lines that tell the targets, the payout, the chosen benchmark, and which scores are absent and why.

    `named` is the benchmark that the settings ask for, None if they leave the choice.
    """
    horizon = f"{found.days} trading days"
    choice = "as evaluate.benchmark says" if named else f"chosen of {', '.join(found.benchmarks)} for a target of {horizon}"
    taken = [f"BMC is against {found.benchmark}, {choice}"] if found.benchmark else []
    if found.benchmarks and not found.benchmark:
        taken = [f"no BMC: no benchmark model is of {horizon}; the data has {', '.join(found.benchmarks)}: evaluate.benchmark may name one"]
    few = [f"{split}: {name} in only {count}: the other eras lack the predictions of others" for split, name, count in _flat(found.partial)]
    absent = [f"{split}: no {name}: {reason}" for split, name, reason in _flat(found.absent)]
    return [*headed(found), *taken, *few, *absent]


def headed(found: Evaluated) -> list[str]:
    """Return the lines that tell the main target, and the payout."""
    return [standing(found.target, found.days, found.equal, found.early, found.own_score), *paid(found)]


def corr_name(score: Score | None) -> str:
    """Return the name of CORR, or of the correlation that stands for it."""
    return LABELS[score or "numerai"]


def named(text: str, score: Score | None) -> str:
    """Return a text in which the score that stands for CORR has its own name."""
    return re.sub(r"\bCORR\b", corr_name(score), text)


def paid(found: Evaluated) -> list[str]:
    """Return lines that tell the payout's formula, and warn if the regime pays for scores of another horizon."""
    if found.pays is None:
        return [UNPAID]
    told = [
        f"payout: of {found.pays.regime}, {found.pays.formula} before its factor and clip; "
        f"stand-in (payout_bmc), also for eras without a meta model: {found.pays.stand_in}"
    ]
    if found.days == found.pays.days:
        return told
    return [
        *told,
        f"{found.pays.regime} pays for scores of {found.pays.days} trading days, and these are of {found.days}: no round pays so",
    ]


def standing(target: str, days: int, equal: str | None = None, early: str | None = None, score: Score | None = None) -> str:
    """Return a line that tells the main target, the early horizon and the paid horizon.

    `early` is the target of `EARLY_DAYS` that one more figure of the scores is against, None if there is no such figure. `score` is the
    correlation that stands for CORR, which no horizon is paid for; None if it is CORR.
    """
    if score is not None:
        return (
            f"main: {target}, {spanned_weeks(days)} eras ahead; scores: {LABELS[score]}, {EXPLAINED[score]} within an era; "
            "it is corr in files"
        )
    main = f"main: {target}" + (f", which equals {equal}" if equal else "") + f", {days} trading days"
    known = f"{early}, {EARLY_DAYS} days, one more figure" if early else f"{EARLY_DAYS} days, not in these scores"
    early = "" if days == EARLY_DAYS else f"; early: {known}"
    paid = "the same" if days == PAID_DAYS else "not these scores"
    return f"{main}{' (early)' if days == EARLY_DAYS else early}; pays: {PAID_DAYS} days since round {PAID_SINCE}, {paid}"


def _flat(told: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(split, name, text) for split, entries in told.items() for name, text in entries.items()]


def report(table: pd.DataFrame, metrics: dict[str, dict[str, Any]]) -> list[str]:
    """Return lines with the main scores of each prediction, and warnings of missing CORRs and constant predictions."""
    lines = []
    for name, block in metrics.items():
        corr = block.get("corr", {})
        figures = [f"{key} {corr[key]:.4f}" for key in ("mean", "std", "sharpe", "max_drawdown") if key in corr]
        doubt = "; not known to be out of fold" if is_doubtful(block) else ""
        seeds = f"; {corr[summary.SEED_STD]:.4f} between {block[summary.SEEDS]} seeds (std)" if summary.SEED_STD in corr else ""
        lines.append(f"{name}: " + (f"CORR {', '.join(figures)} over {block['eras']} eras{seeds}{doubt}" if figures else "no scores"))
    thin = table[table["corr"].isna() & ~table[CONSTANT]].groupby(PREDICTION, sort=False).size()
    lines += [
        f"{name}: {count} eras have no CORR: over a fifth of the rows lack a target or a prediction; the purge may have removed it"
        for name, count in thin.items()
    ]
    counts = summary.constant_predictions(table)
    return lines + [f"{name}: the prediction is constant in {count} eras, which have no scores" for name, count in counts.items()]
