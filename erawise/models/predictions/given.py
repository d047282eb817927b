"""Predictions of a file in place of a fit's: laid along the rows that the pipeline predicts, and kept for live rounds."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from erawise import predictions
from erawise.base import files, tabular
from erawise.base.schema import ERA, ID, LIVE_ERA, PREDICTION
from erawise.models.predictions import matching, prediction_files
from erawise.models.predictions.prediction_files import COMPRESSED, SUFFIXES, Predicted
from erawise.models.predictions.settings import Predictions
from erawise.models.shared import by_id, stored
from erawise.models.shared.by_id import ById, Origin
from erawise.panel.panel import Index, Panel, era_slices
from erawise.running.errors import InputError

KINDS = (*SUFFIXES, ".csv", COMPRESSED)
"""The ends of the names of files that are read in a directory."""

SCORED = "scored.json"
"""The digest of the validation rows, so that a file with other live rows is the same model."""


@dataclass(frozen=True)
class Given:
    """The predictions of a file.

    Attributes
    ----------
    table : `id`, `era` (null for live), `split`, `prediction`, of the eras that the file covers.
    live : its live rows, also of other rounds.
    lines : counts of the rows that don't fit, and of the eras that it lacks.
    """

    table: pd.DataFrame
    live: ById
    lines: list[str]


def read(settings: Predictions) -> Predicted:
    """Read the file of a model, or all files of its directory.

    Returns
    -------
    The rows, with the single column `prediction`.

    Raises
    ------
    InputError
        If a file can't be read, has several predictions of which `column` names none, or only some of the files have eras.
    """
    path = Path(settings.path)
    wanted = [settings.column] if settings.column else []
    parts = [prediction_files.open_predictions(each, wanted, "column").single("column").read() for each in _files(path)]
    eras = [part.era for part in parts if part.era is not None]
    if 0 < len(eras) < len(parts):
        without = next(part.path for part in parts if part.era is None)
        raise InputError(f"{without}: it has no column {ERA!r}, and other files of {path} have one; add it")
    values = np.concatenate([column for part in parts for column in part.values.values()])
    ids = pa.chunked_array([part.ids for part in parts]).combine_chunks()
    return Predicted(path, ids, np.concatenate(eras) if eras else None, {PREDICTION: values})


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.iterdir() if each.suffix in KINDS)
    if not found:
        raise InputError(f"{path}: there is no file of predictions in it; expected files that end in {', '.join(KINDS)}")
    return found


def give(file: Predicted, most: float, panel: Panel, live: Panel, labels: pd.DataFrame, rows: NDArray[np.int64]) -> Given:
    """Lay the predictions of a file along the rows that the pipeline predicts.

    A row that the file lacks, in an era that it covers, gets the median of the era. Eras that it doesn't cover are left out.

    Parameters
    ----------
    most : the share of unknown ids, and of missing rows, that the file may have; an era of live rows may lack as many.
    panel, live : the prepared rows of history and of the live era.
    labels : `id`, `era`, `split` of the wanted rows, rows of an era adjacent.
    rows : (labels,) their row numbers in the panel; live rows follow its last row.

    Raises
    ------
    InputError
        If no id matches, or more rows are unknown or missing than the budget allows.
    """
    ids = pa.concat_arrays([pa.array(one.index[ID], pa.large_string()) for one in (panel, live)])
    starts = np.concatenate([panel.starts, panel.n_rows + live.starts[1:]])
    wanted = np.full(len(ids), np.nan)
    wanted[rows] = 0.0
    placed, counts = matching.place(file, Index(ids, np.concatenate([panel.row_eras, live.row_eras]), starts), wanted)
    coverage, values = counts[PREDICTION], placed[PREDICTION][rows]
    if not coverage.expected:
        raise InputError(f"{file.path}: it has no row of an era that is predicted; give predictions of train, validation or live eras")
    coverage.require_within(most, str(file.path), "the prepared data", "max_missing_share")
    lacking = np.isnan(values)
    for era in era_slices(predictions.numbers(labels[ERA]).to_numpy()):
        is_live = pd.isna(labels[ERA].iloc[era.start])
        values[era] = by_id.filled(values[era], most if is_live else 1.0)
    kept = ~np.isnan(values)
    table = labels[kept].assign(**{PREDICTION: values[kept]}).reset_index(drop=True)
    lines = replace(coverage, outside=0).told
    if put := int((lacking & kept).sum()):
        lines.append(f"{put:,} rows without a prediction are put in the middle of their era")
    if absent := predictions.absent_eras(labels, table):
        lines.append(f"it lacks {absent}")
    return Given(table, ById(_live(file, panel), Origin(str(file.path), most)), lines)


def _live(file: Predicted, panel: Panel) -> pd.Series:
    """Return the predictions, by id, of rows without an era that are no rows of history; ids with different predictions are left out."""
    if file.era is None:
        known = pc.is_in(file.ids, value_set=pa.array(panel.index[ID], pa.large_string())).to_numpy(zero_copy_only=False)
        chosen = ~known
    else:
        chosen = file.era == LIVE_ERA
    found = pd.DataFrame({ID: file.ids.filter(pa.array(chosen)).to_pandas(), PREDICTION: file.values[PREDICTION][chosen]})
    distinct = found.dropna().drop_duplicates()
    return distinct[~distinct[ID].duplicated(keep=False)].set_index(ID)[PREDICTION]


def write(given: Given, settings: Predictions, directory: Path) -> None:
    """Write the model into an existing directory: its description, the digests of its file and of its validation rows, and live rows."""
    numbers = predictions.numbers(given.table[ERA]).to_numpy()
    history = numbers[numbers != LIVE_ERA]
    named = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    basis = stored.Basis(hashlib.sha256(named.encode()).hexdigest(), "", settings.digest)
    stored.Writer(settings.kind, directory, several=False).close(history if len(history) else numbers, basis)
    files.write_json({"validation": predictions.digest(given.table)}, directory / SCORED)
    tabular.write_csv(pd.DataFrame(columns=["feature", "importance"]), directory / "importance.csv")
    (directory / stored.SERVED).mkdir()
    given.live.save(directory / stored.SERVED)
