"""A dense network: Keras on TensorFlow, with the standardisation of the features inside the model."""

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from erawise import params
from erawise.errors import InputError
from erawise.models import arrays, common
from erawise.panel import View

# Both are read when TensorFlow is imported. oneDNN sums in an order that differs by machine, and says so on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
import keras
import tensorflow as tf

FILE = "model.keras"
STANDARDISE, FIRST_DENSE = "standardise", "dense_1"


@dataclass(frozen=True)
class Network:
    """A Keras model of one output.

    Parameters
    ----------
    model : keras.Model, (rows, features) float32 to (rows, 1).
    rounds : epochs that early stopping found best, or that were asked for; None for a model from a file.
    """

    model: Any
    rounds: int | None = None

    def predict(self, x: NDArray) -> NDArray[np.float64]:
        """Predict (rows,) from (rows, features).

        Raises
        ------
        InputError
            If `x` has another number of features.
        """
        return common.predict_in_chunks(self._predict_chunk, x, self.model.input_shape[1])

    def importance(self) -> NDArray[np.float64]:
        """(features,) share of each feature in the norms of the first layer's weights, features being standardised."""
        kernel = self.model.get_layer(FIRST_DENSE).get_weights()[0]
        varies = np.asarray(self.model.get_layer(STANDARDISE).scale) > 0
        return common.shares(np.linalg.norm(kernel.astype(np.float64), axis=1) * varies)

    def save(self, directory: Path) -> None:
        """Write `model.keras` into the directory, without what differs between runs: dates and memory addresses."""
        with tempfile.TemporaryDirectory() as scratch:
            raw = Path(scratch) / FILE
            self.model.save(raw)
            with zipfile.ZipFile(raw) as archive:
                entries = {name: archive.read(name) for name in sorted(archive.namelist())}
        for name in ("config.json", "metadata.json"):
            entries[name] = _canonical(json.loads(entries[name]))
        arrays.write_archive(entries, directory / FILE)

    def _predict_chunk(self, chunk: NDArray) -> NDArray[np.float32]:
        return self.model(tf.constant(chunk.astype(np.float32)), training=False).numpy()[:, 0]


def uses_rounds() -> bool:
    return True


def load(directory: Path) -> Network:
    """Read what `save` has written; nothing in the file is run as code.

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
        usable = network.model.output_shape == (None, 1) and len(network.importance()) == n_features
    except Exception as error:  # a file from elsewhere can make Keras raise anything
        raise arrays.broken(path, " ".join(str(error).split())) from None
    if not usable:
        raise arrays.broken(path, "its layers don't fit together")
    return network


def fit(settings: params.NeuralNetwork, train: View, inner: View | None, rounds: int | None, threads: int) -> Network:
    """Fit dense ReLU layers with dropout to the target, by Adam on the squared error.

    With `inner`, up to `settings.epochs`, and the weights of the epoch with the best mean per-era correlation on
    `inner` stay; without it `rounds` epochs, or `settings.epochs` where that is None.

    The number of threads is a process's own: the first network settles it.

    Raises
    ------
    InputError
        If `train` has no row, or the weights grow without bound.
    """
    common.require_rows(train, settings.target)
    _settle(threads)
    x = train.matrix()
    model = _build(settings, *common.standardisation([x], x.shape[1]), float(train.target.mean(dtype=np.float64)))
    epochs = _epochs(settings, model, x, train.target)
    if inner is not None:
        common.require_rows(inner, settings.target)
        return _best(epochs, Network(model), inner, settings)
    wanted = settings.epochs if rounds is None else rounds
    for _ in range(wanted):
        next(epochs)
    return Network(model, wanted)


def _settle(threads: int) -> None:
    tf.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # TensorFlow is running: its threads can't be changed any more
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _build(settings: params.NeuralNetwork, mean: NDArray[np.float64], std: NDArray[np.float64], start: float) -> Any:
    """The network before its first step, which predicts `start` everywhere.

    The output starts at weights of 0: from random ones, a weak signal would be learned only after their noise is
    unlearned. Every layer has a name and a seed of its own, so that none hangs on the process.
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


def _epochs(settings: params.NeuralNetwork, model: Any, x: NDArray, target: NDArray[np.float32]) -> Iterator[int]:
    """Train one epoch each time the next number is asked for."""
    optimizer = keras.optimizers.Adam(settings.learning_rate)
    optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(settings.seed)

    @tf.function(reduce_retracing=True)
    def step(features: Any, wanted: Any) -> None:
        with tf.GradientTape() as tape:
            error = model(features, training=True)[:, 0] - wanted
            loss = tf.reduce_mean(tf.square(error)) + sum(model.losses)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    for epoch in range(1, settings.epochs + 1):
        for rows in common.chunks(rng.permutation(len(x)), settings.batch_rows):
            step(tf.constant(x[rows].astype(np.float32)), tf.constant(target[rows]))
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise _diverged(settings, epoch)
        yield epoch


def _best(epochs: Iterator[int], network: Network, inner: View, settings: params.NeuralNetwork) -> Network:
    score, x = common.EraCorrelation.of(inner), inner.matrix()
    best, best_epoch, weights = -np.inf, 0, []
    for epoch in epochs:
        prediction = network.predict(x)
        if not np.isfinite(prediction).all():
            raise _diverged(settings, epoch)
        value = score(prediction)
        if value > best:
            best, best_epoch, weights = value, epoch, network.model.get_weights()
        elif epoch - best_epoch >= settings.early_stopping:
            break
    network.model.set_weights(weights)
    return Network(network.model, best_epoch if best > 0 else None)


def _diverged(settings: params.NeuralNetwork, epoch: int) -> InputError:
    return InputError(f"learning_rate {settings.learning_rate}: the network's weights grew without bound in epoch {epoch}; lower it")


def _canonical(content: Any) -> bytes:
    return json.dumps(_renumbered(content, {}), sort_keys=True).encode("utf-8")


def _renumbered(content: Any, numbers: dict[int, int]) -> Any:
    """The same JSON with shared objects numbered as they appear, instead of by address, and without its date."""
    if isinstance(content, list):
        return [_renumbered(item, numbers) for item in content]
    if not isinstance(content, dict):
        return content
    out = {key: _renumbered(content[key], numbers) for key in sorted(content) if key != "date_saved"}
    if "shared_object_id" in out:
        out["shared_object_id"] = numbers.setdefault(out["shared_object_id"], len(numbers) + 1)
    return out
