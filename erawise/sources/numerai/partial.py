"""A file of which some ranges have come, with notes from which another process can continue."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from erawise.base import files
from erawise.sources.numerai.answers import CHUNK_BYTES
from erawise.sources.numerai.records import Remote
from erawise.sources.numerai.spans import Span


class Partial:
    """A sparse file with ranges of the server's file at their positions, and notes on these ranges.

    The first line of the notes describes the server's file. Each further line has start, stop and SHA-256 of a range.
    """

    def __init__(self, path: Path, notes: Path) -> None:
        self.path, self.notes = path, notes
        self.noted: dict[Span, str] = {}

    def begin(self, remote: Remote, length: int, tail: bytes) -> None:
        """Keep the ranges that are there if they are of the same content, else start anew; write the file's end."""
        noted, self.noted = self._read()
        if noted != remote or not self.path.exists() or self.path.stat().st_size != length:
            self.forget()
            with self.path.open("wb") as file:
                file.truncate(length)
            self.notes.write_text(json.dumps(asdict(remote)) + "\n", encoding="utf-8")
        with self.path.open("r+b") as file:
            file.seek(length - len(tail))
            file.write(tail)

    def _read(self) -> tuple[Remote | None, dict[Span, str]]:
        try:
            first, *lines = self.notes.read_text(encoding="utf-8").splitlines()
            remote = Remote.from_json(json.loads(first))
            pieces = [json.loads(line) for line in lines]
            return remote, {(int(start), int(stop)): str(sha256) for start, stop, sha256 in pieces}
        except (OSError, ValueError, TypeError):
            return None, {}

    def missing(self, pieces: Sequence[Span]) -> list[Span]:
        """Return the ranges that are missing or have changed."""
        if not self.noted:
            return list(pieces)
        with self.path.open("rb") as file:
            return [piece for piece in pieces if piece not in self.noted or _hashed(file, piece) != self.noted[piece]]

    def note(self, span: Span, sha256: str) -> None:
        """Note that a range has come."""
        self.noted[span] = sha256
        with self.notes.open("a", encoding="utf-8") as file:
            file.write(json.dumps([*span, sha256]) + "\n")

    def forget(self) -> None:
        """Remove the file and its notes."""
        self.noted = {}
        files.remove(self.path)
        files.remove(self.notes)


def _hashed(file: BinaryIO, span: Span) -> str:
    file.seek(span[0])
    hashed = hashlib.sha256()
    left = span[1] - span[0]
    while left and (chunk := file.read(min(left, CHUNK_BYTES))):
        hashed.update(chunk)
        left -= len(chunk)
    return hashed.hexdigest()
