"""A trial of DVC's remote: whether it can be reached, written to and read, and if not, what is wrong, in one line."""

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from dvc.exceptions import DvcException
from dvc.fs import get_cloud_fs
from dvc.repo import Repo

from erawise.running.errors import InputError, Unavailable

T = TypeVar("T")

SECONDS = 30.0
"""How long a remote may take to answer."""
DIRECTORIES = ("ssh", "local")
"""Kinds of remotes whose directory must be there: DVC would make a share that isn't mounted, as a copy that nobody else sees."""
SECRETS = ("password", "passphrase", "access_key_id", "secret_access_key", "session_token", "sse_customer_key")
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SHORTEST_SECRET = 4
"""Characters from which on a secret is masked: a shorter one is found in any text."""

KEYS = "the credentials are missing or refused; set them in the environment or with `dvc remote modify --local`"
AWAY = "it can't be reached; check the network and the address in `dvc remote list`, then try again"
RIGHTS = "it may not be read or written to; give this user or key the rights to it"
REASONS = {
    "NoSuchBucket": "there is no such bucket; make it, or name another one with `dvc remote modify`",
    "RequestTimeTooSkewed": "this machine's clock is more than 15 minutes off the server's; set it (NTP)",
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"), KEYS),
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "PermissionDenied"), KEYS),
    **dict.fromkeys(("AccessDenied", "PermissionError", "SFTPPermissionDenied"), RIGHTS),
    **dict.fromkeys(("NotADirectoryError", "SFTPNotADirectory"), "its path leads to a file, or below one; set the path of a directory"),
    **dict.fromkeys(("FileNotFoundError", "SFTPNoSuchFile"), "there is no such directory; make it, or mount the disk that has it"),
    **dict.fromkeys(("ConnectTimeoutError", "ReadTimeoutError", "EndpointConnectionError", "ConnectionClosedError"), AWAY),
    **dict.fromkeys(("ConnectionLost", "ConnectionError", "ConnectionRefusedError", "gaierror", "TimeoutError"), AWAY),
}
"""What to say of an error, by the code of S3 or the name of an exception below DVC: the first that fits."""


def check(directory: Path, name: str | None = None, seconds: float = SECONDS) -> str:
    """Write a small object to a remote, read it back and delete it; return a line that says so.

    Parameters
    ----------
    directory : of the repository.
    name : of the remote; the default one if it is None.
    seconds : how long it may take to answer.

    Raises
    ------
    Unavailable
        If it can't be reached.
    InputError
        If there is no such remote, or anything else is wrong.
    """
    hidden = _secrets({})
    try:
        with Repo(str(directory)) as repo:
            configured = repo.config["remote"]
            hidden = tuple(secret for config in ({}, *configured.values()) for secret in _secrets(config))
            chosen = name or repo.config["core"].get("remote")
            if not chosen or chosen.lower() not in configured:
                what = f"no remote {chosen!r}" if chosen else "no default remote"
                known = f"expected one of {', '.join(sorted(configured))}" if configured else "none is configured"
                raise InputError(f"there is {what}, {known}; add it with `dvc remote add --default NAME URL` (docs/remote.md)")
            kind, config, path = get_cloud_fs(repo.config, name=chosen)
    except (DvcException, ImportError) as error:
        raise InputError(f"DVC's configuration: {_line(error, hidden)}; see `dvc remote list` and docs/remote.md") from None
    what = f"remote {chosen} ({_hidden(str(configured[chosen.lower()]['url']), hidden)})"
    try:
        return f"{what}: {_within(seconds, lambda: _tried(kind(**config), str(path)))}"
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    except Exception as error:  # of three libraries below DVC, each with exceptions of its own
        reason = _reason(error)
        said = _line(error, hidden) or f"no answer within {seconds:g} s"
        raise (Unavailable if reason == AWAY else InputError)(f"{what}: {reason} ({type(error).__name__}: {said})") from None


def _tried(files: Any, path: str) -> str:
    """Write, read and delete an object."""
    if files.protocol in DIRECTORIES:
        files.ls(path)
    probe, content = files.join(path, f".erawise-probe-{secrets.token_hex(4)}"), secrets.token_bytes(16)
    try:
        files.pipe_file(probe, content)
    except Exception as error:
        if _reason(error) == RIGHTS and _is_readable(files, path):
            raise InputError("it can be read, but not written to; that is enough to pull, to push get the right to write") from None
        raise
    try:
        same = files.cat_file(probe) == content
    finally:
        left = _left(files, probe)
    if not same:
        raise InputError("what was read differs from what was just written; don't use this remote")
    return f"an object was written and read back{left}"


def _is_readable(files: Any, path: str) -> bool:
    try:
        files.ls(path)
    except FileNotFoundError:  # a prefix of S3 below which there is nothing yet
        return True
    except Exception:
        return False
    return True


def _left(files: Any, probe: str) -> str:
    """Delete an object, and say that it is gone, or that it stays."""
    try:
        files.rm_file(probe)
    except Exception as error:
        return f"; {probe} stays, since it can't be deleted ({type(error).__name__}): only `dvc gc --cloud` needs that right"
    return " and deleted"


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call gives if it gives it in time; else leave it running, since nothing stops what hangs in a file system."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer.result(seconds)


def _reason(error: BaseException) -> str:
    found = set[str]()
    cause: BaseException | None = error
    while cause is not None:
        found |= {_code(cause), *(kind.__name__ for kind in type(cause).__mro__)}
        cause = cause.__cause__ or cause.__context__
    return next((reason for name, reason in REASONS.items() if name in found), "it can't be used; see docs/remote.md")


def _code(error: BaseException) -> str:
    """Return the code by which S3 refuses a request."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _secrets(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what no message may show of a remote's configuration and the environment, with and without percent-encoding."""
    found = [str(config[key]) for key in SECRETS if config.get(key)]
    found += [os.environ[key] for key in VARIABLES if os.environ.get(key)]
    found += [word for key in ("url", "endpointurl") if (word := urlsplit(str(config.get(key, ""))).password)]
    forms = {form for secret in found for form in (secret, unquote(secret), quote(unquote(secret), safe=""))}
    return tuple(form for form in forms if len(form) >= SHORTEST_SECRET)


def _line(error: BaseException, hidden: tuple[str, ...]) -> str:
    return _hidden(" ".join(str(error).split()), hidden)


def _hidden(text: str, hidden: tuple[str, ...]) -> str:
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
