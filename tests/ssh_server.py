"""A real SSH server with SFTP on loopback, which accepts one key, and can be told to refuse writing."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh

USER = "somebody"


class SSHServer:
    """The server's address, with the client's key in a file.

    Attributes
    ----------
    read_only : whether files may only be read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.port, self.read_only = directory, 0, False
        self.keyfile = directory / "key"
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(self.keyfile)
        asyncssh.read_private_key(self.keyfile).write_public_key(directory / "authorized")

    def config(self, path: Path) -> dict[str, str]:
        """Return the settings for `dvc remote`."""
        return {"url": f"ssh://{USER}@127.0.0.1:{self.port}{path}", "keyfile": str(self.keyfile)}

    async def listen(self) -> asyncssh.SSHAcceptor:
        outer = self

        class Files(asyncssh.SFTPServer):
            def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
                if outer.read_only and pflags & asyncssh.FXF_WRITE:
                    raise asyncssh.SFTPPermissionDenied("Permission denied")
                return super().open(path, pflags, attrs)

        acceptor = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=str(self.directory / "authorized"),
            sftp_factory=Files,
        )
        self.port = acceptor.get_port()
        return acceptor


@contextmanager
def serving(directory: Path) -> Iterator[SSHServer]:
    server = SSHServer(directory)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    acceptor = asyncio.run_coroutine_threadsafe(server.listen(), loop).result(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
