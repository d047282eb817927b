"""Data in which an honest pipeline finds no signal, and the check whether it finds one.

A pipeline that finds a signal in such data has seen the answers: its features were selected on test eras, its weights were fitted on them,
or its training eras share their outcome with test eras.
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
from erawise.evaluation import objectives, significance
from erawise.sources import layout

FALSE_ALARM = 0.001
"""Probability that a signal is found in a model without any leak."""

DAYS, WEEKS = 20, 4
WINDOW = 9
"""Eras in which a telltale feature holds the target: the first and the last are 8 weeks apart, as far as the purge must reach."""

NOISE = 4
"""Features of pure noise, so that predictions vary if nothing is learned."""

VALIDATION_ERAS = 24


@dataclass(frozen=True)
class CanaryResult:
    """The result of a model on a canary's data.

    Attributes
    ----------
    model : its name.
    mean, t : mean cv CORR, and its ratio to its standard error.
    finds_signal : whether that is a signal; a false alarm has a probability of 1 in 1,000.
    """

    model: str
    mean: float
    t: float
    finds_signal: bool


def shuffle_targets(raw: Path, directory: Path, *, eras: int, rows: int, features: int, seed: int) -> None:
    """Write a part of the raw files with targets shuffled within each era, so that features say nothing about them.

    Parameters
    ----------
    raw : directory of files in Numerai's layout.
    directory : existing directory for files of the same layout.
    eras, rows, features : at most so many: the last train eras, random rows of each era, random features.
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
    """Write a market of pure noise, whose features give the target away to models that are fitted on an era near by.

    Each telltale feature is the target with noise in the eras of one window, and the same for all stocks in other eras. Every era begins
    a window. A model can learn a telltale feature only from eras of its window. All of them are less than a window away from the tested
    era, and the purge takes them out.

    Parameters
    ----------
    directory : existing directory for files in Numerai's layout.
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
    """Return the content of `folds.json` with the purged eras put back among the training eras of each fold."""
    plans = {}
    for days, plan in folds["horizons"].items():
        if "folds" in plan:
            open_folds = [{**fold, "train": sorted([*fold["train"], *fold["purged"]]), "purged": []} for fold in plan["folds"]]
            plan = {**plan, "folds": open_folds}
        plans[days] = plan
    return {**folds, "horizons": plans}


def check(predictions: dict[str, pd.DataFrame], index: pd.DataFrame, target: str, days: int | None) -> list[CanaryResult]:
    """Check whether each model finds a signal out of fold.

    Parameters
    ----------
    predictions : `id`, `era`, `split`, `prediction`, by model.
    index : `id`, `era` and the target of the train eras.
    days : trading days that the target looks ahead; None if eras don't overlap, since targets are shuffled.
    """
    results = []
    for model, frame in predictions.items():
        eras, corr = objectives.by_era(frame[frame[SPLIT] == CV], index, objectives.by_corr(index[target]))
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
    """Return the models with a validation prediction in an era that is purged after the last train era."""
    return [
        model
        for model, frame in predictions.items()
        if np.isin(frame.loc[frame[SPLIT] == VALIDATION, ERA].to_numpy(np.int64), purged).any()
    ]


def _last_eras(path: Path, count: int) -> list[str]:
    labels = set(map(str, pq.read_table(path, columns=[ERA]).column(0).unique().to_pylist()))
    return sorted(labels, key=lambda label: (len(label), label))[-count:]
