"""What the scores would have paid: `python -m stages.payout`; a command, no stage of the DAG.

Payout and burn of a round, a year of rounds by a bootstrap over eras, and how a stake would be divided over the models for the
highest log growth. It reads scores and settings and writes tables; nothing in this project can move a stake.

Exit codes: 0, done; 1, something has to be mended; with --round also 3, there is no such round; 75, the network or the server failed.
"""

import argparse
from pathlib import Path

import pandas as pd

from erawise import params
from erawise.base import files, tabular
from erawise.base.schema import CV, ERA, LIVE, PREDICTION, VALIDATION, horizon, spanned_weeks
from erawise.charts import figures, outlook_charts, style
from erawise.live.account import Account
from erawise.live.scorebook import Scorebook
from erawise.live.terms import of_round
from erawise.outlook import monitoring, payout_tables, staking
from erawise.outlook.staking import Terms, Year
from erawise.running import errors, paths
from stages import arguments


@errors.reported
def main() -> None:
    given = _arguments()
    p = params.load(paths.PARAMS)
    settings = p.payout
    days = horizon(p.data.target, p.data.target_horizon)
    names = {20: (p.monitor.corr_20, p.monitor.mmc_20), 60: (p.monitor.corr_60, p.monitor.mmc_60)}.get(days, ("", ""))
    terms = terms_of(p.evaluate, settings)
    if given.round is not None:
        terms = of_round(Account().round(given.round or None), names, terms)
    year = Year(settings.rounds_a_week, spanned_weeks(days), settings.drawdown, settings.replicates, settings.draws, settings.seed)
    scores = measured(given.scores, names)
    found = staking.history(scores, given.models or list(scores[PREDICTION].unique()), terms, days)
    table, bands = staking.outlook(found, year)
    split = staking.split(found, year, settings.cap)
    given.out.mkdir(parents=True, exist_ok=True)
    tabular.write_csv(table, given.out / "payout.csv")
    tabular.write_csv(payout_tables.shares(split), given.out / "split.csv")
    files.write_json(payout_tables.content(terms, year, table, split), given.out / "payout.json")
    picture = outlook_charts.payout(payout_tables.picture(bands, table), table, style.colours(sorted(p.models)))
    figures.write(picture, given.out / "payout.svg")
    left_out = f", {found.left_out} left out that lack a score" if found.left_out else ""
    print(f"{len(found.eras)} eras of {given.scores}{left_out}\n{payout_tables.terms_line(terms, year)}\n")
    print(f"**A round**\n\n{payout_tables.rounds(table)}\n")
    print(f"**A year**\n\n{payout_tables.years(table, year)}\n")
    print(f"**The split of highest log growth**, at most {settings.cap:.0%} on a model\n\n{payout_tables.splits(split)}\n")
    print(payout_tables.sentence(split))
    print(f"\nwritten to {given.out}: payout.csv, split.csv, payout.json, payout.svg; no stake was moved")


def terms_of(evaluate: params.Evaluate, settings: params.Payout) -> Terms:
    """The terms of a round, as the settings have them."""
    factor = staking.payout_factor(settings.total_at_risk, settings.threshold)
    return Terms(evaluate.corr_multiplier, evaluate.mmc_multiplier, factor, settings.clip)


def measured(split: str, names: tuple[str, str]) -> pd.DataFrame:
    """The scores of the last evaluation, or those of your models that `monitor` has fetched: `era`, `prediction`, `corr`, `mmc`."""
    if split == LIVE:
        if not all(names):
            raise errors.InputError("data.target: Numerai has live scores of 20 and of 60 days; expected a target that looks as far ahead")
        found = monitoring.history(Scorebook(paths.LIVE_SCORES).read(), *names)
        if found.empty:
            raise errors.InputError(f"{paths.LIVE_SCORES}: no round has resolved of which there are live scores; monitor fetches them")
        return found
    try:
        return tabular.read_parquet(paths.SCORES / f"{split}.parquet", [ERA, PREDICTION, "corr", "mmc"])
    except errors.InputError as error:
        raise errors.InputError(f"{error}; `dvc repro evaluate` makes it, `dvc checkout` restores it") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.payout", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--scores", choices=[VALIDATION, CV, LIVE], default=VALIDATION, help="whose scores are taken; validation where not given"
    )
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="predictions to take; all models, ensemble and neutralized where not given"
    )
    parser.add_argument(
        "--round",
        type=arguments.round_or_current,
        metavar="NUMBER",
        help="take what this round pays for from Numerai; 0: the current one",
    )
    parser.add_argument("--out", type=Path, default=paths.PAYOUT, help="directory for the tables and the picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
