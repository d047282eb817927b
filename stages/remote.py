"""Say whether DVC's remote works; a command, no stage of the DAG: `python -m stages.remote check [NAME]`, see docs/remote.md."""

import argparse
from pathlib import Path

from erawise.history import remote_check
from erawise.running import errors


@errors.reported
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.remote", description=__doc__)
    parser.add_argument("action", choices=["check"])
    parser.add_argument("name", nargs="?", help="of the remote, as `dvc remote list` has it; the default one if not given")
    print(remote_check.check(Path(), parser.parse_args().name))


if __name__ == "__main__":
    main()
