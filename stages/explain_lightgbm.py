"""Say what drives one model of the kind `lightgbm`: SHAP values, and what is lost where a feature is shuffled."""

from erawise.models.lightgbm import model as lightgbm
from stages import explaining

if __name__ == "__main__":
    explaining.run(lightgbm)
