"""Fits as tasks of Dask, on processes of this machine or of others: `jobs.Engine` by `distributed`.

A task is told where the data lies and gets none of it; what comes back is predictions and fitted models. Each says how much memory
it takes, and a worker is given no more of them at once than it has said it has. Results are those of one machine, bit by bit, since
every fit has the same number of threads; only machines of another kind of CPU may differ in the last bits of some kinds of models.
"""

import hashlib
import logging
import pickle
import platform
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import cloudpickle
import dask
from distributed import CancelledError, Client, Future, KilledWorker, LocalCluster, get_worker, wait
from threadpoolctl import threadpool_limits

from erawise import sites, tasks
from erawise.errors import InputError, Unavailable
from erawise.jobs import Data, Job, Log, Parts
from erawise.models.protocol import GIB, Resources, held_by
from erawise.progress import Count

MEMORY = "memory"
"""What a worker says it has, in bytes, by `--resources memory=8e9`."""

PACKAGES = (
    "dask",
    "distributed",
    "keras",
    "lightgbm",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "tensorflow-cpu",
    "threadpoolctl",
)
"""Those on which results or the way to them hang."""

TALKING = ("python", "dask", "distributed", "cloudpickle", "msgpack", "tornado")
"""Those on which it hangs that processes understand each other at all."""

CPU = Path("/proc/cpuinfo")
STEPS = "erawise-steps"
"""The topic on which workers tell how far they are."""

EVERYTHING = "all"
"""The topic of what the scheduler tells of workers that come and go."""

CONNECT_SECONDS, WORKERS_SECONDS = 10, 60
"""How long a scheduler may take to answer, and how long there may be no worker that can do a task."""

BETWEEN_STEPS, GRACE_SECONDS, AGAIN_SECONDS = 1.0, 5.0, 30.0
"""Seconds between two tellings of a task, in which tasks end by themselves once they are stopped, and in which a worker that has died is
started again by the process that watches over it, which then says what it died of."""

CALLS_A_WORKER, CALLS_MORE = 2, 2
"""Calls that are made side by side, for each worker and beside: enough of them that none waits for work, since each has a last fit that
waits for others."""

LIMIT_SETTINGS = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause", "terminate")}
"""Dask's own limits count the pages of mapped files, which the system takes back where it needs them."""


@dataclass(frozen=True)
class Kit:
    """What a process runs: versions of Python and packages, a digest of this library's code, and one of what its CPU can do."""

    versions: dict[str, str]
    code: str
    cpu: str


@dataclass(frozen=True)
class Terms:
    """What a task may use, and what its worker must run."""

    threads: int
    memory: int
    device: str
    scratch: Path
    kit: Kit
    topic: str


@dataclass(frozen=True)
class Outcome:
    """What a task has found.

    Attributes
    ----------
    value : of the job.
    rounds : number, from 1, and score of each round of a fit that may stop early.
    seconds : that it took, without waiting.
    """

    value: Any
    rounds: list[tuple[int, float]]
    seconds: float


@dataclass
class _Running:
    """A task that was submitted: its job, who is told of its steps, how many were told of, and whether one worker alone can do it."""

    job: Job
    step: Callable[[], None]
    memory: int
    told: int = 0
    pinned: bool = False


@dataclass
class Cluster:
    """Workers, and the data on which they work.

    Parameters
    ----------
    client : of the scheduler.
    site : where the data lies.
    scratch_is_seen : whether all workers see the directory of this machine for scratch files.
    say : told what a person should know.
    outcomes : each job and what it gave, where they are kept: None keeps nothing.
    spread : over how many workers the first fit was that had them all, and all others are.
    """

    client: Client
    site: sites.Site
    scratch_is_seen: bool
    say: Callable[[str], None]
    elsewhere: bool = True
    outcomes: list[tuple[Job, Outcome]] | None = None
    spread: int = 0
    _topic: str = field(default_factory=lambda: f"{STEPS}-{uuid.uuid4().hex[:8]}")
    _tasks: dict[Any, _Running] = field(default_factory=dict)
    _futures: dict[Any, Future] = field(default_factory=dict)
    _busy: dict[Any, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def at_once(self) -> int:
        return max(1, len(_workers(self.client)))

    def listen(self) -> None:
        """Hear what tasks tell, and of workers that die."""
        self.client.subscribe_topic(self._topic, self._hear_step)
        self.client.subscribe_topic(EVERYTHING, self._hear_event)

    def run(self, jobs: Sequence[Job], data: Data, resources: Resources, at_once: int, count: Count, log: Log) -> list[Any]:
        held = held_by(data.panel)
        self._require(jobs, held)
        terms = Terms(resources.threads, resources.memory, resources.device, resources.scratch, own_kit(), self._topic)
        with ExitStack() as stack:
            futures = []
            for job in jobs:
                key = f"{job.what.replace(' ', '-')}-{uuid.uuid4().hex}"
                self._tasks[key] = _Running(job, stack.enter_context(count.share(job.steps)), job.needed + held)
                futures.append(self.submit(key, job, terms, held))
            try:
                found = self._gathered(futures)
            finally:
                self._forget(futures)
        for number, outcome in enumerate(found):
            for round_, score in outcome.rounds:
                log(number, round_, score)
        self.keep(jobs, found)
        return [outcome.value for outcome in found]

    def submit(self, key: str, job: Job, terms: Terms, held: int, **options: Any) -> Future:
        """Hand a job to the scheduler under a key, with the memory that it takes beside what its worker holds anyway."""
        memory = {MEMORY: job.needed + held}
        payload = cloudpickle.dumps((self.site, job, terms))
        self._futures[key] = self.client.submit(tasks.work, payload, key=key, resources=memory, pure=False, **options)
        return self._futures[key]

    def keep(self, jobs: Sequence[Job], found: Sequence[Outcome]) -> None:
        """Keep what jobs gave, where somebody looks at it later."""
        if self.outcomes is not None:
            self.outcomes += zip(jobs, found, strict=True)

    def together(self, parts: Parts, data: Data, resources: Resources, count: Count) -> list[Any]:
        from erawise import cluster_ring

        terms = Terms(resources.threads, resources.memory, resources.device, resources.scratch, own_kit(), self._topic)
        return cluster_ring.run(self, parts, terms, held_by(data.panel), count)

    def alone(self) -> AbstractContextManager[Any]:
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
        """Leave no task behind: those that don't end by themselves have their worker started anew."""
        self.stop()
        self.settle()
        if self._is_connected():
            for topic in (self._topic, EVERYTHING):
                self.client.unsubscribe_topic(topic)

    def settle(self) -> None:
        """Wait for the end of tasks that were cancelled."""
        until = time.monotonic() + GRACE_SECONDS
        while self._is_connected() and (left := set(self._busy.values())):
            if time.monotonic() > until:
                self._start_anew(left)
                return
            time.sleep(0.1)

    def _start_anew(self, addresses: set[str]) -> None:
        """Start the processes of workers anew, where another process watches over them."""
        found = self.client.scheduler_info(n_workers=-1)["workers"]
        watched = sorted(address for address in addresses if address in found and found[address]["nanny"])
        for address in sorted((addresses & set(found)) - set(watched)):
            self.say(f"the worker {address} goes on with what it does, to its end: nobody watches over it, who could stop it")
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
        """Its outcome; an error says which job it was, and on which worker."""
        job = self._tasks[future.key].job
        try:
            outcome: Outcome = future.result()
        except CancelledError:
            raise self._lost() from None
        except KilledWorker as error:
            raise InputError(
                f"{job.what}: {error.allowed_failures + 1} workers died while they did this, the last of them {error.last_worker.address} "
                f"({last_words(self.client)}); it takes up to {_gib(job.needed)} besides the data: look at the "
                "workers' logs, and whether the system has stopped them for want of memory"
            ) from None
        except InputError as error:
            raise type(error)(f"{job.what}: {error}") from None
        except Exception as error:
            if _cant_load(error):
                raise InputError(f"{job.what}: the scheduler or a worker can't load it ({_line(error)}); {SAME_CODE}") from error
            error.add_note(f"in {job.what}, on a worker of Dask")
            raise
        return outcome

    def _lost(self) -> BaseException:
        """What it means that tasks were cancelled."""
        if self._stopped.is_set():
            return CancelledError("stopped")
        return Unavailable("the scheduler of Dask is gone, and the fits with it; start it and its workers again, and run this again")

    def _require(self, jobs: Sequence[Job], held: int) -> None:
        """Check that a worker has the memory that each job takes."""
        most = max(_workers(self.client).values(), default=0)
        for job in jobs:
            if most and job.needed + held > most:
                raise _too_large(job.what, job.needed + held, most)

    def _require_room(self, waiting: Sequence[_Running], since: float) -> float:
        """The last time when there was a worker with room for each of some jobs that have no result yet."""
        most = max(_workers(self.client).values(), default=0)
        largest = max(waiting, key=lambda task: task.memory)
        if most and largest.memory <= most:
            return time.monotonic()
        if time.monotonic() - since <= WORKERS_SECONDS:
            return since
        if most:
            raise _too_large(largest.job.what, largest.memory, most)
        raise Unavailable(f"for {WORKERS_SECONDS} s the scheduler has had no worker; start some, see docs/scale.md")

    def _forget(self, futures: Sequence[Future]) -> None:
        unfinished = [future for future in futures if not future.done()]
        if unfinished and self._is_connected():
            self.client.cancel(unfinished, force=True)
        for future in futures:
            self._futures.pop(future.key, None)
            self._tasks.pop(future.key, None)

    def _hear_step(self, event: tuple[float, dict[str, Any]]) -> None:
        told = event[1]
        key, steps = told["key"], told["steps"]
        if told["runs"]:
            self._busy[key] = told["worker"]
        else:
            self._busy.pop(key, None)
        task = self._tasks.get(key)
        if task is not None:
            for _ in range(steps - task.told):
                task.step()
            task.told = max(task.told, steps)

    def _hear_event(self, event: tuple[float, dict[str, Any]]) -> None:
        told = event[1]
        if told.get("action") != "remove-worker":
            return
        self._busy = {key: address for key, address in self._busy.items() if address != told["worker"]}
        if told.get("expected", True):
            return
        lost = [self._tasks[key].job.what for key in sorted(told.get("processing-tasks", ())) if key in self._tasks]
        if lost and not any(self._tasks[key].pinned for key in told["processing-tasks"] if key in self._tasks):
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            self.say(f"the worker {told['worker']} died; it had {lost[0]}{more} to do, which waits for another one now")


SAME_CODE = "start the scheduler and every worker anew, at the top of a checkout of this commit, with the packages of requirements.txt"


@contextmanager
def engine(
    site: sites.Site, scheduler: str | None, workers: int, resources: Resources, say: Callable[[str], None] | None = None
) -> Iterator[Cluster]:
    """Connect to a scheduler, or start workers on this machine, and leave neither a task nor a process behind.

    Parameters
    ----------
    site : the data.
    scheduler : its address; None starts `workers` processes here, each of which may take its share of `resources.memory`.
    say : told what a person should know; `resources.say` where it isn't given.

    Raises
    ------
    InputError
        If a worker runs other versions than this process, or doesn't say how much memory it has.
    Unavailable
        If the scheduler doesn't answer, or has no worker.
    """
    say = say or resources.say
    with _client(scheduler, workers, resources.memory) as client:
        _check(client, scheduler, say)
        say(f"{_counted(len(_workers(client)))} of Dask, the dashboard is at {client.dashboard_link}")
        cluster = Cluster(client, site, all(_asked(client, sees, site).values()), say)
        cluster.listen()
        try:
            yield cluster
        finally:
            cluster.end()


def kit() -> Kit:
    """What a worker runs."""
    return Kit(_versions(), _code(), _cpu())


def own_kit() -> Kit:
    """What this process runs, which hands out the work."""
    return kit()


def work(payload: bytes) -> Outcome:
    """Do a job on a worker; one after the other, since a process has its limits of threads in common.

    `payload` is the pickle of a site, a job and its terms, which the scheduler need not understand.
    """
    worker = get_worker()
    key = worker.get_current_task()
    site, job, terms = pickle.loads(payload)
    _require_same(worker.address, kit(), terms.kit)
    pulse = _Pulse(worker, key, terms.topic)
    with _ALONE, pulse.beating():
        pulse.require_wanted()  # it may have been cancelled while what it needs was imported
        return _done(site, job, terms, pulse)


def sees(site: sites.Site) -> bool:
    """Whether this worker sees the files of a site where they are."""
    return site.is_seen()


_ALONE = threading.Lock()


def _done(site: sites.Site, job: Job, terms: Terms, pulse: "_Pulse") -> Outcome:
    started = time.perf_counter()
    here = sites.opened(site)
    rounds: list[tuple[int, float]] = []

    def log(number: int, score: float) -> None:
        rounds.append((number, score))

    held = held_by(here.data.panel)
    resources = Resources(terms.threads, terms.memory, here.root / terms.scratch, terms.device, held, log=log, step=pulse)
    with threadpool_limits(terms.threads, user_api="blas"):
        value = job.call(here.data, resources)
    return Outcome(value, rounds, time.perf_counter() - started)


class _Pulse:
    """Called after each step of a task: tells of it now and then, and ends a task that was cancelled."""

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


@contextmanager
def _client(scheduler: str | None, workers: int, memory: int) -> Iterator[Client]:
    if scheduler is None:
        options = {**LIMIT_SETTINGS, "distributed.nanny.pre-spawn-environ": {}}
        with (
            dask.config.set(options),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                resources={MEMORY: memory // workers},
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, RuntimeError) as error:
        raise Unavailable(
            f"execution.scheduler: {scheduler} doesn't answer ({_line(error)}); start one by `python -m dask scheduler` "
            "at the top of a checkout, check the address and what "
            "stands between, or set it to null for workers on this machine"
        ) from None
    with client:
        yield client


def _check(client: Client, scheduler: str | None, say: Callable[[str], None]) -> None:
    """Check that there are workers, that they say what they have, and run what this process runs."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS if scheduler is None else CONNECT_SECONDS)
    except TimeoutError:
        raise Unavailable(f"{scheduler or 'this machine'}: the scheduler has no worker; start some, see docs/scale.md") from None
    workers = _workers(client)
    silent = sorted(address for address, memory in workers.items() if not memory)
    if silent:
        raise InputError(f"the worker {silent[0]} doesn't say how much memory it may take; start it with `--resources memory=8e9` (bytes)")
    versions: Any = client.get_versions()
    for address, answer in {"of the scheduler": versions["scheduler"], **versions["workers"]}.items():
        for name in TALKING:
            _require_equal(address, name, answer["packages"].get(name), versions["client"]["packages"][name])
    for address, found in _asked(client, tasks.kit).items():
        _require_same(address, found, own_kit())
        if found.cpu != own_kit().cpu:
            say(f"the worker {address} has another kind of CPU than this machine: models of some kinds may differ in their last bits")


def _asked(client: Client, question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What each worker answers."""
    try:
        answers: dict[str, Any] = client.run(question, *arguments)
    except Exception as error:
        if _cant_load(error):
            raise InputError(f"a worker can't load this library ({_line(error)}); {SAME_CODE}") from None
        raise
    return answers


def _cant_load(error: Exception) -> bool:
    """Whether a process hasn't the code that it was sent the name of: Dask gives that as errors of several types."""
    return isinstance(error, ImportError | AttributeError) or any(text in str(error) for text in ("ModuleNotFoundError", "deserializ"))


def _require_same(address: str, found: Kit, expected: Kit) -> None:
    for name in sorted({*expected.versions, *found.versions}):
        _require_equal(address, name, found.versions.get(name), expected.versions.get(name))
    if found.code != expected.code:
        raise InputError(f"the worker {address} runs another version of erawise than this process; {SAME_CODE}")


def _require_equal(address: str, name: str, found: str | None, expected: str | None) -> None:
    if found != expected:
        raise InputError(f"the worker {address} has {name} {found or 'nowhere'}, and this process {expected or 'has none'}; {SAME_CODE}")


def _workers(client: Client) -> dict[str, int]:
    """The memory that each worker says it has, in bytes, by address; 0 where it says nothing."""
    found = client.scheduler_info(n_workers=-1)["workers"]
    return {address: int(worker["resources"].get(MEMORY, 0)) for address, worker in found.items()}


def last_words(client: Client) -> str:
    """What the processes that watch over workers have said last of the end of one."""
    until = time.monotonic() + AGAIN_SECONDS
    while time.monotonic() < until:
        logs = client.get_worker_logs(nanny=True)
        ends = [text for lines in logs.values() for _, text in lines if "Worker process" in text]
        if ends:
            return _line(max(ends).rpartition(" - ")[2])  # a line begins with its time
        time.sleep(0.5)
    return "nobody watched over it"


def _too_large(what: str, needed: int, most: int) -> InputError:
    return InputError(
        f"{what} takes {_gib(needed)} and the worker with most memory has {_gib(most)}; start fewer and larger ones (execution.workers, "
        "or `--resources memory=...`), raise resources.memory where the machine has more, or take fewer rows or features"
    )


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def _code() -> str:
    digest = hashlib.sha256()
    top = Path(__file__).parent
    for path in sorted(top.rglob("*.py")):
        digest.update(path.relative_to(top).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _cpu() -> str:
    """Of the instruction sets that a Linux machine's CPU has; empty elsewhere."""
    if not CPU.exists():
        return ""
    flags = next((line for line in CPU.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(flags.encode()).hexdigest()


def _counted(workers: int) -> str:
    return f"{workers} worker" if workers == 1 else f"{workers} workers"


def _gib(count: int) -> str:
    return f"{count / GIB:.2f} GiB"


def _line(error: object) -> str:
    return " ".join(str(error).split())
