"""The entry of an evaluation in the ledger, and in Weights & Biases if `tracking.wandb` says so."""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, VALIDATION
from erawise.evaluation import evaluation, summary
from erawise.history import ledger, looks, tracking
from erawise.running import paths, runner
from erawise.running.errors import InputError
from erawise.training import curves


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

    `found` says what was scored, and `metrics` has the summary of each split, by prediction. All settings are noted, also those that the
    evaluation doesn't depend on.
    """
    path = looks.ledger_path()
    with files.exclusive_lock(path, ledger.NAME):
        return _added(path, p, found, metrics)


def _added(path: Path, p: params.Params, found: evaluation.Evaluated, metrics: dict[str, dict[str, Any]]) -> int:
    entries, data = ledger.read(path)[0], looks.data_digest()
    settings = ledger.flat(p.model_dump(mode="json", exclude_unset=True))
    ran = _ran()
    entry = {
        "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "commit": looks.commit(),
        "data": data,
        "target": found.target,
        "days": found.days,
        "equal": found.equal,
        "predictions": found.predictions,
        "settings": settings,
        "changed": ledger.changes(entries[-1]["settings"], settings) if entries else {},
        "scores": metrics,
        "seconds": ran.get("seconds"),
        "peak_bytes": ran.get("peak_bytes"),
        "versions": runner.versions(),
    }
    if not any(ledger.same(entry, other) for other in entries):
        files.append_line(entry, path)
        entries.append(entry)
    return len(ledger.looks(entries, data, found.target))


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
    name = os.environ.get("DVC_EXP_NAME") or looks.commit()
    settings = p.model_dump(mode="json", exclude_unset=True)
    try:
        tracking.log_run(p.tracking.wandb, paths.main_checkout(Path.cwd()), name, settings, metrics, curves.read(paths.CURVES))
    except InputError as error:
        print(f"warning: {error}; the run is not in Weights & Biases", file=sys.stderr)
