"""An account at Numerai: its models, rounds, submissions and scores, and files that are sent."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from erawise.running.errors import InputError, NotOpen, Unavailable, Unconfirmed
from erawise.sources.numerai import fetching
from erawise.sources.numerai.answers import Session, reached, retry_after
from erawise.sources.numerai.attempts import BUSY, GONE, Again, host
from erawise.sources.numerai.client import Client, NoResult
from erawise.sources.numerai.fetching import Download

Result = TypeVar("Result")
Named = TypeVar("Named")


@dataclass(frozen=True)
class Round:
    """A round of the tournament: when it accepts submissions, and the terms of its payout; the factor is None if it isn't known."""

    number: int
    opens: datetime
    closes: datetime
    payout_factor: float | None
    scores: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Submission:
    """A model's submission as the server lists it."""

    id: str
    filename: str
    inserted: datetime


@dataclass(frozen=True)
class Upload:
    """A kind of file to send.

    Attributes
    ----------
    what : its name in messages.
    address : the query for an address to put the file to.
    create, mutation : the field of the answer when the server accepts the file, and the mutation that asks it to do so.
    """

    what: str
    address: str
    create: str
    mutation: str


PREDICTIONS = Upload(
    "predictions",
    """
query ($filename: String!, $tournament: Int!, $modelId: String) {
  submission_upload_auth(filename: $filename, tournament: $tournament, modelId: $modelId) { filename url }
}
""",
    "create_submission",
    """
mutation ($filename: String!, $tournament: Int!, $modelId: String) {
  create_submission(filename: $filename, tournament: $tournament, modelId: $modelId, source: "erawise") { id }
}
""",
)
DIAGNOSTICS = Upload(
    "validation predictions",
    """
query ($filename: String!, $tournament: Int!, $modelId: String) {
  diagnosticsUploadAuth(filename: $filename, tournament: $tournament, modelId: $modelId) { filename url }
}
""",
    "createDiagnostics",
    """
mutation ($filename: String!, $tournament: Int!, $modelId: String) {
  createDiagnostics(filename: $filename, tournament: $tournament, modelId: $modelId) { id }
}
""",
)
MODEL = Upload(
    "model",
    """
query ($filename: String!, $modelId: String) {
  computePickleUploadAuth(filename: $filename, modelId: $modelId) { filename url }
}
""",
    "createComputePickleUpload",
    """
mutation ($filename: String!, $tournament: Int!, $modelId: String, $dataVersionId: String, $dockerImageId: String) {
  createComputePickleUpload(
    filename: $filename, tournament: $tournament, modelId: $modelId, dataVersionId: $dataVersionId, dockerImageId: $dockerImageId
  ) { id }
}
""",
)
PAGE, MOST_RANKED = 1000, 50_000
"""Models of the leaderboard in one request, and at most in all."""

PROFILE = """
query ($name: String!, $tournament: Int) {
  v3UserProfile(model_name: $name, tournament: $tournament) { id }
}
"""
BROKEN = {"failure", "failed", "error", "invalid", "rejected"}
"""The API's words, in lower case, for a file that doesn't work."""

READ_BACK = """
query ($id: String) {
  submissionDownloadAuth(id: $id) { filename url }
}
"""


class Account(Client):
    """A `Client` with the key of an account."""

    def models(self, names: Sequence[str] | None = None) -> dict[str, str]:
        """Return the ids of some of the account's models, by name; of all if no names are given.

        Raises
        ------
        InputError
            If the account has no model of a name.
        """
        with self.understood():
            own = self.get_models()
        return {name: named(own, name) for name in (own if names is None else names)}

    def public_ids(self, names: Sequence[str]) -> dict[str, str]:
        """Return the ids of models of any account, by name, without the unknown ones; no key is needed."""
        found = {}
        for name in names:
            with self.understood():
                profile = self.raw_query(PROFILE, {"name": name, "tournament": self.tournament_id})["data"]["v3UserProfile"]
                if profile is not None:
                    found[name] = str(profile["id"])
        return found

    def scores(self, model: str) -> list[dict[str, Any]]:
        """Return all scores of a model (its id), for each day of each round, as numerapi's `submission_scores` does."""
        with self.understood():
            return list(self.submission_scores(model))

    def ranks(self, names: Sequence[str]) -> dict[str, int]:
        """Return the ranks of models on the leaderboard, by name; models without one are absent."""
        found: dict[str, int] = {}
        offset = 0
        while len(found) < len(names):
            with self.understood():
                page = self.get_leaderboard(PAGE, offset)
                found |= {one["username"]: int(one["rank"]) for one in page if one["username"] in names}
            offset += len(page)
            if not page or offset >= MOST_RANKED:
                break
        return found

    def round(self, number: int | None = None) -> Round:
        """Return a round, by default the current one.

        Raises
        ------
        NotOpen
            If there is no such round now.
        """
        with self.understood():
            found = self.list_rounds(number=number or 0)
            if not found or found[0] is None:
                raise NotOpen(f"{host(self.url)}: there is no {f'round {number}' if number else 'current round'} now")
            one = found[0]
            opens, closes, factor = one["openTime"], one["closeStakingTime"] or one["closeTime"], one["payoutFactor"]
            if opens is None or closes is None:
                raise NotOpen(f"{host(self.url)}: round {one['number']} has no times: it is from before the data; take a later one")
            scores = tuple(one.get("roundScoreConfigs") or ())
            return Round(int(one["number"]), _time(opens), _time(closes), None if factor is None else float(factor), scores)

    def submissions(self, model: str, since: datetime) -> list[Submission]:
        """Return the submissions of a model (its id) since a time, the latest last."""
        with self.understood():
            every = [Submission(str(one["id"]), str(one["filename"]), _time(one["insertedAt"])) for one in self.submission_ids(model)]
        return sorted((one for one in every if one.inserted >= since), key=lambda one: one.inserted)

    def read_back(self, submission: Submission, path: Path) -> None:
        """Fetch the file of a submission from the server."""

        def locate() -> str:
            answer = self._query(READ_BACK, {"id": submission.id})
            with self.understood():
                return str(self.present(answer, "submissionDownloadAuth")["url"])

        fetching.fetch(Download(locate, path, f"submission {submission.id}", patience=self.patience))

    def send(self, upload: Upload, filename: str, content: bytes, model: str, **variables: str | None) -> str:
        """Send a file for a model (its id), and ask the server to accept it.

        Returns
        -------
        str
            The id that the server gives it.

        Raises
        ------
        InputError
            If the file isn't accepted: then nothing is created.
        Unsure
            If the file was sent, and the server's answer isn't known.
        """
        place = self._put(upload, filename, content, model)
        answer = self._query(upload.mutation, {"filename": place, "modelId": model, **variables})
        try:
            with self.understood():
                return str(self.present(answer, upload.create)["id"])
        except NoResult as problem:
            raise self.unsure(problem) from None

    def diagnosed(self, model: str, number: str, patience: float) -> dict[str, Any]:
        """Wait until Numerai has scored validation predictions of a model (its id), and return its diagnostics.

        Raises
        ------
        Unconfirmed
            If Numerai refuses them, or hasn't scored them within `patience` seconds.
        """

        def look() -> tuple[str, dict[str, Any]]:
            with self.understood():
                found = self.diagnostics(model, number)
                one: dict[str, Any] = dict((found[0] if found else {}) if isinstance(found, list) else found or {})
            status = str(one.get("status") or "pending").lower()
            if status in BROKEN:
                raise Unconfirmed(f"diagnostics {number}: Numerai says {status}: {one.get('message') or 'no reason'}")
            return status, one if one.get("perEraDiagnostics") else {}

        return self._waited(look, patience, f"diagnostics {number}: Numerai hasn't scored them")

    def _waited(self, look: Callable[[], tuple[str, Result]], patience: float, late: str) -> Result:
        """Call `look` until it returns a result, up to `patience` seconds; `late` begins the message if none has come by then."""
        failed, until = 0, time.monotonic() + patience
        while True:
            status, result = look()
            if result:
                return result
            failed += 1
            if time.monotonic() > until:
                raise Unconfirmed(f"{late} in time, it says {status}; look there")
            self.pause(failed)

    def _query(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        given = {"tournament": self.tournament_id, **variables}
        return self.raw_query(query, {name: value for name, value in given.items() if f"${name}:" in query}, authorization=True)

    def _put(self, upload: Upload, filename: str, content: bytes, model: str) -> str:
        """Put a file to an address of the server; if that fails, try again with a new address, since nothing has changed."""
        failed = 0
        while True:
            answer = self._query(upload.address, {"filename": filename, "modelId": model})["data"]
            with self.understood():
                [place] = answer.values()
                name, address = str(place["filename"]), str(place["url"])
            try:
                self._put_once(address, content, upload.what)
            except Again as problem:
                failed += 1
                if failed == self.patience.tries:
                    raise Unavailable(
                        f"{host(address)}: the {upload.what} can't be sent: {problem} ({failed} tries); nothing is submitted"
                    ) from None
                self.pause(failed, problem)
            else:
                return name

    def _put_once(self, address: str, content: bytes, what: str) -> None:
        with Session() as session, reached(address):
            response = session.put(address, data=content, timeout=(self.patience.connection, self.patience.silence))
        said = f"the answer is HTTP status {response.status_code}"
        if response.status_code in BUSY | GONE:
            raise Again(said, retry_after(response, self.patience))
        if not response.ok:
            raise InputError(f"{host(address)}: the {what} can't be sent: {said}; nothing is submitted")


def named(own: Mapping[str, Named], name: str) -> Named:
    """Return the account's entry of a model, by its name.

    Raises
    ------
    InputError
        If it has no such model.
    """
    if name not in own:
        raise InputError(f"the account has no model {name!r}; its models are {', '.join(own) or 'none'}")
    return own[name]


def _time(value: datetime | str) -> datetime:
    """Read a time that numerapi has parsed or not; without a zone it is UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
