"""The output of a run: a bar on a terminal, plain lines in a log, nothing if quiet, and a true last line and record."""

import importlib
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest
import small_disk
from closure import ROOT
from ruamel.yaml import YAML
from workspace import WHOLE, Workspace

from erawise.base import files
from erawise.blend import neutralization
from erawise.charts import figures, marks
from erawise.running import progress, runner
from erawise.running.progress import SILENT, ConsoleProgress, Progress, StdoutAboveBar, StepCounter, duration

UNITS: dict[str, set[str]] = {
    "download": {"bytes"},
    "preprocess": {"rows"},
    "explore": {"eras"},
    "select_features": {"trees"},
    "tune": {"folds"},
    "explain ridge": {"rows", "eras"},
    "explain lightgbm": {"rows", "eras"},
    "train ridge": {"fits"},
    "train lightgbm": {"trees"},
    "refit ridge": {"fits"},
    "refit lightgbm": {"trees"},
    "ensemble": {"fits"},
    "neutralize": {"eras"},
    "evaluate": {"eras"},
    "plot": {"pictures"},
}
"""The units that each long stage counts."""

QUICK = ("check", "split", "copy_scores")


def record_of(stage: str) -> str:
    """Return the name of the record of a stage of the workspace."""
    script, _, model = stage.partition(" ")
    return f"{script}@{model}.json" if model else f"{script}.json"


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Told(StepCounter):
    """A record of counted work."""

    total: int
    unit: str
    at: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def done(self, count: int = 1) -> None:
        with self.lock:
            self.at += count

    def expect(self, more: int) -> None:
        with self.lock:
            self.total += more


class Hearing(Progress):
    """A progress that records all counts."""

    def __init__(self) -> None:
        self.counts: list[Told] = []

    @contextmanager
    def counting(self, total: int | None, unit: str, what: str = "", done: int = 0, *, at_most: bool = False) -> Iterator[StepCounter]:
        assert total is not None
        self.counts.append(Told(total, unit, done))
        yield self.counts[-1]


class Terminal:
    """A pseudo-terminal of unknown width, and everything that was written to it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.written = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                found = os.read(self.master, 2**16)
            except OSError:  # Linux raises this once nobody has the terminal open any more
                return
            if not found:
                return
            self.written += found

    def close(self) -> str:
        """Close the terminal, and return everything that was written."""
        os.close(self.slave)
        self._reader.join(timeout=60)
        os.close(self.master)
        return self.written.decode()


def on_screen(written: str) -> list[str]:
    """Return the lines on a terminal at the end: after a carriage return a line is written over from its start."""
    lines = []
    for line in written.replace("\r\n", "\n").split("\n"):
        shown = ""
        for piece in line.split("\r"):
            shown = piece + shown[len(piece) :]
        lines.append(shown.rstrip())
    return [line for line in lines if line]


@contextmanager
def terminal() -> Iterator[tuple[TextIO, Callable[[], str]]]:
    """Open a stream to a terminal; return it with a function that is called at the end and returns everything written."""
    own = Terminal()
    with os.fdopen(os.dup(own.slave), "w", encoding="utf-8") as stream:

        def ended() -> str:
            stream.close()
            return own.close()

        yield stream, ended


# ---- in a log


def test_short_work_has_no_line_and_long_work_a_line_now_and_then_and_a_last_one() -> None:
    clock, log = Clock(), io.StringIO()
    shown = ConsoleProgress("evaluate", log, clock)
    with shown.counting(40, "eras", "cv") as count:
        for _ in range(40):
            clock.time += 0.12
            count.done()
    assert log.getvalue() == ""
    with shown.counting(60, "eras", "validation") as count:
        for _ in range(60):
            clock.time += 0.5
            count.done()
    assert log.getvalue().splitlines() == [
        "evaluate, validation: 1 of 60 eras (1 %), 0.5 s, about 30 s left",
        "evaluate, validation: 21 of 60 eras (35 %), 10 s, about 20 s left",
        "evaluate, validation: 41 of 60 eras (68 %), 20 s, about 9.5 s left",
        "evaluate, validation: 60 of 60 eras (100 %), 30 s",
    ]


def test_the_lines_of_a_long_night_get_rarer() -> None:
    clock, log = Clock(), io.StringIO()
    with ConsoleProgress("train ridge", log, clock).counting(36_000, "fits") as count:
        for _ in range(36_000):
            clock.time += 1
            count.done()
    lines = log.getvalue().splitlines()
    assert 40 < len(lines) < 90
    assert lines[-1] == "train ridge: 36,000 of 36,000 fits (100 %), 10 h 0 min"


def test_what_may_turn_out_to_be_less_has_no_time_left_and_ends_at_what_it_was() -> None:
    clock, log = Clock(), io.StringIO()
    with ConsoleProgress("train lightgbm", log, clock).counting(300, "trees", at_most=True) as count:
        for needed in (100, 20, 40):
            with count.share(100) as step:
                for _ in range(needed):
                    clock.time += 0.2
                    step()
    lines = log.getvalue().splitlines()
    assert lines[0] == "train lightgbm: 25 of at most 300 trees (8 %), 5.0 s"
    assert lines[-1] == "train lightgbm: 160 of 160 trees (100 %), 32 s"


def test_bytes_go_on_where_they_were_and_may_be_of_unknown_number() -> None:
    clock, log = Clock(), io.StringIO()
    shown = ConsoleProgress("download", log, clock)
    with shown.counting(300 * 2**20, "bytes", "v5.3/train.parquet", done=100 * 2**20) as count:
        clock.time += 10
        count.done(50 * 2**20)
    with shown.counting(None, "bytes", "v5.3/live.parquet") as count:
        clock.time += 100
        count.done(7 * 2**20)
        count.expect(5)
    assert log.getvalue().splitlines() == [
        "download, v5.3/train.parquet: 150 of 300 MiB (50 %), 10 s, about 30 s left",
        "download, v5.3/live.parquet: 7 MiB, 1 min 40 s",
    ]


def test_work_that_fails_has_no_last_line() -> None:
    clock, log = Clock(), io.StringIO()

    def work() -> None:
        with ConsoleProgress("evaluate", log, clock).counting(2, "eras") as count:
            clock.time += 10
            count.done()
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert log.getvalue() == "evaluate: 1 of 2 eras (50 %), 10 s, about 10 s left\n"


@pytest.mark.parametrize("on_terminal", [True, False])
def test_no_step_of_several_threads_is_lost(on_terminal: bool) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with terminal() as (stream, ended), ThreadPoolExecutor(4) as pool:
            clock, log = Clock(), io.StringIO()
            with ConsoleProgress("explore", stream if on_terminal else log, clock).counting(4_000, "eras") as count:
                clock.time += 10
                list(pool.map(lambda _: count.done(), range(4_000)))
            written = ended() if on_terminal else log.getvalue()
    finally:
        sys.setswitchinterval(before)
    wanted = "4000/4000 eras" if on_terminal else "4,000 of 4,000 eras (100 %)"
    assert wanted in written


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (3.14, "3.1 s"), (9.96, "10 s"), (59.7, "1 min 0 s"), (125, "2 min 5 s"), (4020, "1 h 7 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# ---- on a terminal


def test_a_bar_names_its_unit_reaches_the_end_and_goes() -> None:
    with terminal() as (stream, ended):
        with ConsoleProgress("evaluate", stream, Clock()).counting(7, "eras", "cv") as count:
            for _ in range(7):
                count.done()
        written = ended()
    assert re.search(r"\revaluate, cv: 100%\|█+\| 7/7 eras \[", written)
    assert on_screen(written) == []


def test_lines_that_are_printed_stand_above_the_bar() -> None:
    with terminal() as (stream, ended):
        above = StdoutAboveBar(stream, stream)
        with ConsoleProgress("tune ridge", stream, Clock()).counting(2, "folds") as count:
            print("as it is:", 0.5, file=above)
            count.done()
            print("trial 1\ntrial 2", file=above)
            count.done()
        print("the rest has no end", end="", file=above)
        above.rest()
        written = ended()
    assert on_screen(written) == ["as it is: 0.5", "trial 1", "trial 2", "the rest has no end"]
    assert re.search(r"tune ridge: +0%.*as it is.*tune ridge: +0%", written, re.DOTALL), "the bar is drawn again below a line"


def run_on_terminal(workspace: Workspace, *command: str) -> tuple[int, str]:
    """Run a command with both outputs on a terminal; return its exit code and output."""
    own = Terminal()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=workspace.directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=own.slave,
        stderr=own.slave,
        timeout=120,
        check=False,
    )
    return done.returncode, own.close()


def test_a_stage_on_a_terminal_shows_a_bar_and_leaves_its_lines(workspace: Workspace) -> None:
    code, written = run_on_terminal(workspace, "stages.neutralize")
    assert code == 0
    assert re.search(r"\rneutralize, riskiest: 100%\|█+\| 60/60 eras \[", written)
    assert re.search(r"\rneutralize: 100%\|█+\| 83/83 eras \[", written)
    first, second, last = on_screen(written)
    assert first == "neutralized to 5 features (riskiest), proportion 1.0"
    assert re.fullmatch(r"each fold has its own riskiest features, without its test eras: \d( to \d)? of them are the same", second)
    assert last.startswith("neutralize: wrote data/predictions/neutralized.parquet, data/neutralized_to.json; 3,320 rows, ")


# ---- every stage


def test_every_stage_counts_its_work_to_the_end_says_nothing_when_quiet_and_is_recorded(
    workspace: Workspace, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(runner.QUIET, "1")
    monkeypatch.setattr(figures, "write", lambda figure, path: files.write_json(figure.get_suptitle(), path))  # no layout, which takes long
    monkeypatch.setattr(marks, "lay_out", lambda figure: None)
    (workspace.directory / "data/tuning/_searched.json").unlink()
    for stage in WHOLE:
        heard = Hearing()
        monkeypatch.setattr(runner, "SILENT", heard)
        capfd.readouterr()
        workspace.run(stage)
        said = capfd.readouterr()
        assert (said.out, said.err) == ("", ""), stage
        assert {count.unit for count in heard.counts} == UNITS.get(stage, set()), stage
        assert all(0 < count.at == count.total for count in heard.counts), (stage, heard.counts)
        content = json.loads((workspace.directory / "data/runs" / record_of(stage)).read_text())
        assert content["quiet"] is True
    assert set(UNITS) | set(QUICK) == set(WHOLE)


def test_the_last_line_and_the_record_say_what_was_done(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    begun = datetime.now(UTC).replace(microsecond=0)
    rows = {"ensemble": len(workspace.predictions("ensemble")), "evaluate": (60 + 22) * 40, "split": (60 + 30) * 40, "check": None}
    for stage, wanted in rows.items():
        workspace.run(stage)
        lines = capsys.readouterr().out.splitlines()
        line = lines[-1]
        if stage == "evaluate":  # a command follows it, and says its own
            [line] = [line for line in lines if line.startswith("evaluate: wrote ")]
        content = json.loads((workspace.directory / "data/runs" / f"{stage}.json").read_text())
        assert set(content) == {"stage", "wrote", "rows", "seconds", "peak_bytes", "started", "versions", "cpus", "quiet"}
        assert (content["stage"], content["rows"], content["quiet"]) == (stage, wanted, False)
        assert all((workspace.directory / path).exists() for path in content["wrote"])
        assert datetime.fromisoformat(content["started"]) >= begun
        assert 2**26 < content["peak_bytes"] < 2**36
        assert 0 <= content["seconds"] < 60
        assert content["versions"]["numpy"] == np.__version__
        counted = "" if wanted is None else f"{wanted:,} rows, "
        peak = f"{content['peak_bytes'] / 2**30:.2f} GiB"
        assert line == f"{stage}: wrote {', '.join(content['wrote'])}; {counted}{duration(content['seconds'])}, {peak}"


def test_many_files_are_counted_in_the_last_line(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    done = runner.Done([Path("plots") / f"{number}.svg" for number in range(34)])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.directory)
        runner._run("plot", "plot", lambda _: done, quiet=False)
    assert capsys.readouterr().out.startswith("plot: wrote 34 files in plots; ")


def test_in_a_pipe_a_stage_writes_plain_lines_alone(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 0.0)
    monkeypatch.setattr(progress, "BETWEEN_LINES", 0.0)
    monkeypatch.setattr(progress, "SHARE_BETWEEN", 0.0)
    workspace.run("neutralize")
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 60 + 83
    assert said.err.splitlines()[-1].startswith("neutralize: 83 of 83 eras (100 %), ")
    assert not re.search(r"[^\n -~]", said.out + said.err)


def test_by_default_stages_in_a_pipe_end_before_they_have_anything_to_tell(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.run("split", "neutralize --quiet")
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[-1].startswith("split: wrote data/folds.json, data/released.parquet; ")


def test_zero_in_the_environment_is_not_quiet(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(runner.QUIET, "0")
    workspace.run("check")
    assert capsys.readouterr().out.startswith("check: wrote data/source.json, data/members.json; ")


@pytest.mark.parametrize("quiet", ["", " --quiet"])
def test_a_stage_that_fails_says_why_has_no_last_line_and_keeps_the_record_of_the_run_before(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], quiet: str
) -> None:
    before = {path: path.read_bytes() for path in (workspace.directory / "data/runs").iterdir()}
    assert len(before) == len(WHOLE)
    workspace.change(lambda content: content["neutralize"].update(features="x"))
    (workspace.directory / "data/folds.json").unlink()
    for stage in ("neutralize", "train ridge"):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            workspace.run(f"{stage}{quiet}")
        said = capsys.readouterr()
        assert said.err.startswith("error: ")
        assert "wrote" not in said.out
    assert {path: path.read_bytes() for path in (workspace.directory / "data/runs").iterdir()} == before


def test_a_record_that_is_cut_off_by_a_kill_leaves_the_old_one_whole(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from erawise.running import runner\n"
        "runner._record({'stage': 'split', 'run': 1}, pathlib.Path('split.json'))\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "runner._record({'stage': 'split', 'run': 2}, pathlib.Path('split.json'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "split.json").read_text()) == {"stage": "split", "run": 1}
    assert {re.sub(r"json\.\w+\.", "json.", path.name) for path in tmp_path.iterdir()} == {"split.json", ".split.json.partial"}


def test_work_is_no_failure_for_want_of_room_for_its_record(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from erawise.running import runner; sys.stderr = sys.stdout;"
        "runner._record({'stage': 'x' * 100_000}, Path('data/runs/x.json'))"
    )
    said = small_disk.run(tmp_path, code)
    assert said.startswith("warning: data/runs/x.json: cannot be written (No space left on device); ")
    assert said.endswith("; this run has no record\n")


def test_work_is_no_failure_for_want_of_a_record(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (workspace.directory / "data/runs").iterdir():
        path.unlink()
    (workspace.directory / "data/runs").rmdir()
    (workspace.directory / "data/runs").write_text("a file where the directory should be")
    workspace.run("split")
    said = capsys.readouterr()
    assert said.err.startswith("warning: data/runs/split.json: cannot be written (")
    assert said.out.splitlines()[-1].startswith("split: wrote ")


def test_the_records_of_models_that_are_gone_are_removed(workspace: Workspace) -> None:
    workspace.change(lambda content: content["tuning"].update(models=[]))
    workspace.change(lambda content: content["models"].pop("lightgbm"))
    workspace.change(lambda content: content["final"].update(refit=["ridge"]))
    workspace.run("check")
    left = {path.name for path in (workspace.directory / "data/runs").iterdir()}
    assert left == {record_of(stage) for stage in WHOLE if "lightgbm" not in stage}


def test_records_are_nothing_that_dvc_or_git_keeps() -> None:
    assert "data/runs" not in (ROOT / "dvc.yaml").read_text()
    ignored = subprocess.run(["git", "check-ignore", "-q", "data/runs/split.json"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def scripts() -> list[str]:
    """Return the names of all stages."""
    return list(YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"])


@pytest.mark.parametrize("script", scripts())
def test_help_says_what_a_stage_does_and_how_to_have_it_quiet(
    script: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    module: Any = importlib.import_module(f"stages.{script}")
    with pytest.raises(SystemExit, match="0"):
        module.main()
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m stages.{script} [-h] [--quiet]")
    assert len(text.split("\n\n")[1]) > 20
    assert "ERAWISE_QUIET=1" in text


def test_the_library_prints_nothing_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    era = np.repeat(np.arange(3), 20)
    neutralization.neutralize_eras(np.random.default_rng(0).normal(size=60), era, lambda number: np.arange(20.0)[:, None] ** 2, 1.0)
    with SILENT.counting(3, "eras") as count, count.share(3) as step:
        step()
    assert capfd.readouterr() == ("", "")
