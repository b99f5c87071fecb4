"""Serves the page: to this machine alone unless another host is named, and nothing leaves it."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gancore.errors import ConfigError, GancoreError

if TYPE_CHECKING:
    import gradio

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'self'",
        "object-src 'none'",
    )
)
"""The content security policy: a browser asks this server alone, whatever the page says."""
CLOSED_ROUTES = ("/upload", "/proxy=", "/stream/", "/monitoring", "/login", "/component_server")
"""Routes of Gradio that the page does not use: uploads, requests to other servers, figures of visitors."""
Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


def disable_telemetry(folder: Path) -> None:
    """Settings that Gradio reads when it is imported: no analytics, and its files in ``folder``."""
    os.environ.update(
        GRADIO_ANALYTICS_ENABLED="False",
        HF_HUB_DISABLE_TELEMETRY="1",
        GRADIO_SHARE="False",
        GRADIO_TEMP_DIR=str(folder / "gradio"),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ConfigError if the port is taken or the host is not one of this machine."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(found[0], found[1])
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(found[4])
        bound.listen(128)
    except socket.gaierror as error:
        raise ConfigError(f"no host {host!r} ({error.strerror})", "leave out --host") from None
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cannot listen on port {port} of {host}: {reason}",
            "give another --port, or --port 0 for a free one",
        ) from None
    return bound


class Guard:
    """An ASGI application around that of Gradio, which refuses what the page does not need.

    A request must name a host in ``hosts``, if any are given: no other site can then read the page by a name
    that it points to this machine. Every answer has the content security policy.
    """

    def __init__(self, application: Any, hosts: tuple[str, ...]) -> None:
        self.application, self.hosts = application, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
        elif scope["type"] == "http" and self._is_allowed(scope):
            await self.application(scope, receive, send_with_policy)
        else:
            await _refuse(scope, send)

    def _is_allowed(self, scope: Scope) -> bool:
        named = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        host = named.rpartition(":")[0] if not named.endswith("]") and ":" in named else named
        path = scope["path"]
        return (not self.hosts or host.strip("[]") in self.hosts) and not any(
            route in path for route in CLOSED_ROUTES
        )


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        kind = (b"content-type", b"text/plain")
        await send({"type": "http.response.start", "status": 403, "headers": [kind]})
        await send({"type": "http.response.body", "body": b"refused"})


@contextmanager
def running(page: gradio.Blocks, bound: socket.socket, host: str) -> Iterator[threading.Event]:
    """Serve a page in a thread, so that a signal reaches the program at once.

    The value is set when the server ends by itself. In the block, the page answers.

    Raises:
        GancoreError: the server does not start.
    """
    import uvicorn

    hosts = LOOPBACK_NAMES if is_loopback(host) else ()
    guard = Guard(_application(page, bound, host), hosts)
    server = uvicorn.Server(
        uvicorn.Config(guard, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )
    ended = threading.Event()

    def run() -> None:
        try:
            server.run(sockets=[bound])
        finally:
            ended.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        while not server.started and not ended.wait(0.05):
            pass
        if not server.started:
            raise GancoreError("the server of the page does not start", "see the lines above")
        yield ended
    finally:
        logging.getLogger("uvicorn.error").disabled = True  # it reports requests that the end interrupts
        server.should_exit = server.force_exit = True
        ended.wait(2)


def _application(page: gradio.Blocks, bound: socket.socket, host: str) -> Any:
    """The ASGI application of a page, without links to other pages, and without what is kept of its use."""
    import fastapi
    import gradio

    from gancore.app.page import STYLE, theme

    return gradio.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        server_name=host,
        server_port=bound.getsockname()[1],
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=theme(),
        css=STYLE,
    )


def address(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
