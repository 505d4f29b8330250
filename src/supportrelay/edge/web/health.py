"""``/healthz`` for load balancers and Docker, until the board comes. Imports little: it is a process of its own."""

import signal
import socket
import threading
from collections.abc import Callable, Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from supportrelay.edge.web.patience import ImpatientProtocol

__all__ = ["health_app", "open_web_port", "serve_health"]


def health_app(is_alive: Callable[[], bool], more: Sequence[Route] = ()) -> Starlette:
    """200 ``{"status": "ok"}`` on ``/healthz``, 503 when the daemon is not alive; ``more``; 404 elsewhere."""

    async def healthz(_request: Request) -> JSONResponse:
        alive = is_alive()
        return JSONResponse({"status": "ok" if alive else "down"}, 200 if alive else 503)

    async def nothing_here(_request: Request, _exc: Exception) -> JSONResponse:
        return JSONResponse({"status": "not found"}, 404)

    return Starlette(
        routes=[Route("/healthz", healthz, methods=["GET", "HEAD"]), *more],
        exception_handlers={404: nothing_here},
    )


def open_web_port(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: The port is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(64)
    except OSError:
        bound.close()
        raise
    return bound


def serve_health(
    host: str,
    port: int,
    *,
    is_alive: Callable[[], bool],
    bound: socket.socket | None = None,
    more: Sequence[Route] = (),
) -> None:
    """Answer until SIGTERM or SIGINT; returns then.

    Args:
        host: Address to listen on.
        port: Port, 0 for a free one.
        is_alive: Asked on every request, in the event loop; must be quick.
        bound: An open socket to use in place of host and port.
        more: Routes besides ``/healthz`` (`hooks.hubspot_hook`).

    Raises:
        OSError: The port cannot be opened.
    """
    listening = bound or open_web_port(host, port)
    config = uvicorn.Config(
        health_app(is_alive, more),
        http=ImpatientProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=64,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=2,
    )
    if threading.current_thread() is threading.main_thread():
        # uvicorn raises the signal once more when it is done; as ended by SIGTERM we would look like a crash.
        signal.signal(signal.SIGTERM, _already_stopping)
        signal.signal(signal.SIGINT, _already_stopping)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()


def _already_stopping(_signal: int, _frame: object) -> None:
    return
