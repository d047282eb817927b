"""Train one model of the kind `neural_network`: out-of-fold, validation and live predictions, and the final model."""

from erawise.models.neural_network import model as neural_network
from stages import training

if __name__ == "__main__":
    training.run(neural_network)
