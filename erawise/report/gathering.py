"""Content of the report of the run in the workspace, compared with the committed run."""

import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, ID, LIVE, PREDICTION, SPLIT, VALIDATION
from erawise.blend import proportions
from erawise.evaluation import doubt, evaluation, objectives
from erawise.evaluation.objectives import Objective
from erawise.folds.splits import spaced
from erawise.history import comparison, ledger, revisions, validation_looks
from erawise.panel.panel import Panel
from erawise.report import content as report
from erawise.report import outgoing, page
from erawise.report.content import Comparison, Content, Looks, Run, Stake
from erawise.running import errors, paths, runner
from erawise.sources import layout

COMMITTED = "HEAD"
SAMPLED = 60
"""Eras in which predictions are correlated with each other."""


def write(out: Path, *, quiet: bool) -> None:
    """Write the page; an older one stays if that fails.

    Parameters
    ----------
    out : the file.
    quiet : whether nothing is printed but warnings; also if the environment asks for quiet.
    """
    start = time.perf_counter()
    with runner.progress_for("report", quiet or runner.is_quiet()) as progress:
        text = page.written(content(params.load(paths.PARAMS)), progress)
        with files.replacing(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
        size = out.stat().st_size / 1e6
        print(f"report: wrote {out}; {size:.1f} MB, {time.perf_counter() - start:.0f} s; open it in a browser")


def content(p: params.Params) -> Content:
    """Return the content of the page."""
    models = files.read_json(paths.MEMBERS)["models"]
    chosen = next(iter(p.submit.models.values()), p.upload.prediction)
    similarity, sampled = _similarity(models)
    panel = Panel(paths.PANEL, [p.data.target])
    scores = {split: tabular.read_parquet(paths.SCORES / f"{split}.parquet") for split in (CV, VALIDATION)}
    sent = dict.fromkeys([chosen, *p.submit.models.values()])
    looked_at = spaced(np.unique(scores[CV][ERA].to_numpy(np.int64)), outgoing.LOOKED_AT)
    evaluated = evaluation.evaluated(paths.SCORES)
    corr = evaluation.corr_name(evaluated.own_score)
    by = objectives.of_tables(p.evaluate.objective, "evaluate.objective", [(scores[CV], scores[CV])], corr)
    notes = [
        *evaluation.lines(evaluated, p.evaluate.benchmark),
        *layout.named_eras(paths.RAW, [era for table in scores.values() for era in table[ERA]]),
        *proportions.lines(files.read_json(paths.NEUTRALIZED_TO).get("chosen")),
    ]
    metrics = {split: files.read_json(paths.SCORES / f"{split}.json") for split in (CV, VALIDATION)}
    return Content(
        chosen=chosen,
        models=models,
        target=p.data.target,
        days=evaluated.days,
        metrics={split: evaluation.blocks(found) for split, found in metrics.items()},
        scores=scores,
        data=files.read_json(paths.METRICS / "data.json"),
        similarity=similarity,
        similar_eras=sampled,
        stale=revisions.stale(Path()),
        compared=_compared(by),
        looks=Looks(*validation_looks.count(p, chosen)),
        run=_run(p),
        notes=[evaluation.named(note, evaluated.own_score) for note in notes],
        tables=_tables(models),
        yardsticks=outgoing.yardsticks(p, evaluated, scores, panel),
        exposure=tabular.read_parquet(paths.EXPOSURE, [SPLIT, ERA, PREDICTION, "group", "max_abs"]),
        stake=_stake(p, chosen, scores, metrics[CV], evaluated),
        live=outgoing.live(p, chosen, {name: _of_eras(name, looked_at, live=True) for name in sent}, panel),
        toy=p.data.source == "market",
        by=by,
        own_score=evaluated.own_score,
    )


def _stake(p: params.Params, chosen: str, scores: dict[str, pd.DataFrame], cv: dict[str, Any], evaluated: evaluation.Evaluated) -> Stake:
    """Return a year of stakes on the chosen prediction, or say why there is none."""
    if not evaluated.pays:
        return Stake(reason=evaluation.UNPAID)
    if chosen in doubt.doubtful(cv):
        return Stake(reason=f"{chosen} isn't known to be out of fold")
    return outgoing.stake(p, chosen, scores, evaluated.days)


def _similarity(models: list[str]) -> tuple[pd.DataFrame, int]:
    """Compare all predictions, out of fold, in at most `SAMPLED` eras from the first to the last; return the number of eras too."""
    eras = np.unique(tabular.read_parquet(paths.SCORES / f"{CV}.parquet", [ERA])[ERA].to_numpy(np.int64))
    taken = spaced(eras, SAMPLED)
    found = {name: _of_eras(name, taken) for name in (*models, "ensemble", "neutralized")}
    return report.similarity({name: frame for name, frame in found.items() if len(frame)}), len(taken)


def _of_eras(name: str, eras: np.ndarray, *, live: bool = False) -> pd.DataFrame:
    """Read a prediction in these eras, and in the live one if asked to; the file is read in parts."""
    with tabular.open_parquet(paths.prediction(name)) as file:
        parts = (batch.to_pandas() for batch in file.iter_batches(columns=[ID, ERA, SPLIT, PREDICTION]))
        return pd.concat([part[part[ERA].isin(eras) | (live & (part[SPLIT] == LIVE))] for part in parts], ignore_index=True)


def _compared(by: Objective) -> Comparison:
    """Compare the workspace with the committed run by an objective, or say why that can't be done."""
    nothing = pd.DataFrame()
    try:
        before, after = (revisions.read(Path(), revision, raw=paths.RAW, scores=paths.SCORES) for revision in (COMMITTED, None))
    except errors.InputError as error:
        return Comparison("the committed run", revisions.WORKSPACE, nothing, [], str(error))
    changed = comparison.settings_changed(ledger.changes(ledger.flat(before.settings), ledger.flat(after.settings)))
    if reason := revisions.incomparable(before, after):
        return Comparison("the committed run", after.name, nothing, changed, reason)
    if by.column not in before.scores[CV]:
        return Comparison("the committed run", after.name, nothing, changed, f"it has no {by.label}")
    return Comparison("the committed run", after.name, comparison.compare(before.scores, after.scores, after.days, by=by), changed)


def _run(p: params.Params) -> Run:
    return Run(
        commit=validation_looks.commit(),
        made=datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        settings=ledger.flat(p.model_dump(mode="json", exclude_unset=True)),
        versions=runner.versions() | {"system": platform.platform()},
        digests=pd.DataFrame(sorted(revisions.kept(Path())), columns=["path", "md5"]),
        stages=_records(),
    )


def _records() -> pd.DataFrame:
    """Read the time and memory of each stage's last run; a record that can't be read is left out, with a warning."""
    numbers, texts = ["seconds", "peak_bytes", "rows"], ["stage", "started"]
    found = []
    for path in sorted(paths.RUNS.glob("*.json")):
        try:
            entry = files.read_json(path)
            found.append(
                [*(str(entry[name]) for name in texts), *(float("nan" if entry[name] is None else entry[name]) for name in numbers)]
            )
        except (errors.InputError, KeyError, TypeError, ValueError):
            print(f"warning: {path}: no record of a run; the page goes without it", file=sys.stderr)
    return pd.DataFrame(found, columns=[*texts, *numbers]).sort_values("started", ignore_index=True)


def _tables(models: list[str]) -> dict[str, pd.DataFrame]:
    """Read the tables behind the pictures, and the tables of `explore` and `explain` by their directories."""
    found = {path.stem: path for path in sorted(paths.TABLES.glob("*.csv"))}
    found |= {f"explored/{path.stem}": path for path in sorted(paths.EXPLORED.glob("*.csv"))}
    found |= {f"missing/{path.stem}": path for path in sorted(paths.MISSING.glob("eras.csv"))}
    found |= {f"explained/{model}/{path.stem}": path for model in models for path in sorted((paths.EXPLAINED / model).glob("*.csv"))}
    read = {name: _table(path) for name, path in found.items()}
    return {name: table for name, table in read.items() if table is not None}


def _table(path: Path) -> pd.DataFrame | None:
    """Read a table; return None if it can't be read: the page says what it lacks."""
    try:
        return pd.read_csv(path)
    except (ValueError, OSError) as error:
        print(f"warning: {path}: not a readable table ({' '.join(str(error).split())}); the page goes without it", file=sys.stderr)
        return None
