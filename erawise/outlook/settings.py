"""Settings of the monitor."""

from typing import Annotated

from pydantic import Field, StrictInt

from erawise.base.settings import Section, Seed


class Monitor(Section):
    corr_20: str
    mmc_20: str
    corr_60: str
    mmc_60: str
    replicates: Annotated[StrictInt, Field(ge=100)]
    seed: Seed
