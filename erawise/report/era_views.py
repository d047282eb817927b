"""Periods: running sums, quarters of a year, drawdowns and single eras, and any two predictions against each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import CV, ERA, VALIDATION
from erawise.evaluation.significance import OPEN
from erawise.report import content, drawing, frame, markup, views
from erawise.report.content import CORR, SCORES, SPLITS, YARDSTICKS, Content
from erawise.report.drawing import Figure
from erawise.report.frame import Page
from erawise.report.markup import Cell, escape, number

FALLS = 5
"""Drawdowns to list."""

FLAT = 1e-3
"""Spread of the eras' mean targets below which the mean of a prediction has nothing to follow."""


def eras(page: Page) -> str:
    """Write the scores over time in every way, drawdowns, and how well the predictions are calibrated."""
    d, names = page.defaults, page.content.score_names
    anew = ", and anew from the first validation era" if VALIDATION in d.spans else ""
    drag = "Draw a range of eras up on a chart to zoom all of them; a double click takes it back."
    over_time = [
        _scored(
            "cumulative",
            {score: _ends_highest(page, score) for score in SCORES},
            "Lines of the running sum of every prediction over eras, for cross-validation and anew for validation.",
            lambda live: views.cumulative(d, live),
            f"Running sum from the first era shown{anew}. Grey: yardsticks. {drag}",
        ),
        _scored(
            "rolling",
            {score: f"{name}, mean of the last {views.WINDOW} eras: {_weakest(page, score)}" for score, name in names.items()},
            f"Lines of the mean of the last {views.WINDOW} eras of every prediction.",
            lambda live: views.rolling(d, live, views.WINDOW, "datum.mean"),
            "If all lines fall together, the market turned; if one falls on its own, the model is at fault.",
        ),
        _scored(
            "sharpe",
            {score: f"Sharpe of {name} over a year of eras" for score, name in names.items()},
            f"Lines of the mean over the standard deviation of the last {views.YEAR} eras of every prediction.",
            lambda live: views.rolling(d, live, views.YEAR, "datum.mean / datum.spread"),
            f"Mean over standard deviation of the last {views.YEAR} eras.",
        ),
    ]
    heat = _scored(
        "quarters",
        {score: f"Mean {name} of each {views.WINDOW} eras: columns of weak colour are weak for all" for score, name in names.items()},
        f"Rows of cells, a cell for {views.WINDOW} eras, in a colour for the sign of the mean and a strength for its size.",
        drawing.same(views.quarters(d)),
        f"A cell is {views.WINDOW} eras, a quarter of a year.",
    )
    single = [
        _focused(
            page,
            "by-era",
            lambda score, own: f"above 0 in {(own > 0).mean():.0%} of eras",
            "Bars of the score of one prediction in each era.",
            lambda live: views.by_era(d, live),
        ),
        _focused(
            page,
            "drawdown",
            lambda score, own: f"deepest fall {float((own.cumsum().cummax() - own.cumsum()).max()):.3f}",
            "Area of how far the running sum of one prediction lies below its highest value so far.",
            lambda live: views.drawdown(d, live),
        ),
    ]
    parts = [page.figure(one, zoom=True) for one in over_time]
    parts += [page.figure(heat), frame.by_score({score: _quarter_table(page, score) for score in _had(page)})]
    parts += [page.figure(one, zoom=True) for one in single]
    return "".join([*parts, frame.by_score({score: _falls(page, score) for score in _had(page)}), _calibration(page)])


def pair(page: Page) -> str:
    """Write the prediction in focus against another one, by era and in sentences with their intervals."""
    d, names = page.defaults, page.content.score_names
    if len(d.own) < 2:
        return '<p class="missing">There is one prediction alone.</p>'
    texts = pair_texts(page)
    lines = "".join(f'<p data-pair="{split}">{escape(texts.get(f"{CORR}/{split}/{d.chosen}/{d.against}", ""))}</p>' for split in SPLITS)
    figure = _scored(
        "difference",
        {score: f"{name} of the prediction less the other one's, era by era" for score, name in names.items()},
        "Bars of the difference of two predictions' scores in each era, with the mean of each split.",
        lambda live: views.difference(d, live),
        "In the colour of the higher one: above 0 the prediction that is picked is better. Dashed: the mean of each split.",
    )
    return frame.controls(frame.select("against", "against", d.own, d.against)) + lines + page.figure(figure, zoom=True)


def pair_texts(page: Page) -> dict[str, str]:
    """Return the sentence on each score, split and two predictions, by `score/split/a/b`."""
    own = page.pairs[~page.pairs["a"].isin(YARDSTICKS) & ~page.pairs["b"].isin(YARDSTICKS)]
    names = page.content.score_names
    return {f"{row.score}/{row.split}/{row.a}/{row.b}": _pair_text(row, names[row.score]) for row in own.itertuples()}


def _had(page: Page) -> list[str]:
    """Return the scores that the run has."""
    return [score for score in SCORES if score in page.datasets[views.ERAS]]


def _scored(name: str, titles: dict[str, str], alt: str, draw: Callable[[bool], Any], note: str) -> Figure:
    """Return a figure of the score that is switched on, with a title for each."""
    return Figure(name, titles[CORR], alt, draw, note, ("score",), titles)


def _focused(page: Page, name: str, told: Callable[[str, pd.Series], str], alt: str, draw: Callable[[bool], Any]) -> Figure:
    """Return a figure of the prediction in focus, with a title for each score and prediction."""
    titles = {}
    for score in _had(page):
        for one in page.defaults.own:
            parts = [f"{told(score, own)} in {split}" for split in SPLITS if len(own := _series(page, score, split, one))]
            titles[f"{score}/{one}"] = f"{one}, {page.content.score_names[score]}: {'; '.join(parts) or 'no era has a score'}"
    return Figure(name, titles[f"{CORR}/{page.defaults.chosen}"], alt, draw, "", ("score", "focus"), titles)


def _series(page: Page, score: str, split: str, name: str) -> pd.Series:
    """Return a score of a prediction by era, of the eras that have one, in the order of time."""
    rows = page.scored.get((split, name), {})
    return rows[score].dropna() if score in rows else pd.Series(dtype=float)


def _ends_highest(page: Page, score: str) -> str:
    for split, words in ((CV, "cross-validation"), (VALIDATION, "validation")):
        ends = {name: own.sum() for name in page.defaults.own if len(own := _series(page, score, split, name))}
        if ends:
            return f"{max(ends, key=lambda name: ends[name])} ends highest over {words}, {page.content.score_names[score]}"
    return f"No prediction has a {page.content.score_names[score]}"


def _weakest(page: Page, score: str) -> str:
    chosen = page.content.chosen
    means = _series(page, score, CV, chosen).rolling(views.WINDOW).mean().dropna()
    return "too few eras" if means.empty else f"{chosen} was lowest in the weeks to era {means.idxmin()}, at {means.min():.3f}"


def _quarter_table(page: Page, score: str) -> str:
    """Write the means of the four quarters of the eras of each split."""
    spans, rows = [], []
    for split in page.defaults.spans:
        eras = np.unique(page.datasets[views.ERAS].query("split == @split")[ERA])
        spans += [(split, part) for part in np.array_split(eras, 4) if len(part)]
    for name in page.defaults.names:
        own = {split: _series(page, score, split, name) for split in page.defaults.spans}
        if any(map(len, own.values())):
            means = [own[split][own[split].index.isin(part)].mean() for split, part in spans]
            rows.append([Cell(name), *map(number, means)])
    heads = ["prediction", *(f"{split} {part[0]}–{part[-1]}" for split, part in spans)]
    return markup.table(f"Mean {page.content.score_names[score]} by quarter of the eras", heads, rows)


def _falls(page: Page, score: str) -> str:
    """Write the deepest drawdowns of the chosen prediction, each with its begin, bottom and recovery."""
    chosen, rows = page.content.chosen, []
    for split in SPLITS:
        for row in content.drawdowns(_series(page, score, split, chosen), FALLS).itertuples():
            back = Cell("not yet", np.inf) if np.isnan(row.recovery) else number(row.recovery, ".0f")
            spots = [number(row.begin, ".0f"), number(row.bottom, ".0f"), back]
            rows.append([Cell(split), number(row.depth, ".3f"), *spots, number(row.eras, ".0f")])
    heads = ["split", "depth", "begin (era)", "bottom", "recovery", "eras"]
    return markup.table(f"Deepest drawdowns of {chosen}, {page.content.score_names[score]}", heads, rows) if rows else ""


def _calibration(page: Page) -> str:
    """Draw the mean target by tenth of the predictions, and each era's level if the eras' mean targets differ."""
    found, d = page.content, page.defaults
    figures = []
    for split in SPLITS:
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
        if page.has(f"era_means_{split}") and np.ptp(found.tables[f"era_means_{split}"]["mean_target"]) > FLAT:
            titles = _gaps(found, split)
            figures.append(
                Figure(
                    f"levels-{split}",
                    titles[d.model],
                    f"Dots of each era's mean prediction against its mean target, {split}, with the diagonal.",
                    drawing.same(views.levels(found.tables[f"era_means_{split}"], d)),
                    "A dot an era, of the raw model; on the dashed diagonal the level is right. A classifier lies off it.",
                    ("model",),
                    titles,
                )
            )
    return page.beside(figures)


def _gaps(found: Content, split: str) -> dict[str, str]:
    gaps = found.tables[f"era_means_{split}"].groupby("model", sort=False)["mean_gap"].first()
    told = {name: f"off by {gaps[name]:+z.4f} on average" if name in gaps else "no era has a target" for name in found.models}
    return {name: f"Residuals of {name}, {split}: {text}" for name, text in told.items()}


def _pair_text(row: Any, score: str) -> str:
    if not row.eras:
        return f"{row.split}: no era has a {score} of both."
    bounds = "no interval can be given" if row.low != row.low else f"95 % interval {row.low:+.4f} to {row.high:+.4f}"
    found = row.verdict if row.verdict == OPEN else f"{row.a} is {row.verdict}"
    return (
        f"{row.split}: {row.a} has a higher {score} than {row.b} in {row.wins} of {row.eras} eras; "
        f"mean difference {row.mean:+.4f}, {bounds}: {found}."
    )
