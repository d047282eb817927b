"""The proportion of the linear part to take out, chosen on `cv`, and for each fold without its test eras."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from erawise.base.schema import ERA, PREDICTION
from erawise.base.settings import Score
from erawise.blend.neutralization import Parts
from erawise.folds.splits import Plan
from erawise.scores.eras import Known, Sums, score_eras
from erawise.scores.kernels import NUMERAI, Floats

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The proportions to choose from."""

STAND_IN, CORR = "payout_bmc", "corr"
"""The columns of scores to choose by."""

DECIMALS = 6


@dataclass(frozen=True)
class Outcomes:
    """Targets and benchmark to score predictions against, on the rows of the predictions.

    Attributes
    ----------
    target : (rows,), NaN if it is unknown or not to be seen.
    benchmark : (rows,), the benchmark model of BMC, NaN in rows without one; None if no row has one.
    sums : the weights of the payout's stand-in, see `score_eras`; empty if nothing is paid.
    score : the correlation that stands for CORR.
    """

    target: Floats
    benchmark: Floats | None
    sums: Sums
    score: Score = NUMERAI


@dataclass(frozen=True)
class Choice:
    """The best proportion on some eras.

    Attributes
    ----------
    proportion : the proportion with the highest mean score, the least of several; 0 if no era has a score.
    by : the score, `payout_bmc` or `corr`.
    eras : the number of eras with that score for every proportion.
    means : the mean of the score, by proportion.
    """

    proportion: float
    by: str
    eras: int
    means: dict[str, float]


def choose(
    parts: Parts, cv: NDArray[np.bool_], outcomes: Outcomes, plan: Plan, learned: Callable[[int, NDArray[np.bool_]], Parts] | None = None
) -> tuple[Choice, list[Choice], Floats]:
    """Choose proportions on `cv`, and take so much of the linear part out of the prediction.

    - A fold's test eras have the proportion that is best on its training eras, so that `cv` stays out of fold.
    - Rows of other splits have the proportion that is best on all of `cv`.
    - The score is the payout's stand-in, or CORR if no era has the stand-in.
    - A proportion of 1 is no choice if it leaves nothing of the prediction in some era.

    Parameters
    ----------
    parts : of the prediction, in each fold's test eras by the fold's features.
    cv : (rows,), the rows of `cv`.
    outcomes : the outcomes of the rows; only the rows of `cv` are looked at.
    plan : the folds.
    learned : gives, for a fold's position and (rows,) the rows of its training eras, the parts of these rows by the fold's features.
        Without it all folds have the same features, and `parts` has them.

    Returns
    -------
    overall : the choice on all of `cv`.
    of_folds : the choice for the test eras of each fold.
    neutral : (rows,) in [0, 1], see `Parts.without`.
    """
    scored = cv & np.isfinite(outcomes.target)
    candidates = _candidates(parts)
    table = _scores({name: values[scored] for name, values in candidates.items()}, parts.era, scored, outcomes)
    overall = best(table, plan.train, candidates)
    neutral = candidates[str(overall.proportion)].copy()
    of_folds = []
    for number, fold in enumerate(plan.folds):
        rows = cv & np.isin(parts.era, fold.train)
        known = rows & scored
        if learned is None or not known.any():
            own = best(table, fold.train, candidates)
        else:
            values = {name: column[known[rows]] for name, column in _candidates(learned(number, rows), candidates).items()}
            own = best(_scores(values, parts.era, known, outcomes), fold.train, values)
        tested = cv & np.isin(parts.era, fold.test)
        neutral[tested] = candidates[str(own.proportion)][tested]
        of_folds.append(own)
    return overall, of_folds, neutral


def _candidates(parts: Parts, among: Collection[str] | None = None) -> dict[str, Floats]:
    """Return the prediction without each proportion of its linear part, by the proportion; only those `among` others if given."""
    allowed = [proportion for proportion in GRID if proportion < 1 or parts.emptied is None]
    return {str(proportion): parts.without(proportion) for proportion in allowed if among is None or str(proportion) in among}


def best(table: pd.DataFrame, eras: NDArray[np.int64], allowed: Iterable[str] = tuple(map(str, GRID))) -> Choice:
    """Choose a proportion on some eras.

    Parameters
    ----------
    table : of `score_eras`, each prediction named after its proportion.
    allowed : the names of the proportions, ascending.
    """
    rows, names = table[table[ERA].isin(eras)], list(allowed)
    for by in (STAND_IN, CORR):
        scores = rows.pivot(index=ERA, columns=PREDICTION, values=by).reindex(columns=names).dropna()
        if len(scores):
            means = scores.mean().round(DECIMALS)
            return Choice(float(means.idxmax()), by, len(scores), {str(name): float(mean) for name, mean in means.items()})
    return Choice(0.0, CORR, 0, {})


def _scores(candidates: dict[str, Floats], era: NDArray[np.int64], rows: NDArray[np.bool_], outcomes: Outcomes) -> pd.DataFrame:
    """Score the candidates, each of the rows that are marked, in the eras of these rows."""
    known = Known(benchmark=None if outcomes.benchmark is None else outcomes.benchmark[rows], score=outcomes.score)
    sums = {name: weights for name, weights in outcomes.sums.items() if name == STAND_IN}
    return score_eras(pd.DataFrame(candidates), outcomes.target[rows], era[rows], known, sums=sums)


def content(overall: Choice, of_folds: Sequence[Choice], formula: str) -> dict[str, Any]:
    """Return the choices as they are stored; `formula` names the stand-in and its regime, if any."""
    return {"formula": formula, "overall": asdict(overall), "folds": [asdict(one) for one in of_folds]}


def lines(chosen: dict[str, Any] | None) -> list[str]:
    """Return lines that tell the choices of `content` and the score that chose; no line if nothing was to be chosen."""
    if chosen is None:
        return []
    overall, folds = chosen["overall"], chosen["folds"]
    means = ", ".join(f"{float(proportion):g}: {mean:.4f}" for proportion, mean in overall["means"].items())
    each = ", ".join(f"{one['proportion']:g}" for one in folds)
    told = f"neutralize.proportion: auto has chosen {overall['proportion']:g} on cv, and for each fold, without its test eras, {each}"
    stand_in = f"the payout's stand-in {chosen['formula']}"
    if overall["by"] == STAND_IN:
        found = [f"{told}; by the mean over {overall['eras']} eras of {stand_in}: {means}"]
    else:
        found = [f"{told}; by mean CORR only, over {overall['eras']} eras: {means}"]
        found += [f"no era of cv has {stand_in}"] if chosen["formula"] else []
    others = [str(number) for number, one in enumerate(folds, 1) if one["by"] != overall["by"] and one["eras"]]
    empty = [str(number) for number, one in enumerate(folds, 1) if not one["eras"]]
    found += [f"neutralize.proportion: by mean CORR only for fold {', '.join(others)}"] if others else []
    return found + ([f"neutralize.proportion: 0 for fold {', '.join(empty)}, no training era of which has a prediction"] if empty else [])
