"""Tests by chance: what a function finds in targets that nothing can be known of, in several independent draws.

The scores of the eras of one draw depend on each other: targets overlap, and in k-fold era a is predicted from era b and b from a. So
each draw counts as one value, its mean score, and Student's t of these values has the right size whatever is inside a draw.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.special import stdtr

from erawise.lab import made_data, verdicts
from erawise.lab.called import Recipe
from erawise.lab.made_data import Floats, MadeData
from erawise.lab.verdicts import AuditTest

SHUFFLED, OVERLAPPING = "shuffled targets", "overlapping noise"
DRAWS = 5


def audit(recipe: Recipe, draws: Iterator[MadeData], weeks: int, seed: int) -> list[AuditTest]:
    """Make both tests by chance, without the adjustment for their number.

    Parameters
    ----------
    recipe : the function.
    draws : data, another one for each call.
    weeks : that a target spans.
    seed : of the targets.
    """
    rng = np.random.default_rng(seed)
    laws: dict[str, Callable[[MadeData], pd.Series]] = {
        SHUFFLED: lambda data: made_data.shuffled(data, rng),
        OVERLAPPING: lambda data: made_data.overlapping(data, weeks, rng),
    }
    return [_judged(name, np.array([_score(recipe, next(draws), law) for _ in range(DRAWS)])) for name, law in laws.items()]


def _score(recipe: Recipe, data: MadeData, law: Callable[[MadeData], pd.Series]) -> float:
    target = law(data)
    return mean_score(recipe(data.features, target, data.eras), target, data.eras)


def mean_score(prediction: pd.Series, target: pd.Series, eras: pd.Series) -> float:
    """Return the mean over eras of the Spearman correlation of predictions with targets; an era with a constant prediction counts as 0."""
    scores = era_scores(prediction, target, eras)
    return float(scores.mean()) if len(scores) else np.nan


def era_scores(prediction: pd.Series, target: pd.Series, eras: pd.Series) -> pd.Series:
    """Return the rank correlation of predictions with targets in each era that has both."""
    known = prediction.notna() & target.notna()
    ranks = pd.DataFrame({"p": prediction[known].groupby(eras[known]).rank(), "t": target[known].groupby(eras[known]).rank()})
    centred = ranks - ranks.groupby(eras[known]).transform("mean")
    sums = pd.DataFrame({"pt": centred.p * centred.t, "pp": centred.p**2, "tt": centred.t**2}).groupby(eras[known]).sum()
    return sums.pt / np.sqrt(sums.pp * sums.tt).replace(0, np.inf)


def _judged(name: str, means: Floats) -> AuditTest:
    spread = means.std(ddof=1)
    if not spread > 0:
        return verdicts.not_tested(name, "predictions are constant in every era")
    t = float(means.mean() / (spread / np.sqrt(len(means))))
    p = float(stdtr(len(means) - 1, -t))
    return verdicts.by_chance(name, t, p, f"mean rank correlation {means.mean():.4f} in {len(means)} draws, t {t:.1f}, p {p:.2g}")
