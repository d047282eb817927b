"""What a worker of Dask is told to call. The scheduler, which reads what it hands on, loads this module and none that takes long."""


def work(payload: bytes) -> object:
    """Do a job, see `cluster.work`."""
    from erawise import cluster

    return cluster.work(payload)


def kit() -> object:
    """What this worker runs, see `cluster.kit`."""
    from erawise import cluster

    return cluster.kit()
