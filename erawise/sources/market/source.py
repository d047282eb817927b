"""The embedded market as a source: files in Numerai's layout, drawn from a seed by a known law."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base import files
from erawise.base.schema import DATA_TYPE, ERA, ID, META_MODEL, ORACLE
from erawise.running.progress import SILENT, Progress
from erawise.sources import layout
from erawise.sources.market.law import LONG, OPINIONS, draw_law, strength
from erawise.sources.market.names import feature_names, feature_sets, row_ids
from erawise.sources.market.settings import Market, MarketData
from erawise.sources.market.targets import targets
from erawise.sources.market.weeks import Week, generators, windows

META_MODEL_DELAY = 0.15
"""Share of the validation eras, the first ones, without a meta model."""

ROW_GROUP = 50_000


def download(data: MarketData, directory: Path, kept: Path, progress: Progress = SILENT) -> str:
    """Draw the files of a data version into an existing empty directory, and check them. Nothing is put into `kept`; no remark."""
    write(data.market, directory, progress)
    layout.check_all(directory)
    return ""


def write(settings: Market, directory: Path, progress: Progress = SILENT) -> None:
    """Write the files of a Numerai data version into an existing empty directory.

    The same settings give the same bytes. An era's features don't depend on the number of eras or on later eras.

    Parameters
    ----------
    settings : the market's size, seed and drift.
    directory : receives `features.json`, `train`, `validation` and `live.parquet`, the benchmark models of each,
        `meta_model.parquet` for the validation eras without the first ones, and `oracle.parquet` for all rows.
    progress : counts the eras.
    """
    law = draw_law(settings.features, strength(settings.stocks), generators(settings.seed).law)
    unknown = generators(settings.seed).unknown
    names = feature_names(settings.features)
    with ExitStack() as stack, progress.counting(settings.train_eras + settings.validation_eras + 1, "eras") as drawn:
        tables = Tables(directory, stack)
        for window in windows(settings, law):
            named = targets(window, unknown)
            _add_week(tables, window[0], names, named, settings)
            drawn.done()
        tables.finish()
    files.write_json({"feature_sets": feature_sets(law, names), "targets": list(named)}, directory / "features.json")


class Tables:
    """The Parquet files, which grow by one era at a time, in row groups of a bounded size."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[pa.Table]] = {}

    def add(self, name: str, table: pa.Table) -> None:
        """Add rows to the file `name`.parquet."""
        waiting = self._waiting.setdefault(name, [])
        if waiting and sum(len(part) for part in waiting) + len(table) > ROW_GROUP:
            self._flush(name)
        waiting.append(table)

    def finish(self) -> None:
        """Write the rows that are waiting; the files are complete once the stack is closed."""
        for name in self._waiting:
            self._flush(name)

    def _flush(self, name: str) -> None:
        table = pa.concat_tables(self._waiting[name])
        self._waiting[name].clear()
        if name not in self._writers:
            path = self._stack.enter_context(files.replacing(self._directory / f"{name}.parquet"))
            self._writers[name] = self._stack.enter_context(pq.ParquetWriter(path, table.schema))
        self._writers[name].write_table(table, row_group_size=ROW_GROUP)


def _add_week(tables: Tables, week: Week, names: list[str], named: dict[str, NDArray[np.float32]], settings: Market) -> None:
    part, era, data_type = _keys(week.number, settings)
    rows = len(week.rows)
    keys = {
        ID: row_ids((week.number - 1) * rows, rows, settings.seed),
        ERA: pa.array([era] * rows),
        DATA_TYPE: pa.array([data_type] * rows),
    }
    columns = {name: pa.array(bins, mask=np.full(rows, null)) for name, bins, null in zip(names, week.features, week.null, strict=True)}
    opinions = dict(zip(OPINIONS, week.opinions.astype(np.float32), strict=True))
    meta_model = opinions.pop(META_MODEL)
    known = {} if part == "live" else {name: pa.array(values, from_pandas=True) for name, values in named.items()}
    tables.add(part, pa.table({**keys, **columns, **known}))
    tables.add(f"{part}_benchmark_models", pa.table({ID: keys[ID], ERA: keys[ERA], **opinions}))
    tables.add("oracle", pa.table({ID: keys[ID], ERA: keys[ERA], ORACLE: week.oracle.astype(np.float32)}))
    if part == "validation" and week.number - settings.train_eras > META_MODEL_DELAY * settings.validation_eras:
        tables.add("meta_model", pa.table({**keys, META_MODEL: meta_model}))


def _keys(number: int, settings: Market) -> tuple[str, str, str]:
    """Return the file, `era` and `data_type` of a week."""
    last = settings.train_eras + settings.validation_eras
    if number > last:
        return "live", "X", "live"
    era = f"{number:04d}"
    if number <= settings.train_eras:
        return "train", era, "train"
    return "validation", era, "validation" if number <= last - LONG else "test"
