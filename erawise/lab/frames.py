"""Tables and columns of pandas, polars, pyarrow and numpy: arrays for the library's functions, and results in the kind that was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from erawise.base.schema import ERA, LAST_ERA
from erawise.panel.panel import era_slices
from erawise.running.errors import InputError, meant
from erawise.scores.kernels import Floats

SHOWN = 10
"""Columns of a table that a message lists at most."""

Rows = slice | NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Columns of numbers, one or several.

    Attributes
    ----------
    names : (p,) their names.
    values : (rows, p) float64, NaN if missing.
    given : the object that they came in, of narwhals or numpy.
    index : its index if it is of pandas.
    """

    names: list[str]
    values: Floats
    given: Any
    index: pd.Index | None

    @property
    def is_single(self) -> bool:
        """True if the object was a column and no table."""
        return len(self.given.shape) == 1

    def like(self, values: Floats) -> Any:
        """Return values (rows, p) as an object of the kind that was given, with its names and its index."""
        if isinstance(self.given, np.ndarray):
            return values[:, 0] if self.is_single else values
        if self.index is not None:
            native = self.given.to_native()
            if self.is_single:
                return pd.Series(values[:, 0], self.index, name=native.name)
            return pd.DataFrame(values, self.index, native.columns)
        backend = self.given.implementation
        if self.is_single:
            return nw.new_series(self.names[0], values[:, 0], backend=backend).to_native()
        return nw.from_dict(dict(zip(self.names, values.T, strict=True)), backend=backend).to_native()

    def by_era(self, eras: NDArray[np.int64], values: Floats) -> pd.Series | pd.DataFrame:
        """Return values (eras, p) by era, of a single column as a Series."""
        index = pd.Index(eras, name=ERA)
        return pd.Series(values[:, 0], index, name=self.names[0]) if self.is_single else pd.DataFrame(values, index, self.names)


@dataclass(frozen=True)
class Eras:
    """The eras of rows, and the order that brings the rows of each era together.

    Attributes
    ----------
    numbers : (rows,) int64, as given.
    index : their index if they are of pandas.
    """

    numbers: NDArray[np.int64]
    index: pd.Index | None

    @cached_property
    def _order(self) -> NDArray[np.int64] | None:
        return None if (np.diff(self.numbers) >= 0).all() else np.argsort(self.numbers, kind="stable")

    @cached_property
    def ordered(self) -> NDArray[np.int64]:
        """The eras (rows,) in the order of time."""
        return self.sort(self.numbers)

    @cached_property
    def unique(self) -> NDArray[np.int64]:
        """The eras (eras,) in the order of time, each once."""
        return np.unique(self.numbers)

    def sort(self, values: NDArray) -> NDArray:
        """Return rows (rows, …) in the order of time; without a copy if they are in that order."""
        return values if self._order is None else values[self._order]

    @cached_property
    def rows(self) -> dict[int, Rows]:
        """The rows of each era as given: a slice, or positions if the rows are not in the order of time."""
        slices = era_slices(self.ordered)
        return {int(self.ordered[own.start]): own if self._order is None else self._order[own] for own in slices}


@dataclass(frozen=True)
class Features:
    """Columns of features, read era by era in their own type; nothing holds a copy of all of them.

    Attributes
    ----------
    given : table of narwhals, or an array (rows, k).
    names : names of the features in the table; None stands for all of its columns.
    index : its index if it is of pandas.
    """

    given: Any
    names: list[str] | None
    index: pd.Index | None

    def block(self, era: int, rows: Rows) -> NDArray:
        """Return the features (rows of the era, k) of some rows.

        Raises
        ------
        InputError
            If a value is no finite number.
        """
        if isinstance(self.given, np.ndarray):
            values = self.given[rows]
        else:
            some = self.given[rows]
            values = (some if self.names is None else some.select(self.names)).to_numpy()
        if values.dtype.kind not in "iufb":
            raise InputError(f"features: era {era} holds values of type {values.dtype}; expected numbers")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            name = str(column) if isinstance(self.given, np.ndarray) else repr((self.names or self.given.columns)[column])
            raise InputError(
                f"features: column {name} is missing or infinite in era {era}, first in its row {row}; fill it, or leave the column out"
            )
        return values


def table(frame: Any, name: str = "frame") -> nw.DataFrame[Any]:
    """Return a table with named columns as narwhals sees it; nothing is copied.

    Raises
    ------
    InputError
        If the object is no such table, or has no row.
    """
    found = _wrapped(frame)
    if not isinstance(found, nw.DataFrame):
        raise InputError(
            f"{name}: {type(frame).__name__} is no table with names; expected a DataFrame of pandas or polars, or a Table of pyarrow"
        )
    if not len(found):
        raise InputError(f"{name}: it has no row")
    return found


def pick(frame: nw.DataFrame[Any], names: Sequence[str], role: str) -> list[str]:
    """Return names of columns that a table has.

    Raises
    ------
    InputError
        If it lacks one of them; the message gives its role.
    """
    absent = [name for name in names if name not in frame.columns]
    if absent:
        others = f" and {len(frame.columns) - SHOWN} more" if len(frame.columns) > SHOWN else ""
        raise InputError(
            f"{role}: the frame has no column {absent[0]!r}; it has {', '.join(map(str, frame.columns[:SHOWN]))}{others}"
            f"{meant(absent[0], map(str, frame.columns))}"
        )
    return list(dict.fromkeys(names))


def numbers(values: Any, role: str) -> Columns:
    """Return a column, or the columns of a table, as numbers.

    Parameters
    ----------
    values : (rows,) or (rows, p): a Series or DataFrame, an Array or a Table of pyarrow, an array, or a list.
    role : the argument's name, for messages.

    Raises
    ------
    InputError
        If they are no numbers, or there is no row.
    """
    given = _wrapped(values)
    if not isinstance(given, nw.DataFrame | nw.Series):
        given = np.asarray(given)
        if given.ndim not in (1, 2):
            raise InputError(f"{role}: the array has {given.ndim} dimensions; expected (rows,) or (rows, columns)")
    if isinstance(given, nw.DataFrame):
        names = [str(name) for name in given.columns]
        parts = [_floats(given[name].to_numpy(), f"{role}, column {name!r}") for name in given.columns]
    elif isinstance(given, nw.Series):
        names, parts = [str(given.name) if given.name not in (None, "") else role], [_floats(given.to_numpy(), role)]
    else:
        array = _floats(given, role)
        parts = [array] if array.ndim == 1 else list(array.T)
        names = [role] if array.ndim == 1 else [str(k) for k in range(array.shape[1])]
    if not parts or not len(parts[0]):
        raise InputError(f"{role}: there is no row")
    return Columns(names, np.column_stack(parts), given, index_of(values))


def column(values: Any, role: str) -> Columns:
    """Return one column as numbers.

    Raises
    ------
    InputError
        If there are several columns; see also `numbers`.
    """
    found = numbers(values, role)
    if len(found.names) != 1:
        raise InputError(f"{role}: it has {len(found.names)} columns; expected one")
    return found


def eras(values: Any, role: str = ERA) -> Eras:
    """Return the eras of rows as numbers of weeks, from 12, 12.0, "12", "0012" or "era12".

    Raises
    ------
    InputError
        If a value is missing, or no number of a week.
    """
    given = _wrapped(values)
    array = given.to_numpy() if isinstance(given, nw.Series) else np.asarray(given)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{role}: the shape is {array.shape}; expected (rows,), an era for each row")
    codes, labels = pd.factorize(array)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise InputError(f"{role}: missing in {len(missing)} rows, the first at position {missing[0]}; every row needs an era")
    return Eras(np.array([era_number(label, role) for label in labels], np.int64)[codes], index_of(values))


def features(values: Any, names: Sequence[str] | None = None) -> Features:
    """Return features (rows, k) to read era by era; `names` are the columns of a table to take.

    Raises
    ------
    InputError
        If they are no table and no array (rows, k).
    """
    given = _wrapped(values)
    if not isinstance(given, nw.DataFrame):
        given = np.asarray(given)
        if given.ndim != 2:
            raise InputError(f"features: the shape is {given.shape}; expected (rows, features)")
    return Features(given, None if names is None else list(names), index_of(values))


def index_of(values: Any) -> pd.Index | None:
    """Return the index of an object of pandas; None if it is of another kind."""
    return values.index if isinstance(values, pd.Series | pd.DataFrame) else None


def check_rows(**given: Columns | Eras | Features) -> None:
    """Raise `InputError` if an argument has other rows than the first: another number, or another index if both are of pandas."""
    counts = {name: len(one.numbers) if isinstance(one, Eras) else one.given.shape[0] for name, one in given.items()}
    (first, rows), *others = counts.items()
    index = given[first].index
    for name, count in others:
        other = given[name].index
        if count != rows:
            raise InputError(f"{name}: {count:,} rows, and {first} has {rows:,}; both must have the same rows in the same order")
        if index is not None and other is not None and other is not index and not other.equals(index):
            raise InputError(
                f"{name}: its index isn't the index of {first}; bring them to the same order, such as {name}.loc[{first}.index]"
            )


def _wrapped(values: ArrayLike | Any) -> Any:
    """Return an object of a library of tables as narwhals sees it; anything else as it is."""
    if isinstance(values, pa.Array):
        values = pa.chunked_array([values])
    if isinstance(values, pd.DataFrame) and not values.columns.is_unique:
        raise InputError(f"the table has column {values.columns[values.columns.duplicated()][0]!r} twice; remove or rename one of them")
    found = nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    if not isinstance(found, nw.DataFrame | nw.Series) and hasattr(found, "__arrow_c_stream__"):
        return nw.from_native(pa.table(found), eager_only=True)
    return found


def _floats(values: NDArray, role: str) -> Floats:
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{role}: expected numbers, and found values of type {values.dtype}") from None


def era_number(label: object, role: str) -> int:
    """Return the number of a week from a label such as 12, "0012" or "era12"; errors name its `role`."""
    whole = isinstance(label, float | np.floating) and float(label).is_integer()
    text = str(int(label) if whole else label).removeprefix("era")  # type: ignore[call-overload]
    if not text.isdecimal() or int(text) > LAST_ERA:
        raise InputError(
            f"{role}: {label!r} is no era; expected the number of a week up to {LAST_ERA}, such as 12 or '0012'; leave live rows out"
        )
    return int(text)
