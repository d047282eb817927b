"""Environments with Numerai's packages for models, one for each of its Pythons.

uv makes them, and installs a Python that is missing. They are kept in the user's cache, for all checkouts.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from erawise.base import files
from erawise.running import installing
from erawise.running.errors import InputError

COMMIT = "19d1769"
"""The commit of numerai/numerai-predict from which `PINS` are."""

PINS = {
    "3.10": {"numpy": "1.26.4", "pandas": "2.2.1", "scipy": "1.11.4", "lightgbm": "4.0.0", "pyarrow": "14.0.1"},
    "3.11": {"numpy": "2.1.3", "pandas": "2.3.2", "scipy": "1.16.2", "lightgbm": "4.6.0", "pyarrow": "21.0.0"},
    "3.12": {"numpy": "2.1.3", "pandas": "2.3.2", "scipy": "1.16.2", "lightgbm": "4.5.0", "pyarrow": "18.1.0"},
    "3.13": {"numpy": "2.2.6", "pandas": "2.3.3", "scipy": "1.17.1", "lightgbm": "4.5.0", "pyarrow": "18.1.0"},
}
"""Versions of packages by Python, from the lock of Numerai's images: the packages that the pickle needs, and pyarrow, which reads live
data."""

NEWEST = max(PINS, key=lambda python: int(python.removeprefix("3.")))
"""The Python of the check if Numerai isn't asked for its default."""

COMPLETE = "packages.json"
"""The file with an environment's packages, written once all of them are installed."""


def interpreters(pythons: Iterable[str]) -> dict[str, Path]:
    """Return the interpreters of environments by their Python; an environment that isn't complete or has other packages is made again.

    Raises
    ------
    InputError
        If an environment can't be made; the message names all of these.
    """
    found, problems = {}, []
    for python in pythons:
        try:
            found[python] = _interpreter(python, _cache() / python)
        except InputError as problem:
            problems.append(str(problem))
    if problems:
        raise InputError(f"upload: the check can't be made: {'; '.join(problems)}; or skip it with --no-check")
    return found


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "erawise" / "numerai"


def _interpreter(python: str, directory: Path) -> Path:
    interpreter, complete = directory / "bin" / "python", directory / COMPLETE
    packages = [f"{name}=={version}" for name, version in PINS[python].items()]
    directory.parent.mkdir(parents=True, exist_ok=True)
    with files.exclusive_lock(directory, f"the environment of Python {python}"):
        if complete.exists() and interpreter.exists() and _packages(complete) == packages:
            return interpreter
        files.remove(directory)
        uv, surroundings = _uv(), _surroundings()
        made = _run([*uv, "venv", "--no-project", "--python", python, str(directory)], surroundings)
        if made.returncode:
            raise InputError(
                f"there is no Python {python} here, and uv can't bring it; run `uv python install {python}`, or choose another by --python"
            )
        installed = _run([*uv, "pip", "install", "--python", str(interpreter), *packages], surroundings)
        if installed.returncode:
            absent = re.search(r"you require ([^\s,]+)", installed.stderr)
            why = f"{absent[1]} can't be had" if absent else f"uv ends with {installed.returncode}"
            raise InputError(f"Numerai's packages for Python {python} can't be installed ({why}); check that pip reaches a package index")
        files.write_json(packages, complete)
    return interpreter


def _packages(complete: Path) -> object:
    try:
        return files.read_json(complete)
    except InputError:
        return None


def _uv() -> list[str]:
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    if found := shutil.which("uv"):
        return [found]
    raise InputError("uv isn't there, which makes the check's environments; run `python -m pip install -r requirements-setup.txt`")


def _surroundings() -> dict[str, str]:
    """Return the environment variables of uv: pip's settings, and a PATH with pyenv's Pythons, which uv sees only if they are activated."""
    found = installing.surroundings(installing.configured(), os.environ)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob("versions/*/bin")
    path = os.pathsep.join([found.get("PATH", os.defpath), *map(str, sorted(pyenv))])
    return found | {"PATH": path}


def _run(command: list[str], surroundings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
