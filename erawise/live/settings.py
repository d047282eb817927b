"""Settings of a submission."""

import re

from pydantic import field_validator

from erawise.base.settings import Correlation, Section


class Submit(Section):
    models: dict[str, str]
    min_earlier_corr: Correlation
    min_benchmark_corr: Correlation
    max_benchmark_corr: Correlation

    @field_validator("models")
    @classmethod
    def _named_as_on_numerai(cls, models: dict[str, str]) -> dict[str, str]:
        for name in models:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(f"{name!r} can't be a model's name on Numerai; expected letters, digits, underscores and hyphens")
        return models
