"""Fits on workers of Dask: the same bits as on one machine, also if workers die or are missing, and nothing is left behind."""

import logging
import os
import pickle
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import dask
import forks
import pytest
import small
from closure import ROOT
from distributed import CancelledError, Client, LocalCluster
from farm import Farm, farm
from panels import matrix_of
from ruamel.yaml import YAML
from waiting import until
from workspace import Workspace

from erawise import params
from erawise.cluster import connection, data_location, dispatch, environment
from erawise.models.shared.protocol import GIB, LIBRARY_BYTES, Resources, ignore
from erawise.running.errors import InputError, Unavailable
from erawise.running.progress import UNCOUNTED
from erawise.training import inputs
from erawise.training.jobs import Job, TrainingData

cloudpickle.register_pickle_by_value(sys.modules[__name__])

KINDS = ("logistic", "ridge", "lightgbm", "random_forest", "neural_network")
OUTS = ("models", "curves", "predictions/models")
Given = tuple[dispatch.Cluster, TrainingData, Resources]
"""Workers, and the inputs of a job on them."""


def content(directory: Path, model: str, *names: str) -> dict[str, bytes]:
    """Read the bytes that some stages have written for a model."""
    places = [directory / "data" / name for name in names]
    paths = [path for place in places for path in sorted(place.rglob("*")) if path.is_file() and model in path.as_posix()]
    assert paths
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def use_workers(address: str | None, workers: int = 2) -> Callable[[Any], None]:
    """Return a change of params.yaml to workers of Dask; without an address, `workers` of them are started here."""
    return lambda found: found["execution"].update(engine="dask", scheduler=address, workers=workers)


def endlessly(found: Any) -> None:
    """Change params.yaml to fits of LightGBM that don't end by themselves."""
    found["models"]["lightgbm"].update(trees=10_000_000, early_stopping=None)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Start a scheduler with two workers in processes of their own. Only one has room for networks: to load TensorFlow takes long."""
    with farm(tmp_path_factory.mktemp("farm")) as found:
        found.work()
        found.work(memory="memory=5e8")
        found.wait_for(2)
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Farm]:
    """Start a scheduler in this process, which is quick; workers without a watching process can be added."""
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs=logging.CRITICAL) as scheduler:
        found = Farm(scheduler.scheduler_address, tmp_path)
        yield found
        found.stop()


@pytest.fixture
def kinds(workspace: Workspace) -> Workspace:
    """Make a workspace with a small model of every kind, one of them a blend."""
    original = YAML(typ="safe").load((ROOT / "params.yaml").read_text())["models"]

    def change(found: Any) -> None:
        found["models"] = original
        for name, value in small.CHANGES.items():
            if name.startswith("models."):
                small.change(found, name, value)
        del found["models"]["lightgbm"]["seed"]
        found["models"]["lightgbm"]["seeds"] = [1, 2]
        found["tuning"].update(models=[])

    workspace.change(change)
    return workspace


def test_every_kind_of_model_is_what_one_machine_makes_bit_by_bit(kinds: Workspace, two: Farm) -> None:
    stages = [*(f"train {kind}" for kind in KINDS), "refit lightgbm"]
    kinds.run("tune", *stages)
    before = {kind: content(kinds.directory, kind, *OUTS) for kind in KINDS} | {"refit": content(kinds.directory, "lightgbm", "final")}
    shutil.rmtree(kinds.directory / "data/scratch", ignore_errors=True)
    shutil.rmtree(kinds.directory / "data/final/lightgbm")
    kinds.change(use_workers(two.address))
    kinds.run(*stages)
    after = {kind: content(kinds.directory, kind, *OUTS) for kind in KINDS} | {"refit": content(kinds.directory, "lightgbm", "final")}
    assert after == before


@pytest.mark.parametrize(("method", "model"), [("random", "lightgbm"), ("tpe", "ridge")])
def test_a_search_finds_what_one_machine_finds(workspace: Workspace, two: Farm, method: str, model: str) -> None:
    workspace.change(lambda found: found["tuning"].update(models=[model], method=method, trials=3, batch=2))
    workspace.run("tune")
    before = content(workspace.directory, model, "tuning")
    shutil.rmtree(workspace.directory / "data/studies")
    (workspace.directory / "data/tuning/_searched.json").unlink()
    workspace.change(use_workers(two.address))
    workspace.run("tune")
    assert content(workspace.directory, model, "tuning") == before


def test_workers_are_started_here_where_no_scheduler_is_named(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    workspace.run("train ridge")
    before = content(workspace.directory, "ridge", *OUTS)
    workspace.change(use_workers(None, workers=1))
    workspace.run("train ridge")
    assert content(workspace.directory, "ridge", *OUTS) == before
    assert "ridge: 1 worker of Dask, the dashboard is at http://127.0.0.1:" in capfd.readouterr().out


def test_workers_that_a_user_starts_give_the_same(workspace: Workspace, own: Farm) -> None:
    """Start two workers as docs/machines.md does: no fork, each in the environment that Dask gives it before packages are loaded."""
    workspace.run("train ridge")
    before = content(workspace.directory, "ridge", *OUTS)
    own.work("--nworkers", "2", forked=False)
    own.wait_for(2)
    workspace.change(use_workers(own.address))
    workspace.run("train ridge")
    assert content(workspace.directory, "ridge", *OUTS) == before


def test_a_worker_that_dies_is_replaced_and_the_result_is_the_same(
    workspace: Workspace, two: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace.run("train lightgbm")
    before = content(workspace.directory, "lightgbm", *OUTS)
    workspace.change(use_workers(two.address))
    died = tmp_path / "died"
    monkeypatch.setattr(dispatch, "tasks", SimpleNamespace(work=deadly(died)))
    workspace.run("train lightgbm")
    assert died.exists()
    assert content(workspace.directory, "lightgbm", *OUTS) == before
    assert "died; it had fold" in capfd.readouterr().out
    two.wait_for(2)


def deadly(died: Path) -> Callable[[bytes], object]:
    """Return a task that kills its worker during the third tree of a fit, unless another one was killed so."""

    def work(payload: bytes) -> object:
        from erawise.cluster import tasks

        location, job, terms = pickle.loads(payload)

        def call(data: TrainingData, resources: Resources) -> Any:
            numbers = count(1)

            def step() -> None:
                if next(numbers) == 3 and not died.exists():
                    died.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                resources.step()

            return job.call(data, replace(resources, step=step))

        return tasks.work(cloudpickle.dumps((location, replace(job, call=call), terms)))

    return work


def _busy(dask_worker: Any) -> tuple[int, bool]:
    """Return the process of a worker, and whether it runs a task, wanted or not."""
    return os.getpid(), bool(dask_worker.active_threads)


def test_a_job_on_which_workers_keep_dying_fails_by_name_and_with_their_last_log_line(here: Given) -> None:
    found, data, resources = here
    with pytest.raises(InputError, match=r"^fold 7: 2 workers died while .* \(Worker process \d+ was killed by signal 9\)"):
        found.run([job(_die, what="fold 7")], data, resources, 1, UNCOUNTED, ignore)
    assert found.run([job(_pid)], data, resources, 1, UNCOUNTED, ignore) != [os.getpid()], "the others are still there"
    found.client.wait_for_workers(2, timeout=60)


def _die(data: TrainingData, resources: Resources) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _pid(data: TrainingData, resources: Resources) -> int:
    return os.getpid()


def _refuse(data: TrainingData, resources: Resources) -> None:
    raise InputError("target 'x' has no value")


def _fail(data: TrainingData, resources: Resources) -> None:
    raise ZeroDivisionError("by hand")


def _tell(data: TrainingData, resources: Resources) -> int:
    for number in range(1, 4):
        resources.log(number, number / 10)
        resources.step()
    return resources.threads


def job(call: Callable[[TrainingData, Resources], Any], what: str = "the job", needed: int = 0) -> Job:
    return Job(what, call, needed, 3)


class engine:  # equals the object that it stands for
    """Start workers on the data of a workspace, or use a scheduler's workers."""

    def __init__(self, workspace: Workspace, scheduler: str | None = None, memory: int = 8 * GIB) -> None:
        self._workspace, self._scheduler, self._memory = workspace, scheduler, memory
        self.said: list[str] = []

    def __enter__(self) -> Given:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self._workspace.directory)
            p = params.load(Path("params.yaml"))
            source = inputs.source_of(p.models["ridge"], p.data.target, live=True)
            resources = Resources(1, self._memory, Path("data/scratch"), notify=self.said.append)
            self._engine = connection.engine(data_location.survey(source), self._scheduler, 2, resources)
            return self._engine.__enter__(), source.around(source.panel()), resources

    def __exit__(self, *error: Any) -> None:
        self._engine.__exit__(*error)


@pytest.fixture(scope="module")
def here(finished: Workspace) -> Iterator[Given]:
    """Start two workers here, with a GiB each, on the finished workspace; a job that kills two of them is given up."""
    forks.server()
    settings = {"scheduler.allowed-failures": 1, "worker.multiprocessing-method": "forkserver", "worker.profile.enabled": False}
    with (
        dask.config.set({f"distributed.{name}": value for name, value in settings.items()}),
        engine(finished, memory=2 * GIB) as found,
    ):
        yield found
        processes = found[0].client.run(os.getpid).values()
    assert len(processes) == 2
    until(lambda: not any(map(lives, processes)), 20)


def test_rounds_and_steps_come_back_and_errors_say_what_failed(workspace: Workspace, two: Farm) -> None:
    heard: list[tuple[int, int, float]] = []
    with engine(workspace, two.address) as (found, data, resources):
        threads = found.run([job(_tell), job(_tell)], data, resources, 1, UNCOUNTED, lambda *messages: heard.append(messages))
        assert threads == [1, 1]
        assert heard == [(k, number, number / 10) for k in (0, 1) for number in (1, 2, 3)]
        with pytest.raises(InputError, match=r"^fold 2: target 'x' has no value$"):
            found.run([job(_pid), job(_refuse, "fold 2")], data, resources, 1, UNCOUNTED, ignore)
        with pytest.raises(ZeroDivisionError, match="by hand"):
            found.run([job(_fail)], data, resources, 1, UNCOUNTED, ignore)


def test_workers_are_never_given_more_than_their_memory(here: Given) -> None:
    found, data, resources = here
    with pytest.raises(InputError, match=r"^the fit needs 1\.\d\d GiB and the worker with most memory has 1\.00 GiB; start fewer"):
        found.run([job(_pid, "the fit", GIB)], data, resources, 1, UNCOUNTED, ignore)
    most = GIB - LIBRARY_BYTES - 10 * 2**20
    spans = found.run([job(_span, needed=most) for _ in range(4)], data, resources, 1, UNCOUNTED, ignore)
    for pid in {span[0] for span in spans}:
        own = sorted(span[1:] for span in spans if span[0] == pid)
        assert all(before[1] <= after[0] for before, after in pairwise(own))


def _span(data: TrainingData, resources: Resources) -> tuple[int, float, float]:
    start = time.time()
    time.sleep(0.2)
    return os.getpid(), start, time.time()


class Stage:
    """A stage in its own process; it is killed at the end of the block if it still runs."""

    def __init__(self, workspace: Workspace, *command: str) -> None:
        self._log = workspace.directory / "log"
        self.process = forks.start(command, workspace.directory, self._log, os.environ | {"PYTHONPATH": str(ROOT)})

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.join()

    def said(self) -> str:
        """Return its output until now."""
        return self._log.read_text() if self._log.exists() else ""

    def stop(self, how: signal.Signals) -> str:
        """Send it a signal, wait for its end, at most a minute, and return its whole output."""
        assert self.process.pid
        os.kill(self.process.pid, how)
        self.process.join(60)
        assert self.process.exitcode is not None, self.said()
        return self.said()


@contextmanager
def once(sign: Callable[[], bool], act: Callable[[], None]) -> Iterator[None]:
    """Run an action in another thread as soon as there is a sign, which must come within a minute, during the block."""
    came = []

    def wait() -> None:
        until(sign)
        came.append(True)
        act()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        waiting.join(90)
        assert came == [True], "no job has begun"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stage_that_is_stopped_leaves_no_task_behind(workspace: Workspace, two: Farm, how: signal.Signals) -> None:
    workspace.change(endlessly)
    workspace.change(use_workers(two.address))
    with Client(two.address) as client, Stage(workspace, "stages.train", "lightgbm") as stage:
        until(lambda: any(works for _, works in client.run(_busy).values()), pause=0.1, said=stage.said)
        output = stage.stop(how)
        until(lambda: not any(works for _, works in client.run(_busy).values()), 20, pause=0.1, said=stage.said)
        assert not any(client.processing().values())
    if how == signal.SIGINT:
        assert stage.process.exitcode == 130
        assert output.endswith("error: stopped by hand\n")
        assert not list((workspace.directory / "data").rglob("*.partial"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_worker_that_was_started_here_ends_with_the_stage(workspace: Workspace, how: signal.Signals) -> None:
    workspace.change(endlessly)
    workspace.change(use_workers(None, workers=1))
    with Stage(workspace, "stages.train", "lightgbm") as stage:
        until(lambda: "1 worker of Dask" in stage.said(), said=stage.said)
        family = children(stage.process.pid)
        assert family
        output = stage.stop(how)
    until(lambda: not any(map(lives, family)), 20)
    if how == signal.SIGINT:
        assert output.endswith("error: stopped by hand\n")
        assert "Traceback" not in output


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def children(pid: int | None) -> list[int]:
    found = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return found + [below for child in found for below in children(child)]


def test_a_scheduler_that_is_not_there_is_one_clear_error(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1)
    workspace.change(use_workers("tcp://127.0.0.1:9"))
    assert workspace.ended("train ridge") == Unavailable.code
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: models.ridge: execution.scheduler: tcp://127.0.0.1:9 doesn't answer (")
    assert "start one by `python -m dask scheduler` at the top of a checkout" in error


def test_an_address_that_is_none_is_refused_with_the_params(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.change(use_workers("10.0.0.5:8786"))
    assert "execution.scheduler: '10.0.0.5:8786' isn't an address of a scheduler" in workspace.failure("train ridge", capsys)


def test_what_workers_lack_is_named(workspace: Workspace, own: Farm, tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(InputError) as caught, engine(workspace, own.address):
            pass
        return str(caught.value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "CONNECT_SECONDS", 1)
        assert refused() == f"{own.address}: the scheduler has no worker; start some, see docs/machines.md"
    process = own.work("--no-nanny", memory="")
    own.wait_for(1)
    assert "doesn't say how much memory it has; start it with `--resources memory=8e9`" in refused()
    own.stop(process)
    until(lambda: not workers(own.address), pause=0.1)
    (tmp_path / "erawise").mkdir()
    (tmp_path / "erawise/__init__.py").touch()  # it hides an installed one
    own.work("--no-nanny", at=tmp_path)
    own.wait_for(1)
    assert re.search(
        r"a worker can't load this library \(.*No module named 'erawise\..*\); start the scheduler and every worker anew",
        refused(),
    )


def workers(address: str) -> dict[str, Any]:
    with Client(address) as client:
        return dict(client.scheduler_info(n_workers=-1)["workers"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": environment.describe().versions | {"numpy": "1.0"}}, r"has numpy \d\S+, and this process 1\.0; start the scheduler"),
        ({"versions": {"python": "3.99.0"}}, r"has \w+ \S+, and this process has none; start"),
        ({"code": "another"}, "runs another version of erawise than this process; start the scheduler"),
    ],
)
def test_workers_of_other_versions_are_named(
    workspace: Workspace, two: Farm, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    other = replace(environment.describe(), **changes)
    monkeypatch.setattr(environment, "describe_own", lambda: other)
    with pytest.raises(InputError, match=f"the worker tcp://127.0.0.1:[0-9]+ {message}"), engine(workspace, two.address):
        pass


def test_a_worker_that_comes_later_is_checked_too(workspace: Workspace, two: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine(workspace, two.address) as (found, data, resources):
        monkeypatch.setattr(environment, "describe_own", lambda: replace(environment.describe(), code="another"))
        with pytest.raises(InputError, match=r"the job: the worker tcp://.* runs another version of erawise"):
            found.run([job(_pid)], data, resources, 1, UNCOUNTED, ignore)


def test_machines_of_another_cpu_are_told(workspace: Workspace, two: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(environment.describe(), cpu="another")
    monkeypatch.setattr(environment, "describe_own", lambda: other)
    given = engine(workspace, two.address)
    with given:
        assert sum("another kind of CPU" in line for line in given.said) == 2


def test_no_matrix_is_sent(workspace: Workspace, two: Farm) -> None:
    with engine(workspace, two.address) as (found, data, resources):
        sent = len(cloudpickle.dumps((found.location, job(_pid), resources.scratch)))
        assert sent < 10_000 < matrix_of(data.panel).nbytes
        assert pickle.loads(pickle.dumps(found.location)) == found.location


def test_a_job_that_waits_for_a_worker_that_is_gone_ends_with_both_numbers(
    workspace: Workspace, own: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "WORKERS_SECONDS", 1)
    own.work("--no-nanny", memory="memory=5e8")
    large = own.work("--no-nanny", memory="memory=8e9")
    own.wait_for(2)
    with engine(workspace, own.address) as (found, data, resources):
        lacking = r"^the fit needs 1\.\d\d GiB and the worker with most memory has 0\.47 GiB; start fewer"
        with pytest.raises(InputError, match=lacking), once(lambda: bool(found._busy), partial(own.stop, large)):
            found.run([job(_sleep, "the fit", GIB)], data, resources, 1, UNCOUNTED, ignore)


def _sleep(data: TrainingData, resources: Resources) -> None:
    time.sleep(60)


def test_without_a_nanny_it_is_said_what_goes_on(workspace: Workspace, own: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "GRACE_SECONDS", 1)
    own.work("--no-nanny")
    own.wait_for(1)
    given = engine(workspace, own.address)
    with given as (found, data, resources), pytest.raises(CancelledError), once(lambda: bool(found._busy), found.stop):
        found.run([job(_sleep)], data, resources, 1, UNCOUNTED, ignore)
    assert sum("goes on with its task to the end" in line for line in given.said) == 1


def test_a_worker_with_a_nanny_is_started_anew_if_its_task_does_not_end(
    workspace: Workspace, two: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "GRACE_SECONDS", 1)
    with Client(two.address) as client:
        before = set(client.run(os.getpid).values())
        with (
            engine(workspace, two.address) as (found, data, resources),
            pytest.raises(CancelledError),
            once(lambda: bool(found._busy), found.stop),
        ):
            found.run([job(_sleep)], data, resources, 1, UNCOUNTED, ignore)
        two.wait_for(2)
        assert len(before & set(client.run(os.getpid).values())) == 1


def test_a_scheduler_that_is_gone_is_one_clear_error(workspace: Workspace, tmp_path: Path) -> None:
    with farm(tmp_path / "farm") as other:
        other.work("--no-nanny")
        other.wait_for(1)
        with (
            pytest.raises(Unavailable, match="the scheduler of Dask is gone"),
            engine(workspace, other.address) as (found, data, resources),
            once(lambda: bool(found._busy), partial(other.stop, other.processes[0])),
        ):
            found.run([job(_sleep)], data, resources, 1, UNCOUNTED, ignore)
