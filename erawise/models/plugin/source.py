"""The source of a plug-in: run as a module, checked, and called so that an error in it is one line with its place."""

import ast
import inspect
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from erawise.running.errors import InputError

FIT, PREDICT, SAVE, LOAD = "fit", "predict", "save", "load"
PARAMETERS = {
    FIT: ("x", "y", "era", "settings", "seed"),
    PREDICT: ("model", "x"),
    SAVE: ("model", "directory"),
    LOAD: ("directory",),
}
"""The parameters of each function, by position; `save` and `load` may both be absent."""


@dataclass(frozen=True)
class Source:
    """A plug-in: its name, and its text."""

    name: str
    text: str

    @property
    def path(self) -> str:
        """The path of the file."""
        return f"plugins/{self.name}.py"

    @property
    def module(self) -> str:
        """The name of the module, under which its classes are stored; without a dot, since a package would have to be there."""
        return f"plugins_{self.name}"

    @property
    def imported(self) -> list[str]:
        """The packages that it imports, Python's own aside: skops may make their types."""
        nodes = list(ast.walk(ast.parse(self.text)))
        names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        return sorted({name.partition(".")[0] for name in names} - set(sys.stdlib_module_names))

    @property
    def stores_itself(self) -> bool:
        """True if it has `save` and `load`."""
        return callable(getattr(self.loaded(), SAVE, None))

    def loaded(self) -> ModuleType:
        """Return the module, and let its name stand for it: its classes are stored by that name."""
        module = sys.modules[self.module] = _run(self)
        return module

    def require_usable(self) -> None:
        """Run the file, and check that it has the functions of a plug-in.

        Raises
        ------
        InputError
            If it can't be run, or lacks a function or a parameter.
        """
        found = self.loaded()
        wanted = [FIT, PREDICT, *(name for name in (SAVE, LOAD) if hasattr(found, SAVE) or hasattr(found, LOAD))]
        for name in wanted:
            function = getattr(found, name, None)
            expected = f"{name}({', '.join(PARAMETERS[name])})"
            if not callable(function):
                raise InputError(f"{self.path}: it has no function {expected}; plugins/README.md has an example")
            try:
                inspect.signature(function).bind(*PARAMETERS[name])
            except TypeError as error:
                raise InputError(f"{self.path}: {name} can't be called as {expected}: {error}") from None

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of the plug-in.

        Raises
        ------
        InputError
            If it raises an error; the message has the line.
        """
        function = getattr(self.loaded(), name)
        try:
            return function(*arguments)
        except Exception as error:  # of any type: it is the user's code
            raise self._error(error, f", in {name}") from error

    def _error(self, error: Exception, where: str = "") -> InputError:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.path]
        line = error.lineno if isinstance(error, SyntaxError) else next(reversed(lines), None)
        message = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
        return InputError(f"{self.path}{f', line {line}' if line else ''}{where}: {type(error).__name__}: {message}")


@cache
def _run(source: Source) -> ModuleType:
    """Run the text as a module."""
    module = ModuleType(source.module)
    module.__file__ = source.path
    before = sys.modules.get(source.module)
    sys.modules[source.module] = module
    try:
        exec(compile(source.text, source.path, "exec"), module.__dict__)
    except Exception as error:  # of any type: it is the user's code
        if before is None:
            del sys.modules[source.module]
        else:
            sys.modules[source.module] = before
        raise source._error(error) from error
    return module
