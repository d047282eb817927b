"""The rooms of a stage, read from the source: its import closure, and the rooms whose settings it reads."""

import ast
from functools import cache
from pathlib import Path

from erawise import params

ROOT = Path(__file__).parents[1]
PACKAGES = ("erawise", "stages")
RESULT_FREE = ("erawise/running", "erawise/cluster", "erawise/history", "erawise/params.py")
"""Rooms that change no result: no stage declares them, or the modules that they import."""
ROOMS_OF_ROOMS = ("models", "sources")
"""Directories whose subdirectories are the rooms."""


@cache
def module_path(module: str) -> Path | None:
    """Return the file of a module, or None if it isn't ours.

    An empty `__init__.py` doesn't count, and the package itself doesn't, because it loads nothing unless it is asked for a name.
    """
    if module.split(".")[0] not in PACKAGES or module in PACKAGES:
        return None
    path = ROOT / Path(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.exists() and file.stat().st_size), None)


@cache
def imports(path: Path) -> frozenset[str]:
    """Return the dotted names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def relative(path: Path) -> str:
    """Return a file's path from the top of the repository."""
    return path.relative_to(ROOT).as_posix()


def room(name: str) -> str:
    """Return the room of a file, both as paths from the top of the repository; a file outside the rooms is its own room."""
    parts = name.split("/")
    depth = 3 if parts[1] in ROOMS_OF_ROOMS else 2
    return "/".join(parts[:depth]) if len(parts) > depth else name


def is_result_free(name: str) -> bool:
    """Return whether a file is in a room that changes no result."""
    return room(name) in RESULT_FREE


def closure(*paths: Path, through: bool = False) -> set[str]:
    """Return the files of ours that some files import, and these files.

    If `through`, the walk goes on through rooms that change no result. Otherwise it leaves them out.
    """
    found: set[Path] = set()
    waiting = list(paths)
    while waiting:
        current = waiting.pop()
        if current not in found and (through or not is_result_free(relative(current))):
            found.add(current)
            waiting += [target for name in imports(current) if (target := module_path(name)) is not None]
    return {relative(item) for item in found}


def of_kind(kind: str) -> list[Path]:
    """Return the modules of a kind of model, which a stage imports by the kind's name."""
    return sorted(path for path in (ROOT / "erawise" / "models" / kind).glob("*.py") if path.stat().st_size)


def settings_room(section: str) -> str:
    """Return the room that owns the settings of a section of params.yaml; no room for `models`, each of which has a kind."""
    owner = params.Params.model_fields[section].annotation
    if section == "data":
        return "erawise/base"
    if section == "spaces":
        return "erawise/tuning"
    return room(relative(ROOT / Path(*owner.__module__.split(".")).with_suffix(".py")))
