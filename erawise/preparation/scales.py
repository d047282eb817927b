"""The scale of features: whole numbers 0 to 4 or floats 0 to 1, and the signs that a file has another scale than train.

A value beyond the ends of the scale is one sign. Values that were multiplied by less than 1 stay within the ends. They have two other
signs: the features of a file together span less than in train, or they leave the steps that they have in train.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from erawise.base.schema import FLOAT_MIDDLE, INT8_MIDDLE, INT8_TOP, TRAIN, top
from erawise.panel import blocks
from erawise.running.errors import InputError

NAMES = {"int8": f"small whole numbers, 0 to {INT8_TOP}", "float32": "floats 0 to 1"}
"""The scales, by the type in which their values are stored."""

ERAS = 10
"""Eras of a file that are compared at most. They are evenly spaced, so that the reading stays cheap at any size."""

SLACK = 0.02
"""Distance that a float on the same scale may lie beyond the span of other rows: ranks of fewer stocks end nearer to the middle."""

STEP = 0.2
"""Difference in width from which on two float features have different scales; for features of whole numbers it is 1."""

LEAST_NARROW, NARROW_SHARE = 3, 0.05
"""Number and share of a file's features that must be narrower than in train, or wider: fewer may have changed by themselves."""

LEAST_CHANCE = 1e-9
"""Chance below which two files with different spans have different scales."""

MIN_STEPS = 4
"""Least number of the steps 0, 0.25, ... 1 that a float feature with five bins has in train, without a value between them."""

STRAY_SHARE = 1 / 3
"""Share of a feature's values between the steps above which they are more than a few values that were filled in."""

Extremes = tuple[NDArray, NDArray]
"""(rows,) each: the lowest and the highest value of the features of each row."""


def is_whole(columns: Iterable[NDArray[np.float64]]) -> bool | None:
    """Return whether features are whole numbers up to 4 rather than floats up to 1; None if their values don't show it.

    A feature with a value between whole numbers counts for floats. Another feature with a value above 1 counts for whole numbers.
    The larger count decides. NaN is ignored.
    """
    votes = 0
    for values in columns:
        known = values[~np.isnan(values)]
        votes += -1 if (known != np.rint(known)).any() else int((known > 1).any())
    return votes > 0 if votes else None


def beyond(path: Path, name: str, values: NDArray, dtype: str) -> InputError:
    """Return the error for a feature whose values (n,), NaN if missing, are not all on the scale that train has by its type."""
    others = "as most features of the file are" if path.stem == TRAIN else "as the features of train are"
    return _error(path, name, values, f"isn't all {NAMES[dtype]}, {others}")


def _error(path: Path, name: str, values: NDArray, problem: str) -> InputError:
    known = values[~np.isnan(values)]
    kind = "whole numbers" if (known == np.rint(known)).all() else "fractions"
    lowest, highest = (np.format_float_positional(np.float32(value), trim="-") for value in (known.min(), known.max()))
    wanted = (
        f"{' or '.join(NAMES.values())}: bring all features of all files to one of the two"
        if path.stem == TRAIN
        else "one scale in train, validation and live: write the file as train was written"
    )
    return InputError(f"{path}: feature {name!r} {problem}: it has {kind} from {lowest} to {highest}; expected {wanted}")


def require_within(columns: NDArray, names: Sequence[str], path: Path) -> None:
    """Raise `InputError` if values (features, rows), int8 or float32, lie beyond the ends of the scale."""
    highest = top(str(columns.dtype))
    if columns.dtype == np.int8:
        # negative numbers are the largest unsigned ones, so that one pass finds both ends
        fine = columns.view(np.uint8).max(initial=0) <= highest
    else:
        fine = columns.min(initial=0) >= 0 and columns.max(initial=0) <= highest
    if not fine:
        feature = int(((columns < 0) | (columns > highest)).any(axis=1).argmax())
        raise beyond(path, names[feature], columns[feature], str(columns.dtype))


def require_same(found: Sequence[NDArray], train: Sequence[NDArray], names: Sequence[str], path: Path) -> None:
    """Raise `InputError` if the features of a file are within the scale of train, but have another scale.

    Parameters
    ----------
    found, train : (rows, features) blocks of single eras of the file and of train, int8 or float32, missing values filled by the
        middle. A feature with only one value in `found` is ignored.
    names : (features,).
    path : the file.
    """
    if found and train:
        lowest, highest = _ends(found)
        columns = np.flatnonzero(lowest < highest)
        if len(columns):
            _require_steps(found, train, columns, names, path)
            _require_span(found, train, columns, names, path)
            _require_each_span(found, train, columns, names, path)


def _taken(block: NDArray, columns: NDArray) -> NDArray:
    return block if len(columns) == block.shape[1] else blocks.take_columns(block, columns)


def _ends(eras: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
    """Return the lowest and the highest value of each feature, (features,) each."""
    return np.min([block.min(axis=0) for block in eras], axis=0), np.max([block.max(axis=0) for block in eras], axis=0)


def _column(eras: Sequence[NDArray], feature: int) -> NDArray:
    return np.concatenate([block[:, feature] for block in eras])


def _require_steps(found: Sequence[NDArray], train: Sequence[NDArray], columns: NDArray, names: Sequence[str], path: Path) -> None:
    """Raise `InputError` if a column has five steps in train, and many other values in the file."""
    if found[0].dtype == np.int8:
        return
    stray = np.sum([_between(_taken(block, columns)).sum(axis=0) for block in found], axis=0)
    known = np.sum([(_taken(block, columns) != FLOAT_MIDDLE).sum(axis=0) for block in found], axis=0)
    suspects = columns[stray > STRAY_SHARE * known]
    between = np.any([_between(_taken(block, suspects)).any(axis=0) for block in train], axis=0)
    for feature in suspects[~between]:
        values = _column(found, feature)
        filled = len(np.unique(values[_between(values)])) == 1  # the file's owner filled with one value, such as the mean
        if not filled and len(np.unique(_column(train, feature))) >= MIN_STEPS:
            raise _error(path, names[feature], values, "isn't in the steps 0, 0.25, ... 1 that it has in train")


def _between(values: NDArray) -> NDArray[np.bool_]:
    """Return whether each value is between the steps."""
    steps = values * INT8_TOP
    return steps != np.rint(steps)


def _require_span(found: Sequence[NDArray], train: Sequence[NDArray], columns: NDArray, names: Sequence[str], path: Path) -> None:
    """Raise `InputError` if no era of the file has the span of an era of train in some columns, beyond chance, or the reverse."""
    ours, theirs = ([_extremes(_taken(block, columns)) for block in eras] for eras in (found, train))
    pairs = [(a, b) for a in ours for b in theirs if b[0].min() < b[1].max()]
    if pairs and min(max(_chance(a, b) for a, b in pairs), max(_chance(b, a) for a, b in pairs)) < LEAST_CHANCE:
        lowest, highest = _ends(found)
        widest = int(np.argmax(highest - lowest))
        span = f"{min(low.min() for low, _ in theirs):g} to {max(high.max() for _, high in theirs):g}"
        raise _error(path, names[widest], _column(found, widest), f"and the others don't have the span of train's features, {span}")


def _extremes(block: NDArray) -> Extremes:
    return block.min(axis=1), block.max(axis=1)


def _chance(rows: Extremes, others: Extremes) -> float:
    """Return the chance that rows like `others` are all within the span that `rows` have."""
    slack = SLACK if rows[0].dtype == np.float32 else 0
    beyond = (others[0] < rows[0].min() - slack) | (others[1] > rows[1].max() + slack)
    return float((1 - beyond.mean()) ** len(rows[0]))


def _require_each_span(found: Sequence[NDArray], train: Sequence[NDArray], columns: NDArray, names: Sequence[str], path: Path) -> None:
    """Raise `InputError` if many columns span less in the file than in each era of train, beyond chance, or more."""
    for ours, theirs, word in ((found, train, "less"), (train, found, "more")):
        narrow = _narrower(ours, theirs, columns)
        if len(narrow) >= LEAST_NARROW and len(narrow) > NARROW_SHARE * len(columns):
            span = " to ".join(f"{end:g}" for end in (_column(train, narrow[0]).min(), _column(train, narrow[0]).max()))
            problem = f"and {len(narrow) - 1} others of {len(columns)} span {word} than they do in train, {span}"
            raise _error(path, names[narrow[0]], _column(found, narrow[0]), problem)


def _narrower(ours: Sequence[NDArray], theirs: Sequence[NDArray], columns: NDArray) -> NDArray:
    """Return the columns that span less in all of `ours` together than in each era of `theirs` in which they vary, beyond chance."""
    step, middle = (1, INT8_MIDDLE) if ours[0].dtype == np.int8 else (STEP, FLOAT_MIDDLE)
    low, high = (ends[columns] for ends in _ends(ours))
    spans = [np.subtract(*(ends[columns].astype(np.float64) for ends in reversed(_ends([block])))) for block in theirs]
    shorter = [(span == 0) | (high.astype(np.float64) - low <= span - step) for span in spans]
    suspects = np.all(shorter, axis=0) & np.any(np.not_equal(spans, 0), axis=0)
    known = np.sum([(_taken(block, columns[suspects]) != middle).sum(axis=0) for block in ours], axis=0)
    chance = np.zeros(len(known))
    for block, span in zip(theirs, spans, strict=True):
        values = _taken(block, columns[suspects])
        within = ((values >= low[suspects]) & (values <= high[suspects])).mean(axis=0)
        chance = np.maximum(chance, np.where(span[suspects] == 0, 0, within**known))
    return columns[suspects][chance < LEAST_CHANCE]
