"""The page of a model of every domain in a browser: it shows the files of the command, and asks nobody."""

from __future__ import annotations

import base64
import io
import re
import shlex
import socket
import zipfile

import pytest
from chromium import SCROLLS, Visit

from gancore.app.server import is_loopback

pytestmark = pytest.mark.slow

MODELS = {
    "synthetic": ("mlpgan", {}),
    "image": ("dcgan-lite", {"conditional": True}),
    "audio": ("specgan", {"conditional": True}),
    "text": ("maskgan", {}),
    "graph": ("configuration", {}),
}
DONE = "#samples .command, #samples .refusal"
COMMAND = "#samples .command"
PICTURES = "[...document.querySelectorAll('#samples img')].map(picture => picture.naturalWidth)"
MEDIA = "[...document.querySelectorAll('#samples :is(img, audio)')].map(medium => medium.src)"
PLAYERS = """async () => Promise.all([...document.querySelectorAll('#samples audio')].map(player =>
  player.readyState >= 1 ? player.duration : new Promise((done, fail) => {
    player.onloadedmetadata = () => done(player.duration);
    player.onerror = () => fail(player.error);
  })))"""


@pytest.fixture(params=MODELS)
def run(request, tiny_model):
    recipe, settings = MODELS[request.param]
    return tiny_model(request.param, recipe, **settings)


@pytest.fixture
def reached(monkeypatch):
    """Addresses of other machines to which this process connects."""
    found, connect = [], socket.socket.connect

    def noted(self, place):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(place[0]):
            found.append(place)
        return connect(self, place)

    monkeypatch.setattr(socket.socket, "connect", noted)
    return found


@pytest.fixture
def visit(browser, run, tmp_path):
    """Opens the page of the run; what it asks of other machines is refused, and noted."""
    from gancore.app.launch import make_page
    from gancore.app.server import address, bind, running

    bound, pages = bind("127.0.0.1", 0), []
    place = address(bound)

    def open_page() -> Visit:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        pages.append(page)
        seen = Visit(page)

        def route(request) -> None:
            url = request.request.url
            seen.requests.append(url[:60])
            request.continue_() if url.startswith((place, "data:", "blob:")) else request.abort()

        page.route("**/*", route)
        page.on("console", lambda message: seen.said.append(message.text))
        page.on("pageerror", lambda error: seen.said.append(str(error)))
        page.goto(place)
        page.wait_for_selector(DONE)
        return seen

    with running(make_page(run / "model", str(run), tmp_path, "cpu"), bound, "127.0.0.1"):
        yield open_page
        for page in pages:
            page.close()


def make(page) -> None:
    """Press the button, and wait for the samples."""
    page.evaluate("document.querySelector('#samples .command').remove()")
    page.get_by_role("button", name="Make").click()
    page.wait_for_selector(DONE)


def archive_of(page) -> dict[str, bytes]:
    with page.expect_download() as download:
        page.get_by_text("Download the files").click()
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def by_the_command(page, folder) -> dict[str, bytes]:
    """The files of the command that the page names, by the name of the file."""
    from gancore.cli import main

    assert page.query_selector("#samples .refusal") is None, page.inner_text("#samples")
    words = shlex.split(page.inner_text(COMMAND))
    assert words[:2] == ["gancore", "generate"] and words[-2:] == ["--out", "samples"]
    assert main([*words[1:-1], str(folder), "--device", "cpu", "--quiet"]) == 0
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_page_shows_the_files_of_the_command_and_asks_nobody_else(visit, run, reached, tmp_path):
    seen = visit()
    page = seen.page
    files = by_the_command(page, tmp_path / "first")
    assert archive_of(page) == files
    media = page.evaluate(MEDIA)
    embedded = [base64.b64decode(uri.partition("base64,")[2]) for uri in media]
    if run.parent.name.startswith("graph"):  # drawn for the page: it writes no pictures
        assert len(embedded) == 3
    else:
        assert all(content in files.values() for content in embedded)
    assert all(width > 0 for width in page.evaluate(PICTURES))
    assert all(0 < seconds < 60 for seconds in page.evaluate(PLAYERS))
    texts = page.inner_text("#samples")
    make(page)
    assert (page.evaluate(MEDIA), page.evaluate(SCROLLS)) == (media, False)
    assert texts.split(" samples in ")[0] == page.inner_text("#samples").split(" samples in ")[0]
    page.set_viewport_size({"width": 400, "height": 900})
    assert not page.evaluate(SCROLLS)
    assert seen.said == []
    foreign = re.compile(r"(?!http://127\.0\.0\.1:|data:|blob:)")
    assert [url for url in seen.requests if foreign.match(url)] == []
    assert reached == []


@pytest.mark.parametrize("run", ["image"], indirect=True)
def test_controls_change_the_samples_and_the_command(visit, tmp_path):
    page = visit().page
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Paths between two samples").click()
    page.get_by_label("Label").click()
    page.get_by_role("option", name="3", exact=True).click()
    make(page)
    assert "-n 3 --seed 7 --label=3 --interpolate=8" in page.inner_text(COMMAND)
    assert archive_of(page) == by_the_command(page, tmp_path / "paths")
    assert len(page.evaluate(MEDIA)) == 3 * 8
    page.get_by_label("Label").click()
    page.get_by_role("option", name="each label").click()
    page.get_by_label("number input for Number of paths").fill("8")
    page.get_by_role("button", name="Make").click()
    page.wait_for_selector("#samples .refusal")
    assert "640 samples" in page.inner_text("#samples")


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_a_prompt_is_filled_and_what_it_says_is_text(visit):
    page = visit().page
    page.get_by_label("Filled gaps").click()
    page.get_by_label("Prompt with gaps").fill("<b>{{v}} ___ ${1}")
    make(page)
    first = page.inner_text("#samples li >> nth=0")
    assert "<b>{{v}}" in first and "${1}" in first
