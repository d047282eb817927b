"""Numerai's own files as a source: listed through its API, fetched, kept, and checked.

Public data needs no key: none is read or sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from erawise.base import files
from erawise.base.settings import Data
from erawise.running.errors import InputError, known_names
from erawise.running.progress import SILENT, Progress
from erawise.sources import layout
from erawise.sources.numerai.attempts import Patience
from erawise.sources.numerai.client import Client
from erawise.sources.numerai.columns import Columns
from erawise.sources.numerai.store import Store

ADVICE = "; or set data.source to market, which works offline"


def download(data: Data, directory: Path, kept: Path, progress: Progress = SILENT) -> str:
    """Fetch the files of `data.version` into an existing empty directory, and return a remark on files that Numerai doesn't have."""
    version = data.version
    absent = write(directory, version, data.round, data.feature_set, kept, progress=progress)
    return f"Numerai has no {', '.join(absent)} for {version}: the scores that need them will be absent" if absent else ""


def write(
    directory: Path,
    version: str,
    round_number: int | None,
    feature_set: str,
    kept: Path,
    patience: Patience | None = None,
    progress: Progress = SILENT,
) -> list[str]:
    """Fetch the files of a data version into the existing, empty `directory`.

    From the files of rows only the set's features and the columns that aren't features are fetched. The whole file is fetched if the
    server allows no parts, or if they would be little less than all.

    Parameters
    ----------
    directory : receives the files.
    version : such as `v5.3`.
    round_number : the round whose files are fetched, or None for the current one.
    feature_set : a name of `features.json`.
    kept : directory in which downloaded files stay, so that a file is fetched again only if the server has a new version.
    patience : with the server.
    progress : counts the bytes of each file.

    Returns
    -------
    list of str
        The optional files that this version and round don't have.

    Raises
    ------
    InputError
        If the API or a file can't be reached, Numerai has no such version, it lacks a file or the feature set, or a file is unusable.
    """
    client = Client(patience=patience)
    offered = _offered(client, version, round_number)
    store = Store(kept / version / ("current" if round_number is None else str(round_number)), patience, progress=progress)
    columns: Columns | None = None
    for name in (*layout.REQUIRED, *layout.OPTIONAL):
        if name in offered:
            what = f"{version}/{name}"
            locate, check = partial(client.locate, what, round_number), partial(layout.check, name=name)
            with _advised():
                path = store.get(name, what, locate, check, columns if name in layout.ROWS else None)
            files.link_or_copy(path, directory / name)
            if name == layout.FEATURES:
                columns = _columns(path, what, feature_set)
    return [name for name in (*layout.REQUIRED, *layout.OPTIONAL) if name not in offered]


def _columns(path: Path, what: str, feature_set: str) -> Columns | None:
    """Return the columns that a feature set needs; None if it has all features."""
    sets = layout.feature_sets(path)
    if feature_set not in sets:
        raise InputError(f"data.feature_set: {feature_set!r} is no feature set of {what}; it has {known_names(sets, feature_set)}")
    features = frozenset().union(*sets.values())
    wanted = frozenset(sets[feature_set])
    return None if wanted == features else Columns(feature_set, wanted, features)


def _offered(client: Client, version: str, round_number: int | None) -> set[str]:
    with _advised():
        names = client.list_datasets(round_number)
    offered = {name.removeprefix(f"{version}/") for name in names if name.startswith(f"{version}/")}
    which_round = "in the current round" if round_number is None else f"in round {round_number} (data.round)"
    if not offered:
        versions = sorted({name.split("/")[0] for name in names if "/" in name})
        raise InputError(f"data.version: Numerai has no {version!r} {which_round}; it has {known_names(versions, version)}")
    missing = [name for name in layout.REQUIRED if name not in offered]
    if missing:
        raise InputError(f"data.version: {version} lacks {', '.join(missing)} {which_round}; choose another, or another data.round")
    return offered


@contextmanager
def _advised() -> Iterator[None]:
    """Add to the errors within how to work without the network."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{error}{ADVICE}") from None
