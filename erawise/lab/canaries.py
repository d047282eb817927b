"""Data on which an honest pipeline finds nothing, and whether it did.

A pipeline that finds signal where there is none has seen the answers somewhere: in features selected on test eras, in weights fitted
on them, or in eras that share their outcome with those it is tested on.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import stdtrit

from erawise.base import files, tabular
from erawise.base.schema import CV, DATA_TYPE, ERA, ID, SPLIT, TARGET, VALIDATION, is_target, spanned_eras, spanned_weeks
from erawise.evaluation import evaluation, significance
from erawise.sources import layout

FALSE_ALARM = 0.001
"""Chance that a model without any leak sings."""

DAYS, WEEKS = 20, 4
WINDOW = 9
"""Eras in which a telltale feature tells: the first and the last are as far apart as the purge of 8 weeks has to reach."""

NOISE = 4
"""Features of noise throughout, so that predictions vary where nothing is learned."""

VALIDATION_ERAS = 24


@dataclass(frozen=True)
class CanaryResult:
    """What a model has found on a canary's data.

    Attributes
    ----------
    model : its name.
    mean, t : mean cv CORR, and that over its standard error.
    sings : whether that is signal, at a chance of 1 in 1,000 to be wrong.
    """

    model: str
    mean: float
    t: float
    finds_signal: bool


def shuffle_targets(raw: Path, directory: Path, *, eras: int, rows: int, features: int, seed: int) -> None:
    """Write a part of the raw files with their targets shuffled within each era: whatever the features say, they say nothing.

    Parameters
    ----------
    raw : files in Numerai's layout.
    directory : existing, where to write files of the same layout.
    eras, rows, features : at most so many: the last train eras, rows of each drawn at random, features drawn at random.
    seed : of all drawing and shuffling.
    """
    rng = np.random.default_rng(seed)
    names = pq.read_schema(raw / "train.parquet").names
    sets = files.read_json(raw / layout.FEATURES)["feature_sets"]
    known = [name for name in dict.fromkeys(name for members in sets.values() for name in members) if name in set(names)]
    chosen = sorted(rng.choice(known, min(features, len(known)), replace=False).tolist())
    targets = [name for name in names if is_target(name)]
    for name, count in (("train", eras), ("validation", VALIDATION_ERAS), ("live", 1)):
        present = pq.read_schema(raw / f"{name}.parquet").names
        wanted = [column for column in (ID, ERA, DATA_TYPE, *targets, *chosen) if column in present]
        kept = _last_eras(raw / f"{name}.parquet", count)
        table = pq.read_table(raw / f"{name}.parquet", columns=wanted, filters=[(ERA, "in", kept)])
        frame = table.to_pandas(ignore_metadata=True)
        frame = frame.sample(frac=1, random_state=int(rng.integers(2**31))).groupby(ERA, sort=False).head(rows)
        _shuffle(frame, [column for column in targets if column in frame], rng)
        tabular.write_parquet(frame, directory / f"{name}.parquet")
    files.write_json({"feature_sets": {"all": chosen}, "targets": targets}, directory / layout.FEATURES)


def _shuffle(frame: pd.DataFrame, columns: list[str], rng: np.random.Generator) -> None:
    """Shuffle the rows of some columns within each era, all columns alike, in place."""
    for positions in frame.groupby(ERA).indices.values():
        order = rng.permutation(len(positions))
        for column in columns:
            frame.iloc[positions, frame.columns.get_loc(column)] = frame[column].to_numpy()[positions][order]


def write_telltale(directory: Path, *, eras: int, stocks: int, seed: int) -> None:
    """Write a market of pure noise, whose features tell the target to whoever was fitted on an era near by.

    Each telltale feature is the target itself, under noise, in the eras of one window, and the same for all stocks at other
    times; every era begins a window. What a feature of a window says can be learned in that window alone: a model that is
    tested on an era learns it from eras less than a window away, all of which the purge takes out.

    Parameters
    ----------
    directory : existing, where to write files in Numerai's layout.
    eras : of train.
    stocks : rows of each era.
    seed : of the noise.
    """
    rng = np.random.default_rng(seed)
    total = eras + WINDOW + VALIDATION_ERAS
    weekly = rng.standard_normal((total + WEEKS, stocks))
    values = np.lib.stride_tricks.sliding_window_view(weekly, WEEKS, axis=0)[1:].sum(axis=-1)
    names = [f"telltale_{start}" for start in range(1 - WINDOW, total)] + [f"noise_{k}" for k in range(NOISE)]
    frames = []
    for era in range(total):
        ranks = (np.argsort(np.argsort(values[era])) + 0.5) / stocks
        block = np.full((len(names), stocks), 0.5)
        block[era : era + WINDOW] = (ranks + rng.random((WINDOW, stocks))) / 2
        block[-NOISE:] = rng.random((NOISE, stocks))
        frame = pd.DataFrame(block.T.astype(np.float32), columns=names)
        frame.insert(0, TARGET, (np.searchsorted([0.05, 0.25, 0.75, 0.95], ranks) / 4).astype(np.float32))
        frame.insert(0, ERA, f"{era + 1:04d}")
        frame.insert(0, ID, [f"n{era:04d}{number:06d}" for number in rng.permutation(stocks)])
        frames.append(frame)
    parts = {"train": frames[:eras], "validation": frames[eras:], "live": [frames[-1].drop(columns=TARGET).assign(era="X")]}
    for name, pieces in parts.items():
        tabular.write_parquet(pd.concat(pieces, ignore_index=True).assign(data_type=name), directory / f"{name}.parquet")
    files.write_json({"feature_sets": {"all": names}, "targets": [TARGET]}, directory / layout.FEATURES)


def without_purge(folds: dict[str, Any]) -> dict[str, Any]:
    """The content of `folds.json` with the purged eras put back among those that a fold is trained on."""
    plans = {}
    for days, plan in folds["horizons"].items():
        if "folds" in plan:
            open_folds = [{**fold, "train": sorted([*fold["train"], *fold["purged"]]), "purged": []} for fold in plan["folds"]]
            plan = {**plan, "folds": open_folds}
        plans[days] = plan
    return {**folds, "horizons": plans}


def check(predictions: dict[str, pd.DataFrame], index: pd.DataFrame, target: str, days: int | None) -> list[CanaryResult]:
    """What each model has found out of fold.

    Parameters
    ----------
    predictions : by model, `id`, `era`, `split`, `prediction`.
    index : `id`, `era` and the target of the train eras.
    days : trading days that the target looks ahead; None where eras have nothing in common, since targets are shuffled.
    """
    results = []
    for model, frame in predictions.items():
        eras, corr = evaluation.corr_by_era(frame[frame[SPLIT] == CV], index, target)
        results.append(_result(model, corr, eras, days))
    return results


def _result(model: str, corr: NDArray[np.float64], eras: NDArray[np.int64], days: int | None) -> CanaryResult:
    if days is None:
        known = corr[np.isfinite(corr)]
        degrees, mean = len(known) - 1, float(known.mean()) if len(known) else np.nan
        t = mean / (known.std(ddof=1) / np.sqrt(len(known))) if degrees > 0 else np.nan
    else:
        found = significance.mean(corr, overlap=spanned_eras(eras, spanned_weeks(days)))
        degrees, mean, t = found.degrees, found.mean, found.t_hac
    bound = float(stdtrit(degrees, 1 - FALSE_ALARM / 2)) if degrees > 0 else np.inf
    return CanaryResult(model, mean, float(t), bool(t > bound))


def predicting(predictions: dict[str, pd.DataFrame], purged: NDArray[np.int64]) -> list[str]:
    """Models with a validation prediction in an era that is purged after the last train era."""
    return [
        model
        for model, frame in predictions.items()
        if np.isin(frame.loc[frame[SPLIT] == VALIDATION, ERA].to_numpy(np.int64), purged).any()
    ]


def _last_eras(path: Path, count: int) -> list[str]:
    labels = set(map(str, pq.read_table(path, columns=[ERA]).column(0).unique().to_pylist()))
    return sorted(labels, key=lambda label: (len(label), label))[-count:]
