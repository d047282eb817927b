"""Types of arguments that commands share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token, validators

from erawise.running.errors import UsageError
from erawise.running.terminal import Form


def _minutes(type_: object, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError("Expected a number of minutes, 0 or more.")


def _whole(type_: object, tokens: Sequence[Token]) -> int:
    """Return a whole number; cyclopts would round 1.5."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"expected a whole number (it is {tokens[0].value!r}).") from None


def _from_here(type_: object, tokens: Sequence[Token]) -> Path:
    """Return the absolute path of an argument: the command then runs at the top of the checkout."""
    return Path(tokens[0].value).absolute()


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """The form of a command's output; by default for a terminal."""

    md: Annotated[bool, Parameter(help="Print Markdown.")] = False
    csv: Annotated[bool, Parameter(help="Print CSV.")] = False
    json: Annotated[bool, Parameter(help="Print JSON.")] = False

    @property
    def form(self) -> Form:
        """The form that was asked for.

        Raises
        ------
        UsageError
            If more than one was.
        """
        choices: list[tuple[Form, bool]] = [("md", self.md), ("csv", self.csv), ("json", self.json)]
        asked = [form for form, wanted in choices if wanted]
        if len(asked) > 1:
            raise UsageError("--md, --csv and --json exclude each other; expected one of them at most.")
        return asked[0] if asked else "terminal"


TERMINAL = Output()

Minutes = Annotated[float, Parameter(validator=_minutes)]
"""A number of minutes, 0 or more."""

Whole = Annotated[int, Parameter(converter=_whole, validator=validators.Number(gte=1))]
"""A whole number, at least 1."""

Round = Whole
"""The number of a round."""

RoundOrCurrent = Annotated[int, Parameter(converter=_whole, validator=validators.Number(gte=0))]
"""The number of a round, or 0 for the current one."""

Seed = RoundOrCurrent
"""A seed: a whole number, at least 0."""

Port = Annotated[int, Parameter(converter=_whole, validator=validators.Number(gte=0, lte=65535))]
"""The number of a port; the system chooses one for 0."""

Place = Annotated[Path, Parameter(converter=_from_here)]
"""A file or directory, relative to the directory in which the command is called."""


def about(text: str, **more: Any) -> Parameter:
    """Return the parameter whose text `--help` prints."""
    return Parameter(help=text, **more)
