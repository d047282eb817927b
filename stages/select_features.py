"""Which features the models get, fitted on each fold's training eras and once on all train eras."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise import errors, files, params, splits
from erawise.features import maps, selection
from erawise.models import lightgbm
from erawise.models.protocol import GIB, Resources, held_by
from erawise.panel import FeatureMap, Panel, View
from stages import paths


@errors.reported
def main() -> None:
    p = params.load(paths.PARAMS)
    settings, target = p.select_features, p.data.target
    days = splits.model_horizon(target, target, p.data.target_horizon)
    plan = splits.from_json(files.read_json(paths.FOLDS), days)
    panel = Panel(paths.PREPARED, [target])
    resources = Resources(
        p.resources.threads,
        int(p.resources.memory * GIB),
        paths.SCRATCH / "selection",
        p.resources.device,
        held_by(panel),
        partial(print, flush=True),
    )

    def importance(view: View) -> NDArray[np.float64]:
        return lightgbm.importance_of_first(
            view,
            trees=settings.trees,
            learning_rate=settings.learning_rate,
            leaves=settings.leaves,
            seed=settings.seed,
            resources=resources.shared(at_once),
        )

    def select(eras: NDArray[np.int64]) -> FeatureMap:
        if settings.method == "importance":
            return selection.by_importance(view_of(eras), importance, settings.keep_share, settings.max_correlation)
        return selection.by_pca(view_of(eras), settings.components) if settings.method == "pca" else FeatureMap(panel.names)

    def view_of(eras: NDArray[np.int64]) -> View:
        return View(panel, eras, FeatureMap(panel.names), target)

    fitted_on = [plan.train, *(fold.train for fold in plan.folds)]  # the longest first, so that none is left to run alone
    at_once = 1
    if settings.method == "importance":
        at_once = lightgbm.prepare(settings, [(view_of(eras), None) for eras in fitted_on], resources)
    with threadpool_limits(p.resources.threads, user_api="blas"), ThreadPoolExecutor(at_once) as pool:
        final, *chosen = pool.map(select, fitted_on)
    with files.replacing(paths.FEATURES) as directory:
        directory.mkdir()
        maps.write([*chosen, final], directory)
    files.remove(resources.scratch)
    print(f"{settings.method}: {[len(m.names) for m in chosen]} features in the folds, {len(final.names)} in the final model")


if __name__ == "__main__":
    main()
