"""The page in a real browser: what is on it is loaded, and nothing leaves it."""

from __future__ import annotations

import math
from io import BytesIO

import pytest
import torch
from chromium import SCROLLS, Visit
from PIL import Image
from recorded import Recorded, reading

from gancore.data.dataset import Spec
from gancore.plugins import plugins
from gancore.samples import Samples

SHOWN = 4
RECIPES = {"light": "wavegan-lite", "published": "wavegan"}
LOADED = """async () => {
  const ready = [...document.querySelectorAll('audio')].map(player => player.readyState >= 1 ? 0 :
    new Promise((done, fail) => {
      player.onloadedmetadata = done;
      player.onerror = () => fail(player.error);
    }));
  await Promise.all(ready);
  const players = [...document.querySelectorAll('audio')].map(player => player.duration);
  const pictures = [...document.querySelectorAll('img')].map(picture => picture.naturalWidth);
  return {players, pictures};
}"""
CONTRAST = """selector => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const light = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const part = x => x / 255 <= .04045 ? x / 255 / 12.92 : ((x / 255 + .055) / 1.055) ** 2.4;
    const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data;
    return .2126 * part(r) + .7152 * part(g) + .0722 * part(b);
  };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll(selector)].map(element => {
    const ink = light(getComputedStyle(element).color);
    return (Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05);
  });
}"""


def sounds(pitch_hz: float) -> Samples:
    time = torch.arange(2000) / 8000
    waves = [torch.sin(2 * math.pi * (pitch_hz + 50 * i) * time) * torch.exp(-9 * time) for i in range(SHOWN)]
    spec = Spec({"sample_rate_hz": 8000, "length": 2000})
    return Samples(torch.stack(waves)[:, None], spec)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Two recipes of audio, two seeds; what is shown of them are real WAV files."""
    folder = tmp_path_factory.mktemp("comparison")
    made = Recorded.of(folder, plugins().load_domain("audio"), RECIPES, seeds=2)
    made.about(sounds(200), select="mel_frechet")
    for number, trial in enumerate(made.trials):
        value = 0.2 + 0.1 * (trial.name == "published") + 0.01 * trial.seed
        made.training(trial, curve=[1 / (1 + step) for step in range(10)])
        made.evaluation(trial, [reading("made_up", (value, value - 0.02, value + 0.02))])
        made.samples(trial, sounds(300 + 100 * number))
        made.tradeoffs(trial)
    made.report()
    return made.folder


@pytest.fixture
def visit(browser, report):
    """Opens the page; whatever it asks of anyone but itself is refused, and noted."""
    pages = []

    def open_page(width: int = 1280, scheme: str = "light") -> Visit:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        seen = Visit(page)

        def route(request) -> None:
            seen.requests.append(request.request.url[:60])
            request.continue_() if request.request.url.startswith(("file:", "data:")) else request.abort()

        page.route("**/*", route)
        page.on("console", lambda message: seen.said.append(message.text))
        page.on("pageerror", lambda error: seen.said.append(str(error)))
        page.on("requestfailed", lambda request: seen.said.append(f"failed: {request.url[:60]}"))
        page.goto(report.report_html.as_uri(), wait_until="load")
        return seen

    yield open_page
    for page in pages:
        page.close()


def test_players_and_pictures_are_there_and_loaded_and_nothing_leaves_the_page(visit, report):
    seen = visit()
    loaded = seen.page.evaluate(LOADED)
    assert len(loaded["players"]) == SHOWN * (1 + len(RECIPES))
    assert all(seconds == pytest.approx(0.25, abs=0.01) for seconds in loaded["players"])
    assert len(loaded["pictures"]) == (1 + SHOWN) * (1 + len(RECIPES))  # an overview, and one a player
    assert all(width > 0 for width in loaded["pictures"])
    assert seen.said == []
    assert {url for url in seen.requests if not url.startswith("data:")} <= {report.report_html.as_uri()[:60]}
    assert seen.page.title() == "Comparison, audio: made-up"


def test_a_screenshot_shows_it(visit):
    picture = Image.open(BytesIO(visit().page.screenshot(full_page=True))).convert("RGB")
    assert picture.width == 1280 and picture.height > 2000
    assert len(picture.resize((64, 64)).getcolors(64 * 64)) > 50


@pytest.mark.parametrize("width", [340, 800, 1600])
def test_no_screen_is_too_narrow(visit, width):
    page = visit(width).page
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert not page.evaluate(SCROLLS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(visit, scheme):
    """WCAG 2.2, level AA: at least 4.5 to 1."""
    ratios = visit(scheme=scheme).page.evaluate(CONTRAST, "p, small, b, th, td, dt, a, summary")
    assert len(ratios) > 50 and min(ratios) >= 4.5


def test_dark_is_dark(visit):
    ground = "getComputedStyle(document.body).backgroundColor"
    assert visit(scheme="dark").page.evaluate(ground) != visit(scheme="light").page.evaluate(ground)


def test_on_paper_it_is_whole(visit):
    """Printed, nothing is cut off at the side, and players, which paper cannot play, are left out."""
    page = visit(800, scheme="dark").page
    page.emulate_media(media="print")
    assert not page.evaluate(SCROLLS)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator("audio").first.is_hidden()
    assert page.pdf()[:5] == b"%PDF-"


def test_what_is_asked_of_the_network_is_refused_by_the_page_itself(visit):
    """The content security policy stands even if a domain wrote a file that asks for more."""
    seen = visit()
    asks = "fetch('https://example.org/').then(() => 'answered', () => 'refused')"
    assert seen.page.evaluate(asks) == "refused"
    assert not any("example" in url for url in seen.requests)
    assert any("Content Security Policy" in text for text in seen.said)
