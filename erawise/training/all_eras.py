"""The prepared rows with the targets of the validation eras too: what a model is fitted on again that predicts later rows."""

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
    """Where they lie.

    Parameters
    ----------
    validation : the file with the targets of the validation eras.
    """

    validation: Path

    def below(self, directory: Path) -> Self:
        """The same in another directory, where the paths are relative."""
        return replace(super().below(directory), validation=directory / self.validation)

    def listed(self) -> tuple[list[Path], list[Path]]:
        """The files that are read whole, and the arrays of which some rows are."""
        whole, arrays = super().listed()
        return [*whole, self.validation], arrays

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
