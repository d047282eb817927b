"""Which features a model gets: by importance and correlation, as principal components, or all.

Fitted on the eras that it is given and on nothing else: once per fold, once for the final model.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from erawise.errors import InputError
from erawise.features import pca
from erawise.panel import FeatureMap, View

Importance = Callable[[View], NDArray[np.float64]]


def by_importance(view: View, importance: Importance, keep_share: float, max_correlation: float) -> FeatureMap:
    """Keep the most important share of the features, then prune one of each pair correlated above a bound.

    Parameters
    ----------
    view : training rows with their target.
    importance : gives (features,) importances of a model fitted on the view.
    keep_share : share of the features to keep before the pruning, at least one.
    max_correlation : of two features whose absolute correlation is above this, the less important goes.

    Returns
    -------
    FeatureMap of the kept columns, in the panel's order.
    """
    scores = importance(view)
    order = np.argsort(-scores, kind="stable")
    used = order[scores[order] > 0]
    ranked = used if len(used) else order
    kept = ranked[: max(1, round(keep_share * len(view.names)))]
    narrowed = FeatureMap(tuple(view.names[k] for k in kept))
    correlation = pca.correlation(View(view.panel, np.unique(view.era), narrowed))
    survivors = kept[prune(correlation, max_correlation)]
    return FeatureMap(tuple(view.names[k] for k in np.sort(survivors)))


def prune(correlation: NDArray[np.float64], bound: float) -> NDArray[np.int64]:
    """Positions that stay when, going from the first on, each takes out the later ones correlated with it above `bound`."""
    out = np.zeros(len(correlation), bool)
    for k in range(len(correlation)):
        if not out[k]:
            out[k + 1 :] |= np.abs(correlation[k, k + 1 :]) > bound
    return np.flatnonzero(~out)


def by_pca(view: View, components: int) -> FeatureMap:
    """Project on the first principal components of the standardised features.

    Raises
    ------
    InputError
        If more components are asked for than there are features.
    """
    if components > len(view.names):
        raise InputError(f"select_features.components: {components} components of {len(view.names)} features; expected at most that many")
    mean, vectors = pca.fit(view, components)
    return FeatureMap(view.names, mean, vectors)
