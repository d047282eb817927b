"""Two runs against each other: what changed, by how much, and whether that is more than luck."""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import CV, ERA, PREDICTION, VALIDATION, named_horizon, spanned_eras, spanned_weeks
from erawise.charts.tables import Table
from erawise.evaluation import evaluation, objectives, significance, summary
from erawise.evaluation.evaluation import DIAGNOSED
from erawise.evaluation.objectives import BY_CORR, Objective
from erawise.evaluation.significance import BETTER, OPEN, WORSE, Difference
from erawise.running import terminal
from erawise.running.terminal import Column, FilledColumn, Sheet, tabulate

DECIMALS = 12
"""Decimals of a score that count: the last bits differ with the other predictions that are scored."""

REALISTIC = 2000
"""Eras, some 40 years, beyond which no waiting tells a difference."""

NAMED = 4
"""Models that the answer names; of more it counts the verdicts."""


def compare(
    before: dict[str, pd.DataFrame], after: dict[str, pd.DataFrame], days: int, *, seed: int = 0, by: Objective = BY_CORR
) -> pd.DataFrame:
    """Compare every prediction that both runs have, on the eras in which both have the score of an objective.

    Parameters
    ----------
    before, after : the long tables of `score_eras`, by split.
    days : trading days that the target looks ahead.
    seed : of the bootstrap behind the intervals of Sharpe and drawdown.
    by : the objective, see `objectives.of_tables`.

    Returns
    -------
    DataFrame, a row for each split and prediction: `split`, `prediction`, `eras` (that both have), `left_out` (that only one of
    them has), `mean_before`, `mean_after` (the objective); `difference` (after less before), `low`, `high`, `probability_better`,
    `effective_eras`, `p_value`, `eras_to_tell`; `sharpe` and `drawdown` of the same score, each a difference with `_low` and `_high`;
    `verdict` on the run after, and `reason`; `p_holm` and `verdict_holm`, both adjusted for the number of rows. NaN if a figure can't be
    given.
    """
    rows = [
        {"split": split, "prediction": name, **pair(before[split], name, after[split], name, days, seed=seed, by=by)}
        for split in before
        if split in after
        for name in after[split][PREDICTION].unique()
        if name in set(before[split][PREDICTION])
    ]
    return pd.DataFrame(adjusted(rows))


def adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of `pair` with `p_holm` and `verdict_holm`: the p-value and the verdict once Holm has adjusted them for all rows."""
    found = significance.holm([row["p_value"] for row in rows])
    return [{**row, "p_holm": p, "verdict_holm": significance.verdict_after(row["verdict"], p)} for row, p in zip(rows, found, strict=True)]


def pair(
    before: pd.DataFrame, name_before: str, after: pd.DataFrame, name_after: str, days: int, *, seed: int = 0, by: Objective = BY_CORR
) -> dict[str, Any]:
    """Compare two predictions, of one run or of two, on the eras in which both have the score of an objective.

    Parameters
    ----------
    before, after : the long tables of `score_eras` of one split; the same one for two predictions of a run.
    name_before, name_after : of the predictions, which the tables have.
    days : trading days that the target looks ahead.
    seed : of the bootstrap behind the intervals of Sharpe and drawdown.
    by : the objective.

    Returns
    -------
    The row of `compare`, without its `split`, `prediction` and what is adjusted for the number of rows.
    """
    one, other = series(before, name_before, by.column), series(after, name_after, by.column)
    common = one.index.intersection(other.index)
    overlap = spanned_eras(common.to_numpy(), spanned_weeks(days))
    a, b = (found[common].round(DECIMALS).to_numpy() for found in (one, other))
    return {
        "eras": len(common),
        "left_out": len(one) + len(other) - 2 * len(common),
        "mean_before": by.figure(a) if len(a) else np.nan,
        "mean_after": by.figure(b) if len(b) else np.nan,
        **_figures(significance.paired_difference(b, a, overlap=overlap, seed=seed, statistic=by.statistic)),
    }


def with_seeds(table: pd.DataFrame, by: Objective, *runs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the table of `compare` with `seed_std`, the standard deviation of the mean score between a model's seeds.

    Parameters
    ----------
    by : the objective of the comparison; there is no standard deviation of a Sharpe.
    runs : the metrics of both runs, by split. The larger standard deviation counts; NaN if the model has one seed in both.
    """
    score = "" if by.name == objectives.SHARPE else by.column
    found = [
        [run.get(row["split"], {}).get(row[PREDICTION], {}).get(score, {}).get(summary.SEED_STD, np.nan) for run in runs]
        for row in table.to_dict("records")
    ]
    return table.assign(seed_std=[np.fmax.reduce(spreads) for spreads in found])


def within_seeds(row: Mapping[str, Any]) -> str:
    """Return words if a difference is within the standard deviation between seeds, see `with_seeds`; else nothing."""
    spread = row.get("seed_std", np.nan)
    return f", within the seeds' standard deviation ({number(spread)})" if 0 < abs(row["difference"]) <= spread else ""


def only_in_one(before: dict[str, pd.DataFrame], after: dict[str, pd.DataFrame]) -> tuple[list[str], list[str]]:
    """Return the predictions that only the run before has, and the predictions that only the run after has."""
    a, b = (list(dict.fromkeys(name for table in run.values() for name in table[PREDICTION].unique())) for run in (before, after))
    return [name for name in a if name not in b], [name for name in b if name not in a]


def content(table: pd.DataFrame, before: str, after: str, changed: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the comparison for JSON: which runs, the settings that differ, and the table; a figure that can't be given is null."""
    rows = [{key: None if value != value else value for key, value in row.items()} for row in table.to_dict("records")]
    settings = {path: {"before": a, "after": b} for path, (a, b) in changed.items()}
    return {"before": before, "after": after, "settings": settings, "predictions": rows, "verdicts": verdicts(table)}


def verdicts(table: pd.DataFrame) -> dict[str, Any]:
    """Count the verdicts of `compare`, and how many luck gives.

    Returns
    -------
    `possible` : rows that have an interval.
    `established` : rows of these whose interval leaves 0 out.
    `holm` : rows that stay established once Holm has adjusted for the possible ones.
    `by_luck` : how many of the possible ones do so on average if no prediction differs in truth. All are of the same eras: that
        changes no average, and makes several at once, and none at all, more frequent.
    """
    possible = int(table["low"].notna().sum()) if len(table) else 0
    established = int(table["verdict"].isin([BETTER, WORSE]).sum()) if len(table) else 0
    left = int(table["verdict_holm"].isin([BETTER, WORSE]).sum()) if len(table) else 0
    return {"possible": possible, "established": established, "holm": left, "by_luck": round((1 - significance.LEVEL) * possible, 2)}


def luck(table: pd.DataFrame) -> str:
    """State how many verdicts `compare` gave, and how many luck alone would give."""
    found = verdicts(table)
    if not found["possible"]:
        return "Verdicts: none, as no prediction has an interval."
    return (
        f"Verdicts: {found['established']} of {found['possible']}; if no prediction differs in truth, luck alone gives "
        f"{found['by_luck']:.1f} of {found['possible']} on average, often several at once, since all are of the same eras. "
        f"Holm's adjustment for all {found['possible']} leaves {found['holm']}."
    )


def sentences(table: pd.DataFrame) -> list[str]:
    """Return the verdicts in words, a line for each row of `compare`."""
    return [_sentence(row) for row in table.to_dict("records")]


def markdown(table: pd.DataFrame) -> str:
    """Return the table of `compare` as Markdown."""
    return terminal.markdown(sheet(table))


def sheet(table: pd.DataFrame, title: str | None = None) -> Sheet:
    """Return the table of `compare` as a person reads it; with a title there is no column for the split."""

    def between(name: str, form: str) -> Callable[[dict[str, Any]], str]:
        return lambda row: number(row[name], form) + " " + interval(row[f"{name}_low"], row[f"{name}_high"], form)

    columns: list[FilledColumn] = [
        *([(Column("split"), itemgetter("split"))] if title is None else []),
        (Column("prediction"), itemgetter("prediction")),
        (Column("before", ".4f", spare=1), itemgetter("mean_before")),
        (Column("after", ".4f"), itemgetter("mean_after")),
        (Column("difference", "+.4f", "most"), itemgetter("difference")),
        (Column("95 % interval"), lambda row: interval(row["low"], row["high"], "+.4f")),
        *verdict_columns(better=3, holm=1, needed=2),
        (Column("Sharpe", spare=4), between("sharpe", "+.2f")),
        (Column("drawdown", spare=5), between("drawdown", "+.3f")),
        (Column("eras", "d", spare=6), itemgetter("eras")),
    ]
    return tabulate(table.to_dict("records"), columns, title or "")


def verdict_columns(*, better: int, holm: int, needed: int) -> list[FilledColumn]:
    """Return the columns of a comparison's probability, verdicts and eras to tell; each number is the `spare` of a column."""
    return [
        (Column("P(better)", ".0%", spare=better), lambda row: probability(row["probability_better"])),
        (Column("verdict"), itemgetter("verdict")),
        (Column("by Holm", spare=holm), lambda row: row["verdict_holm"] if row["p_value"] == row["p_value"] else None),
        (Column("eras to tell", ",.0f", spare=needed), eras_needed),
    ]


def moved(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare` whose score differs."""
    return table[table["difference"] != 0] if len(table) else table


def answer(table: pd.DataFrame, models: Collection[str], new: Mapping[str, float], gone: Sequence[str], *, by: Objective = BY_CORR) -> str:
    """State in one line what became of the models that changed.

    Parameters
    ----------
    table : of `compare`, the rows of one split.
    models : of both runs; the ensembles change with any of them, and are named if no model changed.
    new : the objective of each prediction that only the run after has.
    gone : the predictions that only the run before has.
    by : the objective.
    """
    changed = moved(table)
    own = changed[changed[PREDICTION].isin(models)] if len(changed) else changed
    named = own if len(own) or new or gone else changed
    said = [f"{row[PREDICTION]}: {verdict(row)}" for row in named.to_dict("records")]
    if len(said) > NAMED:
        counts = {told: list(named.loc[named["verdict"] == told, PREDICTION]) for told in (BETTER, WORSE, OPEN)}
        said = [f"{len(found)} {told} ({', '.join(found)})" for told, found in counts.items() if found]
    said += [f"{name}: new, {by.label} {number(mean)}" for name, mean in new.items()] + [f"{name}: gone" for name in gone]
    same = int(table[PREDICTION].isin(models).sum()) - len(own) if len(table) else 0
    unchanged = f"{same} {'model' if same == 1 else 'models'} unchanged"
    return "; ".join([*said, unchanged]) if said else f"Nothing changed: {len(table)} predictions have the same scores in every era"


def nearest(scores: pd.DataFrame, name: str, models: Collection[str]) -> str | None:
    """Return the model whose CORR is most like the CORR of another one, by the correlation over eras; None without a second."""
    own = series(scores, name)
    alike = {other: own.corr(series(scores, other)) for other in models if other != name}
    known = {other: value for other, value in alike.items() if value == value}
    return max(known, key=lambda other: known[other]) if known else None


def newcomer(scores: pd.DataFrame, name: str, against: Sequence[str], days: int, *, seed: int = 0, by: Objective = BY_CORR) -> Sheet:
    """Return how a new model compares with others of its run, and what it adds to the benchmark model.

    Parameters
    ----------
    scores : the long table of `score_eras` of one split.
    name : of the new model.
    against : names of predictions.
    days : trading days that the target looks ahead.
    seed : of the bootstrap behind the intervals.
    by : the objective.
    """
    rows = [{"against": other, **pair(scores, other, scores, name, days, seed=seed, by=by)} for other in against]
    bmc = scores.loc[scores[PREDICTION] == name, "bmc"] if "bmc" in scores else pd.Series(dtype=float)
    if bmc.notna().any():
        overlap = spanned_eras(scores[ERA].to_numpy(), spanned_weeks(days))
        mean = significance.mean(bmc.to_numpy(np.float64), overlap=overlap)
        figures = {"low": mean.low, "high": mean.high, "verdict": mean.verdict, "p_value": mean.p_value}
        rows.append({"against": "benchmark, by BMC", "mean_before": None, "difference": mean.mean, **figures})
    columns: list[FilledColumn] = [
        (Column("against"), itemgetter("against")),
        (Column(f"its {by.label}", ".4f", spare=1), itemgetter("mean_before")),
        (Column("difference", "+.4f"), itemgetter("difference")),
        (Column("95 % interval"), lambda row: interval(row["low"], row["high"], "+.4f")),
        (Column("verdict"), itemgetter("verdict")),
        (Column("by Holm", spare=1), itemgetter("verdict_holm")),
    ]
    return tabulate(adjusted(rows), columns, f"{name} against others of its run")


def picture(table: pd.DataFrame, before: str, after: str, *, by: Objective = BY_CORR) -> Table:
    """Return what `score_charts.differences` draws."""
    told = {verdict: int((table["verdict"] == verdict).sum()) for verdict in (BETTER, WORSE)} if len(table) else {}
    counts = [f"{count} {verdict}" for verdict, count in told.items() if count]
    headline = f"From {before} to {after}: " + (f"{' and '.join(counts)} of {len(table)}" if counts else "no difference is established")
    return Table(table.assign(measure=by.measure), headline)


def series(table: pd.DataFrame, name: str, column: str = objectives.CORR) -> pd.Series:
    """Return a score of a prediction by era, of the eras that have one, in the order of time."""
    rows = table[table[PREDICTION] == name]
    return pd.Series(rows[column].to_numpy(np.float64), rows[ERA].to_numpy(np.int64)).dropna().sort_index()


def _figures(found: Difference) -> dict[str, Any]:
    return {
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "probability_better": found.probability_better,
        "effective_eras": found.effective_eras,
        "p_value": found.p_value,
        "eras_to_tell": found.eras_to_tell,
        "sharpe": found.sharpe.value,
        "sharpe_low": found.sharpe.low,
        "sharpe_high": found.sharpe.high,
        "drawdown": found.drawdown.value,
        "drawdown_low": found.drawdown.low,
        "drawdown_high": found.drawdown.high,
        "verdict": found.verdict,
        "reason": found.reason,
    }


def _sentence(row: dict[str, Any]) -> str:
    name = f"{row['split']}, {row['prediction']}"
    if row["verdict"] == OPEN and np.isnan(row["low"]):
        return f"{name}: {OPEN}: {row['reason']}"
    change = f"CORR {number(row['mean_before'])} → {number(row['mean_after'])}, {number(row['difference'], '+.4f')}"
    text = f"{name}: {change} {interval(row['low'], row['high'], '+.4f')}: "
    if row["verdict"] in (BETTER, WORSE):
        return text + f"{row['verdict']} ({row['eras']} eras, worth {row['effective_eras']:.0f} independent ones{_left(row)})"
    needed = eras_needed(row)
    told = f"; {needed:,.0f} eras" if isinstance(needed, float) else f"; {needed} of eras" if needed else ""
    would = f"{told} would tell a true difference of this size" if told else ""
    return text + f"{OPEN} (better with probability {probability(row['probability_better'])} on {row['eras']} eras{would})"


def verdict(row: dict[str, Any]) -> str:
    """Return the verdict of `pair` with the difference and its interval."""
    if row["verdict"] == OPEN and np.isnan(row["low"]):
        return f"{OPEN}, {number(row['difference'], '+.4f')}{within_seeds(row)}: {row['reason']}"
    bounds = interval(row["low"], row["high"], "+.4f")
    return f"{row['verdict']}, {number(row['difference'], '+.4f')} {bounds}{within_seeds(row)}{_left(row)}"


def _left(row: dict[str, Any]) -> str:
    """Return a clause that tells a verdict that Holm's adjustment takes back; nothing if it stays, or nothing was adjusted."""
    return f"; {row['verdict_holm']} by Holm" if row.get("verdict_holm", row["verdict"]) != row["verdict"] else ""


def eras_needed(row: dict[str, Any]) -> float | str | None:
    """Return the eras that would tell a difference of this size, in words if they are too many; None if it is told, or unknown."""
    eras = row["eras_to_tell"]
    if row["verdict"] != OPEN or np.isnan(eras):
        return None
    return float(eras) if eras <= REALISTIC else "no realistic number"


def probability(value: float) -> str:
    """Return a probability in percent, never 0 or 100 %; a dash if there is none."""
    if np.isnan(value):
        return "–"
    return "> 99 %" if value > 0.99 else "< 1 %" if value < 0.01 else f"{value:.0%}".replace("%", " %")


def number(value: float, form: str = ".4f") -> str:
    """Return a figure as text, a dash if there is none."""
    return "–" if np.isnan(value) else format(value, form)


def interval(low: float, high: float, form: str) -> str:
    """Return an interval in brackets, nothing if there is none."""
    return "" if np.isnan(low) else f"({format(low, form)} … {format(high, form)})"


def settings_changed(changes: dict[str, list[Any]]) -> list[str]:
    """Return the settings that differ, a line each."""
    return [f"{path}: {_shown(before)} → {_shown(after)}" for path, (before, after) in changes.items()]


def history(entries: list[dict[str, Any]]) -> Sheet:
    """Return the ledger as a table, the oldest run first, with the scores of the pipeline's last prediction."""
    rows: list[list[terminal.Value]] = []
    for entry in entries:
        commit = entry.get("commit")
        means = [_corr(entry["scores"].get(split, {}).get(DIAGNOSED, {})) for split in (CV, VALIDATION)]
        changed = "; ".join(settings_changed(entry.get("changed", {}))) or "no setting"
        rows.append([str(entry["time"])[:16].replace("T", " "), entry.get("experiment"), _short(commit), *means, changed])
    columns = [
        Column("time"),
        Column("experiment"),
        Column("commit", spare=2),
        Column("cv CORR", ".4f", "most"),
        Column("validation CORR", ".4f", spare=1, short="validation"),
        Column("changed, against the commit or its parent", wraps=True, short="changed"),
    ]
    return Sheet(columns, rows, f"Evaluations in this checkout; the scores are of {DIAGNOSED}")


def _short(commit: str | None) -> str | None:
    """Return the short name of a commit, with `+` if files differed from it."""
    return None if commit is None else commit[:8] + "+" * (commit.endswith("+") and len(commit) > 9)


def standings(entries: list[dict[str, Any]]) -> list[str]:
    """State for each target of the ledger's entries what is main, early and paid; an older entry has the horizon that its name says."""
    found: dict[str, None] = {}
    for entry in entries:
        target, days = str(entry["target"]), entry.get("days") or named_horizon(str(entry["target"]))
        known = (
            evaluation.standing(target, days, entry.get("equal"), entry.get("early"))
            if days
            else f"main: {target}, of a horizon that isn't on record"
        )
        found[known] = None
    return list(found)


def _corr(block: dict[str, Any]) -> float:
    return float(block.get("corr", {}).get("mean", np.nan))


def _shown(value: object) -> str:
    return "absent" if value is None else str(value)
