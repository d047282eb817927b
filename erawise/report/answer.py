"""The answer, and all predictions beside each other."""

import math

import pandas as pd

from erawise.base.schema import CV, VALIDATION
from erawise.history import comparison
from erawise.report import drawing, findings, frame, markup, views
from erawise.report.content import CORR, SPLITS, Content
from erawise.report.drawing import Figure
from erawise.report.frame import Page
from erawise.report.markup import Cell, bounds, escape, number

NAMED = 4
"""Stages to name where the page is older than what lies in the workspace."""

COLUMNS = (
    "CORR: Numerai's correlation, mean over eras. Sharpe: that over its standard deviation. drawdown: deepest fall of the summed CORR. "
    "FNC: CORR of what is left once the linear part in all features is taken out; FNCv3: in those of the set fncv3. "
    "MMC, BMC: what the prediction adds to the meta model "
    "and to the benchmark model. payout: what the regime that its name says pays, as a share of the stake, before factor and clip; "
    "stand-in: the same with BMC in place of MMC, which more eras have. CORR20, early: CORR against the target of 20 days beside a longer "
    "one. exposure: largest absolute correlation with a "
    "feature, mean over eras. ceiling: mean CORR as a share of the best possible predictor's, which the embedded market knows."
)


def answer(page: Page) -> str:
    """What the chosen prediction is worth, what it is against the committed run, and what to do next."""
    found = page.content
    cards = "".join(_cards(found))
    advice = "".join(f"<li>{frame.commands(text)}</li>" for text in findings.advice(found, page.pairs))
    changed = "".join(f"<li><code>{escape(line)}</code></li>" for line in found.compared.changed)
    count = len(found.compared.changed)
    words = "1 setting differs" if count == 1 else f"{count} settings differ"
    settings = f"<details><summary>{words}</summary><ul>{changed}</ul></details>" if changed else ""
    anew = " It starts anew at the first validation era." if page.defaults.boundary else ""
    figure = Figure(
        "answer-curve",
        f"Running sum of CORR of {found.chosen}",
        f"Line of the running sum of CORR of {found.chosen} over eras, once for cross-validation and once for validation.",
        lambda live: views.running(page.defaults, live),
        f"The steadier it climbs, the better; each fall is a drawdown.{anew}",
    )
    return (
        f'{_stale(found)}<p class="answer">{escape(findings.answer(found))}</p><dl class="cards">{cards}</dl>'
        f"<p>{frame.commands(findings.verdict(found))}</p>{settings}<p>{escape(findings.looked(found))}</p>"
        f"{page.figure(figure)}<h3>What to do next</h3><ul class='advice'>{advice}</ul>"
    )


def _stale(found: Content) -> str:
    """Says where the files are no longer those of one run."""
    if not found.stale:
        return ""
    named = ", ".join(found.stale[:NAMED]) + (f" and {len(found.stale) - NAMED} more" if len(found.stale) > NAMED else "")
    return (
        f'<p class="stale">What this page shows is older than the settings, the code or the data: {escape(named)} would run again. '
        "<code>dvc repro</code>, then <code>erawise report</code>.</p>"
    )


def leaderboard(page: Page) -> str:
    """All predictions beside each other: tables of scores, box plots, and how far they agree."""
    found, d = page.content, page.defaults
    parts = []
    for split, meaning in ((CV, "out of fold on the train eras: choose here"), (VALIDATION, "the final check: for no choice")):
        shown = [name for name in found.predictions if found.metrics[split].get(name)]
        if shown:
            parts.append(_board(page, split, meaning, shown))
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    parts.append(f"<ul class='notes'>{notes}</ul><details><summary>What the columns mean</summary><p>{escape(COLUMNS)}</p></details>")
    parts.append(page.beside(_box(found.tables[f"corr_box_{split}"], split, d) for split in SPLITS if page.has(f"corr_box_{split}")))
    if len(found.similarity):
        parts.append(page.figure(_similarity(found), width=views.side(len(found.similarity))))
    return "".join(parts)


def _box(table: pd.DataFrame, split: str, d: views.Defaults) -> Figure:
    best = table.loc[table["median"].idxmax()]
    return Figure(
        f"box-{split}",
        f"CORR per era, {split}: {best['prediction']} has the highest median, {best['median']:.4f}, over {best['count']} eras",
        f"Box plots of the CORR of each era for every prediction, {split}.",
        drawing.same(views.boxes(table, d)),
        "Box: middle half; gap in it: median; line: 5 % to 95 %; dots: lowest and highest.",
    )


def _cards(found: Content) -> list[str]:
    cards = []
    for split, label in ((CV, "out of fold"), (VALIDATION, "validation")):
        mean, low = (found.value(split, found.chosen, CORR, key) for key in ("mean", "low"))
        tone = "" if low is None else "good" if low > 0 else "bad"
        below = "; ".join(
            text for text in (findings.interval(found, split, found.chosen), findings.effective(found, split, found.chosen)) if text
        )
        cards.append(markup.card(f"mean CORR, {label}", number(mean).text, below, tone))
    for key, label, form in (
        ("sharpe", "Sharpe (mean over std of the eras)", ".2f"),
        ("max_drawdown", "deepest drawdown of the summed CORR", ".3f"),
    ):
        cards.append(markup.card(label, number(found.value(CV, found.chosen, CORR, key), form).text, _beside(found, CORR, key, form=form)))
    if found.value(VALIDATION, found.chosen, "mmc", "mean") is not None:
        below = findings.interval(found, VALIDATION, found.chosen, "mmc")
        cards.append(markup.card("mean MMC, validation", number(found.value(VALIDATION, found.chosen, "mmc", "mean")).text, below))
    if found.value(CV, found.chosen, "ceiling_share") is not None:
        share = number(found.value(CV, found.chosen, "ceiling_share"), ".0%").text
        cards.append(markup.card("share of the market's ceiling", share, _beside(found, "ceiling_share", form=".0%")))
    looks = f"{found.looks.count}" if found.looks.count else markup.DASH
    cards.append(markup.card("looks at these validation eras", looks, "the more often, the more is luck"))
    return cards


def _beside(found: Content, *path: str, form: str) -> str:
    return f"out of fold; validation {number(found.value(VALIDATION, found.chosen, *path), form).text}"


def _board(page: Page, split: str, meaning: str, shown: list[str]) -> str:
    found = page.content
    columns = {
        "Sharpe": (("corr", "sharpe"), ".2f"),
        "drawdown": (("corr", "max_drawdown"), ".3f"),
        "CORR20, early": (("early", "mean"), ".4f"),
        "FNC": (("fnc", "mean"), ".4f"),
        "FNCv3": (("fncv3", "mean"), ".4f"),
        "MMC": (("mmc", "mean"), ".4f"),
        "BMC": (("bmc", "mean"), ".4f"),
        f"payout ({found.regime})": (("payout", "mean"), ".4f"),
        f"stand-in ({found.regime})": (("payout_bmc", "mean"), ".4f"),
        "exposure": (("exposure", "max"), ".2f"),
        "ceiling": (("ceiling_share",), ".0%"),
    }
    kept = {name: column for name, column in columns.items() if any(found.value(split, one, *column[0]) is not None for one in shown)}
    rows = []
    means = {name: found.value(split, name, CORR, "mean") for name in shown}
    for name in sorted(shown, key=lambda name: -math.inf if (mean := means[name]) is None else mean, reverse=True):
        series = comparison.series(found.scores[split], name).cumsum()
        rows.append(
            [
                Cell(name, markup=f'<span class="swatch" style="background:var(--p-{escape(name)})"></span>&nbsp;{escape(name)}'),
                Cell("", series.iloc[-1] if len(series) else None, markup.spark([series.to_list()], name)),
                number(means[name]),
                bounds(found.value(split, name, CORR, "low"), found.value(split, name, CORR, "high")),
                *(number(found.value(split, name, *path), form) for path, form in kept.values()),
                number(found.value(split, name, "eras"), ".0f"),
            ]
        )
    heads = ["prediction", "summed CORR", "CORR", "95 % interval", *kept, "eras"]
    return markup.table(f"{split}: {meaning}", heads, rows, texts=2)


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
        f"Mean over {found.similar_eras} cv eras, evenly spaced, of the correlation of ranks. What agrees adds little to a blend.",
    )
