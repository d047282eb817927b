"""Folds, and how the run was made."""

import json

import pandas as pd

from erawise.report import frame, markup
from erawise.report.frame import Page
from erawise.report.markup import Cell, escape, number

GIB = 1024**3


def run(page: Page) -> str:
    """Write the folds, the time of each stage, and settings, digests and versions."""
    found = page.content
    parts = [_folds(page), _stages(page)]
    rows = {
        "parameters": [(path, json.dumps(value)) for path, value in found.run.settings.items()],
        "digests of data, by MD5": list(found.run.digests[["path", "md5"]].itertuples(index=False)),
        "versions": list(found.run.versions.items()),
    }
    for title, lines in rows.items():
        cells = [[name, Cell(text, markup=f"<code>{escape(text)}</code>")] for name, text in lines]
        table = markup.table(title, ["name", "value"], cells, texts=2)
        parts.append(f"<details><summary>{len(cells)} {escape(title)}</summary>{table}</details>")
    return "".join(parts)


def _folds(page: Page) -> str:
    if not page.has("folds"):
        return frame.missing("the folds", "dvc repro plot")
    table = page.content.tables["folds"]
    eras = table[table["fold"] > 0].groupby(["fold", "role"])["eras"].sum().unstack(fill_value=0)
    ends = {role: sorted({eras[role].min(), eras[role].max()}) for role in ("train", "purged", "test") if role in eras}
    told = "; ".join(f"{role}: {' to '.join(map(str, both))} eras" for role, both in ends.items())
    return (
        f"<p>{len(eras)} folds ({told}). Purged eras share part of their outcome with a test era: a model that trained on them would have "
        "seen it. <code>plots/pictures/folds.svg</code> draws them.</p>"
        f"<p>{escape(staleness(table))}</p>"
    )


def staleness(table: pd.DataFrame) -> str:
    """Return the sentence that says how stale the model of each validation era is, from the table of the folds."""
    of_models = table[table["fold"] <= 0]
    last = of_models[of_models["role"] == "train"].groupby("fold")["last"].max()
    tested = of_models[of_models["role"] == "test"].set_index("fold")
    if tested.empty:
        return "There is no era to predict in validation."
    least, most = ((tested[end] - last.reindex(tested.index)) for end in ("first", "last"))
    models = f"{len(last)} models, fitted one after the other," if len(last) > 1 else "one model"
    ages = f"whose last training era lies {least.min()} to {most.max()} weeks before the era that it predicts"
    return f"Validation is predicted by {models} {ages}."


def _stages(page: Page) -> str:
    table = page.content.run.stages
    if not len(table):
        return '<p class="missing">No stage has run in this checkout since its data came from the cache, so no times are on record.</p>'
    rows = [
        [
            row.stage,
            number(row.seconds, ".1f"),
            number(row.peak_bytes / GIB, ".2f"),
            number(row.rows, ",.0f"),
            row.started[:19].replace("T", " "),
        ]
        for row in table.itertuples()
    ]
    total, peak = table["seconds"].sum(), table["peak_bytes"].max() / GIB
    caption = f"Last run of each stage in this checkout: {total:.0f} s in all, at most {peak:.2f} GiB"
    return markup.table(caption, ["stage", "seconds", "peak memory (GiB)", "rows", "started (UTC)"], rows)
