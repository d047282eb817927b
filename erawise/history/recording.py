"""The entry of an evaluation in the ledger, and in Weights & Biases if `tracking.wandb` says so."""

import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, VALIDATION
from erawise.evaluation import evaluation, summary
from erawise.history import ledger, tracking, validation_looks
from erawise.running import paths, runner
from erawise.running.errors import InputError
from erawise.training import curves

if TYPE_CHECKING:
    from erawise.history.revisions import Revision

NAME = "DVC_EXP_NAME"
"""The variable of the environment in which DVC names the experiment that runs."""


def record(*, quiet: bool) -> None:
    """Add the evaluation in the workspace; one of the same predictions with the same settings is in the ledger once.

    Parameters
    ----------
    quiet : whether nothing is printed but warnings; also if the environment asks for quiet.
    """
    p = params.load(paths.PARAMS)
    found = evaluation.evaluated(paths.SCORES)
    tables = {split: tabular.read_parquet(paths.SCORES / f"{split}.parquet") for split in (CV, VALIDATION)}
    metrics = {split: summary.summarize(table, found.days) for split, table in tables.items()}
    count = evaluated(p, found, metrics)
    if not (quiet or runner.is_quiet()):
        print(f"validation: look {count} at these eras; `erawise history` lists them")
    _track(p, metrics)


def evaluated(p: params.Params, found: evaluation.Evaluated, metrics: dict[str, dict[str, Any]]) -> int:
    """Add the evaluation to the ledger of the main checkout, if it isn't there; return the number of looks at this validation data.

    `found` says what was scored, and `metrics` has the summary of each split, by prediction. All settings are noted, also settings that
    the evaluation doesn't depend on.
    """
    ran = _ran()
    entry = _against(found) | {
        "commit": validation_looks.commit(),
        "experiment": os.environ.get(NAME),
        "data": validation_looks.data_digest(),
        "seconds": ran.get("seconds"),
        "peak_bytes": ran.get("peak_bytes"),
        "versions": runner.versions(),
    }
    return _add(entry, p.model_dump(mode="json", exclude_unset=True), metrics)


def looked_at(revision: "Revision") -> int:
    """Add the scores of a revision to the ledger, if they aren't there; return the number of looks at its validation data."""
    metrics = {split: summary.summarize(table, revision.days) for split, table in revision.scores.items()}
    commit = (validation_looks.git("rev-parse", "--verify", "--quiet", revision.name) or revision.name).strip()
    return _add(_against(revision) | {"commit": commit, "data": revision.validation}, revision.settings, metrics)


def scored(standing: dict[str, Any], digests: dict[str, str], metrics: dict[str, dict[str, Any]], names: Sequence[str]) -> int:
    """Add the scores of files of predictions on validation eras to the ledger; return the number of looks at this validation data.

    Parameters
    ----------
    standing : `target`, `days`, `equal` and `early`: what they were scored against.
    digests : `predictions.digest` of each prediction.
    metrics : the summary of the validation eras, by prediction.
    names : of the files.
    """
    known = {"commit": validation_looks.commit(), "data": validation_looks.data_digest(), "predictions": digests}
    return _add(standing | known | {"changed": {"scored": [None, ", ".join(names)]}}, {}, {VALIDATION: metrics})


def _against(found: "evaluation.Evaluated | Revision") -> ledger.Entry:
    """Return what was scored, and against what."""
    return {name: getattr(found, name) for name in ("target", "days", "equal", "early", "predictions")}


def _add(entry: ledger.Entry, settings: dict[str, Any], metrics: dict[str, dict[str, Any]]) -> int:
    """Add an entry, unless one of the same predictions, settings and scores is there; return the number of looks at its data."""
    flat = ledger.flat(settings)
    entry = {"experiment": None, "settings": flat, "changed": _changed(flat) if flat else {}, "scores": metrics, **entry}
    path = validation_looks.ledger_path()
    with files.exclusive_lock(path, ledger.NAME):
        if not any(ledger.same(entry, other) for other in ledger.read(path)):
            entry = {"time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"), **entry}
            files.append_line(entry, path)
        return len(ledger.looks(validation_looks.read(), entry["data"], entry["target"]))


def share() -> None:
    """Write the lines of this machine and of the others to the shared ledger, and say how many are new there."""
    shared = validation_looks.ledger_path(ledger.SHARED)
    with files.exclusive_lock(shared, ledger.SHARED):
        entries, known = validation_looks.read(), ledger.read(shared)
        with files.replacing(shared) as temporary:
            temporary.write_text(ledger.lines(entries), encoding="utf-8")
    new = len(entries) - len(known)
    print(f"{ledger.SHARED}: {len(entries)} evaluations, {new} of them new; commit and push it, and pull theirs")


def _changed(settings: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the settings that differ from HEAD or, if none does, from its parent."""
    for revision in ("HEAD", "HEAD~1"):
        text = validation_looks.git("show", f"{revision}:./{paths.PARAMS}")
        before = YAML(typ="safe").load(text) if text else None
        changed = ledger.changes(ledger.flat(before), settings) if isinstance(before, dict) else {}
        if changed:
            return changed
    return {}


def _ran() -> dict[str, Any]:
    """Return the record of the stage's last run; nothing if it left none."""
    try:
        content = files.read_json(paths.RUNS / "evaluate.json")
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


def _track(p: params.Params, metrics: dict[str, dict[str, Any]]) -> None:
    """Add the evaluation to Weights & Biases, if that is on; if that fails, say why and go on, since all of it is on the disk."""
    if p.tracking.wandb == "disabled":
        return
    name = os.environ.get(NAME) or validation_looks.commit()
    settings = p.model_dump(mode="json", exclude_unset=True)
    try:
        tracking.log_run(p.tracking.wandb, paths.main_checkout(Path.cwd()), name, settings, metrics, curves.read(paths.CURVES))
    except InputError as error:
        print(f"warning: {error}; the run is not in Weights & Biases", file=sys.stderr)
