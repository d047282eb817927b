"""A model that is made of a file of the user's own is tied to the content that `tune` has recorded."""

import pickle
from pathlib import Path
from typing import Literal

import pytest

from erawise.models.shared.settings import Seeded
from erawise.running.errors import InputError
from erawise.training import own_files, training

FOUND = Path("data/tuning/mine.json")


class Mine(Seeded):
    kind: Literal["mine"] = "mine"
    path: str
    l2: float = 1.0

    @property
    def own_file(self) -> str:
        return self.path


@pytest.fixture(params=["file", "directory"])
def mine(request: pytest.FixtureRequest, tmp_path: Path) -> Mine:
    own = tmp_path / "mine" if request.param == "file" else tmp_path / "mine" / "one"
    own.parent.mkdir(exist_ok=True)
    own.write_text("first")
    return Mine(path=str(tmp_path / "mine"), target="target", seeds=[1, 2])


def test_a_model_is_fitted_with_the_content_that_was_recorded(mine: Mine) -> None:
    found = own_files.recorded(own_files.bound(mine))
    tuned = training.tuned(mine, {**found, "settings": {"l2": 2.0}}, FOUND)
    assert tuned.l2 == 2.0
    assert {variant.digest for variant in tuned.variants.values()} == {found["file"]["sha256"]}
    assert pickle.loads(pickle.dumps(tuned)).identity() == tuned.identity()
    assert training.tuned(tuned, {"settings": {"l2": 3.0}}, FOUND).digest == tuned.digest, "a trial of a search needs no record"


def test_another_content_is_another_model_and_is_refused_until_it_is_recorded(mine: Mine) -> None:
    before = own_files.bound(mine)
    own = Path(mine.path) / "one" if Path(mine.path).is_dir() else Path(mine.path)
    own.write_text("second")
    assert own_files.bound(mine).identity() != before.identity()
    for found in (own_files.recorded(before), {}):
        with pytest.raises(InputError, match=rf"^{mine.path}: has changed since `tune`; run `dvc repro`$"):
            training.tuned(mine, found, FOUND)
    assert mine.identity() == mine.model_dump(mode="json"), "settings as they are written know of no content"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.py: the model's file is missing; put it there, and `git add` it"):
        own_files.bound(Mine(path=str(tmp_path / "nowhere.py"), target="target", seed=1))
