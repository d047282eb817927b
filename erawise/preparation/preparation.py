"""From raw files in Numerai's layout to the prepared table: sorted, filled, counted and checked, in bounded memory.

Ids and eras are held in memory, one file's targets at a time, and the features only in batches.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from erawise.base import files, tabular
from erawise.base.schema import DATA_TYPE, ERA, ID, LIVE, LIVE_ERA, TRAIN, VALIDATION, distance_warning, spanned_weeks
from erawise.panel import blocks, rawfiles
from erawise.panel.panel import INDEX, OWN_SCORE, Index, Panel
from erawise.preparation import aliases, matrix, rawrows, references, scales
from erawise.preparation.chosen_columns import Columns, choose_columns
from erawise.preparation.matrix import Counts
from erawise.preparation.rawrows import RawRows, Selection
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress

WRITTEN_ROWS = 2**20
"""Rows per row group of the written files."""


@dataclass(frozen=True)
class Wanted:
    """The content of the prepared table.

    Parameters
    ----------
    feature_set : the set of `features.json` to use.
    target : the main target.
    every : keep every n-th era.
    demean : whether to subtract each feature's mean of the era.
    derived : features to add.
    days : trading days that a target without a horizon in its name looks ahead; None to find them in the data.
    holdout : weeks of the final check, the last resolved ones; None for the rows of the validation file.
    """

    feature_set: str
    target: str
    every: int
    demean: bool
    derived: Sequence[str]
    days: int | None = None
    holdout: int | None = None


def prepare(
    raw: Path, directory: Path, wanted: Wanted, threads: int = 1, progress: Progress = SILENT
) -> tuple[dict[str, dict[str, float]], Counts]:
    """Write the prepared table of `raw` into the existing, empty `directory`.

    `threads` decode Parquet; the result doesn't depend on their number. `progress` counts the rows whose features are written.

    Returns
    -------
    metrics : counts of rows and eras by data type, of missing values and of dropped rows.
    counts : the same for messages and budgets, by feature.

    Raises
    ------
    InputError
        If a file, the feature set or the target is missing, ids repeat, eras are unreadable, values are infinite,
        the main target's horizon can't be found, or the disk is too small for the table.
    """
    columns = choose_columns(raw, wanted.feature_set, wanted.target)
    form = matrix.Layout(columns.features, columns.dtype, list(wanted.derived), wanted.demean)
    counts = Counts(np.zeros(len(columns.features), np.int64))
    with _decoding(threads), ThreadPoolExecutor(1) as pool:
        # if this fails, the first block that is scattered loads the loops, and raises the error
        pool.submit(blocks.load, (raw / "train.parquet").stat().st_size, blocks.MIN_SCATTERED)
        train, validation, live = (
            rawrows.read(raw / f"{name}.parquet", columns, counts, live=name == LIVE) for name in (TRAIN, VALIDATION, LIVE)
        )
        horizons = aliases.find([train, validation], columns, _days(columns, wanted.days))
        counts.notes += horizons.lines()
        resolved = rawrows.resolved(validation, counts)
        every = {TRAIN: rawrows.of_every(train.era, wanted.every), VALIDATION: rawrows.of_every(validation.era, wanted.every, resolved)}
        kept = {TRAIN: every[TRAIN], VALIDATION: resolved & every[VALIDATION]}
        counts.train_without = int((kept[TRAIN] & ~train.has_target).sum())
        counts.dropped = int((np.isin(validation.era, validation.era[kept[VALIDATION]]) & ~resolved).sum())
        rawrows.check_eras(train, validation, kept[VALIDATION])
        for part in (train, validation):
            counts.warnings += distance_warning(str(part.path), np.unique(part.era).tolist(), 1)
        orders = [part.order[kept[part.path.stem][part.order]] for part in (train, validation)]
        chosen, of_live = Selection.select_rows([train, validation], orders), Selection.select_rows([live], [live.order])
        index = chosen.index
        train_rows = len(orders[0]) if wanted.holdout is None else _rows_before(index, wanted.holdout)
        _check_space(directory, [index, of_live.index], form, columns)
        panel, missing = directory / "panel", directory / "missing"
        for own in (panel, missing, directory / LIVE):
            own.mkdir()
        others = (
            pool.submit(_write_references, raw, directory, index, counts),
            pool.submit(_write_indices, directory, chosen, train_rows, columns),
        )
        _write_matrix(panel, chosen, form, columns, counts, progress, horizons)
        for written in others:
            written.result()
        split = int(np.searchsorted(index.starts, train_rows))
        usual = _some_eras(panel, index, slice(0, split))
        scales.require_same(_some_eras(panel, index, slice(split, None)), usual, columns.features, validation.path)
        _write_live(directory / LIVE, of_live, form, columns, counts, usual)
    _write_missing(missing, [index, of_live.index], train_rows, columns, counts)
    return _metrics(index, train_rows, len(live.era), counts), counts


def _days(columns: Columns, setting: int | None) -> int | None:
    """Return the trading days that targets without a horizon in their names look ahead, by the schema or the settings."""
    if columns.own is None or setting in (None, columns.own.days):
        return columns.own.days if columns.own else setting
    raise InputError(
        f"{aliases.SETTING}: {setting} trading days, and data.schema has a horizon of {spanned_weeks(columns.own.days)} eras, "
        f"which counts as {columns.own.days} days; set it to null"
    )


def prepare_live(path: Path, directory: Path, like: Panel, threads: int = 1) -> Counts:
    """Write the prepared table of live rows into the existing, empty `directory`, with the columns and options of another panel.

    Parameters
    ----------
    path : a raw file of live rows.
    like : the live panel that was prepared together with the training data.
    threads : the number that decode Parquet.

    Returns
    -------
    Counts
        The missing values.

    Raises
    ------
    InputError
        If the file has no rows or repeated ids, lacks features of the panel, or features have another type or infinite values.
    """
    names = list(like.feature_names)
    columns = Columns(names, like.targets, "", like.feature_sets, str(like.dtype), {})
    form = matrix.Layout(names, columns.dtype, list(like.names[like.n_matrix :]), bool(like.era_means.size))
    counts = Counts(np.zeros(len(names), np.int64))
    with _decoding(threads):
        live = rawrows.read(path, columns, counts, live=True)
        _write_live(directory, Selection.select_rows([live], [live.order]), form, columns, counts, list(map(like.stored, like.eras)))
    return counts


def _write_live(directory: Path, live: Selection, form: matrix.Layout, columns: Columns, counts: Counts, usual: Sequence[NDArray]) -> None:
    """Write live rows. Their features must be on the scale of the usual eras."""
    index = live.index
    _write_matrix(directory, live, form, columns, counts)
    scales.require_same(_some_eras(directory, index), usual, columns.features, live.parts[0].path)
    _write_pieces(directory / INDEX, [_identity(index) | {DATA_TYPE: _repeated(LIVE, len(index.era))}])


def _some_eras(directory: Path, index: Index, span: slice = slice(None)) -> list[NDArray]:
    """Return the features of some evenly spaced eras of a span of positions, (rows, features) each, mapped."""
    positions = np.arange(len(index.eras))[span]
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(scales.ERAS, len(positions))).round().astype(int))
    return [matrix.map_era(directory, index, int(k)) for k in positions[chosen]]


def _write_missing(directory: Path, indices: Sequence[Index], train_rows: int, columns: Columns, counts: Counts) -> None:
    """Write the missing values by feature and by era.

    - `features.csv` has `feature`, `missing`, `rows`, and for live rows only `missing_live`, `rows_live`.
    - `eras.csv` has `era` (empty for live), `data_type`, `rows`, `missing_share` (of the era's feature values) and `empty_features`
      (the number without any value).
    """
    by_feature = {
        "feature": columns.features,
        "missing": counts.missing,
        "rows": sum(len(index.era) for index in indices),
        "missing_live": counts.by_era[-1].sum(axis=0),
        "rows_live": len(indices[-1].era),
    }
    tabular.write_csv(pd.DataFrame(by_feature), directory / "features.csv")
    starts = indices[0].starts[:-1]
    rows = np.concatenate([np.diff(index.starts) for index in indices])
    missing = np.concatenate(counts.by_era)
    by_era = {
        ERA: pd.array([*indices[0].era[starts], None], dtype="Int64"),
        DATA_TYPE: [*np.where(starts < train_rows, TRAIN, VALIDATION), LIVE],
        "rows": rows,
        "missing_share": missing.sum(axis=1) / (rows * len(columns.features)),
        "empty_features": (missing == rows[:, None]).sum(axis=1),
    }
    tabular.write_csv(pd.DataFrame(by_era), directory / "eras.csv")


@contextmanager
def _decoding(threads: int) -> Iterator[None]:
    """Set the number of threads with which pyarrow decodes."""
    before = pa.cpu_count()
    pa.set_cpu_count(threads)
    try:
        yield
    finally:
        pa.set_cpu_count(before)


def check_budgets(counts: Counts, rows: int, max_missing_share: float, max_dropped_share: float) -> None:
    """Check that not too many values are missing and not too many rows were dropped.

    Raises
    ------
    InputError
        If a share is above its budget.
    """
    missing = counts.missing.sum() / max(counts.values, 1)
    if missing > max_missing_share:
        raise InputError(
            f"preprocess.max_missing_share: {missing:.1%} of the feature values are missing, more than {max_missing_share:.1%}; "
            "look at the raw files, or raise the budget"
        )
    without = counts.dropped + counts.train_without
    share = without / max(rows + counts.dropped, 1)
    if share > max_dropped_share:
        raise InputError(
            f"preprocess.max_dropped_share: {without} rows ({share:.1%}) should have a target and don't, {counts.train_without} of train "
            f"and {counts.dropped} of validation, more than {max_dropped_share:.1%}; look at the raw files, or raise the budget"
        )


def _check_space(directory: Path, indices: Sequence[Index], form: matrix.Layout, columns: Columns) -> None:
    """Check before the work that the disk can hold the result. Ids and targets are counted with their size in memory."""
    texts = sum(3 * index.ids.nbytes for index in indices)
    needed = sum(form.size(len(index.era)) + len(index.era) * len(columns.targets) * 4 for index in indices) + texts
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise InputError(
            f"{files.final(directory.resolve()).parent}: the prepared data needs about {needed:,} bytes of disk and {free:,} are free; "
            "free some, or set a smaller data.feature_set or a larger preprocess.every"
        )


def _write_matrix(
    directory: Path,
    chosen: Selection,
    form: matrix.Layout,
    columns: Columns,
    counts: Counts,
    progress: Progress = SILENT,
    horizons: aliases.Horizons | None = None,
) -> None:
    stored = matrix.write(directory, chosen.with_positions(), chosen.index, form, counts, progress)
    found = {} if horizons is None else {"horizons": horizons.days, "equal": horizons.equal, "set_sizes": columns.set_sizes}
    found |= {} if columns.own is None else {OWN_SCORE: columns.own.score}
    matrix.describe(form, columns.feature_sets, columns.targets, found | {"stored": stored}, directory)


Piece = dict[str, pa.Array]
"""Columns of a Parquet file, by name."""


def _identity(index: Index, rows: slice = slice(None)) -> Piece:
    era = index.era[rows]
    return {ID: index.ids[rows], ERA: pa.array(era, mask=era == LIVE_ERA)}


def _repeated(text: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.large_string()), rows)


def _write_pieces(path: Path, pieces: Iterator[Piece] | Sequence[Piece]) -> None:
    """Write a Parquet file whose rows come in pieces of the same columns."""
    with files.replacing(path) as temporary:
        writer = None
        for piece in pieces:
            table = pa.table(piece)
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table, row_group_size=WRITTEN_ROWS)
        if writer is not None:
            writer.close()


def _rows_before(index: Index, weeks: int) -> int:
    """Return the number of rows before the last so many weeks.

    Raises
    ------
    InputError
        If there are none.
    """
    first, last = int(index.era[0]), int(index.era[-1])
    rows = int(np.searchsorted(index.era, last - weeks + 1))
    if not rows:
        raise InputError(
            f"data.holdout: the last {weeks} weeks are all resolved eras, {first} to {last}, and none is left to learn from; "
            f"expected fewer than {last - first + 1}"
        )
    return rows


def _write_indices(directory: Path, chosen: Selection, split: int, columns: Columns) -> None:
    """Write the targets of the first `split` rows into the index, and validation targets into another file, so that no choice sees them."""
    index = chosen.index
    hidden = len(index.era) - split
    train, validation = (_identity(index, rows) for rows in (slice(0, split), slice(split, None)))

    def pieces() -> Iterator[Piece]:
        yield train | {DATA_TYPE: _repeated(TRAIN, split)} | _targets(chosen, slice(0, split), columns)
        nothing = {name: pa.nulls(hidden, pa.float32()) for name in columns.targets}
        yield validation | {DATA_TYPE: _repeated(VALIDATION, hidden)} | nothing

    _write_pieces(directory / "panel" / INDEX, pieces())
    _write_pieces(directory / "validation_targets.parquet", [validation | _targets(chosen, slice(split, len(index.era)), columns)])


def _targets(chosen: Selection, span: slice, columns: Columns) -> Piece:
    """Return the targets of a span of the kept rows, null if missing. They are read one after the other."""
    pieces, start = [], 0
    for rows, order in zip(chosen.parts, chosen.orders, strict=True):
        if len(own := order[max(span.start - start, 0) : max(span.stop - start, 0)]):
            pieces.append((rows, own))
        start += len(order)
    return {name: pa.concat_arrays([_target(rows, order, name) for rows, order in pieces] or [_NONE]) for name in columns.targets}


_NONE = pa.nulls(0, pa.float32())


def _target(rows: RawRows, order: NDArray[np.int64], name: str) -> pa.Array:
    if name not in rows.file.schema_arrow.names:
        return pa.nulls(len(order), pa.float32())
    return pa.array(rawfiles.read_floats(rows.file, name, rows.path)[order], from_pandas=True)


def _write_references(raw: Path, directory: Path, index: Index, counts: Counts) -> None:
    """Write the predictions of others in the matrix's row order, null for rows without a prediction."""
    found = references.read(raw, index, counts)
    columns = {name: pa.array(values, from_pandas=True) for name, values in found.items()}
    _write_pieces(directory / "references.parquet", [_identity(index) | columns])


def _metrics(index: Index, train_rows: int, live_rows: int, counts: Counts) -> dict[str, dict[str, float]]:
    train_eras = int((index.starts[:-1] < train_rows).sum())
    metrics: dict[str, dict[str, float]] = {
        TRAIN: {"rows": train_rows, "eras": train_eras, "rows_without_target": counts.train_without},
        VALIDATION: {
            "rows": len(index.era) - train_rows,
            "eras": len(index.starts) - 1 - train_eras,
            "unresolved_rows": counts.unresolved,
            "dropped_rows": counts.dropped,
        },
        LIVE: {"rows": live_rows},
    }
    total = int(counts.missing.sum())
    metrics["missing_features"] = {"values": total, "share": round(total / max(counts.values, 1), 6)}
    return metrics


def report(metrics: dict[str, dict[str, float]], counts: Counts) -> list[str]:
    """Return the lines that report the preparation to a person."""
    lines = [f"{name}: {metrics[name]['rows']:,} rows in {metrics[name]['eras']} eras" for name in (TRAIN, VALIDATION)]
    lines.append(f"{LIVE}: {metrics[LIVE]['rows']:,} rows")
    lines += [f"{name}: eras were out of order; sorted" for name in counts.unsorted]
    lines += counts.notes
    if counts.unresolved:
        lines.append(f"{counts.unresolved:,} validation rows of eras that are not resolved yet left out")
    if counts.train_without:
        lines.append(f"{counts.train_without:,} train rows have no target; no model is trained on them")
    if counts.dropped:
        lines.append(f"{counts.dropped:,} validation rows without a target, in eras that have targets, dropped")
    if counts.missing.any():
        share = counts.missing.sum() / counts.values
        lines.append(f"{counts.missing.sum():,} missing feature values ({share:.2%}, in {(counts.missing > 0).sum()} features): middle bin")
    return lines
