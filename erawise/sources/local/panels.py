"""The user's own files, as a schema describes them, written in Numerai's layout: the border behind which every panel looks alike."""

import fnmatch
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.base import files, tabular
from erawise.base.schema import (
    DATA_TYPE,
    ERA,
    FLOAT_TOP,
    ID,
    INT8_TOP,
    LAST_ERA,
    LIVE,
    META_MODEL,
    TARGET,
    TRADING_DAYS_A_WEEK,
    TRAIN,
    VALIDATION,
    is_feature,
    named_horizon,
)
from erawise.base.settings import Score
from erawise.running.errors import InputError, known_names
from erawise.sources import layout
from erawise.sources.local.settings import Files, Schema

PARQUET = (".parquet", ".pq")
LIVE_LABELS = ("X", "eraX")
NUMBER, DATE = re.compile(r"(?:era)?0*(\d{1,4})"), re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ]00:00:00(?:\.0+)?(?:Z|\+00:00)?)?")
EXPECTED_ERA = "expected a date such as 2024-01-31, or a number such as 0012"
SHOWN = 10
"""Columns that a message lists at most."""

INT8_RANGE = (-128, 127)

PART, LABEL, AGAIN = "part", "label", "again"
"""Columns of the rows: the file of Numerai's layout that they go to, the user's name of their era, and whether they stand for live rows."""


def read_schema(path: Path) -> Schema:
    """Read a schema.

    Raises
    ------
    InputError
        If the file is missing or isn't YAML, or a key is unknown, missing or has a wrong value.
    """
    try:
        content = YAML(typ="safe").load(files.read_text(path))
        return Schema.model_validate(content)
    except YAMLError as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        item = error.errors()[0]
        place = ".".join(part for part in map(str, item["loc"]) if "[" not in part and part not in ("str", Files.__name__))
        known = {"extra_forbidden": f"unknown key; there are {known_names(Schema.model_fields, place)}", "missing": "the key is missing"}
        given = "" if item["type"] in (*known, "value_error") else f" (it is {item['input']!r})"
        message = known.get(item["type"], item["msg"].removeprefix("Value error, "))
        raise InputError(f"{path}: {place}{': ' if place else ''}{message}{given}") from None


def write(schema: Schema, source: Path, directory: Path) -> list[str]:
    """Write the files that a schema describes into an existing, empty directory, in Numerai's layout.

    All rows are held in memory, the features as float32 or int8.

    Parameters
    ----------
    schema : the layout of the files.
    source : the directory that has them.

    Returns
    -------
    list of str
        Lines on whatever was changed or left out.

    Raises
    ------
    InputError
        If a file can't be read or lacks a column, an era is neither a date nor a number or doesn't fit the spacing, an id is missing or
        is there twice in an era, a column of numbers holds something else, or no row has the target.
    """
    named = {"": schema.files} if isinstance(schema.files, str) else schema.files.model_dump(exclude_none=True)
    parts = {part: _Part(source / name, part, schema) for part, name in named.items()}
    features = list(dict.fromkeys(name for part in parts.values() for name in part.named("features")))
    targets = [schema.target, *dict.fromkeys(name for part in parts.values() for name in part.named("targets"))]
    rows = pd.concat([part.rows(targets, features) for part in parts.values()], ignore_index=True)
    told = _number_eras(rows, schema, source)
    rows = rows.sort_values([ERA, ID], kind="stable", ignore_index=True)
    _refuse_duplicates(rows, source)
    told += _scale_targets(rows, targets, schema.score)
    told += _scale_features(rows, features, schema, source)
    told += _divide(rows, schema, source)
    _write(rows, targets, features, schema, directory)
    return told


@dataclass(frozen=True)
class _Part:
    """One file of a panel; `name` is its part of the panel, empty if the file has all rows."""

    path: Path
    name: str
    schema: Schema

    def named(self, setting: Literal["features", "targets"]) -> list[str]:
        """Return the columns that the schema's list or pattern of features, or of targets, names."""
        wanted, others = getattr(self.schema, setting), {*self.schema.columns, DATA_TYPE}
        if not isinstance(wanted, str):
            return list(wanted)
        present = self._present()
        found = [name for name in fnmatch.filter(present, wanted) if name not in others]
        if not found and not (setting == "targets" and self.name == LIVE):
            raise InputError(f"{self.path}: no column is named like {setting}, {wanted!r}; it has {_some(present)}")
        return found

    def rows(self, targets: Sequence[str], features: Sequence[str]) -> pd.DataFrame:
        """Read the rows: `id`, `era` as it is in the file, `part`, the columns of targets and of others' predictions, and the features."""
        schema, present = self.schema, self._present()
        given = {schema.id: "id", schema.era: "era", schema.target: "target"}
        others = [*targets, *schema.others]
        optional = set(others) if self.name == LIVE else set[str]()
        missing = [name for name in dict.fromkeys((*given, *others, *features)) if name not in present and name not in optional]
        if missing:
            what = given.get(missing[0]) or ("features" if missing[0] in features else "an optional column")
            count = f" ({len(missing)} columns are missing)" if len(missing) > 1 else ""
            raise InputError(
                f"{self.path}: column {missing[0]!r}, which the schema names as {what}, is missing{count}; it has {_some(present)}"
            )
        numeric = [name for name in others if name in present]
        table = self._table([schema.id, schema.era, *numeric, *features])
        if not len(table):
            raise InputError(f"{self.path}: there are no rows")
        if self.name == LIVE and table[schema.era].nunique(dropna=False) > 1:
            raise InputError(f"{self.path}: its rows are of {table[schema.era].nunique(dropna=False)} eras; expected one, the live era")
        columns = {name: self._numbers(table[name]) for name in numeric} | {name: self._feature(table[name]) for name in features}
        return pd.DataFrame({ID: self._ids(table[schema.id]), ERA: table[schema.era], PART: self.name, **columns})

    def _present(self) -> list[str]:
        if self.path.suffix in PARQUET:
            with tabular.open_parquet(self.path) as file:
                tabular.refuse_kept_in_metadata(file, self.schema.columns, self.path)
                return list(file.schema_arrow.names)
        return list(self._csv(nrows=0).columns)

    def _table(self, columns: list[str]) -> pd.DataFrame:
        if self.path.suffix in PARQUET:
            return tabular.read_parquet(self.path, columns)
        return self._csv(usecols=columns, dtype={self.schema.id: str, self.schema.era: str})

    def _csv(self, **options: Any) -> pd.DataFrame:
        files.require_file(self.path)
        try:
            return pd.read_csv(self.path, encoding="utf-8-sig", **options)
        except (ValueError, OSError, EOFError) as error:
            told = " ".join(str(error).split())
            raise InputError(f"{self.path}: not readable as CSV ({told}); expected UTF-8, commas and decimal points, or .parquet") from None

    def _ids(self, values: pd.Series) -> pd.Series:
        missing = values.isna().to_numpy()
        if missing.any():
            raise InputError(f"{self.path}: row {int(missing.argmax())} has no {self.schema.id!r}; expected an id in each row")
        if pd.api.types.is_float_dtype(values):
            raise InputError(f"{self.path}: column {self.schema.id!r} holds {values.iloc[0]}; expected ids as text or whole numbers")
        return values.astype(str)

    def _feature(self, values: pd.Series) -> NDArray:
        """Return a feature as float32, or as int8 if it holds whole numbers of its range and the schema's features are bins."""
        narrow = self.schema.kind == "bins" and pd.api.types.is_integer_dtype(values) and values.between(*INT8_RANGE).all()
        return self._numbers(values).astype(np.int8 if narrow else np.float32)

    def _numbers(self, values: pd.Series) -> NDArray[np.float64]:
        if (not pd.api.types.is_numeric_dtype(values) and values.notna().any()) or pd.api.types.is_bool_dtype(values):
            wrong = next(value for value in values.dropna() if isinstance(value, bool) or not isinstance(value, int | float))
            raise InputError(f"{self.path}: column {values.name!r} holds {str(wrong)!r}; expected numbers with decimal points, or nothing")
        found: NDArray[np.float64] = values.to_numpy(np.float64, na_value=np.nan)
        if np.isinf(found).any():
            row = int(np.isinf(found).argmax())
            raise InputError(f"{self.path}: column {values.name!r} is infinite in row {row}; expected finite numbers, or nothing")
        return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _number_eras(rows: pd.DataFrame, schema: Schema, source: Path) -> list[str]:
    """Put numbers in place of the user's labels of eras, which become a column; live rows without a label follow the last era."""
    codes, labels = pd.factorize(rows[ERA], use_na_sentinel=False)
    read = [_read_era(label, schema.era, source) for label in labels]
    known = {era: str(era.date()) if isinstance(era, pd.Timestamp) else str(label) for era, label in zip(read, labels, strict=True)}
    known.pop(None, None)
    if not known:
        raise InputError(f"{source}: column {schema.era!r} has no era, only live rows; {EXPECTED_ERA}")
    dates = {era: label for era, label in known.items() if isinstance(era, pd.Timestamp)}
    if dates and len(dates) < len(known):
        other = next(label for era, label in known.items() if era not in dates)
        raise InputError(
            f"{source}: column {schema.era!r} holds dates and numbers, such as {next(iter(dates.values()))} and {other}; expected either"
        )
    if not dates and schema.spacing is not None:
        number = next(iter(known.values()))
        raise InputError(f"{source}: column {schema.era!r} holds numbers such as {number}, and spacing is of dates; set spacing: null")
    numbers = _grid(sorted(dates), schema.spacing, source) if dates else {era: int(era) for era in known}
    last = max(numbers.values())
    if last > LAST_ERA:
        raise InputError(f"{source}: the eras are numbered to {last:,}; expected at most {LAST_ERA:,}: set a larger spacing, or null")
    rows[ERA] = np.array([numbers.get(era, last + 1) for era in read], np.int64)[codes]
    rows[LABEL] = np.array([known.get(era, LIVE) for era in read], object)[codes]
    first, newest = min(known), max(known)
    ends = f"{known[first]} to {known[newest]}, are numbered {numbers[first]} to {last}"
    return [f"eras: {len(known)}, {ends}; {layout.ERAS} has the number of each"]


def _read_era(label: Any, column: str, source: Path) -> Any:
    """Return the date (a Timestamp) or the number (an int) that a label of an era stands for; None for live rows."""
    if label in LIVE_LABELS:
        return None
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    text = str(label).strip()
    date, number = DATE.fullmatch(text), NUMBER.fullmatch(text)
    if number:
        return int(number[1])
    try:
        if date:
            return pd.Timestamp("-".join(date.groups()))
    except ValueError:
        pass
    raise InputError(f"{source}: column {column!r} holds {text!r}; {EXPECTED_ERA}")


def _grid(dates: Sequence[pd.Timestamp], spacing: int | None, source: Path) -> dict[Any, int]:
    """Return the number of each date, sorted: its place on the grid of the spacing, from 1, or its place in their order without one."""
    if spacing is None:
        return {date: number for number, date in enumerate(dates, 1)}
    days = {date: (date - dates[0]).days for date in dates}
    off = [date for date in dates if days[date] % spacing]
    if off:
        raise InputError(
            f"{source}: era {off[0].date()} is {days[off[0]]} days after the first, {dates[0].date()}, which is no multiple of spacing, "
            f"{spacing} days ({len(off)} of {len(dates)} eras are off); set the days between eras, or null to number them in order"
        )
    return {date: days[date] // spacing + 1 for date in dates}


def _refuse_duplicates(rows: pd.DataFrame, source: Path) -> None:
    twice = pd.DataFrame({ERA: rows[ERA], ID: rows[ID], LIVE: rows[PART] == LIVE}).duplicated().to_numpy()
    if twice.any():
        row = rows.iloc[int(twice.argmax())]
        raise InputError(
            f"{source}: id {row[ID]!r} is there more than once in era {row[LABEL]} ({twice.sum():,} duplicate rows); remove them"
        )


def _scale_targets(rows: pd.DataFrame, targets: Sequence[str], score: Score) -> list[str]:
    """Scale targets to 0..1 without a change of any score: to ranks if scores are of ranks, else by a factor about 0."""
    told = []
    for name in targets:
        values = rows[name]
        if not ((values < 0) | (values > 1)).any():
            continue
        if score == "spearman":
            rows[name], how = _ranks(rows, [name])[name], "are its ranks within the era"
        else:
            width = 2 ** math.ceil(math.log2(values.abs().max()))
            rows[name], how = 0.5 + values / (2 * width), f"are .5 + the value / {2 * width:g}, so that 0 becomes .5"
        told.append(
            f"{name}: its values, {values.min():g} to {values.max():g}, aren't within 0..1; the target's {how}; no score changes by it"
        )
    return told


def _ranks(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return (average rank - .5) / count of columns within each era; missing values stay missing."""
    grouped = rows.groupby(ERA)[names]
    return ((grouped.rank() - 0.5) / grouped.transform("count")).astype(np.float32)


def _scale_features(rows: pd.DataFrame, features: Sequence[str], schema: Schema, source: Path) -> list[str]:
    lowest, highest = rows[list(features)].min(), rows[list(features)].max()
    top = INT8_TOP if schema.kind == "bins" else FLOAT_TOP
    off = [name for name in features if lowest[name] < 0 or highest[name] > top]
    if not off:
        return []
    if schema.kind == "bins":
        raise InputError(
            f"{source}: feature {off[0]!r} holds {lowest[off[0]]:g} to {highest[off[0]]:g} ({len(off)} such features); expected bins, "
            f"whole numbers 0 to {INT8_TOP} or steps 0, .25, ... 1; set kind: floats to have features ranked within each era"
        )
    for start in range(0, len(off), SHOWN):
        names = off[start : start + SHOWN]
        rows[names] = _ranks(rows, names)
    return [f"features: {len(off)} of {len(features)} aren't within 0..1; their ranks within each era are taken, in 0..1"]


def _divide(rows: pd.DataFrame, schema: Schema, source: Path) -> list[str]:
    """Fill `part` with train, validation, live, or nothing for rows that are left out."""
    known = rows.loc[rows[schema.target].notna() & (rows[PART] != LIVE), ERA]
    resolved = np.unique(known)
    if not len(resolved):
        raise InputError(f"{source}: no row has the target {schema.target!r}; expected numbers in the eras that are resolved")
    told, last = [], int(resolved[-1])
    era, part = rows[ERA], rows[PART]
    if schema.validation_eras is not None:
        if schema.validation_eras >= len(resolved):
            raise InputError(
                f"{source}: validation_eras: {schema.validation_eras} eras are the final check, and {len(resolved)} eras have the target; "
                "expected fewer, so that eras are left to learn from"
            )
        part = pd.Series(np.where(era < resolved[-schema.validation_eras], TRAIN, VALIDATION))
    if not (part == LIVE).any():
        newest = int(era.max())
        if newest == last:
            told.append(f"live: every era has the target; the last, {rows[LABEL].iloc[-1]}, stands for live rows too, so that the run ends")
            rows[AGAIN] = era == newest
        else:
            part = part.where(era != newest, LIVE)
            told.append(f"live: the last era, {rows[LABEL].iloc[-1]}, which has no target")
    empty = ~era.isin(resolved) & ((era < last) | (part == TRAIN)) & (part != LIVE)
    if empty.any():
        told.append(
            f"{rows.loc[empty, ERA].nunique()} eras without any target, {int(empty.sum()):,} rows, left out: later eras are resolved"
        )
    rows[PART] = part.where(~empty, "")
    return told


def _write(rows: pd.DataFrame, targets: Sequence[str], features: Sequence[str], schema: Schema, directory: Path) -> None:
    names = {name: name if is_feature(name) else f"feature_{name}" for name in features}
    answers = {name: TARGET if name == schema.target else _target_name(name, schema.horizon) for name in targets}
    renamed = [*names.values(), *answers.values()]
    twice = next((name for name in renamed if renamed.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{directory}: two columns would be {twice!r} in Numerai's layout; rename one of them")
    again = rows[rows[AGAIN]].assign(part=LIVE) if AGAIN in rows else rows[:0]
    for part in (TRAIN, VALIDATION, LIVE):
        own = pd.concat([rows[rows[PART] == part], again]) if part == LIVE else rows[rows[PART] == part]
        keys = {ID: own[ID], ERA: "X" if part == LIVE else own[ERA].map("{:04d}".format), DATA_TYPE: part}
        columns = {to: own[name].astype(np.float32) for name, to in answers.items()} if part != LIVE else {}
        frame = pd.DataFrame(keys | {to: own[name] for name, to in names.items()} | columns)
        tabular.write_parquet(frame, directory / f"{part}.parquet")
        if schema.benchmarks:
            others = pd.DataFrame(keys | {name: own[name].astype(np.float32) for name in schema.benchmarks})
            tabular.write_parquet(others, directory / f"{part}_benchmark_models.parquet")
    if schema.meta_model:
        known = rows[(rows[PART] != LIVE) & rows[schema.meta_model].notna()]
        found = {ID: known[ID], ERA: known[ERA].map("{:04d}".format), META_MODEL: known[schema.meta_model].astype(np.float32)}
        tabular.write_parquet(pd.DataFrame(found), directory / "meta_model.parquet")
    tabular.write_csv(rows[[ERA, LABEL]].drop_duplicates(), directory / layout.ERAS)
    content: dict[str, Any] = {"feature_sets": {"all": list(names.values())}, "targets": list(answers.values())}
    if schema.horizon is not None:
        content[layout.PANEL] = asdict(layout.OwnPanel(schema.horizon * TRADING_DAYS_A_WEEK, schema.score))
    files.write_json(content, directory / layout.FEATURES)


def _target_name(name: str, horizon: int | None) -> str:
    """Return a target's name in Numerai's layout, which says no horizon of Numerai's if the schema has one."""
    named = name if name.startswith(f"{TARGET}_") else f"{TARGET}_{name}"
    return f"{named}_" if horizon is not None and named_horizon(named) else named
