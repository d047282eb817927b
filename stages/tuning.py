"""What the tuning stages share: whether there is anything to look for."""

import sys
from collections.abc import Callable

from erawise import errors, files, params
from stages import paths


def run(search: Callable[[str], None]) -> None:
    """Look for the settings of the model whose name is the only argument, or write that nothing was looked for."""
    errors.reported(lambda: _run(search, *sys.argv[1:2]))()


def _run(search: Callable[[str], None], name: str = "") -> None:
    p = params.load(paths.PARAMS)
    try:
        kind = p.models[name].kind
    except KeyError:
        raise params.unknown_model(name) from None
    if name in p.tuning.models:
        search(name)
    else:
        files.write_json({}, paths.TUNING / f"{name}.json")
        print(f"{name}: this {kind} model keeps the settings that it has")
