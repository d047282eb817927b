"""The explanation of a model: how much each feature adds to its predictions, and how much CORR the predictions lose without it.

Nothing here may choose anything, because it looks at the validation eras, which the model wasn't trained on. It looks at the train eras
only if the purge has left no validation era.
"""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import ERA, VALIDATION
from erawise.base.settings import Score
from erawise.base.threads import one_of_blas
from erawise.explanation.explained import Explanation, Sample
from erawise.explanation.settings import Explain
from erawise.folds.splits import Plan, spaced
from erawise.models.shared.protocol import PREDICTION_UNIT, Attribution, Fitted
from erawise.panel import groups
from erawise.panel.panel import FeatureMap, Panel, View, era_slices
from erawise.running.progress import SILENT, UNCOUNTED, Progress, StepCounter
from erawise.scores import kernels
from erawise.scores.eras import MIN_COVERAGE

Floats = NDArray[np.float64]

BLOCK_BYTES = 32 * 2**20
BLOCK_ROWS = 256
"""Limits of a block: bytes of the contributions that are held at a time, and their rows. The progress is told after each block."""

ROUNDING = 1e-9
"""Contributions whose spread is below this share of their size are constant."""

TRAIN = "train"
BLEND_UNIT = "standard deviations of each variant"


@dataclass(frozen=True)
class Evidence:
    """The data that a model is explained by.

    Parameters
    ----------
    panel : a panel with the target of the eras, NaN if unknown.
    features : the features that the model sees.
    plan : its validation eras are looked at. If the purge has left none, the train eras are, and no feature is shuffled.
    target : the target that the predictions are scored against.
    """

    panel: Panel
    features: FeatureMap
    plan: Plan
    target: str


def explain(models: Sequence[Fitted], data: Evidence, settings: Explain, threads: int, progress: Progress = SILENT) -> Explanation:
    """Explain a model, of one variant or several that are blended.

    Parameters
    ----------
    models : the fitted variants of the model.
    data : the data that explain it.
    settings : how many rows, eras and features to look at.
    threads : the number of threads; the result doesn't depend on it.
    progress : told of the rows that are explained, and of the eras in which features are shuffled.

    Raises
    ------
    InputError
        If the model was fitted on other features.
    """
    panel, features, plan = data.panel, data.features, data.plan
    split, eras = (VALIDATION, plan.validation) if len(plan.validation) else (TRAIN, plan.train)
    sampled = spaced(eras, settings.eras)
    with one_of_blas():
        x, era = draw(models, View(panel, sampled, features), settings.rows, settings.seed)
        rng = np.random.default_rng(settings.seed)
        drawn = np.sort(rng.choice(len(x), min(settings.background, len(x)), replace=False))
        shown = np.sort(rng.choice(len(x), min(settings.points, len(x)), replace=False))
        attribution = attribute(models, x, x[drawn], threads)
        if attribution is None:
            with progress.counting(x.shape[1], "features", "changes") as count:
                moments = changed(models, x[shown], settings.seed, count)
            shown, kept, predictions = shown[:0], np.zeros((0, x.shape[1])), predicted(models, x)
            unit, base, unknown = PREDICTION_UNIT, float(predictions.mean()), ["mean_abs", "share", "direction"]
        else:
            with progress.counting(len(x), "rows", "contributions") as count:
                moments, kept = summarized(attribution, x, shown, count)
            predictions, unit, base, unknown = attribution.predict(x), attribution.unit, attribution.base, list[str]()
        shap = _shap(features.names, panel.feature_sets, moments)
        leading = shap.index[: settings.top_features].to_numpy()
        permuted = spaced(_known(panel, plan.validation, data.target), settings.permuted_eras)
        shuffled = View(panel, permuted, features, data.target)
        with progress.counting(len(permuted), "eras", "shuffled features") as count:
            drops = permutation(models, shuffled, leading, settings.permuted_rows, settings.seed, threads, count)
    return Explanation(
        shap.assign(**dict.fromkeys(unknown, np.nan)).reset_index(drop=True),
        _points(features.names, leading, x[shown], era[shown], kept),
        drops,
        _importance(models, features.names),
        Sample(unit, base, float(predictions.std()), len(models), len(x), split, sampled.tolist(), permuted.tolist()),
    )


def report(name: str, found: Explanation) -> list[str]:
    """Return lines that tell the feature that drives a model most, and warn if the validation eras lack something."""
    first, sample = found.shap.iloc[0], found.sample
    lines = [f"{name}: {first['feature']} drives it most, {first['share']:.1%} of all contributions in {sample.rows:,} {sample.split} rows"]
    if np.isnan(first["share"]):
        lines = [f"{name}: {first['feature']} drives it most: shuffling it changes the predictions most; its kind has no SHAP values"]
    elif not first["share"] > 0:
        lines = [f"{name}: nothing drives it: its predictions are the same for all {sample.rows:,} {sample.split} rows"]
    if sample.split != VALIDATION:
        lines.append(f"{name}: the purge has left no validation era; these are eras that it was trained on")
    if not sample.permuted_eras:
        lines.append(f"{name}: no validation era has a target, so that no feature was shuffled to see how far CORR falls")
    return lines


def draw(models: Sequence[Fitted], view: View, rows: int, seed: int) -> tuple[NDArray, NDArray[np.int64]]:
    """Draw about `rows` rows of a view, the same number of each era and of each level of the prediction.

    An era's rows are ordered by the prediction and cut into as many equal runs as rows are wanted. One row is drawn from each run.

    Returns
    -------
    (n, features) and the (n,) era of each.
    """
    eras = np.unique(view.era)
    wanted = max(1, rows // max(len(eras), 1))
    picked = []
    for number, block in zip(eras, view.blocks(), strict=True):
        rng = np.random.default_rng([seed, int(number)])
        order = np.argsort(predicted(models, block), kind="stable")
        runs = np.array_split(order, min(wanted, len(order)))
        picked.append(block[np.sort([run[rng.integers(len(run))] for run in runs])])
    return np.concatenate(picked), np.repeat(eras, [len(block) for block in picked])


def predicted(models: Sequence[Fitted], x: NDArray) -> Floats:
    """Predict the rows of an era: by the only variant, or by the mean of the gaussianized predictions of several variants."""
    if len(models) == 1:
        return models[0].predict(x)
    return np.mean([kernels.gaussianize(model.predict(x)) for model in models], axis=0)


def attribute(models: Sequence[Fitted], x: NDArray, background: NDArray, threads: int) -> Attribution | None:
    """Return the attribution of a model; None if its kind has none.

    Variants are blended with the same spread, like their ranks: each one's contributions are divided by the standard deviation of its
    predictions of `x`, then averaged. They add up to the mean of the standardised predictions. A variant with constant predictions
    adds nothing.
    """
    parts = [part for model in models if (part := model.attribution(x, background, threads)) is not None]
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    values = [part.predict(x) for part in parts]
    middles = [float(value.mean()) for value in values]
    weights = [0.0 if np.ptp(value) == 0 else 1 / (len(parts) * float(value.std())) for value in values]

    def contributions(rows: NDArray) -> Floats:
        total = np.zeros(rows.shape)
        for part, weight in zip(parts, weights, strict=True):
            total += weight * part.contributions(rows)
        return total

    def predict(rows: NDArray) -> Floats:
        return np.sum([w * (part.predict(rows) - m) for part, w, m in zip(parts, weights, middles, strict=True)], axis=0)

    base = sum(weight * (part.base - middle) for part, weight, middle in zip(parts, weights, middles, strict=True))
    return Attribution(BLEND_UNIT, float(base), contributions, predict)


@dataclass(frozen=True)
class Moments:
    """The mean absolute contribution of each feature over the sample, and its correlation with the feature's value."""

    mean_abs: Floats
    direction: Floats


def summarized(attribution: Attribution, x: NDArray, shown: NDArray[np.int64], count: StepCounter = UNCOUNTED) -> tuple[Moments, Floats]:
    """Sum contributions, a block of rows at a time, and keep the contributions (shown, features) of the rows `shown` (sorted)."""
    width = x.shape[1]
    absolute, sums, squares, products = np.zeros(width), np.zeros((2, width)), np.zeros((2, width)), np.zeros(width)
    kept, origin = [], np.zeros((2, width))
    for start, block in _blocks(x):
        found = attribution.contributions(block)
        absolute += np.abs(found).sum(axis=0)
        kept.append(found[shown[(shown >= start) & (shown < start + len(block))] - start])
        if not start:
            origin = np.array([block[0].astype(np.float64), found[0]])
        values, found = block - origin[0], found - origin[1]
        for number, shifted in enumerate((values, found)):
            sums[number] += shifted.sum(axis=0)
            squares[number] += np.einsum("ij,ij->j", shifted, shifted)
        products += np.einsum("ij,ij->j", values, found)
        count.done(len(block))
    mean_abs, means = absolute / len(x), sums / len(x)
    spread = np.sqrt(np.maximum(squares / len(x) - means**2, 0.0))
    varies = (spread[0] > ROUNDING) & (spread[1] > ROUNDING * mean_abs)
    scale = np.where(varies, spread[0] * spread[1], np.nan)
    return Moments(mean_abs, np.clip((products / len(x) - means[0] * means[1]) / scale, -1.0, 1.0)), np.concatenate(kept)


def changed(models: Sequence[Fitted], x: NDArray, seed: int, count: StepCounter = UNCOUNTED) -> Moments:
    """Return the mean absolute change of the predictions of some rows when a feature is shuffled, in place of its contributions.

    The direction is NaN.
    """
    before, shuffled, found = predicted(models, x), x.copy(), np.zeros(x.shape[1])
    for column in range(x.shape[1]):
        shuffled[:, column] = np.random.default_rng([seed, column]).permutation(x[:, column])
        found[column] = np.abs(predicted(models, shuffled) - before).mean()
        shuffled[:, column] = x[:, column]
        count.done()
    return Moments(found, np.full(x.shape[1], np.nan))


def _blocks(x: NDArray) -> Iterator[tuple[int, NDArray]]:
    rows = min(max(1, BLOCK_BYTES // (np.dtype(np.float64).itemsize * (x.shape[1] + 1))), BLOCK_ROWS)
    for start in range(0, len(x), rows):
        yield start, x[start : start + rows]


def permutation(
    models: Sequence[Fitted],
    view: View,
    columns: NDArray[np.int64],
    rows: int,
    seed: int,
    threads: int,
    count: StepCounter = UNCOUNTED,
) -> pd.DataFrame:
    """Measure how far CORR falls in each era of a view with a target if a feature is shuffled within the era.

    From an era of more than `rows` rows, `rows` are drawn. Rows without a target are left out.

    Returns
    -------
    DataFrame of `feature`, `era`, `drop`.
    """

    def of_era(item: tuple[int, NDArray, Floats]) -> list[float]:
        era, block, target = item
        rng = np.random.default_rng([seed, era])
        if len(block) > rows:
            chosen = np.sort(rng.choice(len(block), rows, replace=False))
            block, target = block[chosen], target[chosen]
        whole, shuffled = _corr(predicted(models, block), target, score), block.copy()
        drops = []
        for column in columns:
            shuffled[:, column] = rng.permutation(block[:, column])
            drops.append(whole - _corr(predicted(models, shuffled), target, score))
            shuffled[:, column] = block[:, column]
        count.done()
        return drops

    slices, score = era_slices(view.era), view.panel.score
    eras = np.array([view.era[own.start] for own in slices], np.int64)
    targets = [view.target[own].astype(np.float64) for own in slices]
    items = zip(eras.tolist(), view.blocks(), targets, strict=True)
    found: list[list[float]] = []
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(itertools.islice(items, threads)):  # reads only as many eras as threads work on
            found += pool.map(of_era, batch)
    names = [view.names[column] for column in columns]
    drops = np.array(found, np.float64).reshape(len(eras), len(names))
    return pd.DataFrame({"feature": np.repeat(names, len(eras)), ERA: np.tile(eras, len(names)), "drop": drops.T.ravel()})


def _corr(prediction: Floats, target: Floats, score: Score) -> float:
    if kernels.is_constant(prediction):
        return np.nan
    return float(kernels.correlation(score, prediction[:, None], target, target.mean())[0])


def _known(panel: Panel, eras: NDArray[np.int64], target: str) -> NDArray[np.int64]:
    """Return the eras that have the target in as many rows as a score needs."""
    values = panel.index[target].to_numpy()
    return np.array([era for era in eras if np.mean(~np.isnan(values[panel.rows(int(era))])) >= MIN_COVERAGE], np.int64)


def _shap(names: Sequence[str], feature_sets: dict[str, list[str]], moments: Moments) -> pd.DataFrame:
    """Return the table `shap` of `Explanation`; its index is the features' positions."""
    total = moments.mean_abs.sum()
    frame = pd.DataFrame(
        {
            "feature": names,
            "group": groups.first_group(names, feature_sets),
            "mean_abs": moments.mean_abs,
            "share": moments.mean_abs / total if total > 0 else 0.0,
            "direction": moments.direction,
        }
    )
    return frame.sort_values("mean_abs", ascending=False, kind="stable")


def _points(names: Sequence[str], leading: NDArray[np.int64], x: NDArray, era: NDArray[np.int64], kept: Floats) -> pd.DataFrame:
    pieces = [
        pd.DataFrame({"rank": rank, "feature": names[k], ERA: era, "value": x[:, k].astype(np.float64), "shap": kept[:, k]})
        for rank, k in enumerate(leading.tolist(), 1)
    ]
    return pd.concat(pieces, ignore_index=True)


def _importance(models: Sequence[Fitted], names: Sequence[str]) -> pd.DataFrame:
    """Average the variants' shares, the largest gain first."""
    found = [shares for model in models if (shares := model.tree_importance()) is not None]
    gain, split = np.mean(found, axis=0) if found else np.full((2, len(names)), np.nan)
    return pd.DataFrame({"feature": names, "gain": gain, "split": split}).sort_values("gain", ascending=False, kind="stable")
