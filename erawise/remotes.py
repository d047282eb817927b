"""DVC's remotes, where what the cache keeps is shared between machines: where one is, what it has of dvc.lock, to and from it.

Files go by DVC's own means, between the cache and what `dvc remote` has configured. Beside plain `dvc push` and `dvc pull`, what is
there is asked of the remote each time and never remembered, digests are checked on the way, and what fails is said in one line.
"""

import hashlib
import os
import queue
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from fsspec.callbacks import Callback
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.errors import InputError, Unavailable
from erawise.places import LOCAL, S3, SSH, Place, line, place_in
from erawise.progress import SILENT, Count, Progress

T = TypeVar("T")

BLOCK = 2**20
"""Bytes that are read at once when a digest is made."""
SKEW = 5 * 60
"""Seconds by which this machine's clock may differ from the server's before it is said; S3 refuses what is signed 15 minutes off."""
LISTED = 5
"""Outs that a message names."""
REFUSED_KEYS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthorizationHeaderMalformed"}
SECRETS = ("password", "passphrase", "access_key_id", "secret_access_key", "session_token", "sse_customer_key")
ADDRESSES = ("url", "endpointurl")
SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SECRET_LENGTH = 4
"""Characters from which on a secret is masked: what is shorter is found in any text, and masking it would show where it isn't."""


@dataclass(frozen=True)
class Out:
    """An out of a stage that DVC's cache keeps.

    Attributes
    ----------
    path : as dvc.yaml writes it.
    size : bytes of all its files.
    digest : its md5; that of a directory ends in '.dir'.
    pushed : whether plain `dvc push` takes it along: not where dvc.yaml says `push: false`.
    """

    path: str
    size: int
    digest: str
    pushed: bool


@dataclass(frozen=True)
class Held:
    """What a remote has of an out.

    Attributes
    ----------
    out : the one.
    objects : digests of its files, and of its listing first where it is a directory; the listing alone where that is nowhere.
    missing : those that aren't there.
    damaged : those whose content has another digest; empty where nobody has looked.
    """

    out: Out
    objects: tuple[str, ...]
    missing: tuple[str, ...]
    damaged: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not (self.missing or self.damaged)


@dataclass
class Remote:
    """An open remote: see `opened`, which makes it."""

    directory: Path
    place: Place
    repo: Any
    odb: Any
    jobs: int | None
    seconds: float
    now: Callable[[], datetime]
    progress: Progress
    secrets: tuple[str, ...]
    skew: float | None = field(default=None, init=False)
    """Seconds by which this machine's clock is ahead of the server's; None where the remote is none of S3's."""

    def reach(self, *, write: bool) -> str:
        """Try whether the remote can be reached and read, and, with `write`, written to, with an object of our own that goes again.

        Returns
        -------
        str
            That nothing may be deleted there, which neither pushing nor pulling needs; empty where it may.

        Raises
        ------
        Unavailable
            If it can't be reached.
        InputError
            If there is no such bucket or directory, or what was tried isn't allowed.
        """
        self._tried("read", self._look)
        if not write:
            return ""
        name = f"{self.place.path.rstrip('/')}/.erawise-probe-{secrets.token_hex(4)}"
        content = secrets.token_bytes(16)
        self._tried("written to", lambda: self._write(name, content))
        try:
            if self._tried("read", lambda: self.odb.fs.fs.cat_file(name)) != content:
                raise InputError(f"{self._name}: {name} reads differently from what was just written there; don't use this remote")
        finally:
            left = self._deleted(name)
        return left

    def outs(self) -> list[Out]:
        """Return the outs of the workspace's dvc.lock, sorted by path; those of other projects of a larger repository are left out.

        Raises
        ------
        InputError
            If it has none, so that nothing has run.
        """
        try:
            listed = {
                str(out.def_path): Out(str(out.def_path), int(out.meta.size or 0), str(out.hash_info.value), bool(out.can_push))
                for stage in self.repo.index.stages
                if Path(stage.path).is_relative_to(self.directory)
                for out in stage.outs
                if out.use_cache and out.hash_info
            }
        except DvcException as error:
            raise InputError(f"dvc.yaml and dvc.lock can't be read: {_said(error, self.secrets)}; see `dvc status`") from None
        if not listed:
            raise InputError("dvc.lock: it has no out that DVC's cache keeps; run `dvc repro`, or check out a commit that has it")
        return [listed[path] for path in sorted(listed)]

    def earlier_outs(self) -> list[Out]:
        """The outs of all runs that the run cache on this machine knows, also those that Git keeps and DVC doesn't (metrics, plots)."""
        unpushed = {out.path for out in self.outs() if not out.pushed}
        found = {}
        for path in self._runs():
            for made in _recorded(path, unpushed) or []:
                found[made.path, made.digest] = made
        return list(found.values())

    def drop_damaged_runs(self) -> list[str]:
        """Remove those records of this machine's run cache that can't be read, which DVC does too once it meets one; their paths."""
        damaged = [path for path in self._runs() if _recorded(path, set()) is None]
        for path in damaged:
            path.unlink()
        return [os.path.relpath(path) for path in damaged]

    def held(self, outs: Iterable[Out], *, verify: bool = False) -> list[Held]:
        """What the remote has of outs; with `verify` every byte of it is read, and its digest compared.

        A directory's listing that this machine's cache lacks is read from the remote, and compared without `verify` too.
        """
        wanted, broken = {}, set()
        for out in outs:
            wanted[out], spoiled = self._objects(out)
            if spoiled:
                broken.add(out.digest)
        there = self._there(self.odb, {digest for objects in wanted.values() for digest in objects})
        if verify:
            broken |= self._damaged(self.odb, there, "verifying")
        return [
            Held(out, objects, tuple(one for one in objects if one not in there), tuple(one for one in objects if one in broken))
            for out, objects in wanted.items()
        ]

    def pushable(self, held: Iterable[Held]) -> list[Held]:
        """Those of which this machine's cache has what is missing or damaged there."""
        held = list(held)
        there = self._there(self.repo.cache.local, {digest for one in held for digest in (*one.missing, *one.damaged)})
        return [one for one in held if there.issuperset((*one.missing, *one.damaged))]

    def nowhere(self, held: list[Held]) -> InputError:
        """What is said of those that aren't pushable."""
        return InputError(
            f"{self._name}: {self._named(held)} can't be pushed, as it is not in this machine's cache either; "
            "make it with `dvc repro`, or push from the machine that has it"
        )

    def push(self, held: Iterable[Held]) -> tuple[int, int]:
        """Put what is missing there, and what is damaged there again, from this machine's cache.

        A directory's listing comes after its files, so that nobody finds a directory that isn't whole.

        Returns
        -------
        objects, bytes
            What was sent.

        Raises
        ------
        InputError
            If something is missing on both sides, or damaged in the cache: before anything is sent; or if it couldn't be sent.
        """
        held = list(held)
        damaged = {digest for one in held for digest in one.damaged}
        wanted = damaged | {digest for one in held for digest in one.missing}
        cache = self.repo.cache.local
        there = self._there(cache, wanted)
        if nowhere := [one for one in held if {*one.missing, *one.damaged} - there]:
            raise self.nowhere(nowhere)
        if spoiled := self._damaged(cache, there, "checking the cache"):
            broken = [one for one in held if spoiled & {*one.missing, *one.damaged}]
            paths = ", ".join(os.path.relpath(cache.oid_to_path(digest)) for digest in sorted(spoiled)[:LISTED])
            raise InputError(
                f"{self._name}: {self._named(broken)} is damaged in this machine's cache and nothing was pushed; "
                f"remove {paths} and run `dvc repro`"
            )
        with self._guarded("written to"):
            for digest in sorted(damaged):
                self.odb.delete(digest)
        self._copy(cache, self.odb, [one for one in wanted if not one.endswith(".dir")], "written to", "pushing")
        self._copy(cache, self.odb, [one for one in wanted if one.endswith(".dir")], "written to", "pushing")
        return len(wanted), sum(_size(cache, digest) for digest in wanted)

    def fetch(self, outs: Iterable[Out], *, verify: bool = False) -> tuple[int, int]:
        """Bring what this machine's cache lacks of outs into it. What doesn't have its digest is fetched once more, and never kept.

        With `verify` every byte of what the cache has of them is read too, and what is damaged is fetched in its place.

        Returns
        -------
        objects, bytes
            What was fetched.

        Raises
        ------
        InputError
            If something isn't there, is damaged there, or can't be read. What was fetched until then stays in the cache.
        """
        outs = list(outs)
        fetched = self._fetch({out.digest: out for out in outs if out.digest.endswith(".dir")}, verify=verify)
        wanted = {digest: out for out in outs for digest in self._objects(out)[0]}
        fetched |= self._fetch(wanted, verify=verify)
        return len(fetched), sum(_size(self.repo.cache.local, digest) for digest in fetched)

    def checkout(self, outs: Iterable[Out], *, force: bool, anew: bool = False) -> None:
        """Place outs of the cache in the workspace; with `anew` those too that DVC remembers to be there already.

        Raises
        ------
        InputError
            If that would replace what was changed there and is in no cache, and `force` isn't set.
        """
        try:
            self.repo.checkout(targets=[str(self.directory / out.path) for out in outs], force=force, relink=anew)
        except DvcException as error:
            said = _said(error, self.secrets)
            raise InputError(f"the workspace: {said}; everything is in the cache: see `dvc status`, then add --force") from None

    def push_runs(self) -> int:
        """Share the run cache, the record of which runs gave which outs; the number of runs in it."""
        with self._guarded("written to"):
            return len(self.repo.stage_cache.push(self.place.name))

    def pull_runs(self) -> int:
        """Take over the run cache of others; the number of runs in it."""
        with self._guarded("read"):
            return len(self.repo.stage_cache.pull(self.place.name))

    def _runs(self) -> list[Path]:
        return sorted(Path(self.repo.stage_cache.cache_dir).glob("*/*/*"))

    @property
    def _name(self) -> str:
        return f"remote {self.place.name} ({self.place.url})"

    def _named(self, held: list[Held]) -> str:
        return _few([one.out.path for one in held])

    def _objects(self, out: Out) -> tuple[tuple[str, ...], bool]:
        """Digests of an out's files, and whether the remote's listing was read and is damaged.

        Those of a directory are read from its listing: the cache's, or else the remote's.
        """
        if not out.digest.endswith(".dir"):
            return (out.digest,), False
        spoiled = False
        for odb in (self.repo.cache.local, self.odb):
            content = self._content(odb, out.digest)
            spoiled = content is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != out.digest.removesuffix(".dir")
            if content is not None and not spoiled:
                listed = [str(entry["md5"]) for entry in YAML(typ="safe").load(content.decode("utf-8"))]
                return (out.digest, *dict.fromkeys(listed)), False
        return (out.digest,), spoiled

    def _content(self, odb: Any, digest: str) -> bytes | None:
        with self._guarded("read"):
            try:
                return bytes(odb.fs.fs.cat_file(odb.oid_to_path(digest)))
            except FileNotFoundError:
                return None

    def _there(self, odb: Any, digests: Iterable[str]) -> set[str]:
        listed = sorted(digests)
        with self._guarded("read"):
            there = set(odb.list_oids_exists(listed, jobs=self.jobs))
            if self.place.protocol == LOCAL or odb is not self.odb:
                for digest in listed:
                    if digest not in there:
                        _missing(Path(odb.oid_to_path(digest)))
        return there

    def _damaged(self, odb: Any, digests: Iterable[str], what: str) -> set[str]:
        """Those of the objects whose content has another digest."""
        listed = sorted(digests)
        with (
            self._guarded("read"),
            ThreadPoolExecutor(self.jobs or odb.fs.jobs) as pool,
            self.progress.counting(len(listed), "files", what) as count,
        ):
            found = set()
            for digest, actual in zip(listed, pool.map(lambda one: _digest(odb, one), listed), strict=True):
                count.done()
                if actual != digest.removesuffix(".dir"):
                    found.add(digest)
        return found

    def _fetch(self, wanted: dict[str, Out], *, verify: bool) -> set[str]:
        cache = self.repo.cache.local
        present = self._there(cache, wanted)
        spoiled = self._damaged(cache, present, "checking the cache") if verify else set()
        lacking = set(wanted) - present | spoiled
        there = self._there(self.odb, lacking)
        if missing := sorted({wanted[digest].path for digest in lacking - there}):
            raise InputError(
                f"{self._name}: it lacks files of {_few(missing)}; push them from the machine that has them with "
                "`python -m stages.remote push`, or make them here with `dvc repro`"
            )
        for digest in sorted(spoiled):
            cache.delete(digest)
        for what in ("pulling", "pulling again what came damaged"):
            left = sorted(there - self._there(cache, there))
            if left:
                self._copy(self.odb, cache, left, "read", what)
        if broken := sorted(there - self._there(cache, there)):
            paths = ", ".join(self.place.object(digest) for digest in broken[:LISTED])
            parts = _few(sorted({wanted[digest].path for digest in broken}))
            raise InputError(
                f"{self._name}: {paths} is not what its digest says, twice over, and is part of {parts}; put it there again with "
                "`python -m stages.remote push --verify` from a machine that has it, or make it here with `dvc repro`"
            )
        return there

    def _copy(self, source: Any, target: Any, digests: list[str], action: str, what: str) -> None:
        if not digests:
            return
        errors: list[BaseException] = []
        with self._guarded(action), self.progress.counting(None, "bytes", what) as count:
            target.add(
                [source.oid_to_path(digest) for digest in digests],
                source.fs,
                digests,
                verify=target is self.repo.cache.local,
                check_exists=False,
                batch_size=self.jobs,
                callback=_Files(count),
                on_error=lambda _, error: errors.append(error),
            )
            if errors:
                raise errors[0]

    def _look(self) -> None:
        """Read something of the remote, and the server's clock where there is one."""
        if self.place.protocol == S3:
            bucket, _, prefix = self.place.path.partition("/")
            self._met(self.odb.fs.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", MaxKeys=1))
        else:
            if self.odb.fs.fs.isfile(self.place.path):
                raise NotADirectoryError(self.place.path)
            self.odb.fs.fs.ls(self.place.path, detail=False)

    def _write(self, name: str, content: bytes) -> None:
        if self.place.protocol == S3:
            bucket, _, key = name.partition("/")
            self._met(self.odb.fs.fs.call_s3("put_object", Bucket=bucket, Key=key, Body=content))
        else:
            self.odb.fs.fs.pipe_file(name, content)

    def _deleted(self, name: str) -> str:
        try:
            self._tried("written to", lambda: self.odb.fs.fs.rm_file(name))
        except InputError:
            return f"{name} stays, as nothing may be deleted there; `push --verify` and `dvc gc --cloud` need it, nothing else does"
        return ""

    def _met(self, answer: dict[str, Any]) -> None:
        """Compare the clocks."""
        date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        self.skew = None if date is None else _ahead(self.now(), date)

    def _tried(self, action: str, call: Callable[[], T]) -> T:
        with self._guarded(action):
            return _within(self.seconds, call)

    @contextmanager
    def _guarded(self, action: str) -> Iterator[None]:
        """Say in one line why the remote can't be read or written to."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:  # of three libraries below DVC, each with exceptions of its own
            kind, reason = self._reason(error, action)
            raise kind(f"{self._name}: {reason}") from None

    def _reason(self, error: BaseException, action: str) -> tuple[type[InputError], str]:
        chain = list(_chain(error))
        for one in chain:
            response = getattr(one, "response", None)
            if isinstance(response, dict) and response.get("Error"):
                return self._refusal(response, action)
        names = {type(one).__name__ for one in chain}
        said = _said(error, self.secrets) or type(error).__name__
        if "NoCredentialsError" in names or "PartialCredentialsError" in names:
            return InputError, f"no key was found; {_keys(self.place.protocol)}"
        if "ProfileNotFound" in names:
            return InputError, f"no key was found ({said}); {_keys(self.place.protocol)}"
        if "PermissionDenied" in names:
            return InputError, f"the server doesn't let this user in ({said}); {_keys(self.place.protocol)}"
        if names & {"PermissionError", "SFTPPermissionDenied"}:
            return InputError, f"it may not be {action} ({said}); give {_who(self.place)} the right to it"
        if names & {"NotADirectoryError", "SFTPNotADirectory"}:
            at = f"dvc remote modify {self.place.name} url"
            return InputError, f"it is a file, or in one, and no directory; set the path of a directory with `{at} PATH`"
        if names & {"FileNotFoundError", "SFTPNoSuchFile", "SFTPNoSuchPath"}:
            return (
                InputError,
                f"there is no such directory; mount it or make it with `mkdir -p {self.place.path}`, once, where it should be",
            )
        offline = {
            "EndpointConnectionError",
            "ConnectTimeoutError",
            "ConnectionError",
            "ConnectionRefusedError",
            "gaierror",
            "TimeoutError",
        }
        if names & (offline | {"ConnectionLost", "ConnectionClosedError", "ConnectionResetError", "ReadTimeoutError", "SSLError"}):
            endpoint = self.place.options.get("endpoint_url")
            at = f" at {endpoint}" if endpoint else ""
            return Unavailable, f"it can't be reached{at} ({said}); check the network and `dvc remote list`, then run again"
        return InputError, f"it can't be {action}: {type(error).__name__}: {said}; see docs/remote.md"

    def _refusal(self, response: dict[str, Any], action: str) -> tuple[type[InputError], str]:
        """Why S3 has refused."""
        code = str(response["Error"].get("Code", ""))
        said = f"{_hidden(line(response['Error'].get('Message', '')), self.secrets)}, {code}"
        if code == "RequestTimeTooSkewed":
            date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
            how = f"{off(_ahead(self.now(), date))} the server's" if date else "more than 15 minutes off the server's"
            return InputError, f"this machine's clock is {how}, and S3 refuses what is signed more than 15 minutes off; set it (NTP)"
        if code in REFUSED_KEYS:
            return InputError, f"the key isn't accepted ({said}); {_keys(S3)}"
        if code == "NoSuchBucket":
            return InputError, f"there is no bucket {self.place.path.partition('/')[0]!r}; make it, or set another with `dvc remote modify`"
        if code in {"AccessDenied", "403", "AllAccessDisabled"}:
            return InputError, f"it may not be {action} ({said}); give the key the rights of docs/remote.md"
        if str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")).startswith("5") or code in {"SlowDown", "InternalError"}:
            return Unavailable, f"the server fails ({said}); run again later"
        return InputError, f"it can't be {action} ({said}); see docs/remote.md"


@contextmanager
def opened(
    directory: Path,
    name: str | None = None,
    *,
    now: Callable[[], datetime],
    jobs: int | None = None,
    seconds: float = 30.0,
    progress: Progress = SILENT,
) -> Iterator[Remote]:
    """Open a remote that DVC has configured, with DVC's lock on the workspace held.

    Parameters
    ----------
    directory : of the project.
    name : of the remote; the default one where it is None.
    now : this machine's clock, in UTC.
    jobs : files that go at once; None: as many as DVC takes.
    seconds : how long a first answer is waited for.
    progress : is told of bytes and files.

    Raises
    ------
    InputError
        If there is no such remote, or another DVC works in the workspace.
    """
    kept = _secrets({})
    try:
        with Repo(str(directory.resolve())) as repo, lock_repo(repo):
            kept = tuple(secret for config in repo.config["remote"].values() for secret in _secrets(config)) or kept
            place = _place(repo, name, kept)
            config = repo.config["remote"][place.name.lower()]
            if place.protocol == S3:
                config.setdefault("connect_timeout", min(10, seconds))
            odb = repo.cloud.get_remote_odb(place.name)
            yield Remote(directory.resolve(), place, repo, odb, jobs, seconds, now, progress, kept)
    except DvcException as error:
        raise InputError(f"{_said(error, kept)}; see `dvc remote list` and docs/remote.md") from None


def off(skew: float) -> str:
    """How far this machine's clock is off the server's, in words: `skew` are seconds by which it is ahead."""
    amount = f"{abs(skew) / 60:.0f} min" if abs(skew) >= 120 else f"{abs(skew):.0f} s"
    return f"{amount} {'ahead of' if skew > 0 else 'behind'}"


def size(count: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


class _Files(Callback):
    """What DVC tells of the files of a transfer: each has a callback of its own, for its bytes."""

    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count, self._lock = count, threading.Lock()

    def branched(self, path_1: str, path_2: str, **kwargs: Any) -> Callback:
        return _Bytes(self._told)

    def _told(self, count: int) -> None:
        with self._lock:
            self._count.done(count)


class _Bytes(Callback):
    def __init__(self, told: Callable[[int], None]) -> None:
        super().__init__()
        self._told, self._so_far = told, 0

    def relative_update(self, inc: int = 1) -> None:
        self._so_far += inc
        self._told(inc)

    def absolute_update(self, value: int) -> None:
        self.relative_update(value - self._so_far)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What a call gives, if it gives it in time; else it goes on unheard, since what hangs in a file system can't be stopped."""
    answer: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            answer.put((call(), None))
        except BaseException as error:
            answer.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _digest(odb: Any, digest: str) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with odb.fs.open(odb.oid_to_path(digest), "rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


def _missing(path: Path) -> None:
    """Raise PermissionError if a file seems missing only because a directory above it may not be read."""
    with suppress(FileNotFoundError, NotADirectoryError):
        path.stat()


def _recorded(path: Path, unpushed: set[str]) -> list[Out] | None:
    """The outs that a record of the run cache names; None where it can't be read."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        listed = [(str(out["path"]), int(out.get("size", 0)), str(out["md5"])) for out in content["outs"]]
    except (YAMLError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return [Out(name, count, digest, name not in unpushed) for name, count, digest in listed]


def _size(odb: Any, digest: str) -> int:
    return int(Path(odb.oid_to_path(digest)).stat().st_size)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _ahead(now: datetime, date: str) -> float:
    return (now.astimezone(UTC) - parsedate_to_datetime(date).astimezone(UTC)).total_seconds()


def _keys(protocol: str) -> str:
    if protocol == S3:
        return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile with `dvc remote modify --local`; never in .dvc/config"
    return "set `user` and `keyfile` with `dvc remote modify --local`, or use an agent; never in .dvc/config"


def _who(place: Place) -> str:
    if place.protocol == SSH:
        return f"the user on {place.options['host']}"
    return f"this user ({os.environ.get('USER') or os.geteuid()} on {socket.gethostname()})"


def _few(paths: list[str]) -> str:
    more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return ", ".join(paths[:LISTED]) + more


def _place(repo: Any, name: str | None, hidden: Iterable[str]) -> Place:
    """`place_in`, without secrets in what DVC says of a remote that is configured wrongly."""
    try:
        return place_in(repo, name)
    except InputError as error:
        if error.__context__ is None:
            raise
        raise InputError(str(error).replace(line(error.__context__), _said(error.__context__, hidden))) from None


def _secrets(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What no message may show of a remote's configuration and the environment, with and without percent-encoding."""
    found = [str(config[key]) for key in SECRETS if config.get(key)]
    found += [os.environ[key] for key in SECRET_VARIABLES if os.environ.get(key)]
    found += [word for key in ADDRESSES if (word := urlsplit(str(config.get(key, ""))).password)]
    forms = {form for secret in found for form in (secret, unquote(secret), quote(unquote(secret), safe=""))}
    return tuple(sorted(form for form in forms if len(form) >= SECRET_LENGTH))


def _said(error: BaseException, hidden: Iterable[str]) -> str:
    """What an error of others says, in one line, without secrets."""
    return _hidden(line(error), hidden)


def _hidden(text: str, hidden: Iterable[str]) -> str:
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
