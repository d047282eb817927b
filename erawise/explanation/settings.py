"""Settings of the explanation."""

from typing import Annotated

from pydantic import Field, StrictInt

from erawise.base.settings import Count, Section, Seed


class Explain(Section):
    rows: Count
    eras: Count
    background: Count
    points: Annotated[StrictInt, Field(ge=1, le=1000)]
    top_features: Annotated[StrictInt, Field(ge=1, le=100)]
    permuted_eras: Count
    permuted_rows: Annotated[StrictInt, Field(ge=2)]
    seed: Seed
