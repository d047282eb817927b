"""The check that the processes that fit together run the same Python, packages and code."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from erawise.running import runner
from erawise.running.errors import InputError

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
    "skops",
    "tensorflow",
    "tensorflow-cpu",
    "threadpoolctl",
)
"""Packages that results, or their transfer between processes, depend on."""

CPU = Path("/proc/cpuinfo")

SAME_CODE = "start the scheduler and every worker anew, at the top of a checkout of this commit, with the packages of requirements.txt"


@dataclass(frozen=True)
class Environment:
    """The environment of a process: versions of Python and packages, and digests of this library's code and the CPU's abilities."""

    versions: dict[str, str]
    code: str
    cpu: str


@cache
def describe() -> Environment:
    """Return the environment of a worker."""
    return Environment(runner.versions(PACKAGES), _code(), _cpu())


def describe_own() -> Environment:
    """Return the environment of this process, which sends the jobs."""
    return describe()


def require_same(address: str, found: Environment, expected: Environment) -> None:
    """Check that a worker has the environment of this process; only its kind of CPU may differ.

    Raises
    ------
    InputError
        If the version of a package differs, with the first one, or if the code differs.
    """
    for name in sorted({*expected.versions, *found.versions}):
        require_equal(address, name, found.versions.get(name), expected.versions.get(name))
    if found.code != expected.code:
        raise InputError(f"the worker {address} runs another version of erawise than this process; {SAME_CODE}")


def require_equal(address: str, name: str, found: str | None, expected: str | None) -> None:
    """Raise `InputError` if a worker has another version of a package than this process."""
    if found != expected:
        raise InputError(f"the worker {address} has {name} {found or 'nowhere'}, and this process {expected or 'has none'}; {SAME_CODE}")


def cant_load(error: Exception) -> bool:
    """Return whether an error means that a process lacks code; Dask raises errors of several types for it."""
    return isinstance(error, ImportError | AttributeError) or any(text in str(error) for text in ("ModuleNotFoundError", "deserializ"))


def _code() -> str:
    """Return a digest of the code of this library."""
    digest = hashlib.sha256()
    top = Path(__file__).parents[1]
    for path in sorted(top.rglob("*.py")):
        digest.update(path.relative_to(top).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _cpu() -> str:
    """Return a digest of the instruction sets that a Linux machine's CPU has; empty elsewhere."""
    if not CPU.exists():
        return ""
    flags = next((line for line in CPU.read_text().splitlines() if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(flags.encode()).hexdigest()
