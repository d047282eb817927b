"""A trained model on disk: its kind, what it was fitted on, and the directory and the rounds of each member that is blended into it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from erawise.base import files
from erawise.models.shared import kinds
from erawise.models.shared.protocol import Fitted
from erawise.running.errors import InputError

DESCRIPTION = "model.json"


@dataclass(frozen=True)
class Member:
    """One of the models that are blended with equal weights; most often the only one.

    Parameters
    ----------
    directory : where it lies, below that of the model.
    rounds : trees or epochs that its final fit ran for by early stopping; None without.
    """

    directory: str
    rounds: int | None


@dataclass(frozen=True)
class Basis:
    """SHA-256 digests of what a model was fitted on: its settings, the features that it sees, and the prepared data."""

    settings: str
    features: str
    data: str


@dataclass(frozen=True)
class Description:
    """The content of `model.json`.

    Attributes
    ----------
    kind : of model.
    members : the models that are blended.
    eras : the first and the last era that it was fitted on.
    basis : what it was fitted on; None in a file that doesn't say so.
    trained : digest of the trained model whose fit was repeated on more eras; None for a trained model itself.
    """

    kind: str
    members: tuple[Member, ...]
    eras: tuple[int, int]
    basis: Basis | None = None
    trained: str | None = None


class Writer:
    """Writes the members of a model one after the other into an existing directory: a single one right into it.

    Parameters
    ----------
    kind : of model.
    several : whether there is more than one.
    directory : where they are written.
    """

    def __init__(self, kind: str, directory: Path, *, several: bool) -> None:
        self._kind, self._directory, self._several = kind, directory, several
        self._members: list[Member] = []

    def add(self, name: str, model: Fitted, rounds: int | None) -> None:
        """Write a member, with the rounds of its final fit."""
        own = name if self._several else "."
        (self._directory / own).mkdir(exist_ok=True)
        model.save(self._directory / own)
        self._members.append(Member(own, rounds))

    def close(self, eras: NDArray[np.int64], basis: Basis | None = None, trained: str | None = None) -> None:
        """Write the description: the eras that the model was fitted on, and the other attributes of `Description`."""
        members, span = tuple(self._members), (int(eras.min()), int(eras.max()))
        content = asdict(Description(self._kind, members, span, basis, trained))
        files.write_json({key: value for key, value in content.items() if value is not None}, self._directory / DESCRIPTION)


def describe(directory: Path) -> Description:
    """What a directory says of its model.

    Raises
    ------
    InputError
        If that is missing, or none of what `save` writes.
    """
    path = directory / DESCRIPTION
    content = files.read_json(path)
    try:
        first, last = content["eras"]
        members = tuple(Member(**member) for member in content["members"])
        basis = Basis(**content["basis"]) if "basis" in content else None
        return Description(str(content["kind"]), members, (int(first), int(last)), basis, content.get("trained"))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: it doesn't say what the model is; train the model again") from None


def digest(directory: Path) -> str:
    """Return the SHA-256 of a model: of its files, its kind, and the settings, features and eras that it was fitted on.

    Data that the model was not fitted on, such as validation eras that are added, doesn't change it.

    Raises
    ------
    InputError
        If it is missing or broken.
    """
    found = describe(directory)
    basis = None if found.basis is None else [found.basis.settings, found.basis.features]
    parts = [files.digest(path) for path in sorted(directory.iterdir()) if path.name != DESCRIPTION]
    content = [found.kind, [asdict(member) for member in found.members], found.eras, basis, parts]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def load(directory: Path) -> Sequence[Fitted]:
    """Read the members of a model.

    Raises
    ------
    InputError
        If one is missing or broken, or the model is of a kind that isn't there, or whose library isn't.
    """
    found = describe(directory)
    if found.kind not in kinds.names():
        raise InputError(
            f"{directory / DESCRIPTION}: the model is of the kind {found.kind!r}, and there are {', '.join(kinds.names())}; "
            "check out the commit that made it, or train it again"
        )
    try:
        kind = kinds.load(found.kind)
    except ModuleNotFoundError as error:
        needed = f"a model of the kind {found.kind} needs {error.name}, which isn't installed"
        raise InputError(f"{directory / DESCRIPTION}: {needed}; run `make .venv/runtime`") from None
    return [kind.load(directory / member.directory) for member in found.members]
