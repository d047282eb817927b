"""Settings of a model that is a file of predictions."""

from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from erawise.base.settings import Share
from erawise.models.shared.settings import AnyModel

OWN = PurePosixPath("data/local")
"""The directory of the user's own files, which DVC watches."""


class Predictions(AnyModel):
    """A file of predictions in place of a fit."""

    kind: Literal["predictions"]
    path: str = Field(description="Parquet or CSV file with ids and predictions, or a directory of such files, in data/local")
    column: str | None = Field(
        default=None, description="the column to take, if there are several of numbers and none is called prediction"
    )
    out_of_fold: bool = Field(
        default=False,
        description="whether each era of cv is predicted by a model that hasn't seen it: only then it counts as other models do",
    )
    max_missing_share: Share = Field(
        default=0.05, description="fail if the data lacks more than this share of the ids, or the file more of the rows of its eras, 0..1"
    )

    @field_validator("path")
    @classmethod
    def _watched(cls, path: str) -> str:
        given = PurePosixPath(path)
        if OWN not in given.parents or ".." in given.parts:
            raise ValueError(f"{path!r} isn't in {OWN}, which DVC watches; move it there, such as to {OWN / 'mine.parquet'}")
        return path

    @property
    def own_file(self) -> str:
        """The file, or the directory of files."""
        return self.path
