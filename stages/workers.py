"""What does the fits of a stage: its own process, or workers of Dask."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from erawise import params, sites
from erawise.errors import InputError
from erawise.jobs import HERE, Engine, Source
from erawise.models.protocol import Resources
from stages import paths


@contextmanager
def engine(source: Source, resources: Resources) -> Iterator[Engine]:
    """What `execution` says; `source` is what the fits read, and `resources` what this process may use, or each fit elsewhere."""
    p = params.load(paths.PARAMS)
    if p.execution.engine == "local":
        yield HERE
        return
    from erawise.cluster import connection

    scheduler = p.execution.scheduler
    site = sites.survey(source, unpushed if scheduler is None else pushed)
    with connection.engine(site, scheduler, p.execution.workers, resources) as found:
        yield found


def unpushed(digests: dict[str, str], arrays: Sequence[str]) -> None:
    """Workers on this machine see what is here."""


def pushed(digests: dict[str, str], arrays: Sequence[str]) -> sites.Remote | None:
    """Where DVC's default remote has the files; None where there is none."""
    from erawise import places

    try:
        place = places.place(Path())
    except InputError:
        return None
    known = digests | places.digests(paths.LOCK, arrays)
    objects = {name: place.object(digest) for name, digest in known.items()}
    return sites.Remote(place.url, place.protocol, place.options, objects)
