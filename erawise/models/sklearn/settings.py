"""Settings of an estimator of scikit-learn, or of another package with its `fit` and `predict`."""

import importlib.util
from typing import Any, Literal

from pydantic import Field, field_validator

from erawise.models.shared.settings import Drawing


class Sklearn(Drawing):
    kind: Literal["sklearn"]
    estimator: str = Field(description="path of a class with fit and predict, such as `sklearn.ensemble.HistGradientBoostingRegressor`")
    settings: dict[str, Any] = Field({}, description="its arguments by name; absent ones have the defaults of the class")

    @field_validator("estimator")
    @classmethod
    def _installed(cls, path: str) -> str:
        """Raise `ValueError` if it is no dotted path into an installed package; the package isn't imported."""
        package, *rest = path.split(".")
        if not rest or not all(part.isidentifier() for part in (package, *rest)):
            raise ValueError("expected the path of a class, such as sklearn.ensemble.HistGradientBoostingRegressor")
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"there is no package {package}; install it, or mend the path")
        return path

    def require_usable(self) -> None:
        from erawise.models.sklearn import estimators

        estimators.made(self.estimator, self.settings, self.seed, threads=1)
