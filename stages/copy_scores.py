"""Copy every figure of every prediction to metrics/, which Git keeps."""

from erawise.base import files
from erawise.base.schema import CV, VALIDATION
from erawise.running import paths, runner
from erawise.running.progress import Progress


@runner.stage("copy_scores")
def main(progress: Progress) -> runner.Done:
    copies = {paths.SCORES / f"{split}.json": paths.METRICS / f"{split}.json" for split in (CV, VALIDATION)}
    for scores, copy in copies.items():
        files.write_json(files.read_json(scores), copy)
    return runner.Done([*copies.values()])


if __name__ == "__main__":
    main()
