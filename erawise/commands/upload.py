"""`erawise upload`."""

from pathlib import Path
from typing import Annotated, Literal

from erawise.commands.arguments import Minutes, Place, about
from erawise.running.errors import UsageError
from erawise.upload import delivery


def upload(
    *,
    live: Annotated[Place, about("Live file whose rows the check predicts.")] = Path("data/raw/live.parquet"),
    send: Annotated[str | None, about("Send it, once it is checked, for this model of your account.")] = None,
    wait: Annotated[Minutes, about("Minutes that Numerai may take to try it.")] = 15,
    python: Annotated[
        Literal["3.10", "3.11", "3.12", "3.13", "all"] | None,
        about("Python in which it is proven, and whose image is asked for, or all. By default the Python of Numerai's default image."),
    ] = None,
    no_check: Annotated[bool, about("Only build the pickle.")] = False,
) -> None:
    """Build the model that Numerai runs itself, prove it, and send it.

    The pickle of upload.prediction is run with Numerai's versions of the packages, in its memory, on one core and without network; its
    predictions must equal the pipeline's, in the same ranks. It writes `data/upload/<prediction>.pkl` and data/upload/check.json.
    One that is sent and works is assigned to the model; of one that doesn't, Numerai's logs are shown.

    Example: `erawise upload --python all --send my_model`

    Exit codes:

    - 0: it is built; if it was to be sent, Numerai runs it
    - 1: something must be mended
    - 2: the command line is wrong
    - 4: it was sent, and Numerai has refused it, or hasn't tried or assigned it yet
    - 75: the network or the server failed
    """
    if send and no_check:
        raise UsageError("--no-check and --send exclude each other: only a pickle that is checked is sent")
    delivery.deliver(live, send, wait, python, check=not no_check)
