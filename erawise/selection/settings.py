"""Settings of the selection of features."""

from typing import Literal

from erawise.base.settings import Count, LearningRate, Leaves, PositiveShare, Section, Seed


class SelectFeatures(Section):
    method: Literal["importance", "pca", "none"]
    keep_share: PositiveShare
    max_correlation: PositiveShare
    trees: Count
    learning_rate: LearningRate
    leaves: Leaves
    components: Count
    seed: Seed
