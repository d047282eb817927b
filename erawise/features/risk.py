"""The features that the ensemble is neutralized to."""

import numpy as np
from numpy.typing import NDArray

from erawise import neutralize
from erawise.errors import InputError
from erawise.panel import FeatureMap, Panel, View
from erawise.scores import kernels

NONE, ALL, RISKIEST = "none", "all", "riskiest"


def chosen(panel: Panel, train: NDArray[np.int64], target: str, features: str, count: int, smallest_era: int) -> list[str]:
    """Names of the features to neutralize to, in the panel's order; `riskiest` has them by falling risk.

    Parameters
    ----------
    panel : with the target of the train eras in its index.
    train : the train eras, the only ones that `riskiest` looks at.
    features : `none`, `all` (of the matrix), `riskiest`, or the name of a feature set or group.
    count : how many `riskiest` takes, capped at a quarter of `smallest_era`, the rows of the smallest era to neutralize.

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
        order = neutralize.riskiest(era_correlations(panel, train, target), neutralize.cap(count, smallest_era))
        return [panel.feature_names[k] for k in order]
    if features not in panel.feature_sets:
        raise InputError(
            f"neutralize.features: {features!r} is neither {NONE}, {ALL} or {RISKIEST} nor a feature set of the data; "
            f"its sets are {', '.join(panel.feature_sets)}"
        )
    if not panel.feature_sets[features]:
        raise InputError(f"neutralize.features: the set {features!r} has no feature among those of data.feature_set; choose another")
    return panel.feature_sets[features]


def era_correlations(panel: Panel, eras: NDArray[np.int64], target: str) -> NDArray[np.float64]:
    """(eras with a target, features) Pearson correlation of each feature of the matrix with the target in each era.

    NaN where a feature or the target is constant in an era.
    """
    view = View(panel, eras, FeatureMap(panel.feature_names), target)
    starts = np.flatnonzero(np.diff(view.era, prepend=-1))
    targets = np.split(view.target.astype(np.float64), starts[1:])
    return np.array([kernels.feature_correlations(block, values) for block, values in zip(view.blocks(), targets, strict=True)])
