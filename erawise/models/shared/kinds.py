"""Kinds of models: each is a directory of `models` with its settings and its model."""

import importlib
from pathlib import Path

from erawise.models.shared.protocol import StoredKind, require_complete

PACKAGE = "erawise.models"


def names() -> list[str]:
    """Return the names of all kinds, sorted."""
    return sorted(path.parent.name for path in Path(__file__).parents[1].glob("*/model.py"))


def load(name: str) -> StoredKind:
    """Import a kind of model.

    Raises
    ------
    InputError
        If a part of the protocol is missing.
    """
    kind: StoredKind = importlib.import_module(f"{PACKAGE}.{name}.model")
    require_complete(kind)
    return kind
