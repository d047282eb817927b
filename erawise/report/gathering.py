"""The report of the run in the workspace: its scores, pictures, data and settings, and what it is against the committed one."""

import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, ID, PREDICTION, VALIDATION
from erawise.blend import proportions
from erawise.evaluation import evaluation
from erawise.folds.splits import spaced
from erawise.history import comparison, ledger, revisions, validation_looks
from erawise.report import content as report
from erawise.report import page
from erawise.report.content import Comparison, Content, Looks, Run
from erawise.running import errors, paths, runner

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
    with runner.heard("report", quiet or runner.is_quiet()) as progress:
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
    evaluated = evaluation.evaluated(paths.SCORES)
    metrics = {split: files.read_json(paths.METRICS / f"{split}.json") for split in (CV, VALIDATION)}
    return Content(
        chosen=chosen,
        models=models,
        target=p.data.target,
        days=evaluated.days,
        metrics={split: evaluation.blocks(found) for split, found in metrics.items()},
        scores={split: tabular.read_parquet(paths.SCORES / f"{split}.parquet") for split in (CV, VALIDATION)},
        data=files.read_json(paths.METRICS / "data.json"),
        similarity=similarity,
        similar_eras=sampled,
        stale=revisions.stale(Path()),
        compared=_compared(),
        looks=Looks(*validation_looks.count(p, chosen)),
        run=_run(p),
        regime=evaluated.pays.regime,
        notes=[
            *evaluation.lines(evaluated, p.evaluate.benchmark),
            *proportions.lines(files.read_json(paths.NEUTRALIZED_TO).get("chosen")),
        ],
        tables=_tables(models),
    )


def _similarity(models: list[str]) -> tuple[pd.DataFrame, int]:
    """Of all predictions, out of fold, in at most `SAMPLED` eras from the first to the last, and how many these are."""
    places = {name: paths.MODEL_PREDICTIONS / f"{name}.parquet" for name in models} | {
        "ensemble": paths.ENSEMBLE,
        "neutralized": paths.NEUTRALIZED,
    }
    eras = np.unique(tabular.read_parquet(paths.SCORES / f"{CV}.parquet", [ERA])[ERA].to_numpy(np.int64))
    taken = spaced(eras, SAMPLED)
    return report.similarity({name: _of_eras(path, taken) for name, path in places.items()}), len(taken)


def _of_eras(path: Path, eras: np.ndarray) -> pd.DataFrame:
    """The predictions of these eras; the file is read in parts."""
    with tabular.open_parquet(path) as file:
        parts = (batch.to_pandas() for batch in file.iter_batches(columns=[ID, ERA, PREDICTION]))
        return pd.concat([part[part[ERA].isin(eras)] for part in parts], ignore_index=True)


def _compared() -> Comparison:
    """The workspace against what is committed; why not, where that can't be."""
    nothing = pd.DataFrame()
    try:
        before, after = (revisions.read(Path(), revision, raw=paths.RAW, scores=paths.SCORES) for revision in (COMMITTED, None))
    except errors.InputError as error:
        return Comparison("the committed run", revisions.WORKSPACE, nothing, [], str(error))
    changed = comparison.settings_changed(ledger.changes(ledger.flat(before.settings), ledger.flat(after.settings)))
    if reason := revisions.incomparable(before, after):
        return Comparison("the committed run", after.name, nothing, changed, reason)
    return Comparison("the committed run", after.name, comparison.compare(before.scores, after.scores, after.days), changed)


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
    """What the last run of each stage took; a record that can't be read is left out, with a warning."""
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
    """The tables behind the pictures, and those of `explore` and `explain` by their directories."""
    found = {path.stem: path for path in sorted(paths.TABLES.glob("*.csv"))}
    found |= {f"explored/{path.stem}": path for path in sorted(paths.EXPLORED.glob("*.csv"))}
    found |= {f"explained/{model}/{path.stem}": path for model in models for path in sorted((paths.EXPLAINED / model).glob("*.csv"))}
    read = {name: _table(path) for name, path in found.items()}
    return {name: table for name, table in read.items() if table is not None}


def _table(path: Path) -> pd.DataFrame | None:
    """A table, None where it can't be read: the page says what it lacks."""
    try:
        return pd.read_csv(path)
    except (ValueError, OSError) as error:
        print(f"warning: {path}: not a readable table ({' '.join(str(error).split())}); the page goes without it", file=sys.stderr)
        return None
