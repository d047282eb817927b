"""Tables behind the pictures: small, each with the sentence that heads its picture."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import ERA, ID, PREDICTION, SPLIT
from erawise.folds.splits import Plan, spaced
from erawise.running.errors import InputError

CORR = "corr"
TARGET = "target"
TENTHS = 10
MAX_PERIODS = 200
MAX_POINT_ERAS = 100
SUMMARY = {"min": 0.0, "p05": 0.05, "q1": 0.25, "median": 0.5, "q3": 0.75, "p95": 0.95, "max": 1.0}
"""The columns of a summary, as quantiles; `mean` and `count` follow them."""

ROLES = TRAIN, PURGED, TEST = ("train", "purged", "test")


@dataclass(frozen=True)
class Table:
    """Content of one picture.

    Parameters
    ----------
    frame : DataFrame, one row for each mark.
    headline : what there is to see.
    """

    frame: pd.DataFrame
    headline: str


def read(path: Path, stage: str, numbers: tuple[str, ...], texts: tuple[str, ...]) -> pd.DataFrame:
    """Read columns of a table that a stage has written; an empty number is NaN.

    Raises
    ------
    InputError
        If the file is missing or lacks a column.
    """
    try:
        found = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values={name: [""] for name in numbers})
        return found[[*texts, *numbers]].astype(dict.fromkeys(numbers, float))
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run {stage}") from None
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not the table that {stage} writes ({error}); run {stage} again") from None


def corr_box(scores: pd.DataFrame, split: str) -> Table:
    """Summarize the per-era CORR of each prediction.

    Parameters
    ----------
    scores : DataFrame with `era`, `prediction`, `corr`; a NaN is an era without a score and is left out.
    split : name of the evidence, for the headline.

    Returns
    -------
    Table with `prediction`, the summary and `count`, the number of eras; a prediction without any score is absent.
    """
    frame = _summaries(scores, PREDICTION, CORR)
    if frame.empty:
        return _nothing(frame, split)
    best = frame.loc[frame["median"].idxmax()]
    headline = f"CORR per era, {split}: {best[PREDICTION]} has the highest median, {best['median']:.4f}, over {best['count']} eras"
    return Table(frame, headline)


def corr_time(scores: pd.DataFrame, split: str) -> Table:
    """Return the per-era CORR over time and its running sum.

    More than `MAX_PERIODS` eras are shown as means of adjacent ones. The running sum is over all eras; an era without a
    score (NaN) adds nothing to it.

    Returns
    -------
    Table with `prediction`, `era` (the last of the period), `corr` (the period's mean), `cumulative`, `eras` (in the period).
    """
    scored = scores.dropna(subset=[CORR])
    eras = np.unique(scored[ERA].to_numpy(np.int64))
    width = max(1, -(-len(eras) // MAX_PERIODS))
    pieces = [_running(group.sort_values(ERA), str(name), eras, width) for name, group in scored.groupby(PREDICTION, sort=False)]
    frame = pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(columns=[PREDICTION, ERA, CORR, "cumulative", "eras"])
    if frame.empty:
        return _nothing(frame, split)
    ends = frame.groupby(PREDICTION, sort=False)["cumulative"].last()
    return Table(frame, f"CORR summed over {len(eras)} {split} eras: {ends.idxmax()} ends highest, at {ends.max():.2f}")


def comparison(scores: pd.DataFrame, model_a: str, model_b: str, split: str) -> Table:
    """Compare the per-era CORR of two predictions, on the eras that have a score of both.

    Returns
    -------
    Table with `era`, `model_a`, `model_b`, `corr_a`, `corr_b`, `difference` (A less B) and `mean_difference`, the same in
    every row.
    """
    corr = {name: scores.loc[scores[PREDICTION] == name].set_index(ERA)[CORR].dropna() for name in (model_a, model_b)}
    both = pd.concat([corr[model_a].rename("corr_a"), corr[model_b].rename("corr_b")], axis=1, join="inner").sort_index()
    difference = both["corr_a"] - both["corr_b"]
    columns = {"model_a": model_a, "model_b": model_b, "difference": difference, "mean_difference": difference.mean()}
    frame = both.assign(**columns).rename_axis(ERA).reset_index()[[ERA, "model_a", "model_b", "corr_a", "corr_b", *list(columns)[2:]]]
    if frame.empty:
        return _nothing(frame, split)
    wins, eras = int((frame["difference"] > 0).sum()), len(frame)
    headline = f"{model_a} has a higher CORR than {model_b} in {wins} of {eras} {split} eras; mean difference {difference.mean():+.4f}"
    return Table(frame, headline)


def importance(shares: Mapping[str, pd.DataFrame], top_features: int) -> pd.DataFrame:
    """Return the leading features of each model.

    Parameters
    ----------
    shares : for each model a DataFrame with `feature` and `importance`, of sum 1; a model whose importance is NaN has no rows.
    top_features : features to show of each.

    Returns
    -------
    DataFrame with `model`, `rank` (from 1), `feature`, `importance`, `cumulative` (share of this feature and those before it) and
    `features`, the number that the model was given. Equal shares are in the order of the features.
    """
    return pd.concat([_leading(frame, model, top_features) for model, frame in shares.items()], ignore_index=True)


def with_target(predictions: pd.DataFrame, split: str, targets: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the rows of a split that have a target.

    Parameters
    ----------
    predictions : `id`, `era`, `split`, `prediction`; the era may be null in other splits.
    targets : `id`, `era` and the column `target`, NaN if it isn't known.

    Returns
    -------
    DataFrame with `era` (int64), `prediction` and `target`.
    """
    known = targets[[ID, ERA, target]].rename(columns={target: TARGET}).dropna(subset=[TARGET])
    predicted = predictions.loc[predictions[SPLIT] == split, [ID, ERA, PREDICTION]].astype({ERA: np.int64})
    return predicted.merge(known, on=[ID, ERA], how="inner")[[ERA, PREDICTION, TARGET]]


def era_means(rows: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Return each era's mean raw prediction and mean target, for each model.

    The models' own predictions are taken, since the ensembles are ranked within each era and have the same mean in all. At
    most `MAX_POINT_ERAS` eras of a model are kept, evenly spaced; `mean_gap` is over all of its eras.

    Parameters
    ----------
    rows : pairs of a model's name and the result of `with_target`.

    Returns
    -------
    DataFrame with `model`, `era`, `rows`, `mean_target`, `mean_prediction`, `mean_gap` (prediction less target, mean
    over eras) and `eras` (that it is over).
    """
    return pd.concat([_means(frame, model) for model, frame in rows], ignore_index=True)


def target_by_prediction(rows: Mapping[str, pd.DataFrame], split: str) -> Table:
    """Return the mean target in each tenth of a prediction, tenths taken within each era.

    Returns
    -------
    Table with `prediction`, `tenth` (1 the lowest), `rows`, `mean_target` and `mean_all`, the mean target of all its rows.
    """
    frame = pd.concat([_tenths(frame, name) for name, frame in rows.items()], ignore_index=True)
    if frame.empty:
        return _nothing(frame, split)
    ends = frame.groupby(PREDICTION, sort=False)["mean_target"].agg(lambda mean: mean.iloc[-1] - mean.iloc[0])
    return Table(frame, f"Mean target of the top tenth less the bottom tenth, {split}: {ends.max():+.4f} for {ends.idxmax()}")


def weights(blend: Mapping[str, float]) -> pd.DataFrame:
    """Return `model` and `weight` of the ensemble, as shares of their sum, in the order given."""
    return pd.DataFrame({"model": list(blend), "weight": [weight / sum(blend.values()) for weight in blend.values()]})


def folds(plan: Plan) -> Table:
    """Return what each fold, and each block of a model that is retrained, does with each era.

    Returns
    -------
    Table with `fold` (1, 2, ...; 0 the final model, whose test is the validation eras, or the first block of them; -2, -3, ... the models
    of the blocks after it), `role` (train, purged or test), `first` and `last` era of a run of eras in that role, and `eras`, how many it
    has.
    """
    parts = [(k + 1, fold.train, fold.purged, fold.test) for k, fold in enumerate(plan.folds)]
    parts.append((0, plan.train, plan.validation_purged, plan.blocks[0].test if plan.blocks else plan.validation))
    parts += [(-k, block.train, block.purged, block.test) for k, block in enumerate(plan.blocks[1:], 2)]
    eras = np.unique(np.concatenate([plan.train, plan.validation_purged, plan.validation]))
    rows = [
        {"fold": number, "role": role, "first": run[0], "last": run[-1], "eras": len(run)}
        for number, *roles in parts
        for role, members in zip(ROLES, roles, strict=True)
        for run in _runs(eras, members)
    ]
    shares = [len(fold.train) / len(plan.train) for fold in plan.folds]
    blocks = f"; {len(plan.blocks)} blocks of validation" if plan.blocks else ""
    told = f"trained on {min(shares):.0%} to {max(shares):.0%} of the train eras, {plan.weeks} weeks purged"
    headline = f"{len(plan.folds)} folds, {told}{blocks}"
    return Table(pd.DataFrame(rows), headline)


def _runs(eras: NDArray[np.int64], members: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the members that follow each other among the eras, together."""
    places = np.searchsorted(eras, members)
    return [run for run in np.split(members, np.flatnonzero(np.diff(places) > 1) + 1) if len(run)]


def _nothing(frame: pd.DataFrame, split: str) -> Table:
    return Table(frame, f"Nothing to show: no {split} era has scores")


def _summaries(frame: pd.DataFrame, by: str, column: str) -> pd.DataFrame:
    rows = []
    for name, group in frame.dropna(subset=[column]).groupby(by, sort=False)[column]:
        values = group.to_numpy(np.float64)
        quantiles = dict(zip(SUMMARY, np.quantile(values, list(SUMMARY.values())).tolist(), strict=True))
        rows.append({by: name, **quantiles, "mean": float(values.mean()), "count": len(values)})
    return pd.DataFrame(rows, columns=[by, *SUMMARY, "mean", "count"])


def _running(group: pd.DataFrame, name: str, eras: NDArray[np.int64], width: int) -> pd.DataFrame:
    period = np.searchsorted(eras, group[ERA].to_numpy(np.int64)) // width
    running = pd.DataFrame({ERA: group[ERA].to_numpy(), CORR: group[CORR].to_numpy()}).assign(cumulative=lambda frame: frame[CORR].cumsum())
    found = running.groupby(period).agg(era=(ERA, "last"), corr=(CORR, "mean"), cumulative=("cumulative", "last"), eras=(ERA, "size"))
    found.insert(0, PREDICTION, name)
    return found.reset_index(drop=True)


def _leading(frame: pd.DataFrame, model: str, count: int) -> pd.DataFrame:
    ordered = frame[["feature", "importance"]].dropna().sort_values("importance", ascending=False, kind="stable", ignore_index=True)
    ordered = ordered.assign(cumulative=ordered["importance"].cumsum(), features=len(frame)).head(count)
    ordered.insert(0, "rank", np.arange(1, len(ordered) + 1))
    ordered.insert(0, "model", model)
    return ordered


def _means(frame: pd.DataFrame, model: str) -> pd.DataFrame:
    means = frame.groupby(ERA).agg(rows=(TARGET, "size"), mean_target=(TARGET, "mean"), mean_prediction=(PREDICTION, "mean"))
    means = means.assign(mean_gap=(means["mean_prediction"] - means["mean_target"]).mean(), eras=len(means))
    means = means.loc[spaced(means.index.to_numpy(np.int64), MAX_POINT_ERAS)].reset_index()
    means.insert(0, "model", model)
    return means


def _tenths(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    ranks = frame.groupby(ERA)[PREDICTION].rank(method="average")
    rows_of_era = frame.groupby(ERA)[PREDICTION].transform("size")
    tenth = ((ranks - 0.5) * TENTHS // rows_of_era).astype(np.int64) + 1
    found = frame.groupby(tenth)[TARGET].agg(rows="size", mean_target="mean").rename_axis("tenth").reset_index()
    found.insert(0, PREDICTION, name)
    return found.assign(mean_all=frame[TARGET].mean())
