"""Types of arguments that commands share."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token, validators


def _minutes(type_: object, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError("Expected a number of minutes, 0 or more.")


def _from_here(type_: object, tokens: Sequence[Token]) -> Path:
    """Return a path as the user sees it, for a command that then runs at the top of the checkout."""
    return Path(tokens[0].value).absolute()


Minutes = Annotated[float, Parameter(validator=_minutes)]
"""A number of minutes, 0 or more."""

Round = Annotated[int, Parameter(validator=validators.Number(gte=1))]
"""The number of a round."""

RoundOrCurrent = Annotated[int, Parameter(validator=validators.Number(gte=0))]
"""The number of a round, or 0 for the current one."""

Place = Annotated[Path, Parameter(converter=_from_here)]
"""A file or directory, relative to the directory in which the command is called."""


def about(text: str, **more: Any) -> Parameter:
    """Return what `--help` says of an argument."""
    return Parameter(help=text, **more)
