"""Settings of a neural network."""

from typing import Annotated, Literal

from pydantic import Field

from erawise.base.settings import Count, LearningRate, NonNegative
from erawise.models.shared.settings import Seeded


class NeuralNetwork(Seeded):
    kind: Literal["neural_network"]
    layers: Annotated[list[Count], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: LearningRate
    l2: NonNegative
    batch_rows: Count
    epochs: Count
    early_stopping: Count | None
