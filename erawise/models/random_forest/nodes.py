"""The loops over the nodes of a forest: compiled if that pays, else plain numpy."""

from types import ModuleType

from erawise.base import jit
from erawise.models.random_forest import nodes_plain


def loops(pays: bool) -> ModuleType:
    """Return the compiled loops if they pay, else the plain ones. To load and compile them takes seconds in a fresh clone."""
    if not pays or not jit.enabled():
        return nodes_plain
    from erawise.models.random_forest import nodes_compiled

    return nodes_compiled
