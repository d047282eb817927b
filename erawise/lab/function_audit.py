"""The audit of a function by its name, on made data or on the user's features."""

from dataclasses import replace
from pathlib import Path

from erawise.lab import auditing, called, prediction_audit, user_files
from erawise.lab.auditing import Shape
from erawise.lab.verdicts import Audit


def audit_named(name: str, data: Path | None, days: int, shape: Shape, walks_forward: bool | None, seed: int) -> Audit:
    """Test the function `module:function`, see `auditing.audit`.

    Parameters
    ----------
    data : directory of the user's data, whose features are then used; None to make features.
    shape : at most so much of the user's data, or exactly so much.
    """
    function = called.load(name)
    if data is not None:
        shape = replace(shape, own=user_files.read_shape(data, rows=shape.rows, eras=shape.eras, features=shape.features, seed=seed))
    found = auditing.audit(function, days=days, shape=shape, walks_forward=walks_forward, seed=seed, name=name)
    return found if data is None else replace(found, tests=(*found.tests, prediction_audit.of_data(data, days)))
