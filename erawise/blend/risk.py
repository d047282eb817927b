"""The features that the ensemble is neutralized to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.blend import neutralization
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.scores import kernels

NONE, ALL, RISKIEST = "none", "all", "riskiest"


def chosen(panel: Panel, train: NDArray[np.int64], target: str, features: str, count: int, progress: Progress = SILENT) -> list[str]:
    """Return the names of the features to neutralize to, in the panel's order; for `riskiest` the riskiest first.

    Parameters
    ----------
    panel : a panel with the target of the train eras in its index.
    train : the train eras, the only eras that `riskiest` looks at.
    features : `none`, `all` (of the matrix), `riskiest`, or the name of a feature set or group.
    count : how many features `riskiest` means; all if there are fewer. An era of few rows is neutralized only to the first
        of them, see `neutralization.cap`.
    progress : told of each era that `riskiest` looks at.

    Raises
    ------
    InputError
        If there is no feature set of that name, or it has no feature of the matrix.
    """
    if features == NONE:
        return []
    if features == ALL:
        return list(panel.feature_names)
    if features == RISKIEST:
        order = neutralization.riskiest(era_correlations(panel, train, target, progress), count)
        return [panel.feature_names[k] for k in order]
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


def report(names: list[str], features: str, count: int, era_rows: NDArray[np.int64]) -> list[str]:
    """Return lines that warn if there are fewer features than asked for."""
    if features != RISKIEST:
        return []
    lines = [f"neutralize.count: the data has {len(names)} features, fewer than {count}"] if len(names) < count else []
    capped = era_rows // neutralization.ROWS_A_FEATURE < len(names)
    if capped.any():
        least = int(era_rows.min())
        lines.append(
            f"neutralize.count: capped at a quarter of the rows in {int(capped.sum())} of {len(capped)} eras, "
            f"at {neutralization.cap(len(names), least)} in the smallest, of {least} rows"
        )
    return lines


def era_correlations(panel: Panel, eras: NDArray[np.int64], target: str, progress: Progress = SILENT) -> NDArray[np.float64]:
    """Return the (eras with a target, features) Pearson correlations of the matrix's features with the target in each era.

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
    return np.array(found)
