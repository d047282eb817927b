"""Settings of the engine that fits."""

import re
from typing import Literal

from pydantic import field_validator

from erawise.base.settings import Count, Section


class Execution(Section):
    engine: Literal["local", "dask"]
    scheduler: str | None
    workers: Count

    @field_validator("scheduler")
    @classmethod
    def _address(cls, scheduler: str | None) -> str | None:
        if scheduler is not None and not re.fullmatch(r"(tcp|tls)://[^/\s]+:[0-9]+", scheduler):
            raise ValueError(f"{scheduler!r} isn't an address of a scheduler; expected null, or one such as tcp://10.0.0.5:8786")
        return scheduler
