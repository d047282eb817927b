"""Estimators by their path: found, checked, and made with their settings."""

import importlib
import inspect
from typing import Any

from erawise.running.errors import InputError, known_names

SEED, JOBS = "random_state", "n_jobs"
REGRESSOR = "regressor"


def made(path: str, settings: dict[str, Any], seed: int, threads: int) -> Any:
    """Return an estimator that is not fitted.

    Parameters
    ----------
    path : of its class.
    settings : its arguments.
    seed, threads : used if it accepts them.

    Raises
    ------
    InputError
        If there is no such class, it is no regressor, or it doesn't accept a setting.
    """
    found = _class(path)
    known = inspect.signature(found).parameters
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for name in settings:
        if name == SEED:
            raise InputError(f"settings.{SEED}: the model's seed is used for it; remove it, and set seed")
        if name not in known and not free:
            raise InputError(f"settings.{name}: {path} has no such setting; it has {known_names(known, name)}")
    own = {SEED: seed, JOBS: threads}
    given = {name: value for name, value in own.items() if name in known} | settings
    try:
        estimator = found(**given)
        getattr(estimator, "_validate_params", lambda: None)()  # scikit-learn's own check of the values, which `fit` makes too
    except Exception as error:  # of any type: the class may be anyone's
        raise InputError(f"settings: {path} refuses them: {line(error)}") from None
    kind = _kind(estimator)
    if kind not in (None, REGRESSOR):
        raise InputError(f"estimator: {path} is a {kind}; expected a regressor, whose predictions are numbers")
    return estimator


def line(error: Exception) -> str:
    """Return an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _class(path: str) -> type:
    module, _, name = path.rpartition(".")
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"estimator: {module} can't be imported ({error}); mend the path, or install the package") from None
    names = [each for each in dir(found) if inspect.isclass(getattr(found, each, None)) and hasattr(getattr(found, each), "predict")]
    if name not in names:
        if inspect.isclass(getattr(found, name, None)):
            raise InputError(f"estimator: {path} has no predict; expected a regressor")
        raise InputError(f"estimator: {module} has no such class {name}; it has {known_names(names, name)}")
    chosen: type = getattr(found, name)
    if not callable(getattr(chosen, "fit", None)):
        raise InputError(f"estimator: {path} has no fit; expected a regressor")
    return chosen


def _kind(estimator: Any) -> str | None:
    """Return what scikit-learn takes an estimator for; None if it doesn't know."""
    tags = getattr(estimator, "__sklearn_tags__", None)
    return getattr(estimator, "_estimator_type", None) if tags is None else tags().estimator_type
