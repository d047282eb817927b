"""Hand in when Numerai calls: a POST to /<token> starts `python -m stages.submit`, a GET of /health tells of the last run.

The token is ERAWISE_WEBHOOK_TOKEN of the environment or `.env`. It speaks plain HTTP: put a server with TLS before it.
"""

import argparse
import os
import sys

from erawise.live import keys, webhook_server
from erawise.running import errors, paths
from stages import arguments


@errors.reported
def main() -> None:
    given = _arguments()
    [token] = keys.values([webhook_server.TOKEN], os.environ, paths.ENVIRONMENT)
    runner = webhook_server.Runner([sys.executable, "-m", "stages.submit", "--wait", str(given.wait)])
    with webhook_server.server(given.host, given.port, token, runner) as server:
        print(f"listening on {given.host}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m stages.webhook", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 127.0.0.1, this machine alone")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on; 8765")
    parser.add_argument("--wait", type=arguments.minutes, default=40, metavar="MINUTES", help="how long a run waits for the round; 40")
    return parser.parse_args()


if __name__ == "__main__":
    main()
