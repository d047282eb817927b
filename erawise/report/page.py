"""Page of the report: one file of HTML that stands alone, from the content of a run."""

from typing import Any

import pandas as pd

from erawise.base.schema import ERA, PREDICTION, SPLIT
from erawise.charts import style
from erawise.report import (
    answer,
    content,
    drawing,
    drivers,
    era_views,
    frame,
    market_views,
    markup,
    money_views,
    palette,
    provenance,
    views,
)
from erawise.report.content import CORR, Content
from erawise.report.frame import Page
from erawise.report.markup import escape
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data:"
"""The browser itself keeps the page off the network. Vega compiles its expressions, hence `unsafe-eval`."""

SECTIONS = {
    "next": ("What to do next", answer.following),
    "leaderboard": ("All predictions", answer.leaderboard),
    "eras": ("Over time", era_views.eras),
    "pair": ("Against another", era_views.pair),
    "drivers": ("What drives it", drivers.drivers),
    "stake": ("If you staked", money_views.staked),
    "out": ("What goes out", money_views.outgoing),
    "data": ("The data", market_views.data),
    "run": ("Folds and run", provenance.run),
}
"""Title of each section below the first screen, and the function that writes it."""


def written(found: Content, progress: Progress = SILENT) -> str:
    """Write the page.

    Parameters
    ----------
    found : content of the run; the page names the parts that it lacks, with the command that makes them.
    progress : counts the sections.

    Returns
    -------
    HTML, one file: styles, charts as SVG, and the scripts that make them answer. It asks for nothing from anywhere.

    Raises
    ------
    InputError
        If no prediction has a score in any era, or the chosen one wasn't scored.
    """
    scores = content.era_scores(found)
    if CORR not in scores or scores.loc[scores[PREDICTION].isin(found.predictions), CORR].isna().all():
        raise InputError("no prediction has a score in any era; run `dvc repro evaluate` on data whose targets are known")
    if found.chosen not in found.predictions:
        raise InputError(
            f"{found.chosen}: submit.models or upload.prediction names it, and it has no scores; there are scores of "
            f"{', '.join(found.predictions)}; run `dvc repro evaluate`"
        )
    measures = drivers.measures(found)
    page = Page(found, content.pairs(found, scores), _defaults(found, scores, measures), {views.ERAS: scores}, measures)
    bodies = {}
    with drawing.validating(), progress.counting(1 + len(SECTIONS), "sections") as count:
        for name, (_, write) in {"answer": ("", answer.first), **SECTIONS}.items():
            bodies[name] = write(page)
            count.done()
    sections = "".join(
        f'<section id="{name}" aria-labelledby="{name}-head"><h2 id="{name}-head">{escape(title)}</h2>{bodies[name]}</section>'
        for name, (title, _) in SECTIONS.items()
    )
    title = f"erawise: {found.chosen} on {found.target}"
    shades = {name: style.colours(found.models)[name] for name in page.defaults.own}
    main = (
        f'{answer.stale(found)}<section id="answer" aria-labelledby="title"><h1 id="title">{escape(title)}</h1>'
        f'<p class="muted">{escape(_made(found))}<span id="age" data-made="{escape(found.run.made)}"></span></p>'
        f"{bodies['answer']}</section>{_toolbar(page)}{sections}"
    )
    scripts = (
        f'<script type="application/json" id="page-data">{markup.script_json(_for_script(page))}</script>'
        f'<script type="module">{_script(drawing.library())}</script><script type="module">{_script(markup.asset("page.js"))}</script>'
    )
    return markup.document(title, POLICY, palette.style(shades), main, "erawise report", scripts)


def _defaults(found: Content, scores: pd.DataFrame, measures: pd.DataFrame) -> views.Defaults:
    names = [*found.predictions, *(name for name in content.YARDSTICKS if (scores[PREDICTION] == name).any())]
    spans = {str(split): (int(eras.min()), int(eras.max()), eras.nunique()) for split, eras in scores.groupby(SPLIT, sort=False)[ERA]}
    others = [name for name in reversed(found.predictions) if name != found.chosen]
    had = set(measures["measure"])
    return views.Defaults(
        names=names,
        chosen=found.chosen,
        first=int(scores[ERA].min()),
        last=int(scores[ERA].max()),
        spans=spans,
        against=others[0] if others else found.chosen,
        model=found.models[0] if found.chosen not in found.models else found.chosen,
        dashed=frozenset(found.models[len(style.MODEL_COLOURS) :]),
        measure=next((measure for measure in drivers.MEASURES if measure in had), ""),
        real=found.own_score is None,
    )


def _made(found: Content) -> str:
    if found.run.commit is None:
        return f"No Git commit is known; page written {found.run.made}."
    commit = f"commit {found.run.commit[:10]}"
    if found.run.commit.endswith("+"):
        commit += " with changes"
    return f"Run of {commit}, page written {found.run.made}."


def _toolbar(page: Page) -> str:
    """Write the controls: sections, score and prediction in one line, and the rest in a fold."""
    d, scores = page.defaults, page.datasets[views.ERAS]
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, (title, _) in SECTIONS.items())
    switch = "".join(
        f'<label><input type="radio" autocomplete="off" name="score" value="{score}"{" checked" if k == 0 else ""}>{escape(name)}</label>'
        for k, (score, name) in enumerate(page.content.score_names.items())
        if score in scores
    )
    boxes = "".join(
        f'<label><input type="checkbox" autocomplete="off" name="shown" value="{escape(name)}" checked>'
        f'<span class="swatch" style="background:{escape(views.colour(name))}"></span>{escape(name)}</label>'
        for name in d.names
    )
    limits = f'min="{d.first}" max="{d.last}"'
    return (
        f'<div class="toolbar"><nav aria-label="sections"><ul>{links}</ul></nav>'
        '<div role="region" aria-label="what the charts show" data-needs-script hidden class="controls">'
        f'<fieldset class="switch"><legend>score</legend>{switch}</fieldset>{frame.select("focus", "prediction", d.own, d.chosen)}'
        '<details id="more"><summary>lines and eras</summary>'
        f"<fieldset><legend>lines</legend>{boxes}</fieldset>"
        f'<fieldset><legend>eras</legend><label>from <input id="first" type="number" autocomplete="off" {limits} value="{d.first}"></label>'
        f'<label>to <input id="last" type="number" autocomplete="off" {limits} value="{d.last}"></label>'
        '<output id="range" class="muted"></output></fieldset></details>'
        '<button type="button" id="reset">reset</button><button type="button" id="theme">dark</button></div></div>'
    )


def _for_script(page: Page) -> dict[str, Any]:
    d, known = page.defaults, page.datasets[views.ERAS]
    had = [score for score in content.SCORES if score in known]
    scores = {
        name: {
            str(split): {ERA: part[ERA].tolist(), **{score: part[score].round(5).tolist() for score in had if part[score].notna().any()}}
            for split, part in known[known[PREDICTION] == name].groupby(SPLIT, sort=False)
        }
        for name in d.names
    }
    measures = {str(model): list(dict.fromkeys(own["measure"])) for model, own in page.measures.groupby("model", sort=False)}
    return {
        "table": views.ERAS,
        "scores": scores,
        "models": page.content.models,
        "state": d.state(),
        "measures": measures,
        "pairs": era_views.pair_texts(page),
        "titles": page.titles,
        "figures": page.live,
    }


def _script(text: str) -> str:
    return text.replace("</script", "<\\/script")
