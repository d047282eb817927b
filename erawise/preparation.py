"""From raw files in Numerai's layout to the prepared table: sorted, filled, counted and checked, in bounded memory.

Row groups are read one at a time and scattered to their places in the mapped matrix.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from erawise import files
from erawise.errors import InputError
from erawise.features import derived
from erawise.schema import DATA_TYPE, ERA, FLOAT_MIDDLE, ID, INT8_MIDDLE, LIVE, LIVE_ERA, META_MODEL, ORACLE, VALIDATION

TRAIN = "train"
UNRESOLVED = "test"
BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Columns:
    """Which columns of the raw files are used."""

    features: list[str]
    targets: list[str]
    main: str
    feature_sets: dict[str, list[str]]
    dtype: str


@dataclass
class Counts:
    """What was met on the way, for the report and the budgets."""

    missing: NDArray[np.int64]
    values: int = 0
    train_without: int = 0
    unresolved: int = 0
    dropped: int = 0
    unsorted: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """Rows of one raw file: their frame in file order, and where each goes in the matrix (-1: nowhere)."""

    path: Path
    frame: pd.DataFrame
    place: NDArray[np.int64]


def prepare(
    raw: Path, directory: Path, *, feature_set: str, target: str, every: int, demean: bool, derived_names: Sequence[str]
) -> tuple[dict[str, dict[str, float]], Counts]:
    """Write the prepared table of `raw` into the existing, empty `directory`.

    Returns
    -------
    metrics : counts of rows and eras by data type, of missing values and of dropped rows.
    counts : the same for messages and budgets, by feature.

    Raises
    ------
    InputError
        For files, feature sets and targets that are missing, duplicate ids, unreadable eras and infinite values.
    """
    columns = choose_columns(raw, feature_set, target)
    counts = Counts(np.zeros(len(columns.features), np.int64))
    frames = {name: _read_rows(raw / f"{name}.parquet", columns, counts) for name in (TRAIN, VALIDATION, LIVE)}
    resolved = _resolved(frames[VALIDATION], columns.main, counts)
    keep = {TRAIN: _every(frames[TRAIN], every), VALIDATION: resolved & _every(frames[VALIDATION], every, resolved)}
    _count_without_target(frames, keep, resolved, target, counts)
    index, history = _place(raw, frames, keep)
    _check_eras(raw, frames, keep)
    _write_table(directory, history, index, columns, counts, demean, derived_names)
    _write_targets(directory, index, columns)
    _write_references(raw, directory, index)
    live = frames[LIVE]
    order = np.argsort(live[ID].to_numpy(str), kind="stable")
    live_rows = Rows(raw / f"{LIVE}.parquet", live, np.argsort(order))
    live_index = live.iloc[order].reset_index(drop=True)
    (directory / LIVE).mkdir()
    _write_table(directory / LIVE, [live_rows], live_index, columns, counts, demean, derived_names)
    files.write_parquet(_on_disk(live_index[[ID, ERA, DATA_TYPE]]), directory / LIVE / "index.parquet")
    rows = len(index) + len(live_index)
    files.write_csv(pd.DataFrame({"feature": columns.features, "missing": counts.missing, "rows": rows}), directory / "missing.csv")
    return _metrics(index, live_index, counts), counts


def choose_columns(raw: Path, feature_set: str, target: str) -> Columns:
    """The columns to use, from `features.json` and the columns that `train.parquet` has.

    Raises
    ------
    InputError
        If the feature set or the target isn't there, or the set names features that the file lacks.
    """
    content = files.read_json(raw / "features.json")
    try:
        sets = {str(name): [str(feature) for feature in members] for name, members in content["feature_sets"].items()}
        listed = [str(name) for name in content.get("targets", [])]
    except (KeyError, TypeError, AttributeError):
        raise InputError(f'{raw / "features.json"}: expected {{"feature_sets": {{name: [features]}}, "targets": [names]}}') from None
    if feature_set not in sets:
        raise InputError(f"data.feature_set: {feature_set!r} is no feature set of {raw / 'features.json'}; it has {', '.join(sets)}")
    schema = files.open_parquet(raw / "train.parquet").schema_arrow
    repeated = [name for name, count in Counter(schema.names).items() if count > 1]
    if repeated:
        raise InputError(f"{raw / 'train.parquet'}: column {repeated[0]!r} is there more than once; remove the duplicates")
    missing = [name for name in sets[feature_set] if name not in schema.names]
    if missing:
        raise InputError(f"{raw / 'train.parquet'}: {len(missing)} features of the set {feature_set!r} are missing, {missing[0]!r} first")
    if not sets[feature_set]:
        raise InputError(f"data.feature_set: the set {feature_set!r} of {raw / 'features.json'} is empty")
    present = [name for name in schema.names if name == "target" or name.startswith("target_")]
    texts = [
        name for name in present if not pa.types.is_floating(schema.field(name).type) and not pa.types.is_integer(schema.field(name).type)
    ]
    if texts:
        raise InputError(f"{raw / 'train.parquet'}: target {texts[0]!r} is of type {schema.field(texts[0]).type}; expected float32")
    targets = [name for name in listed if name in present] + [name for name in present if name not in listed]
    if target not in targets:
        raise InputError(f"data.target: {target!r} is no target of {raw / 'train.parquet'}; it has {', '.join(targets) or 'none'}")
    features = list(dict.fromkeys(sets[feature_set]))
    reserved = set(features) & set(derived.DERIVED)
    if reserved:
        raise InputError(f"{raw / 'features.json'}: a feature has the name of a derived one, {min(reserved)!r}; rename it")
    chosen = set(features)
    within = {name: [feature for feature in members if feature in chosen] for name, members in sets.items()}
    integer = any(pa.types.is_integer(schema.field(name).type) for name in features)
    return Columns(features, targets, target, within, "int8" if integer else "float32")


def check_budgets(counts: Counts, rows: int, max_missing_share: float, max_dropped_share: float) -> None:
    """Fail where too much is missing or had to be dropped.

    Raises
    ------
    InputError
        With the share and the budget.
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


def parse_eras(values: pd.Series, path: Path) -> NDArray[np.int64]:
    """Era numbers from "0001", "era1", 1; `LIVE_ERA` for "X" and "eraX".

    Raises
    ------
    InputError
        If a value is neither.
    """
    codes, labels = pd.factorize(values, use_na_sentinel=False)
    return np.array([_parse_era(label, path) for label in labels], np.int64)[codes]


def _parse_era(label: object, path: Path) -> int:
    text = str(label).removeprefix("era")
    if text == "X":
        return LIVE_ERA
    if not text.isdecimal():
        raise InputError(f"{path}: column {ERA!r} holds {label!r}; expected a number such as '0001', or 'X' for live rows")
    return int(text)


def _read_rows(path: Path, columns: Columns, counts: Counts) -> pd.DataFrame:
    names = files.open_parquet(path).schema_arrow.names
    missing = [name for name in (ID, ERA, *columns.features) if name not in names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing ({len(missing)} in all)")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} is there more than once; remove the duplicates")
    wanted = [name for name in (ID, ERA, DATA_TYPE, *columns.targets) if name in names]
    frame = files.read_parquet(path, wanted)
    if frame.empty:
        raise InputError(f"{path}: there are no rows")
    frame[ERA] = parse_eras(frame[ERA], path)
    stem = path.stem
    wrong = (frame[ERA] == LIVE_ERA) != (stem == LIVE)
    if wrong.any() and stem != LIVE:
        raise InputError(f"{path}: row {int(np.argmax(wrong))} is of the live era; expected numbered eras")
    if stem == LIVE:
        frame[ERA] = LIVE_ERA
    if DATA_TYPE not in frame:
        frame[DATA_TYPE] = stem
    _check_ids(frame, path)
    frame[ID] = frame[ID].astype(str)
    for name in columns.targets:
        if name in frame:
            frame[name] = frame[name].astype(np.float32)
            _refuse_infinite(frame[name].to_numpy(), name, path)
    if (np.diff(frame[ERA].to_numpy()) < 0).any():
        counts.unsorted.append(path.name)
    return frame


def _check_ids(frame: pd.DataFrame, path: Path) -> None:
    if frame[ID].isna().any():
        raise InputError(f"{path}: row {int(np.argmax(frame[ID].isna()))} has no id")
    twice = frame.duplicated([ERA, ID])
    if twice.any():
        row = frame.loc[twice].iloc[0]
        raise InputError(
            f"{path}: id {row[ID]!r} is there more than once in era {row[ERA]} ({int(twice.sum())} duplicate rows); remove them"
        )


def _refuse_infinite(values: NDArray, name: str, path: Path) -> None:
    if np.isinf(values).any():
        raise InputError(f"{path}: column {name!r} holds {int(np.isinf(values).sum())} infinite values; expected finite ones, or missing")


def _resolved(frame: pd.DataFrame, main: str, counts: Counts) -> NDArray[np.bool_]:
    """Validation rows with a known target; whole eras without one are unresolved, single rows are dropped."""
    if main not in frame:
        counts.unresolved = len(frame)
        return np.zeros(len(frame), bool)
    known = frame[main].notna().to_numpy() & (frame[DATA_TYPE] != UNRESOLVED).to_numpy()
    in_known_era = frame[ERA].isin(frame.loc[known, ERA].unique()).to_numpy()
    counts.unresolved = int((~in_known_era).sum())
    return known


def _count_without_target(
    frames: dict[str, pd.DataFrame], keep: dict[str, NDArray[np.bool_]], resolved: NDArray[np.bool_], target: str, counts: Counts
) -> None:
    """Count the rows that should have a target and don't, in the eras that are kept alone."""
    counts.train_without = int(frames[TRAIN].loc[keep[TRAIN], target].isna().sum())
    eras = frames[VALIDATION][ERA]
    counts.dropped = int((eras.isin(eras[keep[VALIDATION]]).to_numpy() & ~resolved).sum())


def _every(frame: pd.DataFrame, every: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    eras = np.unique(frame[ERA] if among is None else frame.loc[among, ERA])
    return frame[ERA].isin(eras[::every]).to_numpy()


def _place(raw: Path, frames: dict[str, pd.DataFrame], keep: dict[str, NDArray[np.bool_]]) -> tuple[pd.DataFrame, list[Rows]]:
    kept = [frames[name][keep[name]].assign(**{DATA_TYPE: name}) for name in (TRAIN, VALIDATION)]
    joined = pd.concat(kept, ignore_index=True)
    order = np.lexsort((joined[ID].to_numpy(str), joined[ERA].to_numpy()))
    position = np.argsort(order)
    placed, start = [], 0
    for name in (TRAIN, VALIDATION):
        place = np.full(len(frames[name]), -1, np.int64)
        count = int(keep[name].sum())
        place[keep[name]] = position[start : start + count]
        placed.append(Rows(raw / f"{name}.parquet", frames[name], place))
        start += count
    return joined.iloc[order].reset_index(drop=True), placed


def _check_eras(raw: Path, frames: dict[str, pd.DataFrame], keep: dict[str, NDArray[np.bool_]]) -> None:
    last = frames[TRAIN][ERA].max()
    validation = frames[VALIDATION].loc[keep[VALIDATION], ERA]
    if len(validation) and validation.min() <= last:
        raise InputError(
            f"{raw / 'validation.parquet'}: era {validation.min()} doesn't come after the last train era, {last}; they overlap"
        )


def _write_table(
    directory: Path, parts: list[Rows], index: pd.DataFrame, columns: Columns, counts: Counts, demean: bool, derived_names: Sequence[str]
) -> None:
    path = directory / "features.npy"
    matrix = np.lib.format.open_memmap(path, "w+", np.dtype(columns.dtype), (len(index), len(columns.features)))
    for part in parts:
        _scatter(part, columns, matrix, counts)
    matrix.flush()
    eras = index[ERA].to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(eras)) + 1).tolist(), len(eras)]
    slices = [slice(a, b) for a, b in itertools.pairwise(bounds)]
    extra = np.empty((len(index), len(derived_names)), np.float32)
    means = np.empty((len(slices) if demean else 0, len(columns.features)), np.float32)
    for k, rows in enumerate(slices):
        block = np.asarray(matrix[rows])
        extra[rows] = derived.derive(block, derived_names)
        if demean:
            means[k] = block.mean(axis=0, dtype=np.float64)
    files.write_npy(extra, directory / "derived.npy")
    files.write_npy(means, directory / "era_means.npy")
    content = {
        "features": columns.features,
        "derived": list(derived_names),
        "feature_sets": columns.feature_sets,
        "targets": columns.targets,
    }
    files.write_json(content, directory / "features.json")


def _scatter(part: Rows, columns: Columns, matrix: NDArray, counts: Counts) -> None:
    file = files.open_parquet(part.path)
    start = 0
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=columns.features):
            place = part.place[start : start + batch.num_rows]
            start += batch.num_rows
            kept = place >= 0
            if kept.any():
                matrix[place[kept]] = _convert(batch.filter(pa.array(kept)), columns, counts, part.path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{part.path}: cannot be read to its end ({error}); fetch it again") from None


def _convert(batch: pa.RecordBatch, columns: Columns, counts: Counts, path: Path) -> NDArray:
    block = np.empty((batch.num_rows, len(columns.features)), np.dtype(columns.dtype))
    for k, name in enumerate(columns.features):
        column = batch.column(name)
        block[:, k], missing = _as_int8(column, name, path) if columns.dtype == "int8" else _as_float32(column, name, path)
        counts.missing[k] += missing
    counts.values += block.size
    return block


def _as_int8(column: pa.Array, name: str, path: Path) -> tuple[NDArray, int]:
    if pa.types.is_int8(column.type):
        return column.fill_null(INT8_MIDDLE).to_numpy(zero_copy_only=False), column.null_count
    values = _as_floats(column, name, path)
    missing = np.isnan(values)
    filled = np.where(missing, INT8_MIDDLE, values)
    if (filled != np.rint(filled)).any() or (np.abs(filled) > np.iinfo(np.int8).max).any():
        raise InputError(f"{path}: feature {name!r} isn't all small whole numbers, though other features are integers; expected one scale")
    return filled.astype(np.int8), int(missing.sum())


def _as_float32(column: pa.Array, name: str, path: Path) -> tuple[NDArray, int]:
    values = _as_floats(column, name, path)
    missing = np.isnan(values)
    return np.where(missing, FLOAT_MIDDLE, values).astype(np.float32), int(missing.sum())


def _as_floats(column: pa.Array, name: str, path: Path) -> NDArray[np.float64]:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{path}: feature {name!r} is of type {column.type}; expected int8 or a float")
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    _refuse_infinite(values, name, path)
    return values


def _on_disk(index: pd.DataFrame) -> pd.DataFrame:
    era = index[ERA].astype("Int64")
    return index.assign(**{ERA: era.mask(index[ERA] == LIVE_ERA)})


def _write_targets(directory: Path, index: pd.DataFrame, columns: Columns) -> None:
    """Train targets into the index, validation targets into a file of their own, so that no choice can see them."""
    targets = [name for name in columns.targets if name in index]
    train = index.copy()
    train.loc[index[DATA_TYPE] == VALIDATION, targets] = np.nan
    files.write_parquet(_on_disk(train[[ID, ERA, DATA_TYPE, *targets]]), directory / "index.parquet")
    validation = index.loc[index[DATA_TYPE] == VALIDATION, [ID, ERA, *targets]]
    files.write_parquet(_on_disk(validation), directory / "validation_targets.parquet")


def _write_references(raw: Path, directory: Path, index: pd.DataFrame) -> None:
    """The predictions of others, in the matrix's row order: NaN where they have none."""
    joined = index[[ID, ERA]]
    for names in (("train_benchmark_models", "validation_benchmark_models"), ("meta_model",), ("oracle",)):
        paths = [raw / f"{name}.parquet" for name in names if (raw / f"{name}.parquet").exists()]
        if paths:
            table = pd.concat([_reference(path) for path in paths], ignore_index=True)
            joined = joined.merge(table, on=[ERA, ID], how="left", validate="one_to_one")
    order = [name for name in (META_MODEL, ORACLE) if name in joined]
    rest = [name for name in joined.columns if name not in (ID, ERA, *order)]
    files.write_parquet(_on_disk(joined[[ID, ERA, *order, *rest]]), directory / "references.parquet")


def _reference(path: Path) -> pd.DataFrame:
    schema = files.open_parquet(path).schema_arrow
    values = [name for name in schema.names if pa.types.is_floating(schema.field(name).type)]
    if ID not in schema.names or ERA not in schema.names or not values:
        raise InputError(f"{path}: expected the columns {ID!r}, {ERA!r} and at least one of predictions")
    frame = files.read_parquet(path, [ID, ERA, *values])
    frame[ERA] = parse_eras(frame[ERA], path)
    _check_ids(frame, path)
    return frame.astype({ID: str, **dict.fromkeys(values, np.float32)})


def _metrics(index: pd.DataFrame, live: pd.DataFrame, counts: Counts) -> dict[str, dict[str, float]]:
    metrics: dict[str, dict[str, float]] = {}
    for name in (TRAIN, VALIDATION):
        rows = index.loc[index[DATA_TYPE] == name]
        metrics[name] = {"rows": len(rows), "eras": int(rows[ERA].nunique())}
    metrics[TRAIN]["rows_without_target"] = counts.train_without
    metrics[VALIDATION] |= {"unresolved_rows": counts.unresolved, "dropped_rows": counts.dropped}
    metrics[LIVE] = {"rows": len(live)}
    total = int(counts.missing.sum())
    metrics["missing_features"] = {"values": total, "share": round(total / max(counts.values, 1), 6)}
    return metrics


def report(metrics: dict[str, dict[str, float]], counts: Counts) -> list[str]:
    """What a person should know of the preparation, a line each."""
    lines = [f"{name}: {metrics[name]['rows']:,} rows in {metrics[name]['eras']} eras" for name in (TRAIN, VALIDATION)]
    lines.append(f"{LIVE}: {metrics[LIVE]['rows']:,} rows")
    lines += [f"{name}: eras were out of order; sorted" for name in counts.unsorted]
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
