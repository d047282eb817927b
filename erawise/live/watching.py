"""The live scores of models: fetched, kept, and compared with the validation of the predictions that were sent."""

import os
import sys
from typing import Any

import numpy as np
import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import ERA, HORIZONS, spanned_eras, spanned_weeks
from erawise.charts import figures, outlook_charts, style
from erawise.evaluation.evaluation import PAID_DAYS
from erawise.live import journal, keys, promises, score_names
from erawise.live.account import Account
from erawise.live.journal import Sent
from erawise.live.score_names import ScoreName
from erawise.live.scorebook import Scorebook, fetch
from erawise.outlook import monitoring, staking
from erawise.outlook.monitoring import Horizon, Live, Promise, Source
from erawise.running import paths, terminal
from erawise.running.errors import InputError, Unavailable
from erawise.running.terminal import Form

LAST = paths.METRICS / "live.json"
NO_PROMISE = "no prediction was sent from here"


class Alarm(InputError):
    """Live scores outside of the band that validation promised."""

    code = 5


@files.exclusive_lock(paths.LIVE_SCORES, "monitor")
def watch(*, offline: bool, form: Form) -> None:
    """Fetch scores, unless `offline`, and write and print the scores of the models; `form` is the form of the tables.

    Raises
    ------
    Alarm
        If a model has left the band of its validation.
    InputError
        If something must be mended first, or Numerai's server fails (`Unavailable`).
    """
    p = params.load(paths.PARAMS)
    book, ranks, names = Scorebook(paths.LIVE_SCORES), _last_ranks(), score_names.kept()
    every, content = list[Live](), dict[str, Any]()
    if not offline:
        account, ids = _models(list(p.submit.models))
        print(f"{book.extend(fetch(account, ids)):,} scores are new", flush=True)
        names = _asked(account, book.read(), names)
        try:
            ranks = account.ranks(list(ids))
        except InputError as error:
            print(f"warning: no ranks: {error}", file=sys.stderr)
    scores = book.read()
    if len(scores) and not names:
        raise InputError(f"{score_names.KEPT}: the horizons of scores aren't kept yet; run `erawise monitor` without --offline")
    models = list(dict.fromkeys([*p.submit.models, *scores["model"]]))
    sent = {model: journal.Given(model) for model in models}
    horizons = _horizons(names)
    for horizon in horizons:
        own = score_names.labelled(scores, names, horizon.days)
        found = [
            monitoring.live(rows, model, metric, source, horizon, replicates=p.monitor.replicates, seed=p.monitor.seed)
            for model in models
            for source, rows in _by_source(own[own["model"] == model], sent[model], horizon.days)
            for metric in monitoring.METRICS
        ]
        if any(len(one.weeks) for one in found):
            _show(found, horizon, ranks, style.colours(sorted(p.models)), form)
            every += found
            content[f"days_{horizon.days}"] = monitoring.metrics(found)
    _note(scores, names, [one.days for one in horizons])
    if not every:
        print("no round of these models has a score yet")
        return
    files.write_json(content | {"rank": ranks}, LAST)
    alarms = monitoring.alarms(every)
    if alarms:
        raise Alarm("; ".join(alarms))


def _horizons(names: score_names.Names) -> list[Horizon]:
    """Return the horizons of live scores, the paid one first."""
    paid = score_names.paid_days(names) or PAID_DAYS
    ordered = sorted(HORIZONS.values(), key=lambda days: (days != paid, -days))
    return [Horizon(days, days == paid, days < paid, tuple(score_names.shown(names, days))) for days in ordered]


def _asked(account: Account, scores: pd.DataFrame, names: dict[score_names.Key, ScoreName]) -> dict[score_names.Key, ScoreName]:
    """Ask for the names of scores, and keep them; without a usable answer, return the names that were kept before, if there are any."""
    try:
        found = score_names.ask(account, scores, names)
    except InputError as error:
        if not names:
            raise
        print(f"warning: the horizons of scores are as kept before: {error}", file=sys.stderr)
        return names
    if found:
        score_names.keep(found)
    return found


def _note(scores: pd.DataFrame, names: score_names.Names, horizons: list[int]) -> None:
    """Print which scores aren't drawn, and why."""
    warnings, lines = score_names.notes(scores, names, horizons)
    undated = int((scores["closed"] == "").sum())
    if undated:
        lines.append(f"{undated} scores belong to rounds without a date, and aren't drawn")
    print("\n".join(lines), end="\n" if lines else "")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _last_ranks() -> dict[str, int]:
    """Return the ranks of the last run; empty if there was no run, or its file can't be read."""
    try:
        return {str(name): int(rank) for name, rank in files.read_json(LAST)["rank"].items()}
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _models(named: list[str]) -> tuple[Account, dict[str, str]]:
    """Return an account, and the ids of the models to look at: the named ones, and with a key all of the account's.

    Raises
    ------
    InputError
        If there is no model.
    """
    try:
        account = Account(key=keys.read(os.environ, paths.ENVIRONMENT))
        own = account.models()
    except keys.Missing:
        account, own = Account(), {}
    except Unavailable:
        raise
    except InputError as error:
        print(f"warning: only the models of submit.models are shown: {error}", file=sys.stderr)
        account, own = Account(), {}
    ids = own | account.public_ids([name for name in named if name not in own])
    for name in named:
        if name not in ids:
            print(f"warning: submit.models: Numerai has no model {name!r}; see how it is written there", file=sys.stderr)
    if not ids:
        raise InputError("submit.models: there is no model to look at; name one, such as {your_model: neutralized}")
    return account, ids


def _by_source(scores: pd.DataFrame, given: journal.Given, days: int) -> list[tuple[Source, pd.DataFrame]]:
    """Return the scores of a model by the source of its predictions: the current source first, then earlier ones, the latest first."""
    sent = [given.in_round(*row) for row in scores[["round", "closed"]].itertuples(index=False)]
    sources = dict.fromkeys([given.last, *reversed(sent)])
    return [(_source(one, days, earlier=one != given.last), scores[np.array([other == one for other in sent], bool)]) for one in sources]


def _source(sent: Sent | None, days: int, *, earlier: bool) -> Source:
    """Return the source of a prediction, with its kept validation scores for a target so many trading days ahead."""
    if sent is None:
        return Source("", "", None, NO_PROMISE, earlier)
    table = promises.read(sent.digest, days)
    if table is None:
        reason = f"its validation scores for a target of {days} days aren't kept" if sent.digest else "sent before its validation was kept"
        return Source(sent.prediction, sent.digest, None, reason, earlier)
    eras = table[ERA].to_numpy(np.int64)
    series = {name: table[name].dropna().to_numpy(np.float64) for name in monitoring.METRICS}
    promise = Promise(series, staking.weeks_apart(eras), spanned_eras(eras, spanned_weeks(days)))
    return Source(sent.prediction, sent.digest, promise, "", earlier)


def _show(found: list[Live], horizon: Horizon, ranks: dict[str, int], shades: dict[str, str], form: Form) -> None:
    names = f" ({', '.join(horizon.names)})" if horizon.names else ""
    terminal.write(["", monitoring.sheet(found, ranks, f"{horizon.title}{names}"), ""], form)
    table, name = monitoring.picture(found, horizon), f"live_{horizon.days}"
    tabular.write_csv(table.frame, paths.PLOTS / f"{name}.csv")
    figures.write(outlook_charts.live(table, shades), paths.PLOTS / f"{name}.svg")
    print(f"written: plots/{name}.csv, plots/{name}.svg, metrics/live.json")
