"""Search for better settings of the models that `tuning.models` names. The others keep their settings.

The result of a search is kept until something changes on which it depends.
"""

import os
from pathlib import Path

from erawise import params
from erawise.base import files
from erawise.running import paths, runner
from erawise.running.progress import Progress
from erawise.training import own_files


@runner.stage("tune")
def main(progress: Progress) -> runner.Done:
    p = params.load(paths.PARAMS)
    tuned = p.tuning.models
    kept = files.read_json(paths.SEARCHED) if paths.SEARCHED.is_file() else {}
    found = {name: paths.TUNING / f"{name}.json" for name in p.models}
    for path in paths.TUNING.glob("*"):
        if path not in (*found.values(), paths.SEARCHED):
            files.remove(path)
    params.require_usable(p.models)
    for name in set(found) - set(tuned):
        files.write_json(own_files.recorded(own_files.bound(p.models[name])), found[name])
    searched: dict[str, str] = {}
    for name in tuned:
        searched[name] = _search(name, found[name], kept.get(name), progress)
        files.write_json(kept | searched, paths.SEARCHED)
    if tuned:
        files.write_json(searched, paths.SEARCHED)
    else:
        files.remove(paths.SEARCHED)
        print("no search: tuning.models names no model, and each keeps its settings")
    return runner.Done([paths.TUNING])


def _search(name: str, path: Path, kept: str | None, progress: Progress) -> str:
    """Search for the settings of one model, or keep the result of the same search, and return the search's digest."""
    from erawise.regimes import regimes  # here, since a stage without a search doesn't need them
    from erawise.training import inputs
    from erawise.tuning import model_search, search

    p = params.load(paths.PARAMS)
    settings, target = own_files.bound(p.models[name]), p.data.target
    regime = regimes.load(p.payout.regimes).named(p.payout.regime)
    space, share = p.spaces[settings.kind], p.training.inner_share
    question = model_search.Question(name, settings, p.tuning, space, share, target, p.evaluate.benchmark, regime)
    digest = question.digest()
    if kept == digest and path.is_file():
        print(f"{name}: the result of the last search is kept, since nothing has changed on which it depends")
        return digest
    work = inputs.read(name, settings, target, p.resources, live=False)
    storage = Path(os.path.relpath(paths.main_checkout(Path.cwd()) / paths.STUDIES / f"{name}.db"))
    content = model_search.run(question, work, p.execution, storage, progress)
    files.write_json(content | own_files.recorded(settings), path)
    work.resources.notify(search.sentence(content))
    return digest


if __name__ == "__main__":
    main()
