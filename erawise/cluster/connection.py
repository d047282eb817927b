"""Fits as tasks of Dask, in processes of this machine or of others: `jobs.Engine` by `distributed`.

- A task is sent the location of the data, not the data. It returns predictions and fitted models.
- A task names the memory that it needs, and a worker the memory that it has. A worker's tasks never need more than it has.
- Every fit has the same number of threads, so results are bit by bit as on one machine. Only another kind of CPU may change the last bits
  of some kinds of models.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster

from erawise.cluster import data_location, dispatch, environment, tasks, worker
from erawise.cluster.messages import MEMORY
from erawise.models.shared.protocol import Resources
from erawise.running.errors import InputError, Unavailable

TALKING = ("python", "dask", "distributed", "cloudpickle", "msgpack", "tornado")
"""Packages whose versions must be equal, else processes can't exchange messages."""

CONNECT_SECONDS = 10
"""Seconds within which a scheduler must answer."""

LIMIT_SETTINGS = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause", "terminate")}
"""Dask's own limits are off: they count the pages of mapped files, which the system frees when it needs memory."""


@contextmanager
def engine(location: data_location.DataLocation, scheduler: str | None, workers: int, resources: Resources) -> Iterator[dispatch.Cluster]:
    """Connect to a scheduler, or start workers on this machine; in the end, leave neither a task nor a process behind.

    Parameters
    ----------
    location : of the data.
    scheduler : its address; None starts `workers` processes here, each with an equal share of `resources.memory`.
    resources : limits of each fit; its `notify` is given lines for a person.

    Raises
    ------
    InputError
        If a worker runs other versions than this process, or doesn't name its memory.
    Unavailable
        If the scheduler doesn't answer, or has no worker.
    """
    notify = resources.notify
    with _client(scheduler, workers, resources.memory) as client:
        _check(client, scheduler, notify)
        count = len(dispatch.memories(client))
        notify(f"{count} worker{'' if count == 1 else 's'} of Dask, the dashboard is at {client.dashboard_link}")
        cluster = dispatch.Cluster(client, location, all(_asked(client, worker.sees, location).values()), notify)
        cluster.listen()
        try:
            yield cluster
        finally:
            cluster.end()


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
            f"execution.scheduler: {scheduler} doesn't answer ({dispatch.line(error)}); start one by `python -m dask scheduler` "
            "at the top of a checkout, check the address and the network, or set it to null for workers on this machine"
        ) from None
    with client:
        yield client


def _check(client: Client, scheduler: str | None, notify: Callable[[str], None]) -> None:
    """Check that there are workers, that each names its memory, and that they run the same versions as this process."""
    try:
        client.wait_for_workers(1, timeout=dispatch.WORKERS_SECONDS if scheduler is None else CONNECT_SECONDS)
    except TimeoutError:
        raise Unavailable(f"{scheduler or 'this machine'}: the scheduler has no worker; start some, see docs/machines.md") from None
    workers = dispatch.memories(client)
    silent = sorted(address for address, memory in workers.items() if not memory)
    if silent:
        raise InputError(f"the worker {silent[0]} doesn't say how much memory it has; start it with `--resources memory=8e9` (bytes)")
    versions: Any = client.get_versions()
    for address, answer in {"of the scheduler": versions["scheduler"], **versions["workers"]}.items():
        for name in TALKING:
            environment.require_equal(address, name, answer["packages"].get(name), versions["client"]["packages"][name])
    for address, found in _asked(client, tasks.describe_environment).items():
        environment.require_same(address, found, environment.describe_own())
        if found.cpu != environment.describe_own().cpu:
            notify(f"the worker {address} has another kind of CPU than this machine: models of some kinds may differ in their last bits")


def _asked(client: Client, question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Return the answer of each worker, by address."""
    try:
        answers: dict[str, Any] = client.run(question, *arguments)
    except Exception as error:
        if environment.cant_load(error):
            raise InputError(f"a worker can't load this library ({dispatch.line(error)}); {environment.SAME_CODE}") from None
        raise
    return answers
