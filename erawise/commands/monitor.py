"""`erawise monitor`."""

from typing import Annotated

from erawise.commands.arguments import about
from erawise.live import watching


def monitor(
    *,
    offline: Annotated[bool, about("Fetch nothing: look at the scores that are here.")] = False,
    md: Annotated[bool, about("Print tables as Markdown.")] = False,
) -> None:
    """Compare live scores with what validation promised.

    Fetch the scores of the models of submit.models, with a key of all models of your account, keep them, and draw them in the
    band that validation promises: the scores that pay, and apart from them their early sign, each against validation of its own horizon.
    Scores of rounds that are still open are kept apart from final ones.

    Example: `erawise monitor`

    Exit codes:

    - 0: all is as promised, or too little is known
    - 1: something must be mended
    - 2: the command line is wrong
    - 5: a model has left the band of its validation
    - 75: the network or the server failed: run again later
    """
    watching.watch(offline=offline, form="md" if md else "terminal")
