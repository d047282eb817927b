"""A search for a model's settings on purged cross-validation, with weak trials stopped early.

Every choice here is made on `cv` alone. Settings are drawn by Optuna, at random or by its tree-structured Parzen estimator;
each trial's scores are kept in a file, so that a search that was stopped goes on where it was, and ends as it would have.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from erawise import params, significance, splits
from erawise.progress import SILENT, Count, Progress
from erawise.scores.summary import mean_or_sharpe

Floats = NDArray[np.float64]

Fold = tuple[NDArray[np.int64], Floats]
"""The eras of a fold's test, and the CORR of each; NaN where the prediction is constant."""

Attempt = Callable[[dict[str, Any], Sequence[int]], list[Fold]]
"""Train with some settings in place of the model's in the folds of these numbers, and score each."""

DEFAULT, EVIDENCE = "default", "folds"
PARTS, LEAST_SPANS = 10, 2
"""Blocks of eras that the test of overfitting chooses from, each at least so many spans of a target long."""


@dataclass(frozen=True)
class Trial:
    """Settings that were tried.

    Attributes
    ----------
    settings : by name; empty for those of the model.
    folds : what was found, in the order of the folds; fewer than there are where the trial was stopped.
    """

    settings: dict[str, Any]
    folds: list[Fold]


@dataclass(frozen=True)
class Found:
    """The end of a search.

    Attributes
    ----------
    default : the model's own settings, tried in every fold.
    whole : trials that went through every fold.
    stopped : how many others there were.
    """

    default: Trial
    whole: list[Trial]
    stopped: int


def search(
    settings: params.Tuning,
    space: params.Space,
    folds: int,
    attempt: Attempt,
    storage: Path,
    identity: str,
    say: Callable[[str], None],
    progress: Progress = SILENT,
) -> Found:
    """Try settings until there are as many trials as asked for.

    Parameters
    ----------
    settings : method, number of trials, objective, halving and seed.
    space : where to look for each setting.
    folds : how many there are.
    attempt : trains and scores.
    storage : an SQLite file that keeps the trials; one that a stopped search has left goes on.
    identity : another one for other data, folds or settings of the model: their trials are not taken up.
    say : told of each trial.
    progress : told of each fold that is tried, of all trials and of the model's own settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    place = f"sqlite:///{storage}"
    study = optuna.create_study(storage=place, study_name=identity, direction="maximize", load_if_exists=True)
    for other in set(optuna.get_all_study_names(place)) - {identity}:
        optuna.delete_study(study_name=other, storage=place)
    kept = study.user_attrs.get(DEFAULT)
    stored = _done(study)
    tried = sum(len(trial.user_attrs[EVIDENCE]) for trial in stored) + (folds if kept else 0)
    left = folds * max(0, settings.trials - len(stored)) + (0 if kept else folds)
    with progress.counting(tried + left, "folds", done=tried, at_most=settings.halving is not None) as count:
        default = Trial({}, _unpacked(kept) if kept else _counted(attempt({}, range(folds)), count))
        study.set_user_attr(DEFAULT, _packed(default.folds))
        say(f"as it is: {objective(default.folds, settings):.5f}")
        while (number := len(_done(study))) < settings.trials:
            study.sampler = _sampler(settings, number)
            trial = study.ask({name: _distribution(values) for name, values in space.items()})
            drawn = _drawn(trial.params, space)
            found = _climb(trial, drawn, study, settings, folds, attempt, count)
            count.expect(len(found) - folds)
            whole = len(found) == folds
            value = objective(found, settings)
            trial.set_user_attr(EVIDENCE, _packed(found))
            study.tell(trial, value if whole else None, TrialState.COMPLETE if whole else TrialState.PRUNED)
            stop = "" if whole else f", stopped after {len(found)} of {folds} folds"
            say(f"trial {number + 1} of {settings.trials}: {value:.5f}{stop}: {json.dumps(drawn)}")
    trials = [Trial(_drawn(t.params, space), _unpacked(t.user_attrs[EVIDENCE])) for t in _done(study)]
    complete = [trial for trial in trials if len(trial.folds) == folds]
    return Found(default, complete, len(trials) - len(complete))


def objective(folds: Sequence[Fold], settings: params.Tuning) -> float:
    """Mean or Sharpe of the CORR over all eras, less the penalty times the std of that figure between folds (ddof 0)."""
    corr = [values for _, values in folds]
    figures = [mean_or_sharpe(values, settings.objective) for values in corr]
    return mean_or_sharpe(np.concatenate(corr), settings.objective) - settings.penalty * float(np.std(figures))


def result(found: Found, settings: params.Tuning, overlap: int) -> dict[str, Any]:
    """What a search has found, as the content of a model's JSON; `settings` are empty where none are better than the model's own.

    `against_default` is the paired difference of the best trial's per-era CORR and that of the model's own settings, see
    `significance.paired_difference`; `overfitting` the probability that the best of the trials by one half of the eras is below
    their median in the other, see `overfitting`. What can't be given is absent.
    """
    best = max([found.default, *found.whole], key=lambda trial: objective(trial.folds, settings))
    content: dict[str, Any] = {
        "settings": best.settings,
        "objective": objective(best.folds, settings),
        "default_objective": objective(found.default.folds, settings),
        "trials": len(found.whole) + found.stopped,
        "stopped": found.stopped,
    }
    share = overfitting([found.default, *found.whole], overlap)
    if np.isfinite(share):
        content["overfitting"] = share
    if best is not found.default:
        series, own = (_series(trial)[1] for trial in (best, found.default))
        difference = significance.paired_difference(series, own, overlap=overlap)
        interval = {"low": difference.low, "high": difference.high} if np.isfinite(difference.low) else {"reason": difference.reason}
        content["against_default"] = {
            "verdict": difference.verdict,
            "eras": difference.eras,
            "mean": difference.mean,
            **interval,
        }
    return content


def overfitting(trials: Sequence[Trial], overlap: int) -> float:
    """Probability that the best of some trials on half of the eras is below their median on the rest.

    NaN with fewer than two trials, or too few eras. The halves are those of combinatorial purged cross-validation: eras that
    share their outcome with one of the other half choose nothing.
    """
    if len(trials) < 2:
        return np.nan
    eras = _series(trials[0])[0]
    scores = np.nan_to_num(np.array([_series(trial)[1] for trial in trials]).T)
    blocks = min(PARTS, len(eras) // (LEAST_SPANS * overlap) // 2 * 2)
    if blocks < 4:
        return np.nan
    weeks = int(np.median(np.diff(eras))) * (overlap - 1)
    halves = splits.combinatorial(eras, blocks, blocks // 2, weeks)
    inside, outside = (
        np.array([np.isin(eras, part) for part in parts]) for parts in zip(*((h.train, h.test) for h in halves), strict=True)
    )
    return significance.overfitting_probability(scores, inside, outside)


def sentence(content: dict[str, Any]) -> str:
    """What a person should know of the result."""
    if not content["settings"]:
        return f"none of {content['trials']} trials is better than the settings that it has"
    against = content["against_default"]
    interval = f" ({against['low']:+.4f} … {against['high']:+.4f})" if "low" in against else f" ({against['reason']})"
    chosen = ", ".join(f"{key} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in content["settings"].items())
    text = f"{chosen}: CORR {against['mean']:+.4f}{interval} against its own settings on {against['eras']} cv eras: {against['verdict']}"
    if "overfitting" in content:
        text += (
            f"; the best of the trials on half of the eras is below their median on the rest with probability {content['overfitting']:.2f}"
        )
    return text


def _climb(
    trial: optuna.Trial, drawn: dict[str, Any], study: optuna.Study, settings: params.Tuning, folds: int, attempt: Attempt, count: Count
) -> list[Fold]:
    """Fold after fold, as long as the trial is among the best that came so far."""
    found: list[Fold] = []
    while len(found) < folds:
        step = folds if settings.halving is None else min(folds, max(1, len(found) * 2))
        found += _counted(attempt(drawn, range(len(found), step)), count)
        value = objective(found, settings)
        others = [t.intermediate_values[step] for t in _done(study) if step in t.intermediate_values]
        trial.report(value, step)
        if settings.halving is not None and step < folds and not _goes_on(value, others, settings.halving):
            break
    return found


def _counted(folds: list[Fold], count: Count) -> list[Fold]:
    count.done(len(folds))
    return folds


def _goes_on(value: float, others: Sequence[float], factor: int) -> bool:
    """Whether a value is among the best `1 / factor`, rounded up, of itself and the others."""
    return sum(other > value for other in others) < -(-(len(others) + 1) // factor)


def _sampler(settings: params.Tuning, number: int) -> optuna.samplers.BaseSampler:
    """Of one trial: seeded by its number, so that it draws the same after a search was stopped."""
    seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0])
    if settings.method == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, constant_liar=False)  # a killed trial counts as running for ever


def _distribution(values: params.Range | params.Choices) -> BaseDistribution:
    if isinstance(values, params.Choices):
        return CategoricalDistribution(tuple(range(len(values.choices))))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(float(values.low), float(values.high), log=values.log)


def _drawn(found: dict[str, Any], space: params.Space) -> dict[str, Any]:
    """Settings from what Optuna has drawn, which for choices is their number."""
    settings = {}
    for name, value in found.items():
        values = space[name]
        settings[name] = values.choices[value] if isinstance(values, params.Choices) else value
    return settings


def _done(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that came to an end; one that was killed has none."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _series(trial: Trial) -> Fold:
    """Eras in their order, and the CORR of each."""
    eras, corr = (np.concatenate(parts) for parts in zip(*trial.folds, strict=True))
    order = np.argsort(eras)
    return eras[order], corr[order]


def _packed(folds: Sequence[Fold]) -> list[list[list[float | None]]]:
    return [[eras.tolist(), [value if np.isfinite(value) else None for value in corr.tolist()]] for eras, corr in folds]


def _unpacked(content: list[list[list[float | None]]]) -> list[Fold]:
    return [(np.array(eras, np.int64), np.array(corr, np.float64)) for eras, corr in content]
