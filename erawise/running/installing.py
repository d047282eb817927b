"""Settings of pip, translated for uv."""

import ast
import subprocess
import sys
from collections.abc import Mapping

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

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
"""Settings of pip, the variable of uv for each, and the separator of its values."""

SECTIONS = "global", "install", ":env:"
"""Sections of pip's settings, the strongest last."""

SAME = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""Older names of the same variables."""


def configured() -> str:
    """Return what `pip config list` prints: lines such as `global.index-url='...'`."""
    return subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False).stdout


def surroundings(settings_of_pip: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables with which uv installs as pip would; variables of uv go before pip's settings.

    Parameters
    ----------
    settings_of_pip : see `configured`.
    environment : variables of this process.
    """
    lines = [line.partition("=") for line in settings_of_pip.splitlines()]
    settings = {key: str(ast.literal_eval(value)) for key, is_one, value in lines if is_one}
    found = {}
    for section in SECTIONS:
        for name, (variable, separator) in NAMES.items():
            if value := settings.get(f"{section}.{name}", "").split():
                found[variable] = separator.join(value)
    known = {name: value for name, value in found.items() if SAME.get(name, name) not in environment}
    # as in pip: the best version of all indexes, and the certificates of the system
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true"} | known | dict(environment)
