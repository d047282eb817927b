"""Secrets, such as the key of an account: from the environment, or from a file `.env` that nobody else may read."""

import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from erawise.running.errors import InputError
from erawise.sources.numerai.client import PUBLIC_ID, SECRET_KEY


class Missing(InputError):
    """A secret that isn't set."""


LINE = r"""^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^"'\s#]\S*)?)(?:[ \t]+#.*)?[ \t]*$"""
"""A line of `.env`: a name, and a value in double, single or no quotes."""

PRINTABLE = r"[\x21-\x7e]+"

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read(environment: Mapping[str, str], path: Path) -> tuple[str, str]:
    """Return public id and secret key of an account; see `values`."""
    public, secret = values((PUBLIC_ID, SECRET_KEY), environment, path)
    return public, secret


def values(names: Sequence[str], environment: Mapping[str, str], path: Path) -> list[str]:
    """Return secrets by their names; the environment goes before the file.

    Parameters
    ----------
    environment : variables by name.
    path : of a file of lines `NAME=value`, which may be quoted; it may be missing.

    Raises
    ------
    Missing
        If a secret isn't set.
    InputError
        If others than the owner may read the file, or a secret has characters that no key has.
    """
    found = {**_lines(path), **{name: environment[name].strip() for name in names if environment.get(name, "").strip()}}
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise Missing(f"{' and '.join(missing)}: not set; set them in the environment, or as lines NAME=value in {path} (chmod 600)")
    for name in names:
        if not re.fullmatch(PRINTABLE, found[name]):
            raise InputError(f"{name}: it has characters that no key has; expected letters, digits and the like, without spaces")
    return [found[name] for name in names]


def _lines(path: Path) -> dict[str, str]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & OTHERS:
            raise InputError(f"{path}: others on this machine may read it (mode {mode:03o}) and it holds a key; run: chmod 600 {path}")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise InputError(f"{path}: it isn't text; expected lines NAME=value") from None
    found = re.findall(LINE, text, re.MULTILINE)
    return {name: next((value for value in values if value), "") for name, *values in found}
