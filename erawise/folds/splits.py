"""Purged k-fold, walk-forward and combinatorial purged cross-validation over eras, and the blocks of a model that is retrained.

An era is a week. A target looks several weeks ahead, so eras near a test era share part of its outcome. They are purged from the
training eras. Distances are counted in weeks, by era number, so that the purge is also right for every n-th era of the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.base.schema import overlap_line, purge_weeks, usual_distance
from erawise.folds.settings import Split
from erawise.running.errors import InputError

Eras = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """One test block of eras, and the training eras that are left after the purge."""

    train: Eras
    test: Eras
    purged: Eras


@dataclass(frozen=True)
class Plan:
    """The folds for one horizon, and the eras that the final model trains on and predicts.

    Attributes
    ----------
    weeks : purged on each side of a test era.
    folds : of cv.
    train : eras that the final model is fitted on.
    validation, validation_purged : eras of the final check, and eras of it that are too near to `train`.
    blocks : of the final check if models are retrained. The first block is predicted by the final model, each of the others by a model that
        is fitted on everything that was resolved before it; empty if models are not retrained.
    """

    weeks: int
    folds: list[Fold]
    train: Eras
    validation: Eras
    validation_purged: Eras
    blocks: list[Fold] = field(default_factory=list)

    @property
    def staleness(self) -> tuple[int, int] | None:
        """The least and the most weeks between an era of the final check and the last era that its model learned from; None without any."""
        tested = [(block.train[-1], block.test) for block in self.blocks] or [(self.train[-1], self.validation)]
        weeks = [age for last, test in tested if len(test) for age in (int(test[0] - last), int(test[-1] - last))]
        return (min(weeks), max(weeks)) if weeks else None


def plan(train: Eras, validation: Eras, days: int, settings: Split, retrain_every: int | None = None) -> Plan:
    """Split the train eras into folds, and purge eras that overlap.

    Parameters
    ----------
    train, validation : era numbers, sorted and unique.
    days : horizon of the target in trading days.
    settings : `purged_kfold` (`folds` contiguous blocks) or `walk_forward` (test blocks of `chunk` weeks, trained on the past, or
        on the last `window` weeks of it).
    retrain_every : weeks between two fits of a model that is retrained; None if it isn't.

    Raises
    ------
    InputError
        If the eras are too few for the folds, or further apart than the fits.
    """
    weeks = purge_weeks(days)
    kfold = settings.method == "purged_kfold"
    made = purged_kfold(train, settings.folds, weeks) if kfold else walk_forward(train, settings.chunk, weeks, settings.window)
    near = near_any(validation, train[-1:], weeks)
    left, purged = validation[~near], validation[near]
    again = [] if retrain_every is None else retrained(train, left, purged, weeks, retrain_every)
    return Plan(weeks, made, train, left, purged, again)


def retrained(train: Eras, validation: Eras, purged: Eras, weeks: int, every: int) -> list[Fold]:
    """Divide the eras of the final check into blocks, each with the eras that its model may be fitted on.

    A block begins every `every` weeks, counted from the first train era, so that new eras move no earlier block. A block's model is fitted
    on all eras that lie more than `weeks` before its first era. The first block has the model that is fitted on `train`.

    Parameters
    ----------
    train, validation, purged : eras that may be learned from, eras of the final check, and those between the two; each sorted.
    weeks : the purge.
    every : weeks between two fits.

    Raises
    ------
    InputError
        If neighbouring eras are further apart than `every`.
    """
    distance = usual_distance(validation.tolist())
    if distance is not None and every < distance:
        raise InputError(
            f"final.retrain_every: a fit every {every} weeks, and neighbouring eras are {distance} weeks apart, so that fits would repeat; "
            f"expected at least {distance}, or a smaller preprocess.every"
        )
    block = (validation - train[0]) // every
    tests = [validation[block == number] for number in np.unique(block)]
    known = np.concatenate([train, purged, validation])
    later = [_fold(known[known < test[0]], test, weeks, "final.retrain_every") for test in tests[1:]]
    return [Fold(train, test, purged) for test in tests[:1]] + later


def purged_kfold(eras: Eras, folds: int, weeks: int) -> list[Fold]:
    """Split eras into `folds` contiguous blocks. Each is the test once, with the eras within `weeks` of it purged on both sides.

    Raises
    ------
    InputError
        If there are fewer eras than folds, or a fold has no training era left.
    """
    if len(eras) < folds:
        raise InputError(f"split.folds: {folds} folds need at least {folds} train eras, and there are {len(eras)}")
    return [_fold(np.setdiff1d(eras, test), test, weeks, "split.folds") for test in np.array_split(eras, folds)]


def walk_forward(eras: Eras, chunk: int, weeks: int, window: int | None = None) -> list[Fold]:
    """Test blocks of `chunk` weeks, each trained on all earlier eras but the last `weeks` before it. The first block is no test.

    With a window, a block is trained on the eras of `window` weeks before the purge (rolling), else on the whole past (expanding).

    Raises
    ------
    InputError
        If the eras span no second block, or a fold has no training era left.
    """
    block = (eras - eras[0]) // chunk
    numbers = np.unique(block)[1:]
    if not len(numbers):
        raise InputError(
            f"split.chunk: {len(eras)} train eras (weeks {eras[0]} to {eras[-1]}) span no second block of {chunk} weeks; lower it"
        )
    made = []
    for number in numbers:
        past, test = eras[block < number], eras[block == number]
        if window is not None:
            past = past[past >= test[0] - weeks - window]
        made.append(_fold(past, test, weeks, "split.chunk"))
    return made


def combinatorial(eras: Eras, blocks: int, tested: int, weeks: int) -> list[Fold]:
    """Split eras into `blocks` contiguous blocks. Every choice of `tested` blocks is a test, with the eras within `weeks` of it purged.

    López de Prado (2018), Advances in Financial Machine Learning, chapter 12.

    Raises
    ------
    InputError
        If there are fewer eras than blocks, all blocks would be tested, or a fold has no training era left.
    """
    if not 0 < tested < blocks <= len(eras):
        raise InputError(f"{tested} of {blocks} blocks of {len(eras)} eras can't be tested; expected 0 < tested < blocks <= eras")
    parts = np.array_split(eras, blocks)
    tests = [np.concatenate([parts[k] for k in chosen]) for chosen in combinations(range(blocks), tested)]
    return [_fold(np.setdiff1d(eras, test), test, weeks, "combinatorial folds") for test in tests]


def near_any(eras: Eras, others: Eras, weeks: int) -> NDArray[np.bool_]:
    """Return whether each era is within `weeks` weeks (inclusive) of any of `others`, which are sorted."""
    if not len(others):
        return np.zeros(len(eras), bool)
    after = np.searchsorted(others, eras)
    distance_left = np.abs(eras - others[np.maximum(after - 1, 0)])
    distance_right = np.abs(others[np.minimum(after, len(others) - 1)] - eras)
    return np.minimum(distance_left, distance_right) <= weeks


def spaced(eras: Eras, count: int) -> Eras:
    """Return at most `count` of the eras, evenly spaced, the first and the last among them."""
    if len(eras) <= count:
        return eras
    return eras[np.linspace(0, len(eras) - 1, count).round().astype(np.int64)]


def inner_slice(train: Eras, share: float, weeks: int) -> tuple[Eras, Eras]:
    """Split training eras for early stopping: the last `share` is the inner slice, and the purged eras before it are left out.

    Returns
    -------
    fitted, inner : sorted eras.

    Raises
    ------
    InputError
        If nothing is left to fit on.
    """
    count = max(1, round(share * len(train)))
    inner = train[-count:]
    rest = train[:-count]
    fitted = rest[~near_any(rest, inner, weeks)]
    if not len(fitted):
        raise InputError(
            f"training.inner_share: {count} of {len(train)} training eras for early stopping and {weeks} weeks purged leave none to fit on"
        )
    return fitted, inner


def to_json(plans: dict[int, Plan | str]) -> dict[str, Any]:
    """Convert plans by horizon to the content of `folds.json`. A text says why a horizon has no plan."""
    entries = {str(days): {"problem": made} if isinstance(made, str) else _plan_to_json(made) for days, made in plans.items()}
    return {"horizons": entries}


def from_json(content: dict[str, Any], days: int) -> Plan:
    """Return the plan for one horizon of `folds.json`.

    Raises
    ------
    InputError
        If the horizon has no plan.
    """
    made = content["horizons"].get(str(days), {"problem": f"no target of the data looks {days} trading days ahead"})
    if "problem" in made:
        raise InputError(f"there are no folds for a target of {days} days: {made['problem']}")
    return Plan(
        made["weeks"],
        _folds(made["folds"]),
        _eras(made["train"]),
        _eras(made["validation"]),
        _eras(made["validation_purged"]),
        _folds(made.get("blocks", ())),
    )


def describe(plan: Plan | str, days: int) -> list[str]:
    """Return the lines that report a plan for a horizon of `days` trading days to a person."""
    if isinstance(plan, str):
        return [f"no folds for such targets: {plan}"]
    purged = [len(fold.purged) for fold in plan.folds]
    left = len(plan.validation) or "no"
    tested = np.concatenate([fold.test for fold in plan.folds])
    return [
        f"{plan.weeks} weeks purged on each side of a test block: {purged} eras; {left} validation eras left",
        *staleness_lines(plan),
        *(f"{name}: {overlap_line(eras.tolist(), days)}" for name, eras in (("cv", tested), ("validation", plan.validation))),
    ]


def staleness_lines(plan: Plan) -> list[str]:
    """Return the sentence that says how stale the model of each prediction of the final check is; empty without such eras."""
    if plan.staleness is None:
        return []
    least, most = plan.staleness
    models = f"{len(plan.blocks)} models, fitted one after the other," if plan.blocks else "one model"
    return [f"validation is predicted by {models} whose last training era lies {least} to {most} weeks before the era that it predicts"]


def _plan_to_json(made: Plan) -> dict[str, Any]:
    return {
        "weeks": made.weeks,
        "why": f"eras within {made.weeks} weeks of a test era share part of its outcome",
        "folds": _folds_to_json(made.folds),
        "train": made.train.tolist(),
        "validation": made.validation.tolist(),
        "validation_purged": made.validation_purged.tolist(),
    } | ({"blocks": _folds_to_json(made.blocks)} if made.blocks else {})


def _folds_to_json(folds: Sequence[Fold]) -> list[dict[str, list[int]]]:
    return [{"train": f.train.tolist(), "test": f.test.tolist(), "purged": f.purged.tolist()} for f in folds]


def _folds(content: Sequence[dict[str, list[int]]]) -> list[Fold]:
    return [Fold(_eras(fold["train"]), _eras(fold["test"]), _eras(fold["purged"])) for fold in content]


def _eras(values: Sequence[int]) -> Eras:
    return np.array(values, np.int64)


def _fold(rest: Eras, test: Eras, weeks: int, setting: str) -> Fold:
    near = near_any(rest, test, weeks)
    if near.all():
        raise InputError(
            f"{setting}: the test eras {test[0]} to {test[-1]} and a purge of {weeks} weeks leave no era to train on; "
            f"expected more eras, or blocks of more than {weeks} weeks"
        )
    return Fold(rest[~near], test, rest[near])
