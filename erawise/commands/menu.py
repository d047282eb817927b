"""The menu: every command with its group and its line in `erawise --help`; a command is imported when it is called."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console

from erawise.commands import checkout
from erawise.running.errors import UsageError

PACKAGE = __name__.rpartition(".")[0]

COMMANDS = {
    "The last run": {
        "check": "Check params.yaml and dvc.lock before a run.",
        "show": "Print what to send and why, and the scores of the last run.",
        "report": "Write the page about the last run, report.html.",
    },
    "Experiments": {
        "score": "Score files of predictions, whatever made them.",
        "compare": "Compare two runs: is the difference more than luck?",
        "cadence": "Measure what retraining is worth, by how often.",
        "history": "List the runs that were evaluated in this checkout.",
        "canary": "Find leaks: run the pipeline on data in which there is nothing to find.",
        "audit": "Find leaks in a way to make predictions, or in a file of predictions.",
    },
    "The tournament": {
        "submit": "Send predictions to the open round.",
        "upload": "Build the model that Numerai runs itself, prove it, and send it.",
        "monitor": "Compare live scores with what validation promised.",
        "diagnostics": "Compare the site's diagnostics of validation with ours.",
        "payout": "Estimate what the scores would pay, and divide a stake.",
        "webhook": "Send predictions whenever Numerai calls.",
    },
    "The project": {
        "remote": "Test DVC's remote.",
        "review": "Write the comment on a pull request.",
    },
}
"""The line of each command, by its group."""

ANYWHERE = ("audit", "score")
"""Commands that need no checkout; they look for one themselves if they want it."""

ABOUT = """A reproducible Numerai pipeline on DVC: `dvc repro` runs it, and these commands do the rest.

They work in every directory of a checkout, and `audit` and `score --data` everywhere.
`erawise COMMAND --help` has an example and the exit codes of one."""


class Printer(Console):
    """A printer of help that ends as other output does if nobody reads it any more."""

    def on_broken_pipe(self) -> None:
        """Leave the error to the command line."""
        raise


def run(words: Sequence[str]) -> None:
    """Run a command, at the top of the checkout if it needs one.

    Parameters
    ----------
    words : of the command line, the first of which is the command.

    Raises
    ------
    UsageError
        If there is no such command or option, or a value isn't allowed.
    InputError
        If this is no checkout, or a checkout of other code; or by the command.
    """
    try:
        command, given, _ = _app(words[0] if words else "").parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise UsageError(f"{' '.join(str(error).split())} See `erawise --help`.") from None
    if command.__module__.startswith(PACKAGE) and command.__name__ not in ANYWHERE:
        os.chdir(checkout.top())
    command(*given.args, **given.kwargs)


def _app(called: str) -> App:
    """Return the menu; the command that is called has its own help in place of its line."""
    app = App(
        name="erawise",
        help=ABOUT,
        help_format="markdown" if any(called in commands for commands in COMMANDS.values()) else "plaintext",
        help_formatter="default" if sys.stdout.isatty() else "plain",
        console=Printer(),
        version=_version,
        default_parameter=Parameter(negative=()),
    )
    for title, commands in COMMANDS.items():
        group = Group.create_ordered(title)
        for name, line in commands.items():
            app.command(f"{PACKAGE}.{name}:{name}", name=name, group=group, help=None if name == called else line)
    app.register_install_completion_command(help="Complete commands and options in this shell.")
    return app


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("erawise")
    except metadata.PackageNotFoundError:
        return "erawise isn't installed: it runs from the directory of its code"
