"""Settings of a random forest."""

from typing import Literal

from erawise.base.settings import Count, PositiveShare
from erawise.models.shared.settings import Seeded


class RandomForest(Seeded):
    kind: Literal["random_forest"]
    trees: Count
    max_depth: Count
    feature_share: PositiveShare
    min_rows_leaf: Count
    row_share: PositiveShare
    max_rows: Count
