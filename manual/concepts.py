"""The tables behind the pictures of docs/concepts.md, computed on the embedded market by the code that the pipeline runs.

`python -m manual.concepts` draws the pictures into docs/concepts/. It needs no run: it draws the market itself, in a second.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from erawise.base.schema import purge_weeks, spanned_weeks
from erawise.blend import neutralization
from erawise.charts import figures
from erawise.charts.tables import PURGED, TEST, TRAIN, Table
from erawise.evaluation import significance
from erawise.folds import splits
from erawise.folds.settings import Split
from erawise.scores import kernels
from erawise.scores.kernels import Floats
from erawise.sources.market.law import draw_law, strength
from erawise.sources.market.settings import Market
from erawise.sources.market.targets import targets
from erawise.sources.market.weeks import windows
from manual import pictures

PICTURES = Path(__file__).parents[1] / "docs" / "concepts"
DAYS = 20
SETTINGS = Market(seed=7, train_eras=168, validation_eras=20, stocks=500, features=60, drift=0.0)
LEARNED = 80
"""Eras from which the linear model learns; it predicts the eras after the purge."""

SHOWN_ERA = 104
"""Position of the era that is shown in detail, in which the linear model does well."""

SHOWN_STOCKS, SHOWN_FEATURES = 12, 8
RISKY = 15
BARS = 12
OUTER = 0.1
COPY = 0.95
"""Correlation of the near copy with the meta model."""

TRAINED, CHECKED, DAYS_60 = 200, 200, 60
"""Eras of train and of the final check, and the horizon, of the timeline of models that are retrained."""

INTERVALS = {"never": None, "every 52 weeks": 52, "every 13 weeks": 13}

NORMAL = 1.959964
"""Standard errors in half a 95 % interval if eras are independent."""


@dataclass(frozen=True)
class Era:
    """One era of the market.

    Parameters
    ----------
    number : its week, from 1.
    features : (rows, features) int8.
    target : (rows,) float64.
    outcome : (rows,) sum of the returns from which the target is binned.
    meta_model, best : (rows,) the meta model, and the best possible prediction.
    """

    number: int
    features: NDArray[np.int8]
    target: Floats
    outcome: Floats
    meta_model: Floats
    best: Floats

    @property
    def centred(self) -> Floats:
        return self.target - self.target.mean()


@dataclass(frozen=True)
class Study:
    """The eras of the market, and a linear model: the weight of a feature is its mean correlation with the target."""

    eras: list[Era]
    correlations: Floats
    """(eras, features) with the target; 0 where a feature is constant."""

    @property
    def weights(self) -> Floats:
        mean: Floats = self.correlations[:LEARNED].mean(axis=0)
        return mean

    @property
    def later(self) -> list[Era]:
        """The eras that the linear model has not learned from, after the purge."""
        return self.eras[LEARNED + purge_weeks(DAYS) :]

    def linear(self, era: Era) -> Floats:
        """Return the model's predictions (rows,), rounded so that ties are ties on every processor."""
        return np.round(era.features.astype(np.float64) @ self.weights, 9)


def study() -> Study:
    """Draw the market and fit the linear model."""
    law = draw_law(SETTINGS.features, strength(SETTINGS.stocks), np.random.default_rng(SETTINGS.seed))
    unknown = np.random.default_rng(SETTINGS.seed)
    eras = []
    for window in windows(SETTINGS, law):
        week = window[0]
        if week.number > SETTINGS.train_eras:
            break
        outcome = np.sum([each.returns[0][week.rows] for each in window[: spanned_weeks(DAYS)]], axis=0)
        target = targets(window, unknown)[f"target_ender_{DAYS}"].astype(np.float64)
        eras.append(Era(week.number, np.ascontiguousarray(week.features.T), target, outcome, week.opinions[0], week.oracle))
    return Study(eras, np.array([np.nan_to_num(kernels.feature_correlations(era.features, era.target)) for era in eras]))


def target(found: Study) -> tuple[Table, Table]:
    """Return a few rows of one era, and the outcome and the target of all its rows."""
    era = found.eras[SHOWN_ERA]
    ascending = np.argsort(era.outcome, kind="stable")
    rows = ascending[np.linspace(0.02 * len(ascending), 0.98 * len(ascending), SHOWN_STOCKS).astype(int)]
    cells = [
        {"stock": place, "column": column, "value": value}
        for place, row in enumerate(rows)
        for column, value in [*enumerate(era.features[row, :SHOWN_FEATURES] / 4), (SHOWN_FEATURES, era.target[row])]
    ]
    outcomes = pd.DataFrame({"outcome": era.outcome, "target": era.target})
    headline = f"An era is one week of the market: here {len(era.target)} stocks, described by features and ranked by what follows"
    return Table(pd.DataFrame(cells), headline), Table(outcomes, headline)


def purge(_: Study) -> Table:
    """Return the weeks that the target of each era spans, in one fold of purged k-fold cross-validation."""
    weeks, span = purge_weeks(DAYS), spanned_weeks(DAYS)
    fold = splits.purged_kfold(np.arange(1, 36), 5, weeks)[2]
    roles = [(TRAIN, fold.train), (PURGED, fold.purged), (TEST, fold.test)]
    frame = pd.DataFrame([{"era": int(era), "role": role, "last": int(era) + span - 1} for role, eras in roles for era in eras])
    known = (int(fold.test[0]), int(fold.test[-1]) + span - 1)
    frame["shares"] = (frame["role"] == PURGED) & (frame["last"] >= known[0]) & (frame["era"] <= known[1])
    frame["test_first"], frame["test_last"] = known
    overlap, purged = int(frame["shares"].sum()), len(fold.purged)
    headline = f"The purge takes {purged} eras next to the test out of training; {overlap} of them share weeks with it"
    return Table(frame.sort_values("era", ignore_index=True), headline)


def corr(found: Study) -> Table:
    """Return one era's prediction in the steps of CORR: raw, rank, gaussian, power 1.5."""
    era = found.eras[SHOWN_ERA]
    prediction = found.linear(era)
    ranks = kernels.ranked(prediction[:, None])
    score = float(kernels.numerai_corr(ranks.gaussian, era.centred)[0])
    frame = pd.DataFrame(
        {
            "prediction": prediction,
            "rank": ranks.uniform[:, 0],
            "gaussian": ranks.gaussian[:, 0],
            "powered": ranks.powered[:, 0],
            "target": era.target,
        }
    )
    outer = (frame["rank"] < OUTER / 2) | (frame["rank"] > 1 - OUTER / 2)
    for name in ("gaussian", "powered"):
        frame[f"outer_{name}"] = float(np.square(frame.loc[outer, name]).sum() / np.square(frame[name]).sum())
    return Table(frame.assign(corr=score, outer=outer), f"From a prediction to its CORR in one era: here {score:+.3f}")


def neutralized(found: Study) -> tuple[Table, Table]:
    """Return exposures of one era at three proportions, and the CORR of the later eras without and with neutralization."""
    risky = neutralization.riskiest(found.correlations[:LEARNED], RISKY)
    era = found.eras[SHOWN_ERA]
    exposures = {proportion: _exposures(found.linear(era), era, risky, proportion) for proportion in (0.0, 0.5, 1.0)}
    shown = np.argsort(-np.abs(exposures[0.0]), kind="stable")[:BARS]
    bars = pd.DataFrame(
        [
            {"proportion": proportion, "place": place, "feature": int(feature) + 1, "exposure": values[feature]}
            for proportion, values in exposures.items()
            for place, feature in enumerate(shown)
        ]
    )
    bars["neutralized"] = bars["feature"].sub(1).isin(risky)
    scores = pd.DataFrame(
        [
            {"era": era.number, "proportion": p, "corr": _corr(_neutral(found.linear(era), era, risky, p), era)}
            for era in found.later
            for p in (0.0, 1.0)
        ]
    )
    headline = "Made neutral to risky features, a prediction loses swings, and some of its mean"
    return Table(bars, headline), Table(scores, headline)


def mmc(found: Study) -> Table:
    """Return correlation with the meta model, CORR and MMC of several predictions, as means over eras."""
    rng = np.random.default_rng(SETTINGS.seed)
    rows = []
    for era in found.later:
        meta = kernels.gaussianize(era.meta_model)
        copy = COPY * meta + np.sqrt(1 - COPY**2) * rng.standard_normal(len(meta))
        values = {"meta model": meta, "near copy of it": copy, "linear model": found.linear(era), "best possible": era.best}
        gaussian = kernels.gaussianize(np.column_stack(list(values.values())))
        scores = (
            kernels.pearson_with(gaussian, meta),
            kernels.numerai_corr(gaussian, era.centred),
            kernels.contribution(gaussian, meta, era.target),
        )
        rows += [dict(zip(("prediction", "meta_corr", "corr", "mmc"), each, strict=True)) for each in zip(values, *scores, strict=True)]
    frame = pd.DataFrame(rows).groupby("prediction", sort=False).mean().reset_index()
    headline = "MMC pays for what the meta model lacks: next to nothing for a near copy of it, however good its CORR"
    return Table(frame, headline)


def independence(found: Study) -> tuple[Table, Table]:
    """Return the autocorrelation of CORR by era with the share of common weeks, and the interval of its mean in two ways."""
    series = np.array([_corr(era.best, era) for era in found.eras])
    span = spanned_weeks(DAYS)
    deviation = series - series.mean()
    lags = range(2 * span + 1)
    frame = pd.DataFrame(
        {
            "lag": lags,
            "seen": [float(deviation[lag:] @ deviation[: len(series) - lag] / (deviation @ deviation)) for lag in lags],
            "shared": [max(0.0, 1 - lag / span) for lag in lags],
        }
    )
    mean = significance.mean(series, overlap=span)
    reach = NORMAL * series.std(ddof=1) / np.sqrt(len(series))
    ways = [("if eras were\nindependent", mean.mean - reach, mean.mean + reach), ("as it is", mean.low, mean.high)]
    intervals = pd.DataFrame([{"way": way, "mean": mean.mean, "low": low, "high": high} for way, low, high in ways])
    headline = f"Targets that overlap say less: {mean.eras} eras know the mean CORR as well as {mean.effective_eras:.0f} independent ones"
    return Table(frame, headline), Table(intervals, headline)


def staleness() -> tuple[Table, Table]:
    """Return the eras that each of the models of a final check learns from and predicts, and how old the model of each era is."""
    train, validation = np.arange(1, TRAINED + 1), np.arange(TRAINED + 1, TRAINED + CHECKED + 1)
    settings = Split(method="purged_kfold", folds=2, chunk=52, window=None)
    plans = {name: splits.plan(train, validation, DAYS_60, settings, every) for name, every in INTERVALS.items()}
    blocks = {name: plan.blocks or [splits.Fold(plan.train, plan.validation, plan.validation_purged)] for name, plan in plans.items()}
    never, yearly = list(INTERVALS)[:2]
    lines = [(never, blocks[never][0]), *((f"model {k}", block) for k, block in enumerate(blocks[yearly], 1))]
    roles = [
        {"model": name, "role": role, "first": eras[0], "last": eras[-1]}
        for name, block in lines
        for role, eras in ((TRAIN, block.train), (PURGED, block.purged), (TEST, block.test))
    ]
    ages = [
        {"retrained": name, "era": era, "weeks": era - block.train[-1]}
        for name, own in blocks.items()
        for block in own
        for era in block.test
    ]
    oldest = pd.DataFrame(ages).groupby("retrained")["weeks"].max()
    headline = f"A model that is never retrained is up to {oldest[never]} weeks old; retrained every 52 weeks, at most {oldest[yearly]}"
    return Table(pd.DataFrame(roles), headline), Table(pd.DataFrame(ages), headline)


def draw(directory: Path) -> None:
    """Draw every picture into an existing directory."""
    found = study()
    drawn: dict[str, Figure] = {
        "target": pictures.target(*target(found)),
        "corr": pictures.corr(corr(found)),
        "mmc": pictures.mmc(mmc(found)),
        "neutralization": pictures.neutralization(*neutralized(found)),
        "purge": pictures.purge(purge(found)),
        "independence": pictures.independence(*independence(found)),
        "staleness": pictures.staleness(*staleness()),
    }
    for name, figure in drawn.items():
        figures.write(figure, directory / f"{name}.svg")


def _neutral(prediction: Floats, era: Era, features: NDArray[np.int64], proportion: float) -> Floats:
    gaussian = kernels.gaussianize(prediction[:, None])
    return neutralization.neutralize_block(gaussian, era.features[:, features], proportion)[:, 0]


def _exposures(prediction: Floats, era: Era, features: NDArray[np.int64], proportion: float) -> Floats:
    """Return the exposures (features,) of a whole era, 0 for a constant feature."""
    return np.nan_to_num(kernels.exposures(_neutral(prediction, era, features, proportion)[:, None], era.features)[0])


def _corr(prediction: Floats, era: Era) -> float:
    return float(kernels.numerai_corr(kernels.gaussianize(prediction[:, None]), era.centred)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/concepts.md.")
    parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    draw(PICTURES)
    print(f"drawn: {', '.join(sorted(path.name for path in PICTURES.glob('*.svg')))}")


if __name__ == "__main__":
    main()
