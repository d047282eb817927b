"""Settings that every kind of model has."""

import itertools
from typing import Self

from pydantic import Field, model_validator

from erawise.base.settings import Section, Seed

ONE_OR_SEVERAL = {"target": "targets", "seed": "seeds"}
"""Keys of a model, and the keys that list several values instead."""


class Entry(Section):
    """A model that learns `target`, or a variant for each of `targets`, which are blended."""

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
        return {"_".join(map(str, chosen.values())): type(self).model_validate(rest | chosen) for chosen in combined}


class Seeded(Entry):
    """A model whose fit draws random numbers: from `seed`, or a variant from each of `seeds`, which are blended."""

    seed: Seed = 0
    seeds: list[Seed] = Field(default_factory=list)
