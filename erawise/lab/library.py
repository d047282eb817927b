"""Scores, neutralization and comparisons for notebooks: the functions of the package's top level.

    import erawise

    scores = erawise.score(frame, "prediction", target="target_60")

Tables and columns may be of pandas, polars, pyarrow or numpy. Rows of an era needn't be adjacent. All of it is computed by the functions
that the pipeline's stages use.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import ERA, PREDICTION, TARGET, named_horizon, spanned_eras, spanned_weeks
from erawise.blend import neutralization
from erawise.evaluation import significance, summary
from erawise.evaluation.objectives import Objective
from erawise.history import comparison
from erawise.lab import frames
from erawise.running.errors import InputError, known_names
from erawise.scores import kernels
from erawise.scores.eras import SCORES, Known, score_eras
from erawise.scores.kernels import Floats

CORR = "corr"

SHEET = {
    "corr.mean": "CORR",
    "corr.low": "low",
    "corr.high": "high",
    "corr.sharpe": "Sharpe",
    "corr.max_drawdown": "drawdown",
    "mmc.mean": "MMC",
    "bmc.mean": "BMC",
    "fnc.mean": "FNC",
    "exposure.max": "exposure",
    "eras": "eras",
}
"""The columns of the summary that a result shows, and their headings."""


@dataclass(frozen=True, repr=False)
class Interval(significance.Mean):
    """The mean of per-era scores with its 95 % interval; it has the attributes of `significance.Mean`."""

    def __repr__(self) -> str:
        """Return the mean and its interval in a line."""
        if self.reason:
            return f"Interval({comparison.number(self.mean)}, no interval: {self.reason})"
        bounds = f"95 % {comparison.number(self.low)} … {comparison.number(self.high)}"
        return f"Interval({comparison.number(self.mean)}, {bounds}; {self.eras} eras{_worth(self.effective_eras)})"

    def _repr_html_(self) -> str:
        """Return the figures as a table, for notebooks."""
        figures = {name: comparison.number(getattr(self, name)) for name in ("mean", "low", "high")}
        worth = {"eras": str(self.eras), "worth": comparison.number(self.effective_eras, ".0f")}
        return _html(figures | worth | ({"no interval": self.reason} if self.reason else {"verdict against 0": self.verdict}))


@dataclass(frozen=True, repr=False)
class Comparison:
    """The paired difference of two series of per-era scores, after less before.

    Attributes
    ----------
    eras : eras that have both scores.
    left_out : eras that have only one of them.
    mean_before, mean_after : the statistic of each on the common eras.
    difference, low, high : of the statistic, with its 95 % interval; NaN without an interval.
    probability_better : that the true difference is above 0.
    effective_eras : the number of independent eras that the eras are worth.
    p_value : two-sided.
    eras_to_tell : eras that would establish a true difference of this size in 80 % of cases.
    sharpe, sharpe_low, sharpe_high, drawdown, drawdown_low, drawdown_high : differences of the Sharpe ratio and of the maximum drawdown.
    verdict : `better`, `worse` or `can't tell`.
    reason : why it is `can't tell`; else empty.
    """

    eras: int
    left_out: int
    mean_before: float
    mean_after: float
    difference: float
    low: float
    high: float
    probability_better: float
    effective_eras: float
    p_value: float
    eras_to_tell: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    drawdown: float
    drawdown_low: float
    drawdown_high: float
    verdict: str
    reason: str

    def __repr__(self) -> str:
        """Return the verdict in a line."""
        means = f"{comparison.number(self.mean_before)} → {comparison.number(self.mean_after)}"
        return f"Comparison({means}: {comparison.verdict(asdict(self))}; {self.eras} eras{_worth(self.effective_eras)})"

    def _repr_html_(self) -> str:
        """Return the figures as a table, for notebooks."""
        figures = {
            "before": comparison.number(self.mean_before),
            "after": comparison.number(self.mean_after),
            "difference": comparison.number(self.difference, "+.4f"),
            "95 % interval": comparison.interval(self.low, self.high, "+.4f") or comparison.number(self.low),
            "P(better)": comparison.probability(self.probability_better),
            "verdict": self.verdict,
            "eras": str(self.eras),
        }
        return _html(figures | ({"because": self.reason} if self.reason else {}))


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """The scores of predictions, era by era and in summary.

    Attributes
    ----------
    table : DataFrame, a row for each era and prediction, see `score_eras`; a score that the data can't give is NaN.
    days : trading days that the target looks ahead, on which intervals depend.
    """

    table: pd.DataFrame
    days: int

    @cached_property
    def summary(self) -> pd.DataFrame:
        """The figures of each prediction, such as `corr.mean`, `corr.sharpe` and `exposure.max`, in columns; see `summary.summarize`."""
        return summarized(self.table, self.days)

    @property
    def names(self) -> list[str]:
        """The names of the predictions."""
        return list(self.table[PREDICTION].unique())

    def by_era(self, score: str = CORR) -> pd.DataFrame:
        """Return a score (eras, predictions), NaN if an era has none.

        Raises
        ------
        InputError
            If there is no such score.
        """
        known = [name for name in SCORES if self.table[name].notna().any()]
        if score not in known:
            raise InputError(f"score: there is no {score!r}; the data gives {known_names(known, score)}")
        return self.table.pivot(index=ERA, columns=PREDICTION, values=score)[self.names].rename_axis(columns=None)

    def intervals(self, score: str = CORR) -> pd.DataFrame:
        """Return the mean of a score with its 95 % interval, a row for each prediction: the columns of `Interval`."""
        return interval(self.by_era(score), days=self.days)

    def compare(self, before: str, after: str, score: str = CORR) -> Comparison:
        """Compare two predictions by a score, on the eras in which both have it.

        Raises
        ------
        InputError
            If there is no such prediction or score.
        """
        wide = self.by_era(score)
        for name in (before, after):
            if name not in wide:
                raise InputError(f"there is no prediction {name!r}; there are {known_names(self.names, name)}")
        return compare(wide[before], wide[after], days=self.days)

    def __repr__(self) -> str:
        """Return the most important figures as a text table."""
        return f"Scores of {self._title}\n{self._shown.to_string()}"

    def _repr_html_(self) -> str:
        """Return the most important figures as a table, for notebooks."""
        return f"<p>{self._title}</p>{self._shown.to_html()}"

    @property
    def _title(self) -> str:
        eras = self.table[ERA]
        count = f"{len(self.names)} {'prediction' if len(self.names) == 1 else 'predictions'}"
        return f"{count} in eras {eras.min()} to {eras.max()}; the target looks {self.days} trading days ahead"

    @property
    def _shown(self) -> pd.DataFrame:
        present = {name: heading for name, heading in SHEET.items() if name in self.summary}
        shown = self.summary[list(present)].rename(columns=present).rename_axis(index=None)
        forms = {"eras": "{:.0f}", "Sharpe": "{:.2f}", "exposure": "{:.3f}"}
        return shown.apply(lambda values: values.map(lambda x: "–" if pd.isna(x) else forms.get(str(values.name), "{:.4f}").format(x)))


def score(
    frame: Any,
    predictions: str | Sequence[str] = PREDICTION,
    *,
    target: str = TARGET,
    days: int | None = None,
    meta_model: str | None = None,
    benchmark: str | None = None,
    features: Sequence[str] = (),
) -> Scores:
    """Score columns of predictions era by era: every score that the columns of the frame can give.

    CORR, Spearman, MSE and AUC need only the target; MMC needs `meta_model`, BMC `benchmark`, and FNC and exposures `features`. A score of
    an era is NaN if less than 80 % of its rows have all that it needs, or if the prediction or the target is constant there.

    Source: `numerai_tools.scoring` for CORR, MMC, BMC and FNC; `docs/significance.md` for the intervals.

    Parameters
    ----------
    frame : (rows, columns), with a column or an index level `era`: numbers of weeks, such as 12, "0012" or "era12".
    predictions : a name of a column, or several; NaN in rows without a prediction.
    target : the name of the column with the outcome, NaN if it isn't known yet.
    days : trading days that the target looks ahead; by default by the end of its name, `_20` or `_60`.
    meta_model, benchmark : names of columns, or None.
    features : names of columns, finite; int8 is read as it is, era by era.

    Returns
    -------
    Scores
        `table` has a row for each era and prediction, `summary` the figures with 95 % intervals.

    Raises
    ------
    InputError
        If the frame has no such column, no era in a row, or text for numbers; if a prediction is infinite, or a feature missing; if the
        name of the target doesn't give its horizon, and `days` doesn't either.

    Examples
    --------
    >>> import erawise, numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"era": np.repeat(np.arange(1, 41), 50), "target_20": rng.normal(size=2000)})
    >>> frame["prediction"] = 0.2 * frame["target_20"] + rng.normal(size=2000)
    >>> erawise.score(frame, target="target_20")
    Scores of 1 prediction in eras 1 to 40; the target looks 20 trading days ahead
                  CORR     low    high Sharpe drawdown eras
    prediction  0.1665  0.0547  0.2782   1.15   0.1610   40
    """
    given = frames.table(frame)
    names = frames.pick(given, [predictions] if isinstance(predictions, str) else predictions, "predictions")
    if not names:
        raise InputError("predictions: no column is named; expected at least one")
    roles = {"target": target, "meta_model": meta_model, "benchmark": benchmark}
    columns = {
        role: frames.numbers(given[frames.pick(given, [name], role)[0]].to_native(), role).values[:, 0]
        for role, name in roles.items()
        if name is not None
    }
    horizon = _horizon(target) if days is None else _checked_days(days)
    values = np.column_stack([frames.numbers(given[name].to_native(), f"predictions, column {name!r}").values for name in names])
    chosen = frames.features(frame, frames.pick(given, features, "features")) if len(features) else None
    found = _scored(names, values, _eras_of(frame, given), columns, chosen)
    return Scores(found, horizon)


def numerai_corr(predictions: Any, target: Any, era: Any) -> Any:
    """Calculate Numerai's CORR of predictions in each era.

    The prediction is ranked and gaussianized, the target is centred, both are raised to the power 1.5 with their sign, and the Pearson
    correlation of the two is taken.

    Source: `numerai_tools.scoring.numerai_corr`.

    Parameters
    ----------
    predictions : (rows,) or (rows, p); NaN in rows without a prediction.
    target : (rows,), NaN if unknown.
    era : (rows,), numbers of weeks, such as 12, "0012" or "era12".

    Returns
    -------
    Series (eras,) by era, or DataFrame (eras, p)
        NaN if less than 80 % of an era's rows have both prediction and target, or one of them is constant there.

    Raises
    ------
    InputError
        If lengths or indexes differ, a row has no era, values are no numbers, or a prediction is infinite.

    Examples
    --------
    >>> import erawise
    >>> erawise.numerai_corr([0.1, 0.2, 0.3, 0.4], [0.0, 0.5, 0.25, 1.0], ["0001"] * 4).round(4)
    era
    1    0.9433
    Name: predictions, dtype: float64
    """
    return _one_score(CORR, predictions, era, target=target)


def mmc(predictions: Any, meta_model: Any, target: Any, era: Any) -> Any:
    """Calculate the MMC of predictions in each era: their contribution to the meta model.

    It is the product of the centred target with the part of the gaussianized prediction that is orthogonal to the meta model.

    Source: `numerai_tools.scoring.correlation_contribution`.

    Parameters
    ----------
    predictions : (rows,) or (rows, p); NaN in rows without a prediction.
    meta_model, target : (rows,), NaN if unknown.
    era : see `numerai_corr`.

    Returns
    -------
    Series (eras,) by era, or DataFrame (eras, p)
        NaN if less than 80 % of an era's rows have all three, or one of them is constant there.

    Raises
    ------
    InputError
        See `numerai_corr`.

    Examples
    --------
    >>> import erawise
    >>> erawise.mmc([0.1, 0.2, 0.3, 0.4], [0.3, 0.1, 0.4, 0.2], [0.0, 0.5, 0.25, 1.0], [1, 1, 1, 1]).round(4)
    era
    1    1.0707
    Name: predictions, dtype: float64
    """
    return _one_score("mmc", predictions, era, target=target, meta_model=meta_model)


def bmc(predictions: Any, benchmark: Any, target: Any, era: Any) -> Any:
    """Calculate the BMC of predictions in each era: their contribution to a benchmark model, as `mmc` to the meta model.

    Source: `numerai_tools.scoring.correlation_contribution`.

    Parameters
    ----------
    predictions : (rows,) or (rows, p); NaN in rows without a prediction.
    benchmark, target : (rows,), NaN if unknown.
    era : see `numerai_corr`.

    Returns
    -------
    Series (eras,) by era, or DataFrame (eras, p)
        NaN if less than 80 % of an era's rows have all three, or one of them is constant there.

    Raises
    ------
    InputError
        See `numerai_corr`.

    Examples
    --------
    >>> import erawise
    >>> erawise.bmc([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.4, 0.3], [0.0, 0.5, 0.25, 1.0], [1, 1, 1, 1]).round(4)
    era
    1    0.7323
    Name: predictions, dtype: float64
    """
    return _one_score("bmc", predictions, era, target=target, benchmark=benchmark)


def fnc(predictions: Any, features: Any, target: Any, era: Any) -> Any:
    """Calculate the FNC of predictions in each era: the CORR of the part that isn't linear in the features.

    Source: `numerai_tools.scoring.feature_neutral_corr`.

    Parameters
    ----------
    predictions : (rows,) or (rows, p); NaN in rows without a prediction.
    features : (rows, k), finite; int8 is read as it is, era by era.
    target, era : see `numerai_corr`.

    Returns
    -------
    Series (eras,) by era, or DataFrame (eras, p)
        NaN if CORR is NaN, the prediction is linear in the features, or the features with a constant span the era (rows <= k + 1).

    Raises
    ------
    InputError
        If a feature is missing or infinite; see also `numerai_corr`.

    Examples
    --------
    >>> import erawise
    >>> features = [[0], [1], [0], [1]]
    >>> erawise.fnc([0.1, 0.2, 0.3, 0.4], features, [0.0, 0.5, 0.25, 1.0], [1, 1, 1, 1]).round(4)
    era
    1    0.5941
    Name: predictions, dtype: float64
    """
    return _one_score("fnc", predictions, era, frames.features(features), target=target)


def gaussianize(values: Any, era: Any = None) -> Any:
    """Turn values into the normal quantiles of their ranks in each era: of `(average rank - 0.5) / rows`, ties kept.

    Source: `numerai_tools.scoring.tie_kept_rank__gaussianize__pow_1_5`, without the power.

    Parameters
    ----------
    values : (rows,) or (rows, p).
    era : (rows,), numbers of weeks; None if all rows are of one era.

    Returns
    -------
    The same shape and kind of object, float64
        NaN stays NaN, and is not ranked; a constant column is 0 throughout an era.

    Raises
    ------
    InputError
        If lengths or indexes differ, a row has no era, or values are no numbers.

    Examples
    --------
    >>> import erawise, pandas as pd
    >>> erawise.gaussianize(pd.Series([3.0, 1.0, None, 2.0], name="prediction")).round(3)
    0    0.967
    1   -0.967
    2      NaN
    3    0.000
    Name: prediction, dtype: float64
    """
    given = frames.numbers(values, "values")
    of_era = frames.Eras(np.zeros(len(given.values), np.int64), None) if era is None else frames.eras(era)
    frames.check_rows(values=given, era=of_era)
    out = np.full(given.values.shape, np.nan)
    for rows in of_era.rows.values():
        for k, column in enumerate(given.values[rows].T):
            known = ~np.isnan(column)
            if known.any():
                column[known] = kernels.gaussianize(column[known])
            out[rows, k] = column
    return given.like(out)


def neutralize(predictions: Any, features: Any, era: Any, proportion: float = 1.0) -> Any:
    """Subtract a proportion of the least-squares fit to the features and a constant from predictions, in each era.

    Source: `numerai_tools.scoring.neutralize`. For a file to hand in, neutralize the gaussianized prediction, and rank the result in
    each era.

    Parameters
    ----------
    predictions : (rows,) or (rows, p); a row with NaN takes part in no fit.
    features : (rows, k), finite; int8 is read as it is, era by era.
    era : (rows,), numbers of weeks, such as 12, "0012" or "era12".
    proportion : 0..1.

    Returns
    -------
    The same shape and kind of object as `predictions`, float64
        NaN stays NaN; a prediction that is constant in an era is NaN there.

    Raises
    ------
    InputError
        If lengths or indexes differ, a row has no era, values are no numbers, a prediction is infinite, a feature is missing or infinite,
        `proportion` is out of range, or the features with a constant span an era.

    Examples
    --------
    >>> import erawise, numpy as np
    >>> features = np.array([[0], [1], [2], [3]], np.int8)
    >>> erawise.neutralize(np.array([0.1, 0.2, 0.4, 0.3]), features, [1, 1, 1, 1]).round(3)
    array([-0.03, -0.01,  0.11, -0.07])
    """
    if not 0 <= proportion <= 1:
        raise InputError(f"proportion: {proportion}; expected a share of the linear part, 0 to 1")
    given, block, of_era = frames.numbers(predictions, "predictions"), frames.features(features), frames.eras(era)
    frames.check_rows(predictions=given, features=block, era=of_era)
    out = np.full(given.values.shape, np.nan)
    for number, rows in of_era.rows.items():
        values, own = given.values[rows], block.block(number, rows)
        if np.isinf(values).any():
            raise InputError(f"predictions: infinite in era {number}; predictions must be finite")
        if len(own) <= own.shape[1] + 1:
            raise InputError(
                f"features: era {number} has {len(own)} rows, which {own.shape[1]} features and a constant span: nothing but noise would "
                "be left; give fewer features"
            )
        out[rows] = _neutral(values, own, proportion)
    return given.like(out)


def interval(scores: Any, *, days: int) -> Any:
    """Estimate the mean of per-era scores with its 95 % interval, which allows for eras that overlap.

    A target that looks 60 trading days ahead spans 12 weeks, so that the scores of 120 weekly eras are worth 10 independent ones.

    Source: Lazarus, Lewis, Stock & Watson (2018); `docs/significance.md` says how it was tried.

    Parameters
    ----------
    scores : (eras,) or (eras, p). The index of a Series or DataFrame holds the eras, in any order. Other kinds are in the order of time, a
        week apart. Eras with NaN are left out.
    days : trading days that the target looks ahead.

    Returns
    -------
    Interval of one column; for several a DataFrame, a row each
        The bounds are NaN, and `reason` says why, with fewer than 8 spans of the target, or if the scores are all equal.

    Raises
    ------
    InputError
        If an index holds no eras, one is there twice, scores are no numbers, or `days` isn't above 0.

    Examples
    --------
    >>> import erawise, numpy as np
    >>> scores = np.random.default_rng(0).normal(0.02, 0.03, 160)
    >>> erawise.interval(scores, days=60)
    Interval(0.0206, 95 % 0.0128 … 0.0283; 160 eras, worth 13 independent ones)
    >>> erawise.interval(scores[:20], days=60)
    Interval(0.0145, no interval: 20 eras; an interval needs 96, 8 spans of a target)
    """
    given, eras = _series(scores, "scores")
    weeks = spanned_weeks(_checked_days(days))
    means = [significance.mean(column, overlap=spanned_eras(eras, weeks)) for column in given.values.T]
    if given.is_single:
        return Interval(**asdict(means[0]))
    return pd.DataFrame([asdict(mean) for mean in means], pd.Index(given.names, name=PREDICTION))


def compare(before: Any, after: Any, *, days: int, statistic: Literal["mean", "sharpe"] = "mean", seed: int = 0) -> Comparison:
    """Compare two series of per-era scores: their paired difference, its 95 % interval, and a verdict.

    Source: Lazarus, Lewis, Stock & Watson (2018) for the mean; Ledoit & Wolf (2008) for the Sharpe ratio.

    Parameters
    ----------
    before, after : (eras,). The index of a Series holds the eras; only eras that both have count. Other kinds are of the same eras in the
        order of time, a week apart. Eras with NaN in either are left out.
    days : trading days that the target looks ahead.
    statistic : whether the means or the Sharpe ratios are compared.
    seed : of the bootstrap behind the intervals of Sharpe and drawdown.

    Returns
    -------
    Comparison
        Its bounds are NaN, and its verdict is `can't tell`, with fewer than 8 spans of the target, or if the scores are the same.

    Raises
    ------
    InputError
        If lengths differ without an index, an index holds no eras, or an era is there twice; if scores are no numbers, or `days` isn't
        above 0.

    Examples
    --------
    >>> import erawise, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> before = rng.normal(0.02, 0.03, 160)
    >>> erawise.compare(before, before + rng.normal(0.004, 0.01, 160), days=60)
    Comparison(0.0206 → 0.0236: better, +0.0030 (+0.0015 … +0.0046); 160 eras, worth 13 independent ones)
    """
    if statistic not in ("mean", "sharpe"):
        raise InputError(f"statistic: {statistic!r}; expected mean or sharpe")
    (one, eras_before), (other, eras_after) = _series(before, "before"), _series(after, "after")
    for name, given in (("before", one), ("after", other)):
        if len(given.names) != 1:
            raise InputError(f"{name}: it has {len(given.names)} columns; expected one")
    if one.index is None or other.index is None:
        if len(eras_before) != len(eras_after):
            raise InputError(f"after: {len(eras_after)} eras, and before has {len(eras_before)}; give Series with eras as their index")
        eras_before = eras_after = eras_after if one.index is None else eras_before
    tables = [
        pd.DataFrame({ERA: eras, PREDICTION: PREDICTION, CORR: given.values[:, 0]})
        for given, eras in ((one, eras_before), (other, eras_after))
    ]
    by = Objective("sharpe") if statistic == "sharpe" else Objective()
    return Comparison(**comparison.pair(tables[0], PREDICTION, tables[1], PREDICTION, _checked_days(days), seed=seed, by=by))


def summarized(table: pd.DataFrame, days: int) -> pd.DataFrame:
    """Return the blocks of `summary.summarize` as a table: a row for each prediction, columns such as `corr.mean`.

    NaN if a prediction lacks a figure that another prediction has.
    """
    blocks = summary.summarize(table, days)
    return pd.json_normalize(list(blocks.values())).set_axis(pd.Index(list(blocks), name=PREDICTION))


def _one_score(name: str, predictions: Any, era: Any, features: frames.Features | None = None, **others: Any) -> Any:
    given, of_era = frames.numbers(predictions, "predictions"), frames.eras(era)
    columns = {role: frames.column(values, role) for role, values in others.items()}
    blocks = {} if features is None else {"features": features}
    frames.check_rows(predictions=given, **columns, **blocks, era=of_era)
    found = _scored(given.names, given.values, of_era, {role: column.values[:, 0] for role, column in columns.items()}, features)
    return given.by_era(of_era.unique, found[name].to_numpy().reshape(-1, len(given.names)))


def _scored(
    names: Sequence[str], values: Floats, of_era: frames.Eras, columns: dict[str, Floats], features: frames.Features | None
) -> pd.DataFrame:
    """Return the table of `score_eras` for rows in any order; `columns` are the target and the references of `Known`."""
    ordered = {role: of_era.sort(column) for role, column in columns.items()}
    target = ordered.pop("target")

    def block(era: int) -> NDArray:
        assert features is not None
        return features.block(era, of_era.rows[era])

    known = Known(ordered.get("meta_model"), ordered.get("benchmark"), features=None if features is None else block)
    return score_eras(pd.DataFrame(of_era.sort(values), columns=list(names)), target, of_era.ordered, known)


def _neutral(values: Floats, features: NDArray, proportion: float) -> Floats:
    """Neutralize the predictions (rows, p) of an era; each on the rows that it has."""
    out = np.full(values.shape, np.nan)
    for k, known in enumerate(~np.isnan(values).T):
        if known.any():
            some = features if known.all() else features[known]
            out[known, k] = neutralization.neutralize_block(values[known, k : k + 1], some, proportion)[:, 0]
    return out


def _eras_of(frame: Any, given: Any) -> frames.Eras:
    """Return the eras of a frame's rows, from its column or index level `era`."""
    index = frames.index_of(frame)
    if ERA not in given.columns and index is not None and ERA in index.names:
        return frames.eras(index.get_level_values(ERA).to_numpy())
    return frames.eras(given[frames.pick(given, [ERA], ERA)[0]].to_native())


def _series(scores: Any, role: str) -> tuple[frames.Columns, NDArray[np.int64]]:
    """Return scores and their eras in the order of time; without an index, eras are counted from 1."""
    given = frames.numbers(scores, role)
    if given.index is None:
        return given, np.arange(1, len(given.values) + 1)
    of_era = frames.eras(given.index.to_numpy(), f"the index of {role}")
    if len(of_era.unique) < len(of_era.numbers):
        raise InputError(f"{role}: an era is there twice in the index; expected one score for each era")
    return frames.Columns(given.names, of_era.sort(given.values), given.given, given.index), of_era.ordered


def _horizon(target: str) -> int:
    found = named_horizon(target)
    if found is None:
        raise InputError(f"days: the name {target!r} doesn't end with the target's horizon; give days=20 or days=60")
    return found


def _checked_days(days: int) -> int:
    if days < 1:
        raise InputError(f"days: {days}; expected the trading days that the target looks ahead, such as 20 or 60")
    return days


def _worth(effective_eras: float) -> str:
    return "" if np.isnan(effective_eras) else f", worth {effective_eras:.0f} independent ones"


def _html(figures: dict[str, str]) -> str:
    return str(pd.Series(figures, dtype=object).to_frame().to_html(header=False))
