"""The worth of retraining: one recipe, fitted anew at several intervals, predicts the same eras, each time from what was resolved by then.

Only eras that may be learned from take part, so that an interval can be chosen by the result: the final check isn't looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import PREDICTION
from erawise.base.settings import Objective as Name
from erawise.evaluation import objectives
from erawise.folds import splits
from erawise.folds.splits import Fold
from erawise.history import comparison
from erawise.models.shared.protocol import Resources
from erawise.panel.panel import FeatureMap, Panel
from erawise.running.errors import InputError
from erawise.running.terminal import Column, Sheet
from erawise.selection import selection
from erawise.selection.settings import SelectFeatures
from erawise.training import training
from erawise.training.fits import Fits
from erawise.training.kept import Question

NEVER = "never"
SCORES: tuple[Name, ...] = ("corr", "bmc", "mmc", "payout")


@dataclass(frozen=True)
class Timeline:
    """The eras of the comparison.

    Attributes
    ----------
    weeks : the purge.
    train, purged, tested : the eras that the first model is fitted on, those between, and the eras that are predicted.
    """

    weeks: int
    train: NDArray[np.int64]
    purged: NDArray[np.int64]
    tested: NDArray[np.int64]

    @classmethod
    def of(cls, eras: NDArray[np.int64], weeks: int, first: int | None = None) -> "Timeline":
        """Divide eras at the first one to be predicted, by default in the middle.

        Raises
        ------
        InputError
            If nothing is left to learn from or to predict.
        """
        start = int(eras[len(eras) // 2]) if first is None else first
        tested, earlier = eras[eras >= start], eras[eras < start]
        near = splits.near_any(earlier, tested[:1], weeks)
        if not len(tested) or near.all():
            raise InputError(
                f"--first: of the eras {eras[0]} to {eras[-1]}, era {start} and a purge of {weeks} weeks leave {len(tested)} to predict "
                f"and {(~near).sum()} to learn from; expected some of both"
            )
        return cls(weeks, earlier[~near], earlier[near], tested)

    def blocks(self, every: int | None) -> list[Fold]:
        """Return the eras that each fit learns from and predicts if there is one every so many weeks; None: only one.

        Raises
        ------
        InputError
            If neighbouring eras are further apart.
        """
        if every is None:
            return [Fold(self.train, self.tested, self.purged)]
        return splits.retrained(self.train, self.tested, self.purged, self.weeks, every)


def named(every: int | None) -> str:
    """Return the name of an interval in tables."""
    return NEVER if every is None else f"every {every} weeks"


def select(panel: Panel, time: Timeline, target: str, settings: SelectFeatures, resources: Resources) -> FeatureMap:
    """Select features on the eras of the first fit, which all intervals share."""
    plan = splits.Plan(time.weeks, [], time.train, time.tested, time.purged)
    return selection.select(panel, plan, target, settings, resources)[1]


def fits(time: Timeline, intervals: Sequence[int | None]) -> list[Fold]:
    """Return what each fit learns from and predicts, such that every interval has its predictions; each is made once."""
    last: dict[int, Fold] = {}
    for block in (block for every in intervals for block in time.blocks(every)):
        key = int(block.train[-1])
        tested = np.union1d(last[key].test, block.test) if key in last else block.test
        last[key] = Fold(block.train, tested, block.purged)
    return [last[key] for key in sorted(last)]


def predict(own: Fits, time: Timeline, intervals: Sequence[int | None], features: FeatureMap, rounds: int | None) -> pd.DataFrame:
    """Predict the tested eras by the models of each interval.

    Parameters
    ----------
    own : of the model, on data with the targets of all these eras.
    time : the eras.
    intervals : weeks between two fits; None for a single fit.
    features : that the model sees.
    rounds : of each fit; None for the settings' own.

    Returns
    -------
    DataFrame (rows, intervals), in the panel's order of the tested eras; columns by `named`.
    """
    asked = fits(time, intervals)
    tasks = [
        training.task_again(f"the fit on the eras to {fold.train[-1]}", Question(fold.train, fold.test, features, rounds)) for fold in asked
    ]
    panel = own.data.panel
    of_fit = {int(fold.train[-1]): (fold.test, fit.values) for fold, fit in zip(asked, training.again(own, tasks), strict=True)}
    rows = panel.row_numbers(time.tested)
    place = pd.Series(np.arange(len(rows)), index=rows)
    out = {}
    for every in intervals:
        values = np.full(len(rows), np.nan)
        for block in time.blocks(every):
            test, predicted = of_fit[int(block.train[-1])]
            numbers = panel.row_numbers(test)
            wanted = np.isin(panel.row_eras[numbers], block.test)
            values[place[numbers[wanted]].to_numpy()] = predicted[wanted]
        out[named(every)] = values
    return pd.DataFrame(out)


def compare(scores: pd.DataFrame, days: int, wanted: Sequence[Name] = SCORES) -> pd.DataFrame:
    """Compare each interval with a single fit, era by era.

    Parameters
    ----------
    scores : the long table of `score_eras` for the predictions of each interval.
    days : trading days that the target looks ahead.
    wanted : the scores; one that the data can't give is left out.

    Returns
    -------
    DataFrame, a row for each score and interval: `score`, `prediction`, and the figures of `comparison.pair`, in which "before" is the
    single fit. Holm's verdict is adjusted for the intervals of a score.
    """
    names = [name for name in scores[PREDICTION].unique() if name != NEVER]
    rows = []
    for name in wanted:
        try:
            by = objectives.of_tables(name, "the comparison", [(scores, scores)])
        except InputError:
            continue
        found = [{"prediction": one, **comparison.pair(scores, NEVER, scores, one, days, by=by)} for one in names]
        rows += [{"score": by.label, **row} for row in comparison.adjusted(found)]
    return pd.DataFrame(rows)


def sheets(table: pd.DataFrame, counts: Mapping[str, int]) -> list[Sheet]:
    """Return a table for each score; `counts` has the fits of each interval."""
    columns = [
        Column("retrained"),
        Column("fits", "d"),
        Column("mean", ".4f"),
        Column("less never", "+.4f", "most"),
        Column("95 % interval"),
        Column("verdict"),
        Column("by Holm"),
        Column("eras to tell", ",.0f", spare=1),
        Column("eras", "d", spare=2),
    ]
    found = []
    for label, rows in table.groupby("score", sort=False):
        first = rows.iloc[0]
        lines = [[NEVER, counts[NEVER], first["mean_before"], None, None, None, None, None, int(first["eras"])]]
        for row in rows.to_dict("records"):
            ends = comparison.interval(row["low"], row["high"], "+.4f")
            told = [row["mean_after"], row["difference"], ends, row["verdict"], row["verdict_holm"], comparison.eras_needed(row)]
            lines.append([row["prediction"], counts[row["prediction"]], *told, int(row["eras"])])
        found.append(Sheet(columns, lines, f"By {label}", str(label)))
    return found


def answer(table: pd.DataFrame, measure: str) -> str:
    """Return the answer in a sentence, by the last score of the table: which interval is better or worse than a single fit."""
    rows = table[table["score"] == measure]
    told = {verdict: rows.loc[rows["verdict_holm"] == verdict, "prediction"].tolist() for verdict in ("better", "worse")}
    parts = [f"{', '.join(names)} is {verdict} than a model that is never retrained" for verdict, names in told.items() if names]
    if parts:
        return f"By {measure}: {'; '.join(parts)}."
    return f"By {measure}: can't tell whether retraining is worth it. With so few independent eras only a larger difference could be told."
