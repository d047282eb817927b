"""Settings of the ensemble and of its neutralization."""

from typing import Literal

from erawise.base.settings import Count, NonNegative, Section, Share


class Ensemble(Section):
    weights: Literal["equal", "nnls", "forward"] | dict[str, NonNegative]


class Neutralize(Section):
    features: str
    count: Count
    proportion: Share | Literal["auto"]
