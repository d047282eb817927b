"""The engine of a stage: its own process, or workers of Dask."""

from collections.abc import Iterator
from contextlib import contextmanager

from erawise.cluster import data_location
from erawise.cluster.settings import Execution
from erawise.models.shared.protocol import Resources
from erawise.training.jobs import HERE, Engine, Source


@contextmanager
def engine(execution: Execution, source: Source, resources: Resources) -> Iterator[Engine]:
    """Yield the engine that the section `execution` names.

    Parameters
    ----------
    source : the files that the fits read.
    resources : limits of this process, or of each fit elsewhere.
    """
    if execution.engine == "local":
        yield HERE
        return
    from erawise.cluster import connection

    with connection.engine(data_location.survey(source), execution.scheduler, execution.workers, resources) as found:
        yield found
