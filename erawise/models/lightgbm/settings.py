"""Settings of a LightGBM model."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from erawise.base.settings import Count, LearningRate, Leaves, NonNegative, PositiveShare
from erawise.models.shared.settings import Seeded


class LightGBM(Seeded):
    kind: Literal["lightgbm"]
    trees: Count
    learning_rate: LearningRate
    max_depth: Annotated[StrictInt, Field(ge=-1)]
    leaves: Leaves
    feature_share: PositiveShare
    min_rows_leaf: Count
    l2: NonNegative
    early_stopping: Count | None
