"""The HTTP server. It leaves the signals to the worker, which has more to do at the end than to stop listening."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from faststream.asgi import AsgiFastStream


class AddressUnusable(Exception):
    """Nothing can be served on HTTP_HOST and HTTP_PORT; the message says why and what to do."""

    def __init__(self, host: str, port: int, detail: str) -> None:
        super().__init__(
            f"HTTP_HOST and HTTP_PORT: cannot listen on {host}:{port} ({detail}); "
            "choose another port, or end what listens there"
        )


class Server(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on *host*:*port* (0 = any free port). Raises AddressUnusable.

    uvicorn would end the process by itself where it cannot bind, in the middle of everything.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        raise AddressUnusable(host, port, error.strerror or str(error)) from error


def make_server(app: AsgiFastStream) -> Server:
    """A server of *app*, for the socket that `serve` is given."""
    return Server(uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, log_level="warning"))
