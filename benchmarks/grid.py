"""Training on many workers, simulated: when each fit is handed out, waits, runs and comes back.

Discrete events: a driver prepares a member and submits its folds, the scheduler hands tasks out, a host fetches and bins its data
before its first fit, a worker does one fit at a time, results come back over the driver's link, and the final fit of a member is
submitted when its last fold is back. A model is done when its members are blended. The driver, the scheduler, a link and the writing of
a host's files do one thing at a time.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """What everything but the fits takes, in seconds and bytes; the last of several numbers of a fit is the final fit's.

    Parameters
    ----------
    start : until the first member is prepared: connecting, and what is looked at for all of them.
    prepare, collect, blend : of the driver, for each member: before its folds are submitted, after its final fit is back, and after
        the final fits of all members are.
    submit : of the driver, for each task.
    dispatch : of the scheduler, for each task.
    result_fold, result_final : bytes that come back.
    link : bytes/s into the driver.
    fetch_fold, fetch_final : bytes that a host fetches before its first fit of a fold, and the ones more before its first final fit.
    remote : bytes/s that the remote gives to all hosts together.
    bin_fold, bin_final : seconds in which a host writes the binned files of one fold, and of the final fit.
    """

    start: float = 0.0
    prepare: float = 0.0
    collect: float = 0.0
    blend: float = 0.0
    submit: float = 0.0
    dispatch: float = 0.0
    result_fold: float = 0.0
    result_final: float = 0.0
    link: float = np.inf
    fetch_fold: float = 0.0
    fetch_final: float = 0.0
    remote: float = np.inf
    bin_fold: float = 0.0
    bin_final: float = 0.0

    def kept(self) -> "Costs":
        """The same where hosts have the data and the binned files from a stage before."""
        return replace(self, fetch_fold=0.0, fetch_final=0.0, bin_fold=0.0, bin_final=0.0)


@dataclass(frozen=True)
class Ran:
    """What came of it.

    Attributes
    ----------
    seconds : from the start to the last member that is done.
    fitting : seconds of all fits together.
    workers : so many.
    """

    seconds: float
    fitting: float
    workers: int

    @property
    def efficiency(self) -> float:
        """Share of the workers' time in which they fitted."""
        return self.fitting / (self.workers * self.seconds)


@dataclass
class _Line:
    """What does one thing at a time."""

    free: float = 0.0

    def serve(self, at: float, seconds: float) -> float:
        """When something is done that is there from `at`."""
        self.free = max(self.free, at) + seconds
        return self.free


@dataclass
class _Host:
    """A machine with workers: the bytes that it has asked for and when they are there, and when each of its binned files is."""

    disk: _Line = field(default_factory=_Line)
    fetched: float = 0.0
    there: float = 0.0
    binned: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """A fit: of which member, and of which number, the last being the final one."""

    model: int
    member: int
    number: int


def simulate(fits: Floats, costs: Costs, workers: int, per_host: int) -> Ran:
    """Train models, whose stages run at the same time, on workers.

    Parameters
    ----------
    fits : (models, members, folds + 1) seconds of each fit, the last the final one.
    costs : of the rest; each model has a driver of its own, and all drivers one link.
    workers, per_host : in all, and on each machine.
    """
    run = _Run(fits, costs, [_Host() for _ in range(-(-workers // per_host))])
    idle = [(number, run.hosts[number // per_host]) for number in range(workers)]
    return run.through(idle, workers)


@dataclass
class _Run:
    fits: Floats
    costs: Costs
    hosts: list[_Host]
    scheduler: _Line = field(default_factory=_Line)
    link: _Line = field(default_factory=_Line)
    remote: _Line = field(default_factory=_Line)
    events: list[tuple[float, int, str, _Task, tuple[int, _Host] | None]] = field(default_factory=list)
    order: itertools.count = field(default_factory=itertools.count)

    def through(self, idle: Sequence[tuple[int, _Host]], workers: int) -> Ran:
        models, members, count = self.fits.shape
        drivers = [_Line() for _ in range(models)]
        left, whole = np.full((models, members), count - 1), np.zeros(models, int)
        free, ready = deque(idle), deque[_Task]()
        for member, model in itertools.product(range(members), range(models)):
            drivers[model].serve(self.costs.start if member == 0 else 0.0, self.costs.prepare)
            for number in range(count - 1):
                self._submit(drivers[model], 0.0, _Task(model, member, number))
        end = 0.0
        while self.events:
            now, _, what, task, worker = heapq.heappop(self.events)
            if what == "submitted":
                self._at(self.scheduler.serve(now, self.costs.dispatch), "ready", task)
            elif what == "ready":
                ready.append(task)
            elif what == "done" and worker is not None:
                free.append(worker)
                size = self.costs.result_fold if task.number < count - 1 else self.costs.result_final
                self._at(self.link.serve(now, size / self.costs.link), "back", task)
            elif task.number == count - 1:
                whole[task.model] += 1
                blend = self.costs.blend * members if whole[task.model] == members else 0.0
                end = max(end, drivers[task.model].serve(now, self.costs.collect + blend))
            else:
                left[task.model, task.member] -= 1
                if not left[task.model, task.member]:
                    self._submit(drivers[task.model], now, replace(task, number=count - 1))
            while ready and free:
                self._begin(now, ready.popleft(), free.popleft())
        return Ran(end, float(self.fits.sum()), workers)

    def _at(self, when: float, what: str, task: _Task, worker: tuple[int, _Host] | None = None) -> None:
        heapq.heappush(self.events, (when, next(self.order), what, task, worker))

    def _submit(self, driver: _Line, now: float, task: _Task) -> None:
        self._at(driver.serve(now, self.costs.submit), "submitted", task)

    def _begin(self, now: float, task: _Task, worker: tuple[int, _Host]) -> None:
        begin = self._data_there(now, task.number, worker[1])
        self._at(begin + float(self.fits[task.model, task.member, task.number]), "done", task, worker)

    def _data_there(self, now: float, number: int, host: _Host) -> float:
        """When a host has what a fit reads: the rows, fetched once, and its binned files, written once."""
        costs, final = self.costs, number == self.fits.shape[2] - 1
        wanted = costs.fetch_fold + (costs.fetch_final if final else 0.0)
        if wanted > host.fetched:
            host.there = self.remote.serve(now, (wanted - host.fetched) / costs.remote)
            host.fetched = wanted
        there = max(now, host.there)
        if number not in host.binned:
            host.binned[number] = host.disk.serve(there, costs.bin_final if final else costs.bin_fold)
        return max(there, host.binned[number])


def drawn(shape: tuple[int, int, int], fold: float, final: float, spread: Sequence[float], seed: int) -> Floats:
    """(models, members, folds + 1) seconds of fits of a shape (models, members, folds): typical ones times factors drawn from a spread."""
    models, members, folds = shape
    typical = np.array([fold] * folds + [final])
    return typical * np.random.default_rng(seed).choice(np.asarray(spread), (models, members, folds + 1))
