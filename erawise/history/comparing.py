"""The comparison of two runs, each a Git revision or a DVC experiment, as an answer, tables, a picture and files."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from erawise.base import files, tabular
from erawise.base.schema import CV, PREDICTION, VALIDATION
from erawise.base.settings import Objective as Name
from erawise.charts import figures, score_charts, style
from erawise.evaluation import doubt, evaluation, objectives, summary
from erawise.evaluation.objectives import Objective
from erawise.history import comparison, ledger, overview, recording, revisions
from erawise.history.revisions import Revision
from erawise.running import paths, terminal
from erawise.running.errors import InputError
from erawise.running.terminal import Form, Sheet

LISTED = 8
"""Settings that are printed at most; comparison.json has all."""

ENSEMBLE = "ensemble"
TITLES = {CV: "Out of fold (cv)", VALIDATION: "Validation, the final check"}


@dataclass(frozen=True)
class Shown:
    """The choice of what is printed of a comparison.

    Attributes
    ----------
    form : of the output.
    validation : whether the final check is compared too, which is a look.
    score : the name of the objective; None for `evaluate.objective` of the run after.
    unchanged : whether predictions with the same scores have a row too.
    """

    form: Form = "terminal"
    validation: bool = False
    score: Name | None = None
    unchanged: bool = False


def compare(a: str, b: str | None, out: Path, *, seed: int, anyway: bool, shown: Shown) -> None:
    """Compare two runs; nothing is checked out: DVC reads from its cache what a revision has measured.

    Parameters
    ----------
    a, b : the run before and the run after; the workspace if `b` is None.
    out : the directory for the table and the picture.
    seed : of the bootstrap behind the intervals.
    anyway : whether runs with other targets or other data are compared too.
    shown : what is printed, and how.

    Raises
    ------
    InputError
        If a run can't be read, or the two can't be compared, or not by that objective.
    """
    targets = paths.VALIDATION_TARGETS if shown.validation else None
    before, after = (revisions.read(Path(), revision, raw=paths.RAW, scores=paths.SCORES, targets=targets) for revision in (a, b))
    if not anyway and (reason := revisions.incomparable(before, after)):
        raise InputError(f"{reason}; add --anyway to compare them all the same, on the eras that both have")
    splits = (CV, VALIDATION) if shown.validation else (CV,)
    own, other = ({split: run.scores[split] for split in splits if split in run.scores} for run in (before, after))
    changed = ledger.changes(ledger.flat(before.settings), ledger.flat(after.settings))
    by = _objective(after, shown.score, [(own[split], other[split]) for split in own if split in other])
    table = comparison.with_seeds(comparison.compare(own, other, after.days, seed=seed, by=by), by, before.metrics, after.metrics)
    content = comparison.content(table, before.name, after.name, changed) | {"by": by.label}
    out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(table, out / "comparison.csv")
    files.write_json(content, out / "comparison.json")
    picture = comparison.picture(table, before.name, after.name, by=by)
    figures.write(score_charts.differences(picture, style.colours(sorted(after.settings.get("models", {})))), out / "comparison.svg")
    if shown.form == "json":
        print(json.dumps(content, ensure_ascii=False, indent=1))
    elif shown.form == "csv":
        print(table.to_csv(index=False), end="")
    else:
        parts = _parts(before, after, table, changed, shown, by)
        looks = [_looked(before, after)] if shown.validation else []
        written = f"written to {out}: comparison.csv, comparison.json, comparison.svg"
        terminal.write([*parts, *looks, written], shown.form)


def _objective(after: Revision, asked: Name | None, pairs: list[tuple[pd.DataFrame, pd.DataFrame]]) -> Objective:
    """Return the objective to compare by; a run from before there was the setting was judged by CORR."""
    section = after.settings.get("evaluate")
    own = section.get("objective") if isinstance(section, dict) else None
    if asked is None and own in objectives.NAMES:
        return objectives.of_tables(own, "evaluate.objective", pairs)
    return objectives.of_tables(asked or "corr", "--score", pairs)


def _parts(
    before: Revision, after: Revision, table: pd.DataFrame, changed: dict[str, list[Any]], shown: Shown, by: Objective
) -> list[str | Sheet]:
    """Return the answer, the settings that differ, the tables, and what to keep in mind."""
    models = [set(run.settings.get("models", {})) for run in (before, after)]
    gone, new = comparison.only_in_one({CV: before.scores[CV]}, {CV: after.scores[CV]})
    in_doubt = doubt.doubtful(after.metrics.get(CV, {}))
    scored = {name: comparison.series(after.scores[CV], name, by.column).to_numpy() for name in new}
    means = {name: math.nan if name in in_doubt or not len(values) else by.figure(values) for name, values in scored.items()}
    on_cv = table[table["split"] == CV] if len(table) else table
    parts: list[str | Sheet] = [comparison.answer(on_cv, models[0] & models[1], means, gone, by=by), ""]
    parts.append(f"{before.name} → {after.name}: {'' if changed else 'no setting differs'}".removesuffix(" "))
    settings = comparison.settings_changed(changed)
    parts += [f"  {line}" for line in settings[:LISTED]]
    parts += [f"  and {len(settings) - LISTED} more, in comparison.json"] * (len(settings) > LISTED)
    rows = table if shown.unchanged else comparison.moved(table)
    for split in table["split"].unique() if len(table) else ():
        title = TITLES[split] if by == objectives.BY_CORR else f"{TITLES[split]}, by {by.measure}"
        parts.append(comparison.sheet(rows[rows["split"] == split], title))
    spreads = [f"{row[PREDICTION]} on {row['split']}{told}" for row in rows.to_dict("records") if (told := comparison.within_seeds(row))]
    parts += [f"No more than another seed makes: {'; '.join(spreads)}."] * bool(spreads)
    if new:
        rows_of_new = after.scores[CV][after.scores[CV][PREDICTION].isin(new)]
        parts.append(overview.sheet(summary.summarize(rows_of_new, after.days), "New, out of fold"))
    parts += [f"Not known to be out of fold in {after.name}, so that the scores may be in sample: {', '.join(in_doubt)}."] * bool(in_doubt)
    parts += [_newcomer(after, name, models[1], by) for name, values in scored.items() if name in models[1] and len(values)]
    parts.append("")
    hidden = len(table) - len(rows)
    parts += [f"Rows with the same scores, which --all shows: {hidden}."] * (hidden > 0)
    parts += [comparison.luck(rows)] * (len(rows) > 0)
    parts += [] if shown.validation else ["Out of fold only: --validation compares the final check too, which is counted as a look."]
    return [*parts, evaluation.standing(after.target, after.days, after.equal, after.early)]


def _newcomer(after: Revision, name: str, models: set[str], by: Objective) -> Sheet:
    """Return the table of a new model against its nearest relative, the ensemble and the benchmark."""
    scores = after.scores[CV]
    relative, known = comparison.nearest(scores, name, sorted(models)), set(scores[PREDICTION])
    against = [other for other in (relative, ENSEMBLE) if other in known]
    return comparison.newcomer(scores, name, [str(other) for other in against], after.days, by=by)


def _looked(*runs: Revision) -> str:
    """Count the looks at validation that the runs are, and say how many there were."""
    count = max(recording.looked_at(run) for run in runs)
    return f"This was a look at validation; there were {count} at these eras in this checkout: the more often, the more is luck."
