"""Settings of the monitor."""

from typing import Annotated

from pydantic import Field, StrictInt

from erawise.base.settings import Section, Seed


class Monitor(Section):
    replicates: Annotated[StrictInt, Field(ge=100)]
    seed: Seed
