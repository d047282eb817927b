"""The usual ideas, each tried as a DVC experiment and compared with a base by its paired difference: `make experiments`.

Every experiment is queued by `dvc exp run --queue`. Two workers run them, on the embedded market at 5,000 rows an era. They stay in
`dvc exp show` under their names. An experiment that exists for the current commit isn't run again, so that a stopped run can continue.
`python -m benchmarks.experiments` prints the tables. `--write` puts them into docs/experiments.md. `--only STUDY ...` runs some studies.
"""

import argparse
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import measure
from erawise.base.schema import CV, VALIDATION
from erawise.evaluation import summary
from erawise.evaluation.significance import BETTER, LEVEL, WORSE
from erawise.history import comparison, revisions
from erawise.history.comparison import interval, number
from erawise.history.revisions import Revision
from erawise.running import errors, paths
from erawise.running.errors import InputError

PAGE = measure.ROOT / "docs" / "experiments.md"
WORKERS = 2
PATIENCE = 60
"""Seconds after which idle workers must have ended; DVC's end after 10 seconds."""

LARGE = ("data.market.stocks=5000", "data.market.train_eras=120", "data.market.validation_eras=124", "resources.threads=1")
"""5,000 rows an era as in real data, fewer eras than the default, and a thread for each worker."""

ALONE = ("~models.logistic", "~models.ridge", "~models.random_forest", "~models.neural_network")
"""LightGBM and no other model."""

FIXED = (
    *("models.lightgbm.trees=500", "models.lightgbm.early_stopping=null", "models.lightgbm.learning_rate=0.02"),
    *("models.lightgbm.max_depth=5", "models.lightgbm.leaves=31"),
)
GROUPS = {"LARGE": LARGE, "ALONE": ALONE, "FIXED": FIXED}
"""Settings that several experiments share, by their name on the page."""

LIGHTGBM, ENSEMBLE, NEUTRALIZED = "lightgbm", "ensemble", "neutralized"


@dataclass(frozen=True)
class Experiment:
    """A run of the pipeline.

    Parameters
    ----------
    name : the experiment's name in DVC. An existing experiment is recognized by it, so nobody else may use it.
    own : its own settings, as for `dvc exp run -S`.
    groups : names of `GROUPS`, whose settings come first.
    after : the experiment that must run first, since its stages are reused from the run cache.
    """

    name: str
    own: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("LARGE", "ALONE", "FIXED")
    after: str | None = "idea-base"

    @property
    def settings(self) -> tuple[str, ...]:
        return (*(setting for group in self.groups for setting in GROUPS[group]), *self.own)

    def command(self) -> str:
        """Return the command as a person would type it, with the groups as variables of the shell."""
        own = [f"-S {shlex.quote(setting)}" for setting in self.own]
        return " ".join(["dvc exp run --temp", f"-n {self.name}", *(f"${group}" for group in self.groups), *own])


@dataclass(frozen=True)
class Line:
    """A line of a study's table: a prediction of an experiment, in words."""

    says: str
    experiment: Experiment
    prediction: str


@dataclass(frozen=True)
class Study:
    """A question, and the lines that answer it.

    Parameters
    ----------
    name : the page's block that has its table.
    bases : the lines to compare with: of several, the line with the highest mean CORR on cv.
    lines : the others.
    """

    name: str
    bases: tuple[Line, ...]
    lines: tuple[Line, ...]

    @property
    def all_lines(self) -> tuple[Line, ...]:
        return (*self.bases, *self.lines)


BASE = Experiment("idea-base", after=None)
MODELS = Experiment("idea-models", ("ensemble.weights={lightgbm: 1, random_forest: 1, neural_network: 1}",), ("LARGE", "FIXED"))
PROPORTIONS = (0.25, 0.5, 0.75, 1.0)
FEATURES = {"riskiest10": ("riskiest", 10), "riskiest50": ("riskiest", 50), "all": ("all", None)}
SINGLE = (
    Line("LightGBM", MODELS, LIGHTGBM),
    Line("logistic regression", MODELS, "logistic"),
    Line("ridge (linear) regression", MODELS, "ridge"),
    Line("random forest", MODELS, "random_forest"),
    Line("network", MODELS, "neural_network"),
)


def trained(name: str, says: str, *own: str) -> Line:
    """Make a line of LightGBM with some settings of its own."""
    return Line(says, Experiment(name, own), LIGHTGBM)


def neutral(features: str, proportion: float) -> Line:
    kind, count = FEATURES[features]
    own = [f"neutralize.features={kind}", f"neutralize.proportion={proportion}"] + ([f"neutralize.count={count}"] if count else [])
    which = f"the {count} riskiest features" if count else "all features"
    return Line(f"{proportion:.0%}, {which}", Experiment(f"idea-neutral-{features}-{proportion:.0%}".rstrip("%"), tuple(own)), NEUTRALIZED)


def weighted(name: str, says: str, weights: str) -> Line:
    return Line(says, Experiment(name, (f"ensemble.weights={weights}",), MODELS.groups, after=MODELS.name), ENSEMBLE)


STUDIES = (
    Study(
        "selection",
        (Line("moderate: the most important 70%, none correlated above .95", BASE, LIGHTGBM),),
        (
            trained("idea-selection-none", "all 100 features", "select_features.method=none"),
            trained(
                "idea-selection-aggressive",
                "aggressive: the most important 30%, none correlated above .8",
                "select_features.keep_share=0.3",
                "select_features.max_correlation=0.8",
            ),
            trained("idea-pca", "20 principal components", "select_features.method=pca"),
        ),
    ),
    Study(
        "features",
        (Line("as they are", BASE, LIGHTGBM),),
        (
            trained("idea-demean", "less their mean of the era", "preprocess.demean=true"),
            trained("idea-derived", "with derived features", "preprocess.derived=[row_mean, row_std, extreme_share]"),
        ),
    ),
    Study(
        "trees",
        (Line("500 trees of depth 5", BASE, LIGHTGBM),),
        (
            trained("idea-depth-3", "500 trees of depth 3", "models.lightgbm.max_depth=3", "models.lightgbm.leaves=8"),
            trained("idea-depth-8", "500 trees of depth 8", "models.lightgbm.max_depth=8", "models.lightgbm.leaves=255"),
            trained("idea-trees-2000", "2,000 trees of depth 5", "models.lightgbm.trees=2000"),
            trained("idea-trees-5000", "5,000 trees of depth 5", "models.lightgbm.trees=5000"),
            trained(
                "idea-early-stopping",
                "early stopping, at most 1,000 trees of depth 5",
                "models.lightgbm.trees=1000",
                "models.lightgbm.early_stopping=100",
            ),
        ),
    ),
    Study("models", SINGLE[:1], SINGLE[1:]),
    Study(
        "ensemble",
        SINGLE,
        (
            Line("LightGBM, forest and network, equal weights", MODELS, ENSEMBLE),
            weighted("idea-weights-equal", "all five, equal weights", "equal"),
            weighted("idea-weights-nnls", "all five, weights by non-negative least squares", "nnls"),
            weighted("idea-weights-forward", "all five, weights by forward selection", "forward"),
        ),
    ),
    Study(
        "neutralization",
        (Line("none", BASE, ENSEMBLE),),
        tuple(neutral(features, proportion) for features in FEATURES for proportion in PROPORTIONS),
    ),
    Study(
        "every",
        (Line("trained on every era", BASE, LIGHTGBM),),
        (trained("idea-every-4th", "trained on every 4th era", "preprocess.every=4"),),
    ),
)


def experiments(studies: Sequence[Study]) -> list[Experiment]:
    """Return all experiments of the studies, each once, with the base."""
    found = {BASE.name: BASE} | {line.experiment.name: line.experiment for study in studies for line in study.all_lines}
    return list(found.values())


def rounds(wanted: Sequence[Experiment]) -> Iterator[list[Experiment]]:
    """Yield groups of experiments that can run in parallel, in the order in which they must run."""
    level: list[Experiment] = [one for one in wanted if one.after is None]
    while level:
        yield level
        names = {one.name for one in level}
        level = [one for one in wanted if one.after in names]


def run(wanted: Sequence[Experiment]) -> None:
    """Run the experiments that don't exist yet, by DVC's queue and its workers.

    Raises
    ------
    InputError
        If the checkout has changes, the queue has other work, or an experiment fails.
    """
    waiting = re.findall(r"^\S+ +(\S+) .*(?:Queued|Running)$", _dvc_says("queue", "status"), re.MULTILINE)
    if waiting:
        raise InputError(
            f"DVC's queue isn't empty: {', '.join(waiting)}; wait until `dvc queue status` shows none, or end them by "
            "`dvc queue stop --kill` and `dvc queue remove --queued`"
        )
    for level in rounds(wanted):
        there = _present()
        missing = [one for one in level if one.name not in there]
        changed = _says("git", "status", "--porcelain", "--untracked-files=no")
        if missing and changed:
            raise InputError(f"experiments start from a commit, and files have changed: {changed}; commit them first, or `git stash`")
        for one in missing:
            _dvc("exp", "run", "--queue", "-n", one.name, *(part for setting in one.settings for part in ("-S", setting)))
        if missing:
            _wait_for_workers_to_end()
            _dvc("exp", "run", "--run-all", "-j", str(WORKERS))
        failed = sorted({one.name for one in missing} - _present())
        if failed:
            raise InputError(f"failed: {', '.join(failed)}; see why by `dvc queue logs {failed[0]}`, then run this again")


def read(wanted: Sequence[Experiment]) -> dict[str, Revision]:
    """Read the results of the experiments, by name."""
    return {one.name: revisions.read(Path(), one.name, raw=paths.RAW, scores=paths.SCORES) for one in wanted}


def table(study: Study, found: dict[str, Revision]) -> str:
    """Return a study's lines as a table, the base first."""
    base = strongest(study.bases, found)
    mean, sharpe = standing(base, found)
    return "\n".join(
        [
            "| | CORR | against the first | Sharpe | against the first | drawdown against the first | verdict on CORR "
            "| validation: CORR against the first |",
            "|---|---:|---|---:|---|---|---|---|",
            f"| **{base.says}** | {number(mean)} | | {number(sharpe, '.2f')} | | | | |",
            *(_row(line, base, found) for line in study.lines),
        ]
    )


def strongest(lines: Sequence[Line], found: dict[str, Revision]) -> Line:
    """Return the line with the highest mean CORR on cv, the first of equals."""
    return max(lines, key=lambda line: standing(line, found)[0])


def standing(line: Line, found: dict[str, Revision]) -> tuple[float, float]:
    """Return the mean and the Sharpe of CORR on cv."""
    corr = comparison.series(found[line.experiment.name].scores[CV], line.prediction).to_numpy()
    return summary.mean_or_sharpe(corr, "mean"), summary.mean_or_sharpe(corr, "sharpe")


def against(line: Line, base: Line, found: dict[str, Revision], split: str) -> dict[str, Any]:
    """Return the row of `comparison.pair`."""
    before, after = found[base.experiment.name], found[line.experiment.name]
    return comparison.pair(before.scores[split], base.prediction, after.scores[split], line.prediction, after.days)


def summed_up(studies: Sequence[Study], found: dict[str, Revision]) -> str:
    """Return a sentence on the number of comparisons, of verdicts, and of verdicts that chance would give."""
    verdicts = [
        against(line, base, found, CV)["verdict"] for study in studies for base in [strongest(study.bases, found)] for line in study.lines
    ]
    told = sum(verdict in (BETTER, WORSE) for verdict in verdicts)
    return (
        f"{len(experiments(studies))} experiments, {len(verdicts)} comparisons, of which {told} tell a difference in mean CORR. "
        f"If there were no true difference at all, {len(verdicts) * (1 - LEVEL):.1f} of them would, on average, by luck."
    )


def recipes(study: Study) -> str:
    """Return the commands of a study, with the base's commands."""
    own = list({line.experiment.name: line.experiment for line in study.all_lines}.values())
    return "\n".join(["```", *(one.command() for one in own), "```"])


def shared() -> str:
    """Return the groups of settings as variables of the shell."""
    return "\n".join(
        ["```", *(f'{name}="{" ".join(f"-S {setting}" for setting in settings)}"' for name, settings in GROUPS.items()), "```"]
    )


def _row(line: Line, base: Line, found: dict[str, Revision]) -> str:
    cv, validation = (against(line, base, found, split) for split in (CV, VALIDATION))
    mean, sharpe = standing(line, found)
    cells = [
        line.says,
        number(mean),
        _difference(cv, "difference", "", "+.4f"),
        number(sharpe, ".2f"),
        _difference(cv, "sharpe", "sharpe_", "+.2f"),
        _difference(cv, "drawdown", "drawdown_", "+.3f"),
        cv["verdict"] if cv["low"] == cv["low"] else f"{cv['verdict']}: {cv['reason']}",
        _difference(validation, "difference", "", "+.4f"),
    ]
    return "| " + " | ".join(cells) + " |"


def _difference(row: dict[str, Any], name: str, prefix: str, form: str) -> str:
    """Format a difference with its interval, in bold if the interval leaves 0 out."""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    text = f"{number(row[name], form)} {interval(low, high, form)}".strip()
    return f"**{text}**" if low > 0 or high < 0 else text


def _wait_for_workers_to_end() -> None:
    """Wait until all workers of DVC's queue have ended.

    DVC starts no second worker of a name, and a worker that is about to end accepts no work: an experiment that is queued meanwhile would
    wait forever.
    """
    for _ in range(PATIENCE):
        if "Worker status: 0 active, 0 idle" in _dvc_says("queue", "status"):
            return
        time.sleep(1)
    raise InputError("workers of DVC's queue don't end; end them by `dvc queue stop --kill`, then run this again")


def _present() -> set[str]:
    """Return the names of the experiments that start from the current commit."""
    return set(_dvc_says("exp", "list", "--name-only").split())


def _dvc(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], stdout=sys.stderr, check=False)
    if done.returncode:
        raise InputError(f"`dvc {shlex.join(arguments)}` ended with {done.returncode}, see above")


def _dvc_says(*arguments: str) -> str:
    return _says(sys.executable, "-m", "dvc", *arguments)


def _says(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"`{shlex.join(arguments)}` ended with {done.returncode}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


@errors.reported
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=[study.name for study in STUDIES], help="studies to run")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/experiments.md")
    given = parser.parse_args()
    if given.only and given.write:
        parser.error("--write puts all tables into the page, which belong together; leave out --only")
    studies = [study for study in STUDIES if given.only is None or study.name in given.only]
    wanted = experiments(studies)
    start = time.perf_counter()
    run(wanted)
    print(f"{(time.perf_counter() - start) / 60:.0f} minutes", file=sys.stderr)
    found = read(wanted)
    blocks = {study.name: f"{recipes(study)}\n\n{table(study, found)}" for study in studies}
    blocks |= {"shared": shared(), "summary": summed_up(studies, found)}
    measure.publish(blocks, PAGE, write=given.write)


if __name__ == "__main__":
    main()
