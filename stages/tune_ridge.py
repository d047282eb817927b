"""Look for the settings of one model of the kind `ridge`, where that is switched on."""

from erawise.progress import Progress
from stages import running, tuning


def search(name: str, progress: Progress) -> running.Done:
    """Search; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import ridge
    from stages import search

    return search.run(ridge, name, progress)


if __name__ == "__main__":
    tuning.run(search)
