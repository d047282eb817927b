"""A model that a file of the user's own fits and predicts."""

import copy
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from erawise.base import files
from erawise.base.threads import one_of_blas
from erawise.models.plugin.settings import Plugin as Settings
from erawise.models.plugin.source import FIT, LOAD, PREDICT, SAVE, Source
from erawise.models.shared import arrays, common, objects
from erawise.models.shared.protocol import Portable, Resources
from erawise.panel.panel import View
from erawise.running.errors import InputError

FILE, OWN, DESCRIPTION = "model.skops", "own", "plugin.json"
TRIED = 100
"""Rows of the fit that are predicted at once, and again after the model was stored and read."""

UPLOADED = ("builtins", "collections", "copyreg", "_codecs", "numpy", "scipy", "pandas")
"""Packages of Numerai's images whose objects are the same in every version there."""

PROTOCOL = 4

prepare = common.nothing_to_prepare
stops_early, steps = common.never_stops_early, common.whole_fit
needs = common.needs_of_matrix


@dataclass(frozen=True)
class PluginModel(common.Opaque):
    """A fitted model of a plug-in.

    Parameters
    ----------
    source : the plug-in.
    digest : of its file.
    n_features : features that it was fitted on.
    model : what its `fit` has returned.
    """

    source: Source
    digest: str
    n_features: int
    model: Any

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features), all rows by one call.

        Raises
        ------
        InputError
            If `x` has another number of features, `predict` fails, or the predictions aren't a finite number a row.
        """
        common.require_features(x, self.n_features)
        if not len(x):
            return np.empty(0)
        rows = x.view()
        rows.flags.writeable = False  # others read the same rows
        with one_of_blas():
            return common.checked(f"{self.source.path}: {PREDICT}", self.source.call(PREDICT, self.model, rows), len(x))

    def portable(self) -> Portable:
        """Return the source, and the files that `save` writes, or the model as a pickle of plain objects.

        Raises
        ------
        InputError
            If the model is no plain object, and there is no `save`.
        """
        shipped: dict[str, str | NDArray] = {"module": self.source.module, "text": self.source.text}
        if self.source.stores_itself:
            return "plugin", shipped | {name: _as_array(content) for name, content in self._files().items()}
        pickled = BytesIO()
        watching = _Watching(pickled)
        watching.dump(self.model)
        for name in sorted(watching.modules):
            if name != self.source.module and name.partition(".")[0] not in UPLOADED:
                raise InputError(
                    f"{self.source.path}: its model holds an object of {name}, of which Numerai may have another version; "
                    "give the plug-in save and load, which write and read files that every version reads"
                )
        return "plugin", shipped | {"pickle": _as_array(pickled.getvalue())}

    def save(self, directory: Path) -> None:
        """Write `plugin.json`, and the model by the plug-in's `save`, or by skops."""
        content = {"plugin": self.source.name, "sha256": self.digest, "features": self.n_features}
        files.write_json(content, directory / DESCRIPTION)
        if self.source.stores_itself:
            (directory / OWN).mkdir()
            self.source.call(SAVE, self.model, directory / OWN)
        else:
            objects.save(self.model, directory / FILE)

    def __reduce__(self) -> tuple[Callable[..., "PluginModel"], tuple[Any, ...]]:
        """Give it to another process as its files: no package knows the classes of a plug-in."""
        return _restored, (self.source, self.digest, self.n_features, self._files())

    def _files(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as scratch:
            self.save(Path(scratch))
            kept = [path for path in Path(scratch).rglob("*") if path.is_file() and path.name != DESCRIPTION]
            return {path.relative_to(scratch).as_posix(): path.read_bytes() for path in sorted(kept)}


def fit(settings: Settings, train: View, inner: View | None, rounds: int | None, resources: Resources) -> PluginModel:
    """Let the plug-in fit at most `max_rows` rows, the same share of every era; `inner` and `rounds` are ignored.

    Its model predicts some of these rows, is stored, read, and must predict the same again.

    Raises
    ------
    InputError
        If there is no row, the memory doesn't suffice, or the plug-in fails.
    """
    common.require_rows(train, settings.target)
    common.require_matrix(settings.max_rows, train, resources)
    source = Source(settings.plugin, settings.text)
    source.require_usable()
    x, target, era = common.draw_with_era(train, settings.max_rows or train.n_rows, settings.seed)
    with threadpool_limits(resources.threads):
        made = source.call(FIT, x, target.copy(), era.copy(), copy.deepcopy(settings.settings), settings.seed)
    model = PluginModel(source, settings.digest, len(train.names), made)
    predicted = model.predict(x[:TRIED])
    again = _stored_and_read(model).predict(x[:TRIED])
    if not np.array_equal(predicted, again):
        raise InputError(f"{source.path}: its model predicts otherwise after it was stored and read; check save, load and predict")
    resources.step()
    return model


def load(directory: Path) -> PluginModel:
    """Read a model that `save` has written; the plug-in's file must be as it was for the fit.

    Raises
    ------
    InputError
        If a file is missing or broken, the plug-in has changed, or its `load` fails.
    """
    path = directory / DESCRIPTION
    content = files.read_json(path)
    try:
        name, digest, n_features = str(content["plugin"]), str(content["sha256"]), int(content["features"])
    except (KeyError, TypeError, ValueError):
        raise arrays.broken(path, "it doesn't name the plug-in, its digest and its number of features") from None
    if not name.isidentifier():
        raise arrays.broken(path, f"{name!r} is no name of a plug-in")
    own = Path(Source(name, "").path)
    text = files.read_text(own)
    if files.digest(own) != digest:
        raise InputError(f"{own}: it has changed since {directory} was fitted; run `dvc repro`, or restore the file")
    return _read(Source(name, text), digest, n_features, directory)


def _stored_and_read(model: PluginModel) -> PluginModel:
    try:
        return _restored(model.source, model.digest, model.n_features, model._files())
    except InputError as error:
        if model.source.stores_itself:
            raise
        why = str(error).rpartition(f"{FILE}: ")[2].partition("; train")[0]
        raise InputError(
            f"{model.source.path}: the model of {FIT} can't be stored without a pickle: {why}; "
            "write save(model, directory) and load(directory)"
        ) from None


def _read(source: Source, digest: str, n_features: int, directory: Path) -> PluginModel:
    if source.stores_itself:
        return PluginModel(source, digest, n_features, source.call(LOAD, directory / OWN))
    return PluginModel(source, digest, n_features, objects.load(directory / FILE, [source.module, *source.imported]))


def _restored(source: Source, digest: str, n_features: int, content: dict[str, bytes]) -> PluginModel:
    with tempfile.TemporaryDirectory() as scratch:
        for name, part in content.items():
            path = Path(scratch, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part)
        return _read(source, digest, n_features, Path(scratch))


def _as_array(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)


class _Watching(pickle.Pickler):
    """A pickler that notes the modules of the objects."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file, PROTOCOL)
        self.modules: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        self.modules.add(getattr(value, "__module__", None) or type(value).__module__)
        return NotImplemented
