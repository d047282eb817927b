"""Fetch or draw the raw files from the source that `data.source` names. `ERAWISE_API_URL` sets another address of Numerai's API."""

import importlib
from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.sources import layout


@runner.stage("download")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    source = importlib.import_module(f"erawise.sources.{p.data.source}.source")
    with files.replacing(paths.RAW) as directory:
        directory.mkdir()
        remark = source.download(p.data, directory, paths.main_checkout(Path.cwd()) / paths.DOWNLOADS, progress)
        rows = layout.rows(directory)
    if remark:
        print(remark)
    return runner.Done([paths.RAW], rows)


if __name__ == "__main__":
    main()
