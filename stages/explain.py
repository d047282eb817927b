"""Explain one model: SHAP values, and the loss of score if a feature is shuffled."""

from typing import Any

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import ERA, ID
from erawise.explanation import explained, explanation
from erawise.explanation.explained import Explanation
from erawise.models.shared import kinds, stored
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import inputs


@runner.stage_of_model("explain")
def main(name: str, progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    target = p.data.target
    settings: Any = params.model(p, name)
    if settings.kind == kinds.GIVEN:
        _write(name, explained.nothing())
        print(f"{name}: nothing to explain: it is a file of predictions, and no predictor of it is here")
        return runner.Done([paths.EXPLAINED / name])
    work = inputs.read(name, settings, target, p.resources, live=False)
    panel = work.data.panel
    validation = tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, target])
    panel.index[target] = predictions.known_targets(panel, validation, target)
    with inputs.naming(name):
        models = stored.load(paths.MODELS / name)
        data = explanation.Evidence(panel, work.data.final_features, work.data.plan, target)
        found = explanation.explain(models, data, p.explain, p.resources.threads, progress)
    _write(name, found)
    for line in explanation.report(name, found):
        print(line)
    return runner.Done([paths.EXPLAINED / name], found.sample.rows)


def _write(name: str, found: Explanation) -> None:
    with files.replacing(paths.EXPLAINED / name) as directory:
        directory.mkdir()
        explained.write(found, directory)


if __name__ == "__main__":
    main()
