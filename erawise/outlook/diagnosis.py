"""The comparison of the site's diagnostics of validation predictions with ours."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from erawise.base.schema import ERA, ID, PREDICTION
from erawise.running.terminal import Column, Sheet, Value
from erawise.scores import kernels

STATISTICS = {"Mean": "mean", "Std": "std", "Sharpe": "sharpe", "MaxDrawdown": "max_drawdown"}
"""The ends of the names of the site's figures, and our names."""

SCORES = {
    "validationCorr": "corr",
    "validationCorrV4": "corr",
    "validationMmc": "mmc",
    "validationBmc": "bmc",
    "validationFeatureNeutralCorr": "fnc",
    "validationFeatureNeutralCorrV3": "fncv3",
    "validationFncV4": "fnc",
}
"""The site's scores, and our score to compare each with; the site has several versions of some."""

EXPOSURE = "validationFeatureCorrMax"

CLOSE = 5e-4
"""Largest difference that the site's rounding can explain."""


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the table to send: `id` and `prediction`, ranks within each era as `(average rank - 0.5) / rows`.

    Parameters
    ----------
    rows : `id`, `era`, `prediction`, rows of an era adjacent.
    """
    values = rows.groupby(ERA, sort=False)[PREDICTION].transform(lambda part: kernels.uniform_ranks(part.to_numpy(np.float64)))
    return pd.DataFrame({ID: rows[ID].to_numpy(), PREDICTION: values.to_numpy()})


def compared(site: Mapping[str, Any], ours: Mapping[str, Any]) -> pd.DataFrame:
    """Compare the figures that both have: `figure` (the site's name), `ours_name`, `site`, `ours`, `difference` (site less ours).

    Parameters
    ----------
    site : the API's answer on a diagnostics run.
    ours : the block of a prediction in `data/scores/validation.json`.
    """
    rows = []
    for theirs, name in SCORES.items():
        for ending, statistic in STATISTICS.items():
            rows.append((theirs + ending, f"{name}.{statistic}", site.get(theirs + ending), ours.get(name, {}).get(statistic)))
    rows.append((EXPOSURE, "exposure.max", site.get(EXPOSURE), ours.get("exposure", {}).get("max")))
    return _table(rows, ["figure", "ours_name"])


def compared_eras(site: Sequence[Mapping[str, Any]], ours: pd.DataFrame) -> pd.DataFrame:
    """Compare scores by era: `figure`, `era`, `site`, `ours`, `difference`.

    Parameters
    ----------
    site : for each era, `era` and the site's scores.
    ours : `era` and our scores.
    """
    own = ours.set_index(ERA)
    rows = [
        (theirs, era, one.get(theirs), own[name].get(era))
        for theirs, name in SCORES.items()
        if name in own
        for one in site
        if (era := _era(one)) is not None
    ]
    return _table(rows, ["figure", ERA])


def _era(one: Any) -> int | None:
    """Return the number of an era that the site names as 12, "0012" or "era12"; None for anything else."""
    text = str(one.get("era") if isinstance(one, Mapping) else "").removeprefix("era")
    return int(text) if text.isdecimal() else None


def _table(rows: Sequence[tuple[Any, ...]], names: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[*names, "site", "ours"])
    table = table.assign(**{name: pd.to_numeric(table[name], errors="coerce").astype(float) for name in ("site", "ours")})
    known = table[table[["site", "ours"]].notna().all(axis=1)].reset_index(drop=True)
    return known.assign(difference=known["site"] - known["ours"])


def sheets(figures: pd.DataFrame, eras: pd.DataFrame) -> list[Sheet]:
    """Return both tables as a person reads them: eras in summary."""
    names = [Column("the site's figure"), Column("ours", spare=1)]
    numbers = [Column("site", ".4f"), Column("our value", ".4f"), Column("difference", "+.4f")]
    rows: list[list[Value]] = [[row.figure, row.ours_name, row.site, row.ours, row.difference] for row in figures.itertuples()]
    by_era: list[list[Value]] = []
    for figure, part in eras.groupby("figure", sort=False):
        corr = np.corrcoef(part["site"], part["ours"])[0, 1] if len(part) > 1 and part[["site", "ours"]].std().min() > 0 else np.nan
        by_era.append([str(figure), len(part), corr, part["difference"].abs().max()])
    columns = [Column("by era"), Column("eras", "d"), Column("correlation", ".4f"), Column("largest difference", ".4f")]
    return [Sheet([*names, *numbers], rows), Sheet(columns, by_era)]


def sentence(figures: pd.DataFrame) -> str:
    """Return a sentence on how many of the figures agree."""
    if figures.empty:
        return "the site gives no figure to compare with ours"
    close = figures["difference"].abs() <= CLOSE
    apart = figures.loc[~close, "figure"]
    rest = f"; apart: {', '.join(apart)}" if len(apart) else ""
    return f"{int(close.sum())} of {len(figures)} figures agree to within {CLOSE:g}{rest}"
