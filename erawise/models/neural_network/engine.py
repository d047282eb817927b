"""Keras on TensorFlow; the one place where the two are set up."""

import os
from contextlib import suppress

from erawise.models.shared import common

# Read when TensorFlow is imported. oneDNN sums in an order that differs by machine, and says so on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# The training step is TensorFlow's own, so that no other backend of Keras would do.
os.environ["KERAS_BACKEND"] = "tensorflow"

with common.collector_waiting():
    import keras
    import tensorflow as tf

__all__ = ["keras", "settle", "tf"]


_settled: list[int] = []
"""The number of threads, once it is settled: with another one the last bits of a network would be others."""


def settle(threads: int) -> None:
    """Make every operation deterministic, and settle the number of threads, where no network of the process has."""
    if _settled:
        return
    _settled.append(threads)
    tf.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # TensorFlow is running: its threads can't be changed any more
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
