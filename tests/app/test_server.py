"""Who may ask the server what, and what its answers allow a browser to ask."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gancore.app.card import card_section, plain_markdown
from gancore.app.server import LOOPBACK_NAMES, Guard, address, bind, is_loopback
from gancore.errors import ConfigError


async def application(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def answer(host: str, path: str = "/", hosts=LOOPBACK_NAMES, kind: str = "http"):
    sent = []

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": kind, "path": path, "headers": [(b"host", host.encode())]}
    asyncio.run(Guard(application, hosts)(scope, None, send))
    return sent[0]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "localhost", "[::1]:7860", "[::1]"])
def test_this_machine_is_answered_and_its_browser_may_ask_nobody_else(host):
    start = answer(host)
    policy = dict(start["headers"])[b"content-security-policy"].decode()
    assert start["status"] == 200
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy


@pytest.mark.parametrize("host", ["tides.example:7860", "127.0.0.1.tides.example", "", "192.168.0.7:7860"])
def test_names_of_other_machines_are_refused(host):
    assert answer(host)["status"] == 403
    assert answer(host, hosts=())["status"] == 200  # --host: whoever reaches it


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/proxy=https://tides.example/", "/login"])
def test_uploads_and_requests_to_others_are_refused(path):
    assert answer("localhost", path)["status"] == 403
    assert answer("localhost", kind="websocket")["type"] == "websocket.close"


def test_loopback_is_this_machine():
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.7", "tides.example", "")))


def test_a_taken_port_and_an_unknown_host_are_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)) as raised:
            bind("127.0.0.1", port)
        assert "--port" in raised.value.fix
    with pytest.raises(ConfigError) as raised:
        bind("no.such.host.invalid", 0)
    assert "--host" in raised.value.fix
    with bind("127.0.0.1", 0) as free:
        assert address(free) == f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_card_loads_nothing():
    card = "# A\n\n## Measures\n\nx ![p](http://tides.example/p) <img src=y>\n\n    as <unk> is\n\n## Use\n"
    measures = plain_markdown(card_section(card, "Measures"))
    assert measures == "x  &lt;img src=y>\n\n    as <unk> is"
    assert card_section(card, "Limits") == ""
