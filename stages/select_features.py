"""Which features the models get, fitted on each fold's training eras and once on all train eras."""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise import errors, files, params, splits
from erawise.features import maps, selection
from erawise.models import lightgbm
from erawise.panel import FeatureMap, Panel, View
from stages import paths


@errors.reported
def main() -> None:
    p = params.load(paths.PARAMS)
    settings, target = p.select_features, p.data.target
    days = splits.model_horizon(target, target, p.data.target_horizon)
    plan = splits.from_json(files.read_json(paths.FOLDS), days)
    panel = Panel(paths.PREPARED, [target])
    threads = p.resources.threads

    def importance(view: View) -> NDArray[np.float64]:
        return lightgbm.importance_of_first(
            view, trees=settings.trees, learning_rate=settings.learning_rate, leaves=settings.leaves, seed=settings.seed, threads=threads
        )

    chosen = []
    with threadpool_limits(threads, user_api="blas"):
        for eras in (*(fold.train for fold in plan.folds), plan.train):
            view = View(panel, eras, FeatureMap(panel.names), target)
            if settings.method == "importance":
                chosen.append(selection.by_importance(view, importance, settings.keep_share, settings.max_correlation))
            elif settings.method == "pca":
                chosen.append(selection.by_pca(view, settings.components))
            else:
                chosen.append(FeatureMap(panel.names))
    with files.replacing(paths.FEATURES) as directory:
        directory.mkdir()
        maps.write(chosen, directory)
    print(f"{settings.method}: {[len(m.names) for m in chosen[:-1]]} features in the folds, {len(chosen[-1].names)} in the final model")


if __name__ == "__main__":
    main()
