"""Scores of files as tables for a person, as CSV, as JSON, and as one page."""

import json
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from erawise.base import files
from erawise.base.schema import ERA, PREDICTION, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.evaluation.significance import LEVEL
from erawise.history import comparison
from erawise.running import terminal
from erawise.running.terminal import Column, FilledColumn, Form, Sheet, Value, tabulate
from erawise.scores.eras import EARLY_CORR, FNC_V3
from erawise.scoring.scored_files import Scored, exposures, regime_columns

STATISTICS = ("mean", "std", "sharpe", "max_drawdown", "low", "high")
"""The figures of a score in JSON."""

EXTRA = {"exposure": {"max": "exposure_max", "rms": "exposure_rms"}, "auc": {"top": "auc_top", "above_half": "auc_above_half"}}
"""Names in JSON of figures that the summary keeps in blocks, by block and key."""


CSV_NAMES = {"early": EARLY_CORR}
"""Columns of scores that have another name than their block in the summary."""


def sheets(found: Scored) -> list[Sheet]:
    """Return the tables of the summary."""
    return [sheet for sheet in (_scores(found), _differences(found), _payouts(found), _exposures(found), _counts(found)) if sheet.rows]


def eras_sheet(found: Scored) -> Sheet:
    """Return every score of every era."""
    known = [name for name in found.eras if name not in (ERA, PREDICTION) and found.eras[name].notna().any()]
    table = (
        found.eras[[ERA, PREDICTION, *known]].astype({"constant": int}) if "constant" in known else found.eras[[ERA, PREDICTION, *known]]
    )
    rows = [[value.item() if isinstance(value, np.generic) else value for value in row] for row in table.itertuples(index=False)]
    columns = [Column(ERA), Column(PREDICTION), *(Column(name, ".4f") for name in known)]
    return Sheet(columns, rows, "Every era", "eras")


def show(found: Scored, form: Form) -> None:
    """Print the scores: tables and lines for a person; in CSV each statistic and every era, a column for each score."""
    if form == "json":
        print(json.dumps(content(found), ensure_ascii=False, indent=1, allow_nan=False))
        return
    if form == "csv":
        terminal.write([*_summary_sheets(found), eras_sheet(found)], form)
        return
    terminal.write([*sheets(found), *found.lines, _luck(found)], form)


def content(found: Scored) -> dict[str, Any]:
    """Return the scores for JSON; a figure that can't be given is null."""
    outcomes = found.outcomes
    return {
        "eras": int(found.eras.loc[found.eras["corr"].notna(), ERA].nunique()),
        "predictions": {name: _figures(block) for name, block in found.summary.items()},
        "target": outcomes.name,
        "days": outcomes.days,
        "benchmark": outcomes.benchmark,
        "regime": outcomes.regime.id,
        "differences": [{key: _plain(value) for key, value in row.items()} for row in found.pairs],
        "notes": found.lines,
    }


def _summary_sheets(found: Scored) -> list[Sheet]:
    """Return a table for each statistic, with the same columns as the table of eras."""
    figures = {name: _figures(block) for name, block in found.summary.items()}
    scores = list(dict.fromkeys(score for own in figures.values() for score in own))
    columns = [Column(PREDICTION), *(Column(CSV_NAMES.get(score, score), ".4f") for score in scores)]
    return [
        Sheet(columns, [[name, *(own.get(score, {}).get(key) for score in scores)] for name, own in figures.items()], key, key)
        for key in STATISTICS
    ]


def write_page(found: Scored, path: Path) -> None:
    """Write the page with tables, notes, and the picture of the score over time."""
    from erawise.report import scored_page

    shown = found.eras[[PREDICTION, ERA, "corr"]]
    if len(found.yardsticks):
        shown = pd.concat([shown, found.yardsticks[[PREDICTION, ERA, "corr"]]], ignore_index=True)
    title = f"erawise: {len(found.predictions)} predictions on {found.outcomes.name}"
    page = scored_page.written(title, sheets(found), [*found.lines, _luck(found)], shown, found.outcomes.corr)
    with files.replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _figures(block: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Return the scores of a prediction, each with `STATISTICS`."""
    means = {name: own for name, own in block.items() if isinstance(own, dict) and "mean" in own}
    for name, keys in EXTRA.items():
        means |= {score: {"mean": block[name][key]} for key, score in keys.items() if key in block.get(name, {})}
    if "mse" in block:
        means["mse"] = {"mean": block["mse"]}
    return {name: {key: own.get(key) for key in STATISTICS} for name, own in means.items()}


def _plain(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain


def _scores(found: Scored) -> Sheet:
    rows: list[list[Value]] = []
    for name, block in found.summary.items():
        corr = block.get("corr", {})
        means = [block.get(score, {}).get("mean") for score in ("spearman", "mmc", "bmc", "fnc", FNC_V3, "payout", "payout_bmc")]
        bounds = comparison.interval(corr.get("low", np.nan), corr.get("high", np.nan), "+.4f")
        own = [corr.get("mean"), bounds, *(corr.get(key) for key in ("std", "sharpe", "max_drawdown"))]
        exposure = block.get("exposure", {}).get("max")
        rows.append([name, *own, *means, exposure, block.get("early", {}).get("mean"), block["eras"]])
    columns = [
        Column(PREDICTION),
        Column(found.outcomes.corr, ".4f", "most"),
        Column(f"{LEVEL:.0%} interval"),
        Column("std", ".4f", spare=3),
        Column("Sharpe", ".2f", "most"),
        Column("drawdown", ".3f", "least", spare=1),
        Column("Spearman", ".4f", "most", spare=8),
        Column("MMC", ".4f", "most"),
        Column("BMC", ".4f", "most", spare=2),
        Column("FNC", ".4f", "most", spare=4),
        Column("FNCv3", ".4f", "most", spare=6),
        Column("payout", ".4f", "most", spare=5),
        Column("payout (BMC)", ".4f", "most", spare=7),
        Column("max exposure", ".3f", "least", spare=7),
        Column("early CORR", ".4f", "most", spare=8),
        Column("eras", "d"),
    ]
    return Sheet(columns, rows, f"Scores against {found.outcomes.name}", "scores").without_empty()


def _differences(found: Scored) -> Sheet:
    columns: list[FilledColumn] = [
        (Column(PREDICTION), itemgetter(PREDICTION)),
        (Column("against"), itemgetter("against")),
        (Column("its", ".4f", spare=2), itemgetter("mean")),
        (Column("other's", ".4f", spare=2), itemgetter("mean_against")),
        (Column("difference", "+.4f"), itemgetter("difference")),
        (Column(f"{LEVEL:.0%} interval"), lambda row: comparison.interval(row["low"], row["high"], "+.4f")),
        *comparison.verdict_columns(better=4, holm=1, needed=3),
        (Column("eras", "d", spare=5), itemgetter("eras")),
    ]
    return replace(tabulate(found.pairs, columns, f"Differences of {found.objective.measure}, era by era"), name="differences")


def _payouts(found: Scored) -> Sheet:
    """Return the payout under every regime that pays for the target's horizon, before factor and clip."""
    rows: list[list[Value]] = []
    overlap = spanned_eras(found.eras[ERA].to_numpy(), spanned_weeks(found.outcomes.days))
    for name, own in found.eras.groupby(PREDICTION, sort=False):
        for regime, multipliers in found.regimes.items():
            for column, has in zip(regime_columns(regime), ("MMC", "BMC for MMC"), strict=True):
                values = own[column].dropna().to_numpy(np.float64) if column in own else np.empty(0)
                if len(values):
                    mean = significance.mean(values, overlap=overlap)
                    sharpe = float(values.mean() / values.std()) if values.std() else None
                    bounds = comparison.interval(mean.low, mean.high, "+.4f")
                    with_scores = has if "mmc" in multipliers else ""
                    rows.append([str(name), regime, with_scores, mean.mean, bounds, sharpe, float((values > 0).mean()), len(values)])
    columns = [
        Column(PREDICTION),
        Column("regime"),
        Column("with"),
        Column("payout", ".4f"),
        Column(f"{LEVEL:.0%} interval"),
        Column("Sharpe", ".2f"),
        Column("above 0", ".0%", spare=1),
        Column("eras", "d", spare=2),
    ]
    return Sheet(columns, rows, "Payout of an era by regime, before its factor and clip", "payout")


def _exposures(found: Scored) -> Sheet:
    rows: list[list[Value]] = [list(row) for row in exposures(found.eras, found.groups)]
    columns = [Column(PREDICTION), Column("features"), Column("largest", ".3f"), Column("root mean square", ".3f", short="rms")]
    return Sheet(columns, rows, "Exposure to features, mean over eras", "exposure")


def _counts(found: Scored) -> Sheet:
    rows: list[list[Value]] = [
        [name, own.rows, own.eras, own.partial, own.missing, own.unknown, own.duplicates, own.constant, own.outside]
        for name, own in found.coverage.items()
    ]
    headings = ("rows", "eras", "in part", "missing", "unknown ids", "repeated", "constant eras", "outside 0..1")
    columns = [Column(PREDICTION), *(Column(heading, ",d", spare=k) for k, heading in enumerate(headings))]
    return Sheet(columns, rows, "Rows of the files", "files")


def _luck(found: Scored) -> str:
    """Return the line on verdicts and luck; empty without comparisons."""
    return comparison.luck(pd.DataFrame(found.pairs)) if found.pairs else ""
