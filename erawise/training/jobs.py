"""Jobs that any process with the data can do, and the engines that run them: threads of this process, or other machines."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

from erawise.base import files
from erawise.folds import splits
from erawise.models.shared.protocol import Resources
from erawise.panel import maps
from erawise.panel.panel import DESCRIPTION, ERA_MEANS, INDEX, FeatureMap, Panel, stored_files
from erawise.running.progress import StepCounter

Log = Callable[[int, int, float], None]
"""Is called with the number of a job, from 0, a round of its fit, from 1, and the score on the inner slice after the round."""


@dataclass(frozen=True)
class TrainingData:
    """The data of the workspace that training needs.

    Attributes
    ----------
    panel, live : the prepared rows of history and of the live era; `live` is None if it isn't predicted.
    plan : folds and purge for the model's horizon.
    fold_features, final_features : the features selected on each fold's training eras, and on all train eras.
    """

    panel: Panel
    live: Panel | None
    plan: splits.Plan
    fold_features: list[FeatureMap]
    final_features: FeatureMap


@dataclass(frozen=True)
class Source:
    """The location of a model's data, so that another process can open the same data.

    Parameters
    ----------
    prepared, live : directories of prepared rows; `live` is None if the live era isn't predicted.
    folds, features : the file of the folds, and the directory of the features selected for them.
    targets : the targets to read.
    days : horizon of the model's targets, see `splits.from_json`.
    """

    prepared: Path
    live: Path | None
    folds: Path
    features: Path
    targets: tuple[str, ...]
    days: int

    def below(self, directory: Path) -> Self:
        """Return the same location, with its relative paths below another directory."""
        live = None if self.live is None else directory / self.live
        return replace(
            self, prepared=directory / self.prepared, live=live, folds=directory / self.folds, features=directory / self.features
        )

    def listed(self) -> tuple[list[Path], list[Path]]:
        """Return the files that are read whole, and the files of arrays of which only some rows are read."""
        live = [] if self.live is None else sorted(path for path in self.live.rglob("*") if path.is_file())
        whole = [self.prepared / name for name in (DESCRIPTION, INDEX, ERA_MEANS)]
        return [*whole, self.folds, *sorted(self.features.iterdir()), *live], stored_files(self.prepared)

    def outs(self) -> list[Path]:
        """Return the outs of DVC that hold all of it."""
        return [path for path in (self.prepared, self.live, self.folds, self.features) if path is not None]

    def panel(self) -> Panel:
        """Open the prepared rows.

        Raises
        ------
        InputError
            If a file is missing or broken.
        """
        return Panel(self.prepared, self.targets)

    def around(self, panel: Panel) -> TrainingData:
        """Read the rest of the data around the open prepared rows.

        Raises
        ------
        InputError
            If a file is missing or broken, or there are no folds of that horizon.
        """
        plan = splits.from_json(files.read_json(self.folds), self.days)
        return TrainingData(panel, None if self.live is None else Panel(self.live, []), plan, *maps.read(self.features))


@dataclass(frozen=True)
class Job:
    """A job.

    Parameters
    ----------
    what : its name, for messages if it fails.
    call : does the job, given the data and its resources. If another process does it, it and its result can be pickled.
    needed : bytes of memory that it needs at most, in addition to `Resources.held`.
    steps : steps that it has at most, see `Kind.steps`.
    """

    what: str
    call: Callable[[TrainingData, Resources], Any]
    needed: int
    steps: int


class Engine(Protocol):
    """An engine that runs jobs."""

    @property
    def elsewhere(self) -> bool:
        """True if jobs run in other processes. They then need no memory of this process, and the memory of each must be known."""

    @property
    def at_once(self) -> int:
        """Calls of `side_by_side` that are worth making together."""

    @property
    def scratch_is_seen(self) -> bool:
        """True if jobs can read the directory of scratch files."""

    def run(self, jobs: Sequence[Job], data: TrainingData, resources: Resources, at_once: int, count: StepCounter, log: Log) -> list[Any]:
        """Run some jobs and return their results, in their order.

        Parameters
        ----------
        data, resources : data and resources of this process; another process opens the same data.
        at_once : how many may run at once in this process.
        count, log : told of the steps, and of the rounds of each job.

        Raises
        ------
        InputError
            The first one that a job raises; or if a job can't be done.
        """

    def one_at_a_time(self) -> AbstractContextManager[Any]:
        """Let only one of the calls that run side by side enter at a time: for work that needs much of this process's memory."""

    def side_by_side(self, calls: Sequence[Callable[[], Any]]) -> Generator[Any, None, None]:
        """Yield the results of functions that each run jobs, in their order.

        They are called one after the other, or several at once if other machines then have more to do. The number of calls at once is
        limited, so that their results don't fill the memory. A caller that stops early must close the iterator.
        """


class Here:
    """An engine that runs jobs in threads of this process."""

    elsewhere = False
    at_once = 1
    scratch_is_seen = True

    def run(self, jobs: Sequence[Job], data: TrainingData, resources: Resources, at_once: int, count: StepCounter, log: Log) -> list[Any]:
        def run_job(number: int) -> Any:
            job = jobs[number]
            with count.share(job.steps) as step:
                return job.call(data, replace(resources.shared(at_once), log=partial(log, number), step=step))

        with ThreadPoolExecutor(at_once) as pool:
            run = pool.map if at_once > 1 else map
            return list(run(run_job, range(len(jobs))))

    def one_at_a_time(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def side_by_side(self, calls: Sequence[Callable[[], Any]]) -> Generator[Any, None, None]:
        yield from (call() for call in calls)


HERE = Here()
