"""A search for a model's settings on purged cross-validation, with weak trials stopped early.

Every choice here is made only on `cv`. Optuna draws the settings, at random or by its tree-structured Parzen estimator. A file keeps
each trial's scores, so that a search that was stopped continues, and ends as it would have. No trial is ever deleted from the file.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from erawise.evaluation import objectives, significance
from erawise.evaluation.summary import mean_or_sharpe
from erawise.folds import splits
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress, StepCounter
from erawise.tuning.settings import Choices, Range, Space, Tuning

Floats = NDArray[np.float64]

Fold = tuple[NDArray[np.int64], Floats]
"""The test eras of a fold, and the value of the objective in each; NaN if the prediction is constant."""

Attempt = Callable[[dict[str, Any], Sequence[int]], list[Fold]]
"""Trains with some settings in place of the model's own in the folds of these numbers, and scores each."""

Together = Callable[[Sequence[Callable[[], list[Fold]]]], Iterable[list[Fold]]]
"""Calls some functions, and returns their results in that order."""

RANDOM = "random"
DEFAULT, EVIDENCE = "default", "folds"
PARTS, LEAST_SPANS = 10, 2
"""Blocks of eras that the test of overfitting chooses from at most, and the least length of each in spans of a target."""


@dataclass(frozen=True)
class Trial:
    """A trial of some settings.

    Attributes
    ----------
    settings : by name; empty for the model's own settings.
    folds : the scores in the order of the folds; not of all folds if the trial was stopped.
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
    stopped : the number of other trials.
    """

    default: Trial
    whole: list[Trial]
    stopped: int


def one_after_the_other(calls: Sequence[Callable[[], list[Fold]]]) -> list[list[Fold]]:
    """Call some functions, and return their results."""
    return [call() for call in calls]


@dataclass(frozen=True)
class Search:
    """A search to make.

    Parameters
    ----------
    settings : method, number of trials, objective, halving and seed.
    space : the values to choose from, for each setting.
    folds : the number of folds.
    attempt : trains and scores.
    notify : told of each trial, and of the number of other searches that the file keeps.
    progress : told of each fold that is tried, of all trials and of the model's own settings.
    together : calls several attempts, and returns their results.
    at_once : trials of a random search that are tried together, which doesn't change the result. Other methods try
        `settings.batch` together, each drawn without knowing the others of its batch.
    """

    settings: Tuning
    space: Space
    folds: int
    attempt: Attempt
    notify: Callable[[str], None]
    progress: Progress = SILENT
    together: Together = one_after_the_other
    at_once: int = 1


def search(asked: Search, storage: Path, identity: str) -> Found:
    """Try settings until there are as many trials as asked for.

    Parameters
    ----------
    storage : an SQLite file that keeps the trials; a search that was stopped continues from it.
    identity : differs for other data, folds, settings or code. Their trials stay in the file, and are used again if they return.

    Raises
    ------
    InputError
        If the trials can't be kept or read.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    with _keeping(storage):
        return _searched(_opened(storage, identity, asked.notify), asked)


def _opened(storage: Path, identity: str, notify: Callable[[str], None]) -> optuna.Study:
    """Open the study of a search, and notify of the number of others in the file."""
    kept = optuna.storages.RDBStorage(f"sqlite:///{storage}")
    study = optuna.create_study(storage=kept, study_name=identity, direction="maximize", load_if_exists=True)
    others = len(optuna.get_all_study_names(kept)) - 1
    if others:
        counted = "1 earlier search" if others == 1 else f"{others} earlier searches"
        notify(f"{counted} with other settings, data or code {'is' if others == 1 else 'are'} kept in {storage}")
    return study


@contextmanager
def _keeping(storage: Path) -> Iterator[None]:
    """Turn an error of the file that keeps the trials into one line.

    Raises
    ------
    InputError
        If the disk is full, or the file is damaged or in use.
    """
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, sqlite3.Error):
            cause = cause.__cause__
        if cause is None:
            raise
        raise InputError(
            f"{storage}: the trials cannot be kept or read ({cause}); check free space and permissions, and move a damaged file away"
        ) from error


def _searched(study: optuna.Study, asked: Search) -> Found:
    """Run a study until it has as many trials as asked for."""
    settings, folds = asked.settings, asked.folds
    kept = study.user_attrs.get(DEFAULT)
    stored = _done(study)
    tried = sum(len(trial.user_attrs[EVIDENCE]) for trial in stored) + (folds if kept else 0)
    left = folds * max(0, settings.trials - len(stored)) + (0 if kept else folds)
    with asked.progress.counting(tried + left, "folds", done=tried, at_most=settings.halving is not None) as count:
        default = Trial({}, _unpacked(kept) if kept else _counted(asked.attempt({}, range(folds)), count))
        study.set_user_attr(DEFAULT, _packed(default.folds))
        asked.notify(f"as it is: {objective(default.folds, settings):.5f}")
        size = asked.at_once if settings.method == RANDOM else settings.batch
        while (number := len(_done(study))) < settings.trials:
            start = number // size * size  # a batch of a search that was stopped is drawn as before
            drawn = [_draw(study, settings, asked.space, k, start) for k in range(number, min(settings.trials, start + size))]
            climbs = [_Climb(trial, _drawn(trial.params, asked.space)) for trial in drawn]
            _climb(climbs, _done(study), asked, count)
            for k, climb in enumerate(climbs, number + 1):
                count.expect(len(climb.folds) - folds)
                whole, value = len(climb.folds) == folds, objective(climb.folds, settings)
                study.add_trial(climb.ended(value, whole=whole))
                stop = "" if whole else f", stopped after {len(climb.folds)} of {folds} folds"
                asked.notify(f"trial {k} of {settings.trials}: {value:.5f}{stop}: {json.dumps(climb.settings)}")
    trials = [Trial(_drawn(t.params, asked.space), _unpacked(t.user_attrs[EVIDENCE])) for t in _done(study)]
    complete = [trial for trial in trials if len(trial.folds) == folds]
    return Found(default, complete, len(trials) - len(complete))


def objective(folds: Sequence[Fold], settings: Tuning) -> float:
    """Return the objective over all eras, less the penalty times the std of this figure between folds (ddof 0).

    A fold without an era that can be scored doesn't count; 0 if no fold has one.
    """
    known = [values for _, values in folds if len(values)]
    if not known:
        return 0.0
    statistic = objectives.statistic(settings.objective)
    figures = [mean_or_sharpe(values, statistic) for values in known]
    return mean_or_sharpe(np.concatenate(known), statistic) - settings.penalty * float(np.std(figures))


def result(found: Found, settings: Tuning, overlap: int) -> dict[str, Any]:
    """Return the result of a search as the content of a model's JSON; figures that can't be given are absent.

    - `settings`: the best trial's settings; empty if no trial is better than the model's own settings.
    - `by`: the name of the objective.
    - `against_default`: the paired difference of the best trial and the model's own settings in the objective, see
      `significance.differences`. `verdict_holm` is the verdict once Holm has adjusted it for all trials.
    - `overfitting`: see `overfitting`.

    A model with several seeds also has `seed_std`, see `seed_spread`.
    """
    best = max([found.default, *found.whole], key=lambda trial: objective(trial.folds, settings))
    content: dict[str, Any] = {
        "settings": best.settings,
        "by": settings.objective,
        "objective": objective(best.folds, settings),
        "default_objective": objective(found.default.folds, settings),
        "trials": len(found.whole) + found.stopped,
        "stopped": found.stopped,
    }
    share = overfitting([found.default, *found.whole], overlap)
    if np.isfinite(share):
        content["overfitting"] = share
    if best is not found.default:
        statistic = objectives.statistic(settings.objective)
        own = _series(found.default)[1]
        number = next(k for k, trial in enumerate(found.whole) if trial is best)
        against = [significance.differences(_series(trial)[1], own, statistic) for trial in found.whole]
        tests = [significance.mean(values, overlap=overlap) for values in against]
        adjusted = significance.holm([*(one.p_value for one in tests), *[1.0] * found.stopped])
        difference = tests[number]
        interval = {"low": difference.low, "high": difference.high} if np.isfinite(difference.low) else {"reason": difference.reason}
        content["against_default"] = {
            "verdict": difference.verdict,
            "verdict_holm": significance.verdict_after(difference.verdict, adjusted[number]),
            "eras": difference.eras,
            "mean": difference.mean,
            **interval,
        }
    return content


def overfitting(trials: Sequence[Trial], overlap: int) -> float:
    """Return how often the best of some trials on half of the eras is below their median on the other half.

    NaN with fewer than two trials, or too few eras. Combinatorial purged cross-validation makes the halves: eras whose target overlaps
    the other half don't choose.
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


def seed_spread(seeds: Sequence[Sequence[Fold]], statistic: str) -> dict[str, float]:
    """Return `seed_std`, the standard deviation (ddof 1) of a statistic over all eras between seeds; nothing for fewer than two seeds.

    `seeds` has the folds of each seed with the model's own settings. A search that gains less finds no more than another seed does.
    """
    figures = [mean_or_sharpe(np.concatenate([values for _, values in folds]), statistic) for folds in seeds]
    return {"seed_std": float(np.std(figures, ddof=1))} if len(figures) > 1 else {}


def sentence(content: dict[str, Any]) -> str:
    """Return a sentence that tells the result of a search."""
    if not content["settings"]:
        return f"no trial of {content['trials']} is better than its own settings"
    against = content["against_default"]
    interval = f" ({against['low']:+.4f} … {against['high']:+.4f})" if "low" in against else f" ({against['reason']})"
    chosen = ", ".join(f"{key} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in content["settings"].items())
    label = objectives.LABELS[content["by"]]
    text = f"{chosen}: {label} {against['mean']:+.4f}{interval} against its own settings on {against['eras']} cv eras: {against['verdict']}"
    if against["verdict_holm"] != against["verdict"]:
        text += f", and {against['verdict_holm']} once Holm adjusts for {content['trials']} trials"
    if "overfitting" in content:
        text += f"; the best trial on half of the eras is below the median on the other half in {content['overfitting']:.0%} of the splits"
    if abs(against["mean"]) <= content.get("seed_std", 0.0):
        text += f"; the difference is within the seeds' standard deviation ({content['seed_std']:.4f})"
    return text


@dataclass
class _Climb:
    """A trial that runs: Optuna's draw, its settings, its folds so far, and its objective by the number of folds."""

    drawn: optuna.Trial
    settings: dict[str, Any]
    folds: list[Fold] = field(default_factory=list)
    values: dict[int, float] = field(default_factory=dict)

    def ended(self, value: float, *, whole: bool) -> FrozenTrial:
        """Return the trial as it is stored."""
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE if whole else TrialState.PRUNED,
            value=value,
            params=self.drawn.params,
            distributions=self.drawn.distributions,
            user_attrs={EVIDENCE: _packed(self.folds)},
            intermediate_values=self.values,
        )


def _climb(climbs: Sequence[_Climb], earlier: Sequence[FrozenTrial], asked: Search, count: StepCounter) -> None:
    """Run trials fold by fold, each as long as it is among the best of the trials up to it."""
    settings, folds = asked.settings, asked.folds
    going, done = list(climbs), 0
    while going:
        step = folds if settings.halving is None else min(folds, max(1, done * 2))
        found = asked.together([partial(asked.attempt, climb.settings, range(done, step)) for climb in going])
        others = [trial.intermediate_values[step] for trial in earlier if step in trial.intermediate_values]
        survivors = []
        for climb, more in zip(going, found, strict=True):
            climb.folds += _counted(more, count)
            value = climb.values[step] = objective(climb.folds, settings)
            if step < folds and (settings.halving is None or _goes_on(value, others, settings.halving)):
                survivors.append(climb)
            others.append(value)
        going, done = survivors, step


def _counted(folds: list[Fold], count: StepCounter) -> list[Fold]:
    count.done(len(folds))
    return folds


def _goes_on(value: float, others: Sequence[float], factor: int) -> bool:
    """Return whether a value is among the best `1 / factor`, rounded up, of itself and the others."""
    return sum(other > value for other in others) < -(-(len(others) + 1) // factor)


def _sampler(settings: Tuning, number: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial, seeded by its number, so that it draws the same after a search was stopped."""
    seed = int(np.random.SeedSequence([settings.seed, number]).generate_state(1)[0])
    if settings.method == RANDOM:
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, constant_liar=False)  # a killed trial would count as running for ever


def _draw(study: optuna.Study, settings: Tuning, space: Space, number: int, known: int) -> optuna.Trial:
    """Draw settings for a trial, with the knowledge of the first `known` trials."""
    own = optuna.create_study(direction="maximize", sampler=_sampler(settings, number))
    if settings.method != RANDOM:
        own.add_trials(_done(study)[:known])
    return own.ask({name: _distribution(values) for name, values in space.items()})


def _distribution(values: Range | Choices) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(tuple(range(len(values.choices))))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return IntDistribution(values.low, values.high, log=values.log)
    return FloatDistribution(float(values.low), float(values.high), log=values.log)


def _drawn(found: dict[str, Any], space: Space) -> dict[str, Any]:
    """Return the settings of Optuna's draw, which has numbers in place of choices."""
    settings = {}
    for name, value in found.items():
        values = space[name]
        settings[name] = values.choices[value] if isinstance(values, Choices) else value
    return settings


def _done(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that ended; a trial that was killed isn't among them."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _series(trial: Trial) -> Fold:
    """Return the eras in their order, and the value of each."""
    eras, corr = (np.concatenate(parts) for parts in zip(*trial.folds, strict=True))
    order = np.argsort(eras)
    return eras[order], corr[order]


def _packed(folds: Sequence[Fold]) -> list[list[list[float | None]]]:
    return [[eras.tolist(), [value if np.isfinite(value) else None for value in corr.tolist()]] for eras, corr in folds]


def _unpacked(content: list[list[list[float | None]]]) -> list[Fold]:
    return [(np.array(eras, np.int64), np.array(corr, np.float64)) for eras, corr in content]
