"""Tables of the data itself, from the files that the stages preprocess and explore have written."""

from pathlib import Path

import numpy as np
import pandas as pd

from erawise.base.schema import DATA_TYPE, ERA
from erawise.charts.tables import read
from erawise.exploration.drift import is_beyond
from erawise.running.errors import InputError

SHOWN = 10
"""Features of the most stable sign that are shown, and of the most fickle one."""

DRIFTED = 20
MAX_CELLS = 40
"""Targets in the picture of their correlations, at most."""

STABLE, FICKLE = "stable", "fickle"


def feature_stability(path: Path) -> pd.DataFrame:
    """Return the features whose correlation with the target keeps its sign over the train eras, and those that change it.

    Parameters
    ----------
    path : the features that `exploration` has described.

    Returns
    -------
    DataFrame with `group` (`stable` or `fickle`), `feature`, `sign_stability`, `corr_mean`, `low`, `high` (mean less and plus the standard
    deviation over eras) and `eras`. Features without a correlation in any era are left out.
    """
    numbers = ("corr_mean", "corr_std", "sign_stability", "scored_eras")
    found = read(path, "explore", numbers, ("feature",)).dropna(subset=["corr_mean"])
    ordered = found.iloc[np.lexsort((-found["corr_mean"].abs(), -found["sign_stability"]))]
    count = min(SHOWN, (len(ordered) + 1) // 2)
    fickle = ordered.iloc[count:].tail(SHOWN)
    chosen = pd.concat([ordered.head(count).assign(group=STABLE), fickle.assign(group=FICKLE)], ignore_index=True)
    chosen = chosen.assign(low=chosen["corr_mean"] - chosen["corr_std"], high=chosen["corr_mean"] + chosen["corr_std"])
    frame = chosen.rename(columns={"scored_eras": "eras"}).astype({"eras": np.int64})
    return frame[["group", "feature", "sign_stability", "corr_mean", "low", "high", "eras"]]


def target_correlation(path: Path, main: str) -> pd.DataFrame:
    """Return the correlations between the targets over the train rows.

    Parameters
    ----------
    path : the correlations that `exploration` has computed.
    main : the main target, put first; the others come in the order of their correlation with it.

    Returns
    -------
    DataFrame with `a`, `b` and `correlation` (NaN where one is constant), a row for each ordered pair of at most `MAX_CELLS` targets.
    """
    try:
        names = pd.read_csv(path, usecols=["name"], dtype=str, keep_default_na=False)["name"].tolist()
    except (FileNotFoundError, ValueError):
        raise InputError(f"{path}: not the correlations of targets that explore writes; run explore") from None
    square = read(path, "explore", tuple(names), ("name",)).set_index("name")
    if main not in square:
        raise InputError(f"{path}: it lacks the target {main!r}; run explore again")
    with_main = square[main].drop(main).sort_values(ascending=False, kind="stable")
    ordered = [main, *with_main.index][:MAX_CELLS]
    rows = [(a, b, square.loc[a, b]) for a in ordered for b in ordered]
    return pd.DataFrame(rows, columns=["a", "b", "correlation"])


def drift(path: Path) -> pd.DataFrame:
    """Return the features whose live values lie furthest from what is usual between train eras.

    Parameters
    ----------
    path : the distances that `drift` has measured.

    Returns
    -------
    DataFrame of at most `DRIFTED` features, the furthest beyond the usual first: `feature`, `distance`, `expected`, `usual_p95`,
    `usual_max`, `eras`, `missing_live` and `beyond` (1 where live lies further off than any train era, else 0).
    """
    numbers = ("distance", "expected", "usual_p95", "usual_max", "eras", "missing_live")
    found = read(path, "explore", numbers, ("feature",)).astype({"eras": np.int64})
    found["beyond"] = is_beyond(found).astype(np.int64)
    return found.iloc[np.lexsort((-found["distance"], found["usual_max"] - found["distance"]))].head(DRIFTED).reset_index(drop=True)


def missing_by_era(path: Path) -> pd.DataFrame:
    """Return the share of feature values that were missing in each era, and the features without any data in it.

    Parameters
    ----------
    path : what `preparation` has counted.

    Returns
    -------
    DataFrame with `era` (of live the one after the last), `data_type`, `rows`, `missing_share` and `empty_features`.
    """
    frame = read(path, "preprocess", (ERA, "rows", "missing_share", "empty_features"), (DATA_TYPE,))
    frame[ERA] = frame[ERA].fillna(frame[ERA].max() + 1)
    frame = frame.astype({ERA: np.int64, "rows": np.int64, "empty_features": np.int64})
    return frame[[ERA, DATA_TYPE, "rows", "missing_share", "empty_features"]]
