"""Settings of the upload."""

from typing import Annotated

from pydantic import Field

from erawise.base.settings import Section


class Upload(Section):
    prediction: str
    max_megabytes: Annotated[float, Field(gt=0)]
