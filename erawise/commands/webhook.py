"""`erawise webhook`."""

from typing import Annotated

from erawise.commands.arguments import Minutes, Port, about
from erawise.live import schedule
from erawise.live import webhook_server as server


def webhook(
    *,
    host: Annotated[str, about("Address to listen on; by default this machine only.")] = "127.0.0.1",
    port: Annotated[Port, about("Port to listen on.")] = 8765,
    wait: Annotated[Minutes, about("Minutes that a run waits for the round.")] = schedule.WAIT,
) -> None:
    """Send predictions whenever Numerai calls.

    A POST to `/<token>` starts `erawise submit`; a GET of /health tells of the last run. The token is ERAWISE_WEBHOOK_TOKEN of the
    environment or .env. It speaks plain HTTP: put a server with TLS before it.

    Example: `erawise webhook --port 8765`

    Exit codes:

    - 0: stopped by Ctrl-C
    - 1: there is no usable token, or the address can't be listened to
    - 2: the command line is wrong
    """
    server.serve(host, port, wait)
