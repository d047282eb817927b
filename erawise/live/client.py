"""Numerai's API: numerapi with an address of its own, time limits, repetitions where they are safe, and causes in words."""

import os
import re
import time
from typing import Any

import numerapi
import requests
from numerapi import base_api

from erawise.errors import InputError
from erawise.live.fetching import BUSY, Again, Patience, host, no_auth, retry_after

ADDRESS = "ERAWISE_API_URL"
PUBLIC_ID, SECRET_KEY = "NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY"
ADVICE = "check the network and try again"

DATASET = """
query ($filename: String!, $round: Int, $tournament: Int) {
  dataset(filename: $filename, round: $round, tournament: $tournament)
}
"""

CAUSES = {
    r"not authenti|authenticat|invalid (api )?(token|key)|unauthori[sz]ed": f"the key isn't accepted; check {PUBLIC_ID} and {SECRET_KEY}",
    r"permission|scope|forbidden|not allowed": "the key lacks the permission; give it the scope that this takes on numer.ai",
    r"round.*(closed|not open)|(closed|not open).*round|submissions? (is|are) closed": "the round isn't open",
    r"rate.?limit|too many": "too many requests; wait some minutes",
    r"model.*(not found|no such|invalid)|(not found|no such|invalid).*model": "the account has no such model",
}
"""Patterns of what the API says, in lower case, and what it means."""


class Client(numerapi.NumerAPI):
    """numerapi whose calls end: in a result, or in an `InputError` that says what is wrong and where.

    Parameters
    ----------
    url : address of the API; None: what `ERAWISE_API_URL` names, or Numerai's.
    key : public id and secret key; None: public data alone, and nothing secret is sent.
    patience : `connection` and `silence` of each request, and the tries of one that may be repeated: a query, which changes nothing.
        A mutation that got no answer may have been carried out, and is not repeated.
    """

    def __init__(self, url: str | None = None, key: tuple[str, str] | None = None, patience: Patience | None = None) -> None:
        self._key = key
        super().__init__(verbosity="error", show_progress_bars=False)
        self.url = url or os.environ.get(ADDRESS) or base_api.API_TOURNAMENT_URL
        self.patience = patience or Patience(tries=4)

    def _login(self, public_id: str | None = None, secret_key: str | None = None) -> None:
        self.token = self._key

    def locate(self, filename: str, round_number: int | None) -> str:
        """A fresh address of a file such as `v5.2/live.parquet`, of a round or, where None, of the current one."""
        variables = {"filename": filename, "round": round_number, "tournament": self.tournament_id}
        return str(self.raw_query(DATASET, variables)["data"]["dataset"])

    def raw_query(self, query: str, variables: dict[str, Any] | None = None, authorization: bool = False, **_: int) -> dict[str, Any]:
        """Send a GraphQL query, repeated where that is safe and of use.

        Raises
        ------
        InputError
            If there is no answer, it is none of the API's, or it names errors.
        """
        if authorization and not self.token:
            raise InputError(f"{host(self.url)}: this takes a key of your account: set {PUBLIC_ID} and {SECRET_KEY}")
        changes = re.match(r"\s*mutation\b", query) is not None
        failed = 0
        while True:
            try:
                return self._once(query, variables, authorization)
            except Again as problem:
                failed += 1
                if changes or failed == self.patience.tries:
                    advice = "it may have been carried out all the same, see on numer.ai before you repeat it" if changes else ADVICE
                    raise InputError(f"{host(self.url)}: {problem}; {advice}") from None
                time.sleep(self.patience.before(failed) if problem.after is None else problem.after)

    def _once(self, query: str, variables: dict[str, Any] | None, authorization: bool) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if authorization and self.token:
            headers["Authorization"] = "Token {}${}".format(*self.token)
        try:
            response = requests.post(
                self.url,
                json={"query": query, "variables": variables},
                headers=headers,
                timeout=(self.patience.connection, self.patience.silence),
                auth=no_auth,
            )
        except requests.Timeout:
            raise Again("no answer in time") from None
        except requests.exceptions.SSLError:
            raise self._refused("its certificate can't be verified", "check the clock and the proxy") from None
        except requests.ConnectionError:
            raise Again("no connection") from None
        except requests.RequestException as error:
            raise self._refused(f"no address of an API ({type(error).__name__})", f"set {ADDRESS} to one, or take it away") from None
        return self._result(response)

    def _result(self, response: requests.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except requests.JSONDecodeError:
            answer = None
        errors = self._without_key(_errors(answer))
        if errors:
            raise self._refused(f"{_meaning(errors)} ({errors})")
        if response.status_code in BUSY:
            raise Again(f"the answer is HTTP status {response.status_code}", retry_after(response, self.patience))
        if not response.ok:
            raise self._refused(f"the answer is HTTP status {response.status_code}")
        if answer is None:
            raise Again("the answer is no JSON")
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or None in data.values():
            raise self._refused("the query has no result")
        found: dict[str, Any] = answer
        return found

    def _refused(self, reason: str, advice: str = ADVICE) -> InputError:
        return InputError(f"{host(self.url)}: {reason}; {advice}")

    def _without_key(self, text: str) -> str:
        """A text of the server's, in which no part of the key stands."""
        for part in self.token or ():
            text = text.replace(part, "…")
        return text


def key() -> tuple[str, str] | None:
    """Public id and secret key from the environment; None where it has neither.

    Raises
    ------
    InputError
        If it has one of the two.
    """
    found = [os.environ.get(name, "").strip() for name in (PUBLIC_ID, SECRET_KEY)]
    if not any(found):
        return None
    if not all(found):
        raise InputError(f"{PUBLIC_ID} and {SECRET_KEY}: one is set and the other isn't; set both, or neither")
    return found[0], found[1]


def _errors(answer: Any) -> str:
    errors = answer.get("errors") if isinstance(answer, dict) else None
    if isinstance(errors, dict):
        errors = [{"message": errors.get("detail", errors.get("message"))}]
    texts = [str(error.get("message")) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return "; ".join(texts)


def _meaning(said: str) -> str:
    return next((meaning for pattern, meaning in CAUSES.items() if re.search(pattern, said.lower())), "the query has no result")
