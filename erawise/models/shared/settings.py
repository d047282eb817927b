"""Settings that every kind of model has."""

import itertools
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr, model_validator

from erawise.base.settings import Count, Section, Seed

ONE_OR_SEVERAL = {"target": "targets", "seed": "seeds"}
"""Keys of a model, and the keys that list several values instead."""


class AnyModel(Section):
    """A model, which may be made of a file of the user's own."""

    _digest: str = PrivateAttr("")

    @property
    def own_file(self) -> str | None:
        """The path of the user's own file or directory, in `plugins` or `data/local`, of which the model is made; None without one."""
        return None

    @property
    def digest(self) -> str:
        """The SHA-256 of the own file; empty if the settings are not bound to one."""
        return self._digest

    def made_of(self, path: Path, digest: str) -> Self:
        """Return the same settings, bound to the content of the own file.

        Parameters
        ----------
        path : the own file, as it is read now.
        digest : its SHA-256, see `files.digest`.
        """
        bound = self.model_copy()
        bound._digest = digest
        return bound

    @property
    def variants(self) -> dict[str, Any]:
        """The variants to train; none if nothing is fitted."""
        return {}

    def require_usable(self) -> None:
        """Check the settings that need a library or the own file; raise `InputError` if the model can't be fitted with them."""

    def identity(self) -> dict[str, Any]:
        """Return the settings as JSON, with the digest of the own file if they are bound to one: everything that tells models apart."""
        return self.model_dump(mode="json") | ({"file": self._digest} if self._digest else {})

    def changed(self, changes: dict[str, Any]) -> Self:
        """Return the settings with some changed, bound to the same file; raise `ValueError` if the kind doesn't accept them."""
        return self._bound_alike(self.model_dump(exclude_unset=True) | changes)

    def _bound_alike(self, values: dict[str, Any]) -> Self:
        made = type(self).model_validate(values)
        made.__pydantic_private__ = self.__pydantic_private__
        return made


class Entry(AnyModel):
    """A model that learns `target`, or a variant for each of `targets`, which are blended."""

    optional: ClassVar[tuple[str, ...]] = ()
    """Keys of `ONE_OR_SEVERAL` that may be absent."""

    target: str = ""
    targets: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        for one, several in ONE_OR_SEVERAL.items():
            if one in type(self).model_fields:
                self._check_either(one, several)
        return self

    def _check_either(self, one: str, several: str) -> None:
        given = {one, several} & self.model_fields_set
        if not given and one in self.optional:
            return
        if len(given) != 1:
            raise ValueError(f"give either {one} or {several}, not both")
        values = getattr(self, several)
        if several in given and (not values or len(set(values)) < len(values)):
            raise ValueError(f"{several}: expected at least one, each once")

    @property
    def variants(self) -> dict[str, Self]:
        """The variants to train, each on one target with one seed, by a name that only it has."""
        choices = {one: getattr(self, several) or [getattr(self, one)] for one, several in ONE_OR_SEVERAL.items() if hasattr(self, one)}
        rest = self.model_dump(exclude={*ONE_OR_SEVERAL, *ONE_OR_SEVERAL.values()})
        combined = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
        return {"_".join(map(str, chosen.values())): self._bound_alike(rest | chosen) for chosen in combined}


class Seeded(Entry):
    """A model whose fit draws random numbers: from `seed`, or a variant from each of `seeds`, which are blended."""

    seed: Seed = 0
    seeds: list[Seed] = Field(default_factory=list)


class Drawing(Seeded):
    """A model whose fit may draw random numbers, and may have some of the rows only; `seed` is 0 if it isn't given."""

    optional = ("seed",)

    max_rows: Count | None = Field(
        None,
        description="rows it is fitted on at most, the same share of every era; null: all. Held at 13 bytes a value for int8, else 16",
    )
