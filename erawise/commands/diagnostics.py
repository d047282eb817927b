"""`erawise diagnostics`."""

from pathlib import Path
from typing import Annotated

from erawise.commands.arguments import Minutes, Place, about
from erawise.live import site_diagnostics


def diagnostics(
    model: Annotated[str, about("The model of your account for which they are scored.")],
    /,
    *,
    prediction: Annotated[str | None, about("The prediction to send; by default by submit.models, or upload.prediction.")] = None,
    wait: Annotated[Minutes, about("Minutes to wait for the scores.")] = 30,
    out: Annotated[Place, about("Directory for the tables.")] = Path("data/diagnostics"),
    md: Annotated[bool, about("Print tables as Markdown.")] = False,
) -> None:
    """Compare the site's diagnostics of validation with ours.

    Send the validation predictions, wait for what Numerai finds, and compare it line by line.

    Example: `erawise diagnostics my_model`

    Exit codes:

    - 0: the site has scored them
    - 1: something must be mended
    - 2: the command line is wrong
    - 4: the site refuses them, or hasn't scored them in time
    - 75: the network or the server failed
    """
    site_diagnostics.diagnose(model, prediction, wait, out, "md" if md else "terminal")
