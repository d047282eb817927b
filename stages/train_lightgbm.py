"""Train one model of the kind `lightgbm`: out-of-fold, validation and live predictions, and the final model."""

from erawise.models.lightgbm import model as lightgbm
from stages import training

if __name__ == "__main__":
    training.run(lightgbm)
