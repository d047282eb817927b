"""The kept live scores of models. Rows are added and never changed; the latest row of each score counts."""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from erawise.base import files, tabular
from erawise.live.account import Account
from erawise.running import errors
from erawise.running.errors import InputError

KEY = ["model", "round", "score", "version", "day"]
"""The columns that identify a score; each day has its own."""

VALUES = ["value", "percentile", "resolved", "closed"]
DTYPES = {
    "model": "str",
    "round": "int64",
    "score": "str",
    "version": "str",
    "day": "int64",
    "value": "float64",
    "percentile": "float64",
    "resolved": "bool",
    "closed": "str",
}
"""`day` is -1 if the server names none. `closed` is the UTC date on which the round closed, empty if the server names none."""


def fetch(account: Account, models: Mapping[str, str]) -> pd.DataFrame:
    """Fetch all scores of some models (ids by name): the columns of `DTYPES`, without rows that have no value.

    Raises
    ------
    InputError
        If there is no usable answer.
    """
    rows = []
    for name, number in models.items():
        with errors.about(name), account.understood():
            rows += [_row(name, score) for score in account.scores(number)]
    found = pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)
    found = found[np.isfinite(found["value"])]
    return found.drop_duplicates(KEY, keep="last").sort_values(KEY, ignore_index=True)


def _row(model: str, score: Mapping[str, Any]) -> dict[str, Any]:
    closed = score.get("roundCloseStakingTime") or score.get("roundScoreTime")
    percentile, day, value = score.get("percentile"), score.get("day"), score["value"]
    if not isinstance(score["displayName"], str):
        raise TypeError("a score without a name")
    return {
        "model": model,
        "round": int(score["roundNumber"]),
        "score": score["displayName"],
        "version": str(score.get("version") or ""),
        "day": -1 if day is None else int(day),
        "value": np.nan if value is None else float(value),
        "percentile": np.nan if percentile is None else float(percentile),
        "resolved": bool(score.get("resolved")),
        "closed": f"{closed:%Y-%m-%d}" if isinstance(closed, datetime) else "",
    }


class Scorebook:
    """A directory of Parquet files, one for each fetch with new scores."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self) -> pd.DataFrame:
        """Return the latest row of each score, sorted by `KEY`.

        Raises
        ------
        InputError
            If a file is broken.
        """
        parts = [_checked(path) for path in self._paths()]
        if not parts:
            return pd.DataFrame(columns=list(DTYPES)).astype(DTYPES)
        return pd.concat(parts, ignore_index=True).drop_duplicates(KEY, keep="last").sort_values(KEY, ignore_index=True)

    def extend(self, found: pd.DataFrame) -> int:
        """Add the scores that are new or have changed, and return their number."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with files.exclusive_lock(self.directory / "scores", "scores"):
            known = self.read()
            merged = found.merge(known, on=KEY, how="left", suffixes=("", "_known"), indicator=True)
            same = np.ones(len(merged), bool)
            for name in VALUES:
                now, before = merged[name], merged[f"{name}_known"]
                same &= ((now == before) | (now.isna() & before.isna())).to_numpy(bool)
            new = found[~(same & (merged["_merge"] == "both").to_numpy())]
            if len(new):
                number = 1 + max((int(path.stem) for path in self._paths()), default=0)
                tabular.write_parquet(new, self.directory / f"{number:06d}.parquet")
        return len(new)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.directory.glob("*.parquet") if re.fullmatch(r"\d{6}", path.stem))


def _checked(path: Path) -> pd.DataFrame:
    table = tabular.read_parquet(path)
    try:
        return table[list(DTYPES)].astype(DTYPES)
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{path}: not a file of live scores; move it away, and run again to fetch its scores") from None
