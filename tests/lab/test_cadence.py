"""The worth of retraining: each interval's predictions by hand, and the command on a finished run."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from panels import write_panel
from workspace import Workspace

from erawise.folds import splits
from erawise.lab import cadence
from erawise.lab.cadence import Timeline
from erawise.models.ridge import model as ridge
from erawise.models.ridge.settings import Ridge
from erawise.models.shared.protocol import GIB, Resources
from erawise.panel.panel import FeatureMap, View
from erawise.running.errors import InputError
from erawise.scores.eras import score_eras
from erawise.training import jobs
from erawise.training.fits import Fits, How

ROWS, ERAS, WEEKS = 20, 100, 8
SETTINGS = Ridge(kind="ridge", target="target", l2=1.0)


def data(directory: Path, changed_from: int = ERAS + 1, turned_at: int = ERAS + 1) -> jobs.TrainingData:
    """Return data whose law turns round at an era, and whose targets are others from another era on."""
    rng = np.random.default_rng(5)
    features = rng.integers(0, 5, (ERAS * ROWS, 3)).astype(np.int8)
    era = np.repeat(np.arange(1, ERAS + 1), ROWS)
    sign = np.where(era < turned_at, 1, -1)
    target = sign * (features[:, 0] - 2.0) + rng.normal(0, 2, len(era))
    target[era >= changed_from] *= -1
    panel = write_panel(directory / f"panel_{changed_from}_{turned_at}", features, {"target": target}, era)
    plan = splits.Plan(WEEKS, [], panel.eras, panel.eras[:0], panel.eras[:0])
    return jobs.TrainingData(panel, None, plan, [], FeatureMap(panel.names))


def predicted(own: jobs.TrainingData, time: Timeline, intervals: list[int | None], scratch: Path) -> pd.DataFrame:
    how = How(Resources(1, GIB, scratch))
    return cadence.predict(Fits(ridge, SETTINGS, own, how), time, intervals, own.final_features, None)


def test_each_interval_has_the_predictions_of_its_own_fits(tmp_path: Path) -> None:
    own = data(tmp_path)
    time = Timeline.of(own.panel.eras, WEEKS)
    assert (time.train.tolist(), time.tested.tolist()) == (list(range(1, 43)), list(range(51, 101)))
    intervals = [None, 26, 13, 4]
    found = predicted(own, time, intervals, tmp_path)
    assert found.columns.tolist() == ["never", "every 26 weeks", "every 13 weeks", "every 4 weeks"]
    for every in intervals:
        expected = []
        for block in time.blocks(every):
            train = View(own.panel, block.train, own.final_features, "target")
            model = ridge.fit(SETTINGS, train, None, None, Resources(1, GIB, tmp_path))
            expected += [model.predict(x) for x in View(own.panel, block.test, own.final_features).blocks()]
        assert np.array_equal(found[cadence.named(every)], np.concatenate(expected))
    assert len(cadence.fits(time, intervals)) == len({int(b.train[-1]) for every in intervals for b in time.blocks(every)})


def test_no_fit_learns_from_what_was_not_resolved(tmp_path: Path) -> None:
    own, other = data(tmp_path), data(tmp_path, changed_from=70)
    time = Timeline.of(own.panel.eras, WEEKS)
    one, two = (predicted(each, time, [None, 4], tmp_path) for each in (own, other))
    early = own.panel.row_eras[own.panel.row_numbers(time.tested)] <= 70 + WEEKS
    assert one[early].equals(two[early])
    assert one["never"].equals(two["never"])
    assert not one[~early].equals(two[~early])


def test_a_law_that_turns_is_found_and_one_that_stays_is_not(tmp_path: Path) -> None:
    verdicts = {}
    for turned_at in (20, ERAS + 1):
        own = data(tmp_path, turned_at=turned_at)
        time = Timeline.of(own.panel.eras, WEEKS, 28)
        values = predicted(own, time, [None, 13, 4], tmp_path)
        rows = own.panel.row_numbers(time.tested)
        scores = score_eras(values, own.panel.index["target"].to_numpy(np.float64)[rows], own.panel.row_eras[rows])
        table = cadence.compare(scores, 20)
        assert table["score"].tolist() == ["CORR", "CORR"], "the data has no benchmark and no meta model"
        verdicts[turned_at] = table["verdict_holm"].tolist()
        told = cadence.answer(table, "CORR")
        assert ("every 13 weeks, every 4 weeks is better" in told) == (turned_at == 20)
        assert ("can't tell" in told) == (turned_at != 20)
    assert verdicts == {20: ["better", "better"], ERAS + 1: ["can't tell", "can't tell"]}


@pytest.mark.parametrize(
    ("first", "every", "message"),
    [
        (101, 4, "--first: of the eras 1 to 100, era 101 and a purge of 8 weeks leave 0 to predict and 100 to learn from"),
        (9, 4, "era 9 and a purge of 8 weeks leave 92 to predict and 0 to learn from; expected some of both"),
        (51, 0, "a fit every 0 weeks, and neighbouring eras are 1 weeks apart"),
    ],
)
def test_eras_that_can_not_be_compared(first: int, every: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Timeline.of(np.arange(1, 101), WEEKS, first).blocks(every)


def test_the_command_compares_and_keeps_its_fits(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    workspace.command(["cadence", "--weeks", "13", "4", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [row["retrained"] for row in found["CORR"]] == ["never", "every 13 weeks", "every 4 weeks"]
    kept = sorted(path for path in (workspace.directory / "data/cadence/fits").glob("*/*") if path.is_dir())
    assert kept
    times = [path.stat().st_ino for path in kept]
    workspace.command(["cadence", "ridge", "--weeks", "13"])
    said = capsys.readouterr().out
    assert "By CORR" in said
    assert [path.stat().st_ino for path in kept] == times
    eras = pd.read_csv(workspace.directory / "data/cadence/eras.csv")
    assert sorted(eras["era"].unique()) == list(range(31, 61)), "the final check isn't looked at"
    assert "no model 'rigde'" in workspace.failure("cadence rigde", capsys)
