"""The audit of a file of predictions, of whose making nothing is known but the last era that was trained on."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, stdtr

from erawise.base.schema import LEAST_SPANS, TARGET, named_horizon, spanned_eras, spanned_weeks
from erawise.evaluation import significance
from erawise.lab import noise_tests, user_files, verdicts
from erawise.lab.verdicts import Audit, AuditTest
from erawise.running.errors import InputError

BOUNDARY, NEAR, LEVEL, BINS, OTHERS, MEMORY, ALIAS = (
    "boundary",
    "near against far",
    "level",
    "one era",
    "target columns",
    "autocorrelation",
    "alias",
)

TOO_GOOD = 0.10
"""Mean correlation that no honest prediction has: of real models .02 to .03 is good, and the embedded market's ceiling is below .1."""
DOUBTFUL = 0.06
COPIED = 0.5
"""Correlation in one era, or in the mean with one target, that only a copy of the target has."""
LEAST_ROWS = 20
"""Rows of an era below which a high correlation may be chance."""


@dataclass(frozen=True)
class Scored:
    """Predictions with what they are judged by.

    Attributes
    ----------
    prediction : by id.
    eras : era number by id.
    targets : all targets of the data by id.
    main : the target that the predictions are scored against.
    scores : rank correlation with it by era, in order.
    trained_to : the last era of training, as claimed.
    days : trading days that the target looks ahead.
    """

    prediction: pd.Series
    eras: pd.Series
    targets: pd.DataFrame
    main: str
    scores: pd.Series
    trained_to: int
    days: int

    @property
    def weeks(self) -> int:
        """Weeks that a target spans."""
        return spanned_weeks(self.days)

    @property
    def overlap(self) -> int:
        """Eras that a target spans."""
        return spanned_eras(self.scores.index.to_list(), self.weeks)


def audit_predictions(path: Path, directory: Path, trained_to: int, *, days: int = 60, column: str | None = None) -> Audit:
    """Test a file of predictions for leaks.

    Parameters
    ----------
    path : of Parquet or CSV with `id` and predictions.
    directory : data in Numerai's layout, which has the targets of the predicted rows.
    trained_to : the last era that the model was trained on, as claimed.
    days : trading days that the target looks ahead.
    column : of the predictions; None if there is only one.

    Raises
    ------
    InputError
        If the file or the data can't be read, or have no row in common.
    """
    prediction = user_files.read_predictions(path, column)
    eras, targets = user_files.read_targets(directory, prediction.index)
    main = TARGET if TARGET in targets else next(iter(targets.columns), None)
    if main is None:
        raise InputError(f"{directory}: it has no column {TARGET}")
    prediction = prediction.reindex(eras.index)
    scores = noise_tests.era_scores(prediction, targets[main], eras).sort_index()
    if scores.empty:
        raise InputError(f"{path}: no era of the predictions has a known {main} in {directory}")
    scored = Scored(prediction, eras, targets, main, scores, trained_to, days)
    level, near, memory = verdicts.adjusted([_level(scored), _near(scored), _memory(scored)], worst="suspect")
    exact = _boundary(scored), _one_era(scored), _target_columns(scored), _alias(targets, main, days)
    return Audit(str(path), (*exact, _too_good(level, scored), near, memory))


def _boundary(scored: Scored) -> AuditTest:
    """Test the claimed boundary against the horizon."""
    numbers = np.unique(scored.eras)
    inside = numbers[numbers <= scored.trained_to]
    near = numbers[(numbers > scored.trained_to) & (numbers < scored.trained_to + scored.weeks)]
    if len(inside):
        text = f"{len(inside)} predicted eras, up to {inside[-1]}, are eras of the training"
    elif len(near):
        text = (
            f"{len(near)} predicted eras, {near[0]} to {near[-1]}, share weeks of outcome with era {scored.trained_to}, the last of the "
            f"training; the first that doesn't is {scored.trained_to + scored.weeks}"
        )
    else:
        text = f"the first predicted era, {numbers[0]}, shares no week of outcome with era {scored.trained_to}"
    return verdicts.by_change(BOUNDARY, float(len(inside) + len(near)), 0.0, text)


def _level(scored: Scored) -> AuditTest:
    """Test whether the mean correlation is above the mean that real models have."""
    found = significance.mean(scored.scores.to_numpy(), overlap=scored.overlap)
    if found.reason:
        return verdicts.not_tested(LEVEL, found.reason)
    text = f"mean rank correlation {found.mean:.4f}, from {found.low:.4f} to {found.high:.4f}; real models have .02 to .03"
    return verdicts.by_chance(LEVEL, found.mean, _above(found, DOUBTFUL), text)


def _too_good(level: AuditTest, scored: Scored) -> AuditTest:
    """Return the test of the level, as a leak if the mean is above everything honest."""
    found = significance.mean(scored.scores.to_numpy(), overlap=scored.overlap)
    same = len(scored.scores) > 1 and scored.scores.nunique() == 1
    leaks = found.mean > TOO_GOOD if same else not found.reason and _above(found, TOO_GOOD) < verdicts.LEAKS_BELOW
    return replace(level, verdict="leaks") if leaks else level


def _above(found: significance.Mean, bound: float) -> float:
    """Return the p-value of a true mean at most `bound`."""
    error = found.mean / found.t_hac
    return float(stdtr(found.degrees, -(found.mean - bound) / error))


def _one_era(scored: Scored) -> AuditTest:
    """Test whether predictions agree with the target's own bins in an era as only a copy does."""
    known = scored.prediction.notna() & scored.targets[scored.main].notna()
    rows = scored.eras[known].value_counts().reindex(scored.scores.index)
    large = scored.scores[rows >= LEAST_ROWS]
    if large.empty:
        return verdicts.not_tested(BINS, f"no era has {LEAST_ROWS} rows")
    era = int(large.abs().idxmax())
    most = float(abs(large[era]))
    deviation = (np.arctanh(min(most, 1 - 1e-12)) - np.arctanh(COPIED)) * np.sqrt(rows[era] - 3)
    p = min(1.0, len(large) * 2 * float(ndtr(-deviation)))
    text = f"the largest rank correlation in one era is {most:.3f}, in era {era}"
    return AuditTest(BINS, "leaks" if p < verdicts.LEAKS_BELOW else "suspect" if most > COPIED else "clean", most, p, text)


def _target_columns(scored: Scored) -> AuditTest:
    """Test whether predictions are a copy of any column of targets."""
    others = [name for name in scored.targets if name != scored.main]
    if not others:
        return verdicts.not_tested(OTHERS, "the data has no other target")
    means = {name: noise_tests.mean_score(scored.prediction, scored.targets[name], scored.eras) for name in others}
    known = {name: abs(mean) for name, mean in means.items() if np.isfinite(mean)}
    if not known:
        return verdicts.not_tested(OTHERS, "no other target has values in these eras")
    name = max(known, key=lambda each: known[each])
    return verdicts.by_change(OTHERS, known[name], COPIED, f"of {len(known)} other targets, {name} agrees most: {known[name]:.3f}")


def _alias(targets: pd.DataFrame, main: str, days: int) -> AuditTest:
    """Test whether the main target is another name of one with another horizon."""
    equal = [name for name in (*user_files.equal_targets(targets, main), main) if named_horizon(name)]
    if not equal:
        return verdicts.not_tested(ALIAS, f"{main} equals no target with a horizon in its name")
    longest = max(named_horizon(name) or 0 for name in equal)
    text = f"{main} is {equal[0]}, which looks {longest} days ahead; the audit is for {days}"
    return verdicts.by_change(ALIAS, float(max(0, longest - days)), 0.0, text)


def _near(scored: Scored) -> AuditTest:
    """Test whether eras next to the training score better than eras further off."""
    scores, overlap = scored.scores, scored.overlap
    near = scores[(scores.index > scored.trained_to) & (scores.index < scored.trained_to + scored.weeks)].to_numpy()
    far = scores[scores.index >= scored.trained_to + scored.weeks].to_numpy()
    if not len(near):
        return verdicts.not_tested(NEAR, f"no predicted era is less than {scored.weeks} weeks after era {scored.trained_to}")
    if len(far) < LEAST_SPANS * overlap or far.max() == far.min():
        return verdicts.not_tested(NEAR, f"{len(far)} eras further off; expected {LEAST_SPANS * overlap}")
    degrees = significance.cosines(len(far), overlap)
    variance = significance.long_run_variance(far, degrees)
    difference = float(near.mean() - far.mean())
    t = difference / np.sqrt(variance * (1 / len(near) + 1 / len(far)))
    p = float(stdtr(degrees, -t))
    return verdicts.by_chance(NEAR, float(t), p, f"near eras score {near.mean():.4f}, far ones {far.mean():.4f}, t {t:.1f}, p {p:.2g}")


def _memory(scored: Scored) -> AuditTest:
    """Test whether scores of eras that share no outcome are alike, by the autocorrelation one span apart and Bartlett's formula."""
    scores, lag = scored.scores.to_numpy(), scored.overlap
    if len(scores) < LEAST_SPANS * lag or scores.max() == scores.min():
        return verdicts.not_tested(MEMORY, f"{len(scores)} eras; expected {LEAST_SPANS * lag}")
    deviation = scores - scores.mean()
    known = [float(deviation[k:] @ deviation[: len(deviation) - k]) / float(deviation @ deviation) for k in range(1, lag + 1)]
    z = known[-1] / np.sqrt((1 + 2 * sum(value**2 for value in known[:-1])) / len(scores))
    p = float(ndtr(-z))
    text = f"{scored.weeks} weeks apart the scores have an autocorrelation of {known[-1]:.2f}, z {z:.1f}, p {p:.2g}"
    return verdicts.by_chance(MEMORY, known[-1], p, text)


def of_data(directory: Path, days: int) -> AuditTest:
    """Test the alias of `target` in the user's data, for the audit of a function."""
    frame = user_files.read_all_targets(directory)
    main = TARGET if TARGET in frame else next(iter(frame.columns), None)
    if main is None:
        return verdicts.not_tested(ALIAS, f"{directory} has no targets")
    return _alias(frame, main, days)
