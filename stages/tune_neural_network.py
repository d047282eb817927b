"""Look for the settings of one model of the kind `neural_network`, where that is switched on."""

from stages import tuning


def search(name: str) -> None:
    """Search; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import neural_network
    from stages import search

    search.run(neural_network, name)


if __name__ == "__main__":
    tuning.run(search)
