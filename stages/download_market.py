"""Draw the raw files of the embedded market from its seed."""

from erawise import errors, files, params
from erawise.sources import layout, market
from stages import paths


@errors.reported
def main() -> None:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        market.write(p.data.market, directory)
        layout.check_all(directory)


if __name__ == "__main__":
    main()
