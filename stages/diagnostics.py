"""The site's diagnostics beside ours: send validation predictions, wait for what Numerai finds, and compare, line by line.

Exit codes: 0, the site has scored them; 1, something has to be mended; 4, it refuses them, or hasn't scored them in time; 75, the
network or the server failed.
"""

import argparse
import os
from pathlib import Path

from erawise import params
from erawise.base import tabular
from erawise.base.schema import ERA, PREDICTION, SPLIT, VALIDATION
from erawise.evaluation import evaluation, summary
from erawise.live import journal, keys, served, submission
from erawise.live.account import DIAGNOSTICS, Account
from erawise.outlook import diagnosis
from erawise.running import errors, paths
from erawise.running.errors import InputError
from stages import arguments


@errors.reported
def main() -> None:
    given = _arguments()
    p = params.load(paths.PARAMS)
    name = given.prediction or p.submit.models.get(given.model, p.upload.prediction)
    account = Account(key=keys.read(os.environ, paths.ENVIRONMENT))
    number = account.models([given.model])[given.model]
    scores = tabular.read_parquet(paths.SCORES / f"{VALIDATION}.parquet")
    ours = summary.summarize(scores, evaluation.evaluated(paths.SCORES).days)
    if name not in served.names() or name not in ours:
        raise InputError(f"--prediction: there is no prediction {name!r} with validation scores; there are {', '.join(served.names())}")
    table = tabular.read_parquet(served.path(name))
    served.require_scored(name, table)
    rows = table[table[SPLIT] == VALIDATION].sort_values(ERA, kind="stable")
    entry = {"model": given.model, "prediction": name, "rows": len(rows)}
    try:
        with errors.about(given.model):
            sent = account.send(DIAGNOSTICS, f"{name}_validation.csv", submission.content(diagnosis.ranked(rows)), number)
    except InputError as error:
        journal.note(entry | {"diagnostics": None, "outcome": journal.FAILED, "problem": str(error)})
        raise
    journal.note(entry | {"diagnostics": sent, "outcome": "sent"})
    print(f"{len(rows):,} rows of {name} in {rows[ERA].nunique()} eras are sent as diagnostics {sent}; Numerai scores them", flush=True)
    with errors.about(given.model):
        site = account.diagnosed(number, sent, 60 * given.wait)
    figures = diagnosis.compared(site, ours[name])
    eras = diagnosis.compared_eras(site.get("perEraDiagnostics") or [], scores[scores[PREDICTION] == name])
    given.out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(figures, given.out / "figures.csv")
    tabular.write_csv(eras, given.out / "eras.csv")
    print(f"\n{diagnosis.markdown(figures, eras)}\n\n{diagnosis.sentence(figures)}")
    print(f"\nwritten to {given.out}: figures.csv, eras.csv")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.diagnostics", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="the model of your account for which they are scored")
    parser.add_argument("--prediction", help="which prediction to send; that of submit.models for the model, else upload.prediction")
    parser.add_argument("--wait", type=arguments.minutes, default=30, metavar="MINUTES", help="how long to wait for the scores; 30")
    parser.add_argument("--out", type=Path, default=paths.DIAGNOSTICS, help="directory for the tables")
    return parser.parse_args()


if __name__ == "__main__":
    main()
