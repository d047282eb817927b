"""The live scores of models: fetched, kept, and held against what validation promised of the predictions that were sent."""

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
NO_PROMISE = "it hasn't been given a prediction from here"


class Alarm(InputError):
    """Live scores have left what validation promised."""

    code = 5


@files.exclusive_lock(paths.LIVE_SCORES, "monitor")
def watch(*, offline: bool, form: Form) -> None:
    """Fetch scores, unless `offline`, and write and print how the models do; `form` is that of the tables.

    Raises
    ------
    Alarm
        If a model has left the band that its validation promises.
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
        raise InputError(f"{score_names.KEPT}: nothing is kept of how far scores look ahead; run `erawise monitor` without --offline")
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
    """Return the horizons of live scores, that of the scores that are paid for first."""
    paid = score_names.paid_days(names) or PAID_DAYS
    ordered = sorted(HORIZONS.values(), key=lambda days: (days != paid, -days))
    return [Horizon(days, days == paid, days < paid, tuple(score_names.shown(names, days))) for days in ordered]


def _asked(account: Account, scores: pd.DataFrame, names: dict[score_names.Key, ScoreName]) -> dict[score_names.Key, ScoreName]:
    """Ask what scores are, and keep it; without a usable answer, what was kept before stands, if there is any."""
    try:
        found = score_names.ask(account, scores, names)
    except InputError as error:
        if not names:
            raise
        print(f"warning: how far scores look ahead is as it was kept before: {error}", file=sys.stderr)
        return names
    if found:
        score_names.keep(found)
    return found


def _note(scores: pd.DataFrame, names: score_names.Names, horizons: list[int]) -> None:
    """Say which scores aren't drawn, and why."""
    warnings, lines = score_names.notes(scores, names, horizons)
    undated = int((scores["closed"] == "").sum())
    if undated:
        lines.append(f"{undated} scores are of rounds without a date, and aren't drawn")
    print("\n".join(lines), end="\n" if lines else "")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


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


def _by_source(scores: pd.DataFrame, given: journal.Given, days: int) -> list[tuple[Source, pd.DataFrame]]:
    """Return the scores of a model by what predicted their rounds: what the model is given now first, then what came last before."""
    sent = [given.in_round(*row) for row in scores[["round", "closed"]].itertuples(index=False)]
    sources = dict.fromkeys([given.last, *reversed(sent)])
    return [(_source(one, days, earlier=one != given.last), scores[np.array([other == one for other in sent], bool)]) for one in sources]


def _source(sent: Sent | None, days: int, *, earlier: bool) -> Source:
    """Return what predicted some rounds, with the validation scores that were kept of it for a target so many trading days ahead."""
    if sent is None:
        return Source("", "", None, NO_PROMISE, earlier)
    table = promises.read(sent.digest, days)
    if table is None:
        reason = f"no validation scores of a target of {days} days are kept of it" if sent.digest else "sent before its validation was kept"
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
