"""Settings of the evaluation."""

from erawise.base.settings import Section


class Evaluate(Section):
    min_corr: float
    benchmark: str | None
