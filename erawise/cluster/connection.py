"""Fits as tasks of Dask, on processes of this machine or of others: `jobs.Engine` by `distributed`.

A task is told where the data lies and gets none of it; what comes back is predictions and fitted models. Each says how much memory it
takes, and a worker is given no more of them at once than it has said it has. Results are those of one machine, bit by bit, since every
fit has the same number of threads; only machines of another kind of CPU may differ in the last bits of some kinds of models.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
from distributed import Client, LocalCluster

from erawise.cluster import dispatch, kits, sites, tasks, worker
from erawise.cluster.messages import MEMORY
from erawise.models.shared.protocol import Resources
from erawise.running.errors import InputError, Unavailable

TALKING = ("python", "dask", "distributed", "cloudpickle", "msgpack", "tornado")
"""Packages on which it hangs that processes understand each other at all."""

CONNECT_SECONDS = 10
"""How long a scheduler may take to answer."""

LIMIT_SETTINGS = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause", "terminate")}
"""Dask's own limits count the pages of mapped files, which the system takes back where it needs them."""


@contextmanager
def engine(site: sites.Site, scheduler: str | None, workers: int, resources: Resources) -> Iterator[dispatch.Cluster]:
    """Connect to a scheduler, or start workers on this machine, and leave neither a task nor a process behind.

    Parameters
    ----------
    site : the data.
    scheduler : its address; None starts `workers` processes here, each of which may take its share of `resources.memory`.
    resources : what each fit may use; its `say` is told what a person should know.

    Raises
    ------
    InputError
        If a worker runs other versions than this process, or doesn't say how much memory it has.
    Unavailable
        If the scheduler doesn't answer, or has no worker.
    """
    say = resources.say
    with _client(scheduler, workers, resources.memory) as client:
        _check(client, scheduler, say)
        count = len(dispatch.memories(client))
        say(f"{count} worker{'' if count == 1 else 's'} of Dask, the dashboard is at {client.dashboard_link}")
        cluster = dispatch.Cluster(client, site, all(_asked(client, worker.sees, site).values()), say)
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
            "at the top of a checkout, check the address and what "
            "stands between, or set it to null for workers on this machine"
        ) from None
    with client:
        yield client


def _check(client: Client, scheduler: str | None, say: Callable[[str], None]) -> None:
    """Check that there are workers, that they say what they have, and run what this process runs."""
    try:
        client.wait_for_workers(1, timeout=dispatch.WORKERS_SECONDS if scheduler is None else CONNECT_SECONDS)
    except TimeoutError:
        raise Unavailable(f"{scheduler or 'this machine'}: the scheduler has no worker; start some, see docs/machines.md") from None
    workers = dispatch.memories(client)
    silent = sorted(address for address, memory in workers.items() if not memory)
    if silent:
        raise InputError(f"the worker {silent[0]} doesn't say how much memory it may take; start it with `--resources memory=8e9` (bytes)")
    versions: Any = client.get_versions()
    for address, answer in {"of the scheduler": versions["scheduler"], **versions["workers"]}.items():
        for name in TALKING:
            kits.require_equal(address, name, answer["packages"].get(name), versions["client"]["packages"][name])
    for address, found in _asked(client, tasks.kit).items():
        kits.require_same(address, found, kits.own_kit())
        if found.cpu != kits.own_kit().cpu:
            say(f"the worker {address} has another kind of CPU than this machine: models of some kinds may differ in their last bits")


def _asked(client: Client, question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Return what each worker answers."""
    try:
        answers: dict[str, Any] = client.run(question, *arguments)
    except Exception as error:
        if kits.cant_load(error):
            raise InputError(f"a worker can't load this library ({dispatch.line(error)}); {kits.SAME_CODE}") from None
        raise
    return answers
