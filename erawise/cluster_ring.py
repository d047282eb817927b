"""Jobs that all workers of Dask do at the same time, and in which they talk with each other: what a fit over several machines takes.

Each job has its worker, since the part of the rows that it reads lies there. Where one fails, the others wait for it for ever, or fail
too: they are stopped, by starting their processes anew where they don't hear, and all begin once more, once.
"""

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlparse

from distributed import CancelledError, Client, Future, Semaphore, Variable, Worker, get_client, wait

from erawise import cluster
from erawise.errors import InputError
from erawise.jobs import Data, Job, Parts
from erawise.models.protocol import Resources, Ring, unheard
from erawise.progress import Count

TURN = "erawise-ring"
"""Of two fits that each have some of the workers none would end: one after the other, also of several clients."""

ATTEMPTS = 2
TURN_SECONDS = 5
BETWEEN_LOOKS = 0.02
"""Seconds between two looks at whether another job has told what it has."""


class _Lost(Exception):
    """A worker is gone."""


def run(own: cluster.Cluster, parts: Parts, terms: cluster.Terms, held: int, count: Count) -> list[Any]:
    """The results of jobs of which every worker has one; see `jobs.Engine.together`.

    Parameters
    ----------
    own : the workers.
    terms : what a job may use.
    held : bytes that a worker takes beside its job.
    """
    number = own.spread = own.spread or own.at_once
    with _turn(own.client, own.say):
        for _ in range(ATTEMPTS):
            jobs = parts(number)
            members = _members(own.client, number)
            for (address, memory), job in zip(members, jobs, strict=True):
                _require(address, memory, job, held)
            try:
                return _done(own, [address for address, _ in members], jobs, terms, held, count)
            except _Lost as error:
                lost = str(error)
                own.say(f"the worker {lost} died; it did {jobs[0].what}, or another part of it, which all begin once more")
    raise InputError(
        f"{jobs[0].what}: a worker died in the middle of it, and again when all had begun once more, the last of them {lost} "
        f"({cluster.last_words(own.client)}); it takes "
        f"up to {cluster._gib(max(job.needed for job in jobs))} besides the data: look at the workers' logs, and whether the system has "
        "stopped them for want of memory"
    )


def reserve(dask_worker: Worker) -> tuple[str, int]:
    """The address of this worker's machine, and a port there that is kept free until `release`."""
    kept = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("", 0))
    port = int(kept.getsockname()[1])
    _KEPT[port] = kept
    return socket.gethostbyname(urlparse(dask_worker.address).hostname or ""), port


def release(port: int) -> None:
    """Let go of a port, to be used at once."""
    kept = _KEPT.pop(port, None)
    if kept is not None:
        kept.close()


_KEPT: dict[int, socket.socket] = {}


@contextmanager
def _turn(client: Client, say: Callable[[str], None]) -> Iterator[None]:
    turn = Semaphore(max_leases=1, name=TURN)
    if not turn.acquire(timeout=TURN_SECONDS):
        say("waits for another fit over all workers of this scheduler")
        turn.acquire()
    try:
        yield
    finally:
        if client.status == "running":
            turn.release()


def _done(own: cluster.Cluster, addresses: Sequence[str], jobs: Sequence[Job], terms: cluster.Terms, held: int, count: Count) -> list[Any]:
    """The results of jobs, each on its worker; where one fails, no worker is left with another."""
    found = own.client.run(reserve, workers=list(addresses), on_error="ignore")
    if silent := sorted(set(addresses) - set(found)):
        raise _Lost(silent[0])
    machines = tuple(found[address] for address in addresses)
    futures: list[Future] = []
    name = f"{TURN}-{uuid.uuid4().hex}"
    with ExitStack() as stack:
        try:
            for rank, (address, job) in enumerate(zip(addresses, jobs, strict=True)):
                key = f"{job.what.replace(' ', '-')}-{uuid.uuid4().hex}"
                step = stack.enter_context(count.share(job.steps)) if job.steps else unheard
                own._tasks[key] = cluster._Running(job, step, job.needed + held, pinned=True)
                bound = replace(job, call=partial(_in_ring, job.call, name, machines, rank))
                futures.append(own.submit(key, bound, terms, held, workers=[address], priority=1))
            outcomes = _gathered(own, futures, addresses, jobs)
        except BaseException:
            own._forget(futures)
            own.settle()
            raise
    own._forget(futures)
    own.keep(jobs, outcomes)
    for rank, outcome in enumerate(outcomes):
        _Exchange(own.client, name, rank, len(jobs), outcome.value[1]).forget()
    return [outcome.value[0] for outcome in outcomes]


def _in_ring(
    call: Callable[..., Any], name: str, machines: tuple[tuple[str, int], ...], rank: int, data: Data, resources: Resources
) -> tuple[Any, int]:
    """What a job gives, on its worker, and how often it has exchanged numbers with the others."""
    exchange = _Exchange(get_client(), name, rank, len(machines))

    def ready() -> None:
        exchange([])  # LightGBM would wait for the others for minutes only, and they may have to wait for their workers
        release(machines[rank][1])

    try:
        return call(Ring(machines, rank, ready, exchange), data, resources), exchange.turn
    except BaseException:
        exchange.forget()
        raise
    finally:
        release(machines[rank][1])


@dataclass
class _Exchange:
    """Numbers that jobs tell each other by variables of the scheduler.

    Parameters
    ----------
    client : of the scheduler.
    name : of the fit.
    rank, number : of this job, and how many there are.
    turn : how often they have exchanged numbers.
    """

    client: Client
    name: str
    rank: int
    number: int
    turn: int = 0

    def __call__(self, values: list[float]) -> list[list[float]]:
        """Tell some numbers, and wait for those of all."""
        self.turn += 1
        self._variable(self.rank, self.turn).set([self.turn, *values])
        return [self._told(rank) for rank in range(self.number)]

    def _told(self, rank: int) -> list[float]:
        """What a job tells at this turn; until then, what it told two turns before is there, since two names serve in turn."""
        variable = self._variable(rank, self.turn)
        while (found := list(variable.get()))[0] != self.turn:
            time.sleep(BETWEEN_LOOKS)
        return found[1:]

    def forget(self) -> None:
        """Leave nothing of this job on the scheduler."""
        for turn in range(max(1, self.turn - 1), self.turn + 1):
            self._variable(self.rank, turn).delete()

    def _variable(self, rank: int, turn: int) -> Variable:
        return Variable(f"{self.name}-{turn % 2}-{rank}", client=self.client)


def _gathered(own: cluster.Cluster, futures: Sequence[Future], addresses: Sequence[str], jobs: Sequence[Job]) -> list[cluster.Outcome]:
    found: dict[Any, cluster.Outcome] = {}
    while len(found) < len(futures):
        if own._stopped.is_set():
            raise CancelledError("stopped")
        _require_all(own.client, addresses)
        try:
            done = wait([future for future in futures if future.key not in found], timeout=1, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            continue
        for future in done:
            job, address = next((job, address) for one, job, address in zip(futures, jobs, addresses, strict=True) if one is future)
            found[future.key] = _result(own.client, future, job, address, addresses)
    return [found[future.key] for future in futures]


def _result(client: Client, future: Future, job: Job, address: str, addresses: Sequence[str]) -> cluster.Outcome:
    """Its outcome; where a job fails since the worker of another one is gone, that is what is said."""
    try:
        outcome: cluster.Outcome = future.result()
    except (InputError, CancelledError) as error:
        until = time.monotonic() + cluster.GRACE_SECONDS
        while time.monotonic() < until:
            _require_all(client, addresses)
            time.sleep(0.2)
        raise InputError(f"{job.what}, on the worker {address}: {error}") from None
    return outcome


def _require_all(client: Client, addresses: Sequence[str]) -> None:
    gone = sorted(set(addresses) - set(cluster._workers(client)))
    if gone:
        raise _Lost(gone[0])


def _members(client: Client, number: int) -> list[tuple[str, int]]:
    """So many workers in the order of their addresses, and the memory that each says it has."""
    until = time.monotonic() + cluster.WORKERS_SECONDS
    while len(found := cluster._workers(client)) < number:
        if time.monotonic() > until:
            raise InputError(
                f"a fit began over {number} workers, of which {len(found)} are left, and no other has come for "
                f"{cluster.WORKERS_SECONDS} s; start them again, and run this again"
            )
        time.sleep(0.2)
    return sorted(found.items())[:number]


def _require(address: str, memory: int, job: Job, held: int) -> None:
    """Check that a worker has the memory that its job takes."""
    if job.needed + held > memory:
        raise InputError(
            f"{job.what} takes {cluster._gib(job.needed + held)}, and the worker {address} has {cluster._gib(memory)}; start more workers, "
            "or larger ones (execution.workers, resources.memory, or `--resources memory=...`), or take fewer rows or features"
        )
