"""Install the packages of requirements files, and this checkout, into this environment: by uv the way that pip is configured, else by pip.

Run by `make` as `.venv/bin/python .ci/install.py requirements.txt`. requirements-setup.txt pins uv. Settings of uv that are in the
environment come before those of pip.
"""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout, which isn't installed yet

from erawise.running.installing import PIP, configured, surroundings

LEAST_PIP = 21, 3
"""The first version that installs a checkout without a setup.py, and the wheels of TensorFlow and LightGBM."""

INSTALL = [*PIP, "install", "--quiet"]
CHECKOUT = ["--no-deps", "--no-build-isolation", "--editable", "."]
"""The checkout itself, of which an edit takes effect at once; setuptools, which builds it, is one of the packages."""


def by_uv(wanted: list[list[str]]) -> str:
    """Install one after the other by uv; return why it can't be done, which is empty if it was done."""
    if subprocess.run([*INSTALL, "-r", "requirements-setup.txt"], check=False).returncode:
        return "uv can't be installed"
    environment = surroundings(configured(), os.environ)
    for what in wanted:
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, *what]
        if code := subprocess.run(command, env=environment, check=False).returncode:
            return f"uv ended with {code}"
    return ""


def main(files: list[str]) -> int:
    version = importlib.metadata.version("pip")
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_PIP:
        remedy = f"run `{sys.executable} -m pip install --upgrade pip`"
        print(
            f"error: pip {version} is too old for the packages; {'.'.join(map(str, LEAST_PIP))} or later is needed: {remedy}",
            file=sys.stderr,
        )
        return 1
    wanted = [[part for file in files for part in ("-r", file)], CHECKOUT]
    if why := by_uv(wanted):
        print(f"{why}, so pip installs {', '.join(files)}, which takes longer", file=sys.stderr)
        return next((code for what in wanted if (code := subprocess.run([*INSTALL, *what], check=False).returncode)), 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
