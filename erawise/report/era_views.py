"""Era by era, and any two predictions against each other."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from erawise.base.schema import CV, VALIDATION
from erawise.evaluation.significance import OPEN
from erawise.history import comparison
from erawise.report import content, drawing, frame, markup, views
from erawise.report.content import CORR, SPLITS, Content
from erawise.report.drawing import Figure
from erawise.report.frame import Page
from erawise.report.markup import Cell, bounds, escape, number

EXTREMES = 5
"""Worst and best eras to name."""


def eras(page: Page) -> str:
    """CORR over time in every way, the worst and the best eras, residuals, and predictions by target."""
    found, d = page.content, page.defaults
    anew = ", and anew from the first validation era" if d.boundary else ""
    parts = [
        page.figure(
            Figure(
                "cumulative",
                _ends_highest(found),
                "Lines of the running sum of CORR of every prediction over eras, for cross-validation and anew for validation.",
                lambda live: views.cumulative(d, live),
                f"Running sum of CORR from the first era shown{anew}. Draw a range of eras up on a chart to zoom all of them; a double "
                "click takes it back.",
            ),
            zoom=True,
        ),
        page.figure(
            Figure(
                "rolling",
                f"Mean CORR of the last {views.WINDOW} eras: {_weakest(found)}",
                f"Lines of the mean CORR of the last {views.WINDOW} eras of every prediction.",
                lambda live: views.rolling(d, live),
                "Where all lines fall together, the market turned; where one falls alone, the model is at fault.",
            ),
            zoom=True,
        ),
        frame.controls(frame.select("focus", "prediction in the two charts below", d.names, d.chosen)),
        page.figure(
            _of_each(
                "by-era",
                {name: f"{name} is above 0 in {_positive(found, name)}" for name in d.names},
                d.chosen,
                "Bars of the CORR of one prediction in each era.",
                lambda live: views.by_era(d, live),
                "CORR of each era.",
            ),
            zoom=True,
        ),
        page.figure(
            _of_each(
                "drawdown",
                {name: f"The deepest drawdown of {name}: {_deepest(found, name)}" for name in d.names},
                d.chosen,
                "Area of how far the running sum of CORR of one prediction lies below its highest value so far.",
                lambda live: views.drawdown(d, live),
                "Distance of the running sum of CORR from its highest value so far, in each split.",
            ),
            zoom=True,
        ),
        _extreme_table(found),
        _levels(page),
        _spreads(page),
    ]
    return "".join(parts)


def pair(page: Page) -> str:
    """Any two predictions against each other: by era, as dots, and in sentences with their intervals."""
    d = page.defaults
    if len(d.names) < 2:
        return '<p class="missing">There is one prediction alone.</p>'
    selects = frame.controls(frame.select("a", "A", d.names, d.a), frame.select("b", "B", d.names, d.b))
    texts = pair_texts(page.pairs)
    lines = "".join(f'<p data-pair="{split}">{escape(texts.get(f"{split}/{d.a}/{d.b}", ""))}</p>' for split in SPLITS)
    figures = page.figure(
        Figure(
            "difference",
            "CORR of A less that of B in each era",
            "Bars of the difference of two predictions' CORR in each era, with the mean of each split.",
            lambda live: views.difference(d, live),
            "In the colour of the higher one: above 0 A is better. Dashed: the mean of each split.",
        ),
        zoom=True,
    ) + page.figure(
        Figure(
            "against",
            "CORR of A against that of B, an era a dot",
            "Dots of the CORR of one prediction against that of another in each era, with the diagonal.",
            drawing.same(views.against(d)),
            "In the colour of the higher one: above the diagonal A is better. Where all dots lie near it, the two are nearly one.",
        ),
        width=frame.HALF,
    )
    return f"{selects}{lines}{figures}{_pair_table(page)}"


def pair_texts(pairs: pd.DataFrame) -> dict[str, str]:
    """The sentence on each split and two predictions, by `split/a/b`; `pairs` are those of `content.pairs`."""
    return {f"{row.split}/{row.a}/{row.b}": _pair_text(row) for row in pairs.itertuples()}


def _of_each(name: str, titles: dict[str, str], chosen: str, alt: str, draw: Callable[[bool], Any], note: str) -> Figure:
    """A figure of the prediction in focus, with a title for each."""
    return Figure(name, titles[chosen], alt, draw, note, ("focus",), titles)


def _ends_highest(found: Content) -> str:
    for split, words in ((CV, "cross-validation"), (VALIDATION, "validation")):
        sums = {name: comparison.series(found.scores[split], name) for name in found.predictions}
        ends = {name: series.sum() for name, series in sums.items() if len(series)}
        if ends:
            return f"{max(ends, key=lambda name: ends[name])} ends highest over {words}"
    return "No prediction has a score"


def _weakest(found: Content) -> str:
    own = comparison.series(found.scores[CV], found.chosen)
    means = own.rolling(views.WINDOW).mean().dropna()
    return "too few eras" if means.empty else f"{found.chosen} was lowest in the weeks to era {means.idxmin()}, at {means.min():.3f}"


def _positive(found: Content, name: str) -> str:
    shares = [(split, found.value(split, name, CORR, "positive_share")) for split in SPLITS]
    return " and ".join(f"{share:.0%} of the {split} eras" for split, share in shares if share is not None) or "no era that has a score"


def _deepest(found: Content, name: str) -> str:
    falls = [(split, found.value(split, name, CORR, "max_drawdown")) for split in SPLITS]
    return ", ".join(f"{fall:.3f} in {split}" for split, fall in falls if fall is not None) or "no era has a score"


def _extreme_table(found: Content) -> str:
    rows = [
        [row.end, row.split, Cell(str(row.era), row.era), number(row.corr), number(row.others)]
        for row in content.extremes(found, EXTREMES).itertuples()
    ]
    return markup.table(f"Worst and best eras of {found.chosen}", ["end", "split", "era", "CORR", "mean of the others"], rows, texts=2)


def _levels(page: Page) -> str:
    found, d = page.content, page.defaults
    titles = {split: _gaps(found, split) for split in SPLITS if page.has(f"era_means_{split}")}
    figures = [
        Figure(
            f"levels-{split}",
            titles[split][d.model],
            f"Dots of each era's mean prediction against its mean target, {split}, with the diagonal.",
            drawing.same(views.levels(found.tables[f"era_means_{split}"], d)),
            "A dot an era, of the raw model; on the dashed diagonal the level is right. A classifier predicts a probability and lies off.",
            ("model",),
            titles[split],
        )
        for split in SPLITS
        if page.has(f"era_means_{split}")
    ]
    if not figures:
        return ""
    return frame.controls(frame.select("model", "model", found.models, d.model)) + page.beside(figures)


def _gaps(found: Content, split: str) -> dict[str, str]:
    gaps = found.tables[f"era_means_{split}"].groupby("model", sort=False)["mean_gap"].first()
    told = {name: f"off by {gaps[name]:+z.4f} on average" if name in gaps else "no era has a target" for name in found.models}
    return {name: f"Residuals of {name}, {split}: {text}" for name, text in told.items()}


def _spreads(page: Page) -> str:
    found, d = page.content, page.defaults
    figures = []
    for split in SPLITS:
        if page.has(f"prediction_by_target_{split}"):
            table = found.tables[f"prediction_by_target_{split}"]
            ends = table.sort_values("target")["mean"]
            figures.append(
                Figure(
                    f"spread-{split}",
                    f"Predictions by target, {split}: mean {ends.iloc[0]:.3f} at the lowest, {ends.iloc[-1]:.3f} at the highest",
                    f"Box plots of the ensemble's prediction within each value of the target, {split}.",
                    drawing.same(views.spread(table, "ensemble")),
                    "The more the boxes overlap, the smaller is the signal in a single row.",
                )
            )
        if page.has(f"target_by_prediction_{split}"):
            table = found.tables[f"target_by_prediction_{split}"]
            figures.append(
                Figure(
                    f"tenths-{split}",
                    f"Mean target by tenth of the predictions, {split}",
                    f"Lines of the mean target in each tenth of the predictions of an era, {split}.",
                    drawing.same(views.tenths(table, d)),
                    "It should rise from left to right; the dashed line is the mean of all rows.",
                )
            )
    return page.beside(figures)


def _pair_text(row: Any) -> str:
    if not row.eras:
        return f"{row.split}: no era has a score of both."
    bounds = "no interval can be given" if row.low != row.low else f"95 % interval {row.low:+.4f} to {row.high:+.4f}"
    found = row.verdict if row.verdict == OPEN else f"{row.a} is {row.verdict}"
    return (
        f"{row.split}: {row.a} is higher than {row.b} in {row.wins} of {row.eras} eras; mean difference {row.mean:+.4f}, {bounds}: {found}."
    )


def _pair_table(page: Page) -> str:
    own = page.pairs[page.pairs["a"] == page.content.chosen]
    rows = [
        [row.b, row.split, number(row.mean, "+.4f"), bounds(row.low, row.high, "+.4f"), row.verdict, number(row.eras, ".0f")]
        for row in own.itertuples()
    ]
    heads = ["against", "split", "difference of mean CORR", "95 % interval", f"{page.content.chosen} is", "eras"]
    table = markup.table("Paired differences", heads, rows, texts=2)
    return f"<details><summary>{escape(page.content.chosen)} against every other</summary>{table}</details>"
