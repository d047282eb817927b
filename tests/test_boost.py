"""One fit of LightGBM over several workers: the model of one process but for rounding, the same bytes each time, and an end when a worker dies."""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from distributed import get_worker
from numpy.typing import NDArray
from panels import write_panel

from erawise import cluster, cluster_ring, files, jobs, params, sites, splits, spread, training
from erawise.errors import InputError
from erawise.features import maps
from erawise.models import lightgbm, stored
from erawise.models.common import EraCorrelation
from erawise.models.lightgbm import ring
from erawise.models.protocol import GIB, Resources, Ring, held_by, unheard
from erawise.panel import FeatureMap, View
from erawise.progress import UNCOUNTED

cloudpickle.register_pickle_by_value(sys.modules[__name__])

TRAIN, VALIDATION, ROWS, FEATURES = 60, 20, 160, 24
SETTINGS = params.LightGBM(
    kind="lightgbm",
    target="target",
    trees=80,
    learning_rate=0.05,
    max_depth=4,
    leaves=8,
    feature_share=0.3,
    min_rows_leaf=20,
    l2=0.0,
    early_stopping=10,
    seed=1,
)
SPREAD = SETTINGS.model_copy(update={"distributed": True})


@dataclass
class Boost:
    """A market, workers, and what they have said."""

    data: jobs.Data
    resources: Resources
    engine: cluster.Cluster
    said: list[str]

    def train(self, settings: params.LightGBM, engine: jobs.Engine = jobs.HERE, log: jobs.Log = unheard) -> training.Trained:
        return training.train(lightgbm, settings, self.data, inner_share=0.2, resources=self.resources, log=log, engine=engine)


def market(directory: Path) -> None:
    """Prepared rows, folds and selected features: rows of fixed features, some without a target, and features without data in early eras."""
    rng = np.random.default_rng(5)
    era = np.repeat(np.arange(1, TRAIN + VALIDATION + 2), ROWS)
    x = rng.integers(0, 5, (len(era), FEATURES)).astype(np.int8)
    x[era < 12, :4] = 2
    signal = x[:, 4] - x[:, 5] + 0.5 * (x[:, 0] - 2.0) * (x[:, 6] - 2.0) + 0.3 * (x[:, 7] > 3)
    target = (signal + rng.normal(0, 6, len(era)) > 0).astype(float)
    target[rng.random(len(era)) < 0.05] = np.nan
    target[era > TRAIN] = np.nan
    live = era == TRAIN + VALIDATION + 1
    names = [f"n{k:06d}" for k in range(len(era))]
    panel = write_panel(directory / "prepared", x[~live], {"target": target[~live]}, era[~live], ids=names[: int((~live).sum())])
    write_panel(directory / "live", x[live], {}, np.full(int(live.sum()), -1), data_type="live")
    eras = panel.eras
    plan = splits.plan(eras[:TRAIN], eras[TRAIN:], 20, method="purged_kfold", folds=2, chunk=10, window=None)
    files.write_json(splits.to_json({20: plan}), directory / "folds.json")
    (directory / "features").mkdir()
    maps.write([FeatureMap(panel.names[:20]), FeatureMap(panel.names[2:]), FeatureMap(panel.names)], directory / "features")


@pytest.fixture(scope="module")
def boost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boost]:
    directory = tmp_path_factory.mktemp("boost")
    market(directory)
    source = jobs.Source(*(Path(name) for name in ("prepared", "live", "folds.json", "features")), targets=("target",), days=20)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        panel = source.panel()
        data = source.around(panel)
        resources = Resources(1, 4 * GIB, Path("scratch"), held=held_by(panel), say=said.append)
        site = sites.survey(source, lambda digests, arrays: None)
        with cluster.engine(site, None, 2, resources) as engine:
            yield Boost(data, resources, engine, said)


@pytest.fixture(scope="module")
def trained(boost: Boost) -> training.Trained:
    """Over two workers."""
    return boost.train(SPREAD, boost.engine)


def predictions(found: training.Trained, split: str) -> pd.Series:
    return found.predictions.query("split == @split").set_index("id")["prediction"]


def test_spread_over_workers_it_is_the_model_of_one_process_but_for_rounding(boost: Boost, trained: training.Trained) -> None:
    single = boost.train(SETTINGS)
    print(single.rounds, trained.rounds, single.final_rounds, trained.final_rounds)
    target = boost.data.panel.index.set_index("id")["target"]
    for split in ("cv", "validation", "live"):
        one, other = predictions(single, split), predictions(trained, split)
        assert one.index.equals(other.index)
        print(split, one.corr(other), np.abs(one - other).max(), one.corr(target), other.corr(target))
    assert trained.dropped == single.dropped > 0
