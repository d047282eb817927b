"""Era-wise scores, neutralization, folds and honest comparisons for the Numerai tournament.

Each name is loaded when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from erawise.lab.auditing import audit
    from erawise.lab.crossvalidation import CombinatorialPurged, EraCorr, PurgedKFold, WalkForward, era_corr_scorer
    from erawise.lab.library import bmc, compare, fnc, gaussianize, interval, mmc, neutralize, numerai_corr, score
    from erawise.panel.panel import Panel

__all__ = [
    "CombinatorialPurged",
    "EraCorr",
    "Panel",
    "PurgedKFold",
    "WalkForward",
    "audit",
    "bmc",
    "compare",
    "era_corr_scorer",
    "fnc",
    "gaussianize",
    "interval",
    "mmc",
    "neutralize",
    "numerai_corr",
    "score",
]

_MODULES = {"Panel": "panel.panel", "audit": "lab.auditing"} | dict.fromkeys(
    ("CombinatorialPurged", "EraCorr", "PurgedKFold", "WalkForward", "era_corr_scorer"), "lab.crossvalidation"
)
"""The module of each name; the others are in `lab.library`."""


def __getattr__(name: str) -> Any:
    """Return a name of `__all__` from its module, and keep it."""
    if name not in __all__:
        raise AttributeError(f"module 'erawise' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"erawise.{_MODULES.get(name, 'lab.library')}"), name)
    return found


def __dir__() -> list[str]:
    """Return the names of the top level, without loading them."""
    return sorted({*globals(), *__all__})
