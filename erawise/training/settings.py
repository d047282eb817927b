"""Settings of the training."""

from typing import Annotated

from pydantic import Field

from erawise.base.settings import Section


class Training(Section):
    inner_share: Annotated[float, Field(gt=0, le=0.5)]
