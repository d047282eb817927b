"""The mark of scores of cv that aren't known to be out of fold: of a file of predictions, and of the blends with it."""

from collections.abc import Mapping
from typing import Any

OUT_OF_FOLD = "out_of_fold"
"""Key of a prediction's block of cv: 0 if it isn't known to be out of fold; absent if it is."""

BLENDS = ("ensemble", "neutralized")


def is_doubtful(block: Mapping[str, Any]) -> bool:
    """Return whether a block of cv is marked."""
    return block.get(OUT_OF_FOLD) == 0


def doubtful(metrics: Mapping[str, Any]) -> list[str]:
    """Return the predictions whose blocks in the metrics of a split are marked."""
    return [name for name, block in metrics.items() if is_doubtful(block)]


def mark(metrics: dict[str, dict[str, Any]], models: Mapping[str, bool], weights: Mapping[str, float]) -> None:
    """Mark, in place, the blocks of models that aren't known to be out of fold, and of the blends of them.

    Parameters
    ----------
    metrics : the summary of cv by prediction.
    models : whether it is known, by model; other models are out of fold.
    weights : of each model in the ensemble.
    """
    unknown = {name for name, known in models.items() if not known}
    marked = unknown.union(BLENDS if any(weights.get(name, 0) > 0 for name in unknown) else ())
    for name in marked.intersection(metrics):
        metrics[name][OUT_OF_FOLD] = 0
