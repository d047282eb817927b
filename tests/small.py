"""Settings of a pipeline that runs in a minute: `python tests/small.py params.yaml` changes the file in place."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

CHANGES: dict[str, Any] = {
    "data.market.train_eras": 100,
    "data.market.validation_eras": 40,
    "data.market.stocks": 60,
    "data.market.features": 24,
    "split.folds": 2,
    "select_features.trees": 10,
    "models.logistic.l2": 100.0,
    "models.ridge.l2": 1000.0,
    "models.lightgbm.trees": 20,
    "models.lightgbm.early_stopping": 5,
    "models.lightgbm.min_rows_leaf": 50,
    "models.random_forest.trees": 5,
    "models.random_forest.min_rows_leaf": 50,
    "models.neural_network.epochs": 2,
    "models.neural_network.layers": [8],
    "explain.rows": 400,
    "explain.background": 10,
    "neutralize.count": 5,
    "resources.threads": 1,
}


def edit(path: Path, how: Callable[[Any], object]) -> None:
    """Change a file of settings, which loses its comments: to keep them takes a third of a second."""
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    content = yaml.load(path.read_text(encoding="utf-8"))
    how(content)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def change_all(content: Any) -> None:
    """Make all changes; a missing model needs no change."""
    for name, value in CHANGES.items():
        section, entry, *_ = name.split(".")
        if section != "models" or entry in content["models"]:
            change(content, name, value)


def change(content: Any, name: str, value: Any) -> None:
    """Set the key with a dotted name, which must be there."""
    *parents, last = name.split(".")
    for part in parents:
        content = content[part]
    if last not in content:
        raise KeyError(name)
    content[last] = value


if __name__ == "__main__":
    edit(Path(sys.argv[1]), change_all)
