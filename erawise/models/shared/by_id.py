"""A model without a predictor: its predictions of live rows, by id."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.base.schema import ID, PREDICTION
from erawise.running.errors import InputError

ROWS, ORIGIN = "live.parquet", "origin.json"


def filled(values: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Put the rows of an era without a prediction in its middle: at the median.

    Parameters
    ----------
    values : (rows,), NaN without a prediction.
    most : the share of these rows up to which they are filled.

    Returns
    -------
    (rows,) without NaN; NaN throughout if more of them lack a prediction.
    """
    missing = np.isnan(values)
    if missing.all() or missing.mean() > most:
        return np.full(len(values), np.nan)
    return np.where(missing, np.median(values[~missing]), values)


@dataclass(frozen=True)
class Origin:
    """The file that the predictions come from, and the share of an era's rows that it may lack."""

    path: str
    most: float


@dataclass(frozen=True)
class ById:
    """Predictions of live rows that a file has, in place of a fitted model.

    Attributes
    ----------
    rows : prediction by id, each id once.
    origin : the file that they come from.
    """

    rows: pd.Series
    origin: Origin

    def of(self, ids: Sequence[str]) -> NDArray[np.float64]:
        """Return the predictions (rows,) of some ids of one era, see `filled`."""
        return filled(self.rows.reindex(list(ids)).to_numpy(np.float64), self.origin.most)

    def require(self, ids: Sequence[str], name: str) -> None:
        """Raise `InputError` if the file lacks more of the ids than it may; `name` is the model's."""
        lacking = int(self.rows.reindex(list(ids)).isna().sum())
        if np.isnan(self.of(ids)).any():
            raise InputError(
                f"models.{name}: {self.origin.path} has no prediction of {lacking:,} of the {len(ids):,} live rows; "
                "add these rows to it, and run dvc repro"
            )

    def save(self, directory: Path) -> None:
        """Write the predictions and their origin into an existing directory."""
        tabular.write_parquet(self.rows.rename_axis(ID).rename(PREDICTION).reset_index(), directory / ROWS)
        files.write_json(asdict(self.origin), directory / ORIGIN)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what `save` has written."""
        frame = tabular.read_parquet(directory / ROWS, [ID, PREDICTION])
        content: dict[str, Any] = files.read_json(directory / ORIGIN)
        return cls(frame.set_index(ID)[PREDICTION], Origin(**content))
