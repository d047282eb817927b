"""uv set up as pip is: what pip is configured for, in uv's words."""

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
"""Settings of pip, what uv has in their place in the environment, and what separates its values there."""

SECTIONS = "global", "install", ":env:"
"""Of pip's settings, the strongest last."""

SAME = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
"""Other names of the same settings."""


def configured() -> str:
    """Return what `pip config list` prints: lines such as `global.index-url='...'`."""
    return subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False).stdout


def surroundings(settings_of_pip: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which uv does what pip would do; what `environment` has for uv goes before pip's settings.

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
    # as pip does: the best version of all indexes, and the certificates of the system
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "true"} | known | dict(environment)
