"""Settings of the search, and the spaces in which it looks."""

from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, model_validator

from erawise.base.settings import Count, NonNegative, Objective, Section, Seed


class Range(Section):
    """Numbers from `low` to `high`, whole numbers if both are whole; `log`: each order of magnitude is equally likely."""

    low: StrictInt | float
    high: StrictInt | float
    log: bool

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; expected low to be the smaller")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}; on a log scale it must be above 0")
        return self

    @property
    def ends(self) -> list[Any]:
        return [self.low, self.high]


class Choices(Section):
    """A few values to choose from."""

    choices: Annotated[list[Any], Field(min_length=1)]

    @property
    def ends(self) -> list[Any]:
        return self.choices


Space = dict[str, Range | Choices]
"""The values to choose from, for each setting of a kind."""


class Tuning(Section):
    models: list[str]
    method: Literal["random", "tpe"]
    trials: Count
    objective: Objective
    penalty: NonNegative
    halving: Annotated[StrictInt, Field(ge=2)] | None
    batch: Count
    seed: Seed
