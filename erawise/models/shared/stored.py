"""A trained model on disk: its kind, the digests of its data and settings, and the directory and rounds of each variant."""

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
SERVED = "served"
"""The subdirectory of a model that is retrained: the same model, fitted on every resolved era."""
VARIANTS = "members"
"""The key of the variants in the file."""


@dataclass(frozen=True)
class Variant:
    """A variant of a model, often the only one; several are blended with equal weights.

    Parameters
    ----------
    directory : its directory, relative to the model's directory.
    rounds : trees or epochs of its final fit, found by early stopping; None without early stopping.
    """

    directory: str
    rounds: int | None


@dataclass(frozen=True)
class Basis:
    """SHA-256 digests of the settings, the features and the prepared data that a model was fitted on."""

    settings: str
    features: str
    data: str


@dataclass(frozen=True)
class Description:
    """The content of `model.json`.

    Attributes
    ----------
    kind : kind of the model.
    variants : the variants that are blended; `members` in the file.
    eras : the first and the last era that it was fitted on.
    basis : digests of what it was fitted on; None in an old file.
    trained : digest of the trained model whose fit was repeated on more eras; None for a trained model itself.
    """

    kind: str
    variants: tuple[Variant, ...]
    eras: tuple[int, int]
    basis: Basis | None = None
    trained: str | None = None


class Writer:
    """The writer of a model into an existing directory, variant by variant; a single variant has no directory of its own.

    Parameters
    ----------
    kind : kind of the model.
    several : whether there is more than one variant.
    directory : the directory of the model.
    """

    def __init__(self, kind: str, directory: Path, *, several: bool) -> None:
        self._kind, self._directory, self._several = kind, directory, several
        self._variants: list[Variant] = []

    def add(self, name: str, model: Fitted, rounds: int | None) -> None:
        """Write a variant, with the rounds of its final fit."""
        own = name if self._several else "."
        (self._directory / own).mkdir(parents=True, exist_ok=True)
        model.save(self._directory / own)
        self._variants.append(Variant(own, rounds))

    def close(self, eras: NDArray[np.int64], basis: Basis | None = None, trained: str | None = None) -> None:
        """Write the description: the eras that the model was fitted on, and the other attributes of `Description`."""
        variants, span = tuple(self._variants), (int(eras.min()), int(eras.max()))
        content = asdict(Description(self._kind, variants, span, basis, trained))
        named = {VARIANTS if key == "variants" else key: value for key, value in content.items() if value is not None}
        files.write_json(named, self._directory / DESCRIPTION)


def describe(directory: Path) -> Description:
    """Read the description of the model in a directory.

    Raises
    ------
    InputError
        If it is missing, or isn't as `Writer` writes it.
    """
    path = directory / DESCRIPTION
    content = files.read_json(path)
    try:
        first, last = content["eras"]
        variants = tuple(Variant(**variant) for variant in content[VARIANTS])
        basis = Basis(**content["basis"]) if "basis" in content else None
        return Description(str(content["kind"]), variants, (int(first), int(last)), basis, content.get("trained"))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: it doesn't say what the model is; train the model again") from None


def digest(directory: Path) -> str:
    """Return the SHA-256 of a model: of its files, its kind, and the settings, features and eras that it was fitted on.

    Data that the model was not fitted on, such as new validation eras, doesn't change it, nor does the model that is served in its place.

    Raises
    ------
    InputError
        If it is missing or broken.
    """
    found = describe(directory)
    basis = None if found.basis is None else [found.basis.settings, found.basis.features]
    parts = [files.digest(path) for path in sorted(directory.iterdir()) if path.name not in (DESCRIPTION, SERVED)]
    content = [found.kind, [asdict(variant) for variant in found.variants], found.eras, basis, parts]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def load(directory: Path) -> Sequence[Fitted]:
    """Read the variants of a model.

    Raises
    ------
    InputError
        If a variant is missing or broken, the kind is unknown, or the kind's library isn't installed.
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
    return [kind.load(directory / variant.directory) for variant in found.variants]
