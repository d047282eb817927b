"""The prepared data in tables, and the checks that it must pass.

Only train eras have the main target here; validation eras are counted, and their features described.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import DATA_TYPE, ID, VALIDATION, top
from erawise.exploration.tables_of_data import (
    EraFeatures,
    correlate_eras,
    correlate_targets,
    data_types,
    describe_eras,
    describe_features,
    present_targets,
)
from erawise.panel import blocks
from erawise.panel.panel import Panel
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.scores import kernels

MEND = "mend the raw files, or leave it out through data.feature_set"


@dataclass(frozen=True)
class Exploration:
    """The tables.

    Attributes
    ----------
    features : one row per feature: `feature`, `mean`, `std` (all rows, ddof 0), `missing_share` (of values that were filled),
        `constant_share` (of eras in which it holds only one value). From its Pearson correlations with the main target in the
        train eras that have one: `corr_mean`, `corr_std` (ddof 0), `sign_stability` (share of these eras with the sign of the
        mean), all NaN if it is constant in every train era, and `scored_eras` (the number of these eras).
    eras : one row per era: `era`, `data_type`, `rows`, `unique_ids`, `constant_features`; only for train eras, else
        missing: `target_missing` (rows), `target_mean`, `share_<bin>` for each of the main target's values.
    targets : a square of Pearson correlations between the targets over the train rows with both, their names in `name`;
        NaN if one is constant.
    stability : one row per pair of train eras: `era`, `lag` (weeks to the later one), `features` (with a score in both),
        `correlation` of their scores, which are the correlations with the main target; NaN below 3 features.
    """

    features: pd.DataFrame
    eras: pd.DataFrame
    targets: pd.DataFrame
    stability: pd.DataFrame


def explore(
    panel: Panel,
    target: str,
    missing_share: NDArray[np.float64],
    max_constant_share: float,
    threads: int = 1,
    progress: Progress = SILENT,
) -> Exploration:
    """Describe the features of the matrix as they are stored, without demeaning, and the targets of the train eras.

    Parameters
    ----------
    panel : the prepared train and validation eras, with the targets of the train eras.
    target : the main target.
    missing_share : (features,), from `read_missing`.
    max_constant_share : budget for the share of all pairs of feature and era in which the feature holds one value.
    threads : eras read at the same time; the result doesn't depend on their number.
    progress : counts the eras that are read.

    Raises
    ------
    InputError
        If an id is twice in an era, a train era has no main target, a target or feature is off its scale, a feature
        holds one value in each era, or the budget is exceeded.
    """
    train = (data_types(panel) != VALIDATION).astype(bool)
    unique_ids = _count_ids(panel)
    _check_targets(panel, target, train)
    train_target = np.where(np.repeat(train, np.diff(panel.starts)), panel.index[target].to_numpy(np.float64), np.nan)
    blocks = _read_blocks(panel, train_target, train, threads, progress)
    _check_constant(panel, blocks.constant, max_constant_share)
    return Exploration(
        features=describe_features(panel, blocks, missing_share),
        eras=describe_eras(panel, train_target, train, unique_ids, blocks.constant),
        targets=correlate_targets(panel, train),
        stability=correlate_eras(panel.eras[train], blocks.corr[train]),
    )


def read_missing(path: Path, features: Sequence[str], rows: Literal["", "_live"] = "") -> NDArray[np.float64]:
    """Return the share of each feature's values (`_live`: of its live values) that were missing in the raw files, as preprocess counted.

    Raises
    ------
    InputError
        If the file is missing or has no count for a feature.
    """
    missing, count = f"missing{rows}", f"rows{rows}"
    try:
        found = pd.read_csv(path, dtype={"feature": str}, keep_default_na=False).set_index("feature").loc[list(features)]
        return (found[missing] / found[count]).to_numpy(np.float64)
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run preprocess") from None
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: expected feature, {missing} and {count} for every feature ({error}); run preprocess again") from None


def read_features(path: Path) -> pd.DataFrame:
    """Read the table of features that `explore` has written: `feature`, `mean`, `std`, `constant_share` and more.

    Raises
    ------
    InputError
        If the file is missing or no such table.
    """
    try:
        found = pd.read_csv(path, dtype={"feature": str}, keep_default_na=False)
        return found.astype({"mean": float, "std": float, "constant_share": float})
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run explore") from None
    except (ValueError, KeyError):
        raise InputError(f"{path}: not the table of features that explore writes; run explore again") from None


def summary(found: Exploration) -> list[str]:
    """Return the lines that report the data to a person."""
    features, eras = found.features, found.eras
    train = int((eras[DATA_TYPE] != VALIDATION).sum())
    lines = [
        f"{len(features)} features in {train} train and {len(eras) - train} validation eras "
        f"of {eras['rows'].min()} to {eras['rows'].max()} rows",
        f"{features['missing_share'].mean():.2%} of the features' values were missing; "
        f"in {features['constant_share'].mean():.2%} of the eras a feature holds one value, on average",
    ]
    if features["corr_mean"].notna().any():
        best = features.loc[features["corr_mean"].abs().idxmax()]
        lines.append(
            f"strongest feature: {best['feature']}, mean correlation with the target {best['corr_mean']:.4f}, "
            f"std {best['corr_std']:.4f}, its sign in {best['sign_stability']:.0%} of the eras"
        )
    for lag, correlation in found.stability.groupby("lag")["correlation"].mean().dropna().items():
        lines.append(f"features' scores of two eras correlate {correlation:.3f} at a lag of {lag} weeks, on average")
    return lines


def verdicts(panel: Panel, target: str, found: Exploration) -> dict[str, Any]:
    """Return the verdict of `explore` with its figures. They don't depend on the live era.

    Parameters
    ----------
    panel, target : the explored train and validation eras, and the main target.
    found : the tables, which exist only if every check has passed.

    Returns
    -------
    dict
        `passed`, and:

        - `eras`: by data type `eras`, `rows` and `duplicate_ids`;
        - `target`: for the main target in train `rows_without`, `eras_without`, `lowest` and `highest`;
        - `features`: their `count`, the ends of their `scale`, the number that is `constant_in_every_era`, and the `constant_share`
          of the pairs of feature and era.
    """
    eras, train = found.eras, found.eras[DATA_TYPE] != VALIDATION
    values, constant = panel.index[target], found.features["constant_share"]
    return {
        "passed": True,
        "eras": {
            name: {
                "eras": len(part),
                "rows": int(part["rows"].sum()),
                "duplicate_ids": int((part["rows"] - part["unique_ids"]).sum()),
            }
            for name, part in (("train", eras[train]), (VALIDATION, eras[~train]))
        },
        "target": {
            "rows_without": int(eras["target_missing"].sum()),
            "eras_without": int((eras["target_missing"] == eras["rows"]).sum()),
            "lowest": float(values.min()),
            "highest": float(values.max()),
        },
        "features": {
            "count": len(constant),
            "scale": [0, top(str(panel.dtype))],
            "constant_in_every_era": int((constant == 1).sum()),
            "constant_share": round(float(constant.mean()), 6),
        },
    }


def _count_ids(panel: Panel) -> NDArray[np.int64]:
    """Return the number of ids (eras,) of each era, and check that it is the number of rows."""
    ids = panel.index[ID]
    unique = np.array([ids.iloc[rows].nunique() for rows in map(panel.rows, panel.eras)], np.int64)
    repeated = np.diff(panel.starts) - unique
    if repeated.any():
        era = panel.eras[int(np.argmax(repeated > 0))]
        first = ids.iloc[panel.rows(era)]
        raise InputError(
            f"id {first[first.duplicated()].iloc[0]!r} is there more than once in era {era} ({int(repeated.sum())} duplicate rows in all); "
            "remove them from the raw files"
        )
    return unique


def _check_targets(panel: Panel, target: str, train: NDArray[np.bool_]) -> None:
    if target not in panel.index:
        raise InputError(f"data.target: the prepared data has no target {target!r}; its targets are {', '.join(panel.targets)}")
    for name in present_targets(panel):
        values = panel.index[name].to_numpy(np.float32)
        off = ~np.isnan(values) & ~((values >= 0) & (values <= 1))
        if off.any():
            first = int(off.argmax())
            raise InputError(
                f"target {name!r}: {int(off.sum())} values are off the scale 0..1, "
                f"the first in era {panel.row_eras[first]} ({values[first]:g}); mend the raw files"
            )
    known = np.add.reduceat(panel.index[target].notna().to_numpy(np.int64), panel.starts[:-1])
    empty = panel.eras[train & (known == 0)]
    if len(empty):
        raise InputError(
            f"target {target!r} is missing in every row of train era {empty[0]} ({len(empty)} such eras); "
            "remove these eras from train.parquet, or choose another data.target"
        )


def _read_blocks(panel: Panel, target: NDArray[np.float64], train: NDArray[np.bool_], threads: int, progress: Progress) -> EraFeatures:
    shape = (len(panel.eras), panel.n_matrix)
    out = EraFeatures(np.empty(shape), np.empty(shape), np.empty(shape, bool), np.full(shape, np.nan))

    def read(k: int) -> None:
        era = int(panel.eras[k])
        block, known = panel.stored(era), target[panel.rows(era)]
        describe = _describe_int8 if block.dtype == np.int8 else _describe_floats
        lowest, highest, out.mean[k], out.variance[k], corr = describe(block, known)
        _check_scale(panel, block, era, lowest, highest)
        out.constant[k] = lowest == highest
        if train[k]:
            out.corr[k] = corr
        count.done()

    with progress.counting(len(panel.eras), "eras") as count, ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(read, k) for k in range(len(panel.eras))]:
            done.result()
    return out


Described = tuple[NDArray, NDArray, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""(features,) each: lowest and highest value, mean, variance (ddof 0), correlation with the target over rows that have one."""


def _describe_floats(block: NDArray, target: NDArray[np.float64]) -> Described:
    known = ~np.isnan(target)
    with np.errstate(invalid="ignore"):
        corr = kernels.feature_correlations(block[known], target[known]) if known.any() else np.full(block.shape[1], np.nan)
        mean, variance = block.mean(axis=0, dtype=np.float64), block.var(axis=0, dtype=np.float64)
    return block.min(axis=0), block.max(axis=0), mean, variance, corr


def _describe_int8(block: NDArray[np.int8], target: NDArray[np.float64]) -> Described:
    """Describe int8 features from exact sums. The features' own sums are of integers about 0; the target is taken about its mean."""
    known = ~np.isnan(target)
    rows, count = len(target), int(known.sum())
    centred = np.where(known, target - (target[known].mean() if count else 0), 0)
    lowest, highest, sums, squares, products = blocks.column_sums(block, centred)
    unknown = block[~known].astype(np.int64)
    known_sums, known_squares = sums - unknown.sum(axis=0), squares - np.square(unknown).sum(axis=0)
    spread = (count * known_squares - np.square(known_sums)) * np.square(centred).sum() / max(count, 1)
    covariance = products - known_sums * (centred.sum() / max(count, 1))
    corr = np.full(block.shape[1], np.nan)
    np.divide(covariance, np.sqrt(spread), out=corr, where=spread > 0)
    return lowest, highest, sums / rows, (rows * squares - np.square(sums)) / rows**2, np.clip(corr, -1, 1)


def _check_scale(panel: Panel, block: NDArray, era: int, lowest: NDArray, highest: NDArray) -> None:
    limit = top(str(panel.dtype))
    fine = (lowest >= 0) & (highest <= limit)
    if not fine.all():
        feature = int(fine.argmin())
        values = block[:, feature]
        off = ~((values >= 0) & (values <= limit))
        raise InputError(
            f"feature {panel.feature_names[feature]!r}: {int(off.sum())} values in era {era} are off the scale 0..{limit:g} "
            f"(one is {values[off][0]:g}; {int((~fine).sum())} such features in this era); {MEND}"
        )


def _check_constant(panel: Panel, constant: NDArray[np.bool_], max_constant_share: float) -> None:
    everywhere = constant.all(axis=0)
    if everywhere.any():
        raise InputError(
            f"feature {panel.feature_names[int(everywhere.argmax())]!r} holds only one value in each of the {len(constant)} eras "
            f"({int(everywhere.sum())} such features); {MEND}"
        )
    share = constant.mean()
    if share > max_constant_share:
        most = int(constant.sum(axis=1).argmax())
        raise InputError(
            f"explore.max_constant_share: features hold only one value in {share:.1%} of the eras, on average, more than "
            f"{max_constant_share:.1%} (in era {panel.eras[most]} {int(constant[most].sum())} of them do); "
            "choose a data.feature_set with more data, or raise the budget"
        )
