"""The page: one file of HTML that stands alone, from the content of a run."""

from importlib import resources
from typing import Any

import pandas as pd

from erawise.base.schema import ERA, PREDICTION, SPLIT, VALIDATION
from erawise.charts import style
from erawise.report import answer, content, drawing, drivers, era_views, market_views, markup, palette, provenance, views
from erawise.report.content import CORR, Content
from erawise.report.frame import Page
from erawise.report.markup import escape
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'; img-src data:"
"""The browser itself keeps the page off the network. Vega compiles its expressions, hence `unsafe-eval`."""

SECTIONS = {
    "answer": "The answer",
    "leaderboard": "All predictions",
    "eras": "Era by era",
    "pair": "A against B",
    "drivers": "What drives it",
    "data": "The data",
    "run": "Folds and run",
}


def written(found: Content, progress: Progress = SILENT) -> str:
    """The page.

    Parameters
    ----------
    found : what the run has found; what it lacks is named on the page with the way to get it.
    progress : told of the sections that are written.

    Returns
    -------
    HTML, one file: styles, charts as SVG, and the scripts that make them answer. It asks for nothing from anywhere.

    Raises
    ------
    InputError
        If no prediction has a score in any era, or the chosen one wasn't scored.
    """
    scores = content.era_scores(found)
    if not len(scores) or not found.predictions:
        raise InputError("no prediction has a score in any era; run `dvc repro evaluate` on data whose targets are known")
    if found.chosen not in found.predictions:
        raise InputError(
            f"{found.chosen}: submit.models or upload.prediction names it, and it has no scores; there are those of "
            f"{', '.join(found.predictions)}; run `dvc repro evaluate`"
        )
    page = Page(found, content.pairs(found), _defaults(found, scores), {views.ERAS: scores})
    writers = {
        "answer": answer.answer,
        "leaderboard": answer.leaderboard,
        "eras": era_views.eras,
        "pair": era_views.pair,
        "drivers": drivers.drivers,
        "data": market_views.data,
        "run": provenance.run,
    }
    bodies = {}
    with progress.counting(len(writers), "sections") as count:
        for name, write in writers.items():
            bodies[name] = write(page)
            count.done()
    sections = "".join(
        f'<section id="{name}" aria-labelledby="{name}-head"><h2 id="{name}-head">{escape(title)}</h2>{bodies[name]}</section>'
        for name, title in SECTIONS.items()
    )
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title in SECTIONS.items())
    title = f"erawise: {found.chosen} on {found.target}"
    shades = {name: style.colours(found.models)[name] for name in page.defaults.names}
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<style>{palette.style(shades)}{_asset('page.css')}</style></head><body>"
        f'<header class="top"><h1>{escape(found.chosen)} on {escape(found.target)}</h1><p class="muted">{escape(_made(found))}</p>'
        f'<nav aria-label="sections"><ul>{links}</ul></nav></header>'
        f"{_toolbar(page)}<main>{sections}</main>"
        "<footer>Written by <code>erawise report</code>. The page is one file and asks for nothing from the network.</footer>"
        f'<script type="application/json" id="page-data">{markup.script_json(_for_script(page))}</script>'
        f'<script type="module">{_script(drawing.library())}</script><script type="module">{_script(_asset("page.js"))}</script>'
        "</body></html>\n"
    )


def _defaults(found: Content, scores: pd.DataFrame) -> views.Defaults:
    names = found.predictions
    validation = scores.loc[scores[SPLIT] == VALIDATION, ERA]
    others = [name for name in reversed(names) if name != found.chosen]
    had = set(drivers.measures(found)["measure"])
    own = found.models[0] if found.chosen not in found.models else found.chosen
    return views.Defaults(
        names=names,
        chosen=found.chosen,
        first=int(scores[ERA].min()),
        last=int(scores[ERA].max()),
        boundary=(int(validation.min()), int(validation.max())) if len(validation) else None,
        a=found.chosen,
        b=others[0] if others else found.chosen,
        model=own,
        dashed=frozenset(found.models[len(style.MODEL_COLOURS) :]),
        measure=next((measure for measure in drivers.MEASURES if measure in had), ""),
    )


def _made(found: Content) -> str:
    if found.run.commit is None:
        return f"No Git commit is known; page written {found.run.made}."
    commit = f"commit {found.run.commit[:10]}"
    if found.run.commit.endswith("+"):
        commit += " with changes"
    return f"Run of {commit}, page written {found.run.made}."


def _toolbar(page: Page) -> str:
    d = page.defaults
    boxes = "".join(
        f'<label><input type="checkbox" autocomplete="off" name="shown" value="{escape(name)}" checked>'
        f'<span class="swatch" style="background:var(--p-{escape(name)})"></span>{escape(name)}</label>'
        for name in d.names
    )
    limits = f'min="{d.first}" max="{d.last}"'
    return (
        '<div class="toolbar" role="region" aria-label="what the charts show" data-needs-script hidden><div>'
        f"<fieldset><legend>predictions</legend>{boxes}</fieldset>"
        f'<fieldset><legend>eras</legend><label>from <input id="first" type="number" autocomplete="off" {limits} value="{d.first}"></label>'
        f'<label>to <input id="last" type="number" autocomplete="off" {limits} value="{d.last}"></label>'
        '<output id="range" class="muted"></output></fieldset>'
        '<button type="button" id="reset">reset</button><button type="button" id="theme">dark</button></div></div>'
    )


def _for_script(page: Page) -> dict[str, Any]:
    d = page.defaults
    known = page.datasets[views.ERAS]
    scores = {
        name: {
            str(split): {"era": part[ERA].tolist(), "corr": part[CORR].round(6).tolist()}
            for split, part in known[known[PREDICTION] == name].groupby(SPLIT, sort=False)
        }
        for name in d.names
    }
    table = drivers.measures(page.content)
    measures = {str(model): list(dict.fromkeys(own["measure"])) for model, own in table.groupby("model", sort=False)}
    return {
        "table": views.ERAS,
        "scores": scores,
        "state": d.state(),
        "measures": measures,
        "pairs": era_views.pair_texts(page.pairs),
        "titles": page.titles,
        "figures": page.live,
    }


def _script(text: str) -> str:
    return text.replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return resources.files("erawise.report").joinpath(name).read_text(encoding="utf-8")
