"""Records of fetched files: the server's description, and the file on the disk."""

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
    def from_json(cls, content: Any) -> "Remote":
        """Read a description from JSON.

        Raises
        ------
        ValueError
            If the JSON doesn't describe a file.
        """
        names = {"length": int, "etag": str, "modified": str, "checksum": str}
        if not isinstance(content, dict) or set(content) != set(names):
            raise ValueError("the keys aren't a remote file's")
        if not all(content[name] is None or type(content[name]) is kind for name, kind in names.items()):
            raise ValueError("a value of another type")
        return cls(**content)

    @property
    def strong(self) -> str | None:
        """The validator that two different contents never share; None if the server gives no such one."""
        return None if self.etag is None or self.etag.startswith("W/") else self.etag


@dataclass(frozen=True)
class Projection:
    """The columns of the server's file that our file has, if not all.

    Parameters
    ----------
    feature_set : the set for which it was fetched.
    columns, of : the number of columns of our file, and of the server's.
    features : SHA-256 of the names of all features; columns that aren't features are all there.
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
    """A fetched file: the server's description, and the file on the disk; `projected` if it hasn't all columns."""

    remote: Remote
    size: int
    sha256: str
    projected: Projection | None = None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Record":
        projected = content.get("projected")
        return cls(
            Remote.from_json(content["remote"]),
            int(content["size"]),
            str(content["sha256"]),
            None if projected is None else Projection.from_json(projected),
        )
