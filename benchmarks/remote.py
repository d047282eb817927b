"""What a DVC remote takes for data of Numerai v5.2's size: bytes to keep, and the time to push and pull them.

Sizes follow from the shape, or are scaled by rows from this checkout's dvc.lock. Rates are measured on a slice of random int8 features,
to a directory and to an S3 server on loopback, and scaled to the full size. `python -m benchmarks.remote` prints the tables; `--write`
puts them into docs/remote.md.
"""

import argparse
import json
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import boto3
import numpy as np
from dvc.repo import Repo
from moto.server import ThreadedMotoServer

from benchmarks import measure
from erawise import places, remotes

PAGE = measure.ROOT / "docs" / "remote.md"
FEATURES, ROWS = 2748, 2_746_268 + 3_870_000
"""Of v5.2 in December 2025: train and validation."""

RAW_BYTES = 6.79 * 2**30
"""Of the files that `benchmarks.full_size` draws in Numerai's layout at this size, see docs/scale.md."""

SLICE_ROWS, REPEATS = 100_000, 3
LINKS = {"100 Mbit/s": 100e6 / 8, "1 Gbit/s": 1e9 / 8, "10 Gbit/s": 10e9 / 8}
BUCKET = "bucket"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "*"}


def sizes() -> str:
    """What there is to push at full size."""
    found = json.loads((measure.ROOT / "metrics/data.json").read_text(encoding="utf-8"))
    share = ROWS / sum(found[split]["rows"] for split in ("train", "validation"))
    stages = places.read_lock(measure.ROOT / "dvc.lock").values()
    outs = {out["path"]: out["size"] for stage in stages for out in stage.get("outs", []) if out["path"].startswith("data/")}
    matrix, models = outs.pop("data/prepared/features.npy"), [size for path, size in outs.items() if "predictions/models/" in path]
    prepared = sum(size for path, size in outs.items() if path.startswith("data/prepared/"))
    blends = sum(size for path, size in outs.items() if path.startswith("data/predictions/") and "/models/" not in path)
    rest = sum(size for path, size in outs.items() if not path.startswith(("data/raw", "data/prepared", "data/predictions")))
    lines = [
        ("`data/raw`", RAW_BYTES, "no", "drawn at this size, docs/scale.md"),
        (
            "`data/prepared/features.npy`",
            ROWS * FEATURES,
            "once for each way to prepare",
            f"rows × features, a byte each ({remotes.size(matrix)} here)",
        ),
        ("the rest of `data/prepared`", prepared * share, "with it", "dvc.lock, scaled by rows"),
        ("predictions of a model", max(models) * share, "when the model changes", "dvc.lock, scaled by rows"),
        ("ensemble, neutralized", blends * share, "when a model changes", "dvc.lock, scaled by rows"),
        ("models, scores, folds, …", rest, "when they change", "dvc.lock as it is; grows with trees and eras"),
    ]
    head = ["| out | size | pushed | where the size is from |", "|---|---:|---|---|"]
    return "\n".join([*head, *(f"| {name} | {remotes.size(size)} | {pushed} | {origin} |" for name, size, pushed, origin in lines)])


def times(rows: int) -> str:
    """The rates of a slice, and the time that they make of the features of full size."""
    whole, part = ROWS * FEATURES, rows * FEATURES
    lines = [f"| what | MB/s | {remotes.size(whole)} take |", "|---|---:|---:|"]
    for name, seconds in _measured(rows):
        lines.append(f"| {name}, measured on {remotes.size(part)} | {part / seconds / 1e6:,.0f} | {_minutes(whole / part * seconds)} |")
    lines += [f"| a link of {name}, reckoned | {rate / 1e6:,.1f} | {_minutes(whole / rate)} |" for name, rate in LINKS.items()]
    return "\n".join(lines)


def _measured(rows: int) -> Iterator[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as directory:
        repository = Path(directory, "repository")
        repository.mkdir()
        Repo.init(str(repository), no_scm=True).close()
        path = repository / "features.npy"
        np.save(path, np.random.default_rng(0).integers(0, 5, (rows, FEATURES), np.int8))
        with Repo(str(repository)) as repo:
            yield "digest and copy to the cache after a stage", _seconds(lambda: repo.add([str(path)]))
        yield from _ways(repository, "directory on the same disk", lambda turn: f"url = {directory}/far{turn}", Path(directory))
        with _s3() as url:
            yield from _ways(repository, "S3 on loopback (moto)", lambda turn: f"url = s3://{BUCKET}/{turn}\n endpointurl = {url}", None)


def _ways(repository: Path, name: str, config: Callable[[int], str], above: Path | None) -> Iterator[tuple[str, float]]:
    pushes, pulls = [], []
    for turn in range(REPEATS):
        if above:
            (above / f"far{turn}").mkdir()
        (repository / ".dvc/config").write_text(f"[core]\n remote = far\n no_scm = true\n['remote \"far\"']\n {config(turn)}\n")
        pushes.append(_seconds(lambda: _work(repository, lambda remote: remote.push(remote.held(remote.outs())))))
        shutil.rmtree(repository / ".dvc/cache")
        pulls.append(_seconds(lambda: _work(repository, lambda remote: remote.fetch(remote.outs()))))
    yield f"push to {name}", statistics.median(pushes)
    yield f"pull from {name}", statistics.median(pulls)


def _work(repository: Path, do: Callable[[remotes.Remote], object]) -> None:
    with remotes.opened(repository, now=lambda: datetime.now(UTC)) as remote:
        do(remote)


@contextmanager
def _s3() -> Iterator[str]:
    os.environ.update(ENVIRONMENT)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket=BUCKET)
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=SLICE_ROWS, help="of the slice")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/remote.md")
    given = parser.parse_args()
    measure.publish({"sizes": sizes(), "times": times(given.rows)}, PAGE, write=given.write)


if __name__ == "__main__":
    main()
