"""A Python object in one file, by skops: the same bytes for the same object, and only types of named packages when it is read."""

import json
import zipfile
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any

from erawise.models.shared import arrays
from erawise.running.errors import InputError

SCHEMA, ABOUT = "schema.json", "about.json"
ADDRESS, FILE = "__id__", "file"
"""Keys of the schema whose values differ between two runs: an address in memory, and a name that is made of one."""

TRUSTED = ("numpy", "scipy", "sklearn")
"""Packages whose types are read in addition to the named ones."""


def save(value: Any, path: Path, about: dict[str, Any] | None = None) -> None:
    """Write an object; skops's addresses and file names are replaced by numbers in their order.

    Parameters
    ----------
    about : more to keep in the file, as JSON, for `read_about`.

    Raises
    ------
    InputError
        If skops can't store it.
    """
    import skops.io

    try:
        content = zipfile.ZipFile(BytesIO(skops.io.dumps(value)))
    except Exception as error:  # of any type: skops calls the object's own methods
        raise InputError(
            f"a model of {type(value).__module__}.{type(value).__qualname__} can't be stored by skops ({_line(error)})"
        ) from None
    addresses: dict[int, int] = {}
    names: dict[str, str] = {}
    schema = _numbered(json.loads(content.read(SCHEMA)), addresses, names)
    entries = {new: content.read(old) for old, new in names.items()}
    arrays.write_archive(entries | {SCHEMA: json.dumps(schema).encode(), ABOUT: json.dumps(about).encode()}, path)


def read_about(path: Path) -> Any:
    """Return what `save` was told about the object.

    Raises
    ------
    InputError
        If the file is missing or broken.
    """
    try:
        with zipfile.ZipFile(path) as content:
            return json.loads(content.read(ABOUT))
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; train the model again") from None
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a readable model ({_line(error)}); train the model again") from None


def load(path: Path, packages: Collection[str]) -> Any:
    """Read an object.

    Parameters
    ----------
    path : the file.
    packages : packages, or modules, whose types may be made in addition to `TRUSTED`.

    Raises
    ------
    InputError
        If the file is missing or broken, or holds a type of another package.
    """
    import skops.io

    if not path.exists():
        raise InputError(f"{path}: the file is missing; train the model again")
    try:
        asked = skops.io.get_untrusted_types(file=path)
        foreign = [name for name in asked if not any(name.startswith(f"{package}.") for package in (*TRUSTED, *packages))]
        if not foreign:
            return skops.io.load(path, trusted=asked)
    except Exception as error:  # a file from elsewhere can make the parsers raise anything
        raise InputError(f"{path}: not a readable model ({_line(error)}); train the model again") from None
    raise arrays.broken(path, f"it holds {foreign[0]}, which isn't of {', '.join(sorted({*TRUSTED, *packages}))}")


def _numbered(node: Any, addresses: dict[int, int], names: dict[str, str]) -> Any:
    """Return a node of the schema with numbers in place of addresses and of the stems of file names."""
    if isinstance(node, list):
        return [_numbered(item, addresses, names) for item in node]
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for key, value in node.items():
        if key == ADDRESS and isinstance(value, int):
            found[key] = addresses.setdefault(value, len(addresses))
        elif key == FILE and isinstance(value, str):
            found[key] = names.setdefault(value, f"{len(names)}{Path(value).suffix}")
        else:
            found[key] = _numbered(value, addresses, names)
    return found


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
