"""Say what drives one model of the kind `ridge`: SHAP values, and what is lost where a feature is shuffled."""

from erawise.models.ridge import model as ridge
from stages import explaining

if __name__ == "__main__":
    explaining.run(ridge)
