"""The features that the ensemble is neutralized to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.blend import neutralization
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.scores import kernels

NONE, ALL, RISKIEST = "none", "all", "riskiest"


def chosen(
    panel: Panel, eras: Sequence[NDArray[np.int64]], target: str, features: str, count: int, progress: Progress = SILENT
) -> list[list[str]]:
    """Return the names of the features to neutralize to, for each set of eras; `riskiest` has them by falling risk, else by position.

    Parameters
    ----------
    panel : with the target of these eras in its index.
    eras : sets of eras, such as all train eras, and the training eras of each fold. `riskiest` looks at no others.
    features : `none`, `all` (of the matrix), `riskiest`, or the name of a feature set or group. Only `riskiest` depends on the eras.
    count : number of `riskiest` features; all features if there are fewer. An era of few rows is neutralized to the first
        of them only, see `neutralization.cap`.
    progress : told of each era that `riskiest` looks at.

    Raises
    ------
    InputError
        If there is no feature set of that name, or it has no feature of the matrix.
    """
    if features == RISKIEST:
        known, correlations = era_correlations(panel, np.unique(np.concatenate(eras)), target, progress)
        orders = [neutralization.riskiest(correlations[np.isin(known, own)], count) for own in eras]
        return [[panel.feature_names[k] for k in order] for order in orders]
    return [_named(panel, features)] * len(eras)


def _named(panel: Panel, features: str) -> list[str]:
    """Return the features of `none`, `all`, or a feature set, see `chosen`."""
    if features == NONE:
        return []
    if features == ALL:
        return list(panel.feature_names)
    if features not in panel.feature_sets:
        raise InputError(
            f"neutralize.features: {features!r} is neither {NONE}, {ALL} or {RISKIEST} nor a feature set of the data; "
            f"its sets are {', '.join(panel.feature_sets)}"
        )
    if not panel.feature_sets[features]:
        raise InputError(f"neutralize.features: the set {features!r} has no feature of data.feature_set; choose another set")
    return panel.feature_sets[features]


def content(names: list[str], features: str, proportion: float, chosen: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the choice as it is stored, so that later rows are neutralized as the rows of the pipeline were.

    `chosen` says how the proportion was chosen, see `proportions.content`; None if the settings give it.
    """
    return {"features": names, "method": features, "proportion": proportion} | ({} if chosen is None else {"chosen": chosen})


def within(columns: NDArray[np.int64], features: str, rows: slice) -> NDArray[np.int64]:
    """Return the columns that an era of these rows is neutralized to: of `riskiest` as many as its rows allow, else all."""
    return columns[: neutralization.cap(len(columns), rows.stop - rows.start)] if features == RISKIEST else columns


def report(sets: Sequence[list[str]], features: str, count: int, era_rows: NDArray[np.int64]) -> list[str]:
    """Return lines on how far the folds' features differ from the first set, and a warning if there are fewer than asked for."""
    if features != RISKIEST:
        return []
    names, *folds = sets
    shared = [len(set(names) & set(own)) for own in folds]
    lines = [f"each fold has its own riskiest features, without its test eras: {_range(shared)} of them are the same"] if folds else []
    lines += [f"neutralize.count: the data has {len(names)} features, fewer than {count}"] if len(names) < count else []
    capped = era_rows // neutralization.ROWS_A_FEATURE < len(names)
    if capped.any():
        least = int(era_rows.min())
        lines.append(
            f"neutralize.count: capped at a quarter of the rows in {int(capped.sum())} of {len(capped)} eras, "
            f"at {neutralization.cap(len(names), least)} in the smallest, of {least} rows"
        )
    return lines


def _range(counts: list[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def era_correlations(
    panel: Panel, eras: NDArray[np.int64], target: str, progress: Progress = SILENT
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the eras that have a target, and (eras, features) the Pearson correlation of each feature with the target in each of them.

    NaN if a feature or the target is constant in an era.
    """
    view = View(panel, eras, FeatureMap(panel.feature_names), target)
    starts = np.flatnonzero(np.diff(view.era, prepend=-1))
    targets = np.split(view.target.astype(np.float64), starts[1:])
    found = []
    with progress.counting(len(targets), "eras", RISKIEST) as count:
        for block, values in zip(view.blocks(), targets, strict=True):
            found.append(kernels.feature_correlations(block, values))
            count.done()
    return view.era[starts], np.array(found)
