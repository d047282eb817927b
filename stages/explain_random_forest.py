"""Say what drives one model of the kind `random_forest`: SHAP values, and what is lost where a feature is shuffled."""

from erawise.models.random_forest import model as random_forest
from stages import explaining

if __name__ == "__main__":
    explaining.run(random_forest)
