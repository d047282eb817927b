"""The side of a worker: it opens the data, does one job after the other, and reports its progress."""

import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import CancelledError, get_worker
from threadpoolctl import threadpool_limits

from erawise.cluster import data_location, environment
from erawise.cluster.messages import Outcome, Terms
from erawise.models.shared.protocol import Resources, held_by
from erawise.training.jobs import Job

BETWEEN_STEPS = 1.0
"""Seconds between two reports of a task."""


def work(payload: bytes) -> Outcome:
    """Run a job on a worker, one after the other, since limits of threads hold for the whole process.

    `payload` is the pickle of a location, a job and its terms; the scheduler doesn't read it.
    """
    worker = get_worker()
    key = worker.get_current_task()
    location, job, terms = pickle.loads(payload)
    environment.require_same(worker.address, environment.describe(), terms.environment)
    steps = _TaskSteps(worker, key, terms.topic)
    with _ONE_AT_A_TIME, steps.reported():
        steps.require_wanted()  # it may have been cancelled during the imports
        return _done(location, job, terms, steps)


def sees(location: data_location.DataLocation) -> bool:
    """Return whether this worker sees the files of a location."""
    return location.is_seen()


_ONE_AT_A_TIME = threading.Lock()


def _done(location: data_location.DataLocation, job: Job, terms: Terms, steps: "_TaskSteps") -> Outcome:
    here = data_location.opened(location)
    rounds: list[tuple[int, float]] = []

    def log(number: int, score: float) -> None:
        rounds.append((number, score))

    held = held_by(here.data.panel)
    resources = Resources(terms.threads, terms.memory, here.root / terms.scratch, terms.device, held, log=log, step=steps)
    with threadpool_limits(terms.threads, user_api="blas"):
        value = job.call(here.data, resources)
    return Outcome(value, rounds)


class _TaskSteps:
    """The call after each step of a task: it reports the steps now and then, and ends a cancelled task."""

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Report the begin and the end of the task."""
        self._report(runs=True)
        try:
            yield
        finally:
            self._report(runs=False)

    def __init__(self, worker: Any, key: Any, topic: str) -> None:
        self._worker, self._key, self._topic = worker, key, topic
        self._steps, self._reported_at = 0, time.monotonic()

    def __call__(self) -> None:
        self._steps += 1
        now = time.monotonic()
        if now - self._reported_at < BETWEEN_STEPS:
            return
        self._reported_at = now
        self.require_wanted()
        self._report(runs=True)

    def _report(self, *, runs: bool) -> None:
        message = {"key": self._key, "steps": self._steps, "runs": runs, "worker": self._worker.address}
        self._worker.log_event(self._topic, message)

    def require_wanted(self) -> None:
        """End the task if it was cancelled."""
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state != "executing":
            raise CancelledError(self._key)
