"""A search for settings: its trials, their early ends, its continuation after a kill, and its last words."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_disk
from closure import ROOT, closure, of_kind, relative, room

from erawise.evaluation.significance import BETTER, OPEN
from erawise.models.ridge.settings import Ridge
from erawise.models.shared import kinds
from erawise.running.errors import InputError
from erawise.training import training
from erawise.tuning import search
from erawise.tuning.model_search import code
from erawise.tuning.settings import Choices, Range, Space, Tuning

FOLDS, ERAS = 4, 40
SPACE: Space = {
    "x": Range(low=0.0, high=1.0, log=False),
    "count": Range(low=1, high=64, log=True),
    "layers": Choices(choices=[[8], [16, 8]]),
}


def settings(**changes: Any) -> Tuning:
    given = {"method": "tpe", "trials": 12, "objective": "corr", "penalty": 0.0, "halving": None, "batch": 1, "seed": 3, "models": []}
    return Tuning.model_validate(given | changes)


class Attempts:
    """Scores that are best at x = .7, with the same noise for all settings, and a record of the questions."""

    def __init__(self, kill_at: int | None = None, noise: float = 0.01) -> None:
        self.asked: list[tuple[dict[str, Any], list[int]]] = []
        self.kill_at, self.noise = kill_at, noise

    def __call__(self, changes: dict[str, Any], numbers: Sequence[int]) -> list[search.Fold]:
        if self.kill_at is not None and len(self.asked) == self.kill_at:
            raise KeyboardInterrupt
        self.asked.append((changes, list(numbers)))
        x = changes.get("x", 0.2)
        return [self._fold(k, x) for k in numbers]

    def _fold(self, number: int, x: float) -> search.Fold:
        rng = np.random.default_rng(number)
        return np.arange(number * ERAS, (number + 1) * ERAS), 0.05 - 0.05 * abs(x - 0.7) + self.noise * rng.normal(size=ERAS)


def ignore(line: str) -> None:
    """Ignore it."""


def look_for(path: Path, given: Tuning, attempts: Attempts, identity: str = "a", notify: Callable[[str], None] = ignore) -> search.Found:
    return search.search(search.Search(given, SPACE, FOLDS, attempts, notify), path / "studies" / "x.db", identity)


def tried(found: search.Found) -> list[dict[str, Any]]:
    return [trial.settings for trial in found.whole]


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_settings_are_drawn_from_their_space_and_better_ones_are_found(tmp_path: Path, method: str) -> None:
    attempts = Attempts()
    found = look_for(tmp_path, settings(method=method), attempts)
    assert attempts.asked[0] == ({}, [0, 1, 2, 3]), "the model's own settings come first"
    assert len(found.whole) == 12
    assert found.stopped == 0
    for drawn in tried(found):
        assert 0 <= drawn["x"] <= 1
        assert isinstance(drawn["count"], int)
        assert 1 <= drawn["count"] <= 64
        assert drawn["layers"] in ([8], [16, 8])
    content = search.result(found, settings(method=method), 4)
    assert abs(content["settings"]["x"] - 0.7) < 0.2
    assert content["objective"] > content["default_objective"]
    assert content["against_default"]["verdict"] == BETTER
    assert content["against_default"]["eras"] == FOLDS * ERAS
    assert content["against_default"]["verdict_holm"] == BETTER
    assert "CORR +0.0" in search.sentence(content)
    assert "own settings on 160 cv eras: better" in search.sentence(content)


def test_the_best_of_equal_trials_is_better_once_holm_adjusts_at_most_at_the_nominal_rate() -> None:
    rng, eras, alarms, draws = np.random.default_rng(5), np.arange(96), np.zeros(2), 200
    for _ in range(draws):
        default, *trials = [search.Trial({"x": k}, [(eras, values)]) for k, values in enumerate(rng.normal(0.01, 0.02, (11, 96)))]
        told = search.result(search.Found(default, trials, 0), settings(), 12).get("against_default", {})
        alarms += [told.get(key) == BETTER for key in ("verdict", "verdict_holm")]
    assert alarms[0] / draws > 0.06, "the choice makes the best of ten look better than it is: 2.5 % is the rate without a choice"
    assert alarms[1] / draws < 0.04


def test_the_same_seed_tries_the_same_and_another_one_others(tmp_path: Path) -> None:
    runs = [tried(look_for(tmp_path / str(k), settings(seed=seed, trials=4), Attempts())) for k, seed in enumerate((1, 1, 2))]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize(("kill_at", "halving", "method"), [(0, 2, "tpe"), (5, None, "random"), (5, 2, "tpe"), (14, 2, "random")])
def test_a_search_that_was_killed_ends_as_it_would_have(tmp_path: Path, kill_at: int, halving: int | None, method: str) -> None:
    given = settings(halving=halving, method=method, trials=14)
    whole = look_for(tmp_path / "whole", given, Attempts())
    with pytest.raises(KeyboardInterrupt):
        look_for(tmp_path / "killed", given, Attempts(kill_at))
    again = Attempts()
    found = look_for(tmp_path / "killed", given, again)
    assert tried(found) == tried(whole)
    assert found.stopped == whole.stopped
    assert ({} in [changes for changes, _ in again.asked]) == (kill_at == 0), "the model's own settings are tried once"


def test_more_trials_go_on_and_other_data_begin_anew(tmp_path: Path) -> None:
    look_for(tmp_path, settings(trials=3), Attempts())
    more = Attempts()
    assert len(look_for(tmp_path, settings(trials=5), more).whole) == 5
    assert len(more.asked) == 2
    anew = Attempts()
    look_for(tmp_path, settings(trials=3), anew, identity="b")
    assert len(anew.asked) == 4


def test_no_trial_is_deleted_and_those_of_settings_that_return_are_taken_up(tmp_path: Path) -> None:
    first = look_for(tmp_path, settings(trials=3), Attempts())
    said: list[str] = []
    for identity, kept in (
        ("b", "1 earlier search with other settings, data or code is"),
        ("c", "2 earlier searches with other settings, data or code are"),
    ):
        look_for(tmp_path, settings(trials=3), Attempts(), identity, said.append)
        assert said[0] == f"{kept} kept in {tmp_path / 'studies' / 'x.db'}"
        said.clear()
    back = Attempts()
    assert tried(look_for(tmp_path, settings(trials=3), back)) == tried(first)
    assert not back.asked
    assert len(look_for(tmp_path, settings(trials=5), back).whole) == 5
    assert len(back.asked) == 2


@pytest.mark.parametrize("kind", kinds.names())
def test_the_identity_has_the_rooms_that_make_trials_and_no_other(kind: str) -> None:
    """Compare with the rooms of the stage, with one kind of model."""
    hashed = {room(relative(path)) for path in code(kind)}
    made_of = {room(name) for name in closure(ROOT / "stages" / "tune.py", *of_kind(kind))}
    assert hashed == made_of - {"stages/tune.py"}


def test_a_disk_that_is_full_keeps_the_trials_that_it_has_and_is_said_in_a_line(tmp_path: Path) -> None:
    code = """
from pathlib import Path
import optuna
import test_tuning
from erawise.running.errors import InputError
try:
    test_tuning.look_for(Path(), test_tuning.settings(trials=500, method="random"), test_tuning.Attempts())
except InputError as error:
    print(error)
assert optuna.load_study(study_name="a", storage="sqlite:///studies/x.db").trials
"""
    said = small_disk.run(tmp_path, code, 256)
    assert said.startswith("studies/x.db: the trials cannot be kept or read (database or disk is full); check free space and permissions")
    assert said.count("\n") == 1


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"x" * 5000), Path.mkdir])
def test_a_file_of_trials_that_cannot_be_read_is_said_in_a_line(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    (tmp_path / "studies").mkdir()
    spoil(tmp_path / "studies" / "x.db")
    with pytest.raises(InputError, match=r"x\.db: the trials cannot be kept or read \((file is not|unable to open)"):
        look_for(tmp_path, settings(trials=1), Attempts())


def test_halving_stops_the_weak_after_one_two_and_four_folds(tmp_path: Path) -> None:
    attempts = Attempts(noise=0.0)
    found = look_for(tmp_path, settings(halving=2, method="random", trials=40), attempts)
    assert 0 < len(found.whole) < 20
    assert len(found.whole) + found.stopped == 40
    runs: dict[float, list[list[int]]] = {}
    for changes, numbers in attempts.asked[1:]:
        runs.setdefault(changes["x"], []).append(numbers)
    assert {tuple(map(tuple, numbers)) for numbers in runs.values()} == {((0,),), ((0,), (1,)), ((0,), (1,), (2, 3))}
    reached = {x: sum(map(len, numbers)) for x, numbers in runs.items()}
    best = min(reached, key=lambda x: abs(x - 0.7))
    assert reached[best] == FOLDS
    for step, further in pairwise((1, 2, 4)):
        came = [x for x, count in reached.items() if count >= step]
        earlier: list[float] = []
        for x in came:
            rank = sum(abs(other - 0.7) < abs(x - 0.7) for other in earlier)
            earlier.append(x)
            assert (reached[x] >= further) == (rank < -(-len(earlier) // 2))


@pytest.mark.parametrize("name", ["corr", "sharpe", "payout"])
def test_the_objective_is_that_of_all_eras_less_the_spread_of_the_folds(name: str) -> None:
    rng = np.random.default_rng(1)
    corr = rng.normal(0.02, 0.03, (3, 20))
    corr[1, 4] = np.nan
    folds = [(np.arange(20), values) for values in corr]
    filled = np.nan_to_num(corr)

    def figure(values: np.ndarray) -> float:
        return values.mean() / values.std() if name == "sharpe" else values.mean()

    expected = figure(filled.ravel()) - 0.5 * np.std([figure(values) for values in filled])
    assert search.objective(folds, settings(objective=name, penalty=0.5)) == pytest.approx(expected)
    nothing = [(np.arange(20), np.full(20, np.nan))]
    assert search.objective(nothing, settings(objective=name)) == 0
    without = (np.empty(0, np.int64), np.empty(0))
    assert search.objective([without, *folds], settings(objective=name, penalty=0.5)) == pytest.approx(expected)
    assert search.objective([without], settings(objective=name)) == 0


def test_where_nothing_is_better_the_model_stays_as_it_is(tmp_path: Path) -> None:
    class Worse(Attempts):
        def _fold(self, number: int, x: float) -> search.Fold:
            eras, corr = super()._fold(number, x)
            return eras, corr if x == 0.2 else corr - 1

    content = search.result(look_for(tmp_path, settings(trials=3), Worse()), settings(), 4)
    assert content["settings"] == {}
    assert "against_default" not in content
    assert search.sentence(content) == "no trial of 3 is better than its own settings"


def test_with_few_eras_it_cannot_be_told(tmp_path: Path) -> None:
    found = look_for(tmp_path, settings(trials=3), Attempts())
    content = search.result(found, settings(), 30)
    assert content["against_default"]["verdict"] == OPEN
    assert "low" not in content["against_default"]
    assert "an interval needs 240" in search.sentence(content)


def test_a_gain_within_the_seeds_standard_deviation_is_said_to_be() -> None:
    eras = np.arange(4)
    seeds = [[(eras[:2], np.full(2, mean)), (eras[2:], np.array([mean, np.nan]))] for mean in (0.02, 0.04)]
    spread = search.seed_spread(seeds, "mean")
    assert spread == {"seed_std": pytest.approx(0.02 * 3 / 4 / np.sqrt(2))}
    assert search.seed_spread(seeds[:1], "mean") == {}
    against = {"verdict": OPEN, "verdict_holm": OPEN, "eras": 4, "mean": 0.005, "reason": "too few"}
    content = {"settings": {"x": 1.0}, "by": "corr", "against_default": against, "trials": 3}
    assert search.sentence(content | spread).endswith("; the difference is within the seeds' standard deviation (0.0106)")
    assert "seeds" not in search.sentence(content)
    assert "seeds" not in search.sentence(content | spread | {"against_default": against | {"mean": 0.02}})


def test_overfitting_is_certain_for_noise_that_turns_and_absent_for_a_true_best() -> None:
    eras = np.arange(160)
    turning = np.sin(np.arange(160) / 160 * 2 * np.pi)
    rng = np.random.default_rng(0)

    def trial(corr: np.ndarray) -> search.Trial:
        return search.Trial({}, [(eras, corr)])

    noise = [trial(rng.normal(0, 0.02, 160)) for _ in range(10)]
    assert 0.1 < search.overfitting(noise, 4) < 0.95
    assert search.overfitting([*noise, trial(rng.normal(0.05, 0.02, 160))], 4) == 0
    assert search.overfitting([trial(turning), trial(-turning)], 4) > 0.6
    assert np.isnan(search.overfitting(noise[:1], 4))
    assert np.isnan(search.overfitting(noise, 60))


def test_what_was_found_takes_the_place_of_settings() -> None:
    own = Ridge(kind="ridge", target="target", l2=5.0)
    assert training.tuned(own, {}, Path("x.json")) == own
    assert training.tuned(own, {"settings": {"l2": 7.5}}, Path("x.json")).l2 == 7.5
    with pytest.raises(InputError, match=r"x\.json: it has settings that a model of the kind ridge doesn't have"):
        training.tuned(own, {"settings": {"leaves": 7}}, Path("x.json"))
