"""Download the raw files from Numerai; `ERAWISE_API_URL` in the environment names another address of the API."""

from pathlib import Path

from erawise import errors, files, params
from erawise.sources import numerai
from stages import paths


@errors.reported
def main() -> None:
    p = params.load(paths.PARAMS)
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        kept = paths.main_checkout(Path.cwd()) / paths.DOWNLOADS
        absent = numerai.write(directory, p.data.version, p.data.round, p.data.feature_set, None, kept)
    if absent:
        print(f"Numerai has no {', '.join(absent)} for {p.data.version}: the scores that need them will be absent")


if __name__ == "__main__":
    main()
