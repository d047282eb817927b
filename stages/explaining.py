"""What the explaining stages share: explain one trained model, and write what drives it."""

from functools import partial

from erawise import explained, explanation, files, params, predictions, tabular
from erawise.models import stored
from erawise.models.protocol import Loader
from erawise.progress import Progress
from erawise.schema import ERA, ID
from stages import modelling, paths, running


def run(kind: Loader) -> None:
    """Explain the model that the command names."""
    about = "Say what drives one model: SHAP values, and what is lost where a feature is shuffled."
    running.stage_of_model("explain", partial(_run, kind), about)


def _run(kind: Loader, name: str, progress: Progress) -> running.Done:
    p = params.load(paths.PARAMS)
    work = modelling.open_for(name, live=False)
    panel, target = work.data.panel, p.data.target
    validation = tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, target])
    panel.index[target] = predictions.known_targets(panel, validation, target)
    with modelling.naming(name):
        models = stored.members(kind, paths.MODELS / name)
        features, plan = work.data.final_features, work.data.plan
        found = explanation.explain(models, panel, features, plan, target, p.explain, p.resources.threads, progress)
    with files.replacing(paths.EXPLAINED / name) as directory:
        directory.mkdir()
        explained.write(found, directory)
    for line in explanation.report(name, found):
        print(line)
    return running.Done([paths.EXPLAINED / name], found.sample.rows)
