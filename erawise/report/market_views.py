"""Data that the models learn from: findings of `explore`, and how live differs."""

import pandas as pd

from erawise.report import drawing, frame, markup, views
from erawise.report.content import Content
from erawise.report.drawing import Figure
from erawise.report.frame import Page
from erawise.report.markup import number

LISTED = 100
"""Features in the table of them, at most."""

FEW = 0.1
"""Share of the eras with missing values up to which a sentence says it."""


def data(page: Page) -> str:
    """Write rows and eras, features of stable and fickle sign, the targets' correlations, missing values, and drift of live."""
    found = page.content
    parts = [f'<dl class="cards">{"".join(_cards(found))}</dl>']
    writers = {
        "feature_stability": ("the features' stability", _stability),
        "target_correlation": ("the targets' correlations", _targets),
        "missing_by_era": ("missing values by era", _missing),
        "drift": ("drift of live against train", _drift),
    }
    for name, (what, write) in writers.items():
        parts.append(write(page, found.tables[name]) if page.has(name) else frame.missing(what, "dvc repro plot"))
    if page.has("explored/stability"):
        parts.append(_persistence(found.tables["explored/stability"]))
    if page.has("explored/features"):
        parts.append(_features(found.tables["explored/features"]))
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
    stable, fickle = table.iloc[0], table.iloc[-1]
    least = f", {fickle['feature']} in {fickle['sign_stability']:.0%}" if len(table) > 1 else ""
    return page.figure(
        Figure(
            "stability",
            f"{stable['feature']} keeps its sign in {stable['sign_stability']:.0%} of {stable['eras']} eras{least}",
            "Dots with spread of the mean correlation with the target of the features of most stable and of most fickle sign.",
            drawing.same(views.stability(table)),
            "Mean correlation with the target over train eras, and one standard deviation of the eras on each side. A wide line around 0 "
            "is a feature that pays in some eras and hurts in others.",
        )
    )


def _targets(page: Page, table: pd.DataFrame) -> str:
    names = list(dict.fromkeys(table["a"]))
    others = table[(table["a"] == names[0]) & (table["b"] != names[0])].dropna().sort_values("correlation")
    title = (
        "One target alone" if others.empty else f"{others['b'].iloc[0]} is the least like {names[0]}: {others['correlation'].iloc[0]:.2f}"
    )
    return page.figure(
        Figure(
            "targets",
            title,
            "Square of the correlations between targets: " + "; ".join(f"{row.b} {row.correlation:.2f}" for row in others.itertuples()),
            drawing.same(views.heat(table, "a", "b", names)),
            "Over train rows with both targets. A model of a target that is less alike adds more to a blend.",
        ),
        width=views.side(len(names)),
    )


def _missing(page: Page, table: pd.DataFrame) -> str:
    past = table[table["data_type"] != "live"]
    if not past["missing_share"].any():
        return "<p>No feature value was missing in any era.</p>"
    worst, empty = past.loc[past["missing_share"].idxmax()], int((past["missing_share"] > 0).sum())
    title = f"Most is missing in era {worst['era']}: {worst['missing_share']:.1%}, {worst['empty_features']} features without any value"
    if empty <= FEW * len(past):
        return f"<p>{title}; {empty} of {len(past)} eras lack any value.</p>"
    return page.figure(
        Figure(
            "missing",
            title,
            "Line of the share of missing feature values in each era.",
            lambda live: views.series(past, page.defaults, "missing_share", "missing share", live=live, form="%"),
            "Before they were filled.",
        ),
        zoom=True,
    )


def _drift(page: Page, table: pd.DataFrame) -> str:
    beyond, eras = int(table["beyond"].sum()), int(table["eras"].iloc[0])
    if not table["distance"].any():
        return "<p>No drift: the values of every feature have the same shares in live as in train.</p>"
    features = page.content.tables.get("explored/drift", table)
    luck = len(features) / (eras + 1)
    if not beyond:
        return f"<p>No drift: no feature lies further off in live than in any of the last {eras} train eras.</p>"
    title = (
        f"{beyond} of the {len(table)} features shown lie further off in live than in any of the last {eras} train eras; "
        f"of all {len(features)} luck alone makes about {luck:.0f} do so"
    )
    return page.figure(
        Figure(
            "drift",
            title,
            "Bars of the distance of the live era's values from train for the features that drifted most, and what is usual.",
            drawing.same(views.drift(table)),
            "Share of a feature's rows that would have to take another value for live to look like train; line: what a train era usually "
            "shows (expected to the largest).",
        )
    )


def _persistence(table: pd.DataFrame) -> str:
    """Say how much the features' scores of an era tell of their scores in a later one."""
    means = table.groupby("lag")["correlation"].mean().dropna()
    if means.empty:
        return ""
    lags = ", ".join(f"{correlation:.2f} at {lag} week{'s' if lag > 1 else ''}" for lag, correlation in means.items())
    return (
        "<h3>How long a feature goes on paying</h3><p>The features' correlations with the target in one era correlate with those of a "
        f"later one by {markup.escape(lags)}, on average. Targets of eras less than a target's span apart overlap; beyond it, a value near "
        "0 says that no feature goes on paying for long.</p>"
    )


def _features(table: pd.DataFrame) -> str:
    """Write every feature as explored, behind a fold of the page; of very many the leading ones."""
    ordered = table.sort_values("sign_stability", ascending=False, kind="stable")
    shown = ordered.head(LISTED)
    rows = [
        [row.feature, number(row.corr_mean), number(row.corr_std), number(row.sign_stability, ".0%"), number(row.missing_share, ".2%")]
        for row in shown.itertuples()
    ]
    title = f"{len(shown)} of {len(table)} features, by stability of sign" if len(shown) < len(table) else f"All {len(table)} features"
    heads = ["feature", "mean correlation", "std over eras", "sign kept in", "missing"]
    return f"<details><summary>{markup.escape(title)}</summary>{markup.table(title, heads, rows)}</details>"
