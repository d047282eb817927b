"""Workers of Dask for the stages that fit models."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from erawise import cluster, params, sites
from erawise.errors import InputError
from erawise.jobs import Engine, Source
from erawise.models.protocol import Resources
from stages import paths


@contextmanager
def engine(source: Source, resources: Resources) -> Iterator[Engine]:
    """Workers that see the data, or can fetch it from DVC's remote."""
    p = params.load(paths.PARAMS)
    elsewhere = p.execution.scheduler is not None
    site = sites.survey(source, pushed if elsewhere else unpushed)
    with cluster.engine(site, p.execution.scheduler, p.execution.workers, resources) as found:
        yield found


def unpushed(digests: dict[str, str], arrays: Sequence[str]) -> None:
    """Workers on this machine see what is here."""


def pushed(digests: dict[str, str], arrays: Sequence[str]) -> sites.Remote | None:
    """Where DVC's default remote has the files; None where there is none."""
    from erawise import remotes

    try:
        place = remotes.place(Path())
        known = digests | remotes.digests(paths.LOCK, arrays)
    except InputError:
        return None
    objects = {name: place.object(digest) for name, digest in known.items()}
    return sites.Remote(place.url, place.protocol, place.options, objects)
