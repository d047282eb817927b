"""How your models do live: fetch their scores, keep them, and hold them against what validation promised.

The models are those of submit.models, and with a key all of your account's. Scores of rounds that are still open are kept apart from
final ones.

Exit codes: 0, all is as promised, or too little is known; 5, a model has left the band of its validation; 75, the server failed,
run again later; 1, something has to be mended.
"""

import argparse
import os
import sys
from typing import Any

import numpy as np

from erawise import charts, errors, files, monitoring, params, payout, tabular
from erawise.errors import InputError, Unavailable
from erawise.live import keys
from erawise.live.account import Account
from erawise.live.scorebook import Scorebook, fetch
from erawise.monitoring import Live, Promise
from erawise.schema import ERA, PREDICTION, VALIDATION, horizon, spanned_weeks
from erawise.significance import spanned_eras
from stages import journal, paths

LAST = paths.METRICS / "live.json"
NO_PROMISE = "it hasn't been given a prediction from here"


class Alarm(InputError):
    """Live scores have left what validation promised."""

    code = 5


@errors.reported
def main() -> None:
    given = _arguments()
    p = params.load(paths.PARAMS)
    book, ranks = Scorebook(paths.LIVE_SCORES), _last_ranks()
    every, content = list[Live](), dict[str, Any]()
    if not given.offline:
        account, ids = _models(list(p.submit.models))
        print(f"{book.extend(fetch(account, ids)):,} scores are new", flush=True)
        try:
            ranks = account.ranks(list(ids))
        except InputError as error:
            print(f"warning: no ranks: {error}", file=sys.stderr)
    scores = book.read()
    models = list(dict.fromkeys([*p.submit.models, *scores["model"]]))
    days = horizon(p.data.target, p.data.target_horizon)
    for span, names in ((20, (p.monitor.corr_20, p.monitor.mmc_20)), (60, (p.monitor.corr_60, p.monitor.mmc_60))):
        promised = _promises(p.submit.models, days) if span == days else {}
        why = NO_PROMISE if span == days else f"data.target looks {days} days ahead"
        found = [
            monitoring.live(
                scores,
                model,
                metric,
                name,
                promised.get(model),
                replicates=p.monitor.replicates,
                seed=p.monitor.seed,
                reason="" if model in promised else why,
            )
            for model in models
            for metric, name in zip(monitoring.METRICS, names, strict=True)
        ]
        if any(len(one.weeks) for one in found):
            _show(found, span, ranks, charts.colours(sorted(p.models)))
            every += found
            content[f"days_{span}"] = monitoring.metrics(found)
    unknown = sorted(set(scores["score"]) - {p.monitor.corr_20, p.monitor.mmc_20, p.monitor.corr_60, p.monitor.mmc_60})
    if unknown:
        print(f"kept beside these: {', '.join(unknown)}")
    if not every:
        print("no round of these models has a score yet")
        return
    files.write_json(content | {"rank": ranks}, LAST)
    alarms = monitoring.alarms(every)
    if alarms:
        raise Alarm("; ".join(alarms))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.monitor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--offline", action="store_true", help="ask nobody: look at what was fetched before")
    return parser.parse_args()


def _last_ranks() -> dict[str, int]:
    """The ranks of the last run; none where there was no run, or what it has left can't be read."""
    try:
        return {str(name): int(rank) for name, rank in files.read_json(LAST)["rank"].items()}
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _models(named: list[str]) -> tuple[Account, dict[str, str]]:
    """The ids of the models to look at: with a key all of the account's, and those that are named.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        account = Account(key=keys.read(os.environ, paths.ENVIRONMENT))
        own = account.models()
    except keys.Missing:
        account, own = Account(), {}
    except Unavailable:
        raise
    except InputError as error:
        print(f"warning: the models of submit.models alone: {error}", file=sys.stderr)
        account, own = Account(), {}
    ids = own | account.public_ids([name for name in named if name not in own])
    for name in named:
        if name not in ids:
            print(f"warning: submit.models: Numerai has no model {name!r}; see how it is written there", file=sys.stderr)
    if not ids:
        raise InputError("submit.models: there is no model to look at; name one, such as {your_model: neutralized}")
    return account, ids


def _promises(models: dict[str, str], days: int) -> dict[str, Promise]:
    """The validation scores of each model's prediction, for the models that have been given it from here."""
    table = tabular.read_parquet(paths.SCORES / f"{VALIDATION}.parquet", [ERA, PREDICTION, *monitoring.METRICS])
    found = {}
    for model, prediction in models.items():
        since = journal.since(model, prediction)
        if since is not None:
            rows = table[table[PREDICTION] == prediction].sort_values(ERA)
            eras = rows[ERA].to_numpy(np.int64)
            series = {name: rows[name].dropna().to_numpy(np.float64) for name in monitoring.METRICS}
            found[model] = Promise(prediction, since, series, payout.weeks_apart(eras), spanned_eras(eras, spanned_weeks(days)))
    return found


def _show(found: list[Live], days: int, ranks: dict[str, int], shades: dict[str, str]) -> None:
    print(f"\n**{days} days**\n\n{monitoring.markdown(found, ranks)}\n")
    table = monitoring.picture(found, days)
    tabular.write_csv(table.frame, paths.PLOTS / f"live_{days}.csv")
    charts.write(charts.live(table, shades), paths.PLOTS / f"live_{days}.svg")
    print(f"written: plots/live_{days}.csv, plots/live_{days}.svg, metrics/live.json")


if __name__ == "__main__":
    main()
