"""What a worker of Dask is told to call. The scheduler, which reads what it hands on, loads this module and none that takes long."""


def work(payload: bytes) -> object:
    """Do a job, see `worker.work`."""
    from erawise.cluster import worker

    return worker.work(payload)


def describe_environment() -> object:
    """Return what this worker runs, see `environment.describe`."""
    from erawise.cluster import environment

    return environment.describe()
