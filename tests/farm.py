"""A scheduler and workers of Dask as separate processes, started by the commands of docs/machines.md."""

import os
import socket
import subprocess
import sys
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
Process = BaseProcess | subprocess.Popen[bytes]


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
    processes: list[Process] = field(default_factory=list)

    def start(self, *command: str, at: Path = ROOT, forked: bool = True) -> Process:
        """Start a process: a fork whose workers are forks too, or a new Python, as a user does."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        log = self.directory / f"log_{len(self.processes)}"
        if forked:
            self.processes.append(forks.start(command, at, log, environment | forks.METHOD))
        else:
            with log.open("wb") as output:
                self.processes.append(
                    subprocess.Popen([sys.executable, "-m", *command], cwd=at, env=environment, stdout=output, stderr=output)
                )
        return self.processes[-1]

    def work(self, *options: str, memory: str = "memory=8e9", at: Path = ROOT, forked: bool = True) -> Process:
        """Start workers."""
        resources = ["--resources", memory] if memory else []
        command = ["dask", "worker", self.address, "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", *resources, *options]
        return self.start(*command, at=at, forked=forked)

    def wait_for(self, workers: int) -> None:
        with Client(self.address) as client:
            client.wait_for_workers(workers, timeout=SECONDS)

    def stop(self, *processes: Process) -> None:
        for process in processes or reversed(self.processes):
            process.kill()
            if isinstance(process, BaseProcess):
                process.join()
            else:
                process.wait()


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
