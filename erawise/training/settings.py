"""Settings of the training."""

from typing import Annotated

from pydantic import Field, field_validator

from erawise.base.settings import Section


class Training(Section):
    inner_share: Annotated[float, Field(gt=0, le=0.5)]


class Final(Section):
    refit: list[str]

    @field_validator("refit")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("a model is there more than once")
        return names
