"""Payouts of measured scores, as tables and a picture. This project can't move a stake."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, LIVE, PREDICTION
from erawise.charts import figures, outlook_charts, style
from erawise.evaluation import doubt
from erawise.live import score_names
from erawise.live.account import Account
from erawise.live.scorebook import Scorebook
from erawise.live.terms import of_round, paid_scores
from erawise.outlook import monitoring, payout_replay, payout_split, payout_tables, staking
from erawise.outlook.payout_contract import Mode
from erawise.outlook.payout_replay import Plan
from erawise.outlook.staking import Terms, Year
from erawise.panel.panel import days_ahead
from erawise.regimes import regimes
from erawise.regimes.regimes import Regimes
from erawise.regimes.settings import Payout
from erawise.running import paths, terminal
from erawise.running.errors import InputError
from erawise.running.terminal import Form

TOY = "This is no forecast: the scores are of the embedded market, a toy whose law is known. Nothing here says what Numerai would pay."
NO_FORECAST = "This is no forecast: it is what these scores would have brought, if rounds to come were like the measured ones."
STAND_IN = "BMC in place of MMC, a stand-in: it is against the benchmark models, not against the meta model"


def replay(file: Path, mode: Mode, stake: float, deposit: float, concurrent: int, stop_at: int | None, *, as_json: bool) -> None:
    """Replay a strategy that stakes on the rounds of a file; print each settlement, and the totals.

    Raises
    ------
    InputError
        If the file is broken, or the regime puts the whole stake on each round.
    """
    settings = params.load(paths.PARAMS).payout
    regime = known(settings).named(settings.regime)
    if regime.stake != "per_round":
        raise InputError(f"payout.regime: {regime.id} puts the whole stake on each round; --replay is for one with stakes by round")
    if concurrent > regime.concurrent:
        raise InputError(f"--concurrent: {regime.id} has at most {regime.concurrent} rounds open at once (it is {concurrent})")
    rounds = payout_replay.read(file, regime)
    plan = Plan(mode, Decimal(str(stake)), Decimal(str(deposit)), concurrent, stop_at)
    found = payout_replay.replay(rounds, plan, regime, regime.factor.for_total(settings.total_at_risk))
    left = len(rounds) - len(found["steps"])
    if left:
        print(f"warning: {left} rounds at the end of {file.name} open after --stop-at: they have no position", file=sys.stderr)
    print(json.dumps(found) if as_json else payout_tables.replayed(found))


def estimate(split: str, models: Sequence[str], number: int | None, mode: Mode, out: Path, *, stand_in: bool, form: Form) -> None:
    """Write and print what scores would pay: a round, a year of rounds under each regime, and the division of a stake over the models.

    Parameters
    ----------
    split : of the scores: `validation`, `cv` or `live`.
    models : names of predictions; empty for all.
    number : the round whose terms hold, 0 for the current one; None for the regime of the settings.
    mode : of staking by round.
    out : the directory for the tables and the picture.
    stand_in : whether BMC takes the place of MMC.
    form : of the output.

    Raises
    ------
    InputError
        If there are no such scores, models or round.
    """
    p = params.load(paths.PARAMS)
    settings = p.payout
    days = days_ahead(paths.PANEL, p.data.target)
    scores = measured(split, days)
    if stand_in:
        if "bmc" not in scores:
            raise InputError(f"--stand-in: the scores of {split} have no BMC; take scores that have it, or leave --stand-in out")
        scores = scores.assign(mmc=scores["bmc"])
    every = known(settings)
    name, terms, messages = _terms(settings, every, number, days)
    names = list(models) or list(scores[PREDICTION].unique())
    if split == CV and (in_doubt := [name for name in doubt.doubtful(files.read_json(paths.SCORES / f"{CV}.json")) if name in names]):
        messages = [*messages, f"not known to be out of fold, so that the scores may be in sample: {', '.join(in_doubt)}"]
    others = _computable(settings, every, scores[scores[PREDICTION].isin(names)]) | {name: terms}
    year = Year(mode, settings.drawdown, settings.replicates, settings.draws, settings.seed)
    found = staking.history(scores, names, terms, days, list(others.values()))
    table, bands = staking.outlook(found, year)
    each, shares = staking.under_each(found, others, year), payout_split.split(found, year, settings.cap)
    tables = {"predictions": table, "regimes": each} | ({"modes": staking.modes(found, year)} if terms.concurrent else {})
    out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(table, out / "payout.csv")
    tabular.write_csv(each, out / "regimes.csv")
    tabular.write_csv(payout_tables.shares(shares), out / "split.csv")
    content = payout_tables.content(name, terms, year, tables, shares)
    files.write_json(content, out / "payout.json")
    picture = outlook_charts.payout(payout_tables.picture(bands, table), table, style.colours(sorted(p.models)))
    figures.write(picture, out / "payout.svg")
    if form == "json":
        print(json.dumps(content))
    elif form == "csv":
        print(table.to_csv(index=False), end="")
    else:
        left_out = f", {found.left_out} left out that lack a score" if found.left_out else ""
        terminal.write(
            [
                TOY if p.data.source == "market" and split != LIVE else NO_FORECAST,
                f"{len(found.eras)} eras of {split}{left_out}",
                *payout_tables.terms_line(name, terms, year).splitlines(),
                *messages,
                *([STAND_IN] if stand_in else []),
                *_of_other_horizons(every, others, days),
                payout_tables.rounds(table),
                payout_tables.years(table, year),
                *([payout_tables.modes(tables["modes"])] if "modes" in tables else []),
                payout_tables.each(each, year.drawdown),
                payout_tables.splits(shares, settings.cap),
                *payout_tables.sentence(shares).splitlines(),
                "",
                f"written to {out}: payout.csv, regimes.csv, split.csv, payout.json, payout.svg; no stake was moved",
            ],
            form,
        )


def known(settings: Payout) -> Regimes:
    """Return the regimes of the package and of the settings' own file."""
    return regimes.load(settings.regimes)


def _terms(settings: Payout, every: Regimes, number: int | None, days: int) -> tuple[str, Terms, list[str]]:
    """Return name and terms of a round (from the server) or a regime, and for a round a line on the scores that it pays for."""
    if number is None:
        regime = every.named(settings.regime)
        return regime.id, staking.terms_of(regime, settings.total_at_risk), []
    found = Account().round(number or None)
    regime = every.of_round(found.number)
    name, paid = f"round {found.number}", paid_scores(found)
    scores = ", ".join(f"{one.shown} ({one.name}, version {one.version})" for one in paid)
    return name, of_round(found, paid, regime, days, settings.total_at_risk), [f"{name} pays for {scores}"]


def _computable(settings: Payout, every: Regimes, scores: pd.DataFrame) -> dict[str, Terms]:
    """Return, by id, the terms of the regimes whose scores all predictions have."""
    had = scores.notna().groupby(scores[PREDICTION]).any().all()
    found = {}
    for regime in every.regimes:
        with suppress(InputError):
            terms = staking.terms_of(regime, settings.total_at_risk)
            if all(had.get(column, False) for column in terms.multipliers):
                found[regime.id] = terms
    return found


def _of_other_horizons(every: Regimes, shown: Mapping[str, Terms], days: int) -> list[str]:
    """Return a line on the regimes that pay for another horizon than these scores have, or none."""
    others = [f"{one.id} ({one.horizon} days)" for one in every.regimes if one.id in shown and one.horizon != days]
    if not others:
        return []
    return [f"the scores look {days} days ahead; for regimes of another horizon the result is a stand-in: {', '.join(others)}"]


def measured(split: str, days: int) -> pd.DataFrame:
    """Return the scores of the last evaluation, or live scores of a horizon: `era`, `prediction` and columns of scores."""
    if split == LIVE:
        found = monitoring.history(score_names.labelled(Scorebook(paths.LIVE_SCORES).read(), score_names.kept(), days))
        if found.empty:
            raise InputError(f"{paths.LIVE_SCORES}: no resolved round has live scores of {days} days; `erawise monitor` fetches them")
        return found
    try:
        return tabular.read_parquet(paths.SCORES / f"{split}.parquet", [ERA, PREDICTION, "corr", "mmc", "bmc", "fnc"])
    except InputError as error:
        raise InputError(f"{error}; `dvc repro evaluate` makes it, `dvc checkout` restores it") from None
