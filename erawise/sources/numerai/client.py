"""Numerai's API: numerapi with its own address, time limits, repetitions if they are safe, and causes in words."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import numerapi
import requests
from numerapi import base_api

from erawise.running.errors import InputError, NotOpen, Unavailable
from erawise.sources.numerai.answers import Session, reached, retry_after
from erawise.sources.numerai.attempts import ADDRESS, BUSY, Again, Patience, host

PUBLIC_ID, SECRET_KEY = "NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY"
ADVICE = "check the network and try again"

LEAST_SKEW = 5
"""Seconds up to which clocks agree: an answer's date has whole seconds, and the answer needs some time."""

DATASET = """
query ($filename: String!, $round: Int, $tournament: Int) {
  dataset(filename: $filename, round: $round, tournament: $tournament)
}
"""
DATASETS = """
query ($round: Int, $tournament: Int) {
  listDatasets(round: $round, tournament: $tournament)
}
"""

CAUSES = {
    r"authenticat|invalid (api )?(token|key)|unauthori[sz]ed": f"the key isn't accepted; check {PUBLIC_ID} and {SECRET_KEY}",
    r"permission|scope|forbidden|not allowed": "the key lacks the permission; give it the scope that this needs on numer.ai",
    r"model.*(not found|no such|invalid)|(not found|no such|invalid).*model": "the account has no such model",
}
"""Patterns of the API's errors, in lower case, and their meaning."""

PASSING = {
    r"rate.?limit|too many": "too many requests; wait some minutes",
    r"internal|went wrong|time.?out|temporar|unavailable": "the server fails; try again later",
}
"""The same for errors that pass."""

CLOSED = r"round.*(closed|not open)|(closed|not open).*round|submissions? (is|are) closed"
"""The pattern of a round that accepts no submission."""


class NoResult(Unavailable):
    """An answer without the result, or with a result of another form."""


class Unsure(Unavailable):
    """A change that was sent and got no answer. It may have been carried out."""


class Client(numerapi.NumerAPI):
    """numerapi whose queries end in a result, or in an `InputError` with the cause.

    It fetches no files: `Store` does.

    Attributes
    ----------
    skew : seconds by which this machine's clock is ahead of the server's at its last answer; 0 if they agree or the answer had no date.

    Parameters
    ----------
    url : address of the API; None for `ERAWISE_API_URL` or, without it, Numerai's address.
    key : public id and secret key; None for public data only, and nothing secret is sent.
    patience : `connection` and `silence` of each request, and the tries of a query, which changes nothing.
        A mutation that got no answer may have been carried out, and is not repeated.
    """

    def __init__(self, url: str | None = None, key: tuple[str, str] | None = None, patience: Patience | None = None) -> None:
        self._key = key
        super().__init__(verbosity="error", show_progress_bars=False)
        self.url = url or os.environ.get(ADDRESS) or base_api.API_TOURNAMENT_URL
        self.patience = patience or Patience(tries=4)
        self.skew = 0.0

    def _login(self, public_id: str | None = None, secret_key: str | None = None) -> None:
        self.token = self._key

    def locate(self, filename: str, round_number: int | None) -> str:
        """Return a fresh address of a file such as `v5.3/live.parquet`, of a round or (None) of the current one."""
        variables = {"filename": filename, "round": round_number, "tournament": self.tournament_id}
        return str(self.present(self.raw_query(DATASET, variables), "dataset"))

    def list_datasets(self, round_num: int | None = None) -> list[str]:
        """Return the files of a round, or of the current one, as `version/file`."""
        variables = {"round": round_num, "tournament": self.tournament_id}
        names = self.present(self.raw_query(DATASETS, variables), "listDatasets")
        if not isinstance(names, list):
            raise self._without_result()
        return [str(name) for name in names]

    def download_dataset(self, *_: Any, **__: Any) -> str:
        """Refuse to fetch: files that numerapi fetches can be damaged without a message."""
        raise NotImplementedError("fetch files through erawise.sources.numerai.store.Store")

    def raw_query(self, query: str, variables: dict[str, Any] | None = None, authorization: bool = False, **_: int) -> dict[str, Any]:
        """Send a GraphQL query, and repeat it if that is safe and useful.

        Raises
        ------
        InputError
            If there is no answer, it isn't the API's, or it has errors.
        """
        if authorization and not self.token:
            raise InputError(f"{host(self.url)}: this needs a key of your account: set {PUBLIC_ID} and {SECRET_KEY}")
        changes = re.match(r"\s*mutation\b", query) is not None
        failed = 0
        while True:
            try:
                return self._once(query, variables, authorization)
            except (Again, NoResult) as problem:
                if changes:
                    raise self.unsure(problem) from None
                if isinstance(problem, NoResult):
                    raise
                failed += 1
                if failed == self.patience.tries:
                    raise Unavailable(f"{host(self.url)}: {problem}; {ADVICE}") from None
                self.pause(failed, problem)

    def unsure(self, problem: Exception) -> Unsure:
        """Return the error for a change without a certain answer."""
        said = str(problem).removeprefix(f"{host(self.url)}: ").removesuffix(f"; {ADVICE}")
        return Unsure(f"{host(self.url)}: {said}; it may have been carried out all the same, see on numer.ai before you repeat it")

    def pause(self, failed: int, problem: Again | None = None) -> None:
        """Wait before the n-th repetition, n from 1: the seconds that the server asks for, or else the usual ones."""
        time.sleep(self.patience.before(failed) if problem is None or problem.after is None else problem.after)

    def _once(self, query: str, variables: dict[str, Any] | None, authorization: bool) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if authorization and self.token:
            headers["Authorization"] = "Token {}${}".format(*self.token)
        content = {"query": query, "variables": variables}
        with Session() as session, reached(self.url):
            response = session.post(self.url, json=content, headers=headers, timeout=(self.patience.connection, self.patience.silence))
        self.skew = _skew(response)
        return self._result(response)

    def _result(self, response: requests.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except requests.JSONDecodeError:
            answer = None
        if response.status_code in BUSY:
            raise Again(f"the answer is HTTP status {response.status_code}", retry_after(response, self.patience))
        errors = self._without_key(_errors(answer))
        if errors and re.search(CLOSED, errors.lower()):
            raise NotOpen(f"{host(self.url)}: the round isn't open (it says: {errors})")
        passing = _meaning(errors, PASSING)
        if passing:
            raise Unavailable(f"{host(self.url)}: {passing} (it says: {errors})")
        if errors:
            raise InputError(f"{host(self.url)}: {_meaning(errors, CAUSES) or 'the query is refused'} (it says: {errors})")
        if not response.ok:
            raise InputError(f"{host(self.url)}: the answer is HTTP status {response.status_code}; {ADVICE}")
        if answer is None:
            raise Again("the answer is no JSON")
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            raise self._without_result()
        return answer

    @contextmanager
    def understood(self) -> Iterator[None]:
        """Turn numerapi's exceptions for an answer of another form into an `InputError`."""
        try:
            yield
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise self._without_result() from None

    def present(self, answer: dict[str, Any], name: str) -> Any:
        """Return a part of an answer that must be there."""
        found = answer["data"].get(name)
        if found is None:
            raise self._without_result()
        return found

    def _without_result(self) -> NoResult:
        return NoResult(f"{host(self.url)}: the query has no result; {ADVICE}")

    def _without_key(self, text: str) -> str:
        """Return a text of the server without any part of the key."""
        for part in self.token or ():
            text = text.replace(part, "…")
        return text


def _skew(response: requests.Response) -> float:
    try:
        found = time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return 0.0
    return found if abs(found) > LEAST_SKEW else 0.0


def _errors(answer: Any) -> str:
    errors = answer.get("errors") if isinstance(answer, dict) else None
    if isinstance(errors, dict):
        errors = [{"message": errors.get("detail", errors.get("message"))}]
    texts = [str(error.get("message")) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return "; ".join(texts)


def _meaning(said: str, causes: dict[str, str]) -> str:
    return next((meaning for pattern, meaning in causes.items() if re.search(pattern, said.lower())), "")
