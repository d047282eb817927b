"""Payouts for a reader: tables, sentences, JSON, and the table behind the picture."""

from collections.abc import Callable
from dataclasses import asdict
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import PREDICTION
from erawise.charts.tables import Table
from erawise.history.comparison import interval
from erawise.outlook.payout_replay import COLUMNS
from erawise.outlook.payout_split import Split
from erawise.outlook.staking import Terms, Year
from erawise.regimes.regimes import formula
from erawise.running.terminal import Column, FilledColumn, Sheet, tabulate

SMALLEST = 0.01
"""The smallest stake in the picture, whose scale is logarithmic."""


def terms_line(name: str, terms: Terms, year: Year) -> str:
    """Return the formula of a round and the stakes on it, under the name of the regime."""
    paid = formula(terms.multipliers)
    staked = "each on the whole stake" if terms.concurrent is None else f"each on 1/{terms.concurrent} of the stake, {year.mode}"
    return (
        f"{name}: payout of a round = stake · clip({terms.payout_factor:.3g} · ({paid}), ±{terms.clip:g})\n"
        f"{terms.per_week} round{'s' * (terms.per_week > 1)} a week, {staked}, and paid {terms.weeks} weeks after it opens"
    )


def rounds(table: pd.DataFrame) -> Sheet:
    """Return the figures of a round, of `staking.outlook`, as a person reads them."""
    scores = list(table.columns[2 : table.columns.get_loc("rate")])
    columns: list[FilledColumn] = [
        (Column(PREDICTION), itemgetter(PREDICTION)),
        *((Column(score.upper(), ".4f", spare=3), itemgetter(score)) for score in scores),
        (Column("mean payout (%)", "+.2f", "most", short="payout %"), _percent("rate")),
        (Column("95 % interval"), _bounds("rate", "+.2f", times=100)),
        (Column("burn (%)", ".0f", "least", short="burns %"), _percent("burn")),
        (Column("95 % interval of burn", spare=2, short="interval"), _bounds("burn", ".0f", times=100)),
        (Column("mean burn (%)", "+.2f", spare=4, short="mean burn %"), _percent("burn_size")),
        (Column("clipped (%)", ".0f", spare=5, short="clipped %"), _percent("clipped")),
    ]
    return tabulate(table.to_dict("records"), columns, "A round")


def years(table: pd.DataFrame, year: Year) -> Sheet:
    """Return the figures of a year, of `staking.outlook`, as a person reads them."""
    falls = f"falls by {year.drawdown:.0%}"
    columns: list[FilledColumn] = [
        (Column(PREDICTION), itemgetter(PREDICTION)),
        (Column("mean", ".2f", spare=4), itemgetter("growth")),
        (Column("median", ".2f", "most"), itemgetter("median")),
        (Column("95 % interval", spare=3), _bounds("median", ".2f")),
        (Column("9 years of 10", spare=6, short="9 of 10, measured"), lambda row: interval(row["p05"], row["p95"], ".2f")),
        (Column("9 of 10, all told", short="9 years of 10"), lambda row: interval(row["p05_all"], row["p95_all"], ".2f")),
        (Column("ends lower (%)", ".0f", spare=7, short="ends lower %, measured"), _percent("loss")),
        (Column("95 % interval of it", spare=8, short="interval"), _bounds("loss", ".0f", times=100)),
        (Column("ends lower, all told (%)", ".0f", "least", short="ends lower %"), _percent("loss_all")),
        (Column(f"{falls} (%)", ".0f", spare=9, short=f"{falls}, %, measured"), _percent("drawdown")),
        (Column("95 % interval of that", spare=10, short="interval"), _bounds("drawdown", ".0f", times=100)),
        (Column(f"{falls}, all told (%)", ".0f", "least", spare=1, short=f"{falls}, %"), _percent("drawdown_all")),
    ]
    title = "A year: a stake of 1 becomes (measured: without the uncertainty of so few eras)"
    return tabulate(table.to_dict("records"), columns, title)


def each(table: pd.DataFrame, drawdown: float) -> Sheet:
    """Return the figures of `staking.under_each` as a person reads them."""
    columns: list[FilledColumn] = [
        (Column("regime"), lambda row: f"{row['regime']}{', ' * bool(row['mode'])}{row['mode']}"),
        (Column(PREDICTION), itemgetter(PREDICTION)),
        (Column("mean payout (%)", "+.2f", spare=3, short="payout %"), _percent("rate")),
        (Column("burn (%)", ".0f", spare=2, short="burns %"), _percent("burn")),
        (Column("median of a year", ".2f", short="median"), itemgetter("median")),
        (Column("9 of 10"), lambda row: interval(row["p05"], row["p95"], ".2f")),
        (Column("ends lower (%)", ".0f", spare=1, short="lower %"), _percent("loss")),
        (Column(f"falls by {drawdown:.0%} (%)", ".0f", spare=4, short=f"falls by {drawdown:.0%}, %"), _percent("drawdown")),
    ]
    return tabulate(table.to_dict("records"), columns, "A year under each regime, all told")


def modes(table: pd.DataFrame) -> Sheet:
    """Return the figures of `staking.modes` as a person reads them."""
    columns: list[FilledColumn] = [
        (Column(PREDICTION), itemgetter(PREDICTION)),
        (Column("constant: median of the year", ".2f", short="constant: median"), itemgetter("constant")),
        (Column("compound", ".2f"), itemgetter("compound")),
        (Column("compound ends higher (%)", ".0f", short="compound higher %"), _percent("compound_better")),
        (Column("idle to keep (%)", ".1f", short="idle %"), _percent("idle")),
    ]
    return tabulate(table.to_dict("records"), columns, "Constant or compound, all told")


def replayed(found: dict[str, Any]) -> str:
    """Format the steps of `payout_replay.replay` and their totals as an aligned table."""
    lines = [COLUMNS, *([_exact(step[name]) for name in COLUMNS] for step in found["steps"])]
    widths = [max(len(line[place]) for line in lines) for place in range(len(COLUMNS))]
    rows = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*rows, "", *(f"{name}: {_exact(value)}" for name, value in found["total"].items())])


def shares(found: Split) -> pd.DataFrame:
    """Return a row for each model: `prediction`, `share`, `low`, `high` (its 95 % interval), `equal`."""
    return pd.DataFrame({PREDICTION: list(found.names), "share": found.shares, "low": found.low, "high": found.high, "equal": found.equal})


def splits(found: Split, cap: float) -> Sheet:
    """Return the split as a person reads it; `cap` is the largest share of a model."""
    columns: list[FilledColumn] = [
        (Column("model"), itemgetter(PREDICTION)),
        (Column("share (%)", ".0f", "most"), _percent("share")),
        (Column("95 % interval"), lambda row: interval(100 * row["low"], 100 * row["high"], ".0f")),
        (Column("equal split (%)", ".0f"), _percent("equal")),
    ]
    return tabulate(shares(found).to_dict("records"), columns, f"The split of highest log growth, at most {cap:.0%} on a model")


def sentence(found: Split) -> str:
    """State how good the split is."""
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
    """Return all of it for JSON, under the name of the regime; a figure that can't be given is null."""
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


def _percent(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda row: 100 * row[name]


def _bounds(name: str, form: str, times: int = 1) -> Callable[[dict[str, Any]], str]:
    return lambda row: interval(times * row[f"{name}_low"], times * row[f"{name}_high"], form)


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): _null(value) for key, value in row.items()} for row in table.to_dict("records")]


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
