"""Curves of trainings, and runs in Weights & Biases: kept offline, or refused with a message."""

import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

from erawise.history import tracking
from erawise.running.errors import InputError
from erawise.training import curves
from erawise.training.curves import Curves

KEY = "0123456789abcdef" * 2 + "01234567"
TRY_SECONDS = "1"
"""Seconds for which wandb's client tries to reach its service, in place of 10 s."""
SCORES = {"cv": {"ensemble": {"corr": {"mean": 0.0271828}}}}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_curves_hold_every_point_once_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = Curves(tmp_path / "curves" / "ridge").log
    threads = [
        threading.Thread(target=lambda fold=fold: [log(f"fold_{fold}", n, n / (1000 * fold)) for n in range(1, 131)]) for fold in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = curves.read(tmp_path / "curves")
    rounds = [*range(1, 101), 110, 120, 130]
    assert list(found) == ["ridge/fold_1", "ridge/fold_2"]
    for fold, name in ((1, "ridge/fold_1"), (2, "ridge/fold_2")):
        assert found[name].to_dict() == pytest.approx({n: round(n / (1000 * fold), 6) for n in rounds})
    assert list(contents(tmp_path)) == [f"curves/ridge/metrics/fold_{fold}/correlation.tsv" for fold in (1, 2)]
    assert contents(tmp_path / "curves")["ridge/metrics/fold_1/correlation.tsv"].startswith(b"step\tcorrelation\n1\t0.001\n2\t0.002\n")


def test_models_and_fits_of_any_name_have_their_own_curves(tmp_path: Path) -> None:
    names = ("metrics", "plots", "correlation")
    for number, model in enumerate(names, 1):
        Curves(tmp_path / model).log("target_1/fold_1", number, 0.5)
    found = curves.read(tmp_path)
    assert {name: list(curve.index) for name, curve in found.items()} == {
        f"{model}/target_1/fold_1": [number] for number, model in enumerate(names, 1)
    }


def test_curves_take_the_place_of_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        Curves(tmp_path / "curves" / "ridge").log(f"{name}/fold_1", 1, 0.5)
    assert list(curves.read(tmp_path / "curves")) == ["ridge/second/fold_1"]
    Curves(tmp_path / "curves" / "ridge")
    assert (tmp_path / "curves" / "ridge").is_dir()
    assert not contents(tmp_path)


def test_points_get_rarer_by_the_powers_of_ten() -> None:
    points = [number for number in range(1, 20_001) if curves.has_point(number)]
    assert points == [*range(1, 101), *range(110, 1001, 10), *range(1100, 10_001, 100), *range(11_000, 20_001, 1000)]


def test_a_run_is_kept_offline_with_settings_scores_and_curves(tmp_path: Path) -> None:
    import wandb

    curve = {"lightgbm/fold_1": pd.Series([0.0123, 0.0456], [1, 2]), "lightgbm/fold_2": pd.Series([0.0789], [2])}
    tracking.log_run("offline", tmp_path, "deeper", {"models": {"lightgbm": {"max_depth": 7}}}, SCORES, curve)
    wandb.teardown()  # its service writes the file when the process ends, not when the run does
    [path] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = path.read_bytes()
    for expected in (
        b"deeper",
        b'{"lightgbm":{"max_depth":7}}',
        b"curves/lightgbm/fold_1",
        b"0.0123",
        b"0.0456",
        b"curves/lightgbm/fold_2",
        b"0.0789",
        b"cv/ensemble/corr/mean",
        b"0.0271828",
    ):
        assert expected in content, expected
    assert b"NaN" not in content


def test_what_keeps_a_run_from_the_service_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", TRY_SECONDS)
    monkeypatch.setattr(tracking, "SECONDS", 2)
    with pytest.raises(InputError, match=r"tracking\.wandb: there is no key; set WANDB_API_KEY"):
        tracking.log_run("online", tmp_path, None, {}, SCORES, {})
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(InputError, match=r"tracking\.wandb: .*; try again, or set it to offline") as caught:
        tracking.log_run("online", tmp_path, None, {}, SCORES, {})
    assert KEY not in str(caught.value)
    assert not any(KEY.encode() in content for content in contents(tmp_path).values())


@pytest.mark.parametrize("broken", ["address", "directory"])
def test_nothing_of_the_service_spoils_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_HTTP_TIMEOUT", TRY_SECONDS)
    if broken == "address":
        monkeypatch.setenv("WANDB_BASE_URL", "notaurl")
    else:
        (tmp_path / "wandb").write_text("no directory")
    with pytest.raises(InputError, match=r"^tracking\.wandb: .*; try again, or set it to offline$"):
        tracking.log_run("online" if broken == "address" else "offline", tmp_path, None, {}, SCORES, {})


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"the package wandb isn't installed; run `pip install wandb`"):
        tracking.log_run("offline", tmp_path, None, {}, SCORES, {})
