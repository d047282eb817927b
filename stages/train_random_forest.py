"""Train one model of the kind `random_forest`: out-of-fold, validation and live predictions, and the final model."""

from erawise.models.random_forest import model as random_forest
from stages import training

if __name__ == "__main__":
    training.run(random_forest)
