"""Records of files that were fetched: what the server said, and what is on the disk."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Remote:
    """A server's description of a file: length, validators, and checksum as `algorithm:hex`; None if it doesn't say."""

    length: int | None = None
    etag: str | None = None
    modified: str | None = None
    checksum: str | None = None

    @classmethod
    def of(cls, content: Any) -> "Remote":
        """Read one from JSON.

        Raises
        ------
        ValueError
            If the JSON doesn't describe a file.
        """
        names = {"length": int, "etag": str, "modified": str, "checksum": str}
        if not isinstance(content, dict) or set(content) != set(names):
            raise ValueError("other keys than those of a remote file")
        if not all(content[name] is None or type(content[name]) is kind for name, kind in names.items()):
            raise ValueError("a value of another type")
        return cls(**content)

    @property
    def strong(self) -> str | None:
        """Validator that two different contents never share; None if the server gives none."""
        return None if self.etag is None or self.etag.startswith("W/") else self.etag


@dataclass(frozen=True)
class Projection:
    """Columns of the server's file that ours has, if it doesn't have all.

    Parameters
    ----------
    feature_set : for which it was fetched.
    columns, of : how many it has, and how many the server's has.
    features : SHA-256 of the names of all features; every other column is there.
    """

    feature_set: str
    columns: int
    of: int
    features: str

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Projection":
        return cls(str(content["feature_set"]), int(content["columns"]), int(content["of"]), str(content["features"]))


@dataclass(frozen=True)
class Record:
    """A file that was fetched: what the server said, and what is on the disk; `projected` if that isn't the whole file."""

    remote: Remote
    size: int
    sha256: str
    projected: Projection | None = None

    @classmethod
    def of(cls, content: dict[str, Any]) -> "Record":
        projected = content.get("projected")
        return cls(
            Remote.of(content["remote"]),
            int(content["size"]),
            str(content["sha256"]),
            None if projected is None else Projection.from_json(projected),
        )
