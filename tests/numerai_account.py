"""What the stand-in for Numerai's server knows of an account: its key, its models, what they sent, and how they did."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

Answer = dict[str, Any]

PRIVATE = (
    "computePickles(",
    "assignPickleToModel",
    "diagnosticsTriggerLogs",
    "triggerLogs",
    "account",
    "submission_upload_auth",
    "create_submission",
    "submissions",
    "submissionDownloadAuth",
    "diagnosticsUploadAuth",
    "createDiagnostics",
    "diagnostics(",
    "computePickleUploadAuth",
    "createComputePickleUpload",
    "computePickleDataVersions",
    "computePickleDockerImages",
    "pendingModelPayouts",
    "stakeTransactions",
    "returnsValues",
)
"""What takes the key."""


def image(python: str, *, default: bool = False) -> Answer:
    """Return an image in which models run."""
    short = python.replace(".", "_")
    known = {"id": f"image-{short}", "name": f"Python {python}", "image": f"registry.example/numerai_predict_py_{short}", "tag": "19d1769"}
    return known | {"default": default}


IDENTITIES = {
    "v2_corr20": ("correlation", "6", 20),
    "mmc": ("meta_model_contribution", "5", 20),
    "corr60": ("corr60", "3", 60),
    "mmc60": ("mmc60", "3", 60),
}
"""Name, version and days of the scores that the site shows."""


@dataclass
class NumeraiAccount:
    """An account of two models.

    Parameters
    ----------
    key : public id and secret key.
    models : ids by name.
    opens, closes : when every round takes submissions.
    numbered : whether a query for the current round finds one.
    spoils : what is read back of a submission in place of what was sent.
    hides : how many times a list of submissions lacks the latest.
    scores, leaderboard : what queries for them give.
    multipliers : of the scores that a round pays for.
    factor, clip : that a round names for its payout; None where it names none.
    payouts : what the next queries for payouts give, `actual` and `pending`; the last one stays.
    stakes, returns : stakes of all models, and returns by a model's id.
    diagnostics, status : what the next queries for them give; the last one stays.
    images : in which models run, the default one among them.
    assigns : what assigns a pickle to its model: "creation", "mutation", "late" (the mutation, shown by the third query after it), "other"
        (the mutation, but the model runs another pickle), "lost" (nothing, in spite of the answer).
    assigned : the pickle that each model runs, by their ids.
    logs : lines of the log of the pickle's validation, and of its run for a round.
    described : what the server says has happened to a pickle.
    absent : how many queries for pickles lack the latest.
    """

    key: tuple[str, str] = ("PUBLIC1D", "S3CRETKEY")
    models: dict[str, str] = field(default_factory=lambda: {"alpha": "id-alpha", "beta": "id-beta"})
    opens: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(hours=1))
    closes: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(hours=1))
    numbered: bool = True
    spoils: bytes | None = None
    hides: int = 0
    diagnostics: list[Answer] = field(default_factory=list)
    scores: dict[str, list[Answer]] = field(default_factory=dict)
    status: list[str] = field(default_factory=lambda: ["PENDING", "SUCCESS"])
    images: list[Answer] = field(default_factory=lambda: [image("3.11"), image("3.12", default=True), image("3.13")])
    assigns: str = "mutation"
    assigned: dict[str, str] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=lambda: {"diagnosticsTriggerLogs": [], "triggerLogs": []})
    described: str | None = None
    absent: int = 0
    due: list[bool] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    created: list[Answer] = field(default_factory=list)
    leaderboard: list[str] = field(default_factory=list)
    multipliers: dict[str, float] = field(default_factory=lambda: {"v2_corr20": 0.75, "mmc": 2.25})
    factor: str | None = "0.5"
    clip: float | None = 0.05
    payouts: list[Answer] = field(default_factory=lambda: [{"actual": [], "pending": []}])
    stakes: list[Answer] = field(default_factory=list)
    returns: dict[str, list[Answer]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, query: str, variables: Answer, authorization: str | None, url: str) -> Answer | None:
        """The result of a query about an account, or None for another."""
        name = next((name for name in PRIVATE if name in query), None)
        if name is None:
            return self._public(query, variables)
        if authorization != "Token {}${}".format(*self.key):
            return _error("You are not authenticated")
        if variables.get("modelId", "id-alpha") not in self.models.values():
            return _error("Model not found")
        return self._private(name.rstrip("("), variables, url)

    def rounds(self, number: int, known: list[int]) -> Answer:
        """A round."""
        if not self.numbered:
            return _error("Current round not open for submissions")
        times = {"openTime": self.opens, "closeTime": self.closes, "closeStakingTime": self.closes}
        configs = [self._config(name, multiplier) for name, multiplier in self.multipliers.items()]
        one = {"number": number, "target": "main", "payoutFactor": self.factor, "roundScoreConfigs": configs} | {
            name: time.isoformat() for name, time in times.items()
        }
        return {"data": {"rounds": [one] if number in known else []}}

    def _config(self, shown: str, multiplier: float) -> Answer:
        name, version, days = IDENTITIES.get(shown, (shown, "1", 20))
        identity = {"name": name, "version": version, "displayName": shown, "totalScoreDays": days, "isPayout": multiplier != 0}
        return identity | {"defaultMultiplier": multiplier, "payoutFactor": self.factor, "clipThreshold": self.clip}

    def put(self, name: str, content: bytes) -> None:
        """Keep a file."""
        self.objects[name] = content

    def sent(self, number: str) -> bytes:
        """The file of something that was created."""
        one = next(one for one in self.created if one["id"] == number)
        return self.objects[one["filename"]] if self.spoils is None else self.spoils

    def created_for(self, kind: str, model: str) -> list[Answer]:
        """Return what was created of a kind for a model (its id)."""
        return [one for one in self.created if one["kind"] == kind and one["modelId"] == model]

    def _public(self, query: str, variables: Answer) -> Answer | None:
        if "submissionScores" in query:
            return {"data": {"submissionScores": self.scores.get(variables["modelId"], [])}}
        if "v3UserProfile" in query:
            number = self.models.get(variables["name"])
            return {"data": {"v3UserProfile": None if number is None else {"id": number}}}
        if "v2Leaderboard" in query:
            board = [{"username": name, "rank": rank, "nmrStaked": "1.5"} for rank, name in enumerate(self.leaderboard, 1)]
            return {"data": {"v2Leaderboard": board[variables["offset"] : variables["offset"] + variables["limit"]]}}
        return None

    def _private(self, name: str, variables: Answer, url: str) -> Answer:
        if name.lower().replace("_", "").endswith("uploadauth"):
            place = f"{next(self.numbers)}-{variables['filename']}"
            return {"data": {name: {"filename": place, "url": f"{url}/put/{quote(place)}?signature=5ecret"}}}
        if name == "create_submission" and not self.opens <= datetime.now(UTC) < self.closes:
            return _error("Round is closed for submissions")
        if name.startswith("create"):
            number = f"sent-{next(self.numbers)}"
            self.created.append({"kind": name, "id": number, "insertedAt": datetime.now(UTC).isoformat(), **variables})
            if name == "createComputePickleUpload" and self.assigns == "creation":
                self.assigned[variables["modelId"]] = number
            return {"data": {name: {"id": number}}}
        found: dict[str, Any] = {
            "account": self._own(),
            "submissionDownloadAuth": {"filename": "x.csv", "url": f"{url}/sent/{variables.get('id')}?signature=5ecret"},
            "diagnostics": [self.diagnostics.pop(0)] if len(self.diagnostics) > 1 else self.diagnostics,
            "computePickleDataVersions": [{"name": "v5.2", "id": "version-52"}, {"name": "v5.3", "id": "version-53"}],
            "computePickleDockerImages": self.images,
        }
        if name == "computePickles":
            return {"data": {name: self._pickles(variables["modelId"]), "account": self._own()}}
        if name == "assignPickleToModel":
            return self._assign(variables["modelId"], variables["pickleId"])
        if name in self.logs:
            return {"data": {name: [{"timestamp": "2026-11-27T12:00:00Z", "message": line} for line in self.logs[name]]}}
        if name == "pendingModelPayouts":
            return {"data": {name: self.payouts.pop(0) if len(self.payouts) > 1 else self.payouts[0]}}
        if name == "stakeTransactions":
            own = [one for one in self.stakes if one["modelId"] in variables["modelIds"]]
            return {"data": {name: own[variables["offset"] : variables["offset"] + variables["limit"]]}}
        if name == "returnsValues":
            return {"data": {"model": {name: self.returns.get(variables["modelId"], [])}}}
        if name == "submissions":
            return {"data": {name: self._listed(variables["modelId"])}}
        return {"data": {name: found[name]}}

    def _own(self) -> Answer:
        """Return the account's models, each with the pickle that it runs."""
        own = [{"name": name, "id": number, "tournament": 8, "computePickleUpload": None} for name, number in self.models.items()]
        return {
            "models": [one | ({"computePickleUpload": {"id": run}} if (run := self.assigned.get(str(one["id"]))) else {}) for one in own]
        }

    def _pickles(self, model: str) -> list[Answer]:
        """Return the pickles that were created for a model, the latest with the next status; an assignment that is due takes effect."""
        if self.due and self.due.pop():
            self.assigned[model] = self.created_for("createComputePickleUpload", model)[-1]["id"]
        own = self.created_for("createComputePickleUpload", model)
        if own and self.absent:
            self.absent -= 1
            own = own[:-1]
        status = (self.status.pop(0) if len(self.status) > 1 else self.status[0]) if own else ""
        trigger = {"id": "trigger-1", "status": "finished", "statuses": [{"status": "finished", "description": self.described}]}
        return [
            {
                "id": one["id"],
                "validationStatus": status,
                "diagnosticsStatusDescription": self.described,
                "assignedModelSlots": [slot for slot, pickle in self.assigned.items() if pickle == one["id"]],
                "triggers": [trigger] if self.logs["triggerLogs"] else [],
            }
            for one in own
        ]

    def _assign(self, model: str, pickle: str) -> Answer:
        """Assign a pickle to a model, or what else happens in place of it."""
        match self.assigns:
            case "mutation":
                self.assigned[model] = pickle
            case "other":
                self.assigned[model] = "sent-by-another"
            case "late":
                self.due = [True, False, False]
        return {"data": {"assignPickleToModel": "true"}}

    def _listed(self, model: str) -> list[Answer]:
        own = self.created_for("create_submission", model)
        if own and self.hides:
            self.hides -= 1
            own = own[:-1]
        return [{key: one[key] for key in ("id", "filename", "insertedAt")} for one in own]


def _error(message: str) -> Answer:
    return {"errors": [{"message": message}]}
