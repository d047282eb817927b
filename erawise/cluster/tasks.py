"""What a worker of Dask is told to call. The scheduler, which reads what it hands on, loads this module and none that takes long."""


def work(payload: bytes) -> object:
    """Do a job, see `worker.work`."""
    from erawise.cluster import worker

    return worker.work(payload)


def kit() -> object:
    """Return what this worker runs, see `kits.kit`."""
    from erawise.cluster import kits

    return kits.kit()
