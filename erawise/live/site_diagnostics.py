"""The comparison of Numerai's diagnostics with ours: validation predictions are sent, and the figures compared one by one."""

import os
from pathlib import Path

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import ERA, PREDICTION, SPLIT, TARGET, VALIDATION
from erawise.evaluation import evaluation, summary
from erawise.live import journal, keys, served, submission
from erawise.live.account import DIAGNOSTICS, Account
from erawise.outlook import diagnosis
from erawise.panel import groups
from erawise.panel.panel import DESCRIPTION
from erawise.running import errors, paths, terminal
from erawise.running.errors import InputError
from erawise.running.terminal import Form
from erawise.scores.eras import FNC_V3


def diagnose(model: str, prediction: str | None, minutes: float, out: Path, form: Form) -> None:
    """Send the validation predictions for a model of the account, and write Numerai's figures and ours.

    Parameters
    ----------
    model : its name on Numerai.
    prediction : its name here; None: the model's entry in `submit.models`, else `upload.prediction`.
    minutes : how long Numerai may take.
    out : the directory for the tables.
    form : of the tables that are printed.

    Raises
    ------
    InputError
        If something must be mended first. `Unconfirmed` or `Unavailable`, its subclasses, if the site or the network fails.
    """
    p = params.load(paths.PARAMS)
    name = prediction or p.submit.models.get(model, p.upload.prediction)
    account = Account(key=keys.read(os.environ, paths.ENVIRONMENT))
    number = account.models([model])[model]
    scores = tabular.read_parquet(paths.SCORES / f"{VALIDATION}.parquet")
    found = evaluation.evaluated(paths.SCORES)
    _require_horizon(found)
    if p.data.feature_set in groups.FNC_V3:
        scores = scores.assign(**{FNC_V3: scores["fnc"]})
    ours = summary.summarize(scores, found.days)
    if name not in served.names() or name not in ours:
        raise InputError(f"--prediction: there is no prediction {name!r} with validation scores; there are {', '.join(served.names())}")
    table = tabular.read_parquet(paths.prediction(name))
    served.require_scored(name, table)
    rows = table[table[SPLIT] == VALIDATION].sort_values(ERA, kind="stable")
    entry = {"model": model, "prediction": name, "rows": len(rows)}
    try:
        with errors.about(model):
            sent = account.send(DIAGNOSTICS, f"{name}_validation.csv", submission.content(diagnosis.ranked(rows)), number)
    except InputError as error:
        journal.note(entry | {"diagnostics": None, "outcome": journal.FAILED, "problem": str(error)})
        raise
    journal.note(entry | {"diagnostics": sent, "outcome": "sent"})
    print(f"{len(rows):,} rows of {name} in {rows[ERA].nunique()} eras are sent as diagnostics {sent}; Numerai scores them", flush=True)
    with errors.about(model):
        site = account.diagnosed(number, sent, 60 * minutes)
    figures = diagnosis.compared(site, ours[name])
    eras = diagnosis.compared_eras(site.get("perEraDiagnostics") or [], scores[scores[PREDICTION] == name])
    out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(figures, out / "figures.csv")
    tabular.write_csv(eras, out / "eras.csv")
    print(f"\n{evaluation.standing(found.target, found.days, found.equal, found.early)}")
    terminal.write([*diagnosis.sheets(figures, eras), diagnosis.sentence(figures)], form)
    print(f"\nwritten to {out}: figures.csv, eras.csv")


def _require_horizon(found: evaluation.Evaluated) -> None:
    """Raise `InputError` if our scores have another horizon than the site's, which are against the data's column `target`."""
    days = files.read_json(paths.PANEL / DESCRIPTION).get("horizons", {}).get(TARGET, found.days)
    if days != found.days:
        raise InputError(
            f"data.target: ours are scored against {found.target!r}, {found.days} trading days ahead, and the site scores against "
            f"{TARGET!r}, {days} ahead; score a run with data.target: {TARGET}"
        )
