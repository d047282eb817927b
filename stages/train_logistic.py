"""Train one model of the kind `logistic`: out-of-fold, validation and live predictions, and the final model."""

from erawise.models.logistic import model as logistic
from stages import training

if __name__ == "__main__":
    training.run(logistic)
