"""Downloaded files, kept from one run to the next, with a record of each."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from erawise.base import files
from erawise.running.errors import InputError
from erawise.running.progress import SILENT, Progress
from erawise.sources.numerai import fetching, ranges
from erawise.sources.numerai.attempts import Patience
from erawise.sources.numerai.columns import Columns
from erawise.sources.numerai.fetching import Download
from erawise.sources.numerai.records import Record
from erawise.sources.numerai.spans import Budget

MANIFEST = "manifest.json"


class Store:
    """A directory of downloaded files with a manifest of their length, SHA-256, the server's validators, and whether all columns are there.

    Each call asks the server. A file is fetched again only if ours has changed or the server has another version.
    """

    def __init__(
        self, directory: Path, patience: Patience | None = None, budget: Budget | None = None, progress: Progress = SILENT
    ) -> None:
        self.directory, self.progress = directory, progress
        self.patience, self.budget = patience or Patience(), budget or Budget()

    def get(self, name: str, what: str, locate: Callable[[], str], check: Callable[[Path], None], columns: Columns | None = None) -> Path:
        """Return the path of our file, after an update to the server's current version; see `fetching.fetch`.

        If `columns` are given, our Parquet file may lack other columns; see `ranges.fetch`.

        Raises
        ------
        InputError
            If the file can't be fetched or used.
        """
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        download = Download(locate, path, what, check, self.patience, self.progress)
        known, done = partial(self.known, name), partial(self._note, name)
        if columns is None:
            fetching.fetch(download, known, done)
        else:
            ranges.fetch(download, columns, self.budget, known, done)
        return path

    def known(self, name: str) -> Record | None:
        """Return the manifest's record of a file."""
        content = self._manifest().get(name)
        try:
            return None if content is None else Record.from_json(content)
        except (KeyError, TypeError, ValueError):
            return None

    def _note(self, name: str, record: Record) -> None:
        with files.exclusive_lock(self.directory / MANIFEST, MANIFEST):
            files.write_json(self._manifest() | {name: asdict(record)}, self.directory / MANIFEST)

    def _manifest(self) -> dict[str, Any]:
        try:
            content = files.read_json(self.directory / MANIFEST)
        except InputError:
            return {}
        return content if isinstance(content, dict) else {}
