"""The command line: `erawise COMMAND`, or `python -m erawise COMMAND`."""

import sys

from erawise.running import errors


@errors.reported
def main() -> None:
    """Run the command of the command line; an error ends it with a line and its exit code."""
    from erawise.commands import menu

    menu.run(sys.argv[1:])


if __name__ == "__main__":
    main()
