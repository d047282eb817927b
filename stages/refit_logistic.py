"""Fit one model of the kind `logistic` on every resolved era, where that is switched on."""

from stages import refitting


def refit(name: str) -> None:
    """Fit; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import logistic
    from stages import refit

    refit.run(logistic, name)


if __name__ == "__main__":
    refitting.run(refit)
