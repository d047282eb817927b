"""Page about files of predictions: tables, notes, and the score over time; one file of HTML without scripts."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from erawise.base.schema import ERA, PREDICTION
from erawise.charts import style
from erawise.report import drawing, markup, palette
from erawise.report.drawing import Figure
from erawise.report.markup import escape
from erawise.running.terminal import Sheet

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The browser itself keeps the page off the network, and runs no script."""

HEIGHT = 300
SOLID, DASHED = [1, 0], [5, 2]


def written(title: str, sheets: Sequence[Sheet], notes: Sequence[str], scores: pd.DataFrame, corr: str) -> str:
    """Return the page.

    Parameters
    ----------
    title : of the page.
    sheets : the tables in their order.
    notes : sentences below the tables.
    scores : `era`, `prediction` and `corr`, a row for each era and prediction.
    corr : the name of CORR, or of the correlation that stands for it.
    """
    names = [str(name) for name in scores[PREDICTION].unique()]
    shades = {str(k): style.MODEL_COLOURS[k % len(style.MODEL_COLOURS)] for k in range(len(names))}
    told = "".join(f"<li>{escape(note)}</li>" for note in notes if note)
    main = (
        f"<h1>{escape(title)}</h1>{''.join(_table(sheet) for sheet in sheets[:1])}{_picture(scores, names, corr)}"
        f"{''.join(_table(sheet) for sheet in sheets[1:])}<h2>Notes</h2><ul>{told}</ul>"
    )
    return markup.document(title, POLICY, palette.style(shades), main, "erawise score")


def _picture(scores: pd.DataFrame, names: Sequence[str], corr: str) -> str:
    """Draw the running sum of the score of every prediction."""
    known = scores.dropna(subset=["corr"]).sort_values(ERA, kind="stable")
    if known.empty:
        return ""
    table = known.assign(total=known.groupby(PREDICTION)["corr"].cumsum())[[PREDICTION, ERA, "total"]].astype({PREDICTION: str})
    last = table.groupby(PREDICTION)["total"].last()
    rounds = [SOLID if k < len(style.MODEL_COLOURS) else DASHED for k in range(len(names))]
    with drawing.validating():
        colour = alt.Color("prediction:N").scale(domain=list(names), range=[f"var(--p-{k})" for k in range(len(names))]).title(None)
        dash = alt.StrokeDash("prediction:N").scale(domain=list(names), range=rounds).title(None)
        x = alt.X("era:Q").title("era").scale(zero=False, nice=False)
        lines = (
            alt.Chart(alt.Data(values=drawing.rows_of(table))).mark_line().encode(x, alt.Y("total:Q").title("running sum"), colour, dash)
        )
        chart = lines.properties(width=drawing.WIDTH, height=HEIGHT)
    title = f"{corr} over time: {last.idxmax()} ends highest"
    figure = Figure("corr", title, f"Lines of the running sum of {corr} of every prediction over eras.", drawing.same(chart))
    return markup.figure(title, figure.alt, drawing.svg(figure, drawing.specified(chart), {}))


def _table(sheet: Sheet) -> str:
    """Write a table under its title."""
    kinds = [' class="figure"' if column.form or "interval" in column.heading else "" for column in sheet.columns]
    head = "".join(f'<th scope="col"{kind}>{escape(column.heading)}</th>' for column, kind in zip(sheet.columns, kinds, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(column.text(value))}</td>" for column, kind, value in zip(sheet.columns, kinds, row, strict=True))
        + "</tr>"
        for row in sheet.rows
    )
    label = escape(sheet.title)
    return (
        f'<h2>{label}</h2><div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
