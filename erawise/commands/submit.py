"""`erawise submit`."""

from typing import Annotated

from erawise.commands.arguments import Minutes, Round, about
from erawise.live import handing_in


def submit(
    *,
    round: Annotated[Round | None, about("Number of the round to hand in to; the current one if not given.")] = None,
    wait: Annotated[Minutes, about("Minutes to wait for the round.")] = 0,
    dry_run: Annotated[bool, about("Do everything but send; needs no key.")] = False,
) -> None:
    """Send predictions to the open round.

    Fetch its live data, predict with the trained pipeline, check, send, and read back from the server. Run it as often as you like:
    what the server already holds isn't sent again. docs/live.md has the key and the checks.

    Example: `erawise submit --wait 55`

    Exit codes:

    - 0: every model's submission is on the server as it should be
    - 1: something must be mended; nothing was sent for the models that the message names
    - 2: the command line is wrong
    - 3: no round is open yet, or its data isn't there yet; with --wait: not within that time. Run again
    - 4: something was sent, and the server doesn't show it as it was sent: look there, and run again
    - 6: as 3 or 75, and no round is due any more: run again when the next one opens
    - 75: the network or the server failed for longer than it was tried: run again

    If models fail in different ways, the code is the first of 4, 75, 3 and 1.
    """
    handing_in.hand_in(round, wait, dry=dry_run)
