"""Prediction of LightGBM's trees for many rows at once, equal to `Booster.predict` to the last bit, and many times faster.

1. Each distinct question of the model, such as "is feature f above t?", gives one bit a row. The bits of a block of rows are a plane,
   eight rows to a byte.
2. A few operations per node on the planes' bytes give the rows of the block that reach the node.
3. A leaf has a code. The bits of the codes of the rows' leaves are planes too: bit b is set for rows that reach a subtree whose leaves
   all have b in their code.
4. The codes are looked up in a table of leaf values, which are added in the order of the trees.

Without numba, or with ERAWISE_NUMBA=0 in the environment, plain numpy walks the trees.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from erawise.base import jit
from erawise.models.lightgbm.planes import ROWS, WORDS, Doubles, Program, Questions, ask_floats, ask_whole, run
from erawise.models.lightgbm.program import ask, compile_trees
from erawise.models.lightgbm.trees import Trees, walk
from erawise.running.errors import InputError

FAST = jit.enabled() and sys.byteorder == "little"

MOST_LEAVES = 4096
"""With more leaves in a tree, LightGBM's own prediction is used: its time grows with the depth, ours with the leaves."""

_PART_BLOCKS = 4
"""Blocks that a thread works on at a time: few, so that their planes stay in the cache."""

_DTYPES = (np.dtype(np.int8), np.dtype(np.float32), np.dtype(np.float64))


@dataclass(frozen=True)
class Scorer:
    """A model that is ready to predict.

    Parameters
    ----------
    trees : the model's trees.
    questions, program : the questions and the program of the trees; None without numba.
    """

    trees: Trees
    questions: Questions | None
    program: Program | None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a model's text, and compile its program.

        Raises
        ------
        ValueError
            If the model is no plain sum of numerical trees, or has a tree of more than `MOST_LEAVES` leaves.
        """
        trees = Trees.from_text(text)
        if np.diff(trees.first_leaf).max(initial=0) > MOST_LEAVES:
            raise ValueError(f"a tree has more than {MOST_LEAVES} leaves")
        if not FAST:
            return cls(trees, None, None)
        questions, number = ask(trees)
        return cls(trees, questions, compile_trees(trees, number))

    @property
    def n_features(self) -> int:
        return self.trees.n_features

    def predict(self, x: NDArray, threads: int = 1) -> Doubles:
        """Predict (rows,) from (rows, features) of int8, float32 or float64 in any layout.

        The bits are equal to `Booster.predict` for any number of threads.

        Raises
        ------
        InputError
            If `x` has another number of features.
        ValueError
            If `x` has another dtype.
        """
        x = np.asarray(x)
        if x.shape[1] != self.n_features:
            raise InputError(
                f"the model was fitted on {self.n_features} features and is given {x.shape[1]}; train it again on these features"
            )
        if x.dtype not in _DTYPES:
            raise ValueError(f"features are int8, float32 or float64, not {x.dtype}")
        out = np.empty(len(x))
        parts = list(_parts(len(x), threads))
        if threads > 1 and len(parts) > 1:
            with ThreadPoolExecutor(min(threads, len(parts))) as pool:
                list(pool.map(lambda rows: self._predict_part(x[rows], out[rows]), parts))
        else:
            for rows in parts:
                self._predict_part(x[rows], out[rows])
        return out

    def _predict_part(self, x: NDArray, out: Doubles) -> None:
        if self.questions is None or self.program is None:
            out[:] = walk(self.trees, x)
            return
        whole = x.dtype == np.int8 and len(self.questions.levels) > 0
        x = np.require(x, None if whole or x.dtype != np.int8 else np.float32, ["C", "A"]).view()
        x.flags.writeable = False
        planes = np.empty((-(-len(x) // ROWS), len(self.questions.feature), WORDS), np.uint64)
        if whole:
            ask_whole(x, self.questions, planes)
        else:
            ask_floats(x, self.questions, planes.view(np.uint8))
        n_lines = 2 * int(np.diff(self.program.first_node).max(initial=0)) + 1
        run(planes, self.program, n_lines, out)


def _parts(n_rows: int, threads: int) -> Iterator[slice]:
    """Yield slices of whole blocks, of `_PART_BLOCKS` at most, and of fewer if a thread would else have no slice."""
    blocks = -(-n_rows // ROWS)
    step = ROWS * max(1, min(_PART_BLOCKS, -(-blocks // max(threads, 1))))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
