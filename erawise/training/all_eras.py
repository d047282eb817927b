"""The data of a model that is fitted again: the prepared rows, also with the targets of the validation eras."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from erawise import predictions
from erawise.base import tabular
from erawise.base.schema import ERA, ID
from erawise.panel.panel import Panel
from erawise.training.jobs import Source


@dataclass(frozen=True)
class AllErasSource(Source):
    """The location of a model's data with the targets of all eras.

    Parameters
    ----------
    validation : the file with the targets of the validation eras.
    """

    validation: Path

    def below(self, directory: Path) -> Self:
        """Return the same location, with its relative paths below another directory."""
        return replace(super().below(directory), validation=directory / self.validation)

    def listed(self) -> tuple[list[Path], list[Path]]:
        """Return the files that are read whole, and the files of arrays of which only some rows are read."""
        whole, arrays = super().listed()
        return [*whole, self.validation], arrays

    def outs(self) -> list[Path]:
        """Return the outs of DVC that hold all of it."""
        return [*super().outs(), self.validation]

    def panel(self) -> Panel:
        """Open the rows, and add the targets of the validation eras.

        Raises
        ------
        InputError
            If a file is missing or broken.
        """
        panel = super().panel()
        known = tabular.read_parquet(self.validation, [ID, ERA, *self.targets])
        for target in self.targets:
            panel.index[target] = predictions.known_targets(panel, known, target)
        return panel
