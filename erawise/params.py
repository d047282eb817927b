"""The whole of `params.yaml`: the settings of every room, the checks across rooms, and the loader."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.base import files
from erawise.base.settings import Final, Name, Resources, Section
from erawise.blend.settings import Ensemble, Neutralize
from erawise.charts.settings import Plot
from erawise.cluster.settings import Execution
from erawise.evaluation.settings import Evaluate
from erawise.explanation.settings import Explain
from erawise.exploration.settings import Explore
from erawise.folds.settings import Split
from erawise.history.settings import Tracking
from erawise.live.settings import Submit
from erawise.models.lightgbm.settings import LightGBM
from erawise.models.logistic.settings import Logistic
from erawise.models.neural_network.settings import NeuralNetwork
from erawise.models.plugin.settings import Plugin
from erawise.models.random_forest.settings import RandomForest
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.settings import ONE_OR_SEVERAL
from erawise.models.sklearn.settings import Sklearn
from erawise.outlook.settings import Monitor
from erawise.preparation.settings import Preprocess
from erawise.regimes.settings import Payout
from erawise.running.errors import InputError, about, known_names, meant
from erawise.selection.settings import SelectFeatures
from erawise.sources.local.settings import LocalData
from erawise.sources.market.settings import MarketData
from erawise.training.settings import Training
from erawise.tuning.settings import Choices, Range, Space, Tuning
from erawise.upload.settings import Upload

UNTUNED = {"kind", *ONE_OR_SEVERAL, *ONE_OR_SEVERAL.values()}
"""Keys that identify a model, so they are never tuned."""


class Data(MarketData, LocalData):
    """The section `data`, with the settings of each source."""


Model = Annotated[Logistic | Ridge | LightGBM | RandomForest | NeuralNetwork | Sklearn | Plugin, Field(discriminator="kind")]


KINDS: dict[str, type[Section]] = {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(Model)[0])}
"""The settings of each kind of model."""


def check_spaces(spaces: dict[str, Space]) -> None:
    """Raise `ValueError` if a space belongs to no kind of model, has an unknown setting or value, or a kind has no space."""
    for kind, space in spaces.items():
        if kind not in KINDS:
            raise ValueError(f"spaces.{kind}: not a kind of model; kinds are {known_names(KINDS, kind)}")
        for name, values in space.items():
            _check_values(f"spaces.{kind}.{name}", KINDS[kind], name, values)
    absent = sorted(set(KINDS) - set(spaces))
    if absent:
        raise ValueError(f"spaces.{absent[0]}: the key is missing; a kind without settings to tune has {{}}")


def _check_values(path: str, kind: type[Section], name: str, values: Range | Choices) -> None:
    """Raise `ValueError` if a space names a setting that the kind lacks, or values that it doesn't accept."""
    free = sorted(set(kind.model_fields) - UNTUNED)
    if name not in free:
        raise ValueError(f"{path}: not a setting to tune; there are {known_names(free, name)}")
    field = kind.model_fields[name]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for value in values.ends:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise ValueError(f"{path}: {value!r} isn't allowed: {error.errors()[0]['msg']}") from None


class Params(Section):
    """The whole of `params.yaml`."""

    data: Data
    preprocess: Preprocess
    explore: Explore
    split: Split
    select_features: SelectFeatures
    training: Training
    tuning: Tuning
    spaces: dict[str, Space]
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    explain: Explain
    final: Final
    ensemble: Ensemble
    neutralize: Neutralize
    evaluate: Evaluate
    submit: Submit
    monitor: Monitor
    payout: Payout
    tracking: Tracking
    plot: Plot
    upload: Upload
    resources: Resources
    execution: Execution

    @model_validator(mode="after")
    def _fit_together(self) -> "Params":
        check_weights(self.ensemble.weights, set(self.models))
        check_spaces(self.spaces)
        self._check_tuned()
        predictions = {*self.models, "ensemble", "neutralized"}
        chosen = {"plot.model_a": self.plot.model_a, "plot.model_b": self.plot.model_b, "upload.prediction": self.upload.prediction}
        chosen |= {f"submit.models.{model}": name for model, name in self.submit.models.items()}
        for key, name in chosen.items():
            if name not in predictions:
                raise ValueError(f"{key}: no prediction is called {name!r}; there are {known_names(sorted(predictions), name)}")
        for name in self.final.refit:
            if name not in self.models:
                raise ValueError(f"final.refit: no model is called {name!r}; there are {known_names(self.models, name)}")
        return self

    def _check_tuned(self) -> None:
        for name in self.tuning.models:
            if name not in self.models:
                raise ValueError(f"tuning.models: no model is called {name!r}; there are {known_names(self.models, name)}")
            kind = self.models[name].kind
            if not self.spaces[kind]:
                raise ValueError(f"spaces.{kind}: {name} is to be tuned, and its kind has no setting to tune")


def require_usable(models: Mapping[str, Model]) -> None:
    """Raise `InputError` if an estimator or a plug-in can't be used; loads their packages, as `load` doesn't."""
    for name, settings in models.items():
        with about(f"models.{name}"):
            settings.require_usable()


def model(p: Params, name: str) -> Model:
    """Return the settings of a model; raise `InputError` if there is no model of that name."""
    try:
        return p.models[name]
    except KeyError:
        raise InputError(f"models: params.yaml has no model {name!r}; there are {', '.join(p.models)}") from None


def check_weights(weights: Literal["equal", "nnls", "forward"] | dict[str, float], models: set[str]) -> None:
    """Raise `ValueError` if weights name an unknown model, all weights are 0, or a model has a reserved name."""
    reserved = models & {"ensemble", "neutralized", "diagnostics", "regime"}
    if reserved:
        raise ValueError(f"models.{min(reserved)}: the pipeline uses this name; choose another")
    if isinstance(weights, str):
        return
    unknown = set(weights) - models
    if unknown:
        name = min(unknown)
        raise ValueError(f"ensemble.weights.{name}: no model of that name; models are {known_names(sorted(models), name)}")
    if not any(weight > 0 for weight in weights.values()):
        raise ValueError("ensemble.weights: at least one weight must be above 0")


_MESSAGES = {
    "extra_forbidden": "unknown key",
    "missing": "the key is missing",
    "union_tag_not_found": "the key kind is missing",
    "union_tag_invalid": "kind is {tag}; expected one of {expected_tags}",
    "string_pattern_mismatch": "a name has letters, digits and underscores, a letter first",
    "too_short": "at least {min_length} is needed",
}
"""Messages for pydantic's types of errors, if they are clearer than pydantic's own."""


def load(path: Path) -> Params:
    """Read and check the whole of `params.yaml`.

    Raises
    ------
    InputError
        If the file is missing or isn't YAML, or a key is unknown, missing, of a wrong type or out of its range. The message gives the
        full path of each such key.
    """
    if not path.exists():
        raise InputError(f"{path}: the file is missing; run from the top of the repository")
    try:
        content = YAML(typ="safe").load(files.read_text(path))
    except YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        what = f"{problem} in line {mark.line + 1}" if mark and problem else " ".join(str(error).split())
        raise InputError(f"{path}: not readable as YAML: {what}") from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: " + "; ".join(_line(item, content) for item in error.errors())) from None


def _line(item: Any, content: Any) -> str:
    path = ".".join(_path(item["loc"], content, missing=item["type"] == "missing"))
    known = _MESSAGES.get(item["type"])
    message = known.format(**item.get("ctx", {})) if known else item["msg"].removeprefix("Value error, ")
    shown = not known and item["type"] != "value_error" and not isinstance(item["input"], dict)
    given = (f" (it is {item['input']!r})" if shown else "") + _meant(item)
    return f"{path}: {message}{given}" if path else message


def _meant(item: Any) -> str:
    """Return the nearest key for an unknown one, or the nearest value if only some are allowed."""
    kind, context, location = item["type"], item.get("ctx", {}), item["loc"]
    if kind == "extra_forbidden":
        return meant(location[-1], _known(location[:-1]))
    if kind == "union_tag_invalid":
        return meant(context["tag"], KINDS)
    return meant(item["input"], re.findall(r"'([^']*)'", context["expected"])) if kind == "literal_error" else ""


def _known(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that a section may have; none for a section whose keys are free."""
    if location[:1] == ("models",):
        return list(KINDS[str(location[2])].model_fields) if len(location) > 2 else []
    section: Any = Params
    for part in location:
        field = getattr(section, "model_fields", {}).get(str(part))
        section = None if field is None else field.annotation
    return [field.alias or name for name, field in getattr(section, "model_fields", {}).items()]


def _path(location: tuple[int | str, ...], content: Any, *, missing: bool) -> list[str]:
    """Return the keys of a location, without the names of types that pydantic puts between them."""
    path = []
    for number, part in enumerate(location):
        inside = part in content if isinstance(content, dict) else isinstance(content, list) and isinstance(part, int)
        if inside:
            content = content[part]
        if inside or (missing and number == len(location) - 1):
            path.append(str(part))
    return path
