"""Regimes of payout: the scores, factor, clip and stake by which a range of rounds pays.

`regimes.yaml` has Numerai's regimes. The user's own file adds regimes, or replaces one that has the same id.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.base import files
from erawise.base.schema import HORIZONS, named_horizon
from erawise.base.settings import Count, Name, NonNegative, Positive, PositiveShare, Section
from erawise.running.errors import InputError, known_names

PACKAGED = Path(__file__).with_name("regimes.yaml")

OWN = Path("erawise/regimes/regimes.yaml")
"""The value of `payout.regimes` if the user has no own file: the packaged file, by its path in a checkout.

DVC can't express a dependency that may be absent, so the setting always names a file.
"""

COLUMNS = {
    "corr20": "corr",
    "v2_corr20": "corr",
    "corr60": "corr",
    "mmc": "mmc",
    "mmc20": "mmc",
    "mmc60": "mmc",
    "bmc": "bmc",
    "fnc_v3": "fnc",
    "tc": None,
}
"""The column of an era's scores for each score of Numerai; None if no file allows to compute it."""

Multipliers = Mapping[str, float]
"""The weight of each column of scores."""

MESSAGES = {"extra_forbidden": "unknown key", "missing": "the key is missing", "model_type": "expected keys with values"}
"""Messages for pydantic's types of errors."""


class Factor(Section):
    """A payout factor: fixed, or falling once the NMR at risk is above a threshold."""

    fixed: PositiveShare | None = None
    threshold: Positive | None = None

    @model_validator(mode="after")
    def _one(self) -> "Factor":
        if (self.fixed is None) == (self.threshold is None):
            raise ValueError("expected either fixed or threshold")
        return self

    def for_total(self, total_at_risk: float) -> float:
        """Return the factor of a round with so much NMR at risk: `fixed`, or `min(1, threshold / total_at_risk)`."""
        return self.fixed or min(1.0, (self.threshold or 0.0) / total_at_risk)


class Regime(Section):
    """The payout of the rounds `first` to `last`; `regimes.yaml` explains each setting."""

    id: Name
    first: Annotated[Count | None, Field(alias="from")]
    last: Annotated[Count | None, Field(alias="to")]
    scores: Annotated[dict[str, NonNegative | None], Field(min_length=1)]
    max: dict[str, Positive] = Field(default_factory=dict)
    target: str | None
    horizon: StrictInt
    factor: Factor
    clip: PositiveShare
    stake: Literal["whole", "per_round"]
    per_week: Annotated[StrictInt, Field(ge=1, le=7)]
    concurrent: Count
    resolve_days: Count
    confidence: Literal["primary", "copy", "third", "inferred"]

    @model_validator(mode="after")
    def _fits(self) -> "Regime":
        if self.first and self.last and self.last < self.first:
            raise ValueError(f"to: it ends with round {self.last}, before it begins with round {self.first}")
        for score in self.scores:
            if score not in COLUMNS:
                raise ValueError(f"scores: no score is called {score!r}; there are {', '.join(COLUMNS)}")
        if not set(self.max) <= {score for score, multiplier in self.scores.items() if multiplier is None}:
            raise ValueError("max: only a score whose multiplier is null has one")
        if not any(multiplier is None or multiplier > 0 for multiplier in self.scores.values()):
            raise ValueError("scores: at least one multiplier must be above 0")
        if self.horizon not in HORIZONS.values():
            raise ValueError(f"horizon: expected 20 or 60 days (it is {self.horizon})")
        for name in (self.target or "", *self.scores):
            days = named_horizon(f"_{name[-2:]}") if name in COLUMNS else named_horizon(name)
            if days not in (None, self.horizon):
                raise ValueError(f"{name}: it looks {days} days ahead, and horizon is {self.horizon}")
        if self.target and "_" in self.target and named_horizon(self.target) is None:
            raise ValueError(f"target: {self.target!r} is neither one of 20 nor one of 60 days; expected a name like target_ender_60")
        return self

    @property
    def weeks(self) -> int:
        """Return the weeks from the opening of a round to its payout, rounded up."""
        return -(-self.resolve_days // 7)

    @property
    def positions(self) -> int | None:
        """Return how many rounds are open at once if each has its own stake; None if each is on the whole stake."""
        return self.concurrent if self.stake == "per_round" else None

    @property
    def rounds(self) -> str:
        """Return the rounds in words."""
        return f"{self.first or ''}–{self.last or ''}"

    def multipliers(self) -> Multipliers:
        """Return the multiplier of each column of scores that pays.

        Raises
        ------
        InputError
            If each participant chose a multiplier, or no file allows to compute a score.
        """
        for score, multiplier in self.scores.items():
            if multiplier is None:
                raise InputError(f"regime {self.id}: each participant chose the multiplier of {score}; expected a regime that has one")
            if COLUMNS[score] is None and multiplier:
                raise InputError(f"regime {self.id}: it pays for {score}, which no file allows to compute; take another regime")
        return {str(COLUMNS[score]): float(multiplier or 0.0) for score, multiplier in self.scores.items() if COLUMNS[score]}

    def sums(self) -> dict[str, Multipliers]:
        """Return the weights of scores in a payout, before factor and clip: `payout`, and its `stand_in`, `payout_bmc`.

        Raises
        ------
        InputError
            See `multipliers`.
        """
        pays = self.multipliers()
        return {"payout": pays, "payout_bmc": stand_in(pays)}


def stand_in(multipliers: Multipliers) -> Multipliers:
    """Return the multipliers with BMC in place of MMC: many more eras have a benchmark model than a meta model."""
    found: dict[str, float] = {}
    for column, multiplier in multipliers.items():
        name = "bmc" if column == "mmc" else column
        found[name] = found.get(name, 0.0) + multiplier
    return found


def formula(multipliers: Multipliers) -> str:
    """Return the weighted sum of scores in words, such as `3 · CORR + 15 · MMC`."""
    return " + ".join(f"{multiplier:g} · {column.upper()}" for column, multiplier in multipliers.items())


class Regimes(Section):
    """Regimes that don't overlap, in the order of their rounds."""

    regimes: Annotated[list[Regime], Field(min_length=1)]

    @model_validator(mode="after")
    def _apart(self) -> "Regimes":
        ids = [one.id for one in self.regimes]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]}: two regimes have this id")
        for before, after in pairwise(sorted(self.regimes, key=lambda one: one.first or 0)):
            if before.last is None or before.last >= (after.first or 0):
                end = "it has no end" if before.last is None else f"it ends with round {before.last}"
                advice = f"give {before.id} an earlier `to`, in your file under the same id"
                raise ValueError(
                    f"{before.id} and {after.id} overlap: {end}, and {after.id} begins with round {after.first or 1}; {advice}"
                )
        return self

    def named(self, name: str | None) -> Regime:
        """Return a regime by its id; for None the latest, which holds today."""
        if name is None:
            return max(self.regimes, key=lambda one: one.first or 0)
        found = next((one for one in self.regimes if one.id == name), None)
        if found is None:
            known = [one.id for one in self.regimes]
            raise InputError(f"regime {name!r}: no regime has this id; there are {known_names(known, name)}")
        return found

    def of_round(self, number: int) -> Regime:
        """Return the regime of a round; raise `InputError` if there is none."""
        for one in self.regimes:
            if (one.first or 1) <= number and (one.last is None or number <= one.last):
                return one
        known = ", ".join(f"{one.id} {one.rounds}" for one in self.regimes)
        raise InputError(f"round {number}: no regime has it; there are {known}")


def load(own: Path | str = OWN, directory: Path = Path()) -> Regimes:
    """Read the regimes of the package and of the user's file, which replaces regimes that have the same id.

    Parameters
    ----------
    own : the user's file; `OWN` if there is none.
    directory : directory that `own` is relative to.

    Raises
    ------
    InputError
        If the file is missing or isn't YAML, or a regime breaks a rule; the message names both.
    """
    packaged = _read(PACKAGED)
    if Path(own) == OWN:
        return _checked(packaged, PACKAGED)
    path = directory / own
    mine = _read(path)
    _checked(mine, path)
    replaced = {one["id"] for one in mine["regimes"]}
    return _checked({"regimes": [one for one in packaged["regimes"] if one["id"] not in replaced] + mine["regimes"]}, path)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path}: the file is missing; expected regimes in the form of erawise/regimes/regimes.yaml")
    try:
        return YAML(typ="safe").load(files.read_text(path))
    except YAMLError as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


def _checked(content: Any, path: Path) -> Regimes:
    try:
        return Regimes.model_validate(content)
    except ValidationError as error:
        item = error.errors()[0]
        given = "" if item["type"] in (*MESSAGES, "value_error") or isinstance(item["input"], dict) else f" (it is {item['input']!r})"
        message = MESSAGES.get(item["type"], item["msg"].removeprefix("Value error, "))
        raise InputError(f"{path}: {_place(item['loc'], content)}{message}{given}") from None


def _place(location: tuple[int | str, ...], content: Any) -> str:
    """Return the id of a regime and the keys below it, with a colon; empty for the file as a whole."""
    keys = [str(part) for part in location]
    if len(location) > 1 and isinstance(location[1], int):
        one = content["regimes"][location[1]]
        keys = [str(one.get("id", f"regime {location[1] + 1}") if isinstance(one, dict) else f"regime {location[1] + 1}"), *keys[2:]]
    return f"{'.'.join(keys)}: " if keys else ""
