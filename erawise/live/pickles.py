"""The models of an account that Numerai runs itself, from a pickle: on which image, whether it works, and which model it is assigned to."""

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
"""What the API may say of a pickle that works, in lower case; what is neither among these nor in `BROKEN` is waited out."""

THEIRS = "error"
"""What it says where the fault is Numerai's own."""

SECONDS_TO_ASSIGN = 60.0
"""How long an assignment may take to show."""

LOG_LINES = 100
"""The last lines of a log, which are shown."""


@dataclass(frozen=True)
class Image:
    """An image in which Numerai runs models.

    Attributes
    ----------
    id : by which a pickle asks for it.
    label : its names in messages.
    python : its Python, such as "3.12"; empty if no name of it says so.
    tag : the commit that it was built from.
    default : whether a pickle that asks for none runs in it.
    """

    id: str
    label: str
    python: str
    tag: str
    default: bool


@dataclass(frozen=True)
class State:
    """What Numerai says of a pickle.

    Attributes
    ----------
    status : of its validation, in lower case; "absent" where the list of pickles lacks it.
    why : the server's descriptions of what has happened.
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
            raise InputError(f"data.version: Numerai runs no models on {version!r}; it does on {', '.join(versions)}")
        return str(versions[version])

    def image(self, pythons: Sequence[str]) -> tuple[Image, str]:
        """Choose the image to run in, of some Pythons: Numerai's default, or else that of the newest.

        Returns
        -------
        tuple
            The image, and what it is, in words.

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
        """Wait, up to so many seconds, until Numerai has tried a pickle of a model (its name and id); return what it says.

        Raises
        ------
        Unconfirmed
            If it refuses it, or hasn't tried it by then.
        """

        def look() -> tuple[str, str]:
            found = self._working(model, number, upload)
            return found.status, found.status if found.status in WORKS else ""

        return self._waited(look, patience, f"{model}: Numerai hasn't tried the model that was sent ({upload})")

    def assigned(self, model: str, number: str, upload: str, patience: float) -> str:
        """Have a model (its name and id) run a pickle, unless it does since the pickle was sent, and read that back.

        Returns
        -------
        str
            Who assigned it, in words.

        Raises
        ------
        Unconfirmed
            If the server doesn't say within so many seconds that the model runs it, or refuses it after all.
        """

        def look() -> tuple[str, bool]:
            found = self._working(model, number, upload)
            runs = "runs none" if found.runs is None else f"runs {found.runs}"
            return f"{runs}, {'' if found.assigned else 'not '}assigned", found.assigned and found.runs == upload

        if look()[1]:
            return "it was assigned when it was sent"
        with suppress(Unsure):  # whether it was carried out all the same is read back
            self._query(ASSIGN, {"modelId": number, "pickleId": upload})
        self._waited(look, min(patience, SECONDS_TO_ASSIGN), f"{model}: Numerai hasn't assigned the model that was sent ({upload})")
        return "assigned"

    def logs(self, model: str, number: str, upload: str) -> Iterator[str]:
        """Yield the last lines of the server's logs of a pickle: of its validation, then of its runs for rounds; without any secret."""
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
        """Return what Numerai says of a pickle that it doesn't refuse."""
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
        """Return a text of the server as it may be shown: in one line, without the key, and without what signs an address."""
        plain = "".join(letter if letter.isprintable() else " " for letter in text)
        return re.sub(r"(https?://[^\s?\"']+)\?[^\s\"']+", r"\1?…", self._without_key(plain))


def _image(one: dict[str, Any]) -> Image:
    """Read an image: its Python stands in its address, as `numerai_predict_py_3_12`, or in its name, as `Python 3.12`."""
    address, name, tag = (str(one.get(part) or "") for part in ("image", "name", "tag"))
    python = re.search(r"(?<!\d)3[._](\d+)", address.rpartition("/")[2]) or re.search(r"(?<!\d)3[._](\d+)", name)
    full = f"{address}:{tag}" if tag else address
    label = f"{name} ({full})" if name and full and name != full else name or full or str(one["id"])
    return Image(str(one["id"]), label, f"3.{python[1]}" if python else "", tag, bool(one.get("default")))
