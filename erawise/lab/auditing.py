"""The leak auditor: a verdict on a way to make out-of-fold predictions, called on data made for the purpose."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import LEAST_SPANS, spanned_weeks
from erawise.lab import called, influence, made_data, noise_tests, verdicts
from erawise.lab.called import Recipe
from erawise.lab.influence import Prober
from erawise.lab.made_data import MadeData
from erawise.lab.verdicts import Audit
from erawise.running.errors import InputError

LEAST_ROWS, LEAST_FEATURES = 20, 4


@dataclass(frozen=True)
class Shape:
    """The size of the made data, and the user's features if they are to be used.

    Attributes
    ----------
    rows, eras, features : rows of an era, eras, features.
    own : the user's features and eras, in place of made ones.
    """

    rows: int = 200
    eras: int = 100
    features: int = 40
    own: tuple[pd.DataFrame, pd.Series] | None = None

    def draw(self, seed: int) -> MadeData:
        """Draw the features of an audit."""
        if self.own is not None:
            return made_data.shaped(*self.own, seed)
        return made_data.draw(rows=self.rows, eras=self.eras, features=self.features, seed=seed)


def audit(
    function: Callable[..., Any],
    splitter: Any = None,
    *,
    days: int = 60,
    shape: Shape | None = None,
    walks_forward: bool | None = None,
    seed: int = 0,
    name: str = "",
) -> Audit:
    """Test a way to make out-of-fold predictions.

    Parameters
    ----------
    function : called with features (DataFrame, index: ids), target and eras (Series of the same index; eras are numbers of weeks); it
        returns a Series of predictions, NaN in rows that it doesn't predict. Or a scikit-learn estimator, with a splitter.
    splitter : has `split(X, y, groups)`, such as `PurgedKFold(4, weeks=16)`; with an estimator only.
    days : trading days that the target looks ahead.
    shape : the size of the made data.
    walks_forward : whether predictions use only the past; None to take it from whether the first eras have no predictions.
    seed : of all drawing.
    name : in the result and in messages.

    Returns
    -------
    Audit
        A verdict for each test, and the worst of them as the verdict of all.

    Raises
    ------
    InputError
        If the function fails or returns something else, or there are too few eras for the horizon.

    Examples
    --------
    A purge of 4 weeks for a target of 60 days, which spans 12:

    >>> import erawise
    >>> from sklearn.linear_model import Ridge
    >>> erawise.audit(Ridge(), erawise.PurgedKFold(4, weeks=4), days=60, shape=Shape(rows=20, eras=60, features=4)).verdict
    'leaks'
    """
    shape, weeks = shape or Shape(), spanned_weeks(days)
    if (splitter is None) == hasattr(function, "fit"):
        raise InputError("audit: a scikit-learn estimator needs a splitter, and a function none, since it makes its own folds")
    recipe = Recipe(
        called.of_estimator(function, splitter) if splitter is not None else function,
        name or getattr(function, "__name__", type(function).__name__),
    )
    first = shape.draw(seed)
    _require_size(first, weeks, days)
    seeds = np.random.default_rng(seed).integers(2**31, size=2 + 2 * noise_tests.DRAWS)
    prober = Prober(recipe, first, made_data.with_signal(first, np.random.default_rng(seeds[0])), weeks, int(seeds[0]))
    exact = influence.audit(prober, walks_forward)
    draws: Iterator[MadeData] = (shape.draw(int(one)) for one in seeds[2:])
    chance = verdicts.adjusted(noise_tests.audit(recipe, draws, weeks, int(seeds[1])))
    return Audit(recipe.name, (*exact, *chance))


def _require_size(data: MadeData, weeks: int, days: int) -> None:
    numbers, least = data.numbers, LEAST_SPANS * weeks // 2
    if numbers[-1] - numbers[0] < least:
        raise InputError(
            f"audit: {len(numbers)} eras; a target of {days} days spans {weeks} weeks, and an audit needs eras over {least} weeks"
        )
    rows, features = len(data.eras) // len(numbers), data.features.shape[1]
    if rows < LEAST_ROWS or features < LEAST_FEATURES:
        raise InputError(f"audit: {rows} rows of an era and {features} features; expected at least {LEAST_ROWS} and {LEAST_FEATURES}")
