"""First screen of the report, which is the decision, and the table of all predictions."""

import math

import numpy as np
import pandas as pd

from erawise.base.schema import CV, ERA, PREDICTION, SPLIT, VALIDATION, spanned_eras, spanned_weeks
from erawise.evaluation import evaluation, significance
from erawise.history import comparison, overview
from erawise.report import drawing, findings, frame, markup, views
from erawise.report.content import CORR, FEATURE, PAYOUT, SPLITS, YARDSTICKS, Content
from erawise.report.drawing import Figure
from erawise.report.frame import Page
from erawise.report.markup import Cell, bounds, escape, number
from erawise.running.terminal import Sheet

NAMED = 4
"""Stages to name if the page is older than the workspace."""

COLUMNS = (
    "{corr}: {explained}, mean over eras. Sharpe: mean over standard deviation. drawdown: deepest fall of the summed {corr}. "
    "FNC: {corr} of the rest once the linear part in all features is taken out; FNCv3: in the features of the set fncv3. "
    "MMC, BMC: contribution of the prediction to the meta model "
    "and to the benchmark model. payout: payout of the regime, as a share of the stake, before factor and clip; "
    "stand-in: the same with BMC in place of MMC, which more eras have. CORR20: {corr}, early, against the target of 20 days beside a "
    "longer one. exposure: largest absolute correlation with a "
    "feature, mean over eras. ceiling: mean {corr} as a share of the best possible predictor's, which the embedded market knows."
)


def stale(found: Content) -> str:
    """Warn that the results are older than the settings, the code or the data; return nothing if they are not."""
    if not found.stale:
        return ""
    named = ", ".join(found.stale[:NAMED]) + (f" and {len(found.stale) - NAMED} more" if len(found.stale) > NAMED else "")
    return (
        f'<p class="stale">This page is older than the settings, the code or the data: {escape(named)} would run again. '
        "<code>dvc repro</code>, then <code>erawise report</code>.</p>"
    )


def first(page: Page) -> str:
    """Write the first screen: the decision, every prediction against the chosen one, four cards and the running sum."""
    found = page.content
    anew = " It starts anew at the first validation era." if VALIDATION in page.defaults.spans else ""
    low, high = views.REAL
    grey = f" Grey: the known range of real data, a mean CORR of {low:g} to {high:g}." if page.defaults.real else ""
    curve = Figure(
        "answer-curve",
        f"Running sum of {found.chosen}: the steadier it climbs, the better",
        f"Line of the running sum of {found.chosen} over eras, once for cross-validation and once for validation.",
        lambda live: views.running(page.defaults, live),
        f"Each fall is a drawdown.{anew}{grey}",
    )
    return (
        f'<p class="answer">{escape(findings.decision(found, page.decisive))}</p>'
        f"<p>{escape(findings.check(found))} {escape(findings.paid(found, page.pairs))}</p>"
        f'<div class="first"><div>{_forest(page)}</div><dl class="cards">{"".join(_cards(found))}</dl></div>{page.figure(curve)}'
    )


def following(page: Page) -> str:
    """Write what to do next, and how the run stands to the committed one."""
    found = page.content
    advice = "".join(f"<li>{frame.commands(text)}</li>" for text in findings.advice(found, page.decisive))
    changed = "".join(f"<li><code>{escape(line)}</code></li>" for line in found.compared.changed)
    count = len(found.compared.changed)
    words = "1 setting differs" if count == 1 else f"{count} settings differ"
    settings = f"<details><summary>{words}</summary><ul>{changed}</ul></details>" if changed else ""
    return (
        f"<ul class='advice'>{advice}</ul><p>{frame.commands(findings.verdict(found))}</p>{settings}<p>{escape(findings.looked(found))}</p>"
    )


def against(page: Page) -> pd.DataFrame:
    """Return the difference of each prediction and yardstick from the chosen prediction.

    Returns
    -------
    DataFrame with `score`, `split`, `prediction`, `mean`, `low`, `high`, `verdict` (`yardstick` for those) and `order`, by cv, yardsticks
    last.
    """
    rows = page.pairs[(page.pairs["b"] == page.content.chosen) & page.pairs["eras"].gt(0)]
    table = rows.rename(columns={"a": PREDICTION})[["score", SPLIT, PREDICTION, "mean", "low", "high", "verdict"]]
    best, own = _feature(page.content), page.content.value(CV, page.content.chosen, CORR, "mean")
    if best is not None and own is not None:
        extra = {"score": CORR, SPLIT: CV, PREDICTION: FEATURE, "mean": best - own, "low": np.nan, "high": np.nan, "verdict": ""}
        table = pd.concat([table, pd.DataFrame([extra])], ignore_index=True)
    grey = table[PREDICTION].isin(YARDSTICKS)
    table = table.assign(verdict=table["verdict"].mask(grey, "yardstick"), order=-table["mean"] + 1e6 * (table[SPLIT] != CV) + 1e3 * grey)
    return table.assign(order=table.groupby(["score", PREDICTION])["order"].transform("min"))


def _forest(page: Page) -> str:
    table = against(page)
    if table.empty:
        return '<p class="missing">There is one prediction alone.</p>'
    chosen = page.content.chosen
    titles = {}
    for score, name in page.content.score_names.items():
        own = table[(table["score"] == score) & (table[SPLIT] == CV) & ~table[PREDICTION].isin(YARDSTICKS)]
        told = [f"{count} {verdict}" for verdict in ("better", "worse") if (count := (own["verdict"] == verdict).sum())]
        titles[score] = f"{name} against {chosen}, out of fold: {' and '.join(told) or 'no prediction better or worse'} beyond luck"
    return page.figure(
        Figure(
            "forest",
            titles[CORR],
            f"Dots of the difference of each prediction's mean score from {chosen}, with 95 % intervals, for cv and validation.",
            drawing.same(views.forest(table, page.defaults)),
            f"Difference from {chosen} with its 95 % interval: cv above, validation paler below. Grey: yardsticks.",
            ("score",),
            titles,
        )
    )


def _feature(found: Content) -> float | None:
    """Return the highest mean CORR of a single feature, its sign as it turned out, over the train eras."""
    table = found.tables.get("explored/features")
    best = float("nan") if table is None else table["corr_mean"].abs().max()
    return None if math.isnan(best) else best


def _cards(found: Content) -> list[str]:
    """Return cards: CORR, the contribution and the payout, and the drawdown, for both splits; a panel of one's own has what it can give."""
    cards = []
    market = " on a toy market" if found.toy else ""
    for label, scores in (
        (f"mean {found.corr}, 95 % interval", (CORR,)),
        ("contribution, mean", ("mmc", "bmc")),
        (f"payout an era{market}, before clip", (PAYOUT,)),
    ):
        lines, known = [], scores == (CORR,) or found.own_score is None
        for split in SPLITS:
            names = [found.column(split, score) for score in scores]
            name = next((one for one in names if found.value(split, found.chosen, one, "mean") is not None), names[0])
            value, low, high = (found.value(split, found.chosen, name, key) for key in ("mean", "low", "high"))
            known |= value is not None
            which = {"mmc": "MMC", "bmc": "BMC", "payout_bmc": "stand-in"}.get(name, "")
            form = ".1%" if scores == (PAYOUT,) else ".4f"
            below = findings.effective(found, split, found.chosen) if scores == (CORR,) else which
            lines.append((split, number(value, form).text, bounds(low, high, form).text, below))
        cards += [markup.card(label, lines)] if known else []
    lines = []
    for split in SPLITS:
        own = comparison.series(found.scores[split], found.chosen)
        fall = _drawdown(own, found.days)
        share = found.value(split, found.chosen, CORR, "sharpe")
        lines.append(
            (split, number(fall.value, ".3f").text, bounds(fall.low, fall.high, ".3f").text, f"Sharpe {number(share, '.2f').text}")
        )
    cards.append(markup.card(f"deepest drawdown of {found.corr}", lines))
    return cards


def _drawdown(series: pd.Series, days: int) -> significance.Estimate:
    """Return the deepest drawdown with its interval."""
    if not len(series):
        return significance.Estimate(np.nan, np.nan, np.nan)
    overlap = spanned_eras(series.index.to_numpy(), spanned_weeks(days))
    values = series.to_numpy(np.float64)
    return significance.paired_difference(values, np.zeros(len(values)), overlap=overlap).drawdown


def leaderboard(page: Page) -> str:
    """Write tables of the scores of all predictions beside each other, and how far they agree."""
    found = page.content
    parts = []
    for split, meaning in ((CV, "out of fold on the train eras: choose here"), (VALIDATION, "the final check: for no choice")):
        shown = [name for name in found.predictions if found.metrics[split].get(name)]
        if shown:
            parts.append(_board(page, split, meaning, shown))
    parts += [_seeds(found), _parts(found)]
    explained = COLUMNS.format(corr=found.corr, explained=evaluation.EXPLAINED[found.own_score or "numerai"])
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    meaning = f"<p>{escape(explained)}</p><ul class='notes'>{notes}</ul>"
    parts.append(f"<details><summary>The scores, their target and regime, and the columns</summary>{meaning}</details>")
    if len(found.similarity):
        parts.append(page.figure(_similarity(found), width=views.side(len(found.similarity))))
    return "".join(parts)


def _board(page: Page, split: str, meaning: str, shown: list[str]) -> str:
    found = page.content
    columns = {
        "Sharpe": (("corr", "sharpe"), ".2f"),
        "drawdown": (("corr", "max_drawdown"), ".3f"),
        "CORR20": (("early", "mean"), ".4f"),
        "FNC": (("fnc", "mean"), ".4f"),
        "FNCv3": (("fncv3", "mean"), ".4f"),
        "MMC": (("mmc", "mean"), ".4f"),
        "BMC": (("bmc", "mean"), ".4f"),
        "payout": (("payout", "mean"), ".1%"),
        "stand-in": (("payout_bmc", "mean"), ".1%"),
        "exposure": (("exposure", "max"), ".2f"),
        "ceiling": (("ceiling_share",), ".0%"),
    }
    kept = {name: column for name, column in columns.items() if any(found.value(split, one, *column[0]) is not None for one in shown)}
    rows = []
    means = {name: found.value(split, name, CORR, "mean") for name in shown}
    for name in sorted(shown, key=lambda name: -math.inf if (mean := means[name]) is None else mean, reverse=True):
        doubt = " (not known to be out of fold)" if split == CV and name in found.doubtful else ""
        rows.append(
            [
                Cell(name, markup=f'<span class="swatch" style="background:var(--p-{escape(name)})"></span>&nbsp;{escape(name)}{doubt}'),
                number(means[name]),
                bounds(found.value(split, name, CORR, "low"), found.value(split, name, CORR, "high")),
                *(number(found.value(split, name, *path), form) for path, form in kept.values()),
                number(found.value(split, name, "eras"), ".0f"),
            ]
        )
    heads = ["prediction", found.corr, "95 % interval", *kept, "eras"]
    rows += [_grey(row, heads) for row in _measured(page, split)]
    return markup.table(f"{split}: {meaning}", heads, rows)


def _parts(found: Content) -> str:
    """Write the table of the halves of the validation eras, and of the eras with a meta model; nothing without them."""
    told = overview.halves(found.metrics[VALIDATION])
    table = _table(found, overview.parts(found.metrics[VALIDATION], "parts of the validation eras"))
    return f"<p>{escape(evaluation.named(told, found.own_score))}</p>{table}" if told else ""


def _seeds(found: Content) -> str:
    """Write tables of the standard deviation between seeds; nothing without a model that has several."""
    sheets = [
        overview.seeds(found.metrics[split], f"{split}: standard deviation of a mean score between a model's seeds") for split in SPLITS
    ]
    return "".join(_table(found, sheet) for sheet in sheets if sheet.rows)


def _table(found: Content, sheet: Sheet) -> str:
    """Write a table as commands print it."""
    rows = [
        [
            Cell(column.text(value), None if value is None or isinstance(value, str) else value)
            for value, column in zip(row, sheet.columns, strict=True)
        ]
        for row in sheet.rows
    ]
    return markup.table(sheet.title, [evaluation.named(column.heading, found.own_score) for column in sheet.columns], rows)


def _measured(page: Page, split: str) -> list[dict[str, Cell]]:
    """Return the rows of the yardsticks, and of the known range of real data."""
    found, rows = page.content, []
    for name, table in found.yardsticks[found.yardsticks[SPLIT] == split].groupby(PREDICTION, sort=False):
        series = table.set_index(ERA)[CORR].sort_index()
        mean = significance.mean(series.to_numpy(), overlap=spanned_eras(series.index.to_numpy(), spanned_weeks(found.days)))
        spread = series.std(ddof=0)
        rows.append(
            {
                "prediction": Cell(str(name)),
                found.corr: number(mean.mean),
                "95 % interval": bounds(mean.low, mean.high),
                "Sharpe": number(mean.mean / spread if spread > 0 else None, ".2f"),
                "drawdown": number(float(significance.max_drawdown(series.to_numpy())), ".3f"),
                "eras": number(len(series), ".0f"),
            }
        )
    if split == CV and (best := _feature(found)) is not None:
        rows.append({"prediction": Cell(f"{FEATURE}, in hindsight"), found.corr: number(best)})
    if not page.defaults.real:
        return rows
    low, high = views.REAL
    real = {"CORR": Cell(f"{low:g} … {high:g}", low), "Sharpe": Cell("0.8 … 1.4", 0.8), "drawdown": Cell("0.03 … 0.24", 0.03)}
    return [*rows, {"prediction": Cell("real data, known range"), **real}]


def _grey(row: dict[str, Cell], heads: list[str]) -> list[Cell]:
    return [
        Cell(cell.text, cell.order, f'<span class="muted">{escape(cell.text)}</span>')
        for cell in (row.get(head, Cell(markup.DASH)) for head in heads)
    ]


def _similarity(found: Content) -> Figure:
    names = list(found.similarity.index)
    long = found.similarity.rename_axis("one").reset_index().melt("one", var_name="other", value_name="correlation")
    pairs = long[long["one"].map(names.index) < long["other"].map(names.index)].dropna().sort_values("correlation")
    told = [f"{row.one} and {row.other} {row.correlation:.2f}" for row in pairs.head(3).itertuples()]
    title = "No two predictions can be compared" if pairs.empty else f"{pairs['one'].iloc[0]} and {pairs['other'].iloc[0]} agree least"
    return Figure(
        "similarity",
        title + (f": {pairs['correlation'].iloc[0]:.2f}" if len(pairs) else ""),
        "Square of the correlations of every two predictions' ranks: " + "; ".join(told),
        drawing.same(views.heat(long, "one", "other", names)),
        f"Mean over {found.similar_eras} cv eras, of the correlation of ranks. Predictions that agree add little to a blend.",
    )
