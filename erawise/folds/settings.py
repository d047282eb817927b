"""Settings of the folds."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from erawise.base.settings import Count, Section


class Split(Section):
    method: Literal["purged_kfold", "walk_forward"]
    folds: Annotated[StrictInt, Field(ge=2)]
    chunk: Count
    window: Count | None
