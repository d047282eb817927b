"""The audits of the command line: of a function by its name, and of a file."""

from dataclasses import dataclass, replace
from pathlib import Path

from erawise.lab import auditing, called, prediction_audit, user_files
from erawise.lab.auditing import Shape
from erawise.lab.verdicts import Audit


@dataclass(frozen=True)
class Size:
    """The size of the data of an audit: rows of an era, eras, features."""

    rows: int
    eras: int
    features: int


def of_function(name: str, data: Path | None, days: int, size: Size, walks_forward: bool | None, seed: int) -> Audit:
    """Test the function `module:function`.

    Parameters
    ----------
    name : of the function.
    data : directory of the user's data, whose features are then used; None to make features.
    days : trading days that the target looks ahead.
    size : at most so much of the user's data, or exactly so much.
    walks_forward : see `auditing.audit`.
    seed : of all drawing.
    """
    function = called.load(name)
    shape = Shape(size.rows, size.eras, size.features)
    if data is not None:
        shape = replace(shape, own=user_files.read_shape(data, rows=size.rows, eras=size.eras, features=size.features, seed=seed))
    found = auditing.audit(function, days=days, shape=shape, walks_forward=walks_forward, seed=seed, name=name)
    return found if data is None else replace(found, tests=(*found.tests, prediction_audit.of_data(data, days)))


def of_file(path: Path, data: Path, trained_to: int, days: int, column: str | None) -> Audit:
    """Test a file of predictions against a directory of data, see `prediction_audit.audit_predictions`."""
    return prediction_audit.audit_predictions(path, data, trained_to, days=days, column=column)
