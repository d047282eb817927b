"""The payouts of measured scores, as tables and a picture; nothing in this project can move a stake."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import ERA, LIVE, PREDICTION, spanned_weeks
from erawise.charts import figures, outlook_charts, style
from erawise.evaluation.settings import Evaluate
from erawise.live.account import Account
from erawise.live.scorebook import Scorebook
from erawise.live.terms import of_round
from erawise.outlook import monitoring, payout_tables, staking
from erawise.outlook.settings import Payout
from erawise.outlook.staking import Terms, Year
from erawise.panel.panel import days_ahead
from erawise.running import paths
from erawise.running.errors import InputError


def estimate(split: str, models: Sequence[str], number: int | None, out: Path) -> None:
    """Write and print what scores would pay: a round, a year of rounds, and the division of a stake over the models.

    Parameters
    ----------
    split : whose scores: `validation`, `cv` or `live`.
    models : names of predictions; all of them if there are none.
    number : the round whose terms hold, 0 for the current one; None for those of the settings.
    out : the directory for the tables and the picture.

    Raises
    ------
    InputError
        If there are no such scores, models or round.
    """
    p = params.load(paths.PARAMS)
    settings = p.payout
    days = days_ahead(paths.PANEL, p.data.target)
    names = {20: (p.monitor.corr_20, p.monitor.mmc_20), 60: (p.monitor.corr_60, p.monitor.mmc_60)}.get(days, ("", ""))
    terms = terms_of(p.evaluate, settings)
    if number is not None:
        terms = of_round(Account().round(number or None), names, terms)
    year = Year(settings.rounds_a_week, spanned_weeks(days), settings.drawdown, settings.replicates, settings.draws, settings.seed)
    scores = measured(split, names)
    found = staking.history(scores, list(models) or list(scores[PREDICTION].unique()), terms, days)
    table, bands = staking.outlook(found, year)
    shares = staking.split(found, year, settings.cap)
    out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(table, out / "payout.csv")
    tabular.write_csv(payout_tables.shares(shares), out / "split.csv")
    files.write_json(payout_tables.content(terms, year, table, shares), out / "payout.json")
    picture = outlook_charts.payout(payout_tables.picture(bands, table), table, style.colours(sorted(p.models)))
    figures.write(picture, out / "payout.svg")
    left_out = f", {found.left_out} left out that lack a score" if found.left_out else ""
    print(f"{len(found.eras)} eras of {split}{left_out}\n{payout_tables.terms_line(terms, year)}\n")
    print(f"**A round**\n\n{payout_tables.rounds(table)}\n")
    print(f"**A year**\n\n{payout_tables.years(table, year)}\n")
    print(f"**The split of highest log growth**, at most {settings.cap:.0%} on a model\n\n{payout_tables.splits(shares)}\n")
    print(payout_tables.sentence(shares))
    print(f"\nwritten to {out}: payout.csv, split.csv, payout.json, payout.svg; no stake was moved")


def terms_of(evaluate: Evaluate, settings: Payout) -> Terms:
    """Return the terms of a round, as the settings have them."""
    factor = staking.payout_factor(settings.total_at_risk, settings.threshold)
    return Terms(evaluate.corr_multiplier, evaluate.mmc_multiplier, factor, settings.clip)


def measured(split: str, names: tuple[str, str]) -> pd.DataFrame:
    """Return the scores of the last evaluation, or the live ones that were fetched: `era`, `prediction`, `corr`, `mmc`."""
    if split == LIVE:
        if not all(names):
            raise InputError("data.target: Numerai has live scores of 20 and of 60 days; expected a target that looks as far ahead")
        found = monitoring.history(Scorebook(paths.LIVE_SCORES).read(), *names)
        if found.empty:
            raise InputError(f"{paths.LIVE_SCORES}: no round has resolved of which there are live scores; `erawise monitor` fetches them")
        return found
    try:
        return tabular.read_parquet(paths.SCORES / f"{split}.parquet", [ERA, PREDICTION, "corr", "mmc"])
    except InputError as error:
        raise InputError(f"{error}; `dvc repro evaluate` makes it, `dvc checkout` restores it") from None
