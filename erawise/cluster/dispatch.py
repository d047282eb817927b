"""The side of the stage: it sends jobs to the scheduler, follows their progress, and receives their results."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import cloudpickle
from distributed import CancelledError, Client, Future, KilledWorker, wait

from erawise.cluster import data_location, environment, tasks
from erawise.cluster.messages import MEMORY, Outcome, Terms
from erawise.models.shared.protocol import GIB, Resources, held_by
from erawise.running.errors import InputError, Unavailable
from erawise.running.progress import StepCounter
from erawise.training.jobs import Job, Log, TrainingData

STEPS = "erawise-steps"
"""The topic on which workers report their progress."""

EVERYTHING = "all"
"""The topic on which the scheduler reports workers that come and go."""

WORKERS_SECONDS = 60
"""Seconds for which there may be no worker that can do a task."""

GRACE_SECONDS, AGAIN_SECONDS = 5.0, 30.0
"""Seconds in which cancelled tasks may end by themselves; seconds in which the nanny of a dead worker starts it again, and logs why it
died."""

CALLS_A_WORKER, CALLS_MORE = 2, 2
"""Calls at the same time, for each worker and in addition. Each call has a last fit that waits for others: so many keep workers busy."""


@dataclass
class _Running:
    """A task that was submitted: its job, the function to call for each step, its memory in bytes, and the steps so far."""

    job: Job
    step: Callable[[], None]
    memory: int
    steps: int = 0


@dataclass
class Cluster:
    """Workers, and the data on which they work.

    Parameters
    ----------
    client : of the scheduler.
    location : of the data.
    scratch_is_seen : whether all workers see this machine's directory for scratch files.
    notify : is given lines for a person.
    """

    client: Client
    location: data_location.DataLocation
    scratch_is_seen: bool
    notify: Callable[[str], None]
    elsewhere: bool = True
    _topic: str = field(default_factory=lambda: f"{STEPS}-{uuid.uuid4().hex[:8]}")
    _tasks: dict[Any, _Running] = field(default_factory=dict)
    _futures: dict[Any, Future] = field(default_factory=dict)
    _busy: dict[Any, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def at_once(self) -> int:
        return max(1, len(memories(self.client)))

    def listen(self) -> None:
        """Watch for the steps of tasks and to the death of workers."""
        self.client.subscribe_topic(self._topic, self._on_step)
        self.client.subscribe_topic(EVERYTHING, self._on_event)

    def run(self, jobs: Sequence[Job], data: TrainingData, resources: Resources, at_once: int, count: StepCounter, log: Log) -> list[Any]:
        held = held_by(data.panel)
        self._require(jobs, held)
        terms = Terms(resources.threads, resources.memory, resources.device, resources.scratch, environment.describe_own(), self._topic)
        with ExitStack() as stack:
            futures = []
            for job in jobs:
                key = f"{job.what.replace(' ', '-')}-{uuid.uuid4().hex}"
                memory = job.needed + held
                self._tasks[key] = _Running(job, stack.enter_context(count.share(job.steps)), memory)
                payload = cloudpickle.dumps((self.location, job, terms))
                self._futures[key] = self.client.submit(tasks.work, payload, key=key, resources={MEMORY: memory}, pure=False)
                futures.append(self._futures[key])
            try:
                found = self._gathered(futures)
            finally:
                self._forget(futures)
        for number, outcome in enumerate(found):
            for round_, score in outcome.rounds:
                log(number, round_, score)
        return [outcome.value for outcome in found]

    def one_at_a_time(self) -> AbstractContextManager[Any]:
        return self._lock

    def side_by_side(self, calls: Sequence[Callable[[], Any]]) -> Generator[Any, None, None]:
        if len(calls) == 1:
            yield calls[0]()
            return
        most = CALLS_A_WORKER * self.at_once + CALLS_MORE
        with ThreadPoolExecutor(max(1, min(most, len(calls)))) as pool:
            waiting = iter(calls)
            pending = deque(pool.submit(call) for call in islice(waiting, most))
            try:
                while pending:
                    yield pending.popleft().result()
                    pending.extend(pool.submit(call) for call in islice(waiting, 1))
            except BaseException:
                self.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def stop(self) -> None:
        """Cancel every task that was submitted."""
        self._stopped.set()
        self._forget(list(self._futures.values()))

    def end(self) -> None:
        """Leave no task behind: if one doesn't end by itself, start its worker again."""
        self.stop()
        self._settle()
        if self._is_connected():
            for topic in (self._topic, EVERYTHING):
                self.client.unsubscribe_topic(topic)

    def _settle(self) -> None:
        """Wait for the end of cancelled tasks."""
        until = time.monotonic() + GRACE_SECONDS
        while self._is_connected() and (left := set(self._busy.values())):
            if time.monotonic() > until:
                self._start_anew(left)
                return
            time.sleep(0.1)

    def _start_anew(self, addresses: set[str]) -> None:
        """Start the processes of workers again if they have a nanny."""
        found = self.client.scheduler_info(n_workers=-1)["workers"]
        watched = sorted(address for address in addresses if address in found and found[address]["nanny"])
        for address in sorted((addresses & set(found)) - set(watched)):
            self.notify(f"the worker {address} goes on with its task to the end: it has no nanny, which could stop it")
        if watched:
            self.client.restart_workers(watched, timeout=AGAIN_SECONDS, raise_for_error=False)

    def _is_connected(self) -> bool:
        return bool(self.client.status == "running")

    def _gathered(self, futures: Sequence[Future]) -> list[Outcome]:
        found: dict[Any, Outcome] = {}
        pending = {future.key: future for future in futures}
        idle_since = time.monotonic()
        while pending:
            if self._stopped.is_set():
                raise CancelledError("stopped")
            try:
                done = wait(list(pending.values()), timeout=1, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                idle_since = self._require_room([self._tasks[key] for key in pending], idle_since)
                continue
            except CancelledError:
                raise self._lost() from None
            for future in done:
                found[future.key] = self._result(future)
                del pending[future.key]
        return [found[future.key] for future in futures]

    def _result(self, future: Future) -> Outcome:
        """Return the outcome of a task; an error names the job."""
        job = self._tasks[future.key].job
        try:
            outcome: Outcome = future.result()
        except CancelledError:
            raise self._lost() from None
        except KilledWorker as error:
            raise InputError(
                f"{job.what}: {error.allowed_failures + 1} workers died while they did this, the last one {error.last_worker.address} "
                f"({_last_log_lines(self.client)}); it needs up to {_gib(job.needed)} in addition to the data: look at the "
                "workers' logs, and whether the system has stopped them for lack of memory"
            ) from None
        except InputError as error:
            raise type(error)(f"{job.what}: {error}") from None
        except Exception as error:
            if environment.cant_load(error):
                raise InputError(f"{job.what}: the scheduler or a worker can't load it ({line(error)}); {environment.SAME_CODE}") from error
            error.add_note(f"in {job.what}, on a worker of Dask")
            raise
        return outcome

    def _lost(self) -> BaseException:
        """Return the error of cancelled tasks."""
        if self._stopped.is_set():
            return CancelledError("stopped")
        return Unavailable("the scheduler of Dask is gone, and the fits are lost; start it and its workers again, and run this again")

    def _require(self, jobs: Sequence[Job], held: int) -> None:
        """Check that a worker has the memory that each job needs."""
        most = max(memories(self.client).values(), default=0)
        for job in jobs:
            if most and job.needed + held > most:
                raise _too_large(job.what, job.needed + held, most)

    def _require_room(self, waiting: Sequence[_Running], since: float) -> float:
        """Return the last time at which a worker had enough memory for each waiting job."""
        most = max(memories(self.client).values(), default=0)
        largest = max(waiting, key=lambda task: task.memory)
        if most and largest.memory <= most:
            return time.monotonic()
        if time.monotonic() - since <= WORKERS_SECONDS:
            return since
        if most:
            raise _too_large(largest.job.what, largest.memory, most)
        raise Unavailable(f"for {WORKERS_SECONDS} s the scheduler has had no worker; start some, see docs/machines.md")

    def _forget(self, futures: Sequence[Future]) -> None:
        unfinished = [future for future in futures if not future.done()]
        if unfinished and self._is_connected():
            self.client.cancel(unfinished, force=True)
        for future in futures:
            self._futures.pop(future.key, None)
            self._tasks.pop(future.key, None)

    def _on_step(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        key, steps = message["key"], message["steps"]
        if message["runs"]:
            self._busy[key] = message["worker"]
        else:
            self._busy.pop(key, None)
        task = self._tasks.get(key)
        if task is not None:
            for _ in range(steps - task.steps):
                task.step()
            task.steps = max(task.steps, steps)

    def _on_event(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        if message.get("action") != "remove-worker":
            return
        self._busy = {key: address for key, address in self._busy.items() if address != message["worker"]}
        if message.get("expected", True):
            return
        lost = [self._tasks[key].job.what for key in sorted(message.get("processing-tasks", ())) if key in self._tasks]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            self.notify(f"the worker {message['worker']} died; it had {lost[0]}{more} to do, which waits for another one now")


def memories(client: Client) -> dict[str, int]:
    """Return the memory that each worker names, in bytes, by address; 0 if it names none."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    return {address: int(worker["resources"].get(MEMORY, 0)) for address, worker in found.items()}


def _last_log_lines(client: Client) -> str:
    """Return the last line of the nannies' logs on the end of a worker."""
    until = time.monotonic() + AGAIN_SECONDS
    while time.monotonic() < until:
        logs = client.get_worker_logs(nanny=True)
        ends = [text for lines in logs.values() for _, text in lines if "Worker process" in text]
        if ends:
            return line(max(ends).rpartition(" - ")[2])  # a line begins with its time
        time.sleep(0.5)
    return "nobody watched over it"


def _too_large(what: str, needed: int, most: int) -> InputError:
    return InputError(
        f"{what} needs {_gib(needed)} and the worker with most memory has {_gib(most)}; start fewer and larger ones (execution.workers, "
        "or `--resources memory=...`), raise resources.memory if the machine has more, or take fewer rows or features"
    )


def _gib(count: int) -> str:
    return f"{count / GIB:.2f} GiB"


def line(error: object) -> str:
    """Return the text of an error in one line."""
    return " ".join(str(error).split())
