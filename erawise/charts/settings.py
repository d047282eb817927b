"""Settings of the pictures."""

from typing import Annotated

from pydantic import Field, StrictInt

from erawise.base.settings import Section


class Plot(Section):
    model_a: str
    model_b: str
    top_features: Annotated[StrictInt, Field(ge=1, le=100)]
