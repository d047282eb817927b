"""A scheduler and workers of Dask as separate processes, started by the commands of docs/machines.md."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import forks
from closure import ROOT
from distributed import Client
from waiting import until

SECONDS = 60


@dataclass
class Farm:
    """A scheduler with its workers.

    Parameters
    ----------
    address : the scheduler's address.
    directory : the directory of logs.
    """

    address: str
    directory: Path
    processes: list[BaseProcess] = field(default_factory=list)

    def start(self, *command: str, at: Path = ROOT) -> BaseProcess:
        """Start a process."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        process = forks.start(command, at, self.directory / f"log_{len(self.processes)}", environment | forks.METHOD)
        self.processes.append(process)
        return process

    def work(self, *options: str, memory: str = "memory=8e9", at: Path = ROOT) -> BaseProcess:
        """Start workers."""
        resources = ["--resources", memory] if memory else []
        command = ["dask", "worker", self.address, "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", *resources, *options]
        return self.start(*command, at=at)

    def wait_for(self, workers: int) -> None:
        with Client(self.address) as client:
            client.wait_for_workers(workers, timeout=SECONDS)

    def stop(self, *processes: BaseProcess) -> None:
        for process in processes or reversed(self.processes):
            process.kill()
            process.join()


@contextmanager
def farm(directory: Path) -> Iterator[Farm]:
    """Start a scheduler without workers, and yield it once it answers."""
    host = "127.0.0.1"
    directory.mkdir(parents=True, exist_ok=True)
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    own = Farm(f"tcp://{host}:{port}", directory)

    def answers() -> bool:
        with socket.socket() as caller:
            return caller.connect_ex((host, port)) == 0

    own.start("dask", "scheduler", "--host", host, "--port", str(port), "--no-dashboard")
    try:
        until(answers, SECONDS)
        yield own
    finally:
        own.stop()
