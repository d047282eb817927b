"""Every section of `params.yaml` as a strict, frozen type, and the one loader."""

import itertools
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StrictInt, TypeAdapter, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.base import files
from erawise.running.errors import InputError

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Leaves = Annotated[StrictInt, Field(ge=2, le=131072)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


ONE_OR_SEVERAL = {"target": "targets", "seed": "seeds"}
"""Keys of a model, and those that list several in their place."""

UNTUNED = {"kind", *ONE_OR_SEVERAL, *ONE_OR_SEVERAL.values()}
"""Keys of a model that say what it is: nothing to look for."""


class Section(BaseModel):
    """A section that takes no unknown key, converts no type and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Local(Section):
    path: str

    @field_validator("path", mode="before")
    @classmethod
    def _named(cls, path: Any) -> Any:
        if path is None or not str(path).strip():
            raise ValueError("expected the name of a directory")
        return path


class Market(Section):
    seed: Seed
    train_eras: Annotated[StrictInt, Field(ge=20)]
    validation_eras: Annotated[StrictInt, Field(ge=20)]
    stocks: Annotated[StrictInt, Field(ge=20)]
    features: Annotated[StrictInt, Field(ge=10)]


class Data(Section):
    source: Literal["market", "local", "numerai"]
    version: str
    round: Count | None
    feature_set: str
    target: str
    target_horizon: Count
    local: Local
    market: Market


class Preprocess(Section):
    every: Count
    demean: bool
    derived: list[Literal["row_mean", "row_std", "extreme_share"]]
    max_missing_share: Share
    max_dropped_share: Share

    @field_validator("derived")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("a derived feature is there more than once")
        return names


class Explore(Section):
    max_constant_share: Share


class Split(Section):
    method: Literal["purged_kfold", "walk_forward"]
    folds: Annotated[StrictInt, Field(ge=2)]
    chunk: Count
    window: Count | None


class SelectFeatures(Section):
    method: Literal["importance", "pca", "none"]
    keep_share: PositiveShare
    max_correlation: PositiveShare
    trees: Count
    learning_rate: LearningRate
    leaves: Leaves
    components: Count
    seed: Seed


class Training(Section):
    inner_share: Annotated[float, Field(gt=0, le=0.5)]


class Entry(Section):
    """A model: what it learns is `target`, or `targets` for one model of each, which are blended."""

    target: str = ""
    targets: list[str] = []

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        for one, several in ONE_OR_SEVERAL.items():
            if one in type(self).model_fields:
                self._check_either(one, several)
        return self

    def _check_either(self, one: str, several: str) -> None:
        given = {one, several} & self.model_fields_set
        if len(given) != 1:
            raise ValueError(f"{one} or {several}, and not both, must be there")
        values = getattr(self, several)
        if several in given and (not values or len(set(values)) < len(values)):
            raise ValueError(f"{several}: expected at least one, each once")

    @property
    def members(self) -> dict[str, Self]:
        """The models that are trained, each on one target with one seed, by a name among the others."""
        choices = {one: getattr(self, several) or [getattr(self, one)] for one, several in ONE_OR_SEVERAL.items() if hasattr(self, one)}
        rest = self.model_dump(exclude={*ONE_OR_SEVERAL, *ONE_OR_SEVERAL.values()})
        combined = [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]
        return {"_".join(map(str, chosen.values())): type(self).model_validate(rest | chosen) for chosen in combined}


class Seeded(Entry):
    """A model whose fit draws numbers: from `seed`, or one model from each of `seeds`, which are blended."""

    seed: Seed = 0
    seeds: list[Seed] = []


class Logistic(Seeded):
    kind: Literal["logistic"]
    l2: NonNegative
    max_iterations: Count
    max_rows: Count


class Ridge(Entry):
    kind: Literal["ridge"]
    l2: NonNegative


class LightGBM(Seeded):
    kind: Literal["lightgbm"]
    trees: Count
    learning_rate: LearningRate
    max_depth: Annotated[StrictInt, Field(ge=-1)]
    leaves: Leaves
    feature_share: PositiveShare
    min_rows_leaf: Count
    l2: NonNegative
    early_stopping: Count | None


class RandomForest(Seeded):
    kind: Literal["random_forest"]
    trees: Count
    max_depth: Count
    feature_share: PositiveShare
    min_rows_leaf: Count
    row_share: PositiveShare
    max_rows: Count


class NeuralNetwork(Seeded):
    kind: Literal["neural_network"]
    layers: Annotated[list[Count], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: LearningRate
    l2: NonNegative
    batch_rows: Count
    epochs: Count
    early_stopping: Count | None


Model = Annotated[Logistic | Ridge | LightGBM | RandomForest | NeuralNetwork, Field(discriminator="kind")]


KINDS: dict[str, type[Section]] = {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in get_args(get_args(Model)[0])}
"""The settings of each kind of model."""


class Range(Section):
    """Numbers from `low` to `high`, whole ones where both are; `log`: as many of each order of magnitude."""

    low: StrictInt | float
    high: StrictInt | float
    log: bool

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; expected low to be the smaller")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}; on a log scale it must be above 0")
        return self

    @property
    def ends(self) -> list[Any]:
        return [self.low, self.high]


class Choices(Section):
    """A few values to choose from."""

    choices: Annotated[list[Any], Field(min_length=1)]

    @property
    def ends(self) -> list[Any]:
        return self.choices


Space = dict[str, Range | Choices]
"""Where to look for each setting of a kind."""


class Tuning(Section):
    models: list[str]
    method: Literal["random", "tpe"]
    trials: Count
    objective: Literal["mean", "sharpe"]
    penalty: NonNegative
    halving: Annotated[StrictInt, Field(ge=2)] | None
    batch: Count
    seed: Seed


def check_spaces(spaces: dict[str, Space]) -> None:
    """Raise `ValueError` where a space is of no kind of model or has settings that it lacks, or a kind has no space."""
    for kind, space in spaces.items():
        if kind not in KINDS:
            raise ValueError(f"spaces.{kind}: no kind of model; kinds are {', '.join(KINDS)}")
        for name, values in space.items():
            _check_values(f"spaces.{kind}.{name}", KINDS[kind], name, values)
    absent = sorted(set(KINDS) - set(spaces))
    if absent:
        raise ValueError(f"spaces.{absent[0]}: the key is missing; a kind with nothing to look for has {{}}")


def _check_values(path: str, kind: type[Section], name: str, values: Range | Choices) -> None:
    """Raise `ValueError` where a space names a setting that the kind lacks, or values that it doesn't take."""
    free = sorted(set(kind.model_fields) - UNTUNED)
    if name not in free:
        raise ValueError(f"{path}: no setting to tune; there are {', '.join(free)}")
    field = kind.model_fields[name]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for value in values.ends:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise ValueError(f"{path}: {value!r} is none of its values: {error.errors()[0]['msg']}") from None


class Explain(Section):
    rows: Count
    eras: Count
    background: Count
    points: Annotated[StrictInt, Field(ge=1, le=1000)]
    top_features: Annotated[StrictInt, Field(ge=1, le=100)]
    permuted_eras: Count
    permuted_rows: Annotated[StrictInt, Field(ge=2)]
    seed: Seed


class Final(Section):
    fit_on: Literal["train", "all"]


class Ensemble(Section):
    weights: Literal["equal", "nnls", "forward"] | dict[str, NonNegative]


class Neutralize(Section):
    features: str
    count: Count
    proportion: Share


class Evaluate(Section):
    min_corr: float
    benchmark: str | None
    corr_multiplier: float
    mmc_multiplier: float


class Submit(Section):
    models: dict[str, str]
    min_earlier_corr: Correlation
    min_benchmark_corr: Correlation
    max_benchmark_corr: Correlation

    @field_validator("models")
    @classmethod
    def _named_as_on_numerai(cls, models: dict[str, str]) -> dict[str, str]:
        for name in models:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(f"{name!r} is no name of a model on Numerai; expected letters, digits, underscores and hyphens")
        return models


class Monitor(Section):
    corr_20: str
    mmc_20: str
    corr_60: str
    mmc_60: str
    replicates: Annotated[StrictInt, Field(ge=100)]
    seed: Seed


class Payout(Section):
    total_at_risk: Positive
    threshold: Positive
    clip: Annotated[float, Field(gt=0, lt=1)]
    rounds_a_week: Annotated[StrictInt, Field(ge=1, le=7)]
    drawdown: Annotated[float, Field(gt=0, lt=1)]
    cap: PositiveShare
    replicates: Annotated[StrictInt, Field(ge=100)]
    draws: Annotated[StrictInt, Field(ge=100)]
    seed: Seed


class Tracking(Section):
    wandb: Literal["disabled", "offline", "online"]


class Plot(Section):
    model_a: str
    model_b: str
    top_features: Annotated[StrictInt, Field(ge=1, le=100)]


class Upload(Section):
    prediction: str
    max_megabytes: Annotated[float, Field(gt=0)]


class Execution(Section):
    engine: Literal["local", "dask"]
    scheduler: str | None
    workers: Count

    @field_validator("scheduler")
    @classmethod
    def _address(cls, scheduler: str | None) -> str | None:
        if scheduler is not None and not re.fullmatch(r"(tcp|tls)://[^/\s]+:[0-9]+", scheduler):
            raise ValueError(f"{scheduler!r} is no address of a scheduler; expected null, or one such as tcp://10.0.0.5:8786")
        return scheduler


class Resources(Section):
    threads: Count
    memory: Positive
    device: Literal["cpu", "gpu", "cuda"]


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
                raise ValueError(f"{key}: no prediction is called {name!r}; there are {', '.join(sorted(predictions))}")
        return self

    def _check_tuned(self) -> None:
        for name in self.tuning.models:
            if name not in self.models:
                raise ValueError(f"tuning.models: no model is called {name!r}; there are {', '.join(self.models)}")
            kind = self.models[name].kind
            if not self.spaces[kind]:
                raise ValueError(f"spaces.{kind}: {name} is to be tuned, and there is no setting of its kind to look for")


def unknown_model(name: str) -> InputError:
    """The error where a command is given no name of a model."""
    return InputError(f"models: params.yaml has no model {name!r}; the command needs the name of one that it has")


def check_weights(weights: Literal["equal", "nnls", "forward"] | dict[str, float], models: set[str]) -> None:
    """Raise `ValueError` where weights name a model that isn't there, or none has a weight above 0."""
    reserved = models & {"ensemble", "neutralized", "diagnostics"}
    if reserved:
        raise ValueError(f"models.{min(reserved)}: the name is taken by the pipeline; choose another")
    if isinstance(weights, str):
        return
    unknown = set(weights) - models
    if unknown:
        raise ValueError(f"ensemble.weights.{min(unknown)}: no model of that name; models are {', '.join(sorted(models))}")
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
"""Our words for pydantic's types of errors, where they say more to a person."""


def load(path: Path) -> Params:
    """Read and check the whole of `params.yaml`.

    Raises
    ------
    InputError
        If the file is missing or no YAML, or for each key that is unknown, missing, of a wrong type or out of its
        range, with the key's full path.
    """
    if not path.exists():
        raise InputError(f"{path}: the file is missing; run from the top of the repository")
    try:
        content = YAML(typ="safe").load(files.read_text(path))
    except YAMLError as error:
        raise InputError(f"{path}: not readable as YAML: {_problem(error)}") from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: " + "; ".join(_line(item, content) for item in error.errors())) from None


def _line(item: Any, content: Any) -> str:
    where = ".".join(_path(item["loc"], content, missing=item["type"] == "missing"))
    known = _MESSAGES.get(item["type"])
    message = known.format(**item.get("ctx", {})) if known else item["msg"].removeprefix("Value error, ")
    shown = not known and item["type"] != "value_error" and not isinstance(item["input"], dict)
    given = f" (it is {item['input']!r})" if shown else ""
    return f"{where}: {message}{given}" if where else message


def _problem(error: Exception) -> str:
    """The problem of a YAML error and its line; the whole text of another."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f"{problem} in line {mark.line + 1}" if mark and problem else " ".join(str(error).split())


def _path(location: tuple[int | str, ...], content: Any, *, missing: bool) -> list[str]:
    """The keys of a location, without the names of types that pydantic puts between them."""
    path = []
    for number, part in enumerate(location):
        inside = part in content if isinstance(content, dict) else isinstance(content, list) and isinstance(part, int)
        if inside:
            content = content[part]
        if inside or (missing and number == len(location) - 1):
            path.append(str(part))
    return path
