"""The checks of a pull request: the workflow is sound, and its steps do the same here as on GitHub's machines."""

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from clones import DRAWN, Clone, linked, stages_run
from closure import ROOT
from ruamel.yaml import YAML

from erawise.history import review
from erawise.history.revisions import Revision
from erawise.running.errors import InputError

STEPS = ".ci/pull-request"
SCRIPTS = ("run", "browser", "actionlint", "pull-request")
ASIDE = ("refit", "explain", *DRAWN)
"""Stages that don't lead to scores; left out, so that the tests are quick."""
WORKFLOW = ROOT / ".github/workflows/pull-request.yml"
GH = """#!{python}
import json, os, pathlib, sys
state = pathlib.Path(os.environ["GH_STATE"])
comments = json.loads(state.read_text()) if state.exists() else []
assert os.environ["GH_TOKEN"] == "token"
assert sys.argv[1] == "api"
if os.environ.get("GH_FAILS_ON") in sys.argv:
    sys.exit(os.environ["GH_FAILS"])
if "--method" not in sys.argv:
    assert sys.argv[2:4] == ["--paginate", "repos/someone/erawise/issues/7/comments"], sys.argv
    assert 'startswith("<!-- erawise: pull request -->")' in sys.argv[-1] and '"github-actions[bot]"' in sys.argv[-1], sys.argv
    for number, body in enumerate(comments):
        if body.startswith("<!-- erawise: pull request -->"):
            print(number)
    sys.exit()
method, path, body = sys.argv[sys.argv.index("--method") + 1], sys.argv[-3], pathlib.Path(sys.argv[-1].removeprefix("body=@")).read_text()
if method == "POST":
    assert path == "repos/someone/erawise/issues/7/comments", path
    comments.append(body)
else:
    comments[int(path.removeprefix("repos/someone/erawise/issues/comments/"))] = body
state.write_text(json.dumps(comments))
"""
MAKE = """#!/bin/sh
echo "$1" >> {made}
if [ "$1" = lint ]; then exit 1; fi
echo "<testsuites><testsuite tests='9' failures='0' errors='0' skipped='2' time='120'/></testsuites>" > "${{PYTEST_ADDOPTS#--junitxml=}}"
"""


class Checked:
    """A checkout in which the steps run, as on GitHub's runner."""

    def __init__(self, repository: Clone, branch: str, base: Path, *, remote: Path | None = None) -> None:
        repository.run("git", "clone", "-q", "-b", branch, str(repository.directory), str(base / "checkout"))
        self.clone, self.found = Clone(base / "checkout", repository.commands), base / "found"
        self.variables = {"FOUND": str(self.found), "GITHUB_STEP_SUMMARY": str(base / "summary.md"), "BASE": "origin/main"}
        self.found.mkdir()
        (self.found / "cache").symlink_to(repository.directory / ".dvc" / "cache")
        if remote:
            self.clone.dvc("remote", "add", "--local", "-d", "store", str(remote))

    def step(self, name: str, variables: dict[str, str] | None = None, *, ends: int = 0) -> str:
        clean = {key: value for key, value in self.clone.environment().items() if not key.startswith(("AWS_", "GITHUB_", "GH_"))}
        environment = clean | self.variables | (variables or {})
        done = subprocess.run([STEPS, name], cwd=self.clone.directory, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == ends, f"{name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def body(self) -> str:
        self.step("report")
        text = (self.found / "body.md").read_text()
        assert Path(self.variables["GITHUB_STEP_SUMMARY"]).read_text().endswith(text)
        return text


@pytest.fixture(scope="session")
def repository(once: Callable[[str, Callable[[Path], object]], Path], finished_clone: Clone) -> Clone:
    """Make branches: main; topic, another setting with its results, both in the remote; stale, a setting without results. Read only."""

    def fill(base: Path) -> None:
        clone = linked(finished_clone, base / "repository")
        clone.drop(*ASIDE)
        clone.dvc("remote", "add", "--local", "-d", "store", str(clone.directory / ".git" / "remote"))
        assert not stages_run(clone.dvc("repro", "--dry"))
        clone.dvc("push", "-q", "data/scores")
        clone.run("git", "checkout", "-qb", "topic")
        clone.set("neutralize.proportion", 0.9)
        assert stages_run(clone.dvc("repro")) == {"neutralize", "evaluate", "copy_scores"}
        clone.commit("weaker")
        clone.dvc("push", "-q", "data/scores")
        clone.run("git", "checkout", "-qb", "stale")
        clone.set("neutralize.proportion", 0.2)
        clone.commit("weaker still, without its results")

    return Clone(once("pull_request", fill) / "repository", finished_clone.commands)


# ---- the workflow


def workflow() -> dict[str, Any]:
    return YAML(typ="safe").load(WORKFLOW.read_text(encoding="utf-8"))


def steps() -> list[dict[str, Any]]:
    return [step for job in workflow()["jobs"].values() for step in job["steps"]]


def test_actionlint_finds_nothing_and_would_find_a_mistake(tmp_path: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [ROOT / ".ci/actionlint"]
    done = subprocess.run([*command, WORKFLOW], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    spoiled = tmp_path / "spoiled.yml"
    spoiled.write_text(WORKFLOW.read_text().replace("run: .ci/pull-request gate", "run: echo ${{ github.event.pull_request.title }}"))
    done = subprocess.run([*command, spoiled], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "potentially untrusted" in done.stdout


def test_actionlint_that_cant_be_installed_is_an_error_and_no_pass(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    for name in ("actionlint", "actionlint.txt"):
        (tmp_path / ".ci" / name).write_bytes((ROOT / ".ci" / name).read_bytes())
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", tmp_path / ".ci/actionlint"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: actionlint can't be installed: ")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_bash_that_can_be_run(name: str) -> None:
    path = ROOT / ".ci" / name
    assert subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False).stderr == ""
    assert os.access(path, os.X_OK)


def test_every_step_is_a_script_of_the_repository_or_a_pinned_action_of_github() -> None:
    runs = [step["run"] for step in steps() if "run" in step]
    assert runs == [f"{STEPS} {name}" for name in ("setup", "gate", "fetch", "small", "lint", "test", "report", "post")]
    usage = subprocess.run([ROOT / STEPS], capture_output=True, text=True, check=False)
    assert usage.returncode == 2
    assert all(re.search(rf"\b{run.split()[1]}\b", usage.stderr) for run in runs)
    actions = re.findall(r"uses: (.*)", WORKFLOW.read_text())
    assert len(actions) == len(steps()) - len(runs)
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in actions)


def test_rights_and_secrets_are_those_that_a_step_needs() -> None:
    content = workflow()
    assert content["on"] == {"pull_request": None}
    assert content["permissions"] == {}
    assert {name: job["permissions"] for name, job in content["jobs"].items()} == {
        "check": {"contents": "read"},
        "comment": {"contents": "read", "pull-requests": "write"},
    }
    assert content["concurrency"]["cancel-in-progress"] is True
    check, comment = (content["jobs"][name] for name in ("check", "comment"))
    limits = {step["run"]: step["timeout-minutes"] for step in steps() if "timeout-minutes" in step}
    assert set(limits) == {f"{STEPS} {name}" for name in ("small", "test")}
    assert sum(limits.values()) < check["timeout-minutes"]
    assert comment["timeout-minutes"]
    assert comment["steps"][0]["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    secret = [step["run"] for step in steps() if "secrets." in json.dumps(step)]
    assert secret == [f"{STEPS} fetch"]
    assert all(step["with"]["persist-credentials"] is False for step in steps() if "checkout" in step.get("uses", ""))


# ---- the environment


@pytest.fixture
def install() -> Any:
    """Load `.ci/install.py` as a module."""
    spec = importlib.util.spec_from_file_location("install", ROOT / ".ci/install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_uv_is_pinned_and_does_what_pip_is_configured_for(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"uv==\d+\.\d+\.\d+\n", (ROOT / "requirements-setup.txt").read_text())
    configured = "\n".join(
        (
            ":env:.index-url='https://three.example/simple'",
            "download.index-url='https://none.example/simple'",
            "global.cert='/etc/certificates.crt'",
            r"global.extra-index-url='\nhttps://a.example/simple\nhttps://b.example/simple'",
            "global.find-links='/one /two'",
            "global.index-url='https://one.example/simple'",
            "global.trusted-host='one.example'",
            "install.index-url='https://two.example/simple'",
        )
    )
    found = install.surroundings(configured, {"SSL_CERT_FILE": "/mine.crt"})
    assert found == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_SYSTEM_CERTS": "true",
        "UV_DEFAULT_INDEX": "https://three.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_FIND_LINKS": "/one,/two",
        "UV_INSECURE_HOST": "one.example",
        "SSL_CERT_FILE": "/mine.crt",
    }
    assert "UV_DEFAULT_INDEX" not in install.surroundings(configured, {"UV_INDEX_URL": "https://mine.example/simple"})
    assert "UV_DEFAULT_INDEX" not in install.surroundings("", {})
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.example/simple")
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    monkeypatch.delenv("UV_INDEX_URL", raising=False)
    assert install.surroundings(install.configured(), os.environ)["UV_DEFAULT_INDEX"] == "https://own.example/simple"


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("", ""),
        ("requirements-setup.txt", "uv can't be installed, so pip installs some.txt, which takes longer\n"),
        ("uv", "uv ended with 9, so pip installs some.txt, which takes longer\n"),
    ],
)
def test_pip_installs_where_uv_cannot(
    install: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: str, said: str
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        ran.append(command)
        return subprocess.CompletedProcess(command, 9 if fails in command else 0, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert install.main(["some.txt"]) == 0
    assert capsys.readouterr().err == said
    packages, checkout = ran[-2:]
    assert packages[-2:] == ["-r", "some.txt"]
    assert checkout[-len(install.CHECKOUT) :] == install.CHECKOUT
    assert packages[2] == checkout[2] == ("pip" if fails else "uv")


def test_a_pip_that_is_too_old_is_refused(install: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "19.2.3")
    assert install.main(["some.txt"]) == 1
    assert re.fullmatch(r"error: pip 19\.2\.3 is too old .*; 21\.3 or later is needed: run `.*`\n", capsys.readouterr().err)


def test_a_python_without_venv_is_told_in_a_line_and_leaves_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) echo a traceback >&2; exit 1;; esac\n')
    python.chmod(0o755)
    done = subprocess.run(["make", "-s", f"PYTHON={python}", ".venv/bin/python"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode
    assert done.stderr.splitlines()[0] == f"{python} has no venv with pip; on Debian and Ubuntu: apt install python3-venv"
    assert not (tmp_path / ".venv").exists()


# ---- the steps


def test_whole_runs_are_compared_where_the_remote_has_their_scores(repository: Clone, tmp_path: Path) -> None:
    checked = Checked(repository, "topic", tmp_path, remote=repository.directory / ".git" / "remote")
    assert "up to date" in checked.step("gate")
    checked.step("fetch")
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "make").write_text(MAKE.format(made=tmp_path / "made"))
    (stub / "make").chmod(0o755)
    path = f"{stub}{os.pathsep}{checked.clone.environment()['PATH']}"
    checked.step("lint", {"PATH": path}, ends=1)
    checked.step("test", {"PATH": path})
    assert (tmp_path / "made").read_text().split() == ["lint", "test"]
    text = checked.body()
    base, head = (checked.clone.run("git", "rev-parse", name).strip() for name in ("origin/main", "HEAD"))
    assert text.startswith(f"{review.MARKER}\n### erawise: `{base[:8]}` → `{head[:8]}`\n")
    assert "| `dvc.lock` is current | ✅ yes |" in text
    assert "| lint | ❌ failed after 0 s |" in text
    assert "| small run | – not run |" in text
    assert "| tests | ✅ 7 passed, 2 skipped in 2 min |" in text
    assert "`neutralize.proportion`: `auto` → `0.9`" in text
    assert "#### Comparison\n" in text
    assert "CORR moves in 2 of 8 predictions." in text
    printed = checked.clone.erawise("compare", base, head)
    verdict, change = re.match(r"neutralized: (better|worse|can't tell), (\S+ \(.*?\))", printed).groups()  # type: ignore[union-attr]
    assert re.search(rf"cv, `neutralized`: CORR .* → .*, {re.escape(change)}: {verdict}", text)
    metrics = {name: json.loads(checked.clone.run("git", "show", f"{name}:metrics/cv.json")) for name in (base, head)}
    before, after = (metrics[name]["neutralized"]["fnc"]["mean"] for name in (base, head))
    assert f"| `metrics/cv.json` | `neutralized.fnc.mean` | `{before}` | `{after}` |" in text
    assert "ridge.corr.mean" not in text


def test_small_runs_are_compared_where_there_are_no_results(repository: Clone, tmp_path: Path) -> None:
    checked = Checked(repository, "stale", tmp_path)
    assert "dvc.lock is not current" in checked.step("gate", ends=1)
    assert checked.step("fetch") == "no DVC remote is configured\n"
    checked.clone.dvc("remote", "add", "--local", "-d", "store", "s3://bucket/erawise")
    said = checked.step("fetch", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert said.startswith("the keys of DVC's remote are not there")
    assert checked.step("fetch", {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": ""}) == said
    checked.clone.dvc("remote", "modify", "--local", "store", "url", str(tmp_path / "empty"))
    assert "DVC's remote gave no scores of the base" in checked.step("fetch")
    checked.step("small")
    private = [(checked.found / kind / ".dvc/config.local").read_text() for kind in ("full/base", "small/base", "small/head")]
    assert ["store" in content for content in private] == [True, False, False]
    text = checked.body()
    assert "| `dvc.lock` is current | ❌ no: `neutralize` would run, with what follows from them" in text
    assert re.search(r"\| small run \| ✅ passed in \d+ s \|", text)
    assert "dvc.lock is not current, so that the results of this commit aren't there yet" in text
    assert "#### Comparison of small runs" in text
    assert "**not** whether a model is better" in text
    assert "can't tell" not in text
    assert "CORR moves in 2 of 8 predictions." in text
    scores = [
        json.loads((checked.found / "small" / side / "data/scores/cv.json").read_text())["neutralized"]["corr"]["mean"]
        for side in ("base", "head")
    ]
    before, after = (f"{value:.4f}" for value in scores)
    assert f"| cv | `neutralized` | {before} | {after} |" in text

    (checked.found / "gate").write_text("current\n")
    (checked.found / "small-base").write_text("failed after 3 s\n")
    text = checked.body()
    assert "The whole runs can't be compared: DVC's remote gave no scores of the base (the log of the step fetch says why)." in text
    assert "Nor can small runs: the run of the base failed after 3 s" in text


def test_a_damaged_score_file_is_no_result_and_costs_no_report(repository: Clone, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    shutil.copytree(repository.directory / ".git" / "remote", remote)
    lock = YAML(typ="safe").load(repository.run("git", "show", "main:dvc.lock"))
    listing = next(out["md5"] for stage in lock["stages"].values() for out in stage["outs"] if out["path"] == "data/scores")
    files = json.loads((remote / "files/md5" / listing[:2] / listing[2:]).read_text())
    digest = next(file["md5"] for file in files if file["relpath"] == "cv.parquet")
    damaged = Path("files/md5", digest[:2], digest[2:])
    _overwrite(remote / damaged)
    checked = Checked(repository, "topic", tmp_path, remote=remote)
    (checked.found / "gate").write_text("current\n")
    assert "DVC's remote gave no scores of the base" in checked.step("fetch")
    assert "gave no scores of the base" in checked.body()
    shutil.copytree(repository.directory / ".git" / "remote", remote, dirs_exist_ok=True)
    checked.step("fetch")
    assert (checked.found / "fetch").read_text() == "fetched\n"
    _overwrite(checked.clone.directory / ".dvc/cache" / damaged)
    text = checked.body()
    assert "There is no comparison: `the workspace: data/scores/cv.parquet is damaged, no Parquet file; remove it from DVC's cache" in text


def test_every_failure_leaves_a_report_that_names_it(repository: Clone, tmp_path: Path) -> None:
    checked = Checked(repository, "topic", tmp_path)
    (checked.clone.directory / "params.yaml").write_text("a: [\n")
    checked.clone.commit("spoiled")
    assert "could not be checked" in checked.step("gate", ends=1)
    text = checked.body()
    assert "| `dvc.lock` is current | ❌ could not be checked |" in text
    assert "can't be read: `params.yaml of the head is no YAML; mend it in that commit`" in text
    assert "can't be compared: whether dvc.lock is current could not be checked (" in text
    (checked.clone.directory / "params.yaml").unlink()
    checked.clone.commit("without")
    for name, content in {"gate": "stale", "status.json": "{", "tests": "passed in 9 s", "tests.xml": "<", "lint": "did not end"}.items():
        (checked.found / name).write_text(content + "\n")
    text = checked.body()
    assert "can't be read: `the head has no params.yaml; commit one`" in text
    assert "| `dvc.lock` is current | ❌ can't be read: `JSONDecodeError" in text
    assert re.search(r"\| tests \| ❌ can't be read: `.*tests\.xml: not the JUnit XML", text)
    assert "| lint | ❌ did not end |" in text

    path = f"{_failing(tmp_path / 'without_dvc', 'dvc')}{os.pathsep}{checked.clone.environment()['PATH']}"
    assert "could not be checked" in checked.step("gate", {"PATH": path}, ends=1)
    assert checked.step("fetch", {"PATH": path}).startswith("DVC can't be run here")
    for name, content in {"gate": "current", "fetch": "fetched"}.items():
        (checked.found / name).write_text(content + "\n")
    checked.step("report", {"PATH": path})
    assert "`dvc metrics diff` failed" in (checked.found / "body.md").read_text()

    path = f"{_failing(tmp_path / 'without_python', 'python')}{os.pathsep}{path}"
    for variables in ({"PATH": path}, {"BASE": "nowhere"}):
        checked.step("report", variables, ends=1)
        text = (checked.found / "body.md").read_text()
        assert text.startswith(f"{review.MARKER}\n")
        assert "The report can't be made: the log of the step `report` says why." in text
        assert "| lint | did not end |" in text
        assert "| small-head | – not run |" in text
        assert Path(checked.variables["GITHUB_STEP_SUMMARY"]).read_text().endswith(text)


def test_the_project_may_be_a_subdirectory_of_its_repository(tmp_path: Path) -> None:
    top = Clone(tmp_path / "top")
    project, found = top.directory / "some/numerai", tmp_path / "found"
    for name in (STEPS, ".dvc/config"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    (project / "params.yaml").write_text("value: 1\n")
    top.run("git", "init", "-q", "-b", "main")
    top.commit("base")
    (project / "params.yaml").write_text("value: 2\n")
    top.commit("head")
    path = f"{_failing(tmp_path / 'python', 'python')}{os.pathsep}{_failing(tmp_path / 'dvc', 'dvc', 0)}{os.pathsep}{os.environ['PATH']}"
    for step in ("small", "report"):
        environment = top.environment() | {"PATH": path, "FOUND": str(found), "BASE": "main~1"}
        assert subprocess.run([STEPS, step], cwd=project, env=environment, capture_output=True, check=False).returncode
    assert (found / "small/head/params.yaml").read_text() == "value: 2\n"
    assert [(found / f"params-{side}.yaml").read_text() for side in ("base", "head")] == ["value: 1\n", "value: 2\n"]


def test_a_step_that_is_stopped_did_not_end(repository: Clone, tmp_path: Path) -> None:
    checked = Checked(repository, "topic", tmp_path)
    make = tmp_path / "bin" / "make"
    make.parent.mkdir()
    make.write_text("#!/bin/sh\nkill -9 $PPID\n")
    make.chmod(0o755)
    checked.step("lint", {"PATH": f"{make.parent}{os.pathsep}{checked.clone.environment()['PATH']}"}, ends=-9)
    assert "| lint | ❌ did not end |" in checked.body()


def _failing(directory: Path, name: str, code: int = 127) -> Path:
    directory.mkdir()
    (directory / name).write_text(f"#!/bin/sh\nexit {code}\n")
    (directory / name).chmod(0o755)
    return directory


def _overwrite(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"PAR1 and nothing more")


def test_a_comment_is_added_once_and_then_updated(repository: Clone, tmp_path: Path) -> None:
    checked = Checked(repository, "topic", tmp_path)
    gh = tmp_path / "gh"
    gh.write_text(GH.format(python=sys.executable))
    gh.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{checked.clone.environment()['PATH']}"
    variables = {
        "PATH": path,
        "GH_TOKEN": "token",
        "GH_STATE": str(tmp_path / "comments"),
        "GITHUB_REPOSITORY": "someone/erawise",
        "PULL_REQUEST": "7",
    }
    (tmp_path / "comments").write_text(json.dumps(["a person's words"]))
    first, second = (f"{review.MARKER}\n{word}\n" for word in ("first", "second"))
    (checked.found / "body.md").write_text(first)
    assert checked.step("post", variables) == "a comment is added\n"
    (checked.found / "body.md").write_text(second)
    assert checked.step("post", variables) == "comment 1 is updated\n"
    assert json.loads((tmp_path / "comments").read_text()) == ["a person's words", second]
    for call in ("--paginate", "--method"):
        failing = variables | {"GH_FAILS_ON": call, "GH_FAILS": "gh: Resource not accessible by integration (HTTP 403)"}
        assert checked.step("post", failing).startswith("this token may not comment")
        assert checked.step("post", failing | {"GH_FAILS": "gh: HTTP 500"}, ends=1) == "gh: HTTP 500\n"
    for name in ("GITHUB_REPOSITORY", "PULL_REQUEST"):
        assert checked.step("post", variables | {name: ""}, ends=1).startswith(f"error: {name} is not set; ")
    (checked.found / "body.md").unlink()
    missing = f"error: there is no {checked.found}/body.md to post; .ci/pull-request report writes it\n"
    assert checked.step("post", variables, ends=1) == missing


# ---- the words


def run_of(name: str, predictions: dict[str, float], data: str = "a") -> Revision:
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.03, 60)
    rows = [pd.DataFrame({"era": range(1, 61), "prediction": key, "corr": base + mean}) for key, mean in predictions.items()]
    return Revision(name, {}, "target", 20, data, {"cv": pd.concat(rows, ignore_index=True)})


def test_text_of_the_repository_is_shown_and_never_read() -> None:
    hostile = "`</code><img src=x onerror=alert(1)>`|`@someone` #12 [a](b)\n# *x* \\ -->"
    assert review.code(hostile) == "`′</code><img src=x onerror=alert(1)>′¦′@someone′ #12 [a](b) # *x* \\ -->`"
    assert review.code("x" * 500) == "`" + "x" * 119 + "…`"
    assert review.code("") == review.code("\n") == '`""`'
    text = "\n".join(review.full(run_of("A", {hostile: 0.0, "b": 0.0}), run_of("B", {hostile: 0.01, "c": 0.0})))
    assert all(line.count(review.code(hostile)) == line.count("<img") for line in text.splitlines())
    assert "Only in the base: `b`." in text
    assert "Only in the head: `c`." in text
    target = "@bob <img src=x>\n\n# BIG [l](http://evil)"
    before, after = (dataclasses.replace(run_of(name, {"x": 0.0}), target=target + name) for name in "AB")
    shown = "`@bob <img src=x> # BIG [l](http://evil)"
    said = f"Not compared: A is scored against {shown}A` and B against {shown}B`: the difference would be theirs."
    assert review.full(before, after) == [said]
    same = review.full(*(dataclasses.replace(run, target=target, days=60) for run in (before, after)))
    standing = "`, 60 trading days; early: 20 days, not in these scores; pays: 60 days since round 1343, the same."
    assert [line for line in same if "evil" in line] == [f"main: {review.code(target)[:-1]}{standing}"]
    assert review.small(before, after)[-1] == said
    assert review.settings({hostile: [hostile, None]})[-1] == f"- {review.code(hostile)}: {review.code(hostile)} → absent"


def test_verdicts_are_for_whole_runs_alone() -> None:
    before, after = run_of("A", {"x": 0.0, "y": 0.0}), run_of("B", {"x": 0.01, "y": 0.0})
    whole, small = ("\n".join(lines) for lines in (review.full(before, after), review.small(before, after)))
    assert "From A to B: 1 better of 2" in whole
    assert "Verdicts: 1 of 1; " in whole
    assert ": better (60 eras" in whole
    assert "CORR moves in 1 of 2 predictions." in small
    assert "better (" not in small
    for lines in (review.full, review.small):
        assert "ran on different raw data" in "\n".join(lines(before, run_of("B", {"x": 0.0}, data="b")))


def test_stages_with_a_change_of_their_own_are_named_and_absent_files_are_none() -> None:
    status = {
        "download": [{"changed outs": {"data/raw": "not in cache"}}],
        "split": [{"changed deps": {"data/prepared": "deleted", "params.yaml": {"split.folds": "modified"}}}],
        "train@ridge": ["changed command"],
        "plot": [{"changed deps": {"erawise/charts": "modified"}}, {"changed outs": {"plots/tables": "deleted"}}],
    }
    assert review.changed_stages(status) == ["split", "train@ridge", "plot"]


def test_a_long_report_is_cut_where_a_comment_must_end() -> None:
    many = review.settings({f"models.m{number}.l2": [1, 2] for number in range(100)})
    assert many[-1] == "- and 40 more"
    text = review.body("a" * 40, "b" * 40, {"tests": "✅"}, {"Settings": many, "Comparison": ["x" * review.LIMIT]})
    assert len(text) < 65_536
    assert "#### Settings" in text
    assert text.endswith("The rest is too long for a comment; the summary of the run has it.\n")
    whole = review.body("a" * 40, "b" * 40, {"tests": "✅"}, {"Settings": many, "Comparison": ["x" * review.LIMIT]}, limit=None)
    assert whole.endswith(f"{'x' * review.LIMIT}\n")


def test_tests_have_passed_where_the_report_and_the_command_say_so(tmp_path: Path) -> None:
    path = tmp_path / "tests.xml"
    path.write_text("<testsuites><testsuite tests='5' failures='0' errors='0' skipped='0' time='60'/></testsuites>")
    assert review.tests(path, "passed in 61 s") == "✅ 5 passed in 1 min"
    assert review.tests(path, "failed after 61 s") == "❌ failed after 61 s, though the report says 5 passed in 1 min"
    assert review.tests(path, "") == "❌ the command did not end, though the report says 5 passed in 1 min"
    path.write_text("<testsuites><testsuite tests='5' failures='2' errors='0' skipped='0' time='60'/></testsuites>")
    assert review.tests(path, "passed in 61 s") == review.totals(path) == "❌ 3 passed, 2 failed in 1 min"


def test_totals_of_what_is_no_report_of_tests_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tests.xml"
    path.write_text("<testsuites><testsuite tests='5' failures='1' errors='1' skipped='0' time='60'/></testsuites>")
    assert review.totals(path) == "❌ 3 passed, 1 failed, 1 broken in 1 min"
    for content in ("not XML", "<testsuites><testsuite/></testsuites>"):
        path.write_text(content)
        with pytest.raises(InputError, match=r"tests\.xml: not the JUnit XML of pytest"):
            review.totals(path)
