"""Fit one model of the kind `ridge` on every resolved era, where that is switched on."""

from stages import refitting


def refit(name: str) -> None:
    """Fit; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import ridge
    from stages import refit

    refit.run(ridge, name)


if __name__ == "__main__":
    refitting.run(refit)
