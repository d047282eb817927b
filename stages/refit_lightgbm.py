"""Fit one model of the kind `lightgbm` on every resolved era, where that is switched on."""

from erawise.progress import Progress
from stages import refitting, running


def refit(name: str, progress: Progress) -> running.Done:
    """Fit; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import lightgbm
    from stages import refit

    return refit.run(lightgbm, name, progress)


if __name__ == "__main__":
    refitting.run(refit)
