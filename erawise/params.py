"""Every section of `params.yaml` as a strict, frozen type, and the one loader."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from erawise.errors import InputError

Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Leaves = Annotated[StrictInt, Field(ge=2, le=131072)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0, le=2**31 - 1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Section(BaseModel):
    """A section that takes no unknown key, converts no type and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Local(Section):
    path: str


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


class Logistic(Section):
    kind: Literal["logistic"]
    target: str
    l2: NonNegative
    max_iterations: Count
    max_rows: Count
    seed: Seed


class Ridge(Section):
    kind: Literal["ridge"]
    target: str
    l2: NonNegative


class LightGBM(Section):
    kind: Literal["lightgbm"]
    target: str
    trees: Count
    learning_rate: LearningRate
    max_depth: Annotated[StrictInt, Field(ge=-1)]
    leaves: Leaves
    feature_share: PositiveShare
    min_rows_leaf: Count
    l2: NonNegative
    early_stopping: Count
    seed: Seed


class RandomForest(Section):
    kind: Literal["random_forest"]
    target: str
    trees: Count
    max_depth: Count
    feature_share: PositiveShare
    min_rows_leaf: Count
    row_share: PositiveShare
    max_rows: Count
    seed: Seed


class NeuralNetwork(Section):
    kind: Literal["neural_network"]
    target: str
    layers: Annotated[list[Count], Field(min_length=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: LearningRate
    l2: NonNegative
    batch_rows: Count
    epochs: Count
    early_stopping: Count
    seed: Seed


Model = Annotated[Logistic | Ridge | LightGBM | RandomForest | NeuralNetwork, Field(discriminator="kind")]


class Ensemble(Section):
    weights: Literal["equal"] | dict[str, NonNegative]


class Neutralize(Section):
    features: str
    count: Count
    proportion: Share


class Evaluate(Section):
    min_corr: float
    benchmark: str | None
    corr_multiplier: float
    mmc_multiplier: float


class Plot(Section):
    model_a: str
    model_b: str
    top_features: Annotated[StrictInt, Field(ge=1, le=100)]


class Resources(Section):
    threads: Count
    memory: Annotated[float, Field(gt=0)]
    device: Literal["cpu", "gpu", "cuda"]


class Params(Section):
    """The whole of `params.yaml`."""

    data: Data
    preprocess: Preprocess
    explore: Explore
    split: Split
    select_features: SelectFeatures
    training: Training
    models: Annotated[dict[Name, Model], Field(min_length=1)]
    ensemble: Ensemble
    neutralize: Neutralize
    evaluate: Evaluate
    plot: Plot
    resources: Resources

    @model_validator(mode="after")
    def _fit_together(self) -> "Params":
        check_weights(self.ensemble.weights, set(self.models))
        predictions = {*self.models, "ensemble", "neutralized"}
        for key in ("model_a", "model_b"):
            name = getattr(self.plot, key)
            if name not in predictions:
                raise ValueError(f"plot.{key}: no prediction is called {name!r}; there are {', '.join(sorted(predictions))}")
        return self


def check_weights(weights: Literal["equal"] | dict[str, float], models: set[str]) -> None:
    """Raise `ValueError` where weights name a model that isn't there, or none has a weight above 0."""
    reserved = models & {"ensemble", "neutralized", "diagnostics"}
    if reserved:
        raise ValueError(f"models.{min(reserved)}: the name is taken by the pipeline; choose another")
    if weights == "equal":
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
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: the file is missing; run from the top of the repository") from None
    except (YAMLError, UnicodeDecodeError) as error:
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
