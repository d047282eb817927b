"""Fits that are kept between runs, each under the digest of all that it depends on, so that new eras need new fits alone."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import erawise
from erawise.base import files, tabular
from erawise.models.shared.protocol import Fitted, Kind, Resources, StoredKind
from erawise.panel.panel import FeatureMap, Panel
from erawise.running import runner
from erawise.running.errors import InputError

ROOMS = ("base", "panel", "folds", "models/shared", "training")
"""The rooms that make a fit, in addition to its kind's own room."""

RUNS = 4
"""Runs whose fits are kept."""

VALUES, MODEL, DESCRIPTION = "values.npy", "model", "fit.json"


@dataclass(frozen=True)
class Fit:
    """The result of a fit.

    Attributes
    ----------
    values : (rows,) its predictions of the eras that it is asked for.
    rounds : trees or epochs that early stopping found, None without it.
    model : the model, if it is needed later.
    dropped : training rows without a target.
    curve : rounds and their scores on the inner slice.
    tested : digests of the eras that it predicts.
    """

    values: NDArray[np.float64]
    rounds: int | None = None
    model: Fitted | None = None
    dropped: int = 0
    curve: Sequence[tuple[int, float]] = ()
    tested: Sequence[str] = ()


@dataclass(frozen=True)
class Question:
    """The data and rounds that a fit depends on, in addition to the kind's code and settings.

    Attributes
    ----------
    train, test : eras that it is fitted on, and that it predicts.
    features : that the model sees.
    rounds : that it runs for; None for the settings' own.
    stops_by : what it stops early by; empty if it doesn't.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    features: FeatureMap
    rounds: int | None = None
    stops_by: tuple[float, ...] = ()


class Store:
    """The kept fits of one model.

    Parameters
    ----------
    directory : has a directory for each fit.
    kind : of the model.
    resources : of the fits, whose threads and device are part of the result.
    """

    def __init__(self, directory: Path, kind: StoredKind, resources: Resources) -> None:
        self._directory, self._kind = directory, kind
        made_by = [kind.__name__, resources.threads, resources.device, runner.versions()]
        self._basis = hashlib.sha256(json.dumps(made_by).encode())
        for path in _code(kind):
            self._basis.update(path.read_bytes())
        self._used: set[Path] = set()

    def path(self, settings: Any, panel: Panel, question: Question) -> Path:
        """Return the directory of a fit, which is there if the fit is kept; the eras that it predicts make no difference."""
        digest = self._basis.copy()
        asked = [settings.identity(), question.features.digest, question.rounds, question.stops_by]
        digest.update(json.dumps([asked, panel.era_digests(question.train, settings.target)], sort_keys=True).encode())
        return self._directory / digest.hexdigest()

    def read(self, path: Path) -> Fit | None:
        """Read a fit; None if it isn't kept, or is damaged."""
        self._used.add(path)
        if not (path / DESCRIPTION).is_file():
            return None
        try:
            content = files.read_json(path / DESCRIPTION)
            model = self._kind.load(path / MODEL) if (path / MODEL).is_dir() else None
            values = np.load(path / VALUES, allow_pickle=False)[:, 0]
        except (InputError, OSError, ValueError):
            return None
        path.touch()
        curve = [(number, score) for number, score in content["curve"]]
        return Fit(values, content["rounds"], model, content["dropped"], curve, content["tested"])

    def keep(self, path: Path, fit: Fit) -> None:
        """Write a fit."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as directory:
            directory.mkdir()
            if fit.model is not None:
                (directory / MODEL).mkdir()
                fit.model.save(directory / MODEL)
            tabular.write_npy(fit.values[:, None], directory / VALUES)
            content = {"rounds": fit.rounds, "dropped": fit.dropped, "curve": list(fit.curve), "tested": list(fit.tested)}
            files.write_json(content, directory / DESCRIPTION)

    def prune(self) -> None:
        """Remove the fits that were used longest ago; as many as the last `RUNS` runs of this size need stay."""
        found = sorted(self._directory.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in [path for path in found if path not in self._used][(RUNS - 1) * len(self._used) :]:
            files.remove(path)


def _code(kind: Kind) -> list[Path]:
    """Return the modules that make the fits of a kind of model."""
    top = Path(erawise.__file__).parent
    own = "/".join(str(getattr(kind, "__name__", "")).split(".")[1:-1])
    return sorted([*(path for room in (*ROOMS, own) for path in (top / room).glob("*.py")), top / "predictions.py"])
