"""The HTTP server. It leaves the signals to the worker, which has more to do at the end than to stop listening."""

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from faststream.asgi import AsgiFastStream


class Server(uvicorn.Server):
    """uvicorn without its signal handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def make_server(app: AsgiFastStream, host: str, port: int) -> Server:
    """A server of *app* on *host*:*port* (0 = any free port)."""
    return Server(
        uvicorn.Config(
            app, host=host, port=port, lifespan="off", access_log=False, log_config=None, log_level="warning"
        )
    )
