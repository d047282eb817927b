"""Train one model of the kind `ridge`: out-of-fold, validation and live predictions, and the final model."""

from erawise.models.ridge import model as ridge
from stages import training

if __name__ == "__main__":
    training.run(ridge)
