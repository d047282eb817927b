"""Payouts for a reader: tables, sentences, JSON, and the table behind the picture."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import PREDICTION
from erawise.charts.tables import Table
from erawise.history.comparison import interval, number
from erawise.outlook.payout_replay import COLUMNS
from erawise.outlook.payout_split import Split
from erawise.outlook.staking import Terms, Year
from erawise.regimes.regimes import formula

SMALLEST = 0.01
"""The smallest stake in the picture, whose scale is logarithmic."""


def terms_line(name: str, terms: Terms, year: Year) -> str:
    """Return the formula of a round's payout and the stake on it, after the name of the regime."""
    paid = formula(terms.multipliers)
    staked = "each on the whole stake" if terms.concurrent is None else f"each on 1/{terms.concurrent} of the stake, {year.mode}"
    return (
        f"{name}: payout of a round = stake · clip({terms.payout_factor:.3g} · ({paid}), ±{terms.clip:g})\n"
        f"{terms.per_week} round{'s' * (terms.per_week > 1)} a week, {staked}, and paid {terms.weeks} weeks after it opens"
    )


def rounds(table: pd.DataFrame) -> str:
    """Format the figures of a round, from `staking.outlook`, as Markdown."""
    scores = list(table.columns[2 : table.columns.get_loc("rate")])
    lines = [
        f"| prediction | {' | '.join(map(str.upper, scores))} | mean payout (%) | 95 % interval | burn (%) | 95 % interval | mean burn (%) "
        "| clipped (%) |",
        f"|---|{'---:|' * len(scores)}---:|---|---:|---|---:|---:|",
    ]
    for row in table.to_dict("records"):
        cells = [
            row[PREDICTION],
            *(number(row[score]) for score in scores),
            *_percent(row, "rate", "+.2f"),
            *_percent(row, "burn", ".0f"),
            number(100 * row["burn_size"], "+.2f"),
            number(100 * row["clipped"], ".0f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def years(table: pd.DataFrame, year: Year) -> str:
    """Format the figures of a year, from `staking.outlook`, as Markdown."""
    lines = [
        "| prediction | a stake of 1 becomes, mean | median | 95 % interval | 9 years of 10 | 9 of 10, all told "
        f"| ends lower (%) | 95 % interval | all told | falls by {year.drawdown:.0%} (%) | 95 % interval | all told |",
        "|---|---:|---:|---|---|---|---:|---|---:|---:|---|---:|",
    ]
    for row in table.to_dict("records"):
        cells = [
            row[PREDICTION],
            number(row["growth"], ".2f"),
            number(row["median"], ".2f"),
            interval(row["median_low"], row["median_high"], ".2f"),
            interval(row["p05"], row["p95"], ".2f"),
            interval(row["p05_all"], row["p95_all"], ".2f"),
            *_percent(row, "loss", ".0f"),
            number(100 * row["loss_all"], ".0f"),
            *_percent(row, "drawdown", ".0f"),
            number(100 * row["drawdown_all"], ".0f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def each(table: pd.DataFrame, drawdown: float) -> str:
    """Format the figures of `staking.under_each` as Markdown."""
    lines = [
        f"| regime | prediction | mean payout (%) | burn (%) | median of a year | 9 of 10 | ends lower (%) | falls by {drawdown:.0%} (%) |",
        "|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for row in table.to_dict("records"):
        cells = [
            f"{row['regime']}{', ' * bool(row['mode'])}{row['mode']}",
            row[PREDICTION],
            number(100 * row["rate"], "+.2f"),
            number(100 * row["burn"], ".0f"),
            number(row["median"], ".2f"),
            interval(row["p05"], row["p95"], ".2f"),
            number(100 * row["loss"], ".0f"),
            number(100 * row["drawdown"], ".0f"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def modes(table: pd.DataFrame) -> str:
    """Format the figures of `staking.modes` as Markdown."""
    lines = [
        "| prediction | constant: median of the year | compound | compound ends higher (%) | idle to keep (%) |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in table.to_dict("records"):
        cells = [number(row["constant"], ".2f"), number(row["compound"], ".2f"), number(100 * row["compound_better"], ".0f")]
        lines.append("| " + " | ".join([row[PREDICTION], *cells, number(100 * row["idle"], ".1f")]) + " |")
    return "\n".join(lines)


def replayed(found: dict[str, Any]) -> str:
    """Format the steps of `payout_replay.replay` and their totals as an aligned table."""
    lines = [COLUMNS, *([_exact(step[name]) for name in COLUMNS] for step in found["steps"])]
    widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))]
    rows = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*rows, "", *(f"{name}: {_exact(value)}" for name, value in found["total"].items())])


def shares(found: Split) -> pd.DataFrame:
    """Return a row for each model: `prediction`, `share`, `low`, `high` (its 95 % interval), `equal`."""
    return pd.DataFrame({PREDICTION: list(found.names), "share": found.shares, "low": found.low, "high": found.high, "equal": found.equal})


def splits(found: Split) -> str:
    """Format the split as Markdown."""
    lines = ["| model | share (%) | 95 % interval | equal split (%) |", "|---|---:|---|---:|"]
    for row in shares(found).to_dict("records"):
        bounds = interval(100 * row["low"], 100 * row["high"], ".0f")
        lines.append(f"| {row[PREDICTION]} | {number(100 * row['share'], '.0f')} | {bounds} | {number(100 * row['equal'], '.0f')} |")
    return "\n".join(lines)


def sentence(found: Split) -> str:
    """Return sentences on the worth of the split."""
    staked = found.shares.sum()
    rest = "" if staked > 1 - 1e-3 else f"; {1 - staked:.0%} of the stake stays out"
    diff = found.difference
    verdict = f"{diff.mean:+.2f} {interval(diff.low, diff.high, '+.2f')}: {diff.verdict}" + (f" ({diff.reason})" if diff.reason else "")
    return (
        f"log growth a year: {_growth(found.growth)} on the eras that it is fitted on, {_growth(found.unseen)} on eras that it has not "
        f"seen, {_growth(found.growth_equal)} with the equal split{rest}\n"
        f"on eras that it has not seen, against the equal split: {verdict}"
    )


def content(name: str, terms: Terms, year: Year, tables: dict[str, pd.DataFrame], found: Split) -> dict[str, Any]:
    """Return all results as JSON, with the name of the regime; a figure that can't be computed is null."""
    split = {
        "models": _plain(shares(found)),
        "growth": found.growth,
        "growth_equal": found.growth_equal,
        "growth_unseen": found.unseen,
        "difference": {key: _null(value) for key, value in asdict(found.difference).items() if key not in ("sharpe", "drawdown")},
    }
    return {
        "regime": name,
        "terms": asdict(terms),
        "year": asdict(year),
        **{key: _plain(table) for key, table in tables.items()},
        "split": split,
    }


def picture(bands: pd.DataFrame, table: pd.DataFrame) -> Table:
    """Return the table that `outlook_charts.payout` draws, from both tables of `staking.outlook`."""
    best = table.loc[table["median"].idxmax()]
    lower = f"{best['loss_all']:.0%} of years end lower, all told"
    headline = f"{best[PREDICTION]}: the median year makes {best['median']:.2f} of a stake of 1; {lower}"
    figures = bands.select_dtypes("float").clip(lower=SMALLEST)
    return Table(bands.assign(**{str(name): figures[name] for name in figures}), headline)


def _exact(value: float | None) -> str:
    return "–" if value is None else f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _growth(value: float) -> str:
    return f"{value:.2f} (×{np.exp(value):.2f})"


def _percent(row: dict[str, Any], name: str, form: str) -> tuple[str, str]:
    return number(100 * row[name], form), interval(100 * row[f"{name}_low"], 100 * row[f"{name}_high"], form)


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _null(value) for key, value in row.items()} for row in table.to_dict("records")]


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
