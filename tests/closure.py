"""The import closure of a module of this repository, read from its source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("erawise", "stages")


def module_path(module: str) -> Path | None:
    """The file of a module, None for what is no module of ours; an empty `__init__.py` doesn't count."""
    if module.split(".")[0] not in PACKAGES:
        return None
    path = ROOT / Path(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.exists() and file.stat().st_size), None)


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def closure(path: Path) -> set[str]:
    """Files of ours that a file imports, itself included, relative to the top of the repository."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += [target for name in imports(current) if (target := module_path(name)) is not None]
    return {item.relative_to(ROOT).as_posix() for item in found}
