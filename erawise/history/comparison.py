"""Two runs against each other: what changed, by how much, and whether that is more than luck."""

from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import CV, ERA, PREDICTION, VALIDATION, named_horizon, spanned_eras, spanned_weeks
from erawise.charts.tables import Table
from erawise.evaluation import evaluation, significance
from erawise.evaluation.evaluation import DIAGNOSED
from erawise.evaluation.significance import BETTER, OPEN, WORSE, Difference

CORR = "corr"
DECIMALS = 12
"""Of a score that count: the last bits differ with what else is scored beside it."""


def compare(before: dict[str, pd.DataFrame], after: dict[str, pd.DataFrame], days: int, *, seed: int = 0) -> pd.DataFrame:
    """Compare every prediction that both runs have, on the eras where both have a CORR.

    Parameters
    ----------
    before, after : the long tables of `score_eras`, by split.
    days : trading days that the target looks ahead.
    seed : of the bootstrap behind the intervals of Sharpe and drawdown.

    Returns
    -------
    DataFrame, a row for each split and prediction: `split`, `prediction`, `eras` (that both have), `left_out` (that one of
    them has alone), `mean_before`, `mean_after`; `difference` (after less before), `low`, `high`, `probability_better`,
    `effective_eras`, `eras_to_tell`; `sharpe` and `drawdown`, each a difference with `_low` and `_high`; `verdict` on the
    run after, and `reason`. NaN where a figure can't be given.
    """
    rows = [
        {"split": split, "prediction": name, **pair(before[split], name, after[split], name, days, seed=seed)}
        for split in before
        if split in after
        for name in after[split][PREDICTION].unique()
        if name in set(before[split][PREDICTION])
    ]
    return pd.DataFrame(rows)


def pair(before: pd.DataFrame, name_before: str, after: pd.DataFrame, name_after: str, days: int, *, seed: int = 0) -> dict[str, Any]:
    """Compare two predictions, of one run or of two, on the eras where both have a CORR.

    Parameters
    ----------
    before, after : the long tables of `score_eras` of one split; the same one for two predictions of a run.
    name_before, name_after : of the predictions, which the tables have.
    days : trading days that the target looks ahead.
    seed : of the bootstrap behind the intervals of Sharpe and drawdown.

    Returns
    -------
    The row of `compare`, without its `split` and `prediction`.
    """
    one, other = series(before, name_before), series(after, name_after)
    common = one.index.intersection(other.index)
    overlap = spanned_eras(common.to_numpy(), spanned_weeks(days))
    a, b = (found[common].round(DECIMALS).to_numpy() for found in (one, other))
    return {
        "eras": len(common),
        "left_out": len(one) + len(other) - 2 * len(common),
        "mean_before": a.mean() if len(a) else np.nan,
        "mean_after": b.mean() if len(b) else np.nan,
        **_figures(significance.paired_difference(b, a, overlap=overlap, seed=seed)),
    }


def only_in_one(before: dict[str, pd.DataFrame], after: dict[str, pd.DataFrame]) -> tuple[list[str], list[str]]:
    """Predictions that only the run before has, and those that only the run after has."""
    a, b = (list(dict.fromkeys(name for table in run.values() for name in table[PREDICTION].unique())) for run in (before, after))
    return [name for name in a if name not in b], [name for name in b if name not in a]


def content(table: pd.DataFrame, before: str, after: str, changed: dict[str, list[Any]]) -> dict[str, Any]:
    """The comparison as JSON: which runs, the settings that differ, and the table; a figure that can't be given is null."""
    rows = [{key: None if value != value else value for key, value in row.items()} for row in table.to_dict("records")]
    settings = {path: {"before": a, "after": b} for path, (a, b) in changed.items()}
    return {"before": before, "after": after, "settings": settings, "predictions": rows, "verdicts": verdicts(table)}


def verdicts(table: pd.DataFrame) -> dict[str, Any]:
    """Count the verdicts of `compare`, beside those of luck.

    Returns
    -------
    `possible` : rows that have an interval.
    `established` : rows of these whose interval leaves 0 out.
    `by_luck` : how many of the possible ones do so on average where no prediction differs in truth. That they are of the same eras
        changes no average; it makes several at once, and none at all, more frequent.
    """
    possible = int(table["low"].notna().sum()) if len(table) else 0
    established = int(table["verdict"].isin([BETTER, WORSE]).sum()) if len(table) else 0
    return {"possible": possible, "established": established, "by_luck": round((1 - significance.LEVEL) * possible, 2)}


def luck(table: pd.DataFrame) -> str:
    """Say how many verdicts `compare` gave, and how many luck alone would give."""
    found = verdicts(table)
    if not found["possible"]:
        return "Verdicts: none, as no prediction has an interval."
    return (
        f"Verdicts: {found['established']} of {found['possible']}; where no prediction differs in truth, luck alone gives "
        f"{found['by_luck']:.1f} of {found['possible']} on average, often several at once, since all are of the same eras."
    )


def sentences(table: pd.DataFrame) -> list[str]:
    """The verdicts in words, a line for each row of `compare`."""
    return [_sentence(row) for row in table.to_dict("records")]


def markdown(table: pd.DataFrame) -> str:
    """The table of `compare` as a person reads it."""
    head = "| split | prediction | before | after | difference | 95 % interval | P(better) | Sharpe | drawdown | eras | verdict |"
    lines = [head, "|---|---|---:|---:|---:|---|---:|---|---|---:|---|"]
    for row in table.to_dict("records"):
        cells = [
            row["split"],
            row["prediction"],
            number(row["mean_before"]),
            number(row["mean_after"]),
            number(row["difference"], "+.4f"),
            interval(row["low"], row["high"], "+.4f"),
            number(row["probability_better"], ".2f"),
            number(row["sharpe"], "+.2f") + " " + interval(row["sharpe_low"], row["sharpe_high"], "+.2f"),
            number(row["drawdown"], "+.3f") + " " + interval(row["drawdown_low"], row["drawdown_high"], "+.3f"),
            str(row["eras"]),
            row["verdict"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(table: pd.DataFrame, before: str, after: str) -> Table:
    """Return what `score_charts.differences` draws."""
    told = {verdict: int((table["verdict"] == verdict).sum()) for verdict in (BETTER, WORSE)} if len(table) else {}
    counts = [f"{count} {verdict}" for verdict, count in told.items() if count]
    headline = f"From {before} to {after}: " + (f"{' and '.join(counts)} of {len(table)}" if counts else "no difference is established")
    return Table(table, headline)


def series(table: pd.DataFrame, name: str) -> pd.Series:
    """The CORR of a prediction by era, of the eras that have one, in the order of time."""
    rows = table[table[PREDICTION] == name]
    return pd.Series(rows[CORR].to_numpy(np.float64), rows[ERA].to_numpy(np.int64)).dropna().sort_index()


def _figures(found: Difference) -> dict[str, Any]:
    return {
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "probability_better": found.probability_better,
        "effective_eras": found.effective_eras,
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
    moved = f"CORR {number(row['mean_before'])} → {number(row['mean_after'])}, {number(row['difference'], '+.4f')}"
    text = f"{name}: {moved} {interval(row['low'], row['high'], '+.4f')}: "
    if row["verdict"] in (BETTER, WORSE):
        return text + f"{row['verdict']} ({row['eras']} eras, worth {row['effective_eras']:.0f} independent ones)"
    needed = (
        f"; {row['eras_to_tell']:,.0f} eras would tell a true difference of this size" if row["eras_to_tell"] == row["eras_to_tell"] else ""
    )
    return text + f"{OPEN} (better with probability {row['probability_better']:.2f} on {row['eras']} eras{needed})"


def number(value: float, form: str = ".4f") -> str:
    """A figure, a dash where there is none."""
    return "–" if np.isnan(value) else format(value, form)


def interval(low: float, high: float, form: str) -> str:
    """An interval in brackets, nothing where there is none."""
    return "" if np.isnan(low) else f"({format(low, form)} … {format(high, form)})"


def settings_changed(changes: dict[str, list[Any]]) -> list[str]:
    """Settings that differ, a line each."""
    return [f"{path}: {_shown(before)} → {_shown(after)}" for path, (before, after) in changes.items()]


def history(entries: list[dict[str, Any]]) -> str:
    """The ledger as a Markdown table, the oldest run first, with the scores of the pipeline's last prediction."""
    lines = ["| time | commit | cv CORR | validation CORR | changed since the run before |", "|---|---|---:|---:|---|"]
    for entry in entries:
        means = [_corr(entry["scores"].get(split, {}).get(DIAGNOSED, {})) for split in (CV, VALIDATION)]
        commit = entry.get("commit")
        short = "–" if commit is None else commit[:8] + ("+" if commit.endswith("+") else "")
        lines.append(
            f"| {entry['time']} | {short} | {' | '.join(map(number, means))} "
            f"| {'; '.join(settings_changed(entry.get('changed', {}))) or 'no setting'} |"
        )
    return "\n".join(lines)


def standings(entries: list[dict[str, Any]]) -> list[str]:
    """Say for each target of the ledger's entries what is main, early and paid; the horizon of an older entry is that of its name."""
    found: dict[str, None] = {}
    for entry in entries:
        target, days = str(entry["target"]), entry.get("days") or named_horizon(str(entry["target"]))
        known = evaluation.standing(target, days, entry.get("equal")) if days else f"main: {target}, of a horizon that isn't on record"
        found[known] = None
    return list(found)


def _corr(block: dict[str, Any]) -> float:
    return float(block.get("corr", {}).get("mean", np.nan))


def _shown(value: object) -> str:
    return "absent" if value is None else str(value)
