"""Settings of a model that a file of the user's own fits and predicts."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr

from erawise.base import files
from erawise.base.settings import Name
from erawise.models.shared.settings import Drawing


class Plugin(Drawing):
    kind: Literal["plugin"]
    plugin: Name = Field(description="name of a file in `plugins/`, without `.py`: plugins/README.md")
    settings: dict[str, Any] = Field({}, description="given to its fit")
    _text: str = PrivateAttr("")

    @property
    def own_file(self) -> str:
        return f"plugins/{self.plugin}.py"

    @property
    def text(self) -> str:
        """The source: as it was when the settings were bound to it, else as it is now."""
        return self._text or files.read_text(Path(self.own_file))

    def made_of(self, path: Path, digest: str) -> Self:
        bound = super().made_of(path, digest)
        bound._text = files.read_text(path)
        return bound

    def require_usable(self) -> None:
        from erawise.models.plugin import source

        source.Source(self.plugin, self.text).require_usable()
