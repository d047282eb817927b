"""A scheduler and workers of Dask as separate processes, started by the commands of docs/machines.md."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from closure import ROOT
from distributed import Client

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
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *command: str, prefix: Sequence[str] = (), at: Path = ROOT) -> subprocess.Popen[bytes]:
        """Start a process in its own session."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
        with (self.directory / f"log_{len(self.processes)}").open("wb") as log:
            arguments = [*prefix, sys.executable, "-m", *command]
            process = subprocess.Popen(arguments, cwd=at, env=environment, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        return process

    def work(self, *options: str, memory: str = "memory=8e9", prefix: Sequence[str] = (), at: Path = ROOT) -> subprocess.Popen[bytes]:
        """Start workers."""
        resources = ["--resources", memory] if memory else []
        command = ["dask", "worker", self.address, "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", *resources, *options]
        return self.start(*command, prefix=prefix, at=at)

    def wait_for(self, workers: int) -> None:
        with Client(self.address) as client:
            client.wait_for_workers(workers, timeout=SECONDS)

    def stop(self, *processes: subprocess.Popen[bytes]) -> None:
        for process in processes or reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def farm(directory: Path, host: str = "127.0.0.1") -> Iterator[Farm]:
    """Start a scheduler without workers, and yield it once it answers."""
    directory.mkdir(parents=True, exist_ok=True)
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    own = Farm(f"tcp://{host}:{port}", directory)
    own.start("dask", "scheduler", "--host", host, "--port", str(port), "--no-dashboard")
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection((host, port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise TimeoutError(f"{own.address} doesn't answer")
        yield own
    finally:
        own.stop()
