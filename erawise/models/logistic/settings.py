"""Settings of a logistic model."""

from typing import Literal

from erawise.base.settings import Count, NonNegative
from erawise.models.shared.settings import Seeded


class Logistic(Seeded):
    kind: Literal["logistic"]
    l2: NonNegative
    max_iterations: Count
    max_rows: Count
