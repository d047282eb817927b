"""The side of a worker: it opens the data, does one job after the other, and tells how far it is."""

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
"""Seconds between two tellings of a task."""


def work(payload: bytes) -> Outcome:
    """Do a job on a worker; one after the other, since a process has its limits of threads in common.

    `payload` is the pickle of a location, a job and its terms, which the scheduler need not understand.
    """
    worker = get_worker()
    key = worker.get_current_task()
    location, job, terms = pickle.loads(payload)
    environment.require_same(worker.address, environment.describe(), terms.environment)
    pulse = _Pulse(worker, key, terms.topic)
    with _ALONE, pulse.beating():
        pulse.require_wanted()  # it may have been cancelled while what it needs was imported
        return _done(location, job, terms, pulse)


def sees(location: data_location.DataLocation) -> bool:
    """Return whether this worker sees the files of a location where they are."""
    return location.is_seen()


_ALONE = threading.Lock()


def _done(location: data_location.DataLocation, job: Job, terms: Terms, pulse: "_Pulse") -> Outcome:
    here = data_location.opened(location)
    rounds: list[tuple[int, float]] = []

    def log(number: int, score: float) -> None:
        rounds.append((number, score))

    held = held_by(here.data.panel)
    resources = Resources(terms.threads, terms.memory, here.root / terms.scratch, terms.device, held, log=log, step=pulse)
    with threadpool_limits(terms.threads, user_api="blas"):
        value = job.call(here.data, resources)
    return Outcome(value, rounds)


class _Pulse:
    """The call after each step of a task, which tells of it now and then, and ends a task that was cancelled."""

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Tell when the task begins, and when it ends."""
        self._tell(runs=True)
        try:
            yield
        finally:
            self._tell(runs=False)

    def __init__(self, worker: Any, key: Any, topic: str) -> None:
        self._worker, self._key, self._topic = worker, key, topic
        self._steps, self._told_at = 0, time.monotonic()

    def __call__(self) -> None:
        self._steps += 1
        now = time.monotonic()
        if now - self._told_at < BETWEEN_STEPS:
            return
        self._told_at = now
        self.require_wanted()
        self._tell(runs=True)

    def _tell(self, *, runs: bool) -> None:
        told = {"key": self._key, "steps": self._steps, "runs": runs, "worker": self._worker.address}
        self._worker.log_event(self._topic, told)

    def require_wanted(self) -> None:
        """End the task if it was cancelled."""
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state != "executing":
            raise CancelledError(self._key)
