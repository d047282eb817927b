"""Pickles that Numerai runs for an account's models: their image, their validation, and their assignment to a model."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from erawise.live.account import BROKEN, Account, named
from erawise.running.errors import InputError, Unconfirmed
from erawise.sources.numerai.client import Unsure

IMAGES = """
query { computePickleDockerImages { id name image tag default } }
"""
STATE = """
query ($modelId: ID) {
  computePickles(modelId: $modelId) {
    id validationStatus diagnosticsStatusDescription assignedModelSlots triggers { id statuses { status description } }
  }
  account { models { name computePickleUpload { id } } }
}
"""
ASSIGN = """
mutation ($modelId: String, $pickleId: ID) { assignPickleToModel(modelId: $modelId, pickleId: $pickleId) }
"""
VALIDATION_LOGS = """
query ($pickleId: ID!) { diagnosticsTriggerLogs(pickleId: $pickleId) { timestamp message } }
"""
TRIGGER_LOGS = """
query ($triggerId: ID!) { triggerLogs(triggerId: $triggerId) { timestamp message } }
"""
WORKS = {"success", "succeeded", "passed", "validated", "complete", "completed"}
"""The API's words, in lower case, for a pickle that works. Words that are neither here nor in `BROKEN` mean: wait."""

THEIRS = "error"
"""Its word if the fault is Numerai's own."""

SECONDS_TO_ASSIGN = 60.0
"""Seconds within which the server must show an assignment."""

LOG_LINES = 100
"""Lines that are shown of a log's end."""


@dataclass(frozen=True)
class Image:
    """An image in which Numerai runs models.

    Attributes
    ----------
    id : by which a pickle asks for it.
    label : its names in messages.
    python : its Python, such as "3.12"; empty if its names don't tell.
    tag : the commit that it was built from.
    default : whether a pickle that asks for no image runs in it.
    """

    id: str
    label: str
    python: str
    tag: str
    default: bool


@dataclass(frozen=True)
class State:
    """The state of a pickle at Numerai.

    Attributes
    ----------
    status : of its validation, in lower case; "absent" if the list of pickles lacks it.
    why : the server's descriptions.
    assigned : whether it is assigned to the model.
    runs : id of the pickle that the model runs; None if it runs none.
    triggers : ids of its runs for rounds.
    """

    status: str
    why: str
    assigned: bool
    runs: str | None
    triggers: tuple[str, ...]


class Pickles(Account):
    """An account whose models Numerai runs."""

    def data_version(self, version: str) -> str:
        """Return the id by which a pickle asks for its data version.

        Raises
        ------
        InputError
            If Numerai runs no models on it.
        """
        with self.understood():
            versions = self.model_upload_data_versions()
        if version not in versions:
            raise InputError(f"data.version: Numerai runs no models on {version!r}, only on {', '.join(versions)}")
        return str(versions[version])

    def image(self, pythons: Sequence[str]) -> tuple[Image, str]:
        """Choose the image to run in: Numerai's default if it has one of some Pythons, else the image of the newest of them.

        Returns
        -------
        tuple
            The image, and its description.

        Raises
        ------
        InputError
            If Numerai has no image of these Pythons.
        """
        answer = self._query(IMAGES, {})
        with self.understood():
            every = [_image(one) for one in self.present(answer, "computePickleDockerImages")]
        known = [one for one in every if one.python in pythons]
        if not known:
            raise InputError(
                f"upload: Numerai has no image of Python {', '.join(pythons)}; it has {', '.join(one.label for one in every) or 'none'}"
            )
        default = next((one for one in every if one.default), None)
        if default is not None and default in known:
            return default, f"Numerai's default image, {default.label}"
        newest = max(known, key=lambda one: [int(part) for part in one.python.split(".")])
        other = "Numerai names no default image" if default is None else f"Numerai's default image is {default.label}"
        return newest, f"the image {newest.label} of Python {newest.python}; {other}"

    def validated(self, model: str, number: str, upload: str, patience: float) -> str:
        """Wait until Numerai has tried a pickle of a model (its name and id), and return the status.

        Raises
        ------
        Unconfirmed
            If Numerai refuses it, or hasn't tried it within `patience` seconds.
        """

        def look() -> tuple[str, str]:
            found = self._working(model, number, upload)
            return found.status, found.status if found.status in WORKS else ""

        return self._waited(look, patience, f"{model}: Numerai hasn't tried the model that was sent ({upload})")

    def assigned(self, model: str, number: str, upload: str, patience: float) -> str:
        """Assign a pickle to a model (its name and id), unless it is assigned already, and read that back.

        Returns
        -------
        str
            How it was assigned, in words.

        Raises
        ------
        Unconfirmed
            If the server refuses, or doesn't show within `patience` seconds that the model runs it.
        """

        def look() -> tuple[str, bool]:
            found = self._working(model, number, upload)
            runs = "runs none" if found.runs is None else f"runs {found.runs}"
            return f"{runs}, {'' if found.assigned else 'not '}assigned", found.assigned and found.runs == upload

        if look()[1]:
            return "it was assigned when it was sent"
        with suppress(Unsure):  # the next look shows whether it was carried out
            self._query(ASSIGN, {"modelId": number, "pickleId": upload})
        self._waited(look, min(patience, SECONDS_TO_ASSIGN), f"{model}: Numerai hasn't assigned the model that was sent ({upload})")
        return "assigned"

    def logs(self, model: str, number: str, upload: str) -> Iterator[str]:
        """Yield the last lines of the server's logs of a pickle: of its validation, then of its runs for rounds. They hold no secret."""
        yield from self._log("diagnosticsTriggerLogs", VALIDATION_LOGS, {"pickleId": upload})
        for trigger in self._state(model, number, upload).triggers:
            yield from self._log("triggerLogs", TRIGGER_LOGS, {"triggerId": trigger})

    def _log(self, name: str, query: str, variables: dict[str, str]) -> list[str]:
        answer = self._query(query, variables)
        with self.understood():
            entries = [(str(one.get("timestamp") or ""), str(one.get("message") or "")) for one in answer["data"].get(name) or []]
        lines = [f"{time} {line}".strip() for time, message in entries for line in message.splitlines()]
        return [self._shown(line) for line in lines[-LOG_LINES:]]

    def _working(self, model: str, number: str, upload: str) -> State:
        """Return the state of a pickle; raise `Unconfirmed` if Numerai refuses it."""
        found = self._state(model, number, upload)
        if found.status in BROKEN:
            whose = "; the error is Numerai's own, send it again later" if found.status == THEIRS else ""
            why = f": {found.why}" if found.why else ""
            raise Unconfirmed(f"{model}: Numerai says {found.status} of the model that was sent ({upload}){whose}{why}")
        return found

    def _state(self, model: str, number: str, upload: str) -> State:
        answer = self._query(STATE, {"modelId": number})
        with self.understood():
            one: dict[str, Any] = next((one for one in self.present(answer, "computePickles") if one["id"] == upload), {})
            runs = named({entry["name"]: entry["computePickleUpload"] for entry in answer["data"]["account"]["models"]}, model)
            triggers = one.get("triggers") or []
            said = [one.get("diagnosticsStatusDescription")]
            said += [status.get("description") for trigger in triggers for status in trigger.get("statuses") or []]
            return State(
                str(one.get("validationStatus") or "pending").lower() if one else "absent",
                self._shown("; ".join(dict.fromkeys(str(text) for text in said if text))),
                number in (one.get("assignedModelSlots") or []),
                None if runs is None else str(runs["id"]),
                tuple(str(trigger["id"]) for trigger in triggers),
            )

    def _shown(self, text: str) -> str:
        """Return a text of the server that may be shown: in one line, without the key, and without signatures of addresses."""
        plain = "".join(letter if letter.isprintable() else " " for letter in text)
        return re.sub(r"(https?://[^\s?\"']+)\?[^\s\"']+", r"\1?…", self._without_key(plain))


def _image(one: dict[str, Any]) -> Image:
    """Read an image; its address, as `numerai_predict_py_3_12`, or its name, as `Python 3.12`, tells its Python."""
    address, name, tag = (str(one.get(part) or "") for part in ("image", "name", "tag"))
    python = re.search(r"(?<!\d)3[._](\d+)", address.rpartition("/")[2]) or re.search(r"(?<!\d)3[._](\d+)", name)
    full = f"{address}:{tag}" if tag else address
    label = f"{name} ({full})" if name and full and name != full else name or full or str(one["id"])
    return Image(str(one["id"]), label, f"3.{python[1]}" if python else "", tag, bool(one.get("default")))
