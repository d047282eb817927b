"""The interface of every kind of model, so that training is written once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from erawise.panel.panel import Panel, View
from erawise.running.errors import InputError

GIB = 2**30
LIBRARY_BYTES = GIB // 4
"""Memory of a training process for libraries and the like."""

ROW_BYTES = 150
"""Memory of a training process for each row of the panel: ids, eras and targets, row numbers, and predictions."""


Portable = tuple[str, dict[str, str | NDArray]]
"""The name of the function of `upload.runtime` that predicts like a model, and the function's inputs by name: texts or arrays."""


@dataclass(frozen=True)
class Attribution:
    """SHAP values: the contribution of each feature to each prediction of a model.

    Parameters
    ----------
    unit : of the contributions: `prediction`, or an earlier stage of it, such as `log-odds`.
    base : the prediction if no feature is known.
    contributions : returns (rows, features) float64 from (rows, features). `base` and the sum over the features add up to `predict`.
    predict : returns (rows,) in `unit` from (rows, features).
    """

    unit: str
    base: float
    contributions: Callable[[NDArray], NDArray[np.float64]]
    predict: Callable[[NDArray], NDArray[np.float64]]


PREDICTION_UNIT = "prediction"


def ignore(*message: object) -> None:
    """Ignore a message."""


@dataclass(frozen=True)
class Resources:
    """The resources that a fit may use.

    Parameters
    ----------
    threads : threads.
    memory : bytes of memory that the process may use.
    scratch : a directory for files that several fits share; its owner removes it.
    device : `cpu`, or the kind of GPU that LightGBM grows trees on.
    held : bytes that the process uses in addition to its fits, see `held_by`.
    notify : told, before the first fit, how much memory the fits need.
    log : told each round, from 1, of a fit that stops early, and the score on the inner slice after it.
    step : called after each step of a fit, see `Kind.steps`.
    """

    threads: int
    memory: int
    scratch: Path
    device: str = "cpu"
    held: int = LIBRARY_BYTES
    notify: Callable[[str], None] = ignore
    log: Callable[[int, float], None] = field(default=ignore, compare=False)
    step: Callable[[], None] = field(default=ignore, compare=False)

    def require(self, needed: int, what: str) -> None:
        """Check that a fit has the memory that it needs.

        Raises
        ------
        InputError
            If it hasn't; the message has both amounts.
        """
        if needed + self.held > self.memory:
            raise InputError(
                f"resources.memory: {what} need {(needed + self.held) / GIB:.2f} GiB, more than {self.memory / GIB:.2f} GiB; "
                "raise it if the machine has more, or lower max_rows (if it is named), data.feature_set or preprocess.every"
            )

    def side_by_side(self, needed: Sequence[int], most: int | None = None) -> int:
        """Return how many of some fits, at most `most`, may run at once, given the bytes that each needs; notify of their memory."""
        largest = max(*needed, 1)
        fits = max(1, min(self.threads if most is None else most, len(needed), (self.memory - self.held) // largest))
        together = "one fit after the other" if fits == 1 else f"{fits} fits at once"
        self.notify(f"memory: up to {(self.held + fits * largest) / GIB:.2f} GiB of {self.memory / GIB:.2f} ({together})")
        return fits

    def shared(self, fits: int) -> Self:
        """Return the resources of each of so many fits at once: its share of the threads."""
        return replace(self, threads=max(1, self.threads // fits))


def held_by(panel: Panel) -> int:
    """Return the bytes that a process needs to train on a panel, in addition to its fits."""
    return LIBRARY_BYTES + panel.n_rows * ROW_BYTES


class Fitted(Protocol):
    """A fitted model."""

    @property
    def rounds(self) -> int | None:
        """Trees or epochs that early stopping found best; None if the kind has no rounds, or no score was above 0."""

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features), int8 or float32, with the features in the order of the fit."""

    def importance(self) -> NDArray[np.float64]:
        """Return the (features,) share of each feature in the model, at least 0, of sum 1.

        All are 0 if the model uses no feature, and NaN if its importance isn't known.
        """

    def tree_importance(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the (features,) shares of the features in the gain of the trees' splits and in their number; None without trees."""

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> Attribution | None:
        """Return the attribution for rows like `sample` (rows, features); None if none is known.

        A network's rows are compared with `background` (some rows, features) of the same eras. The result doesn't depend on the number
        of threads.
        """

    def portable(self) -> Portable:
        """Return the model in a form that predicts the same without this package and the library that fitted it."""

    def save(self, directory: Path) -> None:
        """Write the model into an existing directory: the same bytes for the same model, and nothing to unpickle."""


class Kind(Protocol):
    """A kind of model that can be fitted."""

    def needs(self, settings: Any, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
        """Return the bytes of memory that each fit needs at most if it runs in a process of its own.

        Raises
        ------
        InputError
            If one needs more than it may have.
        """

    def prepare(self, settings: Any, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
        """Write the data that all fits share, in one pass before the first; `folds` has each fit's training rows and inner slice.

        Returns
        -------
        The number of fits that may run at once, each in its own thread and with its share of the threads.
        """

    def fit(self, settings: Any, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Fitted:
        """Fit on `train`.

        Kinds that have rounds stop by the mean per-era correlation on `inner`. Without `inner` they run for `rounds`, or as many rounds as
        the settings say if `rounds` is None. Kinds without rounds ignore both.
        """

    def steps(self, settings: Any) -> tuple[int, str]:
        """Return the number of steps that a fit with these settings has at most, and their name in the plural, such as `trees`."""

    def stops_early(self, settings: Any) -> bool:
        """Return whether a model with these settings stops early, and so needs an inner slice in each fold."""


class StoredKind(Kind, Protocol):
    """A kind of model that can be fitted, stored and read again: the module `erawise.models.<kind>.model`."""

    __name__: str

    def load(self, directory: Path) -> Fitted:
        """Read a model that `Fitted.save` has written."""


def require_complete(kind: Any) -> None:
    """Check, before anything is fitted, that a kind of model has every function that training may call.

    Raises
    ------
    InputError
        If it lacks functions of `StoredKind`; the message names them.
    """
    asked = [
        name for protocol in (Kind, StoredKind) for name, what in vars(protocol).items() if callable(what) and not name.startswith("_")
    ]
    if lacking := [name for name in asked if not callable(getattr(kind, name, None))]:
        raise InputError(
            f"{kind.__name__}: the kind of model lacks {', '.join(f'`{name}`' for name in lacking)}; erawise/models/shared/protocol.py "
            "describes each, and docs/howto/add-a-model.md has an example"
        )
