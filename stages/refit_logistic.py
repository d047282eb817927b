"""Fit one model of the kind `logistic` on every resolved era, where that is switched on."""

from erawise.running import runner
from erawise.running.progress import Progress
from stages import refitting


def refit(name: str, progress: Progress) -> runner.Done:
    """Fit; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models.logistic import model as logistic
    from stages import refit

    return refit.run(logistic, name, progress)


if __name__ == "__main__":
    refitting.run(refit)
