"""Settings of a directory of files, in Numerai's layout or in a layout that a schema describes."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from erawise.base.schema import TRAIN, VALIDATION
from erawise.base.settings import Count, Data, Score, Section

Column = Annotated[str, Field(min_length=1)]


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

    model_config = ConfigDict(serialize_by_alias=True)

    local: Local
    panel: Column | None = Field(alias="schema")


class Files(Section):
    """The files of a panel that is in parts already. Without `live` the rows of the last era without a target are live."""

    train: Column
    validation: Column
    live: Column | None = None


class Schema(Section):
    """The layout of the user's own files; `docs/howto/any-panel.md` explains each setting."""

    files: Column | Files
    validation_eras: Count | None = None
    id: Column
    era: Column
    spacing: Count | None
    target: Column
    targets: Column | list[Column] = Field(default_factory=list)
    horizon: Count | None
    features: Column | Annotated[list[Column], Field(min_length=1)]
    kind: Literal["bins", "floats"]
    score: Score
    meta_model: Column | None = None
    benchmarks: list[Column] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> "Schema":
        if isinstance(self.files, str) != (self.validation_eras is not None):
            raise ValueError(
                f"validation_eras: expected the number of the last resolved eras that are the final check if `files` is one file, and none "
                f"if it names {TRAIN} and {VALIDATION}"
            )
        if self.horizon is None and self.score != "numerai":
            raise ValueError(f"horizon: a target whose score is {self.score} isn't Numerai's; expected the eras that it looks ahead")
        twice = [name for name in self.columns if self.columns.count(name) > 1]
        if twice:
            raise ValueError(f"column {twice[0]!r} is named more than once; each setting has a column of its own")
        return self

    @property
    def columns(self) -> list[str]:
        """The columns that the schema names by their names, apart from features."""
        targets = [] if isinstance(self.targets, str) else self.targets
        return [self.id, self.era, self.target, *targets, *self.others]

    @property
    def others(self) -> list[str]:
        """The columns of others' predictions."""
        return [*([self.meta_model] if self.meta_model else []), *self.benchmarks]
