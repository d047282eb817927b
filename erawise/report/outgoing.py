"""Facts beside the scores of a run: yardsticks, a year of stakes, and the live predictions that go out."""

import numpy as np
import pandas as pd

from erawise import params
from erawise.base import tabular
from erawise.base.schema import CV, ERA, ID, LIVE, META_MODEL, PREDICTION, SPLIT, VALIDATION
from erawise.evaluation import evaluation, objectives
from erawise.evaluation.evaluation import Evaluated
from erawise.exploration.drift import is_beyond
from erawise.folds.splits import spaced
from erawise.live import submission
from erawise.outlook import staking
from erawise.outlook.staking import Year
from erawise.panel import groups
from erawise.panel.panel import Panel
from erawise.regimes import regimes
from erawise.report import content
from erawise.report.content import BENCHMARK, BEST, CORR, META, Stake
from erawise.running import paths
from erawise.running.errors import InputError
from erawise.scores import kernels

LIVE_BENCHMARKS = paths.RAW / "live_benchmark_models.parquet"

LOOKED_AT = 12
"""Eras, evenly spaced, in which exposures to single features are computed."""

LARGEST = 10
"""Features to name."""


def yardsticks(p: params.Params, found: Evaluated, scores: dict[str, pd.DataFrame], panel: Panel) -> pd.DataFrame:
    """Score the benchmark model and the meta model in the eras of the run, and take the best possible scores from its tables.

    Returns
    -------
    DataFrame with `era`, `split`, `prediction` (of `content.YARDSTICKS`) and `corr`; eras without a score are left out.
    """
    names = {BENCHMARK: found.benchmark, META: META_MODEL}
    pieces = []
    for split, targets in ((CV, panel.index), (VALIDATION, tabular.read_parquet(paths.VALIDATION_TARGETS))):
        eras = scores[split][ERA].unique()
        index = targets.loc[targets[ERA].isin(eras), [ID, ERA, p.data.target]]
        for name, column in names.items():
            if column is None or not len(index):
                continue
            theirs = tabular.read_parquet(paths.REFERENCES)
            if column not in theirs:
                continue
            rows = theirs.loc[theirs[ERA].isin(eras), [ID, ERA, column]].rename(columns={column: PREDICTION}).dropna()
            own, corr = objectives.by_era(rows, index, objectives.by_corr(index[p.data.target], panel.score))
            pieces.append(pd.DataFrame({ERA: own, SPLIT: split, PREDICTION: name, CORR: corr}))
        if "oracle_corr" in scores[split]:
            best = scores[split].drop_duplicates(ERA)[[ERA, "oracle_corr"]].rename(columns={"oracle_corr": CORR})
            pieces.append(best.assign(**{SPLIT: split, PREDICTION: BEST}))
    every = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=[ERA, SPLIT, PREDICTION, CORR])
    return every.dropna(subset=[CORR]).sort_values([SPLIT, PREDICTION, ERA], kind="stable", ignore_index=True)


def stake(p: params.Params, chosen: str, scores: dict[str, pd.DataFrame], days: int) -> Stake:
    """Return a year of stakes on the chosen prediction, by its scores out of fold; BMC takes the place of MMC if no era has one."""
    regime = regimes.load(p.payout.regimes).named(p.payout.regime)
    table = scores[CV][scores[CV][PREDICTION] == chosen]
    stand_in = "bmc" in table and ("mmc" not in table or table["mmc"].isna().all())
    year = Year("compound", p.payout.drawdown, p.payout.replicates, p.payout.draws, p.payout.seed)
    try:
        terms = staking.terms_of(regime, p.payout.total_at_risk)
        found = staking.history(table.assign(mmc=table["bmc"]) if stand_in else table, [chosen], terms, days)
        figures, bands = staking.outlook(found, year)
    except InputError as error:
        return Stake(regime=regime.id, reason=str(error))
    return Stake(CV, stand_in, regime.id, found.rates[:, 0], figures.iloc[0].drop(PREDICTION).astype(float).to_dict(), bands)


def live(p: params.Params, chosen: str, frames: dict[str, pd.DataFrame], panel: Panel) -> content.Live:
    """Check the live predictions that go out, and measure the exposures of the chosen one.

    Parameters
    ----------
    frames : `id`, `era`, `split` and `prediction` of each prediction that goes out: the live rows, and the cv rows of some eras.
    panel : of the train eras.
    """
    now = Panel(paths.LIVE, [])
    rows = [line for name, frame in frames.items() for line in _checks(p, name, frame[frame[SPLIT] == LIVE], now.n_rows)]
    if (paths.EXPLORED / "drift.csv").exists():
        drift = pd.read_csv(paths.EXPLORED / "drift.csv")
        usual = len(drift) / (drift["eras"].max() + 1)
        beyond = int(is_beyond(drift).sum())
        rows.append(
            ("live data", "features further off than in any train era", f"{beyond}", f"about {usual:.0f} by luck", beyond <= 3 * usual + 3)
        )
    cv = frames[chosen][frames[chosen][SPLIT] == CV]
    eras = spaced(np.unique(cv[ERA].to_numpy(np.int64)), LOOKED_AT)
    held = [_exposed(cv[cv[ERA] == era], panel, int(era)) for era in eras]
    mean = np.nanmean(np.abs(held), axis=0) if held else np.full(panel.n_matrix, np.nan)
    today = _exposed(frames[chosen][frames[chosen][SPLIT] == LIVE], now, int(now.eras[0]))
    table = pd.DataFrame(
        {
            "feature": panel.feature_names,
            "group": groups.first_group(panel.feature_names, panel.feature_sets),
            "cv": mean,
            "live": np.abs(today),
        }
    )
    largest = table.sort_values("cv", ascending=False, kind="stable", ignore_index=True).head(LARGEST)
    return content.Live(pd.DataFrame(rows, columns=["prediction", "check", "found", "expected", "passed"]), largest, len(eras))


def _checks(p: params.Params, name: str, rows: pd.DataFrame, expected: int) -> list[tuple[str, str, str, str, bool]]:
    """Return the checks of one prediction, as a submission makes them."""
    try:
        table = submission.table(rows[[ID, PREDICTION]].rename(columns={PREDICTION: name}), name)
    except InputError as error:
        return [(name, "ranks can be handed in", str(error), "each id once, values that differ", False)]
    values = rows[PREDICTION].nunique()
    found = [
        (name, "live rows", f"{len(table):,}", f"{expected:,}", len(table) == expected),
        (name, "different values", f"{values:,}", "at least half of the rows", values >= len(table) / 2),
    ]
    if LIVE_BENCHMARKS.exists():
        column = evaluation.evaluated(paths.SCORES).benchmark
        theirs = tabular.read_parquet(LIVE_BENCHMARKS)
        if column in theirs:
            corr, _ = submission.rank_correlation(table, theirs[[ID, column]].rename(columns={column: PREDICTION}))
            low, high = p.submit.min_benchmark_corr, p.submit.max_benchmark_corr
            found.append((name, f"rank correlation with {column}", f"{corr:.3f}", f"{low:g} to {high:g}", low <= corr <= high))
    return found


def _exposed(rows: pd.DataFrame, panel: Panel, era: int) -> np.ndarray:
    """Return the correlation of a prediction with each feature in an era; NaN for a feature that is constant there."""
    where = panel.rows(era)
    values = panel.index[[ID]].iloc[where].merge(rows[[ID, PREDICTION]], on=ID, how="left")[PREDICTION].to_numpy(np.float64)
    known = np.isfinite(values)
    if known.sum() < 2:
        return np.full(panel.n_matrix, np.nan)
    return kernels.exposures(values[known, None], np.asarray(panel.stored(era))[known])[0]
