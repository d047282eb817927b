"""Settings of a directory in Numerai's layout."""

from typing import Any

from pydantic import field_validator

from erawise.base.settings import Data, Section


class Local(Section):
    path: str

    @field_validator("path", mode="before")
    @classmethod
    def _named(cls, path: Any) -> Any:
        if path is None or not str(path).strip():
            raise ValueError("expected the name of a directory")
        return path


class LocalData(Data):
    """The part of the section `data` that a local directory uses."""

    local: Local
