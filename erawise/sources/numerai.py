"""Numerai's own files as a source: listed, downloaded and checked through numerapi.

Public data needs no token: none is read or sent.
"""

import re
import sys
from pathlib import Path
from typing import Any

import numerapi
import requests
from numerapi import base_api

from erawise.errors import InputError
from erawise.sources import layout

QUERY_TIMEOUT = (10, 60)
"""Seconds to wait for a connection, and for an answer."""

ADVICE = "check the network and try again, or set data.source to market, which works offline"


class _Client(numerapi.NumerAPI):
    """numerapi for public data: with an address of its own, a time limit on queries, and the cause where one fails."""

    def __init__(self, url: str | None) -> None:
        super().__init__(verbosity="error", show_progress_bars=sys.stderr.isatty())
        self.url = url or base_api.API_TOURNAMENT_URL

    def _login(self, public_id: str | None = None, secret_key: str | None = None) -> None:
        self.token = None

    def raw_query(self, query: str, variables: dict[str, Any] | None = None, authorization: bool = False, **_: int) -> dict[str, Any]:
        """Send a GraphQL query once.

        Raises
        ------
        InputError
            If the answer holds no data: with the errors that it names.
        requests.RequestException
            If there is no answer, it is an error, or no JSON.
        """
        response = requests.post(self.url, json={"query": query, "variables": variables}, timeout=QUERY_TIMEOUT)
        response.raise_for_status()
        answer = response.json()
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or None in data.values():
            errors = answer.get("errors") if isinstance(answer, dict) else None
            raise InputError(f"{_address(self.url)}: the query has no result{_messages(errors)}; {ADVICE}")
        return answer


def write(directory: Path, version: str, round_number: int | None, api_url: str | None) -> list[str]:
    """Download the files of a data version into the existing, empty `directory`, and check each.

    A body shorter than its Content-Length is an error of the transport; a file that is cut short or isn't what its name
    says has no readable footer, or is no JSON. That the directory is empty keeps numerapi from resuming, and from
    taking a file of the same size for the same file.

    Parameters
    ----------
    version : such as `v5.2`.
    round_number : the round whose files are taken, or None for the current one.
    api_url : address of the API, or None for Numerai's.

    Returns
    -------
    list of str
        The optional files that this version and round don't have.

    Raises
    ------
    InputError
        If the API or a file can't be reached, the version isn't there or lacks a file, or what came is unusable.
    """
    client = _Client(api_url)
    offered = _offered(client, version, round_number)
    wanted = (*layout.REQUIRED, *layout.OPTIONAL)
    for name in wanted:
        if name in offered:
            _fetch(client, version, name, round_number, directory / name)
    return [name for name in wanted if name not in offered]


def _offered(client: _Client, version: str, round_number: int | None) -> set[str]:
    try:
        names = [str(name) for name in client.list_datasets(round_number)]
    except requests.RequestException as error:
        raise _failure("the list of Numerai's files", error, client.url) from None
    offered = {name.removeprefix(f"{version}/") for name in names if name.startswith(f"{version}/")}
    if not offered:
        versions = sorted({name.split("/")[0] for name in names if "/" in name})
        raise InputError(
            f"data.version: Numerai has no {version!r} {_in_round(round_number)}; it has {', '.join(versions) or 'no version'}"
        )
    missing = [name for name in layout.REQUIRED if name not in offered]
    if missing:
        raise InputError(
            f"data.version: {version} lacks {', '.join(missing)} {_in_round(round_number)}; choose another, or another data.round"
        )
    return offered


def _fetch(client: _Client, version: str, name: str, round_number: int | None, path: Path) -> None:
    what = f"{version}/{name}"
    try:
        client.download_dataset(what, str(path), round_number)
    except requests.RequestException as error:
        raise _failure(what, error, client.url) from None
    except OSError as error:
        raise InputError(f"{what}: cannot be written ({error.strerror}); check permissions and free space") from None
    try:
        layout.check(path)
    except InputError as error:
        problem = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{_address(client.url)}: what came as {what} can't be used: {problem}") from None


def _in_round(round_number: int | None) -> str:
    return "in the current round" if round_number is None else f"in round {round_number} (data.round)"


def _failure(what: str, error: requests.RequestException, url: str) -> InputError:
    """The error for a person; requests' own messages would show signed addresses."""
    asked = getattr(error.request, "url", None) or url
    return InputError(f"{_address(asked)}: {what} can't be fetched: {_cause(error)}; {ADVICE}")


def _cause(error: requests.RequestException) -> str:
    if error.response is not None and not error.response.ok:
        return f"the answer is HTTP status {error.response.status_code}"
    causes = {
        requests.JSONDecodeError: "the answer is no JSON",
        requests.Timeout: "no answer in time",
        requests.exceptions.ChunkedEncodingError: "the connection was cut",
        requests.ConnectionError: "no connection",
    }
    return next((text for kind, text in causes.items() if isinstance(error, kind)), type(error).__name__)


def _messages(errors: Any) -> str:
    texts = [str(error.get("message")) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return f" ({'; '.join(texts)})" if texts else ""


def _address(url: str) -> str:
    """An address without user, password and query, which may be secret."""
    return re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", url)[0])
