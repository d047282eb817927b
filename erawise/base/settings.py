"""Types that sections of settings share, and the sections that every room reads."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Leaves = Annotated[StrictInt, Field(ge=2, le=131072)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Objective = Literal["corr", "sharpe", "bmc", "mmc", "payout"]
"""The name of a score by which something is chosen; `erawise.evaluation.objectives` defines each."""

Score = Literal["numerai", "spearman", "pearson"]
"""A correlation that stands for CORR in a panel; `erawise.scores.kernels.correlation` defines each."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A section that accepts no unknown key, converts no type and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Resources(Section):
    threads: Count
    memory: Positive
    device: Literal["cpu", "gpu", "cuda"]


class Data(Section):
    """Settings of the data that other parts than its source read too."""

    source: Literal["market", "local", "numerai"]
    version: str
    round: Count | None
    feature_set: str
    target: str
    target_horizon: Count | None
    holdout: Literal["official"] | Count


class Final(Section):
    refit: list[str]
    retrain_every: Count | None

    @field_validator("refit")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("a model is there more than once")
        return names

    @model_validator(mode="after")
    def _one_way(self) -> "Final":
        if self.refit and self.retrain_every is not None:
            raise ValueError("refit: with retrain_every every model is fitted again on all resolved eras; leave refit empty")
        return self
