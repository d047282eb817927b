"""The choice of the features that a model gets: by importance and correlation, as principal components, or all.

The choice is fitted only on the given eras: once per fold, and once for the final model.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from erawise.base import files
from erawise.folds import splits
from erawise.models.lightgbm import model as lightgbm
from erawise.models.shared.protocol import Resources
from erawise.panel.panel import FeatureMap, Panel, View
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.selection import pca
from erawise.selection.settings import SelectFeatures

IMPORTANCE, PCA = "importance", "pca"

Importance = Callable[[View], NDArray[np.float64]]


def select(
    panel: Panel, plan: splits.Plan, target: str, settings: SelectFeatures, resources: Resources, progress: Progress = SILENT
) -> tuple[list[FeatureMap], FeatureMap]:
    """Select the features for each fold and for the final model, in parallel if the memory allows.

    Scratch files are removed at the end. `progress` counts the trees, or the fits if there are no trees.

    Raises
    ------
    InputError
        If the target has no value in the eras of a fit, or a fit needs more memory or disk than there is.
    """
    everything = FeatureMap(panel.names)
    fitted_on = [plan.train, *(fold.train for fold in plan.folds)]  # the longest first, so that it doesn't run alone at the end
    views = [View(panel, eras, everything, target) for eras in fitted_on]
    if settings.method == IMPORTANCE:
        at_once = lightgbm.prepare(settings, [(view, None) for view in views], resources)
        with progress.counting(settings.trees * len(views), "trees") as count, ThreadPoolExecutor(at_once) as pool:
            shared = replace(resources.shared(at_once), step=count.done)
            importance = partial(_importance_of_first, settings=settings, resources=shared)
            choose = partial(by_importance, importance=importance, keep_share=settings.keep_share, max_correlation=settings.max_correlation)
            final, *folds = pool.map(choose, views)
        files.remove(resources.scratch)
    else:
        with progress.counting(len(views), "fits") as count:
            chosen = []
            for view in views:
                chosen.append(by_pca(view, settings.components) if settings.method == PCA else everything)
                count.done()
        final, *folds = chosen
    return folds, final


def _importance_of_first(view: View, settings: SelectFeatures, resources: Resources) -> NDArray[np.float64]:
    return lightgbm.importance_of_first(
        view,
        trees=settings.trees,
        learning_rate=settings.learning_rate,
        leaves=settings.leaves,
        seed=settings.seed,
        resources=resources,
    )


def by_importance(view: View, importance: Importance, keep_share: float, max_correlation: float) -> FeatureMap:
    """Keep the most important share of the features, then prune one of each pair correlated above a bound.

    Parameters
    ----------
    view : training rows with their target.
    importance : returns the importances (features,) of a model fitted on the view.
    keep_share : share of the features to keep before the pruning; at least one feature is kept.
    max_correlation : if two features have a larger absolute correlation, the less important one is dropped.

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
    """Drop, from the first feature on, every later one that correlates with it above `bound`; return the positions that are kept."""
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
        If there are fewer features than components.
    """
    if components > len(view.names):
        raise InputError(f"select_features.components: {components} components of {len(view.names)} features; expected at most that many")
    mean, vectors = pca.fit(view, components)
    return FeatureMap(view.names, mean, vectors)
