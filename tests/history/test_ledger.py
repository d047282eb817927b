"""The ledger: it keeps every line from all writers, and counts the looks at a validation set."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closure import ROOT

from erawise.base import files
from erawise.evaluation import significance
from erawise.history import comparison, ledger, recording, validation_looks
from erawise.running import paths, terminal
from erawise.running.errors import InputError


def entry(number: int = 0, **changes: Any) -> ledger.Entry:
    return {
        "time": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}+00:00",
        "commit": "0123456789abcdef",
        "data": "d",
        "target": "target",
        "settings": {"models.ridge.l2": float(number)},
        "changed": {},
        "scores": {
            "cv": {"neutralized": {"corr": {"mean": 0.02}}},
            "validation": {"neutralized": {"corr": {"mean": 0.01 * number, "sharpe": 0.1 * number}}},
        },
    } | changes


def _append_many(path: Path, first: int, count: int) -> None:
    for number in range(first, first + count):
        files.append_line(entry(number, note="x" * 20_000), path)


def test_processes_that_write_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append_many, args=(path, 100 * k, 25)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    entries = ledger.read(path)
    assert sorted(int(found["settings"]["models.ridge.l2"]) for found in entries) == [100 * k + i for k in range(4) for i in range(25)]
    assert [found["time"] for found in entries] == sorted(found["time"] for found in entries)


RECORD = """
import sys
from pathlib import Path
from erawise import params
from erawise.evaluation import evaluation
from erawise.history import recording
found = evaluation.Evaluated("target", 20, None, None, evaluation.Pays("r", 60, "", ""), None, [], {}, {}, {"x": sys.argv[1]})
print(recording.evaluated(params.load(Path("params.yaml")), found, {"validation": {"x": {}}}))
"""


def test_evaluations_at_once_are_counted_one_after_the_other(tmp_path: Path, commands: Path) -> None:
    (tmp_path / "record.py").write_text(RECORD)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "data/prepared").mkdir(parents=True)
    (tmp_path / "data/prepared/validation_targets.parquet").write_bytes(b"targets")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        with files.exclusive_lock(tmp_path / "ledger.jsonl", "test"):
            started = [
                stack.enter_context(
                    subprocess.Popen(
                        [str(commands / "python"), "record.py", digest],
                        cwd=tmp_path,
                        env=environment,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        text=True,
                    )
                )
                for digest in ("one", "other")
            ]
            for process in started:
                assert process.stderr
                assert process.stderr.readline() == "ledger.jsonl: another process works on it; waiting for its end\n"
        assert sorted(process.communicate()[0] for process in started) == ["1\n", "2\n"]


def test_a_writer_that_is_killed_spoils_no_other_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    worker = multiprocessing.get_context("fork").Process(target=_append_many, args=(path, 0, 100_000))
    worker.start()
    while not path.exists() or path.stat().st_size < 100_000:
        time.sleep(0.001)
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    entries, broken = files.read_lines(path)
    assert broken <= 1
    files.append_line(entry(1), path)
    again, still = files.read_lines(path)
    assert (len(again), still) == (len(entries) + 1, broken)


@pytest.mark.parametrize("torn", ['{"time": "2026', "nonsense", "[1]", '{"time": 1}', "<<<<<<< HEAD", "\xff"])
def test_a_damaged_line_is_named_and_hides_no_other(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "ledger.jsonl"
    files.append_line(entry(1), path)
    before = path.read_bytes()
    with path.open("ab") as file:
        file.write(torn.encode("latin-1"))
    files.append_line(entry(2), path)
    assert path.read_bytes().startswith(before)
    with pytest.raises(InputError, match=r"^ledger\.jsonl, line 2: it is no evaluation: .*; remove this line, and the looks .*$"):
        ledger.read(path)
    first, _, last = path.read_bytes().split(b"\n", 2)
    path.write_bytes(first + b"\n\n" + last)
    assert [found["settings"]["models.ridge.l2"] for found in ledger.read(path)] == [1.0, 2.0]
    assert ledger.read(tmp_path / "none.jsonl") == []


def test_the_same_evaluation_counts_once_in_any_order_of_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    twice = entry(3, time="2026-01-01T00:00:00+00:00", commit="on another machine", seconds=9.0)
    for one in (entry(3), entry(2), twice, entry(1)):
        files.append_line(one, path)
    assert [found["time"][17:19] for found in ledger.read(path)] == ["00", "01", "02"]
    assert ledger.read(path)[0] == twice


def test_two_clones_count_the_union_of_their_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(clone: Path, *words: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
        return subprocess.run(["git", *identity, *words], cwd=clone, check=True, capture_output=True, text=True).stdout

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    git(first, "init", "-q")
    for name in (".gitignore", ".gitattributes"):
        shutil.copyfile(ROOT / name, first / name)

    def share(clone: Path) -> str:
        monkeypatch.chdir(clone)
        recording.share()
        git(clone, "add", "-A")
        git(clone, "commit", "-qm", "looked")
        return capsys.readouterr().out

    files.append_line(entry(1, **digests()), first / "ledger.jsonl")
    assert share(first).startswith("ledger.shared.jsonl: 1 evaluations, 1 of them new; ")
    assert git(first, "ls-files").split() == [".gitattributes", ".gitignore", "ledger.shared.jsonl"]
    git(tmp_path, "clone", "-q", str(first), str(second))
    both, once, later = entry(2, **digests(ridge="both")), entry(3, **digests(ridge="a")), entry(4, **digests(ridge="b"))
    again = both | {"time": "2026-01-01T00:00:09+00:00", "commit": None}
    for clone, lines in ((first, (once, both)), (second, (again, later))):
        for line in lines:
            files.append_line(line, clone / "ledger.jsonl")
        assert share(clone).startswith("ledger.shared.jsonl: 3 evaluations, 2 of them new; ")
    monkeypatch.chdir(second)
    before = validation_looks.read()
    assert len(ledger.looks(before, "d", "target")) == 3, "the second machine doesn't begin at one"
    git(second, "pull", "-q", "--no-rebase", "--no-edit", "origin", "main")
    assert len((second / "ledger.shared.jsonl").read_text().splitlines()) == 5
    union = [entry(1, **digests()), both, once, later]
    assert ledger.looks(validation_looks.read(), "d", "target") == union
    assert share(second).startswith("ledger.shared.jsonl: 4 evaluations, 0 of them new; ")
    git(first, "pull", "-q", "--no-rebase", "--no-edit", str(second), "main")
    monkeypatch.chdir(first)
    assert ledger.looks(validation_looks.read(), "d", "target") == union


def test_a_shared_ledger_is_no_change_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", ledger.SHARED):
        (tmp_path / name).write_text("")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"], check=True)
    files.append_line(entry(1), tmp_path / ledger.SHARED)
    assert not str(validation_looks.commit()).endswith("+")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    assert str(validation_looks.commit()).endswith("+")


def test_a_number_that_is_none_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.append_line(entry(seconds=np.nan), tmp_path / "ledger.jsonl")
    assert not (tmp_path / "ledger.jsonl").exists()


def test_looks_are_those_at_the_same_data_and_target() -> None:
    blind = entry(4, scores={"cv": {}})
    entries = [entry(1), entry(2, data="other"), entry(3, target="target_60"), blind, entry(5)]
    assert ledger.looks(entries, "d", "target") == [entries[0], entries[4]]
    assert ledger.looks(entries, None, "target") == [
        entry for entry in entries if entry["target"] == "target" and entry["scores"].get("validation")
    ]
    assert ledger.trial_sharpes(entries, "neutralized") == pytest.approx([0.1, 0.2, 0.3, 0.5])
    assert ledger.trial_sharpes(entries, "absent") == []


def digests(**predictions: str) -> dict[str, Any]:
    return {"predictions": {"neutralized": "n", "ridge": "r"} | predictions}


def test_a_look_is_counted_by_the_predictions_that_were_looked_at() -> None:
    again = entry(2, settings={"tracking.wandb": "offline"}, **digests())
    other = entry(3, **digests(ridge="other"))
    elsewhere = entry(4, data="more eras", **digests())
    entries = [entry(1, **digests()), again, other, elsewhere, entry(5), entry(6)]
    assert ledger.looks(entries, "d", "target") == [entries[0], other, *entries[4:]]
    assert len(ledger.looks(entries, None, "target")) == 5
    assert ledger.trial_sharpes(entries, "neutralized") == pytest.approx([0.1, 0.4, 0.5, 0.6])
    without = entry(7, predictions={"neutralized": "n", "renamed": "other"})
    assert ledger.looks([*entries, without], "d", "target") == [entries[0], other, *entries[4:]], "nothing of it is new"
    assert not ledger.same(entries[0], again)
    assert ledger.same(entries[0], entry(1, time="later", commit="other", **digests()))


def test_more_looks_of_more_spread_deflate_more() -> None:
    series = 0.02 + 0.05 * np.random.default_rng(0).normal(size=200)
    spread = [entry(k, scores={"validation": {"neutralized": {"corr": {"sharpe": 0.1 * k}}}}) for k in range(8)]
    sharpes = ledger.trial_sharpes(spread, "neutralized")
    assert significance.deflated_sharpe(series, sharpes, overlap=4) < significance.deflated_sharpe(series, [0.4], overlap=4)


def test_the_history_is_a_line_for_each_run() -> None:
    changed = {"models.ridge.l2": [1.0, 2.0]}
    found = comparison.history(
        [entry(1, commit="0123456789abcdef+", experiment="deeper"), entry(2, changed=changed, commit=None, scores={"cv": {}})]
    )
    assert found.title.endswith("the scores are of neutralized")
    lines = terminal.markdown(found).splitlines()
    assert lines[2] == "| 2026-01-01 00:00 | deeper | 01234567+ | 0.0200 | 0.0100 | no setting |"
    assert lines[3] == "| 2026-01-01 00:00 | – | – | – | – | models.ridge.l2: 1.0 → 2.0 |"
    assert list(found.rows[1][1:3]) == [None, None], "a program gets no dash"
    assert json.loads(json.dumps(ledger.flat({"a": {"b": [1]}, "c": {}}))) == {"a.b": [1], "c": {}}


def test_what_has_changed_is_against_the_commit_or_if_nothing_did_against_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert recording._changed({"a.b": 1}) == {}, "without a repository there is nothing to hold it against"
    subprocess.run(["git", "init", "-q"], check=True)
    for number in (1, 2):
        (tmp_path / "params.yaml").write_text(f"a: {{b: {number}}}\n")
        subprocess.run(["git", "add", "params.yaml"], check=True)
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x"], check=True)
    assert recording._changed({"a.b": 3}) == {"a.b": [2, 3]}
    assert recording._changed({"a.b": 2}) == {"a.b": [1, 2]}


def test_the_history_says_what_is_main_early_and_paid_once_for_each_target() -> None:
    recorded = {"target": "target", "days": 60, "equal": "target_ender_60"}
    scored = recorded | {"early": "target_ender_20"}
    found = comparison.standings([scored, recorded, recorded, {"target": "target_ender_20"}, {"target": "mine"}])
    assert found == [
        "main: target, which equals target_ender_60, 60 trading days; early: target_ender_20, 20 days, one more figure; "
        "pays: 60 days since round 1343, the same",
        "main: target, which equals target_ender_60, 60 trading days; early: 20 days, not in these scores; "
        "pays: 60 days since round 1343, the same",
        "main: target_ender_20, 20 trading days (early); pays: 60 days since round 1343, not these scores",
        "main: mine, of a horizon that isn't on record",
    ]


def test_an_experiment_in_a_directory_of_its_own_is_recorded_in_the_main_checkout(tmp_path: Path) -> None:
    inside = tmp_path / ".dvc" / "tmp" / "exps" / "temp" / "tmpabc"
    assert paths.main_checkout(inside) == tmp_path
    assert paths.main_checkout(tmp_path) == tmp_path
