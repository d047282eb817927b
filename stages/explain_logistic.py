"""Say what drives one model of the kind `logistic`: SHAP values, and what is lost where a feature is shuffled."""

from erawise.models.logistic import model as logistic
from stages import explaining

if __name__ == "__main__":
    explaining.run(logistic)
