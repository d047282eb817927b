"""A real S3 server on loopback (moto's), which can be told to refuse requests, and whose clock can be set wrong."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "bucket"
KEY = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI", "region_name": "us-east-1"}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY["aws_access_key_id"],
    "AWS_SECRET_ACCESS_KEY": KEY["aws_secret_access_key"],
    "AWS_DEFAULT_REGION": KEY["region_name"],
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "*",
}
LONGEST_SKEW = timedelta(minutes=15)
ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'

Answer = Callable[..., Any]


class S3Server:
    """The layer between a client and moto: the rights, and the clock by which signatures are checked.

    Attributes
    ----------
    refused : a pattern of method and path, as in 'PUT /bucket/key'; requests that match are answered with `code`.
    ahead : time by which the server's clock is ahead of this machine's.
    """

    def __init__(self, url: str, app: Any) -> None:
        self.url, self._app = url, app
        self.client = boto3.client("s3", endpoint_url=url, **KEY)
        self.reset()

    def reset(self) -> None:
        self.refused, self.code, self.ahead = "", "AccessDenied", timedelta()

    def __call__(self, environ: dict[str, Any], start_response: Answer) -> Iterable[bytes]:
        now = datetime.now(UTC) + self.ahead
        signed = environ.get("HTTP_X_AMZ_DATE")
        if signed and abs(datetime.strptime(signed, "%Y%m%dT%H%M%S%z") - now) > LONGEST_SKEW:
            return self._refuse(
                start_response, now, "RequestTimeTooSkewed", "The difference between the request time and now is too large."
            )
        if self.refused and re.search(self.refused, f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"):
            return self._refuse(start_response, now, self.code, "Refused by the test.")

        def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = [(name, value) for name, value in headers if name.lower() != "date"]
            return start_response(status, [*kept, ("Date", format_datetime(now, usegmt=True))], exc_info)

        return self._app(environ, started)

    def _refuse(self, start_response: Answer, now: datetime, code: str, message: str) -> Iterable[bytes]:
        status = "503 Slow Down" if code == "SlowDown" else "403 Forbidden"
        start_response(status, [("Content-Type", "application/xml"), ("Date", format_datetime(now, usegmt=True))])
        return [ERROR.format(code=code, message=message).encode()]

    def config(self, prefix: str) -> dict[str, str]:
        """Return the settings for `dvc remote`."""
        return {"url": f"s3://{BUCKET}/{prefix}", "endpointurl": self.url}


@contextmanager
def serving() -> Iterator[S3Server]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    threaded = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    threaded.start()
    try:
        host, port = threaded.get_host_and_port()
        running: Any = threaded._server
        server = S3Server(f"http://{host}:{port}", running.app)
        running.app = server
        server.client.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        threaded.stop()
