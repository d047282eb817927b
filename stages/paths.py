"""Where the stages find each other's files, relative to the top of the repository."""

from pathlib import Path

PARAMS = Path("params.yaml")
RAW = Path("data/raw")
PREPARED = Path("data/prepared")
LIVE = PREPARED / "live"
VALIDATION_TARGETS = PREPARED / "validation_targets.parquet"
REFERENCES = PREPARED / "references.parquet"
EXPLORED = Path("data/explored")
FOLDS = Path("data/folds.json")
FEATURES = Path("data/features")
MEMBERS = Path("data/members.json")
TUNING = Path("data/tuning")
STUDIES = Path("data/studies")
"""What a search for settings has tried; it goes on from there after it was stopped."""
MODELS = Path("data/models")
CURVES = Path("data/curves")
PREDICTIONS = Path("data/predictions")
MODEL_PREDICTIONS = PREDICTIONS / "models"
ENSEMBLE = PREDICTIONS / "ensemble.parquet"
NEUTRALIZED = PREDICTIONS / "neutralized.parquet"
NEUTRALIZED_TO = Path("data/neutralized_to.json")
WEIGHTS = Path("data/weights.json")
SCORES = Path("data/scores")
COMPARISON = Path("data/comparison")
METRICS = Path("metrics")
PLOTS = Path("plots")
SCRATCH = Path("data/scratch")
"""Files that the training stages share; the ensemble, which comes after the last of them, removes it."""
