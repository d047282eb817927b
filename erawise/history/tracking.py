"""A run in Weights & Biases: its settings, its scores and the curves of its trainings. wandb is imported only if it is asked for."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd

from erawise.history import ledger
from erawise.running.errors import InputError

PROJECT = "erawise"
ROUND = "round"
SECONDS = 30
"""That the service has for each answer: to log in, to begin, and to end."""


def log_run(
    mode: Literal["offline", "online"],
    directory: Path,
    name: str | None,
    settings: dict[str, Any],
    scores: dict[str, Any],
    curves: dict[str, pd.Series],
) -> None:
    """Add a run to Weights & Biases.

    Parameters
    ----------
    mode : `online`, or `offline`: kept in `wandb/` below the directory until `wandb sync` sends it.
    directory : of wandb's files.
    name : of the run; None: wandb finds one.
    settings : by section, shown as the run's config.
    scores : nested, shown as its summary, by paths such as `cv/ensemble/corr/mean`.
    curves : a score by round each, by names such as `lightgbm/fold_1`.

    Raises
    ------
    InputError
        If wandb isn't installed, there is no key for it, or its service doesn't answer or refuses.
    """
    try:
        import wandb
    except ImportError:
        raise InputError("tracking.wandb: the package wandb isn't installed; run `pip install wandb`, or set it to disabled") from None
    try:
        if mode == "online" and not wandb.login(prompt=False, timeout=SECONDS):
            raise InputError("tracking.wandb: there is no key; set WANDB_API_KEY, run `wandb login`, or set it to offline")
        with wandb.init(project=PROJECT, name=name, dir=directory, mode=mode, config=settings, settings=_quiet(wandb)) as run:
            run.define_metric(ROUND)
            run.define_metric("curves/*", step_metric=ROUND)
            points = pd.DataFrame({f"curves/{name}": curve for name, curve in curves.items()})
            for number, row in points.sort_index().iterrows():
                run.log({ROUND: number, **row.dropna().to_dict()})
            run.summary.update({path.replace(".", "/"): value for path, value in ledger.flat(scores).items()})
    except InputError:
        raise
    except Exception as error:  # whatever goes wrong in the service or its client must not spoil the run
        raise InputError(f"tracking.wandb: {' '.join(str(error).split())}; try again, or set it to offline") from None


def _quiet(wandb: Any) -> Any:
    """Return settings by which nothing of the machine, of Git or of the output is sent, and the service has its time to answer."""
    return wandb.Settings(
        console="off",
        silent=True,
        disable_git=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_save_requirements=False,
        init_timeout=SECONDS,
        login_timeout=SECONDS,
        finish_timeout=SECONDS,
    )
