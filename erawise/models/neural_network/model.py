"""A dense network: Keras on TensorFlow, with the standardisation of the features inside the model.

The training step is TensorFlow's own, whatever `KERAS_BACKEND` says. It runs on a GPU if TensorFlow sees one, with scores that are
equal within noise; no step needs a GPU. Batches come from the mapped matrix as they are stored, so that the memory for them is limited
for any number of rows. Predictions are made in float64 by numpy. Float32 would round close rows to equal or swapped values, so that
their ranks were chance, and `portable` couldn't repeat them elsewhere.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise.base import files
from erawise.base.threads import one_of_blas
from erawise.models.neural_network import batches, gradients
from erawise.models.neural_network.engine import keras, settle, tf
from erawise.models.neural_network.settings import NeuralNetwork as Settings
from erawise.models.shared import arrays, common
from erawise.models.shared.protocol import PREDICTION_UNIT, Attribution, Portable, Resources
from erawise.panel.panel import View
from erawise.running.errors import InputError

FILE = "model.keras"
STANDARDISE, FIRST_DENSE = "standardise", "dense_1"

FLOAT_BYTES = 4
LIBRARY_BYTES = 256 * 2**20
"""Bytes that TensorFlow needs before its first operation."""

INDEX_BYTES = 96
"""Bytes a row for the views of the training rows and of an epoch: row numbers, eras, targets, and temporary arrays."""

Step = Callable[[NDArray, NDArray[np.float32]], None]

LAYER = ("weights", "bias")

ARITHMETIC_COPIES = 6
"""Arrays of the size of the weights, or of a batch as floats, that a step holds at once."""

PREDICTED_ROWS = 1024
"""Rows that are predicted at a time: as float64 they stay in the cache."""


@dataclass(frozen=True)
class Network:
    """A Keras model of one output.

    Parameters
    ----------
    model : keras.Model, (rows, features) float32 to (rows, 1).
    rounds : epochs that early stopping found best, or that were asked for; None for a model from a file.
    archive : the bytes of its file, if another process fitted it: Keras would write a model that it has read as other bytes.
    """

    model: Any
    rounds: int | None = None
    archive: bytes | None = None

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features), in float64 with one thread, so that no bit depends on the number of threads.

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        with one_of_blas():
            return common.predict_in_chunks(self._predict_chunk, x, self.model.input_shape[1])

    def __reduce__(self) -> tuple[Callable[[bytes, int | None], "Network"], tuple[bytes, int | None]]:
        """Pack the model as the file that `save` writes, so that another process saves the same bytes."""
        with tempfile.TemporaryDirectory() as directory:
            self.save(Path(directory))
            return _from_bytes, ((Path(directory) / FILE).read_bytes(), self.rounds)

    def importance(self) -> NDArray[np.float64]:
        """Return the (features,) share of each standardised feature in the norms of the first layer's weights."""
        kernel = self.model.get_layer(FIRST_DENSE).get_weights()[0]
        varies = np.asarray(self.model.get_layer(STANDARDISE).scale) > 0
        return common.shares(np.linalg.norm(kernel.astype(np.float64), axis=1) * varies)

    def tree_importance(self) -> None:
        """Return None: there are no trees."""

    def attribution(self, sample: NDArray, background: NDArray, threads: int) -> Attribution:
        """Return expected gradients from the rows of `background`; see `gradients`."""
        base, explained = gradients.expected(self._layers, background, threads)
        return Attribution(PREDICTION_UNIT, base, explained, self.predict)

    def save(self, directory: Path) -> None:
        """Write `model.keras` into the directory, without the dates and memory addresses, which differ between runs."""
        if self.archive is not None:
            with files.replacing(directory / FILE) as temporary:
                temporary.write_bytes(self.archive)
            return
        with tempfile.TemporaryDirectory() as scratch:
            raw = Path(scratch) / FILE
            self.model.save(raw)
            with zipfile.ZipFile(raw) as archive:
                entries = {name: archive.read(name) for name in sorted(archive.namelist())}
        for name in ("config.json", "metadata.json"):
            entries[name] = json.dumps(_renumbered(json.loads(entries[name]), {}), sort_keys=True).encode("utf-8")
        arrays.write_archive(entries, directory / FILE)

    def portable(self) -> Portable:
        """Return the weights and biases of each layer, in their order."""
        return "network", {f"{name}_{k}": values for k, layer in enumerate(self._layers) for name, values in zip(LAYER, layer, strict=True)}

    def _predict_chunk(self, chunk: NDArray) -> NDArray[np.float64]:
        return np.concatenate([_forward(self._layers, rows) for rows in common.chunks(chunk, PREDICTED_ROWS)])

    @cached_property
    def _layers(self) -> list[gradients.Layer]:
        return _layers_of(self.model)


def _from_bytes(content: bytes, rounds: int | None) -> Network:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / FILE).write_bytes(content)
        return replace(load(Path(directory)), rounds=rounds, archive=content)


def _layers_of(model: Any) -> list[gradients.Layer]:
    """Return each dense layer of a network; the first includes the standardisation of the features.

    Raises
    ------
    ValueError
        If there are other layers than the layers of `build`.
    """
    first, *dense = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer | keras.layers.Dropout)]
    activations = [keras.activations.serialize(layer.activation) for layer in dense if isinstance(layer, keras.layers.Dense)]
    if first.name != STANDARDISE or len(activations) < len(dense) or activations != ["relu"] * (len(dense) - 1) + ["linear"]:
        raise ValueError("it has other layers than standardised features and dense ReLU")
    found = [layer.get_weights() for layer in dense]
    (weights, bias), *others = [(weights.astype(np.float64), bias.astype(np.float64)) for weights, bias in found]
    scale, offset = np.asarray(first.scale, np.float64), np.asarray(first.offset, np.float64)
    return [(scale[:, None] * weights, bias + offset @ weights), *others]


def _forward(layers: Sequence[gradients.Layer], x: NDArray) -> NDArray[np.float64]:
    """Predict (rows,) from (rows, features), in float64 (TensorFlow does the same in float32)."""
    hidden = x.astype(np.float64)
    for number, (weights, bias) in enumerate(layers, 1):
        hidden = hidden @ weights
        hidden += bias
        if number < len(layers):
            np.maximum(hidden, 0.0, out=hidden)
    return hidden[:, 0]


def compiled_prediction(model: Any) -> Callable[[NDArray], NDArray[np.float64]]:
    """Return a function that predicts (rows,) from (rows, features) like TensorFlow, in float32: enough for the score of an epoch."""

    def forward(features: Any) -> Any:
        return model(tf.cast(features, tf.float32), training=False)[:, 0]

    compiled = tf.function(forward, autograph=False, reduce_retracing=True)

    def predict(x: NDArray) -> NDArray[np.float64]:
        return common.predict_in_chunks(lambda chunk: compiled(chunk).numpy(), x, model.input_shape[1])

    return predict


def stops_early(settings: Settings) -> bool:
    return settings.early_stopping is not None


def steps(settings: Settings) -> tuple[int, str]:
    return settings.epochs, "epochs"


def load(directory: Path) -> Network:
    """Read a model that `save` has written; nothing in the file is run as code.

    Raises
    ------
    InputError
        If the file is missing, or is no Keras model of the layers that `fit` builds.
    """
    path = directory / FILE
    if not path.is_file():
        raise InputError(f"{path}: the file is missing; train the model again")
    try:
        network = Network(keras.models.load_model(path, compile=False, safe_mode=True))
        n_features = network.model.input_shape[1]
        network.portable()  # reads the layers, so that the error for unknown layers names the file
        usable = network.model.output_shape == (None, 1) and len(network.importance()) == n_features
    except Exception as error:  # a file from elsewhere can make Keras raise anything
        raise arrays.broken(path, " ".join(str(error).split())) from None
    if not usable:
        raise arrays.broken(path, "its layers don't fit together")
    return network


def required_bytes(settings: Settings, train: View) -> int:
    """Return the bytes that fitting to a view needs at most: rows, pools, batches in advance, and the arithmetic of a batch."""
    widest = max(len(train.names), *settings.layers)
    weights = FLOAT_BYTES * widest * sum(settings.layers)
    rows = max(settings.batch_rows, common.CHUNK_ROWS)
    data = train.n_rows * len(train.names) * FLOAT_BYTES
    held = min(2 * batches.POOL_BYTES + 2 * batches.AHEAD_BYTES, 4 * data)
    return LIBRARY_BYTES + held + train.n_rows * INDEX_BYTES + ARITHMETIC_COPIES * (weights + FLOAT_BYTES * rows * widest)


def needs(settings: Settings, folds: Sequence[tuple[View, View | None]], resources: Resources) -> list[int]:
    """Return the bytes that each fit needs."""
    return [_require(settings, train, resources) for train, _ in folds]


def prepare(settings: Settings, folds: Sequence[tuple[View, View | None]], resources: Resources) -> int:
    """Check that every fit has the memory that it needs, and settle the threads that all of them share.

    Returns
    -------
    How many of the fits may run at once.
    """
    needed = needs(settings, folds, resources)
    settle(resources.threads)
    return resources.side_by_side(needed)


def fit(settings: Settings, train: View, inner: View | None, rounds: int | None, resources: Resources) -> Network:
    """Fit dense ReLU layers with dropout to the target, by Adam on the squared error.

    With `inner` and early stopping there are up to `settings.epochs` epochs. The epoch with the best mean per-era correlation on `inner`
    gives the weights. Otherwise there are `rounds` epochs, or `settings.epochs` if `rounds` is None. `batches.epochs`
    describes the order of the rows.

    The first network of a process settles the number of threads for all.

    Raises
    ------
    InputError
        If `train` has no row, the memory doesn't suffice, or the weights grow without bound.
    """
    common.require_rows(train, settings.target)
    _require(settings, train, resources)
    settle(resources.threads)
    rows = batches.ViewRows(train)
    model = build(settings, *rows.standardisation(), float(train.target.mean(dtype=np.float64)))
    epochs = _epochs(settings, model, rows)
    if inner is not None and settings.early_stopping is not None:
        common.require_rows(inner, settings.target)
        return _best(epochs, model, inner, settings, settings.early_stopping, resources)
    wanted = settings.epochs if rounds is None else rounds
    for _ in range(wanted):
        next(epochs)
        resources.step()
    return Network(model, wanted)


def build(settings: Settings, mean: NDArray[np.float64], std: NDArray[np.float64], start: float) -> Any:
    """Build the network before its first step, which predicts `start` for all rows.

    The output starts at weights of 0. With random weights, a weak signal would be learned only after their noise is unlearned. Every
    layer has its own name and seed, so that no layer depends on the process.
    """
    scale = common.inverse(std)
    seeds = iter(np.random.default_rng(settings.seed).integers(1, 2**31 - 1, 2 * len(settings.layers)).tolist())
    penalty = keras.regularizers.L2(settings.l2) if settings.l2 else None
    inputs = keras.Input((len(mean),), name="features")
    hidden = keras.layers.Rescaling(scale.tolist(), (-mean * scale).tolist(), name=STANDARDISE)(inputs)
    for k, units in enumerate(settings.layers, 1):
        start_weights = keras.initializers.HeNormal(seed=next(seeds))
        dense = keras.layers.Dense(
            units, activation="relu", kernel_initializer=start_weights, kernel_regularizer=penalty, name=f"dense_{k}"
        )
        hidden = keras.layers.Dropout(settings.dropout, seed=next(seeds), name=f"dropout_{k}")(dense(hidden))
    output = keras.layers.Dense(
        1,
        kernel_initializer=keras.initializers.Zeros(),
        bias_initializer=keras.initializers.Constant(start),
        name="prediction",
    )
    return keras.Model(inputs, output(hidden), name="network")


def _require(settings: Settings, train: View, resources: Resources) -> int:
    needed = required_bytes(settings, train)
    resources.require(needed, "the network and its batches")
    return needed


def _epochs(settings: Settings, model: Any, rows: batches.ViewRows) -> Iterator[int]:
    """Yield the number of each epoch after it is trained."""
    step = compiled_step(model, settings.learning_rate, rows.dtype)
    order = batches.epochs(rows, settings.target, settings.batch_rows, settings.seed)
    for epoch, batch in zip(range(1, settings.epochs + 1), order, strict=False):
        for features, wanted in batch:
            step(features, wanted)
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise _diverged(settings, epoch)
        yield epoch


def compiled_step(model: Any, learning_rate: float, dtype: np.dtype) -> Step:
    """Return one step of Adam on a batch: features (rows, features) of `dtype`, and target (rows,)."""
    optimizer = keras.optimizers.Adam(learning_rate)
    variables = model.trainable_variables
    optimizer.build(variables)

    def step(features: Any, wanted: Any) -> None:
        with tf.GradientTape() as tape:
            error = model(tf.cast(features, tf.float32), training=True)[:, 0] - wanted
            loss = tf.reduce_mean(tf.square(error)) + sum(model.losses)
        optimizer.apply(tape.gradient(loss, variables), variables)

    batch = [tf.TensorSpec((None, model.input_shape[1]), dtype), tf.TensorSpec((None,), tf.float32)]
    compiled: Step = tf.function(step, autograph=False, input_signature=batch)
    return compiled


def _best(epochs: Iterator[int], model: Any, inner: View, settings: Settings, patience: int, resources: Resources) -> Network:
    score, rows, predict = common.EraCorrelation.from_view(inner), batches.ViewRows(inner), compiled_prediction(model)
    best, best_epoch, weights = -np.inf, 0, []
    for epoch in epochs:
        prediction = np.concatenate([predict(block) for block in rows.blocks()])
        if not np.isfinite(prediction).all():
            raise _diverged(settings, epoch)
        value = score(prediction)
        resources.log(epoch, value)
        resources.step()
        if value > best:
            best, best_epoch, weights = value, epoch, model.get_weights()
        elif epoch - best_epoch >= patience:
            break
    model.set_weights(weights)
    return Network(model, best_epoch if best > 0 else None)


def _diverged(settings: Settings, epoch: int) -> InputError:
    return InputError(f"learning_rate {settings.learning_rate}: the network's weights grew without bound in epoch {epoch}; lower it")


def _renumbered(content: Any, numbers: dict[int, int]) -> Any:
    """Return the same JSON without its date, and with shared objects numbered in their order instead of by address."""
    if isinstance(content, list):
        return [_renumbered(item, numbers) for item in content]
    if not isinstance(content, dict):
        return content
    out = {key: _renumbered(content[key], numbers) for key in sorted(content) if key != "date_saved"}
    if "shared_object_id" in out:
        out["shared_object_id"] = numbers.setdefault(out["shared_object_id"], len(numbers) + 1)
    return out
