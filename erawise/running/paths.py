"""Paths of the stages' files, relative to the top of the repository."""

from pathlib import Path

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
DATA = Path("data")
DOWNLOADS = Path("data/downloads")
"""Downloads from Numerai, in the main checkout. They stay: a file is fetched again only if Numerai has a new version."""
SOURCE = Path("data/source.json")
"""The source that was checked last; it is in no cache, so that each experiment in a directory of its own checks again."""
LOCAL = Path("data/local")
"""Files of the user's own."""
RAW = Path("data/raw")
PREPARED = Path("data/prepared")
PANEL = PREPARED / "panel"
"""The rows of train and validation, sorted by era and id."""
MISSING = PREPARED / "missing"
"""Numbers of missing values, by feature and by era."""
LIVE = PREPARED / "live"
VALIDATION_TARGETS = PREPARED / "validation_targets.parquet"
REFERENCES = PREPARED / "references.parquet"
EXPLORED = Path("data/explored")
CHECKED = EXPLORED / "checked.json"
"""Results of the checks of the train and validation eras; without them no model is trained."""
EXPLAINED = Path("data/explained")
"""Feature contributions to each model's predictions."""
FOLDS = Path("data/folds.json")
RELEASED = Path("data/released.parquet")
"""The targets of the validation eras if models are retrained on them, else a table without rows."""
FEATURES = Path("data/features")
MEMBERS = Path("data/members.json")
TUNING = Path("data/tuning")
SEARCHED = TUNING / "_searched.json"
"""Digests of the inputs of each search: a search with the same inputs is not repeated."""
STUDIES = Path("data/studies")
"""Trials of a search for settings; a search that was stopped goes on from there."""
MODELS = Path("data/models")
FINAL = Path("data/final")
"""The models of `final.refit`, fitted again on every resolved era. The other models are used as they were trained."""
FITS = Path("data/fits")
"""The fits of models that are retrained, by the digest of what they depend on: none is done twice."""
SEEN = FITS / "eras.json"
"""The digests of the eras that they were fitted on."""
CURVES = Path("data/curves")
PREDICTIONS = Path("data/predictions")
MODEL_PREDICTIONS = PREDICTIONS / "models"
ENSEMBLE = PREDICTIONS / "ensemble.parquet"
NEUTRALIZED = PREDICTIONS / "neutralized.parquet"
NEUTRALIZED_TO = Path("data/neutralized_to.json")
WEIGHTS = Path("data/weights.json")
SCORES = Path("data/scores")
EXPOSURE = SCORES / "exposure.parquet"
ROUNDS = Path("data/rounds")
"""The live data of the last rounds, and the submissions to each."""
LIVE_SCORES = Path("data/live_scores")
"""The live scores that were fetched; they are only added to."""
PROMISES = Path("data/promises")
"""The validation scores of the predictions that were handed in, by the digest of their models; they stay."""
JOURNAL = Path("journal.jsonl")
"""A line for each attempt to hand in."""
ENVIRONMENT = Path(".env")
UPLOAD = Path("data/upload")
"""The pickle for Numerai's model upload, and the result of its check."""
RUNS = Path("data/runs")
"""The record of each stage's last run: files, time and memory. It is no out of DVC, since times differ between runs."""
METRICS = Path("metrics")
SUMMARY = METRICS / "summary.json"
"""The few figures that `dvc metrics` and `dvc exp show` print."""
PLOTS = Path("plots")
TABLES = PLOTS / "tables"
PICTURES = PLOTS / "pictures"
SCRATCH = Path("data/scratch")
"""Files that the training stages share; the stage `ensemble`, which runs after them, removes them."""

DVC_DIRECTORY = ".dvc"
EXPERIMENTS = (DVC_DIRECTORY, "tmp", "exps")
"""The directory of DVC's experiments, below the directory in which DVC was set up."""


def prediction(name: str) -> Path:
    """Return the path of a prediction: of a model, `ensemble` or `neutralized`."""
    return {"ensemble": ENSEMBLE, "neutralized": NEUTRALIZED}.get(name, MODEL_PREDICTIONS / f"{name}.parquet")


def main_checkout(directory: Path) -> Path:
    """Return the project's directory: the given one, or if a DVC experiment runs there, the directory that it was started from.

    DVC may be set up in the project's directory, or above it in a larger repository.
    """
    places = directory.parts
    for start in range(len(places) - len(EXPERIMENTS) + 1):
        if places[start : start + len(EXPERIMENTS)] == EXPERIMENTS:
            inside = [place for place in (directory, *directory.parents) if len(place.parts) > start + len(EXPERIMENTS)]
            root = next((place for place in inside if (place / DVC_DIRECTORY).is_dir()), directory)
            return Path(*places[:start]) / directory.relative_to(root)
    return directory
