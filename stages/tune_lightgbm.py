"""Look for the settings of one model of the kind `lightgbm`, where that is switched on."""

from stages import tuning


def search(name: str) -> None:
    """Search; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import lightgbm
    from stages import search

    search.run(lightgbm, name)


if __name__ == "__main__":
    tuning.run(search)
