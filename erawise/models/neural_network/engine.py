"""Keras on TensorFlow; both are set up only here."""

import os
from contextlib import suppress

from erawise.models.shared import common

# TensorFlow reads these on import. oneDNN sums in an order that differs between machines, and reports it on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# The training step is TensorFlow's own, so no other backend of Keras would work.
os.environ["KERAS_BACKEND"] = "tensorflow"

with common.collector_waiting():
    import keras
    import tensorflow as tf

__all__ = ["keras", "settle", "tf"]


_settled: list[int] = []
"""The number of threads, after it is settled: another number would change the last bits of a network."""


def settle(threads: int) -> None:
    """Make every operation deterministic, and settle the number of threads, unless a network of the process already has."""
    if _settled:
        return
    _settled.append(threads)
    tf.config.experimental.enable_op_determinism()
    with suppress(RuntimeError):  # if TensorFlow already runs, its threads can't be changed
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
