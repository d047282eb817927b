"""Settings of a model that is a file of predictions."""

from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import field_validator

from erawise.base.settings import Share
from erawise.models.shared.settings import AnyModel

OWN = PurePosixPath("data/local")
"""The directory of the user's own files, which DVC watches."""


class Predictions(AnyModel):
    kind: Literal["predictions"]
    path: str
    column: str | None = None
    out_of_fold: bool = False
    max_missing_share: Share = 0.05

    @field_validator("path")
    @classmethod
    def _watched(cls, path: str) -> str:
        given = PurePosixPath(path)
        if OWN not in given.parents or ".." in given.parts:
            raise ValueError(f"{path!r} isn't in {OWN}, where DVC sees a change of it; move it there, such as to {OWN / 'mine.parquet'}")
        return path

    @property
    def own_file(self) -> str:
        """The file, or the directory of files."""
        return self.path

    @property
    def variants(self) -> dict[str, Self]:
        """Nothing to train."""
        return {}
