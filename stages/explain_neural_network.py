"""Say what drives one model of the kind `neural_network`: SHAP values, and what is lost where a feature is shuffled."""

from erawise.models.neural_network import model as neural_network
from stages import explaining

if __name__ == "__main__":
    explaining.run(neural_network)
