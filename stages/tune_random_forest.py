"""Look for the settings of one model of the kind `random_forest`, where that is switched on."""

from stages import tuning


def search(name: str) -> None:
    """Search; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import random_forest
    from stages import search

    search.run(random_forest, name)


if __name__ == "__main__":
    tuning.run(search)
