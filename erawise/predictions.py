"""Tables of predictions: joined by id, era and split, laid along the rows of a panel, and blended by ranks."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from erawise.base.schema import CV, DATA_TYPE, ERA, ID, LIVE, LIVE_ERA, PREDICTION, SPLIT, VALIDATION
from erawise.panel.panel import Panel, era_slices
from erawise.running.errors import InputError

SEED = "seed_"
"""Beginning of the columns that the table of a model with several seeds also has: the prediction of each seed."""


def join(frames: dict[str, pd.DataFrame], gapped: Collection[str] = ()) -> pd.DataFrame:
    """Join predictions on the rows that all of them have.

    Parameters
    ----------
    frames : by name, `id`, `era` (null for live), `split`, `prediction`.
    gapped : the names of predictions that may lack eras, and are NaN there; if all may, each row is kept that one of them has.

    Returns
    -------
    DataFrame sorted by split (cv, live, validation), era and id: `id`, `era` (int64, `LIVE_ERA` for live), `split`, and a
    column for each prediction. If a model has a longer horizon, the join has fewer validation eras.

    Raises
    ------
    InputError
        If no row is common to all.
    """
    joined: pd.DataFrame | None = None
    for name in sorted(frames, key=lambda name: name in gapped):
        frame, how = frames[name], "inner" if name not in gapped else "left" if set(frames) - set(gapped) else "outer"
        numbered = frame[[ID, ERA, SPLIT, PREDICTION]].assign(**{ERA: numbers(frame[ERA])}).rename(columns={PREDICTION: name})
        joined = numbered if joined is None else joined.merge(numbered, on=[SPLIT, ERA, ID], how=how, validate="one_to_one")
    if joined is None or joined.empty:
        raise InputError(f"the predictions of {', '.join(frames)} have no row in common; train the models again on the same data")
    return joined.sort_values([SPLIT, ERA, ID], ignore_index=True)[[ID, ERA, SPLIT, *frames]]


def table(rows: pd.DataFrame, prediction: NDArray[np.float64]) -> pd.DataFrame:
    """Return the table to store, `id`, `era` (null for live), `split`, `prediction`, from rows as `join` gives them."""
    era = rows[ERA].astype("Int64").mask(rows[ERA] == LIVE_ERA)
    return rows[[ID, SPLIT]].assign(**{ERA: era, PREDICTION: prediction})[[ID, ERA, SPLIT, PREDICTION]]


def absent_eras(wanted: pd.DataFrame, had: pd.DataFrame) -> str:
    """Return in words how many eras of each split a table of predictions lacks; nothing if it has all."""
    lacking = {
        split: len(np.setdiff1d(*(numbers(frame.loc[frame[SPLIT] == split, ERA]).to_numpy() for frame in (wanted, had))))
        for split in (CV, VALIDATION, LIVE)
    }
    named = [f"{count:,} eras of {split}" if split != LIVE else "the live era" for split, count in lacking.items() if count]
    return ", ".join(named)


def numbers(era: pd.Series) -> pd.Series:
    """Return eras as int64; null is `LIVE_ERA`."""
    return era.fillna(LIVE_ERA).astype(np.int64)


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank the predictions (rows,) of an era in (0, 1): `(average rank - 0.5) / rows`, ties kept."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: NDArray[np.float64] = (2 * np.cumsum(counts) - counts)[which] / (2 * len(values))
    return found


class Blend:
    """The blend of predictions that come one after the other and aren't kept.

    In each era a prediction is ranked, and its ranks are turned into normal quantiles. The blend is the ranks of their weighted sum.

    Parameters
    ----------
    era : (rows,), rows of an era adjacent.
    """

    def __init__(self, era: NDArray[np.int64]) -> None:
        self._slices, self._total = era_slices(era), np.zeros(len(era))

    def add(self, values: NDArray[np.float64], weight: float = 1.0) -> None:
        """Add one more prediction (rows,), finite."""
        for rows in self._slices:
            self._total[rows] += weight * ndtri(ranks(values[rows]))

    def values(self) -> NDArray[np.float64]:
        """Return the blend (rows,)."""
        return np.concatenate([np.empty(0), *(ranks(self._total[rows]) for rows in self._slices)])


class BySeed:
    """The predictions of each seed of a model that has several; of several targets the blend, as the model's own prediction is.

    Parameters
    ----------
    era : (rows,), rows of an era adjacent.
    seeds : of the model; nothing is kept if there are fewer than two.
    """

    def __init__(self, era: NDArray[np.int64], seeds: Sequence[int]) -> None:
        self._blends = {seed: Blend(era) for seed in seeds} if len(seeds) > 1 else {}

    def add(self, seed: int | None, values: NDArray[np.float64]) -> None:
        """Add the predictions (rows,) of a variant of one seed, None if its kind draws nothing."""
        if seed in self._blends:
            self._blends[seed].add(values)

    def columns(self) -> dict[str, NDArray[np.float32]]:
        """Return the columns of the model's table, one for each seed: ranks of an era as float32, since only scores are made of them."""
        return {f"{SEED}{seed}": blend.values().astype(np.float32) for seed, blend in self._blends.items()}


def by_seed(frames: dict[str, pd.DataFrame]) -> tuple[dict[str, list[str]], dict[str, pd.DataFrame]]:
    """Return the predictions of each seed of the models that have several.

    Returns
    -------
    For each of these models the names of its seeds' predictions, and the table of each, as a model's own. No model has such a name.
    """
    seeds = {name: [column for column in frame.columns if column.startswith(SEED)] for name, frame in frames.items()}
    tables = {
        f"{name}/{column}": frames[name][[ID, ERA, SPLIT]].assign(**{PREDICTION: frames[name][column].astype(np.float64)})
        for name, columns in seeds.items()
        for column in columns
    }
    return {name: [f"{name}/{column}" for column in columns] for name, columns in seeds.items() if columns}, tables


def digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a prediction's validation rows: of ids, eras and values in the order of the table.

    Rows of other splits don't change it. The live rows, which are new in each round, don't either.
    """
    rows = frame[frame[SPLIT] == VALIDATION]
    return digests(rows[ID], rows[ERA].to_numpy(np.int64), {PREDICTION: rows[PREDICTION].to_numpy(np.float64)})[PREDICTION]


def digests(ids: Iterable[str], era: NDArray[np.int64], values: Mapping[str, NDArray[np.float64]]) -> dict[str, str]:
    """Return `digest` of several predictions, (rows,) by name, of the same validation rows, whose ids and eras are hashed once."""
    begun, found = hashlib.sha256("\n".join(ids).encode()), {}
    begun.update(era.tobytes())
    for name, column in values.items():
        own = begun.copy()
        own.update(column.tobytes())
        found[name] = own.hexdigest()
    return found


def along(rows: pd.DataFrame, frame: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return columns of a table in the order of other rows.

    Parameters
    ----------
    rows : `id` and `era` of the rows wanted.
    frame : `id`, `era` and the columns, each era and id once.

    Returns
    -------
    (rows, columns) float64, NaN if the table has no such id in that era.
    """
    eras = numbers(frame[ERA])
    if np.array_equal(rows[ERA].to_numpy(np.float64, na_value=np.nan), eras) and rows[ID].array.equals(frame[ID].array):
        return frame[list(columns)].to_numpy(np.float64)  # the usual case, in which a merge would be slow
    numbered = frame[[ID, *columns]].assign(**{ERA: eras})
    return rows[[ID, ERA]].merge(numbered, on=[ERA, ID], how="left", validate="one_to_one")[list(columns)].to_numpy(np.float64)


def known_targets(panel: Panel, validation: pd.DataFrame, target: str) -> NDArray[np.float64]:
    """Return the target of every row of the panel, of train eras from its index and of other eras from `validation`."""
    values = panel.index[target].to_numpy(np.float64).copy()
    rows = (panel.index[DATA_TYPE] == VALIDATION).to_numpy()
    values[rows] = along(panel.index.loc[rows], validation, [target])[:, 0]
    return values
