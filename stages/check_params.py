"""Check the whole of params.yaml before anything runs; a command, no stage: DVC runs a stage only where it sees a change."""

from erawise import errors, params
from stages import paths


@errors.reported
def main() -> None:
    params.load(paths.PARAMS)


if __name__ == "__main__":
    main()
