"""Data that the models learn from: findings of `explore`."""

import pandas as pd

from erawise.report import drawing, frame, markup, views
from erawise.report.content import Content
from erawise.report.drawing import Figure
from erawise.report.frame import Page
from erawise.report.markup import number

MAX_TARGETS = 20
"""Targets in the picture of their correlations, at most."""


def data(page: Page) -> str:
    """Write rows and eras, features of stable and fickle sign, the targets' correlations, and missing values."""
    found = page.content
    parts = [f'<dl class="cards">{"".join(_cards(found))}</dl>']
    writers = {
        "missing/eras": ("missing values by era", _missing),
        "explored/features": ("the features' stability", _stability),
        "explored/stability": ("how long a feature goes on paying", _persistence),
        "explored/targets": ("the targets' correlations", _targets),
    }
    for name, (what, write) in writers.items():
        parts.append(write(page, found.tables[name]) if page.has(name) else frame.missing(what, "dvc repro"))
    return "".join(parts)


def _cards(found: Content) -> list[str]:
    cards = []
    for split in ("train", "validation", "live"):
        part = found.data.get(split, {})
        below = [f"{part['eras']:,} eras"] if "eras" in part else []
        below += [
            f"{part[key]:,} {what}" for key, what in (("unresolved_rows", "unresolved"), ("dropped_rows", "dropped")) if part.get(key)
        ]
        cards.append(markup.card(f"{split} rows", [("", f"{part.get('rows', 0):,}", "", ", ".join(below))]))
    share = found.data.get("missing_features", {}).get("share")
    cards.append(markup.card("missing feature values", [("", number(share, ".2%").text, "", "filled before training")]))
    return cards


def _stability(page: Page, table: pd.DataFrame) -> str:
    known = table.dropna(subset=["corr_mean"]).sort_values("sign_stability", kind="stable")
    if known.empty:
        return ""
    ends = [f"{row.feature}, in {row.sign_stability:.0%} of {row.scored_eras:.0f} eras" for row in known.iloc[[-1, 0]].itertuples()]
    return (
        "<p>A feature is stable if its correlation with the target keeps its sign from era to era. "
        f"Most stable: {markup.escape(ends[0])}; least: {markup.escape(ends[1])}.</p>"
    )


def _targets(page: Page, table: pd.DataFrame) -> str:
    main, square = page.content.target, table.set_index("name")
    if main not in square:
        return ""
    names = [main, *square[main].drop(main, errors="ignore").sort_values(ascending=False, kind="stable").index][:MAX_TARGETS]
    square = square.reindex(index=names, columns=names)
    long = square.rename_axis("a").reset_index().melt("a", var_name="b", value_name="correlation")
    others = square.loc[names[1:], main].dropna()
    title = f"{others.idxmin()} is the least like {main}: {others.min():.2f}" if len(others) else "There is one target only"
    return page.figure(
        Figure(
            "targets",
            title,
            "Square of the correlations between targets: " + "; ".join(f"{name} {value:.2f}" for name, value in others.items()),
            drawing.same(views.heat(long, "a", "b", names)),
            "Over train rows with both targets. A model of a target that is less alike adds more to a blend.",
        ),
        width=views.side(len(names)),
    )


def _missing(page: Page, table: pd.DataFrame) -> str:
    past = table[table["data_type"] != "live"]
    if not past["missing_share"].gt(0).any():
        return "<p>No feature value was missing in any era.</p>"
    worst, lacking = past.loc[past["missing_share"].idxmax()], past[past["missing_share"] > 0]
    empty = f"{worst['empty_features']:.0f} feature{'' if worst['empty_features'] == 1 else 's'}"
    return (
        f"<p>{len(lacking)} of {len(past)} eras lack feature values, the last is era {lacking['era'].max():.0f}. Most is missing in era "
        f"{worst['era']:.0f}: {worst['missing_share']:.1%}, with {empty} without any value.</p>"
    )


def _persistence(page: Page, table: pd.DataFrame) -> str:
    """Explain how much the features' scores of an era tell of their scores in a later one."""
    means = table.groupby("lag")["correlation"].mean().dropna()
    if means.empty:
        return ""
    lags = ", ".join(f"{correlation:.2f} at {lag} week{'s' if lag > 1 else ''}" for lag, correlation in means.items())
    return (
        "<h3>How long a feature goes on paying</h3><p>The features' correlations with the target in one era correlate with the ones in a "
        f"later one by {markup.escape(lags)}, on average. Targets of eras less than a target's span apart overlap; beyond it, a value near "
        "0 says that no feature goes on paying for long.</p>"
    )
