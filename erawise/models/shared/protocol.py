"""What every kind of model offers, so that training is written once."""

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
"""What a training process takes for libraries and the like."""

ROW_BYTES = 150
"""What it takes for each row of the panel: ids, eras and targets, row numbers, and the predictions that it makes."""


Portable = tuple[str, dict[str, str | NDArray]]
"""Which function of `portable.runtime` predicts as a model does, and what it takes, by name: text, or arrays."""


@dataclass(frozen=True)
class Attribution:
    """What each feature adds to each prediction of a model: SHAP values.

    Parameters
    ----------
    unit : of what is added up: `prediction`, or what the model has before it becomes one, such as `log-odds`.
    base : what is predicted where no feature is known.
    contributions : (rows, features) float64 of what each feature of (rows, features) adds to `base`; their sum over the features and
        `base` are what `predict` gives.
    predict : (rows,) in `unit`, from (rows, features).
    """

    unit: str
    base: float
    contributions: Callable[[NDArray], NDArray[np.float64]]
    predict: Callable[[NDArray], NDArray[np.float64]]


PREDICTION_UNIT = "prediction"


def ignore(*told: object) -> None:
    """Do nothing with what is told."""


@dataclass(frozen=True)
class Resources:
    """What a fit may use.

    Parameters
    ----------
    threads : threads.
    memory : bytes of memory that the process may take.
    scratch : a directory for files that several fits share; its owner removes it.
    device : `cpu`, or the kind of GPU that LightGBM grows trees on.
    held : bytes that the process takes beside its fits, see `held_by`.
    notify : told, before the first fit, how much memory the fits take.
    log : told, where a fit stops early, each of its rounds, from 1, and the score on the inner slice after it.
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
            With both amounts.
        """
        if needed + self.held > self.memory:
            raise InputError(
                f"resources.memory: {what} need {(needed + self.held) / GIB:.2f} GiB, more than {self.memory / GIB:.2f} GiB; "
                "raise it where the machine has more, or take less: max_rows where it is named, data.feature_set, preprocess.every"
            )

    def side_by_side(self, needed: Sequence[int], most: int | None = None) -> int:
        """How many of some fits, and not more than `most`, may run at once, by the bytes that each needs; says how many they take."""
        largest = max(*needed, 1)
        fits = max(1, min(self.threads if most is None else most, len(needed), (self.memory - self.held) // largest))
        together = "one fit after the other" if fits == 1 else f"{fits} fits at once"
        self.notify(f"memory: up to {(self.held + fits * largest) / GIB:.2f} GiB of {self.memory / GIB:.2f} ({together})")
        return fits

    def shared(self, fits: int) -> Self:
        """What each of so many fits at once has: its share of the threads."""
        return replace(self, threads=max(1, self.threads // fits))


def held_by(panel: Panel) -> int:
    """Bytes that a process takes that trains on a panel, beside its fits."""
    return LIBRARY_BYTES + panel.n_rows * ROW_BYTES


class Fitted(Protocol):
    """A fitted model."""

    @property
    def rounds(self) -> int | None:
        """Trees or epochs that early stopping found best; None where the kind has none, or no score was above 0."""

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features), int8 or float32, in the order of the features it was fitted on."""

    def importance(self) -> NDArray[np.float64]:
        """(features,) share of each feature in the model, at least 0, of sum 1 (all 0 where the model uses none)."""

    def tree_importance(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """(features,) share of each feature in what the splits of the trees gain, and in their number; None for a kind without trees."""

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> Attribution:
        """What explains rows like `sample` (rows, features).

        `background` (some rows, features), drawn from the same eras, is what a network's rows are compared with. The result hangs on no
        number of threads.
        """

    def portable(self) -> Portable:
        """What predicts the same without this library, and the model's own."""

    def save(self, directory: Path) -> None:
        """Write the model into an existing directory: the same bytes for the same model, and nothing to unpickle."""


class Kind(Protocol):
    """A kind of model that can be fitted."""

    def needs(self, settings: Any, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
        """Bytes of memory that each fit takes at most, where it runs in a process of its own.

        Raises
        ------
        InputError
            If one needs more than it may have.
        """

    def prepare(self, settings: Any, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
        """Write what all fits share, in one pass, before the first: for each its training rows and inner slice.

        Gives the number of fits that may run at once, each in a thread of its own with its share of the threads.
        """

    def fit(self, settings: Any, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Fitted:
        """Fit on `train`.

        With `inner`, kinds that have rounds stop by its mean per-era correlation; without it they run for `rounds`, or
        for as many as the settings say where that is None. Kinds without rounds ignore both.
        """

    def steps(self, settings: Any) -> tuple[int, str]:
        """How many steps a fit with these settings has at most, and what they are, in the plural: such as `trees`."""

    def stops_early(self, settings: Any) -> bool:
        """Whether a model with these settings stops early, and so needs an inner slice in each fold."""


class StoredKind(Kind, Protocol):
    """A kind of model that can be fitted, stored and read again: the module `erawise.models.<kind>.model`."""

    __name__: str

    def load(self, directory: Path) -> Fitted:
        """Read what `Fitted.save` has written."""


def require_complete(kind: Any) -> None:
    """Check that a kind of model has all that training may ask of it, before anything is fitted.

    Raises
    ------
    InputError
        With the functions of `StoredKind` that it lacks.
    """
    asked = [
        name for protocol in (Kind, StoredKind) for name, what in vars(protocol).items() if callable(what) and not name.startswith("_")
    ]
    if lacking := [name for name in asked if not callable(getattr(kind, name, None))]:
        raise InputError(
            f"{kind.__name__}: the kind of model lacks {', '.join(f'`{name}`' for name in lacking)}; what each is given and returns is in "
            "erawise/models/shared/protocol.py, and docs/howto/add-a-model.md has an example"
        )
