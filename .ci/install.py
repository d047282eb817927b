"""Install the packages of requirements files, and this checkout, into this environment: by uv the way that pip is configured, else by pip.

Run by `make` as `.venv/bin/python .ci/install.py requirements.txt`. requirements-setup.txt pins uv. Settings of uv that are in the
environment come before those of pip.
"""

import ast
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Mapping

LEAST_PIP = 21, 3
"""The first version that installs a checkout without a setup.py, and the wheels of TensorFlow and LightGBM."""

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
INSTALL = [*PIP, "install", "--quiet"]
CHECKOUT = ["--no-deps", "--no-build-isolation", "--editable", "."]
"""The checkout itself, of which an edit takes effect at once; setuptools, which builds it, is one of the packages."""

NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
}
"""Settings of pip, what uv has in their place in the environment, and what separates its values there."""

SECTIONS = "global", "install", ":env:"
"""Of pip's settings, the strongest last."""

SAME = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""Other names of the same settings."""


def configured() -> str:
    """Return what `pip config list` prints: lines such as `global.index-url='...'`."""
    return subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False).stdout


def surroundings(settings_of_pip: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which uv does what pip would do.

    Parameters
    ----------
    settings_of_pip : see `configured`.
    environment : that of this process.
    """
    lines = [line.partition("=") for line in settings_of_pip.splitlines()]
    settings = {key: str(ast.literal_eval(value)) for key, is_one, value in lines if is_one}
    found = {}
    for section in SECTIONS:
        for name, (variable, separator) in NAMES.items():
            if value := settings.get(f"{section}.{name}", "").split():
                found[variable] = separator.join(value)
    known = {name: value for name, value in found.items() if SAME.get(name, name) not in environment}
    # as pip does: the best version of all indexes, the certificates of the system, and compiled modules, which no stage writes
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true", "UV_COMPILE_BYTECODE": "true"} | known | dict(environment)


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
