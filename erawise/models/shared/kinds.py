"""Kinds of models: each is a directory of `models` with its settings and its model."""

import importlib
from pathlib import Path
from typing import Any

from erawise.models.shared.protocol import StoredKind, require_complete
from erawise.running.errors import InputError

PACKAGE = "erawise.models"
GIVEN = "predictions"
"""The kind of a model that nothing fits: its predictions are in files of the user's own."""


def names() -> list[str]:
    """Return the names of all kinds, sorted."""
    return sorted(path.parent.name for path in Path(__file__).parents[1].glob("*/model.py"))


def load(name: str) -> StoredKind:
    """Import a kind of model.

    Raises
    ------
    InputError
        If a part of the protocol is missing, or a model of the kind isn't fitted.
    """
    if name == GIVEN:
        raise InputError(f"a model of the kind {GIVEN} is a file, which nothing fits; name another model")
    kind: StoredKind = importlib.import_module(f"{PACKAGE}.{name}.model")
    require_complete(kind)
    return kind


def given() -> Any:
    """Import the room of the kind `GIVEN`, which isn't a dep of the models that are fitted."""
    return importlib.import_module(f"{PACKAGE}.{GIVEN}.given")
