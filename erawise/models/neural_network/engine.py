"""Keras on TensorFlow, imported in about half the time; the one place where the two are set up."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Read when TensorFlow is imported. oneDNN sums in an order that differs by machine, and says so on stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# The training step is TensorFlow's own, so that no other backend of Keras would do.
os.environ["KERAS_BACKEND"] = "tensorflow"

_UNUSED = ("matplotlib", "sklearn")
"""Packages that Keras imports where it finds them, for parts that nothing here uses."""


@contextmanager
def _lean_import() -> Iterator[None]:
    """Hide `_UNUSED` from imports within, and keep the garbage collector from scanning the growing heap again and again."""
    hidden = [name for name in _UNUSED if name not in sys.modules]
    collecting = gc.isenabled()
    gc.disable()
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
        gc.freeze()
        if collecting:
            gc.enable()


with _lean_import():
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
