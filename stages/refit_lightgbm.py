"""Fit one model of the kind `lightgbm` on every resolved era, where that is switched on."""

from stages import refitting


def refit(name: str) -> None:
    """Fit; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models import lightgbm
    from stages import refit

    refit.run(lightgbm, name)


if __name__ == "__main__":
    refitting.run(refit)
