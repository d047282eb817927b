"""Tables behind the pictures of the data itself, from the files that the stages preprocess and explore have written."""

from pathlib import Path

import numpy as np
import pandas as pd

from erawise.base.schema import DATA_TYPE, ERA, LIVE
from erawise.charts.tables import Table, read
from erawise.exploration.drift import is_beyond
from erawise.running.errors import InputError

SHOWN = 10
"""Features of the most stable sign that are shown, and of the most fickle one."""

DRIFTED = 20
MAX_CELLS = 40
"""Targets in the picture of their correlations, at most."""

STABLE, FICKLE = "stable", "fickle"


def feature_stability(path: Path) -> Table:
    """Return the features whose correlation with the target keeps its sign over the train eras, and those that change it.

    Parameters
    ----------
    path : the features that `exploration` has described.

    Returns
    -------
    Table with `group` (`stable` or `fickle`), `feature`, `sign_stability`, `corr_mean`, `low`, `high` (mean less and plus the standard
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
    frame = frame[["group", "feature", "sign_stability", "corr_mean", "low", "high", "eras"]]
    if frame.empty:
        return Table(frame, "Nothing to show: no feature has a correlation with the target in any train era")
    first, last = frame.iloc[0], frame.iloc[-1]
    kept = f"{first['sign_stability']:.0%} of {first['eras']} train eras"
    headline = f"{first['feature']} keeps the sign of its correlation with the target in {kept}"
    if len(frame) > 1:
        headline += f", the most of {len(ordered)} features; {last['feature']} in {last['sign_stability']:.0%}, the least"
    return Table(frame, headline)


def target_correlation(path: Path, main: str) -> Table:
    """Return the correlations between the targets over the train rows.

    Parameters
    ----------
    path : the correlations that `exploration` has computed.
    main : the main target, put first; the others come in the order of their correlation with it.

    Returns
    -------
    Table with `a`, `b` and `correlation` (NaN where one is constant), a row for each ordered pair of at most `MAX_CELLS` targets.
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
    frame = pd.DataFrame(rows, columns=["a", "b", "correlation"])
    known = with_main.dropna()
    if known.empty:
        return Table(frame, f"{main} is the only target with a correlation")
    return Table(
        frame,
        f"Of {len(known)} other targets {known.index[0]} is the most like {main}, with a correlation of {known.iloc[0]:.2f}, "
        f"{known.index[-1]} the least, with {known.iloc[-1]:.2f}",
    )


def drift(path: Path) -> Table:
    """Return the features whose live values lie furthest from what is usual between train eras.

    Parameters
    ----------
    path : the distances that `drift` has measured.

    Returns
    -------
    Table of at most `DRIFTED` features, the furthest beyond the usual first: `feature`, `distance`, `expected`, `usual_p95`,
    `usual_max`, `eras`, `missing_live` and `beyond` (1 where live lies further off than any train era, else 0).
    """
    numbers = ("distance", "expected", "usual_p95", "usual_max", "eras", "missing_live")
    found = read(path, "explore", numbers, ("feature",)).astype({"eras": np.int64})
    found["beyond"] = is_beyond(found).astype(np.int64)
    frame = found.iloc[np.lexsort((-found["distance"], found["usual_max"] - found["distance"]))].head(DRIFTED).reset_index(drop=True)
    count, eras = int(found["beyond"].sum()), int(found["eras"].iloc[0])
    if not count:
        return Table(frame, f"No drift: none of {len(found)} features lies further off in live than in any of the last {eras} train eras")
    luck = len(found) / (eras + 1)
    return Table(
        frame,
        f"{count} of {len(found)} features lie further off in live than in any of the last {eras} train eras, where luck alone makes about "
        f"{luck:.0f} do so; {frame['feature'].iloc[0]} lies furthest",
    )


def missing_by_era(path: Path) -> Table:
    """Return the share of feature values that were missing in each era, and the features without any data in it.

    Parameters
    ----------
    path : what `preparation` has counted.

    Returns
    -------
    Table with `era` (of live the one after the last), `data_type`, `rows`, `missing_share` and `empty_features`.
    """
    frame = read(path, "preprocess", (ERA, "rows", "missing_share", "empty_features"), (DATA_TYPE,))
    frame[ERA] = frame[ERA].fillna(frame[ERA].max() + 1)
    frame = frame.astype({ERA: np.int64, "rows": np.int64, "empty_features": np.int64})
    frame = frame[[ERA, DATA_TYPE, "rows", "missing_share", "empty_features"]]
    past, live = frame.loc[frame[DATA_TYPE] != LIVE], frame.loc[frame[DATA_TYPE] == LIVE]
    whole = (past["missing_share"] * past["rows"]).sum() / past["rows"].sum()
    lacking = f"{whole:.2%} of the feature values of {len(past)} eras were missing"
    if not past["missing_share"].any():
        lacking = f"No feature value of {len(past)} eras was missing"
    else:
        worst = past.loc[past["missing_share"].idxmax()]
        lacking += f", most in era {worst[ERA]}: {worst['missing_share']:.1%}"
        if worst["empty_features"]:
            lacking += f", {worst['empty_features']} feature{'s' if worst['empty_features'] > 1 else ''} without any data"
    if len(live):
        share = live["missing_share"].iloc[0]
        lacking += f"; {share:.2%} of the live ones" if share else "; none of the live ones"
    return Table(frame, lacking)
