"""Where the stages find each other's files, relative to the top of the repository."""

from pathlib import Path

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
DATA = Path("data")
DOWNLOADS = Path("data/downloads")
"""What was downloaded from Numerai, in the main checkout; it stays, so that a file comes again only where Numerai's has changed."""
SOURCE = Path("data/source.json")
"""The source that was checked last; it is in no cache, so that each experiment in a directory of its own checks again."""
RAW = Path("data/raw")
PREPARED = Path("data/prepared")
PANEL = PREPARED / "panel"
"""The rows of train and validation, sorted by era and id."""
MISSING = PREPARED / "missing"
"""How many values were missing, by feature and by era."""
LIVE = PREPARED / "live"
VALIDATION_TARGETS = PREPARED / "validation_targets.parquet"
REFERENCES = PREPARED / "references.parquet"
EXPLORED = Path("data/explored")
CHECKED = EXPLORED / "checked.json"
"""What was checked of the train and validation eras; nothing is trained without it."""
EXPLAINED = Path("data/explained")
"""What drives each model."""
FOLDS = Path("data/folds.json")
FEATURES = Path("data/features")
MEMBERS = Path("data/members.json")
TUNING = Path("data/tuning")
SEARCHED = TUNING / "_searched.json"
"""Digests of what each search has looked at: a search that would look at the same is not made again."""
STUDIES = Path("data/studies")
"""What a search for settings has tried; it goes on from there after it was stopped."""
MODELS = Path("data/models")
FINAL = Path("data/final")
"""The models of `final.refit`, fitted again on every resolved era; the others are handed in as they were trained."""
CURVES = Path("data/curves")
PREDICTIONS = Path("data/predictions")
MODEL_PREDICTIONS = PREDICTIONS / "models"
ENSEMBLE = PREDICTIONS / "ensemble.parquet"
NEUTRALIZED = PREDICTIONS / "neutralized.parquet"
NEUTRALIZED_TO = Path("data/neutralized_to.json")
WEIGHTS = Path("data/weights.json")
SCORES = Path("data/scores")
EXPOSURE = SCORES / "exposure.parquet"
COMPARISON = Path("data/comparison")
ROUNDS = Path("data/rounds")
"""The live data of the last rounds, and what was handed in to each."""
LIVE_SCORES = Path("data/live_scores")
"""The live scores that were fetched; they stay, and more are added."""
PROMISES = Path("data/promises")
"""The validation scores of what was handed in, by the digest of the models that made it; they stay."""
JOURNAL = Path("journal.jsonl")
"""A line for each attempt to hand something in."""
ENVIRONMENT = Path(".env")
DIAGNOSTICS = Path("data/diagnostics")
REPORT = Path("report.html")
PAYOUT = Path("data/payout")
UPLOAD = Path("data/upload")
"""The pickle for Numerai's model upload, and what its check found."""
RUNS = Path("data/runs")
"""The record of the last run of each stage: what it wrote, how long it took and how much memory. No out of DVC: times differ by run."""
METRICS = Path("metrics")
SUMMARY = METRICS / "summary.json"
"""The few figures that `dvc metrics` and `dvc exp show` print."""
PLOTS = Path("plots")
TABLES = PLOTS / "tables"
PICTURES = PLOTS / "pictures"
SCRATCH = Path("data/scratch")
"""Files that the training stages share; the ensemble, which comes after the last of them, removes it."""

DVC_DIRECTORY = ".dvc"
EXPERIMENTS = (DVC_DIRECTORY, "tmp", "exps")
"""Where DVC runs experiments in directories of their own, below the directory in which it was set up."""


def main_checkout(directory: Path) -> Path:
    """Return the project's directory: the given one, or if an experiment runs there, the one that the experiment is of.

    DVC may be set up in the project's directory, or above it in a larger repository.
    """
    places = directory.parts
    for start in range(len(places) - len(EXPERIMENTS) + 1):
        if places[start : start + len(EXPERIMENTS)] == EXPERIMENTS:
            inside = [place for place in (directory, *directory.parents) if len(place.parts) > start + len(EXPERIMENTS)]
            root = next((place for place in inside if (place / DVC_DIRECTORY).is_dir()), directory)
            return Path(*places[:start]) / directory.relative_to(root)
    return directory
