"""Settings of the payout."""

from typing import Annotated

from pydantic import Field, StrictInt

from erawise.base.settings import Positive, PositiveShare, Section, Seed


class Payout(Section):
    regime: str | None
    regimes: str
    total_at_risk: Positive
    drawdown: Annotated[float, Field(gt=0, lt=1)]
    cap: PositiveShare
    replicates: Annotated[StrictInt, Field(ge=100)]
    draws: Annotated[StrictInt, Field(ge=100)]
    seed: Seed
