"""The digests of what a model is fitted on."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from erawise.base import files
from erawise.models.shared.settings import Entry
from erawise.models.shared.stored import Basis
from erawise.panel.panel import DESCRIPTION, INDEX, FeatureMap
from erawise.running import paths


def of_fit(variants: Iterable[Entry], features: FeatureMap, *more: Path) -> Basis:
    """Return the digests for a fit.

    Parameters
    ----------
    variants : the settings of each variant of the model.
    features : the features that the model sees.
    more : files of data in addition to the prepared rows of `paths.PANEL`.
    """
    settings = json.dumps([variant.identity() for variant in variants], sort_keys=True)
    return Basis(hashlib.sha256(settings.encode()).hexdigest(), features.digest, of_prepared(*more))


def of_prepared(*more: Path) -> str:
    """Return the digest of the prepared rows of train and validation, with the train targets, and of more files."""
    return files.digest(*(paths.PANEL / name for name in (DESCRIPTION, INDEX)), *more)
