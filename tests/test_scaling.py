"""The simulation of training on many workers: known cases by hand, what it must never do, and that it gives what was measured."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import full_size, grid, measure, scaling, workers
from benchmarks.grid import Costs, simulate
from erawise import charts
from erawise.jobs import HERE, Data, Job
from erawise.models.protocol import Resources, unheard
from erawise.progress import UNCOUNTED

MEASURED = json.loads(scaling.RESULTS.read_text(encoding="utf-8"))
PAGE = scaling.PAGE.read_text(encoding="utf-8")
fits = st.integers(1, 3).flatmap(
    lambda models: st.integers(1, 4).map(lambda members: np.random.default_rng(models * members).uniform(1, 9, (models, members, 4)))
)


# ---- cases that can be reckoned by hand


def test_one_worker_does_one_fit_after_the_other() -> None:
    ran = simulate(np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), Costs(), 1, 1)
    assert ran.seconds == 21
    assert ran.efficiency == 1


def test_a_final_fit_waits_for_the_folds_of_its_member() -> None:
    assert simulate(np.array([[[1.0, 5.0, 3.0]]]), Costs(), 8, 4).seconds == 5 + 3


def test_fits_of_other_members_fill_the_time() -> None:
    ran = simulate(np.array([[[1.0, 5.0, 3.0], [2.0, 2.0, 1.0]]]), Costs(), 2, 2)
    # worker 1: 1, then 2 and 2 of the other member until 5; worker 2: 5; then the final fits of 3 and 1 beside each other
    assert ran.seconds == 8


def test_what_does_one_thing_at_a_time_makes_the_rest_wait() -> None:
    two = np.ones((1, 2, 2))
    assert simulate(two, Costs(prepare=10), 4, 4).seconds == 22
    assert simulate(two, Costs(start=7, collect=10), 4, 4).seconds == 7 + 2 + 20
    assert simulate(two, Costs(blend=10), 4, 4).seconds == 2 + 20
    # two folds, then a final fit that comes when the second fold is still on its way, and the other one
    assert simulate(two, Costs(dispatch=10), 4, 4).seconds == 10 + 10 + 10 + 10 + 1
    assert simulate(two, Costs(submit=10), 4, 4).seconds == 10 + 10 + 10 + 10 + 1
    assert simulate(two, Costs(result_fold=10, link=1), 4, 4).seconds == 1 + 20 + 1


def test_each_model_has_a_driver_of_its_own_and_all_one_scheduler() -> None:
    two = np.ones((2, 1, 2))
    assert simulate(two, Costs(prepare=10), 4, 4).seconds == 12
    assert simulate(two, Costs(dispatch=10), 4, 4).seconds == 10 + 10 + 10 + 10 + 1


def test_a_host_fetches_once_and_all_hosts_share_the_remote() -> None:
    costs = Costs(fetch_fold=10, remote=1)
    work = np.ones((1, 1, 5))
    one_host, two_hosts = simulate(work, costs, 4, 4), simulate(work, costs, 4, 2)
    assert one_host.seconds == 10 + 1 + 1
    assert two_hosts.seconds == 20 + 1 + 1
    assert simulate(work, replace(costs, fetch_final=5), 4, 4).seconds == 10 + 1 + 5 + 1
    assert simulate(work, costs.kept(), 4, 4).seconds == 2


def test_a_host_writes_each_binned_file_once_and_one_after_the_other() -> None:
    work = np.ones((1, 3, 3))
    costs = Costs(bin_fold=10, bin_final=5)
    assert simulate(work, costs, 1, 1).seconds == 9 + 25
    assert simulate(work[:, :1], costs, 2, 2).seconds == 20 + 1 + 5 + 1
    assert simulate(work[:, :1], costs, 2, 1).seconds == 10 + 1 + 5 + 1


# ---- what holds always


@settings(max_examples=60, deadline=None)
@given(fits, st.integers(1, 12), st.integers(1, 4))
def test_no_run_is_faster_than_its_work_its_chains_and_what_is_serial(work: grid.Floats, count: int, per_host: int) -> None:
    costs = Costs(start=1, prepare=0.5, collect=0.25, blend=0.125, submit=0.1, dispatch=0.2, result_fold=3, result_final=9, link=10)
    ran = simulate(work, costs, count, per_host)
    models, members, tasks = work.shape
    assert ran.fitting == pytest.approx(work.sum())
    assert ran.seconds >= work.sum() / count
    assert ran.seconds >= (work[:, :, :-1].max(axis=2) + work[:, :, -1]).max()
    assert ran.seconds >= 1 + members * (0.5 + 0.25 + 0.125 + tasks * 0.1)
    assert ran.seconds >= models * members * tasks * 0.2
    assert ran.seconds >= models * members * ((tasks - 1) * 3 + 9) / 10
    # list scheduling: at most what is shared and the longest chain together, and all that is serial beside them
    serial = 1 + models * members * (0.875 + tasks * 0.3 + ((tasks - 1) * 3 + 9) / 10)
    assert ran.seconds <= work.sum() / count + (work[:, :, :-1].max(axis=2) + work[:, :, -1]).max() + serial
    assert 0 < ran.efficiency <= 1


def test_fits_are_drawn_around_what_is_typical() -> None:
    drawn = grid.drawn((2, 3, 4), 10.0, 30.0, [0.5, 1.5], seed=1)
    assert drawn.shape == (2, 3, 5)
    assert set(drawn[:, :, :4].flat) == {5.0, 15.0}
    assert set(drawn[:, :, 4].flat) <= {15.0, 45.0}
    np.testing.assert_array_equal(drawn, grid.drawn((2, 3, 4), 10.0, 30.0, [0.5, 1.5], seed=1))


# ---- against what was measured


def test_the_simulation_gives_the_measured_times_of_one_and_two_workers() -> None:
    found = workers.validation(MEASURED)
    assert set(found["workers"]) == {1, 2}
    middle = found.groupby("workers")["own"].median()
    assert middle.abs().max() < workers.TOLERANCE
    assert f"{workers.TOLERANCE:.0%}" in PAGE


def test_the_laws_give_about_the_time_of_the_stage_at_full_size() -> None:
    taken = re.search(r"^\| train_lightgbm lightgbm \| ([\d.]+) \|", PAGE, re.MULTILINE)
    assert taken is not None
    assert 0.5 < workers.full_size_stage(MEASURED) / float(taken[1]) < 2


def test_all_engines_gave_the_same_bits() -> None:
    assert workers.equal(MEASURED)
    assert all(len(runs) >= 3 for runs in MEASURED["runs"].values())


def test_the_page_and_the_picture_are_what_the_measurements_give(tmp_path: Path) -> None:
    texts, table = workers.blocks(MEASURED)
    for name, text in texts.items():
        assert f"<!-- {name} -->\n{text}\n<!-- end of {name} -->" in PAGE, "run python -m benchmarks.scaling --simulate --write"
    charts.write(workers.figure(table), tmp_path / "workers.svg")
    assert (tmp_path / "workers.svg").read_bytes() == scaling.PICTURE.read_bytes(), "run python -m benchmarks.scaling --simulate --write"


def test_memory_bounds_the_workers_of_a_machine() -> None:
    full = workers.Full(workers.Assumptions(), MEASURED)
    assert full.per_host < 16
    assert replace(full, given=replace(full.given, memory=1e12)).per_host == 16
    assert full.per_host * full.task_bytes < full.given.memory


def test_more_trees_take_longer_in_proportion() -> None:
    full = workers.Full(workers.Assumptions(), MEASURED)
    fewer, more = (
        workers.simulated(replace(full, given=replace(full.given, trees=trees)), workers.ONE, 8).seconds for trees in (1000, 4000)
    )
    assert 3 < more / fewer < 4


# ---- what measures


def test_every_way_is_measured_on_the_same_work(tmp_path: Path) -> None:
    scaling.set_up(tmp_path / "data", full_size.Size(60, 12, 20, 20, 20, 10))
    directory = str(tmp_path / "data")
    local, dask, driver = scaling.run_local(directory), scaling.run_dask(directory, "1"), scaling.run_driver(directory)
    assert local["digest"] == dask["digest"]
    assert len(dask["tasks"]) == len(scaling.members()) * (scaling.FOLDS + 1)
    assert 0 < sum(dask["tasks"].values()) < dask["train"] * 1.1
    assert min(*driver.values(), dask["empty"], dask["processors"], *dask["received"].values()) > 0
    assert workers.fits_of(dask["tasks"]).shape == (1, len(scaling.members()), scaling.FOLDS + 1)
    tree = scaling.run_tree(directory)
    assert set(tree) == {"binning", "fold", "final"}
    assert tree["binning"] > 0


def test_a_replay_does_each_job_once(tmp_path: Path) -> None:
    scaling.set_up(tmp_path / "data", full_size.Size(60, 12, 20, 20, 20, 10))
    done: list[int] = []

    def call(data: Data, resources: Resources) -> int:
        done.append(1)
        return len(done)

    with scaling.opened(str(tmp_path / "data")) as (data, resources):
        job, replay = Job("a job", call, data.plan.train, 0, 1), scaling.Replay()
        assert [replay.run([job], data, resources, 1, UNCOUNTED, unheard) for _ in range(3)] == [[1]] * 3
        assert HERE.run([job], data, resources, 1, UNCOUNTED, unheard) == [2]
    assert len(replay.asked) == 3


def test_what_is_measured_is_kept_with_its_machine() -> None:
    assert MEASURED["machine"]["cores"] == 2
    assert set(MEASURED["runs"]) == {"local", "1", "2"}
    assert measure.ROOT / "benchmarks" / "scaling.json" == scaling.RESULTS
