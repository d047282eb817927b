"""The command line: help, errors, and the checkout in which a command runs."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from closure import ROOT
from workspace import COMMANDS, command

from erawise import __main__
from erawise.commands import menu
from erawise.history import readiness
from erawise.report import gathering
from erawise.running import errors

HEAVY = {"numpy", "pandas", "pyarrow", "pydantic", "ruamel", "dvc", "numba", "requests", "stages"}
INSTALLED = [sys.executable, "-c", "from erawise.__main__ import main; main()"]
"""The console script of an environment in which this checkout is installed."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a checkout without code the current directory."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data/local").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(directory: Path, program: list[str], *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run([*program, *words], cwd=directory, env=environment, capture_output=True, text=True, check=False)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the output of a command as one line."""
    command(*words)
    return " ".join(capsys.readouterr().out.split())


# ---- help


def test_the_menu_has_every_command_in_its_group(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = said(capsys, "--help")
    assert text == said(capsys), "without a command there is help, outside of a checkout too"
    places = [
        text.index(part)
        for title, commands in menu.COMMANDS.items()
        for part in (f"{title}: ", *(f"{name}: " for name in sorted(commands)))
    ]
    assert places == sorted(places)
    own = {path.stem for path in (ROOT / "erawise/commands").glob("*.py")}
    assert own - set(COMMANDS) == {"__init__", "menu", "checkout", "arguments"}
    assert set(COMMANDS) < own


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example_that_works_and_its_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, name, "--help")
    line = next(commands[name] for commands in menu.COMMANDS.values() if name in commands)
    assert f"] {line} " in text or f"{name} {line} " in text or f"{line} " in text.partition(f"erawise {name}")[2]
    [example] = re.findall(rf"Example: erawise ({name}.*?)(?: &&.*)? Exit codes: ", text)
    menu._app(name).parse_args(example.split(), exit_on_error=False, print_error=False)
    codes = [int(code) for code in re.findall(r"• (\d+): \w", text)]
    assert codes == sorted(codes)
    assert {0, 1, 2} <= set(codes) <= {0, 1, 2, 3, 4, 5, 6, 75}


def test_help_imports_nothing_that_a_command_needs() -> None:
    code = f"import sys; sys.argv = ['erawise', '--help']; from erawise.__main__ import main; main(); print({HEAVY} & set(sys.modules))"
    done = ran(ROOT, [sys.executable, "-c", code])
    assert done.stdout.splitlines()[-1] == "set()", done.stdout + done.stderr


def test_the_module_and_the_script_are_the_same_command() -> None:
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert script == {"erawise": f"{__main__.__name__}:{__main__.main.__name__}"}
    module, installed = (ran(ROOT, program, "check", "--help") for program in ([sys.executable, "-m", "erawise"], INSTALLED))
    assert module.stdout == installed.stdout
    assert module.stdout.startswith("Usage: erawise check\n")


def test_a_shell_can_complete_commands_and_options() -> None:
    script = menu._app("").generate_completion(shell="bash")
    assert all(word in script for word in (*COMMANDS, "--dry-run", "validation"))


# ---- errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sumbit", 'Unknown command "sumbit". Did you mean "submit"?'),
        ("show --everything", "Unknown option: --everything."),
        ("show more", "Unused Tokens: ['more']."),
        ("submit --round 0", 'Invalid value "0" for --round. Must be >= 1.'),
        ("submit --wait -1", 'Invalid value "-1.0" for --wait. Expected a number of minutes, 0 or more.'),
        ("submit --wait nan", "Expected a number of minutes, 0 or more."),
        ("compare --seed 1.5", "Invalid value for --seed: expected a whole number (it is '1.5')."),
        ("compare --seed -1", 'Invalid value "-1" for --seed. Must be >= 0.'),
        ("canary --eras 0", 'Invalid value "0" for --eras. Must be >= 1.'),
        ("canary --rows 1.5", "expected a whole number (it is '1.5')."),
        ("webhook --port 99999", 'Invalid value "99999" for --port. Must be <= 65535.'),
        ("payout --scores test", 'Invalid value "test" for --scores. Choose from: "validation", "cv", "live".'),
        ("diagnostics", 'Command "diagnostics" parameter MODEL requires an argument.'),
        ("remote mend", 'Invalid value "mend" for ACTION. Choose from: "check".'),
        ("upload --send a --no-check", "--no-check and --send exclude each other"),
    ],
)
def test_a_wrong_command_line_is_one_line(words: str, message: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command(*words.split())
    assert ended.value.code == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_an_error_is_red_on_a_terminal_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, expected in (("1", b"error: "), ("", b"\x1b[31merror:\x1b[0m ")):
        monkeypatch.setenv("NO_COLOR", variable)
        terminal, end = pty.openpty()
        with monkeypatch.context() as patch, os.fdopen(end, "w") as stream:
            patch.setattr(sys, "stderr", stream)
            with pytest.raises(SystemExit, match="1"):
                command("check")
        assert os.read(terminal, 1000).startswith(expected)
        os.close(terminal)
    with pytest.raises(SystemExit, match="1"):
        command("check")
    assert capsys.readouterr().err.startswith("error: ")


def test_a_closed_pipe_ends_quietly() -> None:
    line = 'set -o pipefail; "$0" -m erawise --help | head -1'
    done = ran(ROOT, ["bash", "-c", line, sys.executable])
    assert done.returncode in (0, errors.CLOSED)
    assert (done.stdout, done.stderr) == ("Usage: erawise COMMAND\n", "")


def test_ctrl_c_ends_a_command_with_a_line(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(readiness, "check", stopped)
    with pytest.raises(SystemExit) as ended:
        command("check")
    assert ended.value.code == errors.INTERRUPTED
    assert capsys.readouterr().err == "error: stopped by hand\n"


def test_ctrl_c_ends_the_webhook(checkout: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ERAWISE_WEBHOOK_TOKEN": "0123456789abcdef"}
    words = [sys.executable, "-m", "erawise", "webhook", "--port", "0"]
    with subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a command in the background of a shell ignores it
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("listening on 127.0.0.1:")
        run.send_signal(signal.SIGINT)
        assert run.communicate() == ("stopped\n", "")
    assert run.returncode == 0


# ---- the checkout


def test_a_command_finds_the_top_from_a_directory_inside(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = checkout / "data/local"
    monkeypatch.chdir(inside)
    assert said(capsys, "check").startswith("params.yaml: all is well: ")
    monkeypatch.setattr(gathering, "write", lambda out, quiet: print(Path.cwd(), out))
    monkeypatch.chdir(inside)
    assert said(capsys, "report") == f"{checkout} report.html"
    monkeypatch.chdir(inside)
    assert said(capsys, "report", "--out", "mine.html") == f"{checkout} {inside / 'mine.html'}"


def test_a_page_that_shows_the_run_is_not_written_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gathering, "write", lambda out, quiet: print("written"))
    page = checkout / "report.html"
    assert said(capsys, "report", "--if-new") == "written"
    page.touch()
    assert said(capsys, "report", "--if-new") == "report: report.html already shows this run"
    assert said(capsys, "report") == "written"
    (checkout / "metrics").mkdir()
    for name in ("metrics/cv.json", "dvc.lock", "ledger.jsonl", "params.yaml"):
        os.utime(page, ns=(time.time_ns(), time.time_ns()))
        newer = checkout / name
        newer.touch()
        os.utime(newer, ns=(time.time_ns() + 10**9, time.time_ns() + 10**9))
        assert said(capsys, "report", "--if-new") == "written", name
        os.utime(newer, ns=(0, 0))


def test_outside_of_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        command("check")
    expected = f"error: {tmp_path}: no checkout of the pipeline, there is no params.yaml here or above; change to a directory of one\n"
    assert capsys.readouterr().err == expected


def test_another_checkout_is_refused_with_both_paths_and_runs_its_own_code(checkout: Path, commands: Path) -> None:
    for package in ("erawise", "stages"):
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = checkout / "erawise/history/readiness.py"
    path.write_text(path.read_text().replace("all is well", "this is the clone"))
    for directory in (checkout, checkout / "data"):
        refused = ran(directory, INSTALLED, "check", PYTHONSAFEPATH="1")
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"error: this checkout has its own code, {checkout / 'erawise'}, and the command that was called ")
        assert f"is from {ROOT / 'erawise'}; " in refused.stderr
        assert refused.stderr.count("\n") == 1
    own = ran(checkout, [str(commands / "python"), "-m", "erawise"], "check", PYTHONDONTWRITEBYTECODE="1")
    assert "params.yaml: this is the clone: " in own.stdout, own.stderr
