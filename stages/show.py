"""Print the metrics of the last run as tables; a command for people, no stage of the DAG."""

from erawise import errors, files, overview
from erawise.schema import CV, VALIDATION
from stages import paths


@errors.reported
def main() -> None:
    for split, meaning in ((CV, "out of fold on the train eras"), (VALIDATION, "the final check, used for no choice")):
        print(f"**{split}** ({meaning})\n")
        print(overview.markdown(files.read_json(paths.METRICS / f"{split}.json")) + "\n")


if __name__ == "__main__":
    main()
