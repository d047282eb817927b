"""What the explaining stages share: explain one trained model, and write what drives it."""

import sys

from erawise import errors, explained, explanation, files, params, predictions, tabular
from erawise.models import stored
from erawise.models.protocol import Loader
from erawise.schema import ERA, ID
from stages import modelling, paths


def run(kind: Loader) -> None:
    """Explain the model whose name is the only argument of the command."""
    errors.reported(lambda: _run(kind, *sys.argv[1:2]))()


def _run(kind: Loader, name: str = "") -> None:
    p = params.load(paths.PARAMS)
    work = modelling.open_for(name, live=False)
    panel, target = work.data.panel, p.data.target
    validation = tabular.read_parquet(paths.VALIDATION_TARGETS, [ID, ERA, target])
    panel.index[target] = predictions.known_targets(panel, validation, target)
    with modelling.naming(name):
        models = stored.members(kind, paths.MODELS / name)
        found = explanation.explain(models, panel, work.data.final_features, work.data.plan, target, p.explain, p.resources.threads)
    with files.replacing(paths.EXPLAINED / name) as directory:
        directory.mkdir()
        explained.write(found, directory)
    for line in explanation.report(name, found):
        print(line)
