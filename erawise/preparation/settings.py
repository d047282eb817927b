"""Settings of the preparation."""

from typing import Literal

from pydantic import field_validator

from erawise.base.settings import Count, Section, Share


class Preprocess(Section):
    every: Count
    demean: bool
    derived: list[Literal["row_mean", "row_std", "extreme_share"]]
    max_missing_share: Share
    max_dropped_share: Share

    @field_validator("derived")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("a derived feature is there more than once")
        return names
