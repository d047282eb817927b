"""Settings of the evaluation."""

from erawise.base.settings import Objective, Section


class Evaluate(Section):
    min_corr: float
    benchmark: str | None
    objective: Objective
