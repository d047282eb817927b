"""Look for the settings of one model of the kind `neural_network`, where that is switched on."""

from erawise.running import runner
from erawise.running.progress import Progress
from stages import tuning


def search(name: str, progress: Progress) -> runner.Done:
    """Search; what takes long to import is imported here, since a stage that is switched off does without."""
    from erawise.models.neural_network import model as neural_network
    from erawise.tuning import model_search

    return model_search.run(neural_network, name, progress)


if __name__ == "__main__":
    tuning.run(search)
