"""Serving the pages until they are no longer wanted."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

__all__ = ["serve"]

_LAST_ANSWERS = 3
"""Seconds that answers on their way are given at the end."""


def serve(app: Starlette, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve an application until it is interrupted (Ctrl-C or SIGTERM).

    Parameters
    ----------
    app
        The application.
    listener
        A socket that listens.
    on_ready
        Is called when questions are answered and interruptions are heeded.
    """
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, server_header=False, lifespan="off", ws="none",
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )  # fmt: skip
    try:
        _Server(config, on_ready).run(sockets=[listener])
    except KeyboardInterrupt:
        pass  # by which uvicorn passes on what it was ended with


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()
