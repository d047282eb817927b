"""What does the fits of a stage: its own process, or workers of Dask."""

from collections.abc import Iterator
from contextlib import contextmanager

from erawise import params
from erawise.cluster import sites
from erawise.models.shared.protocol import Resources
from erawise.running import paths
from erawise.training.jobs import HERE, Engine, Source


@contextmanager
def engine(source: Source, resources: Resources) -> Iterator[Engine]:
    """What `execution` says; `source` is what the fits read, and `resources` what this process may use, or each fit elsewhere."""
    p = params.load(paths.PARAMS)
    if p.execution.engine == "local":
        yield HERE
        return
    from erawise.cluster import connection

    with connection.engine(sites.survey(source), p.execution.scheduler, p.execution.workers, resources) as found:
        yield found
