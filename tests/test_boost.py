"""One fit of LightGBM over several workers: the model of one process but for rounding, the same bytes, an end when a worker dies."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import lightgbm as official
import numpy as np
import pandas as pd
import pytest
from distributed import get_worker
from panels import write_panel

from benchmarks import boost as comparison
from benchmarks import measure
from erawise import cluster, cluster_ring, files, jobs, params, sites, splits, spread, training
from erawise.errors import InputError
from erawise.features import maps
from erawise.models import lightgbm, stored
from erawise.models.common import EraCorrelation
from erawise.models.lightgbm import ring
from erawise.models.protocol import GIB, Resources, Ring, held_by, unheard
from erawise.panel import FeatureMap
from erawise.progress import UNCOUNTED

cloudpickle.register_pickle_by_value(sys.modules[__name__])

TRAIN, VALIDATION, ROWS, FEATURES = 60, 20, 160, 24
MEMORY = 4 * GIB
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
LONG = SPREAD.model_copy(update={"trees": 1500, "early_stopping": None})
"""Fits that take a second or two."""

SAME = 1e-9
"""How far predictions of two models may be apart that add the same sums of two workers, in standard deviations; 0 was measured. One split
that differs makes more than this, and a model of the rows of one worker is more than 0.1 apart."""


@dataclass
class Boost:
    """A market, workers, and what they have said."""

    data: jobs.Data
    resources: Resources
    engine: cluster.Cluster
    said: list[str]

    def train(self, settings: params.LightGBM, engine: jobs.Engine = jobs.HERE, log: jobs.Log = unheard) -> training.Trained:
        return training.train(lightgbm, settings, self.data, inner_share=0.2, resources=self.resources, log=log, engine=engine)

    def refit(self, settings: params.LightGBM) -> Any:
        return training.refit(lightgbm, settings, self.data, self.data.plan.train, None, self.resources, UNCOUNTED, self.engine)

    def is_idle(self) -> bool:
        """Whether nothing is left of what was to be done."""
        return not (self.engine._busy or self.engine._tasks or self.engine._futures or any(self.engine.client.processing().values()))


def market(directory: Path) -> None:
    """Prepared rows, folds and selected features: some rows have no target, and some features no data in early eras."""
    rng = np.random.default_rng(5)
    era = np.repeat(np.arange(1, TRAIN + VALIDATION + 2), ROWS)
    x = rng.integers(0, 5, (len(era), FEATURES)).astype(np.int8)
    x[era < 12, :4] = 2
    signal = x[:, 4] - x[:, 5] + 0.5 * (x[:, 0] - 2.0) * (x[:, 6] - 2.0) + 0.3 * (x[:, 7] > 3)
    target = (signal + rng.normal(0, 6, len(era)) > 0).astype(float)
    target[rng.random(len(era)) < 0.05] = np.nan
    live = era == TRAIN + VALIDATION + 1
    ids = [f"n{k:06d}" for k in range(len(era))]
    panel = write_panel(directory / "prepared", x[~live], {"target": target[~live]}, era[~live], ids=ids[: int((~live).sum())])
    write_panel(directory / "live", x[live], {}, np.full(int(live.sum()), -1), data_type="live")
    plan = splits.plan(panel.eras[:TRAIN], panel.eras[TRAIN:], 20, method="purged_kfold", folds=2, chunk=10, window=None)
    files.write_json(splits.to_json({20: plan}), directory / "folds.json")
    (directory / "features").mkdir()
    maps.write([FeatureMap(panel.names[:20]), FeatureMap(panel.names[2:]), FeatureMap(panel.names)], directory / "features")


@pytest.fixture(scope="module")
def boost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boost]:
    directory = tmp_path_factory.mktemp("boost")
    market(directory)
    source = jobs.Source(Path("prepared"), Path("live"), Path("folds.json"), Path("features"), ("target",), 20)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setattr(cluster, "GRACE_SECONDS", 1.0)
        panel = source.panel()
        data = source.around(panel)
        resources = Resources(1, MEMORY, Path("scratch"), held=held_by(panel), say=said.append)
        site = sites.survey(source)
        with cluster.engine(site, None, 2, resources) as engine:
            engine.outcomes = []
            yield Boost(data, resources, engine, said)


Heard = dict[int, list[tuple[int, float]]]


@dataclass
class Told:
    """A training over two workers, and the rounds that it has told of, by fold."""

    trained: training.Trained
    rounds: Heard


def heard(boost: Boost, settings: params.LightGBM, engine: jobs.Engine) -> Told:
    rounds: Heard = {}

    def log(fold: int, number: int, score: float) -> None:
        rounds.setdefault(fold, []).append((number, score))

    return Told(boost.train(settings, engine, log), rounds)


@pytest.fixture(scope="module")
def single(boost: Boost) -> Told:
    return heard(boost, SETTINGS, jobs.HERE)


@pytest.fixture(scope="module")
def told(boost: Boost) -> Told:
    return heard(boost, SPREAD, boost.engine)


def predictions(found: training.Trained, split: str) -> pd.Series:
    return found.predictions.query("split == @split").set_index("id")["prediction"]


def test_it_is_the_model_of_one_process_but_for_rounding(boost: Boost, single: Told, told: Told) -> None:
    one, several = single.trained, told.trained
    index = boost.data.panel.index.dropna(subset=["target"]).set_index("id")
    for split in ("cv", "validation", "live"):
        expected, found = predictions(one, split), predictions(several, split)
        assert expected.index.equals(found.index)
        assert expected.corr(found) > 0.9999
        if split != "live":
            rows = index.index.intersection(expected.index)
            scores = [
                EraCorrelation(index["target"].loc[rows].to_numpy(), index["era"].loc[rows].to_numpy())(p[rows]) for p in (expected, found)
            ]
            assert scores[0] > 0.1
            assert scores[1] == pytest.approx(scores[0], abs=1e-3)
    assert several.dropped == one.dropped > 0
    assert np.abs(one.model.importance() - several.model.importance()).max() < 1e-3


def test_it_is_the_model_of_lightgbm_dask(boost: Boost, tmp_path: Path) -> None:
    settings = SPREAD.model_copy(update={"early_stopping": None, "trees": 30})
    (tmp_path / "prepared").symlink_to(Path("prepared").resolve())
    comparison.write_parts(tmp_path, boost.data, 2)
    seen = np.asarray(boost.data.panel.matrix[-2000:])
    np.save(tmp_path / comparison.SEEN, seen)
    measure.in_process("boost", "theirs", tmp_path, settings.model_dump_json(exclude_unset=True))
    expected = np.load(tmp_path / "theirs.npy")

    def apart(model: Any) -> float:
        return float(np.abs(model.predict(seen) - expected).max() / expected.std())

    train = spread.Rows("target", None, boost.data.plan.train, None)
    half = train.part(boost.data, 0, 2).views(boost.data)[0]
    assert apart(boost.refit(settings)) < SAME
    assert apart(lightgbm.fit(settings, half, None, None, boost.resources)) > 0.1


def test_the_same_number_of_workers_makes_the_same_bytes(boost: Boost, told: Told, tmp_path: Path) -> None:
    again = boost.train(SPREAD, boost.engine)
    pd.testing.assert_frame_equal(again.predictions, told.trained.predictions, check_exact=True)
    for name, model in (("one", told.trained.model), ("other", again.model)):
        (tmp_path / name).mkdir()
        stored.save("lightgbm", model, 5, boost.data.plan.train, tmp_path / name)
    assert (tmp_path / "one/model.txt").read_bytes() == (tmp_path / "other/model.txt").read_bytes()
    assert b"127.0.0.1" not in (tmp_path / "one/model.txt").read_bytes()
    [loaded] = stored.load(tmp_path / "one")
    x = np.asarray(boost.data.panel.matrix[:500])
    np.testing.assert_array_equal(loaded.predict(x), told.trained.model.predict(x))


def test_a_stored_model_says_that_it_was_distributed_and_another_one_nothing(
    boost: Boost, single: Told, told: Told, tmp_path: Path
) -> None:
    for name, model, workers in (("one", single.trained.model, 1), ("two", told.trained.model, 2)):
        (tmp_path / name).mkdir()
        stored.save("lightgbm", model, 5, boost.data.plan.train, tmp_path / name)
        assert stored.describe(tmp_path / name).workers == workers
        assert ("workers" in files.read_json(tmp_path / name / "model.json")) == (workers == 2)


def kept(scores: list[float], patience: int) -> tuple[int, int]:
    """The best round and the last one that is looked at, as a plain loop."""
    best = 0
    for number in range(len(scores)):
        if scores[number] > scores[best]:
            best = number
        if number - best == patience:
            return best + 1, number + 1
    return best + 1, len(scores)


def test_early_stopping_keeps_the_round_that_its_rule_says(boost: Boost, single: Told, told: Told) -> None:
    assert told.trained.rounds == single.trained.rounds
    assert told.trained.final_rounds == round(float(np.median([number for number in told.trained.rounds if number])))
    for fold, rounds in told.rounds.items():
        assert [number for number, _ in rounds] == list(range(1, len(rounds) + 1))
        assert kept([score for _, score in rounds], 10) == (told.trained.rounds[fold], len(rounds))
        np.testing.assert_allclose([score for _, score in rounds], [score for _, score in single.rounds[fold]], atol=1e-3)


def best_of_lightgbm(scores: list[float], patience: int) -> int:
    """The best round by LightGBM's own early stopping, of a model whose scores are these."""
    rows, left = np.arange(8.0)[:, None], iter(scores)
    data = official.Dataset(rows, np.arange(8) % 3)
    options = {"verbosity": -1, "metric": "None", "min_data_in_leaf": 1, "num_threads": 1}
    stop = official.early_stopping(patience, verbose=False)
    seen = data.create_valid(rows, np.arange(8) % 3)
    found = official.train(options, data, len(scores), valid_sets=[seen], feval=lambda *_: ("score", next(left), True), callbacks=[stop])
    return found.best_iteration


def test_no_more_trees_are_grown_than_up_to_the_next_look(boost: Boost, told: Told) -> None:
    pieces = {job.what: outcome.value[0] for job, outcome in boost.engine.outcomes or [] if "of the fit of fold" in job.what}
    grown = {what: len(piece.totals) for what, piece in pieces.items() if isinstance(piece, ring.Piece)}
    for fold, rounds in told.rounds.items():
        for part in (1, 2):
            assert len(rounds) < SETTINGS.trees - ring.CHECK_ROUNDS
            assert 0 <= grown[f"part {part} of 2 of the fit of fold {fold + 1}"] - len(rounds) < ring.CHECK_ROUNDS


def test_the_best_round_is_that_of_lightgbm() -> None:
    rng = np.random.default_rng(1)
    for patience in (1, 2, 5, 40):
        for _ in range(50):
            scores = rng.integers(-3, 4, 30) / 4
            assert ring.best_round(scores, patience) == kept(scores.tolist(), patience)
            assert ring.best_round(scores, patience)[0] == best_of_lightgbm(scores.tolist(), patience)


def test_without_a_score_above_0_there_are_no_rounds() -> None:
    booster = official.train({"verbosity": -1}, official.Dataset(np.arange(80.0)[:, None], np.arange(80) % 3), 3)
    pieces = [ring.Piece(booster.model_to_string(), [-0.4, -0.2, -0.4], 4), ring.Piece("", [-0.4, 0.1, -0.4], 4), ring.Piece("", [], 0)]
    model = ring.joined(SPREAD, pieces, None, Resources(1, MEMORY, Path("scratch")))
    assert model.rounds is None
    assert model.workers == 3
    assert official.Booster(model_str=model.text).num_trees() == 2


def test_parts_are_whole_eras_that_have_rows_each_once(boost: Boost) -> None:
    data = boost.data
    eras, inner = data.plan.folds[0].train[:20], data.plan.folds[0].train[20:22]
    rows = spread.Rows("target", 0, eras, inner)
    train, looked = rows.views(data)
    assert looked is not None
    parts = [rows.part(data, rank, 3) for rank in range(3)]
    assert sorted(np.concatenate([part.eras for part in parts])) == eras.tolist()
    assert [0 if part.inner is None else len(part.inner) for part in parts] == [1, 1, 0]
    views = [part.views(data)[0] for part in parts]
    assert sorted(np.concatenate([view.rows for view in views])) == train.rows.tolist()
    assert not any(np.isnan(view.target).any() for view in views)
    assert train.dropped > 0


class Killer(threading.Thread):
    """Kills a worker in the middle of growing."""

    def __init__(self, boost: Boost) -> None:
        super().__init__()
        self._boost = boost

    def run(self) -> None:
        while not any(task.pinned and task.job.steps for task in list(self._boost.engine._tasks.values())):
            time.sleep(0.05)
        time.sleep(0.4)
        pids = self._boost.engine.client.run(os.getpid)
        os.kill(pids[min(pids)], signal.SIGKILL)


def test_a_worker_that_dies_in_the_middle_costs_time_alone(boost: Boost) -> None:
    whole = boost.refit(LONG)
    killer = Killer(boost)
    killer.start()
    assert boost.refit(LONG).text == whole.text
    killer.join()
    assert any("died; it did part 1 of 2 of the final fit, or another part of it, which all begin once more" in line for line in boost.said)
    assert boost.is_idle()


def test_workers_that_die_again_end_it_with_an_error(boost: Boost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_ring, "ATTEMPTS", 1)
    killer = Killer(boost)
    killer.start()
    with pytest.raises(InputError, match="part 1 of 2 of the final fit: a worker died in the middle of it, and again when all had begun"):
        boost.refit(LONG)
    killer.join()
    assert boost.is_idle()


def fails_or_hangs(ring: Ring, data: jobs.Data, resources: Resources) -> None:
    if ring.rank == 1:
        raise InputError("no space")
    time.sleep(60)


def answers(ring: Ring, data: jobs.Data, resources: Resources) -> tuple[str, int]:
    return get_worker().address, ring.rank


def every(call: Any, needed: int = 0) -> jobs.Parts:
    return lambda workers: [jobs.Job(f"part {rank + 1}", call, np.empty(0, np.int64), needed, 0) for rank in range(workers)]


def test_where_one_part_fails_the_others_are_stopped(boost: Boost) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=r"part 2, on the worker tcp://.*: no space"):
        boost.engine.together(every(fails_or_hangs), boost.data, boost.resources, UNCOUNTED)
    assert time.monotonic() - started < 60
    assert boost.is_idle()
    found = boost.engine.together(every(answers), boost.data, boost.resources, UNCOUNTED)
    assert [rank for _, rank in found] == [0, 1]
    assert len({address for address, _ in found}) == 2


def test_a_worker_with_too_little_memory_is_named_before_anything_runs(boost: Boost) -> None:
    with pytest.raises(InputError, match=r"part 1 takes 2\.\d\d GiB, and the worker tcp://.* has 2\.00 GiB; start more workers"):
        boost.engine.together(every(answers, MEMORY // 2), boost.data, boost.resources, UNCOUNTED)
    assert boost.is_idle()


def test_in_this_process_alone_it_is_an_error(boost: Boost) -> None:
    with pytest.raises(InputError, match=r"models\.<name>\.distributed: .* and execution\.engine is local"):
        boost.train(SPREAD)


def test_more_workers_than_eras_are_an_error(boost: Boost) -> None:
    with pytest.raises(InputError, match="the final fit: its 1 eras are too few for 2 workers"):
        training.refit(lightgbm, LONG, boost.data, boost.data.plan.train[:1], None, boost.resources, UNCOUNTED, boost.engine)
