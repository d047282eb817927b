"""Functions that a worker of Dask is asked to call. The scheduler loads this module too, so it imports nothing slow."""


def work(payload: bytes) -> object:
    """Run a job, see `worker.work`."""
    from erawise.cluster import worker

    return worker.work(payload)


def describe_environment() -> object:
    """Return the environment of this worker, see `environment.describe`."""
    from erawise.cluster import environment

    return environment.describe()
