"""What the explaining stages share: explain one trained model, and write what drives it."""

from functools import partial

from erawise import params, predictions
from erawise.base import files, tabular
from erawise.base.schema import ERA, ID
from erawise.explanation import explained, explanation
from erawise.models.shared import stored
from erawise.models.shared.protocol import Loader
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import inputs


def run(kind: Loader) -> None:
    """Explain the model that the command names."""
    about = "Say what drives one model: SHAP values, and what is lost where a feature is shuffled."
    runner.stage_of_model("explain", partial(_run, kind), about)


def _run(kind: Loader, name: str, progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    work = inputs.open_for(name, live=False)
    panel, target = work.data.panel, p.data.target
    validation = tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, target])
    panel.index[target] = predictions.known_targets(panel, validation, target)
    with inputs.naming(name):
        models = stored.members(kind, paths.MODELS / name)
        data = explanation.Evidence(panel, work.data.final_features, work.data.plan, target)
        found = explanation.explain(models, data, p.explain, p.resources.threads, progress)
    with files.replacing(paths.EXPLAINED / name) as directory:
        directory.mkdir()
        explained.write(found, directory)
    for line in explanation.report(name, found):
        print(line)
    return runner.Done([paths.EXPLAINED / name], found.sample.rows)
