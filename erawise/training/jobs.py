"""Pieces of work that any process can do that has the data, and what runs them: here in threads, or on other machines."""

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
from erawise.panel.panel import ARRAYS, DESCRIPTION, ERA_MEANS, INDEX, FeatureMap, Panel
from erawise.running.progress import StepCounter

Log = Callable[[int, int, float], None]
"""Told of a job, from 0, a round of its fit, from 1, and the score on the inner slice after it."""


@dataclass(frozen=True)
class Data:
    """What training needs of the workspace.

    Attributes
    ----------
    panel, live : the prepared rows of history and of the live era; None where that isn't predicted.
    plan : folds and purge for the model's horizon.
    fold_features, final_features : what was selected on each fold's training eras, and on all train eras.
    """

    panel: Panel
    live: Panel | None
    plan: splits.Plan
    fold_features: list[FeatureMap]
    final_features: FeatureMap


@dataclass(frozen=True)
class Source:
    """Where the data of a model lies, so that another process can open the same.

    Parameters
    ----------
    prepared, live : directories of prepared rows; None where the live era isn't predicted.
    folds, features : of the folds, and of what was selected for them.
    targets : those that are read.
    days : horizon of the model's targets, see `splits.from_json`.
    """

    prepared: Path
    live: Path | None
    folds: Path
    features: Path
    targets: tuple[str, ...]
    days: int

    def below(self, directory: Path) -> Self:
        """The same in another directory, where the paths are relative."""
        live = None if self.live is None else directory / self.live
        return replace(
            self, prepared=directory / self.prepared, live=live, folds=directory / self.folds, features=directory / self.features
        )

    def listed(self) -> tuple[list[Path], list[Path]]:
        """The files that are read whole, and the arrays of which some rows are."""
        live = [] if self.live is None else sorted(self.live.iterdir())
        whole = [self.prepared / name for name in (DESCRIPTION, INDEX, ERA_MEANS)]
        return [*whole, self.folds, *sorted(self.features.iterdir()), *live], [self.prepared / name for name in ARRAYS]

    def panel(self) -> Panel:
        """Open the prepared rows.

        Raises
        ------
        InputError
            If a file is missing or broken.
        """
        return Panel(self.prepared, self.targets)

    def around(self, panel: Panel) -> Data:
        """All of it, the prepared rows being open.

        Raises
        ------
        InputError
            If a file is missing or broken, or there are no folds of that horizon.
        """
        plan = splits.from_json(files.read_json(self.folds), self.days)
        return Data(panel, None if self.live is None else Panel(self.live, []), plan, *maps.read(self.features))


@dataclass(frozen=True)
class Job:
    """A piece of work.

    Parameters
    ----------
    what : it is, to be told where it fails.
    call : does it, given the data and what it may use; where it is to be done by another process, it and its result can be pickled.
    needed : bytes of memory that it takes at most, beside `Resources.held`.
    steps : it has at most, see `Kind.steps`.
    """

    what: str
    call: Callable[[Data, Resources], Any]
    needed: int
    steps: int


class Engine(Protocol):
    """What runs jobs."""

    @property
    def elsewhere(self) -> bool:
        """Whether jobs run in other processes, so that the memory of each is to be known, and none of this one is taken."""

    @property
    def at_once(self) -> int:
        """Calls of `side_by_side` that are worth making together."""

    @property
    def scratch_is_seen(self) -> bool:
        """Whether jobs find what is in the directory for scratch files."""

    def run(self, jobs: Sequence[Job], data: Data, resources: Resources, at_once: int, count: StepCounter, log: Log) -> list[Any]:
        """The results of some jobs, in their order.

        Parameters
        ----------
        data, resources : of this process; another one opens the same.
        at_once : how many may run at once in this process.
        count, log : told of the steps, and of the rounds of each job.

        Raises
        ------
        InputError
            The first that a job raises; or if a job can't be done.
        """

    def one_at_a_time(self) -> AbstractContextManager[Any]:
        """Within it, of calls that are made side by side, is one at a time: for what takes much of this process's memory."""

    def side_by_side(self, calls: Sequence[Callable[[], Any]]) -> Generator[Any, None, None]:
        """Yield the results of functions that each run jobs, in their order.

        They are called one after the other, or several at once where that gives other machines more to do: never so many more than
        there are machines that their results would fill the memory. Whoever stops early is to close the iterator.
        """


class Here:
    """Runs jobs in this process, in threads."""

    elsewhere = False
    at_once = 1
    scratch_is_seen = True

    def run(self, jobs: Sequence[Job], data: Data, resources: Resources, at_once: int, count: StepCounter, log: Log) -> list[Any]:
        def do(number: int) -> Any:
            job = jobs[number]
            with count.share(job.steps) as step:
                return job.call(data, replace(resources.shared(at_once), log=partial(log, number), step=step))

        with ThreadPoolExecutor(at_once) as pool:
            run = pool.map if at_once > 1 else map
            return list(run(do, range(len(jobs))))

    def one_at_a_time(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def side_by_side(self, calls: Sequence[Callable[[], Any]]) -> Generator[Any, None, None]:
        yield from (call() for call in calls)


HERE = Here()
