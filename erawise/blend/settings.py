"""Settings of the ensemble and of its neutralization."""

from typing import Literal

from pydantic import model_validator

from erawise.base.settings import Count, NonNegative, Objective, Section, Share


class Ensemble(Section):
    weights: Literal["equal", "nnls", "forward"] | dict[str, NonNegative]
    objective: Objective

    @model_validator(mode="after")
    def _solvable(self) -> "Ensemble":
        if self.weights == "nnls" and self.objective == "sharpe":
            raise ValueError(
                "objective: least squares, by which weights: nnls fits, can't raise a Sharpe ratio; "
                "set weights to forward, or objective to corr, bmc, mmc or payout"
            )
        return self


class Neutralize(Section):
    features: str
    count: Count
    proportion: Share | Literal["auto"]
