"""The pickle for Numerai's model upload, with all steps from live data to a prediction.

It holds the text of `runtime` and plain data. It holds no code objects, as cloudpickle's pickles do, since only one minor version of Python
can read these. The pickle is a call of `eval`, which runs the text with the data. So `pickle.load` can read it, without a package that
Numerai lacks.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from erawise.base import files
from erawise.blend import risk
from erawise.live.serving import ENSEMBLE, NEUTRALIZED, Pipeline
from erawise.models.shared import arrays
from erawise.models.shared.protocol import Fitted
from erawise.panel.panel import FeatureMap, Panel
from erawise.preparation import derived
from erawise.running.errors import InputError
from erawise.upload import runtime

PROTOCOL = 4
"""The pickle protocol, which every Python from 3.4 on reads."""

MEGABYTE = 10**6
NAME = "erawise_runtime"
EXPRESSION = "[space := {'__name__': name}, exec(compile(source, name, 'exec'), space), space['prediction'](content)][-1]"
"""The expression that the pickle evaluates to the function of `runtime.prediction`."""


class _Call:
    """An object that is pickled as the call that makes the function."""

    def __init__(self, content: runtime.Content) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return eval, (EXPRESSION, {"name": NAME, "source": source(), "content": dict(self.content)})


def source() -> str:
    """Return the text of `runtime`, with the text of the derived features in place of their import."""
    text, features = (Path(str(module.__file__)).read_text(encoding="utf-8") for module in (runtime, derived))
    imported = f"from {derived.__name__} import {derived.derive.__name__}\n"
    assert text.count(imported) == 1
    return text.replace(imported, features)


def content(pipeline: Pipeline, name: str, like: Panel) -> runtime.Content:
    """Return the data that one prediction of a pipeline needs, and nothing else.

    Parameters
    ----------
    pipeline : the trained pipeline.
    name : of its `predictions`.
    like : the panel of the live rows that were prepared with the models' training data.

    Raises
    ------
    InputError
        If there is no prediction of that name, or the panel lacks a feature that it needs.
    """
    if name not in pipeline.predictions:
        raise InputError(f"upload.prediction: there is no prediction {name!r}; there are {', '.join(pipeline.predictions)}")
    blended = name in (ENSEMBLE, NEUTRALIZED)
    weights = {model: float(pipeline.weights[model]) for model in pipeline.models if pipeline.weights.get(model, 0) > 0}
    removed = pipeline.neutralization if name == NEUTRALIZED else None
    needed = {*pipeline.features.columns, *(removed.features if removed else ())}
    positions = like.columns(sorted(needed))
    derived = bool((positions >= like.n_matrix).any())
    return {
        "features": [feature for feature in like.feature_names if derived or feature in needed],
        "dtype": str(like.dtype),
        "demean": bool(like.era_means.size),
        "columns": list(pipeline.features.columns),
        "projection": _projection(pipeline.features),
        "models": {model: [_member(one) for one in pipeline.models[model]] for model in (weights if blended else [name])},
        "weights": weights if blended else None,
        "neutralization": None
        if removed is None
        else {
            "features": list(removed.features),
            "capped": removed.method == risk.RISKIEST,
            "proportion": removed.proportion,
        },
    }


def _projection(features: FeatureMap) -> dict[str, bytes] | None:
    if features.mean is None or features.components is None:
        return None
    return {"mean": arrays.encoded(features.mean), "components": arrays.encoded(features.components)}


def _member(model: Fitted) -> tuple[str, dict[str, str | bytes]]:
    kind, parts = model.portable()
    return kind, {name: part if isinstance(part, str) else arrays.encoded(part) for name, part in parts.items()}


def write(content: runtime.Content, path: Path, max_megabytes: float) -> int:
    """Write the pickle of `predict(live_features, live_benchmark_models)`.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    InputError
        If it would be larger than `max_megabytes`; then nothing is written.
    """
    pickled = pickle.dumps(_Call(content), PROTOCOL)
    if len(pickled) > max_megabytes * MEGABYTE:
        raise InputError(
            f"upload.max_megabytes: the pickle would have {len(pickled) / MEGABYTE:.1f} MB, more than {max_megabytes:g}; "
            "raise it, or choose a smaller model as upload.prediction"
        )
    with files.replacing(path) as temporary:
        temporary.write_bytes(pickled)
    return len(pickled)
